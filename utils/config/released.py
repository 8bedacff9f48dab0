"""YAMLs of the code released with the paper, translated into ours.

They are flat (full_data_path, schedule_name, n_components, ...) with a nested `train_args` whose names stem from
transformers 4.41-4.46. Nothing is dropped in silence: every key is named in the lines for the user.
"""

from pathlib import Path
from typing import Any

_DEVICES_OF_THE_PAPER = (
    4  # 4 x accumulation 8 x batch 4 = 128, and 500-step saves then give the paper's 12 checkpoints
)

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
_MARKERS = {"full_data_path", "result_dir_name", "schedule_name"}


def is_released_config(values: dict[str, Any]) -> bool:
    """Whether these are the flat keys of the released code."""
    return bool(_MARKERS & values.keys()) and "run_name" not in values


def translate_released_config(values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Turn a released-code YAML into ours.

    Returns: (values for `RunConfig`, lines that say of every key what became of it).

    Raises: ValueError for keys the released code does not know, or values it could not have run with.
    """
    unknown = sorted(map(str, values.keys() - _FLAT_KEYS))
    missing = sorted({"full_data_path", "model_name_or_path", "result_dir_name"} - values.keys())
    if unknown or missing:
        raise ValueError(
            "released-code config: "
            + "; ".join(
                ([f"unknown keys {', '.join(unknown)}"] if unknown else [])
                + ([f"missing keys {', '.join(missing)}"] if missing else [])
            )
            + ". Use the released keys only, or write the config with run_name, model, data, ... (see configs/)"
        )
    lines: list[str] = []

    def note(old: str, new: str) -> None:
        lines.append(f"{old} -> {new}")

    train_args = dict(values.get("train_args") or {})
    seed, overruled = train_args.pop("seed", None), values.get("seed")
    if seed is None:
        seed, overruled = (42 if overruled is None else overruled), None
    config: dict[str, Any] = {
        "run_name": str(values["result_dir_name"]).strip(),
        "seed": seed,
        "model": {"name_or_path": values["model_name_or_path"]},
        "data": {"path": values["full_data_path"]},
    }
    note("result_dir_name", f"run_name: {config['run_name']}")
    note("model_name_or_path", f"model.name_or_path: {values['model_name_or_path']}")
    note("full_data_path", f"data.path: {values['full_data_path']}")
    note("seed", f"seed: {seed} (selection uses it too; the released code never read it there)")
    if overruled is not None:
        note(f"seed: {overruled} outside of train_args", f"nothing (train_args.seed: {seed} counts)")
    if "cache_dir" in values:
        config["model"]["cache_dir"] = values["cache_dir"]
        note("cache_dir", f"model.cache_dir: {values['cache_dir']}")
    if "model_max_length" in values:
        config["data"]["max_length"] = values["model_max_length"]
        note("model_max_length", f"data.max_length: {values['model_max_length']}")
    config["train_args"] = _translate_train_args(train_args, config, note)
    _translate_schedule(values, config, note)
    return config, lines


def _translate_train_args(train_args: dict[str, Any], config: dict[str, Any], note: Any) -> dict[str, Any]:
    """Names that transformers 5 renamed or that belong to other sections of ours; the rest passes through."""
    per_device = train_args.pop("per_device_train_batch_size", 8)
    accumulation = train_args.pop("gradient_accumulation_steps", 1)
    config["global_batch_size"] = per_device * accumulation * _DEVICES_OF_THE_PAPER
    train_args["per_device_train_batch_size"] = per_device
    renamed = {"per_device_train_batch_size"}  # what has a line of its own
    translated: dict[str, Any] = {}
    note(
        f"per_device_train_batch_size {per_device} x gradient_accumulation_steps {accumulation}",
        f"global_batch_size: {config['global_batch_size']} (their {_DEVICES_OF_THE_PAPER} GPUs; on any number of "
        f"devices here), at most {per_device} examples on a device at once",
    )
    save_strategy = str(train_args.pop("save_strategy", "steps"))
    given = {name: train_args.pop(name) for name in ("save_steps", "save_total_limit") if name in train_args}
    save_steps, save_limit = given.get("save_steps", 500), given.get("save_total_limit")
    if save_strategy in ("no", "False"):
        config["checkpoints"] = {"count": 1}
        became = "checkpoints.count: 1 (the trained model)"
    elif save_limit is not None:
        config["checkpoints"] = {"count": save_limit}
        became = (
            f"checkpoints.count: {save_limit}, evenly spaced over training (theirs deletes the earliest ones)"
        )
    elif save_strategy == "steps":
        config["checkpoints"] = {"every": save_steps}
        became = f"checkpoints.every: {save_steps}"
    else:
        config["checkpoints"] = {"count": max(1, round(float(train_args.get("num_train_epochs", 3))))}
        became = f"checkpoints.count: {config['checkpoints']['count']}, one an epoch"
    note(
        ", ".join([f"save_strategy {save_strategy}", *(f"{name} {value}" for name, value in given.items())]),
        became,
    )
    for name in ("evaluation_strategy", "eval_strategy"):
        if name in train_args:
            strategy = str(train_args.pop(name))
            if strategy not in ("no", "False"):
                raise ValueError(
                    f"train_args.{name}: found {strategy!r}, expected 'no': evaluate_run.py scores models here"
                )
            note(f"{name}: {strategy}", "nothing (evaluate_run.py scores models)")
    if "per_device_eval_batch_size" in train_args:
        train_args.pop("per_device_eval_batch_size")
        note("per_device_eval_batch_size", "nothing (evaluate_run.py has evaluation.max_tokens_per_batch)")
    if "warmup_ratio" in train_args and train_args.get(
        "warmup_steps"
    ):  # in transformers 4 the steps win as well
        note(
            f"warmup_ratio: {train_args.pop('warmup_ratio')}",
            f"nothing (warmup_steps: {train_args['warmup_steps']} counts)",
        )
    elif "warmup_ratio" in train_args:
        train_args["warmup_steps"] = train_args.pop("warmup_ratio")
        renamed.add("warmup_steps")
        note("warmup_ratio", f"warmup_steps: {train_args['warmup_steps']} (a fraction below 1 is a ratio)")
    if "group_by_length" in train_args:
        grouped = train_args.pop("group_by_length")
        train_args["train_sampling_strategy"] = "group_by_length" if grouped else "random"
        renamed.add("train_sampling_strategy")
        note(
            f"group_by_length: {grouped}", f"train_sampling_strategy: {train_args['train_sampling_strategy']}"
        )
    fsdp = train_args.get("fsdp")
    if isinstance(fsdp, (str, list)):
        read = ["fsdp", *(["fsdp_config"] if "fsdp_config" in train_args else [])]
        translated = _translate_fsdp(fsdp, train_args.pop("fsdp_config", None) or {})
        words = ", ".join(f"{name}: {value}" for name, value in translated.items()) or "nothing (no sharding)"
        note(f"{' with '.join(read)}: {fsdp}", words)
        del train_args["fsdp"]
    if "report_to" in train_args:
        report_to = train_args.pop("report_to")
        trackers = report_to if isinstance(report_to, list) else [report_to]
        config["tracking"] = {"report_to": next((name for name in trackers if name), "none")}
        only = " (one tracker here: the first)" if len(trackers) > 1 else ""
        note(f"report_to: {report_to}", f"tracking.report_to: {config['tracking']['report_to']}{only}")
    taken_over = train_args.keys() - renamed
    if taken_over:
        note(f"train_args as they are: {', '.join(sorted(taken_over))}", "the same")
    return train_args | translated


def _translate_fsdp(fsdp: str | list[str], fsdp_config: dict[str, Any]) -> dict[str, Any]:
    """'full_shard auto_wrap offload' of transformers 4 in the terms of FSDP2."""
    words = set(fsdp.split() if isinstance(fsdp, str) else fsdp)
    unknown = words - {"full_shard", "shard_grad_op", "auto_wrap", "offload"}
    if unknown:
        raise ValueError(
            f"train_args.fsdp: found {' '.join(sorted(unknown))}, expected full_shard or shard_grad_op, "
            "with auto_wrap and offload if wanted"
        )
    if not words:
        return {}
    translated = {name.removeprefix("fsdp_"): value for name, value in fsdp_config.items()}
    translated["reshard_after_forward"] = "full_shard" in words
    if "offload" in words:
        translated["cpu_offload"] = True
    return {"fsdp": True, "fsdp_config": translated}


def _translate_schedule(values: dict[str, Any], config: dict[str, Any], note: Any) -> None:
    schedule = values.get("schedule_name", "Full")
    unused = [key for key in ("n_round", "n_query", "distance") if key in values]
    if unused:
        note(", ".join(unused), "nothing (the released code never used them; the distance is Euclidean)")
    if schedule == "Full":
        note("schedule_name: Full", "no subset section: train on the whole pool")
        of_s2l = [
            key
            for key in ("ref_model_path", "n_components", "num_loss_ckpts", "init_label_num")
            if key in values
        ]
        if of_s2l:
            note(", ".join(of_s2l), "nothing (schedule Full chooses no subset)")
        return
    if schedule != "S2L":
        raise ValueError(f"schedule_name: found {schedule!r}, expected Full or S2L")
    needed = [
        key for key in ("ref_model_path", "n_components", "init_label_num") if values.get(key) in (None, -1)
    ]
    if needed:
        raise ValueError(
            f"schedule_name S2L without {', '.join(needed)}: add them, the released code needs them too"
        )
    # res/<run>/output in the released code: the folder above `output` is the proxy's run.
    reference = Path(str(values["ref_model_path"]))
    proxy_run = reference.parent.name if reference.name == "output" else reference.name
    config["subset"] = {
        "preset": "released",
        "trajectories_from": proxy_run,
        "method": "s2l",
        "budget": values["init_label_num"],
        "num_clusters": values["n_components"],
    }
    note("schedule_name: S2L", "subset.method: s2l, subset.preset: released")
    note(f"ref_model_path: {reference}", f"subset.trajectories_from: {proxy_run}")
    note("init_label_num", f"subset.budget: {values['init_label_num']}")
    note("n_components", f"subset.num_clusters: {values['n_components']}")
    if values.get("num_loss_ckpts", -1) != -1:
        raise ValueError(
            f"num_loss_ckpts: found {values['num_loss_ckpts']}: the released code thins checkpoints in directory order, "
            "which cannot be repeated; name the steps instead: remove it and pass subset.steps=[...]"
        )
    if "num_loss_ckpts" in values:
        note("num_loss_ckpts: -1", "subset.steps unset: every checkpoint after step 0, in order of steps")
