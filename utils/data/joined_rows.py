"""Rows of several files as those of one: numbered over the files, in the order given."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Any, Protocol

from .formats import Example, RowReader
from .tables import joined_tables


class Container(Protocol):
    """Rows as mappings from column to value, as lines of JSON, and as tables of pyarrow."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[dict[str, Any]]: ...
    def read(self, row: int) -> dict[str, Any]: ...
    def line(self, row: int) -> bytes: ...
    def table(self, rows: Sequence[int]) -> Any: ...


@dataclass(frozen=True)
class Part:
    """The rows of one file, folder or dataset.

    Attributes:
        name: where they are.
        rows: numbered from 0.
        reader: makes examples of them.
        constants: column -> value, of all rows whatever they say themselves.
    """

    name: str
    rows: Container
    reader: RowReader
    constants: dict[str, str]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if not self.constants:
            return iter(self.rows)
        return (values | self.constants for values in self.rows)

    def read(self, row: int) -> dict[str, Any]:
        return self.rows.read(row) | self.constants

    def example(self, row: int) -> Example:
        return self.reader.example(self.read(row))


class JoinedRows:
    """The rows of all parts, one part after the other.

    Attributes:
        parts: in the order of their rows.
    """

    def __init__(self, parts: Sequence[Part]):
        self.parts = parts
        self._starts = list(accumulate((len(part.rows) for part in parts), initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for part in self.parts:
            yield from part

    def read(self, row: int) -> dict[str, Any]:
        part, row_of_part = self.place(row)
        return part.read(row_of_part)

    def line(self, row: int) -> bytes:
        """The row as it was, without the constants of its part."""
        part, row_of_part = self.place(row)
        return part.rows.line(row_of_part)

    def table(self, rows: Sequence[int]) -> Any:
        """Ascending rows with the columns that at least one of them has, as a pyarrow.Table."""
        places = [self.place(row) for row in rows]
        tables = [
            part.rows.table([row_of_part for _, row_of_part in of_part])
            for part, of_part in groupby(places, itemgetter(0))
        ]
        return joined_tables(tables)

    def place(self, row: int) -> tuple[Part, int]:
        """The part that holds a row, and the row's number in it. Raises: IndexError."""
        number = bisect_right(self._starts, row) - 1
        return self.parts[number], row - self._starts[number]
