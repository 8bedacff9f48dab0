"""`train_args`: names and values, checked against the installed transformers before it is imported."""

import math
from collections.abc import Callable
from typing import Any

from .names import meant_key
from .problems import known_keys
from .schema import RunConfig
from .train_arg_names import train_arg_kinds

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
    "label_names": "the columns are ours",
    "length_column_name": "the columns are ours",
    "use_cache": "training makes no cache, and the saved model may",
    "ignore_data_skip": "a restart takes the same examples",
    "restore_callback_states_from_checkpoint": "the same command continues by itself",
    "deepspeed": "use fsdp and fsdp_config",
    "parallelism_config": "use fsdp and fsdp_config",
    "torch_compile": "batches differ in shape, and each would be compiled anew",
    "push_to_hub": "upload the finished checkpoint with `hf upload`",
    "average_tokens_across_devices": "a step's loss is the mean over its global batch",
    "accelerator_config": "batches are the same on any devices",
    "enable_jit_checkpoint": "the same command continues after a kill",
    "ddp_backend": "it follows from the devices",
    "ddp_timeout": "it follows from the work",
    "local_rank": "it follows from the devices",
    "load_best_model_at_end": "evaluate_run.py compares models",
    "metric_for_best_model": "evaluate_run.py compares models",
    "greater_is_better": "evaluate_run.py compares models",
    "do_train": "train.py trains",
    "do_eval": "evaluate_run.py scores models",
    "do_predict": "evaluate_run.py scores models",
    "per_device_eval_batch_size": "evaluate_run.py has evaluation.max_tokens_per_batch",
    "prediction_loss_only": "evaluate_run.py scores models",
    "bf16_full_eval": "evaluate_run.py scores models",
    "fp16_full_eval": "evaluate_run.py scores models",
    "include_for_metrics": "evaluate_run.py scores models",
    "batch_eval_metrics": "evaluate_run.py scores models",
}
_OWNED_PREFIXES = {
    "save_": "set checkpoints.count, .steps or .every",
    "eval_": "evaluate_run.py scores models",
    "torch_compile_": "batches differ in shape, and each would be compiled anew",
    "hub_": "upload the finished checkpoint with `hf upload`",
}
_SAMPLING_STRATEGIES = ("random", "group_by_length", "sequential")

# Kind -> what to expect, and whether a value is of it.
_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "int": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "float": (
        "a number",
        lambda value: (
            isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        ),
    ),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "str": ("a text", lambda value: isinstance(value, str)),
    "None": ("nothing (null)", lambda value: value is None),
}
# Setting -> the range to expect, and whether a number lies in it.
_RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "num_train_epochs": ("above 0", lambda value: value > 0),
    "max_steps": ("of at least 1, or -1", lambda value: value >= 1 or value == -1),
    "per_device_train_batch_size": ("of at least 1", lambda value: value >= 1),
    "logging_steps": (
        "of at least 1, or a fraction above 0",
        lambda value: value > 0 and (value < 1 or value == int(value)),
    ),
    "learning_rate": ("of at least 0", lambda value: value >= 0),
    "weight_decay": ("of at least 0", lambda value: value >= 0),
    "warmup_steps": ("of at least 0", lambda value: value >= 0),
    "adam_beta1": ("from 0 to below 1", lambda value: 0 <= value < 1),
    "adam_beta2": ("from 0 to below 1", lambda value: 0 <= value < 1),
    "adam_epsilon": ("of at least 0", lambda value: value >= 0),
    "max_grad_norm": ("of at least 0 (0 does not clip)", lambda value: value >= 0),
    "neftune_noise_alpha": ("above 0", lambda value: value > 0),
    "torch_empty_cache_steps": ("of at least 1", lambda value: value >= 1),
    "dataloader_num_workers": ("of at least 0", lambda value: value >= 0),
    "dataloader_prefetch_factor": ("of at least 1", lambda value: value >= 1),
    "ddp_bucket_cap_mb": ("of at least 1", lambda value: value >= 1),
}


def train_args_problems(train_args: dict[str, Any]) -> list[str]:
    """Every name that is unknown or ours, and every value that cannot be honoured. Empty where all is well.

    What depends on the device or on transformers' own rules is checked when the training is planned.
    """
    problems = [problem for name, value in train_args.items() if (problem := _problem(name, value))]
    return [f"train_args.{problem}" for problem in problems + _fsdp_problems(train_args)]


def _problem(name: str, value: Any) -> str | None:
    known = train_arg_kinds()
    prefix = next((prefix for prefix in _OWNED_PREFIXES if name.startswith(prefix)), None)
    if name in _OWNED_ELSEWHERE:
        return f"{name}: not set here; {_OWNED_ELSEWHERE[name]}"
    if name not in known:
        meant = meant_key(f"train_args.{name}", known_keys(RunConfig))
        hint = f"did you mean {meant}?" if meant else "see transformers.TrainingArguments"
        return f"{name}: no such setting in the installed transformers; {hint}"
    if prefix is not None:
        return f"{name}: not set here; {_OWNED_PREFIXES[prefix]}"
    if name == "train_sampling_strategy" and value not in _SAMPLING_STRATEGIES:
        return f"{name}: found {value!r}, expected one of {', '.join(_SAMPLING_STRATEGIES)}"
    # The settings of fsdp are tables, and other kinds are names that transformers looks up.
    if name.startswith("fsdp") or not known[name] <= _KINDS.keys():
        return None
    return _value_problem(name, value, known[name])


def _value_problem(name: str, value: Any, kinds: frozenset[str]) -> str | None:
    expected, holds = _RANGES.get(name, ("", lambda value: True))
    if any(_KINDS[kind][1](value) for kind in kinds) and (value is None or holds(value)):
        return None
    words = " or ".join(_KINDS[kind][0] for kind in sorted(kinds - {"None"}))
    in_range = f" {expected}" if expected else ""
    quotes = ", without quotes" if isinstance(value, str) and _reads_as_number(value) else ""
    return f"{name}: found {value!r}, expected {words}{in_range}{quotes}"


def _reads_as_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _are_names(value: Any) -> bool:
    """One name or a list of them."""
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(name, str) for name in value)
    )


def _fsdp_problems(train_args: dict[str, Any]) -> list[str]:
    fsdp = train_args.get("fsdp")
    if fsdp is not None and not isinstance(fsdp, bool):
        return [f"fsdp: found {fsdp!r}, expected true or false: fsdp_config says how to shard"]
    settings = train_args.get("fsdp_config") or {}
    if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
        return [f"fsdp_config: found {settings!r}, expected a mapping of names to values in the YAML itself"]
    for name in ("transformer_layer_cls_to_wrap", "fsdp_transformer_layer_cls_to_wrap"):
        layers = settings.get(name) or []
        if not _are_names(layers):
            return [f"fsdp_config.{name}: found {layers!r}, expected names of layers"]
    version = settings.get("version", settings.get("fsdp_version", 2))
    if version != 2:
        return [f"fsdp_config.version: found {version!r}, expected 2, the only one that is supported"]
    kind = settings.get("state_dict_type", settings.get("fsdp_state_dict_type", "FULL_STATE_DICT"))
    if kind != "FULL_STATE_DICT":
        return [
            f"fsdp_config.state_dict_type: found {kind!r}, expected FULL_STATE_DICT: "
            "checkpoints are saved whole"
        ]
    return []
