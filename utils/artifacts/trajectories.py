"""Loss trajectories on disk: one float32 (N,) file per checkpoint and one manifest.

Legend: N examples of the pool, T checkpoints.
"""

import contextlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.artifacts.files import array_in_place, load_array, locked
from utils.artifacts.manifests import check_inputs, provenance, read_manifest, write_manifest
from utils.artifacts.paths import RunPaths, checkpoint_name, step_of

KIND = "trajectories"
LOSS = "loss"


@dataclass(frozen=True)
class Trajectories:
    """Losses of every example at every checkpoint.

    Attributes:
        steps: the optimizer steps, ascending; None for an array that was made elsewhere.
        columns: per checkpoint a float32 (N,) array in mean nats per response token, memory-mapped; NaN = unscorable.
        manifest: as on disk; empty for an array that was made elsewhere.
        origin: the folder or file.
    """

    steps: list[int] | None
    columns: list[np.ndarray]
    manifest: dict[str, Any]
    origin: Path

    @property
    def num_examples(self) -> int:
        return len(self.columns[0])


def quantity_path(folder: Path, step: int, quantity: str = LOSS) -> Path:
    """`checkpoint-<step>.npy` for the losses, `checkpoint-<step>.<quantity>.npy` for what else the pass gave."""
    suffix = "" if quantity == LOSS else f".{quantity}"
    return folder / f"{checkpoint_name(step)}{suffix}.npy"


def scored_steps(folder: Path, quantities: Iterable[str] = (LOSS,)) -> list[int]:
    """Steps of which all these quantities are whole on disk, ascending."""
    steps = [step for path in folder.glob("checkpoint-*.npy") if (step := step_of(path)) is not None]
    return sorted(
        step for step in steps if all(quantity_path(folder, step, quantity).is_file() for quantity in quantities)
    )


def begin_trajectories(
    folder: Path,
    inputs: dict[str, Any],
    checkpoints: dict[int, str],
    unreadable: Iterable[int],
    unscorable_rows: list[int],
    quantities: Iterable[str] = (LOSS,),
    overwrite: bool = False,
) -> list[int]:
    """Open `folder` for these inputs, or refuse if what lies there was made from others.

    Args:
        inputs: pool, tokens and precision.
        checkpoints: step -> checkpoint fingerprint, of the steps about to be scored.
        unreadable: steps that were asked for and cannot be scored; recorded, so that no selection goes on without them.
        quantities: what is wanted of each; the losses among them.
        unscorable_rows: rows without a response token, whose losses will be NaN.
        overwrite: drop these checkpoints' losses first; all losses, if they were made from other inputs.

    Returns: the steps of which some quantity is not there yet, ascending.

    Raises: ValueError naming the differing entries.
    """
    ways_out = "Ways out: --overwrite scores everything again; another run_name keeps both."
    with locked(folder / ".lock"):
        path = folder / "manifest.json"
        if overwrite:
            _drop(folder, inputs, checkpoints)
        done = set(scored_steps(folder))
        if path.is_file():
            manifest = read_manifest(path, KIND)
            check_inputs(path, manifest["inputs"], inputs, ways_out)
            known = {int(step): fingerprint for step, fingerprint in manifest["checkpoints"].items()}
            reused = [step for step in checkpoints if step in done]
            check_inputs(
                path,
                {checkpoint_name(step): known.get(step) for step in reused},
                {checkpoint_name(step): checkpoints[step] for step in reused},
                ways_out,
            )
        elif done:
            raise ValueError(f"{folder} holds losses but no manifest.json that says what made them. {ways_out}")
        else:
            manifest, known = {}, {}
        recorded = {**dict.fromkeys(unreadable, "unreadable"), **known, **checkpoints}
        _write(folder, inputs, recorded, unscorable_rows, manifest.get("device_seconds", {}))
    return sorted(checkpoints.keys() - set(scored_steps(folder, quantities)))


def parts_folder(folder: Path) -> Path:
    """Where the pieces of unfinished checkpoints lie, in folders named `checkpoint-<step>-<key>`."""
    return folder / "parts"


def _drop(folder: Path, inputs: dict[str, Any], checkpoints: dict[int, str]) -> None:
    """Remove what is asked for and no more: another job may be scoring other checkpoints of this run."""
    path = folder / "manifest.json"
    same_inputs = path.is_file() and read_manifest(path, KIND)["inputs"] == inputs
    for step in checkpoints if same_inputs else scored_steps(folder):
        for file in folder.glob(f"{checkpoint_name(step)}.*npy"):
            file.unlink()
    for parts in (found for found in parts_folder(folder).glob("checkpoint-*") if found.is_dir()):
        if not same_inputs or int(parts.name.split("-")[1]) in checkpoints:
            shutil.rmtree(parts)
    if not same_inputs:
        path.unlink(missing_ok=True)


