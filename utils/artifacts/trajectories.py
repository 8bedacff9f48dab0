"""Loss trajectories on disk: one float32 (N,) file per checkpoint and one manifest.

Legend: N examples of the pool, T checkpoints.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.artifacts.files import load_array, locked, save_array
from utils.artifacts.manifests import check_inputs, provenance, read_manifest, write_manifest
from utils.artifacts.paths import RunPaths, checkpoint_name, step_of

KIND = "trajectories"


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


def losses_path(folder: Path, step: int) -> Path:
    return folder / f"{checkpoint_name(step)}.npy"


def scored_steps(folder: Path) -> list[int]:
    """Steps whose losses are whole on disk, ascending."""
    return sorted(step for path in folder.glob("checkpoint-*.npy") if (step := step_of(path)) is not None)


def begin_trajectories(
    folder: Path, inputs: dict[str, Any], checkpoints: dict[int, str], unscorable_rows: list[int], overwrite: bool
) -> list[int]:
    """Open `folder` for these inputs, or refuse if what lies there was made from others.

    Args:
        inputs: pool, tokens and precision.
        checkpoints: step -> checkpoint fingerprint, of the steps about to be scored.
        unscorable_rows: rows without a response token, whose losses will be NaN.
        overwrite: drop these checkpoints' losses first; all losses, if they were made from other inputs.

    Returns: the steps whose losses are not there yet, ascending.

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
            checkpoints = {**known, **checkpoints}
        elif done:
            raise ValueError(f"{folder} holds losses but no manifest.json that says what made them. {ways_out}")
        _write(folder, inputs, checkpoints, unscorable_rows)
    return sorted(checkpoints.keys() - done)


def parts_folder(folder: Path) -> Path:
    """Where the pieces of unfinished checkpoints lie, in folders named `checkpoint-<step>-<key>`."""
    return folder / "parts"


def _drop(folder: Path, inputs: dict[str, Any], checkpoints: dict[int, str]) -> None:
    """Remove what is asked for and no more: another job may be scoring other checkpoints of this run."""
    path = folder / "manifest.json"
    same_inputs = path.is_file() and read_manifest(path, KIND)["inputs"] == inputs
    for step in checkpoints if same_inputs else scored_steps(folder):
        losses_path(folder, step).unlink(missing_ok=True)
    for parts in parts_folder(folder).glob("checkpoint-*"):
        if not same_inputs or int(parts.name.split("-")[1]) in checkpoints:
            shutil.rmtree(parts)
    if not same_inputs:
        path.unlink(missing_ok=True)


def finish_checkpoint(folder: Path, step: int, losses_N: np.ndarray) -> None:
    """Put one checkpoint's losses, float32 (N,), in place and bring the manifest up to date."""
    assert losses_N.dtype == np.float32 and losses_N.ndim == 1
    save_array(losses_path(folder, step), losses_N)
    with locked(folder / ".lock"):
        manifest = read_manifest(folder / "manifest.json", KIND)
        checkpoints = {int(known): fingerprint for known, fingerprint in manifest["checkpoints"].items()}
        _write(folder, manifest["inputs"], checkpoints, manifest["unscorable_rows"])


def _write(folder: Path, inputs: dict[str, Any], checkpoints: dict[int, str], unscorable_rows: list[int]) -> None:
    done = scored_steps(folder)
    write_manifest(
        folder / "manifest.json",
        KIND,
        "complete" if set(done) >= checkpoints.keys() else "running",
        inputs,
        checkpoints={str(step): checkpoints[step] for step in sorted(checkpoints)},
        steps=done,
        unscorable_rows=unscorable_rows,
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
    columns = [load_array(losses_path(folder, step)) for step in steps]
    num_examples = manifest["inputs"]["num_examples"]
    for step, column in zip(steps, columns, strict=True):
        if column.shape != (num_examples,) or column.dtype != np.float32:
            raise ValueError(
                f"{losses_path(folder, step)}: found {column.dtype} {column.shape}, expected float32 ({num_examples},)"
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
