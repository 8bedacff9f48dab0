"""The pool: rows on disk read as examples, in order, with a fingerprint of their texts.

The rows of text containers stay on disk, and only their offsets are kept. Other containers go through
`datasets`, imported only then. A row's number in the file is its identity in every artifact.

What was read of a large text file is kept under res/.cache. Its key is the sha256 of the file, the settings
and the code that reads. Hashing takes a tenth of the time of parsing, and a changed file is never taken
for the old one.
"""

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..artifacts.checksums import checksum
from ..artifacts.files import remove_leftovers, save_arrays
from ..artifacts.locks import locked
from ..artifacts.paths import cached_pool
from ..config.schema import DataConfig
from ..process.reporter import reporter
from ..reading import load_npz
from ..terminal import counted, first_of
from .containers import TEXT_CONTAINERS, open_rows
from .formats import Example, row_reader
from .text_rows import TextRows
from .values import source_name, text_of

_CACHED_FROM = 2**23  # bytes; a smaller file is read in no time


class Pool:
    """All rows of `data.path` up to `data.limit`, checked on opening. Attributes not named are as in `Rows`.

    Attributes:
        fingerprint: sha256 over the ordered texts and sources.
        source_names: [""] where rows have no source.
        excluded: under `invalid_rows: drop`, rows without instruction or response,
            or with a value that is no text. They keep their numbers.
    """

    has_texts = True

    def __init__(self, data: DataConfig):
        """Read every row, or recall what was read of the same file before.

        Raises:
            FileNotFoundError: no such file.
            ValueError: malformed rows (with line numbers), invalid rows (with row numbers),
                unknown columns, or no usable row.
        """
        self.data = data
        self.name = data.path
        self._reader = row_reader(data)
        cache = _cache_path(data)
        if cache is not None and self._recall(cache):
            return
        self._rows = open_rows(data)
        self._read_all()
        if cache is not None:
            self._keep(cache)

    def _recall(self, cache: Path) -> bool:
        """Take over what was read before. False where there is nothing, or nothing whole."""
        if not cache.is_file():
            return False
        try:
            arrays = load_npz(cache)
            texts = json.loads(arrays["texts"].tobytes())
            offsets = array("q", arrays["offsets"].tobytes())
            source_codes = arrays["source_codes"]
            excluded = arrays["excluded"]
        except (ValueError, KeyError):
            reporter.warn(f"note: {cache} is damaged: {self.name} is read again")
            return False
        self._rows = open_rows(self.data, offsets)
        self.fingerprint = texts["fingerprint"]
        self.source_names = texts["source_names"]
        self.source_codes = source_codes
        self.excluded = excluded
        return True

    def _keep(self, cache: Path) -> None:
        assert isinstance(self._rows, TextRows), "only text containers are kept"
        texts = {"fingerprint": self.fingerprint, "source_names": self.source_names}
        arrays = {
            # One file holds all, so that one rename makes it whole.
            # As JSON, since an array of texts takes as much for each as for the longest.
            "texts": np.frombuffer(json.dumps(texts).encode(), np.uint8),
            "offsets": np.frombuffer(self._rows.offsets, np.int64),
            "source_codes": self.source_codes,
            "excluded": self.excluded,
        }
        with locked(cache):
            remove_leftovers(cache.parent, cache.name)
            save_arrays(cache, arrays)

    def _read_all(self) -> None:
        """Read every row once. Raises: ValueError."""
        reader = self._reader
        digest = hashlib.sha256()
        codes: dict[str, int] = {}  # text of a source -> its number, in the order of appearance
        row_codes = np.empty(len(self._rows), np.int32)
        self.excluded = np.zeros(len(self._rows), bool)
        faults: dict[str, list[int]] = {}  # what is wrong -> rows
        unseen = set(reader.named_columns)  # by no row so far
        for row, values in enumerate(self._rows):
            if unseen:
                unseen.difference_update(values)
            texts = reader.texts(values)
            instruction, _, response, source = texts
            digest.update(self._as_bytes(row, texts))
            row_codes[row] = codes.setdefault(source, len(codes))
            if not instruction.strip() or not response.strip():
                self.excluded[row] = True
                faults.setdefault(reader.fault(values), []).append(row)
                if self.data.invalid_rows == "error":  # then not only at the end of a large pool
                    self._refuse_unseen(unseen & {reader.instruction, reader.response})
        self._refuse_unseen(unseen)
        self._refuse_near_names()
        self._refuse_invalid_rows(faults)
        self.fingerprint = digest.hexdigest()
        self.source_names = sorted(set(map(source_name, codes)))
        rank = {name: code for code, name in enumerate(self.source_names)}
        self.source_codes = np.array([rank[source_name(text)] for text in codes], np.int32)[row_codes]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Example:
        return self._reader.example(self._rows.read(row))

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def line(self, row: int) -> bytes:
        """The row as it was: byte for byte for JSON Lines, as JSON for other containers."""
        return self._rows.line(row)

    def column(self, name: str) -> Iterator[str | None]:
        """The texts of any column. Empty where a row lacks it, None where its value is no text."""
        return (text_of(row.get(name)) for row in self._rows)

    @property
    def usable_rows(self) -> np.ndarray:
        """int64, ascending: the rows that are not excluded."""
        return np.flatnonzero(~self.excluded)

    def _as_bytes(self, row: int, texts: Iterable[str]) -> bytes:
        """The texts, each after its length, so that "a", "bc" is not "ab", "c"."""
        parts = []
        try:
            for text in texts:
                content = text.encode()
                parts += (len(content).to_bytes(8, "little"), content)
        except UnicodeEncodeError:
            raise ValueError(
                f"{self.data.path}: row {row} holds half a surrogate pair, which is no text: repair it"
            ) from None
        return b"".join(parts)

    def _refuse_unseen(self, columns: set[str]) -> None:
        """Refuse columns that no row has."""
        if columns and len(self):
            there = list(self._rows.read(0))
            raise ValueError(
                f"{self.data.path}: no column {' and '.join(map(repr, sorted(columns)))} (there are "
                f"{', '.join(map(repr, there)) or 'none'}): set data.columns"
            )

    def _refuse_near_names(self) -> None:
        """Refuse to leave a column unread because of spaces or the case of its name."""
        there = list(self._rows.read(0)) if len(self) else []
        expected = {"data.columns.input": self._reader.input, "data.source_column": self._reader.source}
        for setting, column in expected.items():
            if not column or column in there:
                continue
            for near in there:
                if _plain(near) == _plain(column):
                    raise ValueError(
                        f"{self.data.path}: found the column {near!r}, expected {column!r}: "
                        f"set {setting}={near!r}, or give a column that is not meant another name"
                    )

    def _refuse_invalid_rows(self, faults: dict[str, list[int]]) -> None:
        num_invalid = int(self.excluded.sum())
        if num_invalid and self.data.invalid_rows == "error":
            found = f"{num_invalid} of {counted(len(self), 'row')} cannot be used (rows count from 0)"
            lines = [
                f"  {fault}: {counted(len(rows), 'row')} ({first_of(rows)})" for fault, rows in faults.items()
            ]
            way_out = "Repair them, or set data.invalid_rows=drop to leave them unused"
            raise ValueError("\n".join([f"{self.data.path}: {found}:", *lines, way_out]))
        if not len(self):
            raise ValueError(
                f"{self.data.path}: found no rows, expected some: is the file the right one, and whole?"
            )
        if num_invalid == len(self):
            raise ValueError(
                f"{self.data.path}: no usable row among {len(self)}: expected rows with text in both "
                f"{self._reader.instruction!r} and {self._reader.response!r}"
            )


def _plain(name: str) -> str:
    return name.strip().casefold()


def _cache_path(data: DataConfig) -> Path | None:
    """Where what was read of this pool is kept. None where it is not."""
    path = Path(data.path)
    if path.suffix not in TEXT_CONTAINERS or not path.is_file() or path.stat().st_size < _CACHED_FROM:
        return None
    digest = hashlib.sha256(path.suffix.encode())
    code = (Path(__file__).parents[1] / "reading.py", *sorted(Path(__file__).parent.glob("*.py")))
    for origin in (path, *code):
        digest.update(bytes.fromhex(checksum(origin)))
    settings = data.model_dump(include={"format", "columns", "source_column", "limit", "invalid_rows"})
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return cached_pool(digest.hexdigest())
