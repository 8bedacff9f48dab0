"""YAMLs of the code released with the paper, translated into ours.

They are flat (full_data_path, schedule_name, n_components, ...) with a nested `train_args`,
whose names stem from transformers 4.41-4.46. Nothing is dropped in silence:
every key is named in the lines for the user.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

# 4 x accumulation 8 x batch 4 = 128, and 500-step saves then give the paper's 12 checkpoints.
_DEVICES_OF_THE_PAPER = 4
_NEEDED_KEYS = {"full_data_path", "model_name_or_path", "result_dir_name"}
_MARKERS = {"full_data_path", "result_dir_name", "schedule_name"}
_NEEDED_BY_S2L = ("ref_model_path", "n_components", "init_label_num")
_MANY = 10**9  # of anything: more is a slip
# What the released code, or its transformers, took for keys that are left out.
_DEFAULTS = {
    "seed": None,
    "schedule_name": "Full",
    "train_args.per_device_train_batch_size": 8,
    "train_args.gradient_accumulation_steps": 1,
    "train_args.save_strategy": "steps",
    "train_args.num_train_epochs": 3,
}

Values = dict[str, Any]  # theirs or ours, by dotted key
Translation = tuple[Values, str]  # settings of ours, and the line for the user on the keys of theirs
Table = dict[tuple[str, ...], Callable[[Values], Translation | None]]


def is_released_config(values: Values) -> bool:
    """Whether these are the flat keys of the released code."""
    return bool(_MARKERS & values.keys()) and "run_name" not in values


def translate_released_config(values: Values) -> tuple[dict[str, Any], list[str]]:
    """Turn a released-code YAML into ours.

    Returns:
        Values for `RunConfig`, and lines that say of every key what became of it.

    Raises:
        ValueError: keys the released code does not know, or values it could not have run with.
    """
    _check_keys(values)
    left = {f"train_args.{name}": value for name, value in _mapping(values, "train_args").items()}
    theirs = _DEFAULTS | values | left
    ours: Values = {}
    lines: list[str] = []
    for keys, translate in (_TABLE | _TABLE_OF_SCHEDULE[theirs["schedule_name"]]).items():
        translation = translate(theirs) if theirs.keys() & keys else None
        if translation is not None:
            ours |= translation[0]
            lines.append(translation[1])
            left = {key: value for key, value in left.items() if key not in keys}
    if taken_over := sorted(key.removeprefix("train_args.") for key in left.keys() - ours.keys()):
        lines.append(f"train_args as they are: {', '.join(taken_over)} -> the same")
    return _nested(left | ours), lines


def _check_keys(values: Values) -> None:
    """Raises: ValueError."""
    schedule = values.get("schedule_name", "Full")
    if str(schedule) not in _TABLE_OF_SCHEDULE:
        raise ValueError(f"schedule_name: found {schedule!r}, expected Full or S2L")
    known = {key for table in (_TABLE, *_TABLE_OF_SCHEDULE.values()) for keys in table for key in keys}
    problems = []
    if unknown := sorted(map(str, values.keys() - known - {"train_args"})):
        problems.append(f"unknown keys {', '.join(unknown)}")
    if missing := sorted(_NEEDED_KEYS - values.keys()):
        problems.append(f"missing keys {', '.join(missing)}")
    if problems:
        raise ValueError(
            f"released-code config: {'; '.join(problems)}. Use the released keys only, "
            "or write the config with run_name, model, data, ... (see configs/)"
        )
    lacking = [key for key in _NEEDED_BY_S2L if values.get(key) in (None, -1)]
    if schedule == "S2L" and lacking:
        raise ValueError(
            f"schedule_name S2L without {', '.join(lacking)}: add them, the released code needs them too"
        )


def _nested(values: Values) -> dict[str, Any]:
    """`{"model.cache_dir": x}` as `{"model": {"cache_dir": x}}`."""
    nested: dict[str, Any] = {"train_args": {}}
    for key, value in values.items():
        section, _, name = key.partition(".")
        if name:
            nested.setdefault(section, {})[name] = value
        else:
            nested[section] = value
    return nested


def _mapping(theirs: Values, key: str) -> dict[str, Any]:
    """The settings under a key, none where it is left out. Raises: ValueError."""
    found = theirs.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{key}: found {found!r}, expected a mapping of names to values in the YAML itself")
    return found


def _number(theirs: Values, key: str) -> float:
    """Raises: ValueError."""
    found = theirs[key]
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 < found < _MANY:
        raise ValueError(f"{key}: found {found!r}, expected a number above 0")
    return found


def _becomes(old: str, ours: Values, remark: str = "") -> Translation:
    new = [f"{key.removeprefix('train_args.')}: {value}" for key, value in ours.items()]
    return ours, f"{old} -> {', '.join(new) or 'nothing'}{f' ({remark})' if remark else ''}"


def _renamed(old: str, new: str) -> Callable[[Values], Translation]:
    """A key that only has another name here."""
    return lambda theirs: _becomes(old, {new: theirs[old]})


def _dropped(keys: tuple[str, ...], why: str) -> Callable[[Values], Translation]:
    """Keys that nothing here stands for."""
    return lambda theirs: _becomes(
        ", ".join(key.removeprefix("train_args.") for key in keys if key in theirs), {}, why
    )


def _seed(theirs: Values) -> Translation:
    outside = theirs["seed"]
    seed = theirs.get("train_args.seed")
    remark = "selection uses it too; the released code never read it there"
    if seed is not None and outside is not None:
        remark += f"; seed: {outside} outside of train_args does not count"
    if seed is None:
        seed = 42 if outside is None else outside
    return _becomes("seed", {"seed": seed}, remark)


def _batch_size(theirs: Values) -> Translation:
    per_device = _number(theirs, "train_args.per_device_train_batch_size")
    accumulation = _number(theirs, "train_args.gradient_accumulation_steps")
    return _becomes(
        f"per_device_train_batch_size {per_device} x gradient_accumulation_steps {accumulation}",
        {
            "global_batch_size": per_device * accumulation * _DEVICES_OF_THE_PAPER,
            "train_args.per_device_train_batch_size": per_device,  # at most so many at once
        },
        f"their {_DEVICES_OF_THE_PAPER} GPUs; on any number of devices here",
    )


def _checkpoints(theirs: Values) -> Translation:
    strategy = str(theirs["train_args.save_strategy"])
    limit = theirs.get("train_args.save_total_limit")
    if strategy in ("no", "False"):
        ours = {"checkpoints.count": 1}
        remark = "the trained model"
    elif limit is not None:
        ours = {"checkpoints.count": limit}
        remark = "evenly spaced over training; theirs deletes the earliest ones"
    elif strategy == "steps":
        ours = {"checkpoints.every": theirs.get("train_args.save_steps", 500)}
        remark = ""
    else:
        ours = {"checkpoints.count": max(1, round(_number(theirs, "train_args.num_train_epochs")))}
        remark = "one an epoch"
    names = [name for name in ("save_steps", "save_total_limit") if f"train_args.{name}" in theirs]
    given = [f"save_strategy {strategy}", *(f"{name} {theirs[f'train_args.{name}']}" for name in names)]
    return _becomes(", ".join(given), ours, remark)


def _no_evaluation(name: str) -> Callable[[Values], Translation]:
    def translate(theirs: Values) -> Translation:
        strategy = str(theirs[f"train_args.{name}"])
        if strategy not in ("no", "False"):
            raise ValueError(
                f"train_args.{name}: found {strategy!r}, expected 'no': evaluate_run.py scores models here"
            )
        return _becomes(f"{name}: {strategy}", {}, "evaluate_run.py scores models")

    return translate


def _warmup(theirs: Values) -> Translation:
    ratio = theirs["train_args.warmup_ratio"]
    steps = theirs.get("train_args.warmup_steps")
    if steps:  # in transformers 4 the steps win as well
        return _becomes(f"warmup_ratio: {ratio}", {}, f"warmup_steps: {steps} counts")
    return _becomes("warmup_ratio", {"train_args.warmup_steps": ratio}, "a fraction below 1 is a ratio")


def _grouping(theirs: Values) -> Translation:
    is_grouped = theirs["train_args.group_by_length"]
    strategy = "group_by_length" if is_grouped else "random"
    return _becomes(f"group_by_length: {is_grouped}", {"train_args.train_sampling_strategy": strategy})


def _sharding(theirs: Values) -> Translation | None:
    """'full_shard auto_wrap' of transformers 4 in the terms of FSDP2. None where it is in them already."""
    fsdp = theirs.get("train_args.fsdp")
    if not isinstance(fsdp, (str, list)):
        return None
    words = set(map(str, fsdp.split() if isinstance(fsdp, str) else fsdp))
    if unknown := words - {"full_shard", "shard_grad_op", "auto_wrap", "offload"}:
        raise ValueError(
            f"train_args.fsdp: found {' '.join(sorted(unknown))}, expected full_shard or shard_grad_op, "
            "with auto_wrap and offload if wanted"
        )
    old = f"{'fsdp with fsdp_config' if 'train_args.fsdp_config' in theirs else 'fsdp'}: {fsdp}"
    if not words:
        return _becomes(old, {}, "no sharding")
    given = _mapping(theirs, "train_args.fsdp_config")
    settings = {name.removeprefix("fsdp_"): value for name, value in given.items()}
    settings["reshard_after_forward"] = "full_shard" in words
    if "offload" in words:
        settings["cpu_offload"] = True
    return _becomes(old, {"train_args.fsdp": True, "train_args.fsdp_config": settings})


def _tracker(theirs: Values) -> Translation:
    report_to = theirs["train_args.report_to"]
    trackers = report_to if isinstance(report_to, list) else [report_to]
    tracker = next((name for name in trackers if name), "none")
    remark = "one tracker here: the first" if len(trackers) > 1 else ""
    return _becomes(f"report_to: {report_to}", {"tracking.report_to": tracker}, remark)


def _proxy(theirs: Values) -> Translation:
    # res/<run>/output in the released code: the folder above `output` is the proxy's run.
    reference = Path(str(theirs["ref_model_path"]))
    proxy_run = reference.parent.name if reference.name == "output" else reference.name
    return _becomes(f"ref_model_path: {reference}", {"subset.trajectories_from": proxy_run})


def _all_checkpoints(theirs: Values) -> Translation:
    thinned = theirs["num_loss_ckpts"]
    if thinned != -1:
        raise ValueError(
            f"num_loss_ckpts: found {thinned}, expected -1: the released code thins checkpoints "
            "in the order of their folder, which cannot be repeated. "
            "Remove it and name the steps: subset.steps=[...]"
        )
    return _becomes("num_loss_ckpts: -1", {}, "subset.steps unset: every checkpoint after step 0, in order")


_UNUSED = ("n_round", "n_query", "distance")
_OF_S2L = (*_NEEDED_BY_S2L, "num_loss_ckpts")
_EVALUATION_BATCH = ("train_args.per_device_eval_batch_size",)

# Keys of theirs -> what makes settings of ours and a line of them, where any of the keys is there.
# In the order of the lines. Other train_args are taken over as they are.
_TABLE: Table = {
    ("result_dir_name",): lambda theirs: _becomes(
        "result_dir_name", {"run_name": str(theirs["result_dir_name"]).strip()}
    ),
    ("model_name_or_path",): _renamed("model_name_or_path", "model.name_or_path"),
    ("full_data_path",): _renamed("full_data_path", "data.path"),
    ("seed", "train_args.seed"): _seed,
    ("cache_dir",): _renamed("cache_dir", "model.cache_dir"),
    ("model_max_length",): _renamed("model_max_length", "data.max_length"),
    ("train_args.per_device_train_batch_size", "train_args.gradient_accumulation_steps"): _batch_size,
    ("train_args.save_strategy", "train_args.save_steps", "train_args.save_total_limit"): _checkpoints,
    ("train_args.evaluation_strategy",): _no_evaluation("evaluation_strategy"),
    ("train_args.eval_strategy",): _no_evaluation("eval_strategy"),
    _EVALUATION_BATCH: _dropped(_EVALUATION_BATCH, "evaluate_run.py has evaluation.max_tokens_per_batch"),
    ("train_args.warmup_ratio",): _warmup,
    ("train_args.group_by_length",): _grouping,
    ("train_args.fsdp", "train_args.fsdp_config"): _sharding,
    ("train_args.report_to",): _tracker,
    _UNUSED: _dropped(_UNUSED, "the released code never used them; the distance is Euclidean"),
}
# Which rows are trained on: all, or a subset chosen by S2L.
_TABLE_OF_SCHEDULE: dict[str, Table] = {
    "Full": {
        ("schedule_name",): lambda _: _becomes("schedule_name: Full", {}, "it trains on the whole pool"),
        _OF_S2L: _dropped(_OF_S2L, "schedule Full chooses no subset"),
    },
    "S2L": {
        ("schedule_name",): lambda _: _becomes(
            "schedule_name: S2L", {"subset.method": "s2l", "subset.preset": "released"}
        ),
        ("ref_model_path",): _proxy,
        ("init_label_num",): _renamed("init_label_num", "subset.budget"),
        ("n_components",): _renamed("n_components", "subset.num_clusters"),
        ("num_loss_ckpts",): _all_checkpoints,
    },
}
