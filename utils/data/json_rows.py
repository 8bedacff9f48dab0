"""Rows of .jsonl and .json files. Numbers stay the text they are written as."""

import codecs
import json
import os
import re
from array import array
from collections.abc import Iterator
from itertools import islice
from typing import IO, Any

import numpy as np

from .text_rows import NOT_UTF8, TextRows
from .values import NumberText

_CHUNK = 2**22  # bytes of a file read at once; a longer object of a .json file takes as many as it needs
# Characters. So near the end of a chunk, an error may come of a literal or escape cut in two.
_LONGEST_PART = 16
_TEXT_OR_SPACE = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")|\s+', re.DOTALL)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises: ValueError for a key given twice, of which `dict` would keep the last in silence."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"holds the key {twice!r} twice: keep one of them")
    return values


# One decoder for all rows: json.loads would look at its options once a row.
_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_int=NumberText, parse_float=NumberText)


def _decoded(line: str) -> Any:
    """As the decoder's `decode`, which looks for white space at both ends with a regular expression each."""
    if line.startswith("{"):
        value, end = _decoder.raw_decode(line)
        if line[end:] in ("\n", "\r\n", ""):
            return value
    return _decoder.decode(line)


_KINDS = {
    list: "a list",
    str: "a text or a number",
    NumberText: "a text or a number",
    bool: "true or false",
    type(None): "null",
    float: "NaN or an infinity",
}


def _hint(line: bytes) -> str:
    """What to do about a line that begins a document of several."""
    is_document = line.lstrip().startswith(b"[") or line.strip() == b"{"
    return "; let the name of one JSON document end in .json" if is_document else ""


