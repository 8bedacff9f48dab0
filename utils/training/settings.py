"""`train_args` of a YAML -> transformers.TrainingArguments: names checked against the installed version, settings that
belong to other sections refused with the section to use, and everything that must not differ between machines fixed."""

import dataclasses
import datetime
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import TrainingArguments

from utils.config.names import meant_key
from utils.config.problems import known_keys, listing
from utils.config.schema import RunConfig

# Settings of TrainingArguments that are ours to decide, and where the user decides them.
_OWNED_ELSEWHERE = {
    "output_dir": "results go to res/<run_name>",
    "run_name": "set run_name at the top level",
    "seed": "set seed at the top level",
    "data_seed": "set seed at the top level",
    "gradient_accumulation_steps": "set global_batch_size; accumulation follows from the devices",
    "auto_find_batch_size": "set train_args.per_device_train_batch_size to what fits",
    "report_to": "set tracking.report_to",
    "project": "set tracking.project",
    "resume_from_checkpoint": "the same command continues by itself",
    "label_smoothing_factor": "the loss is S2L's own",
    "dataloader_drop_last": "no row is dropped",
    "remove_unused_columns": "the columns are ours",
    "use_cache": "training makes no cache, and the saved model may",
    "ignore_data_skip": "a restart takes the same examples",
    "restore_callback_states_from_checkpoint": "the same command continues by itself",
    "deepspeed": "use fsdp and fsdp_config",
    "parallelism_config": "use fsdp and fsdp_config",
    "push_to_hub": "upload the finished checkpoint with `hf upload`",
    "average_tokens_across_devices": "a step's loss is the mean over its global batch",
    "accelerator_config": "batches are the same on any devices",
    "enable_jit_checkpoint": "the same command continues after a kill",
    "ddp_backend": "it follows from the devices",
    "ddp_timeout": "it follows from the work",
    "load_best_model_at_end": "evaluate.py compares models",
    "do_train": "train.py trains",
    "do_eval": "evaluate.py scores models",
    "do_predict": "evaluate.py scores models",
    "eval_strategy": "evaluate.py scores models",
}
_OWNED_PREFIXES = {
    "save_": "set checkpoints.count, .steps or .every",
    "eval_": "evaluate.py scores models",
    "hub_": "upload the finished checkpoint with `hf upload`",
}
_SAMPLING_STRATEGIES = ("random", "group_by_length", "sequential")

# How a run is executed, not what it computes: these may differ between a run and its continuation.
_EXECUTION_ONLY_PREFIXES = (
    "per_device_", "logging_", "log_", "dataloader_", "fsdp", "ddp_", "gradient_checkpointing", "torch_compile",
    "disable_tqdm", "use_cpu", "torch_empty_cache_steps", "skip_memory_metrics", "include_num_input_tokens_seen",
)  # fmt: skip


@dataclass(frozen=True)
class BatchPlan:
    """How a global batch is spread: devices x per_device x accumulation >= global_batch_size."""

    devices: int
    per_device: int
    accumulation: int

    @property
    def padded(self) -> int:
        return self.devices * self.per_device * self.accumulation


def plan_batches(global_batch_size: int, devices: int, per_device_limit: int) -> BatchPlan:
    """Fewest accumulation steps with at most per_device_limit examples on a device at once, then the smallest batch
    that still covers the global one; the difference is filled with rows that have no label."""
    accumulation = math.ceil(global_batch_size / (devices * per_device_limit))
    return BatchPlan(devices, math.ceil(global_batch_size / (devices * accumulation)), accumulation)


def check_train_args(train_args: dict[str, Any]) -> None:
    """Raises: ValueError listing every name that is unknown, ours, or has a value we cannot honour."""
    known = {field.name for field in dataclasses.fields(TrainingArguments)}
    problems = []
    for name, value in train_args.items():
        prefix = next((prefix for prefix in _OWNED_PREFIXES if name.startswith(prefix)), None)
        if name in _OWNED_ELSEWHERE:
            problems.append(f"train_args.{name}: not set here; {_OWNED_ELSEWHERE[name]}")
        elif prefix is not None and name in known:
            problems.append(f"train_args.{name}: not set here; {_OWNED_PREFIXES[prefix]}")
        elif name not in known:
            meant = meant_key(f"train_args.{name}", known_keys(RunConfig))
            hint = f"did you mean {meant}?" if meant else "see transformers.TrainingArguments"
            problems.append(f"train_args.{name}: no such setting in the installed transformers; {hint}")
        elif name == "train_sampling_strategy" and value not in _SAMPLING_STRATEGIES:
            problems.append(f"train_args.{name}: found {value!r}, expected one of {', '.join(_SAMPLING_STRATEGIES)}")
    problems += _check_numbers(train_args) + _check_fsdp(train_args)
    if problems:
        raise ValueError(listing("train_args", problems))
    _check_precision(train_args)


