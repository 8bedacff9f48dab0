"""Compressed text files: unpacked once under res/.cache, and read there as any other.

Rows are read by their offsets, which a compressed file does not have.
"""

import gzip
from pathlib import Path
from typing import IO, Any

from ..artifacts.checksums import checksum
from ..artifacts.files import atomic_write, remove_leftovers
from ..artifacts.locks import locked
from ..artifacts.paths import unpacked_file
from ..process.errors import explained
from ..terminal import size

PACKED_SUFFIXES = (".gz", ".zst")
_PIECE = 2**22  # bytes
# A few megabytes can unfold into a full disk. Text gives a tenth, rows that repeat one another a hundredth.
_LARGEST_RATIO = 100
_NEVER_TOO_LARGE = 2**30  # bytes


def unpacked(path: Path) -> Path:
    """The contents of a .gz or .zst file, as a file.

    Raises: ValueError for a file that is damaged, or that unfolds into a hundred times its size.
    """
    target = unpacked_file(checksum(path), Path(path.stem).suffix)
    if not target.is_file():
        with locked(target):
            if not target.is_file():  # another process may have held the lock
                remove_leftovers(target.parent, target.name)
                _unpack(path, target)
    return target


def _unpack(path: Path, target: Path) -> None:
    allowed = max(_NEVER_TOO_LARGE, _LARGEST_RATIO * path.stat().st_size)
    found = f"{path}: found no whole {path.suffix} file"
    way_out = "copy or write it again, or let its name say what it is"
    with explained(found, way_out), atomic_write(target, "wb") as file, _opened(path) as packed:
        while piece := packed.read(_PIECE):
            file.write(piece)
            if file.tell() > allowed:
                raise ValueError(
                    f"{path}: found {size(path.stat().st_size)} that unfold into more than {size(allowed)}, "
                    "expected rows of text: look at what it holds, and unpack it yourself if it is right"
                )


def _opened(path: Path) -> IO[bytes] | Any:
    if path.suffix == ".gz":
        return gzip.open(path)
    # As long to import as all else, and only here.
    import pyarrow

    return pyarrow.input_stream(str(path), compression="zstd")
