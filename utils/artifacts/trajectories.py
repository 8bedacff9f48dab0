"""Loss trajectories on disk: one float32 (N,) file per checkpoint, the examples' numbers of response tokens and one manifest.

Legend: N examples of the pool, T checkpoints.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.artifacts.files import array_in_place, load_array, locked
from utils.artifacts.imported import SUFFIXES, read_imported
from utils.artifacts.manifests import check_inputs, provenance, read_manifest, write_manifest
from utils.artifacts.paths import RunPaths, checkpoint_name, results_root, step_of

KIND = "trajectories"
LOSS = "loss"
_ROWS_AT_ONCE = 2**16
_IN_MEMORY = 2**30  # bytes


@dataclass(frozen=True)
class Trajectories:
    """Losses of every example at every checkpoint.

    Attributes:
        steps: the optimizer steps, ascending; None for an array that was made elsewhere.
        columns: per checkpoint a float32 (N,) array in mean nats per response token, memory-mapped; NaN = unscorable.
        manifest: as on disk; empty for an array that was made elsewhere.
        origin: the folder or file.
        num_response_tokens: int32 (N,) where a file made elsewhere holds it (`read_num_response_tokens` reads ours).
        table_NT: the columns side by side, where they lie so in one file.
    """

    steps: list[int] | None
    columns: list[np.ndarray]
    manifest: dict[str, Any]
    origin: Path
    num_response_tokens: np.ndarray | None = None
    table_NT: np.ndarray | None = None

    @property
    def num_examples(self) -> int:
        return len(self.columns[0])

    def rows(self, rows_m: np.ndarray | slice) -> np.ndarray:
        """float32 (m, T): the losses of some rows at every checkpoint; a slice of a whole table is not copied.

        More than a gigabyte is kept in a temporary file, which the system may write out when memory gets scarce.
        """
        if self.table_NT is not None and self.table_NT.dtype == np.float32 and isinstance(rows_m, slice):
            return np.asarray(self.table_NT[rows_m])
        if isinstance(rows_m, slice):
            start, stop, _ = rows_m.indices(self.num_examples)
            pieces = [slice(first, min(first + _ROWS_AT_ONCE, stop)) for first in range(start, stop, _ROWS_AT_ONCE)]
            num_rows = max(0, stop - start)
        else:
            num_rows = len(rows_m)
            pieces = [rows_m[first : first + _ROWS_AT_ONCE] for first in range(0, num_rows, _ROWS_AT_ONCE)]
        losses_mT = _empty_table(num_rows, len(self.columns))
        for first, piece in zip(range(0, num_rows, _ROWS_AT_ONCE), pieces, strict=True):
            target_mT = losses_mT[first : first + _ROWS_AT_ONCE]
            if self.table_NT is not None:
                target_mT[:] = self.table_NT[piece]
            else:
                for number, column_N in enumerate(self.columns):
                    target_mT[:, number] = column_N[piece]
        return losses_mT


def _empty_table(num_rows: int, num_columns: int) -> np.ndarray:
    if 4 * num_rows * num_columns <= _IN_MEMORY:
        return np.empty((num_rows, num_columns), np.float32)
    with tempfile.TemporaryFile(dir=results_root()) as file:  # it lives as long as its mapping
        return np.asarray(np.memmap(file, np.float32, "w+", shape=(num_rows, num_columns)))


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
    num_response_tokens: np.ndarray,
    quantities: Iterable[str] = (LOSS,),
    overwrite: bool = False,
) -> list[int]:
    """Open `folder` for these inputs, or refuse if what lies there was made from others.

    Args:
        inputs: pool, tokens and precision.
        checkpoints: step -> checkpoint fingerprint, of the steps about to be scored.
        unreadable: steps that were asked for and cannot be scored; recorded, so that no selection goes on without them.
        quantities: what is wanted of each; the losses among them.
        num_response_tokens: whole numbers (N,); the losses of rows with 0 will be NaN.
        overwrite: drop these checkpoints' losses first; all losses, if they were made from other inputs.

    The caller keeps other launches from scoring the same steps meanwhile. What a killed one left half written goes.

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
        pending = sorted(checkpoints.keys() - set(scored_steps(folder, quantities)))
        _remove_leftovers(folder, checkpoints, checkpoints.keys() - pending)
        _save_num_response_tokens(folder, num_response_tokens)
        recorded = {**dict.fromkeys(unreadable, "unreadable"), **known, **checkpoints}
        unscorable_rows = np.flatnonzero(num_response_tokens == 0).tolist()
        _write(folder, inputs, recorded, unscorable_rows, manifest.get("device_seconds", {}))
    return pending


