"""Rows of which only the number and the sources are known: enough to choose from, not to write texts."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..reading import check_kind, load_npy, read_text
from .formats import Example

_ROWS_AT_ONCE = 2**20
_LARGEST_NUMBER = 10**7  # of a source given by number


class NumberedRows:
    """Rows whose examples have a source and no texts. Attributes not named are as in `Rows`.

    Attributes:
        fingerprint: sha256 over the sources. It does not tell texts apart.
        excluded: no row is.
    """

    data = None
    has_texts = False
    texts_fingerprint = ""

    def __init__(self, num_rows: int, sources_from: str | None):
        """Raises: FileNotFoundError; ValueError if the file does not name one source for each row."""
        self.name = sources_from or f"{num_rows} rows without texts"
        self.source_names = [""]
        self.source_codes = np.zeros(num_rows, np.int32)
        if sources_from is not None:
            self.source_names, self.source_codes = _read_sources(Path(sources_from))
        if len(self.source_codes) != num_rows:
            raise ValueError(
                f"subset.sources_from: {sources_from} names the sources of {len(self.source_codes)} rows, "
                f"but there are losses of {num_rows}: give one source for each row, and no header"
            )
        self.excluded = np.zeros(num_rows, bool)
        digest = hashlib.sha256(json.dumps(self.source_names).encode())
        digest.update(self.source_codes.data)
        self.fingerprint = f"sources {digest.hexdigest()}"

    def __len__(self) -> int:
        return len(self.source_codes)

    def __getitem__(self, row: int) -> Example:
        return Example(instruction="", response="", source=self.source_names[self.source_codes[row]])

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def line(self, row: int) -> bytes:
        raise self._no_texts()

    def origin_of(self, row: int) -> str:
        return self.name

    def table(self, rows: Sequence[int]) -> Any:
        raise self._no_texts()

    def column(self, name: str) -> Iterator[str | None]:
        raise self._no_texts()

    def _no_texts(self) -> ValueError:
        return ValueError(f"{self.name}: found row numbers, expected rows with texts: add a `data:` section")


def _read_sources(path: Path) -> tuple[list[str], np.ndarray]:
    """The names, ascending, and each row's index into them, int32 (N,)."""
    check_kind(path, "subset.sources_from")
    if path.suffix not in (".npy", ".txt"):
        raise ValueError(
            f"subset.sources_from: found {path}, expected a .npy of numbers or texts, or a .txt: write the "
            "source of each row on a line of its own, without a header and other columns"
        )
    if path.suffix == ".npy":
        source_N = load_npy(path)
        if source_N.ndim == 1 and np.issubdtype(source_N.dtype, np.integer):
            return _by_number(path, source_N)
        if source_N.ndim == 1 and source_N.dtype.kind == "U":
            names, code_N = np.unique(source_N, return_inverse=True)
            return names.tolist(), code_N.astype(np.int32)
        raise ValueError(f"{path}: found {source_N.dtype} {source_N.shape}, expected integers or texts (N,)")
    names, code_N = np.unique(read_text(path).removesuffix("\n").split("\n"), return_inverse=True)
    return names.tolist(), code_N.astype(np.int32)


def _by_number(path: Path, source_N: np.ndarray) -> tuple[list[str], np.ndarray]:
    """As `_read_sources`, piece by piece: sorting a hundred million numbers takes a minute and gigabytes."""
    if len(source_N) and not 0 <= source_N.min() <= source_N.max() < _LARGEST_NUMBER:
        raise ValueError(
            f"{path}: found sources from {source_N.min()} to {source_N.max()}, expected numbers from 0 to "
            f"{_LARGEST_NUMBER - 1:,}"
        )
    starts = range(0, len(source_N), _ROWS_AT_ONCE)
    rows_S = np.zeros(int(source_N.max(initial=0)) + 1, np.int64)
    for start in starts:
        rows_S += np.bincount(source_N[start : start + _ROWS_AT_ONCE], minlength=len(rows_S))
    names = sorted(map(str, np.flatnonzero(rows_S).tolist()))  # as texts: "10" lies before "9"
    code_S = np.zeros(len(rows_S), np.int32)
    code_S[np.array(names, np.int64)] = np.arange(len(names))
    code_N = np.empty(len(source_N), np.int32)
    for start in starts:
        code_N[start : start + _ROWS_AT_ONCE] = code_S[source_N[start : start + _ROWS_AT_ONCE]]
    return names, code_N
