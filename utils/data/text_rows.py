"""Rows of a text file, read where they lie: only each row's offset is kept in memory."""

import os
import sys
import weakref
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..reading import parse_json, text_start
from .tables import table_of

NOT_UTF8 = "is not UTF-8 (byte {} of it): save the file as UTF-8"


class TextRows(ABC):
    """The rows of one file.

    Attributes:
        offsets: int64 (N + 1,). Row i lies in bytes offsets[i]:offsets[i + 1] of the file.
    """

    def __init__(self, path: Path, limit: int | None, offsets: array | None = None, name: Path | None = None):
        """Find the rows, unless it is known where they are.

        Args:
            path: of the file.
            limit: rows at most.
            offsets: where they are known already.
            name: of the file that it was unpacked from, for messages.

        Raises:
            ValueError: names the file and the line of what is no row.
        """
        self._path = path
        self._name = name or path
        self._start = text_start(path, self._name)
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)  # open as long as the pool lives
        if offsets is None:
            offsets = self._find_rows(sys.maxsize if limit is None else limit)
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with open(self._path, "rb") as file:
            file.seek(self.offsets[0])
            for row, (start, end) in enumerate(pairwise(self.offsets)):
                yield self._parse(row, file.read(end - start))

    def read(self, row: int) -> dict[str, Any]:
        return self._parse(row, self._bytes(row))

    @abstractmethod
    def line(self, row: int) -> bytes:
        """The row as one line of JSON."""

    def table(self, rows: Sequence[int]) -> Any:
        """The columns that at least one of the rows has, as a pyarrow.Table. A missing value is null."""
        return table_of([parse_json(self.line(row)) for row in rows])

    @abstractmethod
    def _find_rows(self, limit: int) -> array: ...

    @abstractmethod
    def _parse(self, row: int, content: bytes) -> dict[str, Any]: ...

    def _bytes(self, row: int) -> bytes:
        start = self.offsets[row]
        end = self.offsets[row + 1]
        # Not seek and read: forked data loader workers share this file's position.
        return os.pread(self._descriptor, end - start, start)

    def _error(self, line: int, fault: str) -> ValueError:
        return ValueError(f"{self._name}: line {line} {fault}")
