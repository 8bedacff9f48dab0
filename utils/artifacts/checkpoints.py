"""Checkpoints on disk: which steps are saved, which folders are whole, what identifies one.

A checkpoint is a `checkpoint-<step>/` folder in Hugging Face form. Ours get that name only when whole.
In folders that somebody else made, a weight file must be there.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..reading import open_bytes
from .manifests import kind_of
from .paths import RunPaths, checkpoint_name, manifest_in, step_of
from .trainings import TrainingManifest

# What resuming needs and scoring does not. Kept in the newest checkpoint only.
TRAINING_STATE_PATTERNS = ("optimizer*", "scheduler.pt", "scaler.pt", "rng_state*.pth", "pytorch_model_fsdp*")
_WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin")


def find_checkpoints(folder: Path) -> dict[int, Path]:
    """Step -> folder, ascending, for the `checkpoint-<step>/` folders in `folder` or in its `output/`.

    Raises: FileNotFoundError if there is no such folder or nothing in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist: train first (train.py), or give --model_path")
    for place in (folder, folder / "output"):
        found = {
            step: path
            for path in place.glob("checkpoint-*")
            if path.is_dir() and (step := step_of(path)) is not None
        }
        if found:
            return dict(sorted(found.items()))
    raise FileNotFoundError(
        f"{folder} holds no checkpoint-<step> folders (nor does its output/): "
        "train first (train.py), or give --model_path the folder that holds them"
    )


def choose_steps(available: list[int], wanted: str) -> list[int]:
    """Read `--checkpoints`: all, a comma list, or start:end:step (end included).

    Returns: ascending, no repeats.

    Raises: ValueError for a malformed list, or naming every step that is not there.
    """
    if wanted == "all":
        return sorted(available)
    try:
        if ":" in wanted:
            start, end, stride = (int(part) for part in wanted.split(":"))
            if stride < 1 or end < start:
                raise ValueError
            steps = list(range(start, end + 1, stride))
        else:
            steps = [int(part) for part in wanted.split(",")]
    except ValueError:
        raise ValueError(
            f"--checkpoints: found {wanted!r}, expected all, a list like 1000,2000, or a range start:end:step"
        ) from None
    absent = sorted(set(steps) - set(available) - {0})  # step 0, the base model, is always there
    if absent:
        raise ValueError(f"--checkpoints: no checkpoint for steps {absent}, there are {sorted(available)}")
    return sorted(set(steps))


def checkpoint_fingerprint(folder: Path) -> str:
    """sha256 over the architecture and the weight files.

    So a proxy that was trained again in the same folder is noticed.

    Raises: ValueError if the folder holds no weights.
    """
    state = {path for pattern in TRAINING_STATE_PATTERNS for path in folder.glob(pattern)}
    weights = sorted({path for pattern in _WEIGHT_PATTERNS for path in folder.glob(pattern)} - state)
    if not weights:
        raise ValueError(f"{folder} holds no weight files ({', '.join(_WEIGHT_PATTERNS)})")
    digest = hashlib.sha256()
    for path in [
        *(p for p in [folder / "config.json", folder / "adapter_config.json"] if p.is_file()),
        *weights,
    ]:
        digest.update(path.name.encode())
        with open_bytes(path) as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def remove_older_scored_checkpoints(paths: RunPaths, newest: int, scored: Iterable[int]) -> None:
    """Remove the checkpoints before `newest` whose losses are on disk.

    Each is first moved out of its name, so that a kill leaves it whole there or not at all.
    Training clears the rest.
    """
    for step in (step for step in scored if step < newest and paths.checkpoint(step).is_dir()):
        going = paths.training_parts / f"removed-{checkpoint_name(step)}"
        shutil.rmtree(going, ignore_errors=True)
        going.parent.mkdir(parents=True, exist_ok=True)
        os.rename(paths.checkpoint(step), going)
        shutil.rmtree(going)


def training_inputs(checkpoint: Path) -> dict[str, Any] | None:
    """The inputs of the training that left this checkpoint, None for one that was made elsewhere."""
    path = manifest_in(checkpoint.parent)
    if not path.is_file() or kind_of(path) != TrainingManifest.KIND:
        return None
    return TrainingManifest.read(path).inputs


def check_trained_with(checkpoint: Path, found: dict[str, str | None]) -> None:
    """Refuse a checkpoint of ours that was trained with something else.

    Args:
        checkpoint: its folder.
        found: fingerprints of what it is about to be used with, named as in a training's inputs.
            None = unused.

    Raises:
        ValueError: naming the one that differs.
    """
    recorded = training_inputs(checkpoint) or {}
    for name, fingerprint in found.items():
        if fingerprint is not None and recorded.get(name, fingerprint) != fingerprint:
            raise ValueError(
                f"{checkpoint}: trained with the {name.replace('_', ' ')} {recorded[name]}, "
                f"found {fingerprint}. Its losses would be those of another model: "
                "put back what it was trained with, or train again"
            )


def newest_resumable_checkpoint(paths: RunPaths) -> Path | None:
    """The checkpoint that a killed training continues from, or None."""
    needed = ("trainer_state.json", "scheduler.pt", "optimizer*")
    resumable = [
        path
        for path in paths.root.glob("checkpoint-*")
        if step_of(path) is not None and all(any(path.glob(pattern)) for pattern in needed)
    ]
    return max(resumable, key=lambda path: step_of(path) or 0, default=None)
