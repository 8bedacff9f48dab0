"""`train_args` of a YAML -> transformers.TrainingArguments, tried out before a model is loaded.

Everything that must not differ between machines is fixed.
"""

import datetime
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import PartialState
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, Trainer, TrainingArguments, get_scheduler
from transformers.utils.import_utils import is_liger_kernel_available

from ..config.schema import RunConfig
from ..modeling.devices import own_device
from ..process import torchrun
from ..process.reporter import reporter

# How a run is executed, not what it computes: these may differ between a run and its continuation.
_EXECUTION_ONLY_PREFIXES = (
    "per_device_",
    "logging_",
    "log_",
    "dataloader_",
    "fsdp",
    "ddp_",
    "gradient_checkpointing",
    "disable_tqdm",
    "use_cpu",
    "torch_empty_cache_steps",
    "skip_memory_metrics",
    "include_num_input_tokens_seen",
)

# What accelerate's configuration may ask for beside the YAML, by the variable that says so.
_LAUNCHER_SHARDS_BY = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism",
}

# Keyword arguments by which an optimizer receives the model's own weights.
_WEIGHTS_OF_THE_MODEL = {"model", "params", "optimizer_dict"}

_BY_LAYER = "TRANSFORMER_BASED_WRAP"  # how FSDP finds what to shard together, unless told otherwise

# What libraries raise for a setting that they do not take.
_REFUSALS = (ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError, NotImplementedError)


@dataclass(frozen=True)
class BatchPlan:
    """How a global batch is spread.

    Attributes:
        devices: of this launch.
        per_device: examples of full length that one of them holds at once, or as many tokens of shorter ones.
        accumulation: micro-batches of a device in an optimizer step.
        are_packed: whether rows lie one behind the other, without padding, if the model keeps them apart.
    """

    devices: int
    per_device: int
    accumulation: int
    are_packed: bool = False

    @property
    def micro_batches(self) -> int:
        """Of all devices in an optimizer step."""
        return self.devices * self.accumulation


def plan_batches(global_batch_size: int, devices: int, per_device_limit: int) -> BatchPlan:
    """Fewest accumulation steps, then the smallest batch on a device that still covers the global one.

    Args:
        per_device_limit: examples that a device takes at once, at most.
    """
    accumulation = math.ceil(global_batch_size / (devices * per_device_limit))
    per_device = math.ceil(global_batch_size / (devices * accumulation))
    return BatchPlan(devices, per_device, accumulation)


def _check_precision(train_args: dict[str, Any]) -> None:
    """What is part of a result is refused on a device without it, never dropped. Raises: ValueError."""
    has_gpu = torch.cuda.is_available()
    is_ampere = has_gpu and torch.cuda.get_device_capability()[0] >= 8
    if train_args.get("tf32") and not is_ampere:
        raise ValueError(
            "train_args.tf32: this machine has no device with TF32 (NVIDIA Ampere or newer). "
            "To train without it, add train_args.tf32=false to the command"
        )
    if train_args.get("bf16") and has_gpu and not is_ampere:
        raise ValueError(
            "train_args.bf16: this GPU has no bfloat16 (NVIDIA Ampere or newer has). "
            "To train without it, add train_args.bf16=false to the command"
        )
    if train_args.get("fp16") and not has_gpu:
        raise ValueError(
            "train_args.fp16: fp16 needs a GPU. To train without it, add train_args.fp16=false to the command"
        )


def _check_launcher(train_args: dict[str, Any]) -> None:
    """accelerate's own configuration, which `accelerate launch` hands on, adds nothing to the YAML.

    Raises: ValueError.
    """
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision != "no" and not train_args.get(precision):
        in_yaml = f"set train_args.{precision}: true, or " if precision in ("bf16", "fp16") else ""
        raise ValueError(
            f"accelerate launch asks for mixed precision {precision}, the YAML does not. The YAML decides: "
            f"{in_yaml}start with --mixed_precision no"
        )
    for variable, way in _LAUNCHER_SHARDS_BY.items():
        is_on = os.environ.get(variable, "false").lower() == "true"
        if is_on and not (train_args.get("fsdp") and "FSDP" in variable):
            raise ValueError(
                f"accelerate launch: found {way} in its configuration, expected none: the YAML says how a "
                "model is sharded (train_args.fsdp). Start with torchrun, or give accelerate launch a "
                "--config_file without it"
            )


