"""YAMLs of the code released with the paper, translated into ours.

They are flat (full_data_path, schedule_name, n_components, ...) with a nested `train_args` whose names stem from
transformers 4.41-4.46. Nothing is dropped in silence: every key is named in the lines for the user.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

# 4 x accumulation 8 x batch 4 = 128, and 500-step saves then give the paper's 12 checkpoints.
_DEVICES_OF_THE_PAPER = 4
_FLAT_KEYS = {
    "full_data_path",
    "model_name_or_path",
    "cache_dir",
    "model_max_length",
    "schedule_name",
    "result_dir_name",
    "ref_model_path",
    "n_components",
    "num_loss_ckpts",
    "init_label_num",
    "n_round",
    "n_query",
    "distance",
    "seed",
    "train_args",
}
_NEEDED_KEYS = {"full_data_path", "model_name_or_path", "result_dir_name"}
_MARKERS = {"full_data_path", "result_dir_name", "schedule_name"}
# What the released code, or its transformers, took for keys that are left out.
_DEFAULTS = {
    "seed": None,
    "schedule_name": "Full",
    "train_args.per_device_train_batch_size": 8,
    "train_args.gradient_accumulation_steps": 1,
    "train_args.save_strategy": "steps",
}
_OF_S2L = ("ref_model_path", "n_components", "num_loss_ckpts", "init_label_num")

Values = dict[str, Any]  # theirs or ours, by dotted key
Translation = tuple[Values, list[str]]  # settings of ours, and a line for the user on each key of theirs


def is_released_config(values: Values) -> bool:
    """Whether these are the flat keys of the released code."""
    return bool(_MARKERS & values.keys()) and "run_name" not in values


def translate_released_config(values: Values) -> tuple[dict[str, Any], list[str]]:
    """Turn a released-code YAML into ours.

    Returns:
        values for `RunConfig`, and lines that say of every key what became of it.

    Raises:
        ValueError: keys the released code does not know, or values it could not have run with.
    """
    _check_keys(values)
    train_args = values.get("train_args") or {}
    theirs = {**values, **{f"train_args.{name}": value for name, value in train_args.items()}}
    left = {key: value for key, value in theirs.items() if key.startswith("train_args.")}
    theirs = _DEFAULTS | theirs
    ours: Values = {}
    lines: list[str] = []
    for names, translate in _TABLE.items():
        translation = translate(theirs) if theirs.keys() & names else None
        if translation is not None:
            ours |= translation[0]
            lines += translation[1]
            left = {key: value for key, value in left.items() if key not in names}
    if taken_over := sorted(key.removeprefix("train_args.") for key in left.keys() - ours.keys()):
        lines.append(f"train_args as they are: {', '.join(taken_over)} -> the same")
    settings, of_schedule = _schedule(theirs)
    return _nested(left | ours | settings), lines + of_schedule


def _check_keys(values: Values) -> None:
    """Raises: ValueError."""
    problems = []
    if unknown := sorted(map(str, values.keys() - _FLAT_KEYS)):
        problems.append(f"unknown keys {', '.join(unknown)}")
    if missing := sorted(_NEEDED_KEYS - values.keys()):
        problems.append(f"missing keys {', '.join(missing)}")
    if problems:
        raise ValueError(
            f"released-code config: {'; '.join(problems)}. Use the released keys only, or write the config with "
            "run_name, model, data, ... (see configs/)"
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


def _run_name(theirs: Values) -> Translation:
    name = str(theirs["result_dir_name"]).strip()
    return {"run_name": name}, [f"result_dir_name -> run_name: {name}"]


def _renamed(old: str, new: str) -> Callable[[Values], Translation]:
    """A key that only has another name here."""
    return lambda theirs: ({new: theirs[old]}, [f"{old} -> {new}: {theirs[old]}"])


def _seed(theirs: Values) -> Translation:
    outside = theirs["seed"]
    seed = theirs.get("train_args.seed")
    overruled = None if seed is None else outside
    if seed is None:
        seed = 42 if outside is None else outside
    lines = [f"seed -> seed: {seed} (selection uses it too; the released code never read it there)"]
    if overruled is not None:
        lines.append(f"seed: {overruled} outside of train_args -> nothing (train_args.seed: {seed} counts)")
    return {"seed": seed}, lines


def _batch_size(theirs: Values) -> Translation:
    per_device = theirs["train_args.per_device_train_batch_size"]
    accumulation = theirs["train_args.gradient_accumulation_steps"]
    size = per_device * accumulation * _DEVICES_OF_THE_PAPER
    line = (
        f"per_device_train_batch_size {per_device} x gradient_accumulation_steps {accumulation} -> "
        f"global_batch_size: {size} (their {_DEVICES_OF_THE_PAPER} GPUs; on any number of devices here), at most "
        f"{per_device} examples on a device at once"
    )
    return {"global_batch_size": size, "train_args.per_device_train_batch_size": per_device}, [line]


def _checkpoints(theirs: Values) -> Translation:
    strategy = str(theirs["train_args.save_strategy"])
    steps = theirs.get("train_args.save_steps", 500)
    limit = theirs.get("train_args.save_total_limit")
    if strategy in ("no", "False"):
        checkpoints = {"count": 1}
        remark = " (the trained model)"
    elif limit is not None:
        checkpoints = {"count": limit}
        remark = ", evenly spaced over training (theirs deletes the earliest ones)"
    elif strategy == "steps":
        checkpoints = {"every": steps}
        remark = ""
    else:
        checkpoints = {"count": max(1, round(float(theirs.get("train_args.num_train_epochs", 3))))}
        remark = ", one an epoch"
    names = [name for name in ("save_steps", "save_total_limit") if f"train_args.{name}" in theirs]
    given = [f"save_strategy {strategy}", *(f"{name} {theirs[f'train_args.{name}']}" for name in names)]
    ((name, value),) = checkpoints.items()
    return {"checkpoints": checkpoints}, [f"{', '.join(given)} -> checkpoints.{name}: {value}{remark}"]


def _no_evaluation(theirs: Values) -> Translation:
    lines = []
    for name in ("evaluation_strategy", "eval_strategy"):
        strategy = str(theirs.get(f"train_args.{name}", "no"))
        if strategy not in ("no", "False"):
            raise ValueError(
                f"train_args.{name}: found {strategy!r}, expected 'no': evaluate_run.py scores models here"
            )
        if f"train_args.{name}" in theirs:
            lines.append(f"{name}: {strategy} -> nothing (evaluate_run.py scores models)")
    return {}, lines


def _evaluation_batch(theirs: Values) -> Translation:
    why = "evaluate_run.py has evaluation.max_tokens_per_batch"
    return {}, [f"per_device_eval_batch_size -> nothing ({why})"]


def _warmup(theirs: Values) -> Translation:
    ratio = theirs["train_args.warmup_ratio"]
    steps = theirs.get("train_args.warmup_steps")
    if steps:  # in transformers 4 the steps win as well
        return {}, [f"warmup_ratio: {ratio} -> nothing (warmup_steps: {steps} counts)"]
    line = f"warmup_ratio -> warmup_steps: {ratio} (a fraction below 1 is a ratio)"
    return {"train_args.warmup_steps": ratio}, [line]


def _grouping(theirs: Values) -> Translation:
    is_grouped = theirs["train_args.group_by_length"]
    strategy = "group_by_length" if is_grouped else "random"
    line = f"group_by_length: {is_grouped} -> train_sampling_strategy: {strategy}"
    return {"train_args.train_sampling_strategy": strategy}, [line]


def _sharding(theirs: Values) -> Translation | None:
    """'full_shard auto_wrap offload' of transformers 4 in the terms of FSDP2; None where it is in them already."""
    fsdp = theirs.get("train_args.fsdp")
    if not isinstance(fsdp, (str, list)):
        return None
    words = set(fsdp.split() if isinstance(fsdp, str) else fsdp)
    if unknown := words - {"full_shard", "shard_grad_op", "auto_wrap", "offload"}:
        raise ValueError(
            f"train_args.fsdp: found {' '.join(sorted(unknown))}, expected full_shard or shard_grad_op, "
            "with auto_wrap and offload if wanted"
        )
    old = "fsdp with fsdp_config" if "train_args.fsdp_config" in theirs else "fsdp"
    if not words:
        return {}, [f"{old}: {fsdp} -> nothing (no sharding)"]
    given = theirs.get("train_args.fsdp_config") or {}
    settings = {name.removeprefix("fsdp_"): value for name, value in given.items()}
    settings["reshard_after_forward"] = "full_shard" in words
    if "offload" in words:
        settings["cpu_offload"] = True
    ours = {"train_args.fsdp": True, "train_args.fsdp_config": settings}
    return ours, [f"{old}: {fsdp} -> fsdp: True, fsdp_config: {settings}"]


def _tracker(theirs: Values) -> Translation:
    report_to = theirs["train_args.report_to"]
    trackers = report_to if isinstance(report_to, list) else [report_to]
    tracker = next((name for name in trackers if name), "none")
    only = " (one tracker here: the first)" if len(trackers) > 1 else ""
    line = f"report_to: {report_to} -> tracking.report_to: {tracker}{only}"
    return {"tracking.report_to": tracker}, [line]


# Keys of theirs -> what makes settings of ours and lines of them, where any of the keys is there. In the order of the
# lines. Other train_args are taken over as they are.
_TABLE: dict[tuple[str, ...], Callable[[Values], Translation | None]] = {
    ("result_dir_name",): _run_name,
    ("model_name_or_path",): _renamed("model_name_or_path", "model.name_or_path"),
    ("full_data_path",): _renamed("full_data_path", "data.path"),
    ("seed", "train_args.seed"): _seed,
    ("cache_dir",): _renamed("cache_dir", "model.cache_dir"),
    ("model_max_length",): _renamed("model_max_length", "data.max_length"),
    ("train_args.per_device_train_batch_size", "train_args.gradient_accumulation_steps"): _batch_size,
    ("train_args.save_strategy", "train_args.save_steps", "train_args.save_total_limit"): _checkpoints,
    ("train_args.evaluation_strategy", "train_args.eval_strategy"): _no_evaluation,
    ("train_args.per_device_eval_batch_size",): _evaluation_batch,
    ("train_args.warmup_ratio",): _warmup,
    ("train_args.group_by_length",): _grouping,
    ("train_args.fsdp", "train_args.fsdp_config"): _sharding,
    ("train_args.report_to",): _tracker,
}


def _schedule(theirs: Values) -> Translation:
    """Which rows are trained on: all, or a subset chosen by S2L."""
    lines = []
    if unused := [key for key in ("n_round", "n_query", "distance") if key in theirs]:
        why = "the released code never used them; the distance is Euclidean"
        lines.append(f"{', '.join(unused)} -> nothing ({why})")
    schedule = theirs["schedule_name"]
    if schedule == "S2L":
        settings, of_subset = _subset(theirs)
        return settings, lines + of_subset
    if schedule != "Full":
        raise ValueError(f"schedule_name: found {schedule!r}, expected Full or S2L")
    lines.append("schedule_name: Full -> no subset section: train on the whole pool")
    if of_s2l := [key for key in _OF_S2L if key in theirs]:
        lines.append(f"{', '.join(of_s2l)} -> nothing (schedule Full chooses no subset)")
    return {}, lines


def _subset(theirs: Values) -> Translation:
    required = ("ref_model_path", "n_components", "init_label_num")
    if missing := [key for key in required if theirs.get(key) in (None, -1)]:
        raise ValueError(
            f"schedule_name S2L without {', '.join(missing)}: add them, the released code needs them too"
        )
    thinned = theirs.get("num_loss_ckpts", -1)
    if thinned != -1:
        raise ValueError(
            f"num_loss_ckpts: found {thinned}: the released code thins checkpoints in directory order, which cannot be "
            "repeated; name the steps instead: remove it and pass subset.steps=[...]"
        )
    # res/<run>/output in the released code: the folder above `output` is the proxy's run.
    reference = Path(str(theirs["ref_model_path"]))
    proxy_run = reference.parent.name if reference.name == "output" else reference.name
    settings = {
        "subset.preset": "released",
        "subset.trajectories_from": proxy_run,
        "subset.method": "s2l",
        "subset.budget": theirs["init_label_num"],
        "subset.num_clusters": theirs["n_components"],
    }
    lines = [
        "schedule_name: S2L -> subset.method: s2l, subset.preset: released",
        f"ref_model_path: {reference} -> subset.trajectories_from: {proxy_run}",
        f"init_label_num -> subset.budget: {theirs['init_label_num']}",
        f"n_components -> subset.num_clusters: {theirs['n_components']}",
    ]
    if "num_loss_ckpts" in theirs:
        lines.append(
            "num_loss_ckpts: -1 -> subset.steps unset: every checkpoint after step 0, in order of steps"
        )
    return settings, lines
