"""The folder of loss trajectories that scoring fills. It holds one float32 (N,) file per checkpoint, the examples' numbers of
response tokens, the parts of what is unfinished, and one manifest.

Legend: N examples of the pool.
"""

import contextlib
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..files import array_in_place, load_array, locked
from ..manifests import Provenance, check_inputs
from ..paths import checkpoint_name, manifest_in, step_of
from .manifest import ScoringRecord, TrajectoriesManifest

LOSS = "loss"
KEPT = {  # what a word of `trajectories.also` keeps of each checkpoint besides the losses
    "confidence": ("probability", "max_probability"),
    "embeddings": ("embeddings",),
}
BASE_MODEL = "losses of the base model"  # step 0, which is scored only where it is asked for


def quantity_path(folder: Path, step: int, quantity: str = LOSS) -> Path:
    """`checkpoint-<step>.npy` for the losses, `checkpoint-<step>.<quantity>.npy` for what else the pass gave."""
    suffix = "" if quantity == LOSS else f".{quantity}"
    return folder / f"{checkpoint_name(step)}{suffix}.npy"


def quantities_of(also: Iterable[str]) -> tuple[str, ...]:
    """All that a scoring pass keeps of each checkpoint, the losses first."""
    return (LOSS, *(quantity for word in also for quantity in KEPT[word]))


def num_response_tokens_path(folder: Path) -> Path:
    """int32 (N,): how many tokens each example's losses are the mean of; 0 = unscorable."""
    return folder / "num_response_tokens.npy"


def parts_folder(folder: Path) -> Path:
    """Where the pieces of unfinished checkpoints lie, in folders named `checkpoint-<step>-<key>`."""
    return folder / "parts"


def batching_path(folder: Path) -> Path:
    """With what batches the unfinished checkpoints are scored, which a restart keeps to."""
    return parts_folder(folder) / "batching.json"


def scored_steps(folder: Path, quantities: Iterable[str] = (LOSS,)) -> list[int]:
    """Steps of which all these quantities are whole on disk, ascending."""
    steps = [step for path in folder.glob("checkpoint-*.npy") if (step := step_of(path)) is not None]
    return sorted(
        step
        for step in steps
        if all(quantity_path(folder, step, quantity).is_file() for quantity in quantities)
    )


def holds(folder: Path, kept: str) -> bool:
    """Whether the checkpoints scored so far have it. Args: kept: a word of `trajectories.also`, or BASE_MODEL."""
    if kept == BASE_MODEL:
        return quantity_path(folder, 0).is_file()
    scored = scored_steps(folder)
    return bool(scored) and set(scored) <= set(scored_steps(folder, KEPT[kept]))


def begin_trajectories(
    folder: Path,
    inputs: dict[str, Any],
    checkpoints: dict[int, str],
    unreadable: Iterable[int],
    num_response_tokens: np.ndarray,
    quantities: Iterable[str] = (LOSS,),
    overwrite: bool = False,
    record: ScoringRecord = ScoringRecord(),  # noqa: B008 (frozen)
) -> list[int]:
    """Open `folder` for these inputs, or refuse if what lies there was made from others.

    Args:
        inputs: pool, tokens and precision.
        checkpoints: step -> checkpoint fingerprint, of the steps about to be scored.
        unreadable: steps that were asked for and cannot be scored. They are recorded, so that no selection goes
            on without them.
        quantities: what is wanted of each; the losses among them.
        num_response_tokens: whole numbers (N,); the losses of rows with 0 will be NaN.
        overwrite: drop these checkpoints' losses first; all losses, if they were made from other inputs.
        record: kept in the manifest as it is and compared with nothing.

    The caller keeps other launches from scoring the same steps meanwhile. What a killed launch left half
    written goes.

    Returns: the steps of which some quantity is not there yet, ascending.

    Raises: ValueError naming the differing entries.
    """
    with locked(folder / ".lock"):
        if overwrite:
            _drop(folder, inputs, checkpoints)
        there = check_trajectories(folder, inputs, checkpoints, record.data)
        pending = sorted(checkpoints.keys() - set(scored_steps(folder, quantities)))
        _remove_leftovers(folder, checkpoints, checkpoints.keys() - pending)
        _save_num_response_tokens(folder, num_response_tokens)
        known = {} if there is None else there.checkpoints
        recorded = {**dict.fromkeys(unreadable, "unreadable"), **known, **checkpoints}
        manifest = TrajectoriesManifest(
            inputs=inputs,
            checkpoints={step: recorded[step] for step in sorted(recorded)},
            unscorable_rows=np.flatnonzero(num_response_tokens == 0).tolist(),
            device_seconds={} if there is None else there.device_seconds,
            **_state(folder, recorded),
            **vars(record),
        )
        # Where all is scored already, the record stays that of the launch that scored it.
        if pending or there is None or there.checkpoints != recorded or not there.is_complete:
            manifest.write(manifest_in(folder))
    return pending