def parts_folder(folder: Path) -> Path:
    """Where the pieces of unfinished checkpoints lie, in folders named `checkpoint-<step>-<key>`."""
    return folder / "parts"


def num_response_tokens_path(folder: Path) -> Path:
    """int32 (N,): how many tokens each example's losses are the mean of; 0 = unscorable."""
    return folder / "num_response_tokens.npy"


def _save_num_response_tokens(folder: Path, num_response_tokens: np.ndarray) -> None:
    path = num_response_tokens_path(folder)
    if path.is_file() and np.array_equal(load_array(path), num_response_tokens):
        return
    with array_in_place(path, num_response_tokens.shape, np.dtype(np.int32)) as array:
        array[:] = num_response_tokens


def _remove_leftovers(folder: Path, checkpoints: Iterable[int], done: Iterable[int]) -> None:
    """Half-written files of a killed launch, and the parts of checkpoints that it had put together."""
    names = [(folder / "manifest.json").name, num_response_tokens_path(folder).name, *map(checkpoint_name, checkpoints)]
    for name in names:
        for file in folder.glob(f".{name}.*tmp"):
            file.unlink()
    for step in done:
        _remove_parts(folder, step)


def _remove_parts(folder: Path, step: int) -> None:
    for parts in parts_folder(folder).glob(f"{checkpoint_name(step)}-*"):
        shutil.rmtree(parts)


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

    Its parts go last: a launch that finds it in place may remove what is left of them.

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
    _remove_parts(folder, step)


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


def read_trajectories(
    trajectories_from: str, steps: list[int] | None = None, num_examples: int | None = None
) -> Trajectories:
    """Trajectories of a run by its name, or of a file of losses that were made elsewhere (`imported`).

    Args:
        steps: the checkpoints to use; None = every one after step 0 (S2L's rule).
        num_examples: rows of the pool; needed only for a file with row numbers that lacks the last ones.

    Raises: FileNotFoundError naming the command that makes them; ValueError for damaged or incomplete ones.
    """
    if trajectories_from.endswith(SUFFIXES):
        return _read_file(Path(trajectories_from), steps, num_examples)
    folder = RunPaths(trajectories_from).trajectories
    if not (folder / "manifest.json").is_file():
        if any(Path(trajectories_from).glob("**/losses.pt")):
            raise ValueError(
                f"{trajectories_from} holds the released code's losses.pt: turn them into a file first with `python -m "
                f"utils.scoring.released_losses {trajectories_from} losses.npz` and name that file"
            )
        raise FileNotFoundError(
            f"run {trajectories_from!r} has no trajectories in {folder}: make them with `python "
            "run_distributed_trajectories.py --config_file <the proxy's YAML>`, or give a file of losses "
            f"({', '.join(SUFFIXES)})"
        )
    manifest = read_manifest(folder / "manifest.json", KIND)
    begun = sorted(int(step) for step in manifest["checkpoints"])
    steps = _wanted_steps(steps, begun)
    missing = sorted(set(steps) - set(scored_steps(folder)))
    if missing:
        raise ValueError(
            f"{folder} lacks the losses of checkpoints {missing}: run the trajectories command for them, or name the "
            f"checkpoints to use in subset.steps (whole: {scored_steps(folder)})"
        )
    shape = (manifest["inputs"]["num_examples"],)
    columns = [_load(quantity_path(folder, step), shape) for step in steps]
    return Trajectories(steps, columns, manifest, folder)


