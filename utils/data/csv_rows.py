"""Rows of .csv files: a header, commas, quotes as in RFC 4180. Every cell is text."""

import csv
import json
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..terminal import counted
from .text_rows import NOT_UTF8, TextRows

csv.field_size_limit(sys.maxsize)  # the module's own limit is 131,072 characters a cell


class CsvRows(TextRows):
    """Records, found by reading the file once as `csv` does: a quoted cell may hold line breaks."""

    def __init__(self, path: Path, limit: int | None, offsets: array | None = None, name: Path | None = None):
        self._header: list[str] = []
        super().__init__(path, limit, offsets, name)
        if not self._header:
            self._header = next(self._records(_Lines(path, self._start)))

    def line(self, row: int) -> bytes:
        return json.dumps(self.read(row), ensure_ascii=False).encode()

    def _find_rows(self, limit: int) -> array:
        lines = _Lines(self._path, self._start)
        records = self._records(lines)
        self._header = next(records, [])
        if not self._header:
            raise ValueError(
                f"{self._name}: found nothing in the first line, expected the names of the columns"
            )
        self._check_header()
        offsets = array("q", [lines.offset])
        line = lines.number + 1  # of the record that comes next
        blank: int | None = None  # the first blank line behind the last record
        for cells in records:
            if len(offsets) > limit:
                break
            if not "".join(cells).strip() and len(cells) < 2:
                blank = blank or line  # at the end of the file it is no row
            elif blank is not None:
                raise self._error(blank, "is blank: remove it")
            elif len(cells) != len(self._header):
                raise self._error(
                    line,
                    f"has {counted(len(cells), 'cell')}, the header has {len(self._header)}: "
                    "put a cell that holds a comma, a quote or a line break into double quotes",
                )
            else:
                offsets.append(lines.offset)
            line = lines.number + 1
        return offsets

    def _check_header(self) -> None:
        """Raises: ValueError for names between other marks than commas, and for a name given twice."""
        if len(self._header) == 1:
            for mark in ";\t|":
                if mark in self._header[0]:
                    found = f"has {mark!r} between the names of the columns"
                    raise self._error(1, f"{found}, expected commas: save it with commas")
        for name, times in Counter(self._header).items():
            if times > 1:
                raise self._error(1, f"names the column {name!r} {times} times: rename or remove one")

    def _records(self, lines: "_Lines") -> Iterator[list[str]]:
        reader = csv.reader(lines, strict=True)
        line = 1  # where the record that comes next begins
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except UnicodeDecodeError as error:
                raise self._error(lines.number, NOT_UTF8.format(error.start)) from None
            except csv.Error as error:
                fault = (
                    "opens a quote that is never closed"
                    if lines.at_end
                    else f"has a quote out of place ({error})"
                )
                raise self._error(
                    line, f"{fault}: close it, and double quotes inside a quoted cell"
                ) from None
            yield cells
            line = lines.number + 1

    def _parse(self, row: int, content: bytes) -> dict[str, Any]:
        (cells,) = csv.reader([content.decode()], strict=True)  # `_find_rows` read it once without a fault
        return dict(zip(self._header, cells, strict=True))


class _Lines:
    r"""Lines of a file with their ends, which may be \n, \r\n or \r, as text.

    Attributes:
        offset: bytes before the next line.
        number: lines so far.
        at_end: whether all were read.
    """

    def __init__(self, path: Path, start: int):
        self.offset = start
        self.number = 0
        self.at_end = False
        self._path = path

    def __iter__(self) -> Iterator[str]:
        with open(self._path, "rb") as file:
            file.seek(self.offset)
            for to_line_feed in file:  # bytes know no other line end than \n
                parts = to_line_feed.splitlines(keepends=True) if b"\r" in to_line_feed else [to_line_feed]
                for line in parts:
                    self.offset += len(line)
                    self.number += 1
                    yield line.decode()
        self.at_end = True