def check_trajectories(
    folder: Path, inputs: dict[str, Any], checkpoints: dict[int, str], data: dict[str, Any] | None
) -> TrajectoriesManifest | None:
    """Refuse losses that were made from other inputs.

    Args: as for `begin_trajectories`; data: the `pool_record` of now.

    Returns: the manifest that is there; None if there is none.

    Raises: ValueError naming the differing entries.
    """
    ways_out = "Ways out: --overwrite scores everything again; another run_name keeps both."
    path = manifest_in(folder)
    done = set(scored_steps(folder))
    if not path.is_file():
        if done:
            raise ValueError(
                f"{folder} holds losses but no manifest.json that says what made them. {ways_out}"
            )
        return None
    manifest = TrajectoriesManifest.read(path)
    check_inputs(path, manifest.inputs, inputs, ways_out, data)
    reused = [step for step in checkpoints if step in done]
    check_inputs(
        path,
        {checkpoint_name(step): manifest.checkpoints.get(step) for step in reused},
        {checkpoint_name(step): checkpoints[step] for step in reused},
        ways_out,
    )
    return manifest


def finish_checkpoint(
    folder: Path,
    step: int,
    num_examples: int,
    pieces: Iterable[tuple[np.ndarray, dict[str, np.ndarray], float]],
) -> None:
    """Put one checkpoint's results in place and bring the manifest up to date.

    Its parts go last: a launch that finds it in place may remove what is left of them.

    Args: pieces: (row numbers, quantity -> array in their order, seconds that a device took), read one at a time; rows in
    no piece are NaN. The losses come last: where they are, all is.
    """
    device_seconds = 0.0
    with contextlib.ExitStack() as files:
        targets: dict[str, np.ndarray] = {}
        for rows, scores, seconds in pieces:
            device_seconds += seconds
            # The losses first: the files take their names in the opposite order.
            for quantity in sorted(scores, key=lambda quantity: quantity != LOSS):
                values = scores[quantity]
                if quantity not in targets:
                    place = array_in_place(
                        quantity_path(folder, step, quantity), (num_examples, *values.shape[1:]), values.dtype
                    )
                    targets[quantity] = files.enter_context(place)
                    targets[quantity][:] = np.nan
                targets[quantity][rows] = values
    with locked(folder / ".lock"):
        manifest = TrajectoriesManifest.read(manifest_in(folder))
        manifest = replace(
            manifest,
            device_seconds={**manifest.device_seconds, step: round(device_seconds, 3)},
            **_state(folder, manifest.checkpoints),
        )
        manifest.write(manifest_in(folder))
    _remove_parts(folder, step)


def _drop(folder: Path, inputs: dict[str, Any], checkpoints: dict[int, str]) -> None:
    """Remove what is asked for and no more: another job may be scoring other checkpoints of this run."""
    path = manifest_in(folder)
    same_inputs = path.is_file() and TrajectoriesManifest.read(path).inputs == inputs
    for step in checkpoints if same_inputs else scored_steps(folder):
        for file in folder.glob(f"{checkpoint_name(step)}.*npy"):
            file.unlink()
    for parts in (found for found in parts_folder(folder).glob("checkpoint-*") if found.is_dir()):
        if not same_inputs or int(parts.name.split("-")[1]) in checkpoints:
            shutil.rmtree(parts)
    if not same_inputs:
        path.unlink(missing_ok=True)


def _remove_leftovers(folder: Path, checkpoints: Iterable[int], done: Iterable[int]) -> None:
    """Half-written files of a killed launch, and the parts of checkpoints that it had put together."""
    names = [
        manifest_in(folder).name,
        num_response_tokens_path(folder).name,
        *map(checkpoint_name, checkpoints),
    ]
    for name in names:
        for file in folder.glob(f".{name}.*tmp"):
            file.unlink()
    for step in done:
        _remove_parts(folder, step)


def _remove_parts(folder: Path, step: int) -> None:
    for parts in parts_folder(folder).glob(f"{checkpoint_name(step)}-*"):
        shutil.rmtree(parts)


def _save_num_response_tokens(folder: Path, num_response_tokens: np.ndarray) -> None:
    path = num_response_tokens_path(folder)
    if path.is_file() and np.array_equal(load_array(path), num_response_tokens):
        return
    with array_in_place(path, num_response_tokens.shape, np.dtype(np.int32)) as array:
        array[:] = num_response_tokens


def _state(folder: Path, checkpoints: dict[int, str]) -> dict[str, Any]:
    """What a manifest says of how far the scoring of these checkpoints is."""
    done = scored_steps(folder)
    status = "complete" if set(done) >= checkpoints.keys() else "running"
    return {"status": status, "steps": done, "provenance": Provenance.now()}
