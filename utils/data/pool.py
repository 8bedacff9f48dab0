"""The pool: rows on disk read as examples, in order, with a fingerprint of their texts.

The rows of text containers stay on disk, and only their offsets are kept. Other containers go through
`datasets`, imported only then. A row's number, over all files, is its identity in every artifact.

What was read of large files is kept under res/.cache. Its key is the sha256 of each file, the settings
and the code that reads. Hashing takes a tenth of the time of parsing, and a changed file is never taken
for the old one.
"""

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts.checksums import checksum, checksum_of_json
from ..artifacts.files import remove_leftovers, save_arrays
from ..artifacts.locks import locked
from ..artifacts.paths import cached_pool
from ..config.schema import DataConfig
from ..process.reporter import reporter
from ..reading import load_npz
from ..terminal import counted, first_of
from .containers import open_rows, parts_of, text_suffix
from .formats import Example, fitting_format
from .joined_rows import Part
from .preferences import PAIR, refusal_of_pairs
from .text_rows import TextRows
from .values import source_name, text_of

_CACHED_FROM = 2**23  # bytes; less is read in no time
_NUM_FAULTS_SHOWN = 20  # lines of a message


class Pool:
    """All rows of `data.path` up to `data.limit`, checked on opening. Attributes not named are as in `Rows`.

    Attributes:
        fingerprint: sha256 over the ordered texts and sources.
        texts_fingerprint: likewise over the texts alone, all that a loss depends on.
        source_names: [""] where rows have no source.
        excluded: under `invalid_rows: drop`, rows without instruction or response,
            or with a value that is no text. They keep their numbers.
    """

    has_texts = True

    def __init__(self, data: DataConfig):
        """Read every row, or recall what was read of the same files before.

        Raises:
            FileNotFoundError: no such file.
            ValueError: malformed rows (with line numbers), invalid rows (with row numbers),
                unknown columns, or no usable row.
        """
        self.data = data
        self.name = data.origin
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
            pieces = np.split(arrays["offsets"], arrays["ends"][:-1])
            offsets = [array("q", piece.tobytes()) for piece in pieces]
            source_codes = arrays["source_codes"]
            excluded = arrays["excluded"]
        except (ValueError, KeyError):
            reporter.warn(f"note: {cache} is damaged: {self.name} is read again")
            return False
        self._rows = open_rows(self.data, offsets)
        self.fingerprint = texts["fingerprint"]
        self.texts_fingerprint = texts["texts_fingerprint"]
        self.source_names = texts["source_names"]
        self.source_codes = source_codes
        self.excluded = excluded
        return True

    def _keep(self, cache: Path) -> None:
        offsets: list[array] = []
        for part in self._rows.parts:
            offsets.append(part.rows.offsets if isinstance(part.rows, TextRows) else array("q"))
        texts = {
            "fingerprint": self.fingerprint,
            "texts_fingerprint": self.texts_fingerprint,
            "source_names": self.source_names,
        }
        arrays = {
            # One file holds all, so that one rename makes it whole.
            # As JSON, since an array of texts takes as much for each as for the longest.
            "texts": np.frombuffer(json.dumps(texts).encode(), np.uint8),
            "offsets": np.concatenate([np.frombuffer(of_part, np.int64) for of_part in offsets]),
            "ends": np.cumsum([len(of_part) for of_part in offsets]),
            "source_codes": self.source_codes,
            "excluded": self.excluded,
        }
        with locked(cache):
            remove_leftovers(cache.parent, cache.name)
            save_arrays(cache, arrays)

    def _read_all(self) -> None:
        """Read every row once. Raises: ValueError."""
        digest = hashlib.sha256()
        digest_of_texts = hashlib.sha256()
        codes: dict[str, int] = {}  # text of a source -> its number, in the order of appearance
        row_codes = np.empty(len(self._rows), np.int32)
        self.excluded = np.zeros(len(self._rows), bool)
        faults: dict[tuple[str, str], list[int]] = {}  # (part, what is wrong) -> rows of the part
        unseen = {name for part in self._rows.parts for name in part.reader.named_columns}  # in no row so far
        row = 0
        for part in self._rows.parts:
            self._refuse_pairs_of_answers(part)
            reader = part.reader
            required = set(reader.needed_columns)  # and not seen in this part
            for row_of_part, values in enumerate(part):
                if unseen or required:
                    unseen.difference_update(values)
                    required.difference_update(values)
                if unread := reader.unread_context(values):
                    raise ValueError(
                        f"{part.name}, row {row_of_part}: {unread}. If the column means something else, "
                        "rename it"
                    )
                texts = reader.texts(values)
                instruction, _, response, source = texts
                of_texts = self._as_bytes(row, texts[:-1])
                asks_nothing = not instruction.strip() and reader.asks_nothing(values)
                if asks_nothing and response.strip():
                    of_texts += b"every turn is scored"  # once such a row was unused: its pool is another one
                digest_of_texts.update(of_texts)
                digest.update(of_texts + self._as_bytes(row, texts[-1:]))
                row_codes[row] = codes.setdefault(source, len(codes))
                if not (instruction.strip() or asks_nothing) or not response.strip():
                    self.excluded[row] = True
                    faults.setdefault((part.name, reader.fault(values)), []).append(row_of_part)
                    if self.data.invalid_rows == "error":  # then not only at the end of a large pool
                        self._refuse_unseen(required, part)
                row += 1
            self._refuse_unseen(required, part)
            self._refuse_near_names(part)
        self._refuse_unseen(unseen)
        self._refuse_invalid_rows(faults)
        self.fingerprint = digest.hexdigest()
        self.texts_fingerprint = digest_of_texts.hexdigest()
        self.source_names = sorted(set(map(source_name, codes)))
        rank = {name: code for code, name in enumerate(self.source_names)}
        self.source_codes = np.array([rank[source_name(text)] for text in codes], np.int32)[row_codes]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Example:
        part, row_of_part = self._rows.place(row)
        return part.example(row_of_part)

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def line(self, row: int) -> bytes:
        """The row as it was: byte for byte for JSON Lines, as JSON for other containers."""
        return self._rows.line(row)

    def origin_of(self, row: int) -> str:
        """The pool, or of several files the one that holds a row, and the row's number in it."""
        if len(self._rows.parts) == 1:
            return self.name
        part, row_of_part = self._rows.place(row)
        return f"{part.name}, row {row_of_part}"

    def table(self, rows: Sequence[int]) -> Any:
        """These rows with all their columns, as a pyarrow.Table."""
        return self._rows.table(rows)

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
            part, row_of_part = self._rows.place(row)
            raise ValueError(
                f"{part.name}: row {row_of_part} holds half a surrogate pair, which is no text: repair it"
            ) from None
        return b"".join(parts)

    def _refuse_unseen(self, columns: set[str], part: Part | None = None) -> None:
        """Refuse columns that no row has: those of a field in the pool, those of every example in a part."""
        if not columns:
            return
        name = self.name if part is None else part.name
        first = self._rows.parts[0].rows.read(0) if part is None else part.rows.read(0)
        refusal = None if part is None else refusal_of_pairs(first)
        raise ValueError(
            f"{name}: {refusal}"
            if refusal
            else f"{name}: no column {' and '.join(map(repr, sorted(columns)))} (there are "
            f"{', '.join(map(repr, first)) or 'none'}): {self._way_to_columns(first)}"
        )

    def _way_to_columns(self, row: Mapping[str, Any]) -> str:
        """What to set where a row lacks a column: the format that it has, else the names of its columns."""
        fitting = fitting_format(row)
        if fitting is None:
            return "set data.columns"
        if len(self.data.parts) == 1:
            return f"set data.format={fitting}"
        return f"give its entry of data.path `format: {fitting}`"

    def _refuse_pairs_of_answers(self, part: Part) -> None:
        """Refuse turns that end in a question, whose two answers stand in columns of their own."""
        if not part.reader.is_one_column or part.reader.response in PAIR:
            return
        refusal = refusal_of_pairs(part.read(0))
        if refusal:
            raise ValueError(f"{part.name}: {refusal}")

    def _refuse_near_names(self, part: Part) -> None:
        """Refuse to leave a column unread because of spaces or the case of its name."""
        there = list(part.read(0))
        reader = part.reader
        expected = {
            "data.columns.input": reader.input,
            "data.columns.system": reader.system,
            "data.columns.tools": reader.tools,
            "data.source_column": reader.source,
        }
        for setting, column in expected.items():
            if not column or column in there:
                continue
            for near in there:
                if _plain(near) == _plain(column):
                    raise ValueError(
                        f"{part.name}: found the column {near!r}, expected {column!r}: "
                        f"set {setting}={near!r}, or give a column that is not meant another name"
                    )

    def _refuse_invalid_rows(self, faults: dict[tuple[str, str], list[int]]) -> None:
        num_invalid = int(self.excluded.sum())
        if num_invalid and self.data.invalid_rows == "error":
            in_each = " in each file" if len(self._rows.parts) > 1 else ""
            found = (
                f"{num_invalid} of {counted(len(self), 'row')} cannot be used (rows count from 0{in_each})"
            )
            way_out = "Repair them, or set data.invalid_rows=drop to leave them unused"
            if any(fault.endswith(f" in {self.data.source_column!r}") for _, fault in faults):
                way_out += ", or name another column of sources in data.source_column"
            raise ValueError("\n".join([f"{self.name}: {found}:", *self._fault_lines(faults), way_out]))
        if num_invalid == len(self):
            found = f"no usable row among {len(self)}"
            readers = [part.reader for part in self._rows.parts]
            needed = dict.fromkeys(" and ".join(map(repr, reader.needed_columns)) for reader in readers)
            way_out = f"Expected rows with text in {', or in '.join(needed)}"
            raise ValueError("\n".join([f"{self.name}: {found}:", *self._fault_lines(faults), way_out]))

    def _fault_lines(self, faults: dict[tuple[str, str], list[int]]) -> list[str]:
        """Which rows have which fault, a line for each fault of each file."""
        is_one = len(self._rows.parts) == 1
        lines = [
            f"  {'' if is_one else f'{name}: '}{fault}: {counted(len(rows), 'row')} ({first_of(rows)})"
            for (name, fault), rows in faults.items()
        ]
        num_left = len(lines) - _NUM_FAULTS_SHOWN
        return [*lines[:_NUM_FAULTS_SHOWN], *([f"  and {num_left:,} more"] if num_left > 0 else [])]


def _plain(name: str) -> str:
    return name.strip().casefold()


def _cache_path(data: DataConfig) -> Path | None:
    """Where what was read of this pool is kept. None where it is not."""
    parts = parts_of(data)
    files = [Path(part.path) for part in parts]
    suffixes = [file.suffix if file.suffix == ".parquet" else text_suffix(file) for file in files]
    if None in suffixes or not all(file.is_file() for file in files):
        return None
    if sum(file.stat().st_size for file in files) < _CACHED_FROM:
        return None
    # All but where the rows are and what is made of them: a setting that comes later counts by itself.
    settings = data.model_dump(exclude={"path", "split", "name", "template", "max_length", "validation"})
    contents = [
        [suffix, checksum(file), part.model_dump(exclude={"path"})]
        for suffix, file, part in zip(suffixes, files, parts, strict=True)
    ]
    code = (Path(__file__).parents[1] / "reading.py", *sorted(Path(__file__).parent.glob("*.py")))
    key = [settings, contents, [checksum(origin) for origin in code]]
    return cached_pool(checksum_of_json(key))
