"""Files, folders and hub datasets that hold rows, and what reads each."""

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from ..config.schema import DataConfig
from ..reading import check_kind
from .csv_rows import CsvRows
from .dataset_rows import DatasetRows
from .json_rows import JsonDocument, JsonLines
from .text_rows import TextRows

TEXT_CONTAINERS: dict[str, type[TextRows]] = {".jsonl": JsonLines, ".json": JsonDocument, ".csv": CsvRows}
_SUFFIXES = (*TEXT_CONTAINERS, ".parquet")


class Container(Protocol):
    """Rows as mappings from column to value, and as lines of JSON."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[dict[str, Any]]: ...
    def read(self, row: int) -> dict[str, Any]: ...
    def line(self, row: int) -> bytes: ...


def open_rows(data: DataConfig, offsets: array | None = None) -> Container:
    """Open the rows of a pool.

    Args:
        data: where they are.
        offsets: of a text container's rows, where they are known.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a container that cannot be read, with the line of what is no row.
    """
    path = Path(data.path)
    if (is_local(data.path) or path.exists()) and not path.is_dir():
        check_kind(path, "data.path")
    if path.is_file() and path.suffix not in _SUFFIXES:
        raise ValueError(
            f"data.path: found {path.name}, expected a file whose name ends in {', '.join(_SUFFIXES)}, "
            "a folder or a dataset's hub name"
        )
    if path.is_file() and path.suffix in TEXT_CONTAINERS:
        return TEXT_CONTAINERS[path.suffix](path, data.limit, offsets)
    return DatasetRows(data)


def is_local(path: str) -> bool:
    """Whether a name that does not exist here can only be a path. A hub name is NAME or OWNER/NAME."""
    return path.endswith(_SUFFIXES) or path.startswith(("/", ".", "~")) or path.count("/") > 1