def finish_checkpoint(
    folder: Path,
    step: int,
    num_examples: int,
    pieces: Iterable[tuple[np.ndarray, dict[str, np.ndarray]]],
    device_seconds: float | None = None,
) -> None:
    """Put one checkpoint's results in place and bring the manifest up to date.

    Args: pieces: (row numbers, quantity -> array in their order); rows in no piece are NaN. The losses come last: where
    they are, all is. device_seconds: what scoring took, all devices together; None = not known.
    """
    with contextlib.ExitStack() as files:
        targets: dict[str, np.ndarray] = {}
        for rows, scores in pieces:
            for quantity in sorted(scores, key=lambda quantity: quantity != LOSS):  # closed in the opposite order
                values = scores[quantity]
                if quantity not in targets:
                    place = array_in_place(
                        quantity_path(folder, step, quantity), (num_examples, *values.shape[1:]), values.dtype
                    )
                    targets[quantity] = files.enter_context(place)
                    targets[quantity][:] = np.nan
                targets[quantity][rows] = values
    with locked(folder / ".lock"):
        manifest = read_manifest(folder / "manifest.json", KIND)
        checkpoints = {int(known): fingerprint for known, fingerprint in manifest["checkpoints"].items()}
        seconds = {**manifest["device_seconds"], str(step): device_seconds}
        _write(folder, manifest["inputs"], checkpoints, manifest["unscorable_rows"], seconds)


def _write(
    folder: Path,
    inputs: dict[str, Any],
    checkpoints: dict[int, str],
    unscorable_rows: list[int],
    device_seconds: dict[str, float | None],
) -> None:
    done = scored_steps(folder)
    write_manifest(
        folder / "manifest.json",
        KIND,
        "complete" if set(done) >= checkpoints.keys() else "running",
        inputs,
        checkpoints={str(step): checkpoints[step] for step in sorted(checkpoints)},
        steps=done,
        unscorable_rows=unscorable_rows,
        device_seconds=device_seconds,
        provenance=provenance(),
    )


def read_trajectories(trajectories_from: str, steps: list[int] | None = None) -> Trajectories:
    """Trajectories of a run by its name, or of an .npy file of (N, T) losses in pool order.

    Args: steps: the checkpoints to use; None = every one after step 0 (S2L's rule).

    Raises: FileNotFoundError naming the command that makes them; ValueError for damaged or incomplete ones.
    """
    if trajectories_from.endswith(".npy"):
        return _read_foreign(Path(trajectories_from), steps)
    folder = RunPaths(trajectories_from).trajectories
    if not (folder / "manifest.json").is_file():
        raise FileNotFoundError(
            f"run {trajectories_from!r} has no trajectories in {folder}: make them with `python "
            "run_distributed_trajectories.py --config_file <the proxy's YAML>`, or give an .npy file of (N, T) losses"
        )
    manifest = read_manifest(folder / "manifest.json", KIND)
    begun = sorted(int(step) for step in manifest["checkpoints"])
    if steps is None:
        steps = [step for step in begun if step > 0]
    repeated = sorted({step for step in steps if steps.count(step) > 1})
    if repeated or not steps:
        raise ValueError(f"subset.steps: found {steps}, expected at least one step and each step once; scored: {begun}")
    steps = sorted(steps)
    missing = sorted(set(steps) - set(scored_steps(folder)))
    if missing:
        raise ValueError(
            f"{folder} lacks the losses of checkpoints {missing}: run the trajectories command for them, or name the "
            f"checkpoints to use in subset.steps (whole: {scored_steps(folder)})"
        )
    columns = [load_array(quantity_path(folder, step)) for step in steps]
    num_examples = manifest["inputs"]["num_examples"]
    for step, column in zip(steps, columns, strict=True):
        if column.shape != (num_examples,) or column.dtype != np.float32:
            raise ValueError(
                f"{quantity_path(folder, step)}: found {column.dtype} {column.shape}, expected float32 ({num_examples},)"
            )
    return Trajectories(steps, columns, manifest, folder)


def _read_foreign(path: Path, steps: list[int] | None) -> Trajectories:
    losses_NT = load_array(path)
    if losses_NT.ndim != 2 or not np.issubdtype(losses_NT.dtype, np.floating) or 0 in losses_NT.shape:
        raise ValueError(
            f"{path}: found {losses_NT.dtype} {losses_NT.shape}, expected floating-point losses (N, T): one row per "
            "example in pool order, one column per checkpoint in training order"
        )
    if steps is not None:
        raise ValueError(
            f"subset.steps: {path} does not say which steps its columns are; leave the columns out of the file"
        )
    return Trajectories(None, [losses_NT[:, column] for column in range(losses_NT.shape[1])], {}, path)
