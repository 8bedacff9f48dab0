"""What files held when they were written: sha256, kept in the manifest beside them, compared on reading."""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..reading import load_npy, open_bytes

_SETTLED_AFTER = 2.0  # seconds: the coarsest clock of a file system
_known: dict[tuple[int, ...], str] = {}


def checksum(path: Path) -> str:
    """sha256 of a file. Weights that many runs of an experiment share are read once in a process."""
    with open_bytes(path) as file:
        status = os.fstat(file.fileno())
        version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        # Within a tick of the clock a file may change once more and look the same.
        is_settled = time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED_AFTER
        if version not in _known:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if not is_settled:
                return digest
            _known[version] = digest
        return _known[version]


def checksums_of(paths: Iterable[Path]) -> dict[str, str]:
    """Name of each file -> its sha256, in the order of the names."""
    return {path.name: checksum(path) for path in sorted(paths)}


def checksum_of_json(values: Any) -> str:
    """sha256 of what JSON makes of these values. The order of a mapping's keys has no say."""
    read_again = json.loads(json.dumps(values))  # keys that are numbers become texts
    return hashlib.sha256(json.dumps(read_again, sort_keys=True).encode()).hexdigest()


def checksum_of_rows(rows: np.ndarray) -> str:
    """sha256 of row numbers, whatever their type."""
    return hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()


def check_contents(path: Path, recorded: Mapping[str, str] | None, way_out: str) -> None:
    """Refuse a file that has changed since it was written. One that an earlier version wrote is not checked.

    Args:
        recorded: name of a file -> sha256, as its manifest says. None in manifests of earlier versions.
        way_out: what to do.

    Raises: FileNotFoundError, ValueError.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is gone: {way_out}")
    expected = (recorded or {}).get(path.name)
    if expected is not None and checksum(path) != expected:
        raise ValueError(f"{path}: found other contents than were written (sha256): {way_out}")


def load_whole_numbers(
    path: Path, recorded: Mapping[str, str] | None, length: int, way_out: str
) -> np.ndarray:
    """int32 (length,), memory-mapped, as it was written.

    Args:
        recorded: as in `check_contents`.
        way_out: what to do.

    Raises: FileNotFoundError, ValueError.
    """
    check_contents(path, recorded, way_out)
    array = load_npy(path)
    if array.dtype != np.int32 or array.shape != (length,):
        raise ValueError(f"{path}: found {array.dtype} {array.shape}, expected int32 ({length},): {way_out}")
    return array
