"""A bad input: files as they must not be, a command that meets them, and words of its error."""

import io
import os
import shlex
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Link:
    """A symbolic link in place of a file."""

    target: str


@dataclass(frozen=True)
class Pipe:
    """A named pipe that nobody writes into: whoever opens it waits for ever."""


@dataclass(frozen=True)
class Folder:
    """A folder in place of a file, with files in it."""

    files: Mapping[str, "Content"] = field(default_factory=dict)


@dataclass(frozen=True)
class Gone:
    """No file where there was one."""


Content = str | bytes | Link | Pipe | Folder | Gone


@dataclass(frozen=True)
class Case:
    """A bad input.

    Attributes:
        command: as it is typed.
        words: of its error.
        files: name -> what lies there instead of what is good.
        environment: variable -> value, None where it is not set.
        leaves: the folder that the command may leave, as a record of what failed.
    """

    command: str
    words: str
    files: Mapping[str, Content] = field(default_factory=dict)
    environment: Mapping[str, str | None] = field(default_factory=dict)
    leaves: str | None = None

    @property
    def script(self) -> str:
        return shlex.split(self.command)[0]

    @property
    def arguments(self) -> list[str]:
        return shlex.split(self.command)[1:]


def typed(command: str, table: Mapping[str, str]) -> list[Case]:
    """What is typed after a good command -> words of the error."""
    return [Case(f"{command} {more}", words) for more, words in table.items()]


def overridden(command: str, table: Mapping[str, str]) -> list[Case]:
    """A setting after a good command -> words of the error."""
    return [Case(f"{command} {shlex.quote(setting)}", words) for setting, words in table.items()]


def containing(command: str, name: str, table: list[tuple[Content, str]]) -> list[Case]:
    """What the file of this name contains, and words of the error of a command that reads it."""
    return [Case(command, words, {name: content}) for content, words in table]


def in_folder(name: str, table: list[tuple[Content, str]]) -> list[tuple[Content, str]]:
    """The same, of the one file in a folder."""
    return [(Folder({name: content}), words) for content, words in table]


def put(path: Path, content: Content) -> None:
    match content:
        case str():
            path.write_bytes(content.encode())
        case bytes():
            path.write_bytes(content)
        case Link():
            path.symlink_to(content.target)
        case Pipe():
            os.mkfifo(path)
        case Folder():
            path.mkdir()
            for name, inner in content.files.items():
                put(path / name, inner)
        case Gone():
            pass


def npy(values: Any, dtype: Any = np.float32) -> bytes:
    """A .npy file of these values."""
    file = io.BytesIO()
    np.save(file, np.asarray(values, dtype))
    return file.getvalue()


def npy_that_says(shape: str, dtype: str = "<f4", data: bytes = b"") -> bytes:
    """A .npy file whose header says any shape, whatever follows."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def npz(**arrays: Any) -> bytes:
    """A .npz file of these arrays."""
    file = io.BytesIO()
    named = {name: np.asarray(values) for name, values in arrays.items()}
    np.savez(file, **named)  # pyright: ignore[reportArgumentType] (its stub takes a name for allow_pickle)
    return file.getvalue()


def npz_twice(**arrays: Any) -> bytes:
    """A .npz file that holds each of these arrays two times."""
    file = io.BytesIO(npz(**arrays))
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "a") as archive, warnings.catch_warnings(action="ignore"):
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def parquet(**columns: list[Any]) -> bytes:
    """A .parquet file of these columns."""
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()