def result_settings(train_args: dict[str, Any]) -> dict[str, Any]:
    """The part of train_args that the trained weights depend on."""
    return {
        name: value
        for name, value in sorted(train_args.items())
        if not name.startswith(_EXECUTION_ONLY_PREFIXES)
    }


def launch_state(shards: bool = False) -> PartialState:
    """The processes of this launch, joined by the first call.

    accelerate must be told of a machine without a GPU, else each rank takes itself for the only one.

    Args:
        shards: whether FSDP will. What it keeps in the memory of the machine, processes exchange by gloo.

    Raises:
        ValueError: if there are more processes on this machine than GPUs, or torchrun's variables are wrong.
    """
    size = torchrun.world_size()  # accelerate would say what is wrong with it in Python's words
    timeout = datetime.timedelta(hours=6)  # the others wait while the first tokenizes and selects
    on_cpu = own_device().type == "cpu"
    backend = {"backend": "cuda:nccl,cpu:gloo"} if shards and size > 1 and not on_cpu else {}
    return PartialState(cpu=on_cpu, timeout=timeout, **backend)


def training_arguments(config: RunConfig, output_dir: Path) -> tuple[TrainingArguments, BatchPlan]:
    """Trainer's arguments for this machine. Says on stderr what of `fsdp` cannot be honoured here, and why.

    Needs train_args without problems of their own (utils/config/train_args.py). The accumulation is left to
    `run`, since it depends on the rows' lengths and on the model itself.

    Raises: ValueError for those that transformers or this machine refuses.
    """
    _check_precision(config.train_args)
    _check_launcher(config.train_args)
    settings = dict(config.train_args)
    plan = plan_batches(
        config.global_batch_size, torchrun.world_size(), settings.pop("per_device_train_batch_size", 8)
    )
    if settings.get("fsdp"):
        reason = _why_not_fsdp(plan.devices)
        if reason:
            reporter.warn(f"fsdp: {reason}")
            settings.pop("fsdp")
            settings.pop("fsdp_config", None)
    on_cpu = not torch.cuda.is_available()
    settings = {
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a NaN loss stops the run, see trainer.py
        "disable_tqdm": True,
        "use_cpu": on_cpu,
        **settings,
        "output_dir": str(output_dir),
        "run_name": config.run_name,
        "project": config.tracking.project,
        "seed": config.seed,
        "per_device_train_batch_size": plan.per_device,
        "ddp_backend": "gloo" if on_cpu and plan.devices > 1 else None,
        "save_strategy": "no",  # our schedule asks for each save
        "eval_strategy": "no",
        "report_to": config.tracking.report_to,
        "remove_unused_columns": False,
        "use_cache": True,  # of the saved config. No forward pass of ours makes one
    }
    try:
        arguments = TrainingArguments(**settings)
    except _REFUSALS as error:
        raise ValueError(f"train_args: transformers refuses them: {error}") from error
    if arguments.fsdp_plugin_args is not None and (arguments.bf16 or arguments.fp16):
        # accelerate's own policy reduces and adds up gradients in half precision. DDP and one device do not.
        half = torch.bfloat16 if arguments.bf16 else torch.float16
        policy = MixedPrecisionPolicy(param_dtype=half, reduce_dtype=torch.float32, output_dtype=half)
        cast(dict[str, Any], arguments.fsdp_plugin_args)["mixed_precision_policy"] = policy
    if plan.devices == 1:
        # One process drives one GPU: with more, Trainer would take DataParallel.
        arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments, plan