def _check_numbers(train_args: dict[str, Any]) -> list[str]:
    """The settings that are read before TrainingArguments sees them, which checks no types itself."""

    def is_number(value: Any, kind: type | tuple[type, ...]) -> bool:
        return isinstance(value, kind) and not isinstance(value, bool)

    rules = {
        "num_train_epochs": ("a number above 0", lambda value: is_number(value, (int, float)) and value > 0),
        "max_steps": (
            "a whole number of at least 1, or -1",
            lambda value: is_number(value, int) and (value >= 1 or value == -1),
        ),
        "per_device_train_batch_size": (
            "a whole number of at least 1",
            lambda value: is_number(value, int) and value >= 1,
        ),
        "logging_steps": ("a number above 0", lambda value: is_number(value, (int, float)) and value > 0),
    }
    return [
        f"train_args.{name}: found {train_args[name]!r}, expected {expected}"
        for name, (expected, holds) in rules.items()
        if name in train_args and not holds(train_args[name])
    ]


def _check_fsdp(train_args: dict[str, Any]) -> list[str]:
    settings = train_args.get("fsdp_config") or {}
    if not isinstance(settings, dict):
        return [f"train_args.fsdp_config: found {settings!r}, expected a mapping in the YAML itself"]
    kind = settings.get("state_dict_type", settings.get("fsdp_state_dict_type", "FULL_STATE_DICT"))
    if kind != "FULL_STATE_DICT":
        return [
            f"train_args.fsdp_config.state_dict_type: found {kind!r}, expected FULL_STATE_DICT: checkpoints are saved whole"
        ]
    return []


def _check_precision(train_args: dict[str, Any]) -> None:
    """bf16 and tf32 are part of a result: on a device without them they are refused, never dropped."""
    if train_args.get("tf32") and not (torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 8):
        raise ValueError(
            "train_args.tf32: this machine has no device with TF32 (NVIDIA Ampere or newer). To train without it, add "
            "train_args.tf32=false to the command"
        )
    if train_args.get("bf16") and torch.cuda.is_available() and torch.cuda.get_device_capability()[0] < 8:
        raise ValueError(
            "train_args.bf16: this GPU has no bfloat16 (NVIDIA Ampere or newer has). To train without it, add "
            "train_args.bf16=false to the command"
        )
    if train_args.get("fp16") and not torch.cuda.is_available():
        raise ValueError(
            "train_args.fp16: fp16 needs a GPU. To train without it, add train_args.fp16=false to the command"
        )


def result_settings(train_args: dict[str, Any]) -> dict[str, Any]:
    """The part of train_args that the trained weights depend on."""
    return {name: value for name, value in sorted(train_args.items()) if not name.startswith(_EXECUTION_ONLY_PREFIXES)}


def num_devices() -> int:
    """Processes of this launch; one process drives one device."""
    return int(os.environ.get("WORLD_SIZE", 1))


def launch_state() -> PartialState:
    """The processes of this launch, joined.

    accelerate must be told of a machine without a GPU, else each rank takes itself for the only one. The others wait
    while the first tokenizes and selects, hence the long timeout.
    """
    return PartialState(cpu=not torch.cuda.is_available(), timeout=datetime.timedelta(hours=6))


def training_arguments(config: RunConfig, output_dir: Path) -> tuple[TrainingArguments, BatchPlan]:
    """Trainer's arguments for this machine. Says on stderr what of `fsdp` cannot be honoured here, and why.

    Needs train_args that `check_train_args` let pass. Raises: ValueError for those that transformers refuses.
    """
    settings = dict(config.train_args)
    plan = plan_batches(config.global_batch_size, num_devices(), settings.pop("per_device_train_batch_size", 8))
    if settings.get("fsdp"):
        reason = _why_not_fsdp(plan.devices)
        if reason:
            print(f"fsdp: {reason}", file=sys.stderr)
            settings.pop("fsdp")
            settings.pop("fsdp_config", None)
    on_cpu = not torch.cuda.is_available()
    settings = {
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a NaN loss stops the run, see trainer.py
        "ddp_find_unused_parameters": False,
        "disable_tqdm": True,
        "use_cpu": on_cpu,
        **settings,
        "output_dir": str(output_dir),
        "run_name": config.run_name,
        "project": config.tracking.project,
        "seed": config.seed,
        "per_device_train_batch_size": plan.per_device,
        "gradient_accumulation_steps": plan.accumulation,
        "ddp_backend": "gloo" if on_cpu and plan.devices > 1 else None,
        "save_strategy": "no",  # our schedule asks for each save
        "eval_strategy": "no",
        "report_to": config.tracking.report_to,
        "remove_unused_columns": False,
        "use_cache": True,  # of the saved config; no forward pass of ours makes one
    }
    try:
        arguments = TrainingArguments(**settings)
    except (ValueError, TypeError) as error:
        raise ValueError(f"train_args: transformers refuses them: {error}") from error
    if plan.devices == 1:
        arguments._n_gpu = min(arguments.n_gpu, 1)  # one process drives one GPU; DataParallel is no one's wish
    return arguments, plan


def _why_not_fsdp(devices: int) -> str | None:
    if not torch.cuda.is_available():
        return "accelerate shards on accelerators only; on the CPU this run is data parallel (DDP)"
    if devices == 1:
        return "one device has nothing to shard; running unsharded"
    return None
