"""Loss trajectories as they are read: of a run that our scorer wrote, or losses made elsewhere.

Legend: N examples of the pool, m some of them, T checkpoints.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...reading import load_npy
from ..checksums import check_contents, load_whole_numbers
from ..locks import is_locked
from ..paths import RunPaths, manifest_in, results_root, run_named, validation_in
from .imported import SUFFIXES, read_imported
from .manifest import TrajectoriesManifest
from .released import read_released, released_run
from .write import KEPT, TrajectoryFolder

_ROWS_AT_ONCE = 2**16
_IN_MEMORY = 2**30  # bytes
_COMMAND = "`python run_distributed_trajectories.py --config_file <the proxy's YAML>`"
_MAKE = f"make them with {_COMMAND}"
_AGAIN = f"run {_COMMAND} again, which scores what is damaged"


@dataclass(frozen=True)
class Trajectories:
    """Losses of every example at every checkpoint.

    Attributes:
        steps: the optimizer steps, ascending. None for an array that was made elsewhere.
        columns: per checkpoint float32 (N,), mean nats per response token, memory-mapped. NaN = unscorable.
        manifest: what made them. None for an array that was made elsewhere.
        origin: the folder or file.
        num_response_tokens: int32 (N,) where a file made elsewhere holds it.
            Ours: `read_num_response_tokens`.
        table_NT: the columns side by side, where they lie so in one file.
    """

    steps: list[int] | None
    columns: list[np.ndarray]
    manifest: TrajectoriesManifest | None
    origin: Path
    num_response_tokens: np.ndarray | None = None
    table_NT: np.ndarray | None = None

    @property
    def num_examples(self) -> int:
        return len(self.columns[0])

    @property
    def last_step(self) -> int:
        """Of the last column, -1 where a file does not say the steps."""
        return -1 if self.steps is None else self.steps[-1]

    @property
    def checkpoint_names(self) -> list[str]:
        """One short name per checkpoint: its step, or its column where a file does not say the steps."""
        if self.steps is None:
            return [f"col {number}" for number in range(len(self.columns))]
        return [str(step) for step in self.steps]

    @property
    def checkpoint_titles(self) -> list[str]:
        """The same for sentences."""
        if self.steps is None:
            return [f"column {number}" for number in range(len(self.columns))]
        return [f"checkpoint {step}" for step in self.steps]

    def rows(self, rows_m: np.ndarray | slice) -> np.ndarray:
        """float32 (m, T): the losses of some rows at every checkpoint.

        A slice of a whole table is not copied. More than a gigabyte is kept in a temporary file,
        which the system may write out when memory is scarce.
        """
        if self.table_NT is not None and self.table_NT.dtype == np.float32 and isinstance(rows_m, slice):
            return np.asarray(self.table_NT[rows_m])
        if isinstance(rows_m, slice):
            start, stop, _ = rows_m.indices(self.num_examples)
            pieces = [
                slice(first, min(first + _ROWS_AT_ONCE, stop)) for first in range(start, stop, _ROWS_AT_ONCE)
            ]
            num_rows = max(0, stop - start)
        else:
            num_rows = len(rows_m)
            pieces = [rows_m[first : first + _ROWS_AT_ONCE] for first in range(0, num_rows, _ROWS_AT_ONCE)]
        losses_mT = _empty_table(num_rows, len(self.columns))
        for first, piece in zip(range(0, num_rows, _ROWS_AT_ONCE), pieces, strict=True):
            target_mT = losses_mT[first : first + _ROWS_AT_ONCE]
            # What float32 cannot hold becomes infinite, which is refused by name.
            with np.errstate(over="ignore"):
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


def read_trajectories(
    trajectories_from: str, steps: list[int] | None = None, num_examples: int | None = None
) -> Trajectories:
    """Trajectories of a run by its name or folder, or losses that were made elsewhere.

    Those are a file (`imported`), or a run of the released code (`released`).

    Args:
        steps: the checkpoints to use. None = every one after step 0 (S2L's rule).
        num_examples: rows of the pool. Only a file with row numbers that lacks the last ones needs it.

    Raises:
        FileNotFoundError: naming the command that makes them.
        ValueError: for damaged or incomplete ones.
    """
    if trajectories_from.endswith(SUFFIXES):
        path = Path(trajectories_from)
        return _read_file(path, path, steps, num_examples)
    folder = TrajectoryFolder(RunPaths(run_named(trajectories_from)).trajectories)
    if not manifest_in(folder.path).is_file():
        if (released := released_run(trajectories_from)) is not None:
            return _read_file(read_released(released), released, steps, num_examples)
        if Path(trajectories_from).exists() and not Path(trajectories_from).is_dir():
            raise ValueError(
                f"subset.trajectories_from: found the file {trajectories_from}, expected a run_name or a "
                f"file of losses that ends in {', '.join(SUFFIXES)}: write the losses as one of these"
            )
        raise FileNotFoundError(
            f"run {trajectories_from!r} has no trajectories in {folder.path}: {_MAKE}, or give a file of "
            f"losses ({', '.join(SUFFIXES)})"
        )
    return _read_folder(folder, steps)


def read_validation(trajectories: Trajectories) -> Trajectories:
    """The losses of validation rows, at the checkpoints of these losses of a pool.

    Raises:
        FileNotFoundError: naming the command that makes them.
        ValueError: for damaged or incomplete ones, or those of other checkpoints.
    """
    folder = TrajectoryFolder(validation_in(trajectories.origin))
    if trajectories.manifest is None or not manifest_in(folder.path).is_file():
        raise FileNotFoundError(
            f"{trajectories.origin} has no losses of validation rows: score them beside the pool with "
            "`python run_distributed_trajectories.py --config_file <the proxy's YAML> data.validation=FILE` "
            "(what is scored of the pool stays as it is), and name that run in subset.trajectories_from"
        )
    found = _read_folder(folder, trajectories.steps)
    assert found.manifest is not None and found.steps is not None
    there = trajectories.manifest.checkpoints
    if other := [step for step in found.steps if found.manifest.checkpoints[step] != there[step]]:
        raise ValueError(
            f"{folder.path}: found losses of other checkpoints than the pool's at steps {other}, expected "
            "those of the same proxy: score the pool and the validation rows again (--overwrite)"
        )
    return found


def _read_folder(folder: TrajectoryFolder, steps: list[int] | None) -> Trajectories:
    manifest = TrajectoriesManifest.read(manifest_in(folder.path))
    steps = wanted_steps(steps, sorted(manifest.checkpoints))
    scored = folder.scored_steps()
    missing = sorted(set(steps) - set(scored))
    if missing:
        is_being_scored = any(is_locked(folder.quantity(step)) for step in missing)
        how = "they are being scored just now, wait for that" if is_being_scored else _MAKE
        raise ValueError(
            f"{folder.path} lacks the losses of checkpoints {missing}: {how}, "
            f"or name the checkpoints to use in subset.steps (whole: {scored})"
        )
    columns = [_load(folder.quantity(step), manifest) for step in steps]
    return Trajectories(steps, columns, manifest, folder.path)


def read_quantity(trajectories: Trajectories, quantity: str, step: int) -> np.ndarray:
    """(N,) or (N, d): what else the scoring pass kept of a checkpoint, or its losses. Memory-mapped.

    Raises: FileNotFoundError naming the setting and the command that make it.
    """
    if trajectories.manifest is None:
        where = "the last checkpoint" if step < 0 else f"step {step}"
        raise FileNotFoundError(
            f"{trajectories.origin} holds losses only, and {quantity} at {where} is needed: "
            f"score the pool with {_scoring_command(quantity, None if step < 0 else step)}"
        )
    path = TrajectoryFolder(trajectories.origin).quantity(step, quantity)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: score the pool with {_scoring_command(quantity, step)}"
        )
    return _load(path, trajectories.manifest)


def read_num_response_tokens(trajectories: Trajectories) -> np.ndarray:
    """int32 (N,): the tokens that each example's loss is taken over, 0 where it has none.

    Raises: FileNotFoundError naming the command that makes it.
    """
    if trajectories.num_response_tokens is not None:
        return trajectories.num_response_tokens
    path = TrajectoryFolder(trajectories.origin).num_response_tokens
    if trajectories.manifest is None or not path.is_file():
        raise FileNotFoundError(
            f"{trajectories.origin} does not say how many tokens each response has: "
            "run `python run_distributed_trajectories.py --config_file <the proxy's YAML>`, "
            "which writes num_response_tokens.npy (scored checkpoints stay as they are), "
            "or put num_response_tokens into a .npz or .parquet file"
        )
    return load_whole_numbers(path, trajectories.manifest.checksums, trajectories.num_examples, _AGAIN)


def _scoring_command(quantity: str, step: int | None = None) -> str:
    checkpoints = "" if step is None else f" --checkpoints {step}"
    word = next((word for word, quantities in KEPT.items() if quantity in quantities), None)
    setting = "" if word is None else f" trajectories.also=[{word}]"
    return f"`python run_distributed_trajectories.py --config_file <the proxy's YAML>{checkpoints}{setting}`"


def _load(path: Path, manifest: TrajectoriesManifest) -> np.ndarray:
    check_contents(path, manifest.checksums, _AGAIN)
    array = load_npy(path)
    is_losses_like = array.ndim == 1 and array.dtype == np.float32
    is_embeddings = array.ndim == 2 and np.issubdtype(array.dtype, np.floating)
    if array.shape[:1] != (manifest.num_examples,) or not (is_losses_like or is_embeddings):
        raise ValueError(
            f"{path}: found {array.dtype} {array.shape}, "
            f"expected float32 ({manifest.num_examples},): {_AGAIN}"
        )
    return array


def are_made_elsewhere(trajectories_from: str) -> bool:
    """Whether this names losses that no scorer of ours wrote."""
    if trajectories_from.endswith(SUFFIXES):
        return True
    folder = RunPaths(run_named(trajectories_from)).trajectories
    return not manifest_in(folder).is_file() and released_run(trajectories_from) is not None


def _read_file(path: Path, origin: Path, steps: list[int] | None, num_examples: int | None) -> Trajectories:
    """Args: origin: the file or folder that the user named."""
    imported = read_imported(path, num_examples)
    numbers = list(range(imported.losses_NT.shape[1]))
    if imported.steps is None:
        if steps is not None:
            raise ValueError(
                f"subset.steps: {path} does not say which steps its columns are: "
                "leave the columns out of the file"
            )
        steps_used = None
    else:
        steps_used = wanted_steps(steps, imported.steps)
        unknown = sorted(set(steps_used) - set(imported.steps))
        if unknown:
            raise ValueError(f"subset.steps: found {unknown}, but {path} has the steps {imported.steps}")
        numbers = [imported.steps.index(step) for step in steps_used]
    columns = [imported.losses_NT[:, number] for number in numbers]
    table_NT = imported.losses_NT if len(numbers) == imported.losses_NT.shape[1] else None
    return Trajectories(steps_used, columns, None, origin, imported.num_response_tokens, table_NT)


def wanted_steps(steps: list[int] | None, recorded: list[int]) -> list[int]:
    """The steps to use, ascending. By default all that are recorded after step 0."""
    steps = [step for step in recorded if step > 0] if steps is None else steps
    repeated = sorted({step for step in steps if steps.count(step) > 1})
    if repeated or not steps:
        raise ValueError(
            f"subset.steps: found {steps}, expected at least one step and each step once; scored: {recorded}"
        )
    return sorted(steps)
