"""A file exists under its name only when it is whole: write beside it, flush to disk, rename."""

import contextlib
import json
import math
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..process.errors import naming
from ..reading import parse_json, read_text
from .paths import scratch_root

_A_DAY = 24 * 60 * 60  # seconds
_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary neighbour of `path` to write.

    On success it takes the name. On any error (a full disk) it is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with naming(path):
            yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file to write under the name `path`, which is there whole if the context ends without an error.

    Otherwise it is not there at all.
    """
    with _beside(path) as temporary, open(temporary, mode, encoding=None if "b" in mode else "utf-8") as file:
        yield file


def write_json(path: Path, value: Any) -> None:
    with atomic_write(path) as file:
        file.write(_indented(value, "\n"))
        file.write("\n")


def _indented(value: Any, margin: str) -> str:
    """What `json` writes with `indent=2`, in half the time, which of a million sources is half a minute.

    Args:
        margin: a line break and the blanks before the closing bracket.
    """
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return repr(value)
    inside = margin + "  "
    if isinstance(value, dict) and value:
        items = [f"{_key(key)}: {_indented(item, inside)}" for key, item in value.items()]
        return f"{{{inside}{f',{inside}'.join(items)}{margin}}}"
    if isinstance(value, list | tuple) and value:
        items = [_indented(item, inside) for item in value]
        return f"[{inside}{f',{inside}'.join(items)}{margin}]"
    return _json.encode(value)


def _key(key: Any) -> str:
    return json.encoder.encode_basestring(key) if isinstance(key, str) else _json.encode({key: 0})[1:-4]


def read_json(path: Path) -> Any:
    """Raises: FileNotFoundError, or ValueError for a damaged file."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: run the command that makes it again")
    text = read_text(path)
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}): remove it and run the command that makes it again"
        ) from None


def save_array(path: Path, array: np.ndarray) -> None:
    with atomic_write(path, "wb") as file:
        np.save(file, array, allow_pickle=False)


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Several arrays in one .npz file: all of them or none."""
    with atomic_write(path, "wb") as file:
        # numpy's stub takes each name for its argument allow_pickle.
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]


@contextlib.contextmanager
def array_in_place(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[np.ndarray]:
    """A new .npy file as a memory-mapped array to fill.

    It takes its name when the context ends without an error.
    """
    with _beside(path) as temporary:
        # Reserve the whole file: writing a mapped page of a file with holes on a full disk kills the process.
        array = np.lib.format.open_memmap(temporary, "w+", dtype=dtype, shape=shape)
        with open(temporary, "rb+") as file:
            os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        yield array
        array.flush()


def publish_folder(temporary: Path, final: Path) -> None:
    """Give a finished folder its name. Every file in it reaches the disk before the name does."""
    for path in [*temporary.rglob("*"), temporary]:
        _sync(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    remove_folder(final)  # left by a run that was killed between the rename and what follows it
    os.rename(temporary, final)
    _sync(final.parent)


def remove_folder(folder: Path) -> None:
    """With all that is in it, if it is there. Of a link to a folder elsewhere the link alone."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


@contextlib.contextmanager
def folder_beside(temporary: Path, final: Path) -> Iterator[Path]:
    """A new folder to fill, which takes its final name if the context ends without an error.

    On any error it is removed. A kill leaves it: where that may have been, remove it first.
    """
    temporary.mkdir(parents=True)
    try:
        yield temporary
        publish_folder(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove what killed processes left half written of this file, or of all files, in a folder.

    The caller holds the lock of what lies there: nobody else is writing it, on any machine.
    """
    for temporary in folder.glob(f".{name}.*.tmp"):
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder for files that a library insists on. It is gone when the context ends.

    A kill leaves it until a process needs one a day later.
    """
    root = scratch_root()
    root.mkdir(parents=True, exist_ok=True)
    for left in root.iterdir():
        with contextlib.suppress(FileNotFoundError):  # by another process just now
            if time.time() - left.stat().st_mtime > _A_DAY:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        yield Path(folder)


def _sync(path: Path) -> None:
    """Bring a file's or a folder's contents to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
