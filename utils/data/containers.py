"""Files, folders and hub datasets that hold rows, and what reads each."""

import os
import resource
from array import array
from collections.abc import Sequence
from pathlib import Path

from ..config.schema import DataConfig, PoolPart
from ..process.hub import can_only_be_a_path
from ..reading import check_kind, matching_paths
from .csv_rows import CsvRows
from .dataset_rows import DatasetRows
from .formats import row_reader
from .joined_rows import Container, JoinedRows, Part
from .json_rows import JsonDocument, JsonLines
from .text_rows import TextRows
from .unpacking import PACKED_SUFFIXES, unpacked

_TEXT_CONTAINERS: dict[str, type[TextRows]] = {".jsonl": JsonLines, ".json": JsonDocument, ".csv": CsvRows}
_SUFFIXES = (*_TEXT_CONTAINERS, ".parquet")
_OTHERS_OPEN = 100  # files that a process has open besides
_PACKED = tuple(text + packed for text in _TEXT_CONTAINERS for packed in PACKED_SUFFIXES)


def open_rows(data: DataConfig, offsets: Sequence[array] | None = None) -> JoinedRows:
    """Open the rows of a pool.

    Args:
        data: where they are.
        offsets: of each file's rows, where they are known.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a container that cannot be read, with the line of what is no row, or one without rows.
    """
    parts: list[Part] = []
    num_rows = 0
    for entry in parts_of(data):
        if num_rows == data.limit:
            break
        limit = None if data.limit is None else data.limit - num_rows
        rows = _open_part(entry.path, data, limit, None if offsets is None else offsets[len(parts)])
        if not len(rows):
            raise ValueError(
                f"{entry.path}: found no rows, expected some: is the file the right one, and whole?"
            )
        constants = {} if entry.source is None else {data.source_column: entry.source}
        parts.append(Part(entry.path, rows, row_reader(data.read_as(entry)), constants))
        num_rows += len(rows)
    return JoinedRows(parts)


def parts_of(data: DataConfig) -> list[PoolPart]:
    """The entries of `data.path`, each pattern replaced by what matches it.

    Raises:
        FileNotFoundError: nothing does.
        ValueError: rows would be read twice, or more files be open than a process may have.
    """
    parts: list[PoolPart] = []
    for entry in data.parts:
        paths = matching_paths(entry.path)
        if not paths:
            raise FileNotFoundError(
                f"data.path: nothing matches the pattern {entry.path} (current folder: {Path.cwd()})"
            )
        parts += [entry.model_copy(update={"path": path}) for path in paths]
    may_be_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if len(parts) > may_be_open - _OTHERS_OPEN:
        raise ValueError(
            f"data.path: found {len(parts):,} files, which stay open, expected at most "
            f"{may_be_open - _OTHERS_OPEN:,}: join some, or raise the limit (ulimit -n {2 * len(parts)})"
        )
    seen: dict[str, str] = {}
    for part in parts:
        place = _place(part.path)
        if place in seen:
            earlier = "" if seen[place] == part.path else f" (first as {seen[place]})"
            raise ValueError(
                f"data.path: found {part.path} twice{earlier}, expected each once: remove one of the two"
            )
        seen[place] = part.path
    return parts


def _place(path: str) -> str:
    """Behind links, and without "..". What is no path stays, to be refused where it is opened."""
    try:
        return os.path.realpath(path)
    except ValueError:  # a null byte
        return path


def _open_part(path: str, data: DataConfig, limit: int | None, offsets: array | None) -> Container:
    """Raises: as `open_rows`."""
    place = Path(path)
    if (is_local(path) or place.exists()) and not place.is_dir():
        check_kind(place, "data.path")
    if not place.is_file():
        return DatasetRows(path, data, limit)
    suffix = text_suffix(place)
    if suffix is not None:
        text_file = unpacked(place) if place.suffix in PACKED_SUFFIXES else place
        return _TEXT_CONTAINERS[suffix](text_file, limit, offsets, name=place)
    if place.suffix not in _SUFFIXES:
        raise ValueError(
            f"data.path: found {place.name}, expected a file whose name ends in {', '.join(_SUFFIXES)} "
            f"(with {' or '.join(PACKED_SUFFIXES)} behind all but the last), a folder or a dataset's hub name"
        )
    return DatasetRows(path, data, limit)


def text_suffix(path: Path) -> str | None:
    """`.jsonl` for `a.jsonl` and `a.jsonl.gz`, likewise the other text containers. None for all else."""
    suffix = Path(path.stem).suffix if path.suffix in PACKED_SUFFIXES else path.suffix
    return suffix if suffix in _TEXT_CONTAINERS else None


def is_local(path: str) -> bool:
    """Whether a name that does not exist here can only be a path."""
    return path.endswith((*_SUFFIXES, *_PACKED)) or can_only_be_a_path(path)