def read_quantity(trajectories: Trajectories, quantity: str, step: int) -> np.ndarray:
    """(N,) or (N, d): what else the scoring pass kept of a checkpoint, or its losses; memory-mapped.

    Raises: FileNotFoundError naming the setting and the command that make it.
    """
    if not trajectories.manifest:
        raise FileNotFoundError(
            f"{trajectories.origin} holds losses only, and {quantity} at step {step} is needed: score the pool with "
            f"{_scoring_command(quantity)}"
        )
    path = quantity_path(trajectories.origin, step, quantity)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: score the pool with {_scoring_command(quantity, step)}")
    return _load(path, (trajectories.num_examples,))


def read_num_response_tokens(trajectories: Trajectories) -> np.ndarray:
    """int32 (N,): the tokens that each example's loss is taken over, 0 where it has none.

    Raises: FileNotFoundError naming the command that makes it.
    """
    if trajectories.num_response_tokens is not None:
        return trajectories.num_response_tokens
    path = num_response_tokens_path(trajectories.origin)
    if not trajectories.manifest or not path.is_file():
        raise FileNotFoundError(
            f"{trajectories.origin} does not say how many tokens each response has: run `python "
            "run_distributed_trajectories.py --config_file <the proxy's YAML>`, which writes num_response_tokens.npy "
            "(scored checkpoints stay as they are), or put num_response_tokens into a .npz or .parquet file"
        )
    tokens_N = load_array(path)
    if tokens_N.dtype != np.int32 or tokens_N.shape != (trajectories.num_examples,):
        raise ValueError(
            f"{path}: found {tokens_N.dtype} {tokens_N.shape}, expected int32 ({trajectories.num_examples},)"
        )
    return tokens_N


def _scoring_command(quantity: str, step: int | None = None) -> str:
    checkpoints = "" if step is None else f" --checkpoints {step}"
    setting = "" if quantity == LOSS else f" trajectories.also=[{quantity}]"
    return f"`python run_distributed_trajectories.py --config_file <the proxy's YAML>{checkpoints}{setting}`"


def _load(path: Path, leading_shape: tuple[int, ...]) -> np.ndarray:
    array = load_array(path)
    is_losses_like = array.ndim == 1 and array.dtype == np.float32
    is_embeddings = array.ndim == 2 and np.issubdtype(array.dtype, np.floating)
    if array.shape[:1] != leading_shape or not (is_losses_like or is_embeddings):
        raise ValueError(f"{path}: found {array.dtype} {array.shape}, expected float32 {leading_shape}")
    return array


def _read_file(path: Path, steps: list[int] | None, num_examples: int | None) -> Trajectories:
    imported = read_imported(path, num_examples)
    numbers = list(range(imported.losses_NT.shape[1]))
    if imported.steps is None:
        if steps is not None:
            raise ValueError(
                f"subset.steps: {path} does not say which steps its columns are; leave the columns out of the file"
            )
        steps_used = None
    else:
        steps_used = _wanted_steps(steps, imported.steps)
        unknown = sorted(set(steps_used) - set(imported.steps))
        if unknown:
            raise ValueError(f"subset.steps: found {unknown}, but {path} has the steps {imported.steps}")
        numbers = [imported.steps.index(step) for step in steps_used]
    columns = [imported.losses_NT[:, number] for number in numbers]
    table_NT = imported.losses_NT if len(numbers) == imported.losses_NT.shape[1] else None
    return Trajectories(steps_used, columns, {}, path, imported.num_response_tokens, table_NT)


def _wanted_steps(steps: list[int] | None, begun: list[int]) -> list[int]:
    """The steps to use, ascending; by default all that were begun after step 0."""
    steps = [step for step in begun if step > 0] if steps is None else steps
    repeated = sorted({step for step in steps if steps.count(step) > 1})
    if repeated or not steps:
        raise ValueError(f"subset.steps: found {steps}, expected at least one step and each step once; scored: {begun}")
    return sorted(steps)
