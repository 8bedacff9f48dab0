"""The pool: rows on disk read as examples, in order, with a fingerprint of their texts.

JSON Lines is read with the standard library and stays on disk (only line offsets are kept); other containers go
through `datasets`, imported only then. A row's number in the file is its identity in every artifact.

What was read of a large JSON Lines file is kept under res/.cache, by the sha256 of the file, of the settings and of the
code that reads: hashing a file takes a tenth of the time of parsing it, and a changed file is never taken for the old one.
"""

import csv
import hashlib
import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from utils.artifacts.files import read_arrays, save_arrays
from utils.artifacts.paths import cache_root
from utils.config.schema import DataConfig
from utils.data import formats
from utils.data.formats import Example, example_reader
from utils.terminal import first_of

_CACHED_FROM = 2**23  # bytes; a smaller file is read in no time
_decode_json = json.JSONDecoder().decode  # json.loads looks at its options once a row


class _Rows(Protocol):
    """Rows by number, as mappings and as lines of JSONL."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[dict[str, Any]]: ...
    def read(self, row: int) -> dict[str, Any]: ...
    def line(self, row: int) -> bytes: ...


class Pool:
    """All rows of `data.path` (up to `data.limit`), checked once on opening.

    Attributes:
        fingerprint: sha256 over the ordered texts and sources.
        source_names: distinct sources in ascending order; [""] where rows have none.
        source_codes: int32 (N,), index into source_names.
        excluded: bool (N,), rows without instruction or response under `invalid_rows: drop`; never used, never renumbered.
    """

    def __init__(self, data: DataConfig):
        """Raises: FileNotFoundError; ValueError for malformed rows (with line numbers), invalid rows (with row
        numbers), unknown formats, or a pool without a usable row."""
        self.data = data
        self._read_example = example_reader(data.format, data.columns, data.source_column)
        cache = _cache_path(data)
        if cache is not None and cache.is_file():
            read = read_arrays(cache)
            texts = json.loads(read["texts"].tobytes())
            self._rows: _Rows = _JsonLines(Path(data.path), data.limit, array("q", read["offsets"].tobytes()))
            self.fingerprint, self.source_names = texts["fingerprint"], texts["source_names"]
            self.source_codes, self.excluded = read["source_codes"], read["excluded"]
            return
        self._rows = _open_rows(data)
        self._read_all()
        if cache is not None:
            assert isinstance(self._rows, _JsonLines)
            texts = json.dumps({"fingerprint": self.fingerprint, "source_names": self.source_names}).encode()
            arrays = {
                "texts": np.frombuffer(texts, np.uint8),
                "offsets": np.frombuffer(self._rows.offsets, np.int64),
                "source_codes": self.source_codes,
                "excluded": self.excluded,
            }
            save_arrays(cache, arrays)

    def _read_all(self) -> None:
        codes: dict[str, int] = {}
        digest = hashlib.sha256()
        row_codes = np.empty(len(self._rows), np.int32)
        self.excluded = np.zeros(len(self._rows), bool)
        for row, (example, texts) in enumerate(self._checked_examples()):
            for text in texts:
                digest.update(len(text).to_bytes(8, "little"))
                digest.update(text)
            row_codes[row] = codes.setdefault(example.source, len(codes))
            if not example.instruction.strip() or not example.response.strip():
                self.excluded[row] = True
        self._refuse_invalid_rows()
        self.fingerprint = digest.hexdigest()
        self.source_names = sorted(codes)
        rank = {name: code for code, name in enumerate(self.source_names)}
        self.source_codes = np.array([rank[name] for name in codes], np.int32)[row_codes]

    @property
    def name(self) -> str:
        return self.data.path

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Example:
        return self._read_example(self._rows.read(row))

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def line(self, row: int) -> bytes:
        """The row as it was: byte for byte for JSON Lines, as JSON for other containers."""
        return self._rows.line(row)

    def column(self, name: str) -> Iterator[Any]:
        """Any column of the rows as they are, None where a row lacks it."""
        return (row.get(name) for row in self._rows)

    @property
    def usable_rows(self) -> np.ndarray:
        """int64, ascending: the rows that are not excluded."""
        return np.flatnonzero(~self.excluded)

    def _checked_examples(self) -> Iterator[tuple[Example, list[bytes]]]:
        """Every example with its texts as UTF-8; an error names the row."""
        rows, row = iter(self._rows), 0
        while True:
            try:
                example = self._read_example(next(rows))
                texts = (example.instruction, example.input, example.response, example.source)
                yield example, [text.encode() for text in texts]
            except StopIteration:
                return
            except UnicodeEncodeError:
                raise ValueError(
                    f"{self.data.path}: row {row} holds half a surrogate pair, which is no text: repair it"
                ) from None
            except ValueError as error:
                raise ValueError(f"{self.data.path}: row {row}: {error}") from None
            row += 1

    def _refuse_invalid_rows(self) -> None:
        invalid = np.flatnonzero(self.excluded)
        if len(invalid) and self.data.invalid_rows == "error":
            raise ValueError(
                f"{self.data.path}: {len(invalid)} of {len(self)} rows have no instruction or no response: rows "
                f"{first_of(invalid)} (counted from 0). Repair them, or set data.invalid_rows=drop to leave them unused"
            )
        if len(invalid) == len(self):
            raise ValueError(
                f"{self.data.path}: no usable row among {len(self)}: expected rows with text in both "
                f"the instruction and the response column (format {self.data.format})"
            )


def _cache_path(data: DataConfig) -> Path | None:
    """Where what is read of this pool is kept; None where it is not."""
    path = Path(data.path)
    if path.suffix != ".jsonl" or not path.is_file() or path.stat().st_size < _CACHED_FROM:
        return None
    digest = hashlib.sha256()
    for origin in (path, Path(__file__), Path(formats.__file__)):
        with open(origin, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    settings = data.model_dump(include={"format", "columns", "source_column", "limit", "invalid_rows"})
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return cache_root() / "pools" / f"{digest.hexdigest()}.npz"


def _open_rows(data: DataConfig) -> _Rows:
    path = Path(data.path)
    if path.suffix in (".jsonl", ".json", ".csv", ".parquet") and not path.exists():
        raise FileNotFoundError(f"data.path: {path} does not exist (current folder: {Path.cwd()})")
    if path.suffix == ".jsonl":
        return _JsonLines(path, data.limit)
    return _DatasetRows(data)


class _JsonLines:
    """A JSON Lines file, read by line offset."""

    def __init__(self, path: Path, limit: int | None, offsets: array | None = None):
        """Args: offsets: of the lines and of their end, where they are known."""
        self._path = path
        self._file = open(path, "rb")  # noqa: SIM115 (lives as long as the pool)
        if offsets is None:
            offsets = array("q", [0])  # a list would take 36 bytes a row
            for line in self._file:
                if limit is not None and len(offsets) > limit:
                    break
                offsets.append(offsets[-1] + len(line))
        self.offsets = offsets
        num_rows = len(offsets) - 1
        while num_rows and not self.line(num_rows - 1).strip():  # blank lines at the end are no rows
            num_rows -= 1
        self._num_rows = num_rows

    def __len__(self) -> int:
        return self._num_rows

    def line(self, row: int) -> bytes:
        start, end = self.offsets[row], self.offsets[row + 1]
        # Not seek and read: forked data loader workers share this file's position.
        return os.pread(self._file.fileno(), end - start, start).rstrip(b"\r\n")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with open(self._path, "rb") as file:
            for row in range(self._num_rows):
                yield self._parse(row, file.readline())

    def read(self, row: int) -> dict[str, Any]:
        return self._parse(row, self.line(row))

    def _parse(self, row: int, line: bytes) -> dict[str, Any]:
        try:
            value = _decode_json(line.decode("utf-8-sig" if row == 0 else "utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"line {row + 1} is not UTF-8 at byte {error.start}: convert the file") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"line {row + 1} is not JSON ({error.msg} at column {error.colno})") from None
        if not isinstance(value, dict):
            raise ValueError(f"line {row + 1} holds {type(value).__name__}, expected an object with named columns")
        return value


class _DatasetRows:
    """Any other container, through the `datasets` library."""

    def __init__(self, data: DataConfig):
        # A second to import, and selection from JSON Lines does without.
        import datasets
        from datasets.exceptions import DatasetGenerationError

        path = Path(data.path)
        readers = {".json": "json", ".parquet": "parquet"}
        try:
            if path.suffix == ".csv":  # as text: a column of numbers is a column of answers
                with open(path, encoding="utf-8-sig", newline="") as file:
                    loaded = datasets.Dataset.from_list(list(csv.DictReader(file)))
            elif path.is_file():
                if path.suffix not in readers:
                    raise ValueError(f"expected a file ending in .jsonl, .csv, {', '.join(readers)}")
                loaded = datasets.load_dataset(readers[path.suffix], data_files=str(path), split="train")
            else:
                loaded = datasets.load_dataset(data.path, data.name, split=data.split)
        except (DatasetGenerationError, ValueError, OSError) as error:
            cause = error.__cause__ or error
            raise ValueError(f"data.path: {data.path} cannot be read as a dataset: {cause}") from error
        assert isinstance(loaded, datasets.Dataset)
        self._rows: Any = loaded if data.limit is None else loaded.select(range(min(data.limit, len(loaded))))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._rows)

    def read(self, row: int) -> dict[str, Any]:
        return self._rows[row]

    def line(self, row: int) -> bytes:
        return json.dumps(self._rows[row], ensure_ascii=False, default=str).encode()