def try_out(arguments: TrainingArguments, model: torch.nn.Module, steps: int) -> None:
    """Make of the settings what Trainer will make of them, around a single weight.

    Args:
        model: that is to be trained. Its weights may be empty.
        steps: of the optimizer.

    Raises: ValueError for settings that do not work.
    """
    try:
        arguments.get_process_log_level()
        _try_optimizer(arguments, model, steps)
        DataLoader(
            [0],  # type: ignore[arg-type]  (a list serves as a dataset)
            num_workers=arguments.dataloader_num_workers,
            prefetch_factor=arguments.dataloader_prefetch_factor,
            persistent_workers=arguments.dataloader_persistent_workers,
            multiprocessing_context=arguments.dataloader_multiprocessing_context,
        )
        if arguments.gradient_checkpointing:
            cast(Any, model).gradient_checkpointing_enable(arguments.gradient_checkpointing_kwargs)
        if arguments.use_liger_kernel and not is_liger_kernel_available():
            raise ValueError("use_liger_kernel needs `pip install liger-kernel`")
    except _REFUSALS as error:
        raise ValueError(f"train_args: training cannot start with them: {error}") from error


def _try_optimizer(arguments: TrainingArguments, model: torch.nn.Module, steps: int) -> None:
    kind, settings = Trainer.get_optimizer_cls_and_kwargs(arguments, cast(PreTrainedModel, model))
    if settings.keys() & _WEIGHTS_OF_THE_MODEL:
        return  # it takes the model's own weights, which are not there
    optimizer = kind([torch.nn.Parameter(torch.zeros(1))], **settings)
    get_scheduler(
        arguments.lr_scheduler_type,
        optimizer,
        num_warmup_steps=arguments.get_warmup_steps(steps),
        num_training_steps=steps,
        scheduler_specific_kwargs=cast(Any, arguments.lr_scheduler_kwargs),
    )


def check_sharding(train_args: dict[str, Any], model: torch.nn.Module) -> None:
    """Also on a machine that will not shard.

    Raises: ValueError for layers that the model has not, or weights that FSDP cannot shard.
    """
    settings = (train_args.get("fsdp_config") or {}) if train_args.get("fsdp") else {}
    settings = {name.removeprefix("fsdp_"): value for name, value in settings.items()}
    wanted = settings.get("transformer_layer_cls_to_wrap") or []
    wanted = wanted.split(",") if isinstance(wanted, str) else wanted
    found = "found {}, which this model has not"
    if train_args.get("fsdp"):
        _refuse_shared_embedding(model)
        if not wanted and settings.get("auto_wrap_policy", _BY_LAYER) == _BY_LAYER:
            wanted = getattr(model, "_no_split_modules", None) or []  # as accelerate does
            found = "not set, and transformers would shard by {}, which this model has not: set it"
    there = {type(module).__name__ for module in model.modules()}
    missing = [name for name in wanted if name.strip() not in there]
    if missing:
        layers = ", ".join(sorted(name for name in there if name.endswith(("Layer", "Block"))))
        raise ValueError(
            "train_args.fsdp_config.transformer_layer_cls_to_wrap: "
            f"{found.format(', '.join(missing))}. Its layers are {layers}"
        )


def _refuse_shared_embedding(model: Any) -> None:
    """Raises: ValueError for a model whose encoder and decoder share one, of which FSDP makes two groups."""
    own = model.get_input_embeddings().weight
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    others = [module for module in model.modules() if module not in ends]
    if any(weight is own for module in others for weight in module._parameters.values()):
        raise ValueError(
            f"train_args.fsdp: found a {model.config.model_type}, whose encoder and decoder share their "
            "embedding, which FSDP cannot shard: leave fsdp out"
        )


def _why_not_fsdp(devices: int) -> str | None:
    if not torch.cuda.is_available():
        return "accelerate shards on accelerators only. On the CPU this run is data parallel (DDP)"
    if devices == 1:
        return "one device has nothing to shard, running unsharded"
    return None
