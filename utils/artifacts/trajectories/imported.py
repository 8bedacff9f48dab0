"""Losses that were made elsewhere: a .npy of (N, T), or a .npz or .parquet with row numbers.

    losses.npy       (N, T), one row per example in pool order, one column per checkpoint in training order
    losses.npz       losses: (n, T). Optional: rows (n,), row numbers of the pool from 0,
                     steps (T,), optimizer steps, and num_response_tokens (n,)
    losses.parquet   one column of numbers per checkpoint, named by its step (500, step_500 or
                     checkpoint-500). Optional: row, num_response_tokens

Rows that a file with row numbers does not hold are unscorable (NaN).

Legend: N examples of the pool, n rows of the file, T checkpoints.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...process.errors import explained
from ...reading import check_kind, check_memory, load_npy, load_npz
from ...terminal import first_of

SUFFIXES = (".npy", ".npz", ".parquet")
_OTHER_ARRAYS = ("rows", "steps", "num_response_tokens")  # of a .npz, besides `losses`
_STEP_NAME = re.compile(r"^(?:step[_-]?|checkpoint[_-])?(\d{1,18})$")


@dataclass(frozen=True)
class ImportedLosses:
    """What a file of losses holds.

    Attributes:
        losses_NT: floating point, in pool order, NaN where the file holds no row. Memory-mapped of a .npy.
        steps: ascending, None where the file does not say.
        num_response_tokens: int32 (N,). None where the file does not say.
    """

    losses_NT: np.ndarray
    steps: list[int] | None = None
    num_response_tokens: np.ndarray | None = None


def read_imported(path: Path, num_examples: int | None = None) -> ImportedLosses:
    """Read any of the three forms above.

    Args:
        num_examples: rows of the pool where they are known, else the highest row number decides.

    Raises: FileNotFoundError, or ValueError for what is none of the three.
    """
    check_kind(path)
    if path.suffix == ".npy":
        losses_NT = load_npy(path)
        rows = steps = tokens = None
    elif path.suffix == ".npz":
        losses_NT, rows, steps, tokens = _read_npz(path)
    else:
        losses_NT, rows, steps, tokens = _read_parquet(path)
    if losses_NT.ndim != 2 or not np.issubdtype(losses_NT.dtype, np.floating) or 0 in losses_NT.shape:
        raise ValueError(
            f"{path}: found {losses_NT.dtype} {losses_NT.shape}, expected floating-point losses (N, T): "
            "one row per example in pool order, one column per checkpoint in training order"
        )
    if tokens is not None:
        _check_tokens(path, tokens, len(losses_NT))
    if rows is not None:
        losses_NT, tokens = _in_pool_order(path, losses_NT, rows, tokens, num_examples)
    if steps is not None:
        _check_numbers(path, "steps", steps, losses_NT.shape[1])
        if steps.min() < 0 or len(np.unique(steps)) < len(steps):
            raise ValueError(
                f"{path}: found steps {first_of(steps)}, expected each once and none below 0: "
                "write the optimizer step of each column"
            )
        losses_NT = losses_NT[:, np.argsort(steps)]
        steps = np.sort(steps).tolist()
    return ImportedLosses(losses_NT, steps, tokens)


_Arrays = tuple[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None]


def _read_npz(path: Path) -> _Arrays:
    arrays = load_npz(path)
    if "losses" not in arrays:
        raise ValueError(
            f"{path}: found arrays {', '.join(arrays) or 'none'}, expected `losses` (n, T) among them"
        )
    if unknown := first_of(sorted(arrays.keys() - {"losses", *_OTHER_ARRAYS})):
        raise ValueError(
            f"{path}: found {unknown} among its arrays, expected losses and, where there are such, "
            f"{', '.join(_OTHER_ARRAYS)}: rename it, or leave it out"
        )
    return arrays["losses"], arrays.get("rows"), arrays.get("steps"), arrays.get("num_response_tokens")


def _read_parquet(path: Path) -> _Arrays:
    import pyarrow
    import pyarrow.parquet

    with explained(f"{path} is not a readable parquet file", "write it again"):
        table = pyarrow.parquet.read_table(path)
    columns = {name: table.column(name) for name in table.column_names}
    rows = columns.pop("row", None)
    tokens = columns.pop("num_response_tokens", None)
    matches = [_STEP_NAME.match(name) for name in columns]
    if (
        not columns
        or None in matches
        or not all(pyarrow.types.is_floating(column.type) for column in columns.values())
    ):
        raise ValueError(
            f"{path}: found columns {first_of(table.column_names)}, expected `row` (optional) "
            "and one floating-point column per checkpoint, named by its step, such as checkpoint-500"
        )
    losses_nT = np.stack([column.to_numpy().astype(np.float32) for column in columns.values()], axis=1)
    steps = np.array([int(match[1]) for match in matches if match])
    # A column of no rows is false, as every empty sequence is: ask for None.
    rows_n = None if rows is None else rows.to_numpy()
    tokens_n = None if tokens is None else tokens.to_numpy()
    return losses_nT, rows_n, steps, tokens_n


def _check_tokens(path: Path, tokens: np.ndarray, num_rows: int) -> None:
    """Raises: ValueError."""
    _check_numbers(path, "num_response_tokens", tokens, num_rows)
    if not 0 <= tokens.min() <= tokens.max() < 2**31:
        raise ValueError(
            f"{path}: found num_response_tokens from {tokens.min()} to {tokens.max()}, "
            "expected how many tokens each response has, 0 where it has none"
        )


def _check_numbers(path: Path, name: str, numbers: np.ndarray, length: int) -> None:
    """Raises: ValueError for anything but so many whole numbers."""
    if not np.issubdtype(numbers.dtype, np.integer) or numbers.shape != (length,):
        raise ValueError(
            f"{path}: found {name} {numbers.dtype} {numbers.shape}, expected whole numbers ({length},)"
        )


def _in_pool_order(
    path: Path, losses_nT: np.ndarray, rows: np.ndarray, tokens: np.ndarray | None, num_examples: int | None
) -> tuple[np.ndarray, np.ndarray | None]:
    _check_numbers(path, "row numbers", rows, len(losses_nT))
    num_examples = int(rows.max()) + 1 if num_examples is None else num_examples
    outside = rows[(rows < 0) | (rows >= num_examples)]
    if len(outside):
        raise ValueError(
            f"{path}: found row number {outside[0]}, "
            f"expected numbers from 0 to {num_examples - 1} (the pool's)"
        )
    numbers, counts = np.unique(rows, return_counts=True)
    if len(numbers) < len(rows):
        raise ValueError(
            f"{path}: row number {numbers[counts > 1][0]} is there more than once: keep one of them"
        )
    check_memory(path, num_examples * losses_nT.shape[1] * np.dtype(np.float32).itemsize)
    losses_NT = np.full((num_examples, losses_nT.shape[1]), np.nan, np.float32)
    losses_NT[rows] = losses_nT
    if tokens is not None:
        of_file = tokens
        tokens = np.zeros(num_examples, np.int32)
        tokens[rows] = of_file
    return losses_NT, tokens
