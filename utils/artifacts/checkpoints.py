"""Checkpoints on disk: which steps are saved, which folders are whole, what identifies one.

A checkpoint is a `checkpoint-<step>/` folder in Hugging Face form. Ours get that name only when whole.
Those that somebody else made may have other names (`layouts`), and weights must be there.
"""

import contextlib
import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..process.errors import explained
from .checksums import check_contents, checksum, checksums_of
from .files import read_json, write_json
from .layouts import OPTIMIZER, files_of_the_model, is_model
from .manifests import kind_of
from .paths import RunPaths, checkpoint_name, manifest_in, numbered_name, step_of
from .trainings import TrainingManifest

CHECKSUMS = "checksums.json"  # of the other files of a checkpoint


def find_checkpoints(folder: Path) -> dict[int, Path]:
    """Step -> folder, ascending, for the checkpoints in `folder` or in its `output/`, or `folder` itself.

    Folders are called `checkpoint-500`, or as other trainers do: `step-500`, `step500`, `iter_500`,
    `global_step500`, `epoch_5`. The number in the name is the step.

    Raises:
        FileNotFoundError: there is no such folder, or nothing in it.
        ValueError: two folders of one step, or names that count different things.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist: train first (train.py), or give --model_path")
    itself = numbered_name(folder.absolute())
    if itself is not None and is_model(folder):
        return {itself[1]: folder}
    for place in (folder, folder / "output"):
        if found := _numbered_folders(place):
            return found
    way_out = "train first (train.py), or give --model_path the folder that holds them"
    if is_model(folder):
        way_out = "it is a model itself, so let its name say its step, as checkpoint-1000 does"
    raise FileNotFoundError(
        f"{folder} holds no checkpoint-<step> folders (nor does its output/): {way_out}. "
        "Folders named step-500, step500, iter_500, global_step500 or epoch_5 are found too"
    )


def _numbered_folders(place: Path) -> dict[int, Path]:
    """Step -> folder, ascending. Raises: ValueError."""
    names = {path: name for path in place.glob("*/") if (name := numbered_name(path)) is not None}
    example = {kind: path.name for path, (kind, _) in sorted(names.items())}
    if len(example) > 1:
        raise ValueError(
            f"{place}: found {' and '.join(example.values())}, which count different things, expected the "
            "checkpoints of one training under one kind of name: move the others away"
        )
    return _by_step(place, {path: number for path, (_, number) in names.items()})


def checkpoints_in(folder: Path) -> dict[int, Path]:
    """Step -> `checkpoint-<step>/` in this folder, ascending.

    Raises: ValueError for two folders of one step, as checkpoint-19 and checkpoint-019 are.
    """
    folders = [path for path in folder.glob("checkpoint-*") if path.is_dir()]
    return _by_step(folder, {path: step for path in folders if (step := step_of(path)) is not None})


def _by_step(place: Path, steps: Mapping[Path, int]) -> dict[int, Path]:
    """Raises: ValueError for two folders of one step."""
    found: dict[int, Path] = {}
    for path, step in sorted(steps.items()):
        if step in found:
            raise ValueError(
                f"{place}: found {found[step].name} and {path.name}, expected one folder of step {step}: "
                "move the other away"
            )
        found[step] = path
    return dict(sorted(found.items()))


def checkpoint_fingerprint(folder: Path) -> str:
    """sha256 over the architecture and the weight files.

    So a proxy that was trained again in the same folder is noticed.

    Raises: ValueError if the folder holds no weights, or others than were saved.
    """
    recorded = _checksums_in(folder)
    digest = hashlib.sha256()
    for path in files_of_the_model(folder):
        contents = checksum(path)
        if recorded.get(path.name, contents) != contents:
            raise ValueError(
                f"{path}: found other contents than were saved ({CHECKSUMS}): put back a copy of it, "
                f"or remove {CHECKSUMS} from this folder if the change is meant"
            )
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(bytes.fromhex(contents))
    return digest.hexdigest()


def model_versions(folder: Path) -> dict[str, tuple[int, int]]:
    """File -> its bytes and when it was last changed (ns), of those that the fingerprint is of."""
    files = files_of_the_model(folder)
    # Not a link to nowhere.
    found = {path.relative_to(folder).as_posix(): path.stat() for path in files if path.exists()}
    return {name: (status.st_size, status.st_mtime_ns) for name, status in found.items()}


def check_not_replaced(folder: Path, versions: dict[str, tuple[int, int]]) -> None:
    """Refuse a checkpoint that was written again, or removed, since its fingerprint was taken.

    Args:
        folder: that is loaded.
        versions: by `model_versions`, before the fingerprint.

    Raises: ValueError.
    """
    try:
        is_same = model_versions(folder) == versions
    except (ValueError, FileNotFoundError):  # it is gone, or goes just now
        is_same = False
    if not is_same:
        raise ValueError(
            f"{folder}: found other files than when this command began, as a training that starts over "
            "leaves them, expected the same: wait for it to end, then run the same command again"
        )


def save_checksums(checkpoint: Path) -> None:
    """Write the sha256 of each file of a checkpoint.

    torch's optimizer file is left out: it is a ZIP with checksums of its own.
    """
    optimizer = set(checkpoint.glob(OPTIMIZER))
    files = [path for path in checkpoint.iterdir() if path.is_file() and path not in optimizer]
    write_json(checkpoint / CHECKSUMS, checksums_of(files))


def check_training_state(checkpoint: Path) -> None:
    """Refuse to continue from a checkpoint that is not as it was saved.

    Raises: FileNotFoundError, ValueError.
    """
    way_out = "put back a copy of it, or start over with --overwrite"
    recorded = _checksums_in(checkpoint)
    for name in recorded:
        check_contents(checkpoint / name, recorded, way_out)
    for path in filter(Path.is_file, checkpoint.glob(OPTIMIZER)):
        # torch writes a ZIP archive with a CRC-32 of each member, and does not look at them on loading.
        with explained(f"{path} is damaged", way_out), zipfile.ZipFile(path) as archive:
            member = archive.testzip()
        if member is not None:
            raise ValueError(f"{path} is damaged ({member}): {way_out}")


def _checksums_in(checkpoint: Path) -> dict[str, str]:
    """Empty for a checkpoint that an earlier version saved or that was made elsewhere."""
    path = checkpoint / CHECKSUMS
    values = read_json(path) if path.exists() else {}
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise ValueError(f"{path} is damaged: put back a copy of it, or remove it: then nothing is checked")
    return values


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
    with contextlib.suppress(OSError):  # a checkpoint is being saved there, or there is none
        paths.training_parts.rmdir()


def training_inputs(checkpoint: Path) -> dict[str, Any] | None:
    """The inputs of the training that left this checkpoint, None for one that was made elsewhere.

    The checkpoint may be a link into the folder of its training, or in that folder a link to its files.
    """
    places = dict.fromkeys((checkpoint.absolute().parent, checkpoint.resolve().parent))
    return next((inputs for place in places if (inputs := inputs_of_run(place)) is not None), None)


def inputs_of_run(folder: Path) -> dict[str, Any] | None:
    """The inputs of the training that wrote this folder, None if none of ours did."""
    path = manifest_in(folder)
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


def template_remarks(checkpoint: Path | None, template: str) -> list[str]:
    """What to tell the user of a checkpoint of ours that was trained in another template than it is used in.

    Args:
        checkpoint: its folder, None for the base model.
        template: as the inputs of a training name it.
    """
    trained = ((checkpoint and training_inputs(checkpoint)) or {}).get("template", template)
    if trained == template:
        return []
    return [
        f"{checkpoint} was trained in template {trained[:17]} and is read in {template[:17]}, so its prompts "
        "are others: give it the template of its training, unless that is meant"
    ]


def newest_resumable_checkpoint(paths: RunPaths) -> Path | None:
    """The checkpoint that a killed training continues from, or None."""
    needed = ("trainer_state.json", "scheduler.pt", OPTIMIZER)
    resumable = [
        path
        for path in checkpoints_in(paths.root).values()
        if all(any(path.glob(pattern)) for pattern in needed)
    ]
    return resumable[-1] if resumable else None