class JsonLines(TextRows):
    """One object on each line."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with open(self._path, "rb") as file:
            file.seek(self._start)
            for row, content in enumerate(islice(file, len(self))):
                yield self._parse(row, content)

    def line(self, row: int) -> bytes:
        """Byte for byte as it was."""
        return self._bytes(row).rstrip(b"\r\n")

    def _find_rows(self, limit: int) -> array:
        offsets = array("q", [self._start])  # a list would take 36 bytes a row
        end = self._start
        with open(self._path, "rb") as file:
            file.seek(self._start)
            while len(offsets) <= limit and (chunk := file.read(_CHUNK)):
                line_ends = end + 1 + np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n"))
                offsets.frombytes(line_ends[: limit + 1 - len(offsets)].tobytes())
                end += len(chunk)
        if len(offsets) <= limit and offsets[-1] < end:
            offsets.append(end)  # the last line does not end
        # Blank lines at the end are no rows. Behind a limit there may be more rows: then they are a fault.
        size = os.fstat(self._descriptor).st_size
        ends_blank = len(offsets) > 1 and self._is_blank(offsets[-2], offsets[-1])
        if ends_blank and self._is_blank(offsets[-1], size):
            while len(offsets) > 1 and self._is_blank(offsets[-2], offsets[-1]):
                offsets.pop()
        return offsets

    def _is_blank(self, start: int, end: int) -> bool:
        return not os.pread(self._descriptor, end - start, start).strip()

    def _parse(self, row: int, content: bytes) -> dict[str, Any]:
        try:
            value = _decoded(content.decode())
        except UnicodeDecodeError as error:
            raise self._error(row + 1, NOT_UTF8.format(error.start)) from None
        except json.JSONDecodeError as error:
            found = f"is not JSON ({error.msg} at column {error.colno})"
            raise self._error(row + 1, f"{found}: expected one object on each line{_hint(content)}") from None
        except RecursionError:
            raise self._error(row + 1, "is nested too deeply: remove that column") from None
        except ValueError as error:
            raise self._error(row + 1, str(error)) from None
        if not isinstance(value, dict):
            fault = f"holds {_KINDS[type(value)]}, expected an object with named columns{_hint(content)}"
            raise self._error(row + 1, fault)
        return value


class JsonDocument(TextRows):
    """An array of objects, or objects one after another, over any number of lines."""

    def line(self, row: int) -> bytes:
        """The object as it was, on one line: without white space between its texts and numbers."""
        content = self._bytes(row).decode()
        dense = _TEXT_OR_SPACE.sub(lambda found: found[1] or "", content)
        return dense[: dense.rindex("}") + 1].encode()

    def _find_rows(self, limit: int) -> array:
        with open(self._path, "rb") as file:
            text = _JsonText(file, self._start)
            try:
                return _find_objects(text, limit)
            except RecursionError:
                raise self._error(text.line, "is nested too deeply: remove that column") from None
            except ValueError as error:
                raise self._error(text.line, str(error)) from None

    def _parse(self, row: int, content: bytes) -> dict[str, Any]:
        value, _ = _decoder.raw_decode(content.decode())  # `_find_rows` read it once without a fault
        return value


def _find_objects(text: "_JsonText", limit: int) -> array:
    """Where each object begins and where the last one ends, int64 (n + 1,).

    Raises: ValueError for what is no row, on the line `text.line`.
    """
    offsets = array("q", [text.offset])
    is_array = text.peek() == "["
    closing = "]" if is_array else ""
    if is_array:
        text.skip(1)
    while len(offsets) <= limit and text.peek() != closing:
        if text.peek() != "{":
            raise ValueError(f"{text.found()}, expected an object with named columns")
        offsets[-1] = text.offset  # what lies between two objects is no part of either
        text.skip_value()
        offsets.append(text.offset)
        if is_array and text.peek() == ",":
            text.skip(1)
            if text.peek() == closing:
                raise ValueError("has a comma before the closing bracket: remove it")
        elif is_array and text.peek() != closing:
            raise ValueError(f"{text.found()}, expected a comma or the closing bracket after an object")
    if is_array and text.peek() == closing:
        text.skip(1)
        if text.peek():
            raise ValueError(f"{text.found()} after the array, expected nothing")
    return offsets


class _JsonText:
    """A file's text, decoded piece by piece as it is read on.

    Attributes:
        offset: bytes before the place that is read next.
        line: the line of that place, from 1.
    """

    def __init__(self, file: IO[bytes], start: int):
        self.offset = start
        self.line = 1
        self._file = file
        self._file.seek(start)
        # Not `bytes.decode`: a piece may end within a character.
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""  # decoded so far, without what lies far behind
        self._place = 0  # in the text

    def peek(self) -> str:
        """The next character that is not white space, which stays the next. Empty at the end of the file."""
        while True:
            for place in range(self._place, len(self._text)):
                if self._text[place] not in " \t\r\n":
                    self.skip(place - self._place)
                    return self._text[self._place]
            self.skip(len(self._text) - self._place)
            if not self._read_on():
                return ""

    def found(self) -> str:
        """What comes next, for a message."""
        return f"has {self.peek()!r}" if self.peek() else "is the end of the file"

    def skip(self, num_characters: int) -> None:
        skipped = self._text[self._place : self._place + num_characters]
        self.offset += len(skipped.encode())
        self.line += skipped.count("\n")
        self._place += num_characters

    def skip_value(self) -> None:
        """Raises: ValueError if what comes next is no value."""
        while True:
            try:
                _, end = _decoder.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or error.pos > len(self._text) - _LONGEST_PART
                if is_cut and self._read_on():
                    continue
                self.skip(error.pos - self._place)
                raise ValueError(f"is not JSON ({error.msg} at column {error.colno})") from None
            self.skip(end - self._place)
            return

    def _read_on(self) -> bool:
        """Read as much again as is there: a long object is not decoded from its beginning over and over."""
        rest = self._text[self._place :]
        content = self._file.read(max(_CHUNK, len(rest)))
        try:
            more = self._decoder.decode(content, final=not content)
        except UnicodeDecodeError as error:
            self.line += rest.count("\n") + error.object.count(b"\n", 0, error.start)  # where the fault is
            raise ValueError("is not UTF-8: save the file as UTF-8") from None
        self._text = rest + more
        self._place = 0
        return bool(content)
