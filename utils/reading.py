"""Read files that somebody gave: their kind, size and depth are checked before they can do harm.

A named pipe waits for ever, /dev/zero never ends, and a few hundred bytes of YAML, JSON or zip can unfold
into gigabytes. Each of these is refused by name, and so is text that is not UTF-8.
"""

import codecs
import contextlib
import glob
import json
import os
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import numpy as np
import yaml

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
_OTHER_BEGINNINGS = (
    (b"\x1f\x8b", "compressed by gzip: unpack it first (gunzip)"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first (unzstd)"),
    (b"\xfd7zXZ\x00", "compressed by xz: unpack it first (unxz)"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"version https://git-lfs", "a pointer of Git LFS and not the data: fetch it (git lfs pull)"),
    (b"PAR1", "a Parquet file: let its name end in .parquet"),
    (codecs.BOM_UTF16_LE, "UTF-16 or UTF-32: save it as UTF-8"),
    (codecs.BOM_UTF16_BE, "UTF-16 or UTF-32: save it as UTF-8"),
)
_DAMAGE = (
    ValueError,
    TypeError,
    SyntaxError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)  # raised by numpy and zipfile for a file that is none of theirs
_YAML_BYTES = 4 << 20  # of a file, and of what its aliases stand for
_LARGEST_NUMBER = 64  # bits: what libraries and files take


def check_kind(path: Path, setting: str | None = None) -> None:
    """Refuse what is no ordinary file, links followed.

    Args:
        setting: that names the file, for the message.

    Raises: FileNotFoundError, or ValueError for a pipe, a device, a socket or a folder.
    """
    named = str(path) if setting is None else f"{setting}: {path}"
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{named} does not exist (current folder: {Path.cwd()})") from None
    for is_kind, kind in _KINDS:
        if is_kind(mode):
            raise ValueError(f"{named}: found {kind}, expected an ordinary file: write the data into one")


def matching_paths(path: str) -> list[str]:
    """What a pattern such as `data/*.jsonl` stands for here, sorted by name. A plain path is itself."""
    if glob.escape(path) == path or os.path.lexists(path):
        return [path]
    return sorted(glob.glob(path, recursive=True))


def open_bytes(path: Path) -> BufferedReader:
    """An ordinary file, open for reading. Raises: as `check_kind`."""
    check_kind(path)
    return open(path, "rb")


def text_start(path: Path, name: Path | None = None) -> int:
    """Bytes before the text: 3 where the file begins with a byte-order mark, else 0.

    Args:
        path: of the file.
        name: of the file that it was unpacked from, for messages.

    Raises: ValueError for a file that is not UTF-8 text by its beginning.
    """
    name = name or path
    with open_bytes(path) as file:
        beginning = file.read(32)
    for other, fault in _OTHER_BEGINNINGS:
        if beginning.startswith(other):
            raise ValueError(f"{name}: found a file that is {fault}")
    if b"\0" in beginning[:4]:  # as in every ASCII text in UTF-16 or UTF-32
        raise ValueError(
            f"{name}: found NUL bytes at its beginning, as in UTF-16 or UTF-32: save it as UTF-8"
        )
    return len(codecs.BOM_UTF8) if beginning.startswith(codecs.BOM_UTF8) else 0


def read_text(path: Path) -> str:
    r"""All of a file, with `\n` at the end of every line.

    Raises: FileNotFoundError; ValueError for what is not UTF-8 or does not fit into memory.
    """
    text_start(path)
    check_memory(path, path.stat().st_size)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        with open(path, "rb") as file:
            line = file.read(error.start).count(b"\n") + 1
        raise ValueError(
            f"{path}: line {line} is not UTF-8 (byte {error.start}): save the file as UTF-8"
        ) from None


def is_encodable(text: str) -> bool:
    """Whether UTF-8 can hold it, as it can all but halves of surrogate pairs, which JSON can spell."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises: ValueError that says in short what is wrong with it."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:  # Python refuses to read it, since that takes time without bound
        raise ValueError("a number of thousands of digits") from None


class YamlReader(yaml.SafeLoader):
    """SafeLoader that says where a value is none. PyYAML raises what its own code happens to raise."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            return super().construct_object(node, deep)
        kind = node.tag.rpartition(":")[2]
        try:
            value = super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, TypeError, IndexError, OverflowError):
            problem = f"found what cannot be read as {kind}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None
        if isinstance(value, int) and value.bit_length() > _LARGEST_NUMBER:
            problem = f"found a whole number of more than {_LARGEST_NUMBER} bits"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return value


def parse_yaml(text: str, loader: type[YamlReader] = YamlReader) -> Any:
    """The value of a YAML text.

    Args:
        loader: that makes the values.

    Raises:
        ValueError: for what is no YAML, too large once its aliases stand for what they name, or nested too
            deeply.
    """
    if len(text) > _YAML_BYTES:
        raise ValueError(
            f"found {len(text):,} characters, expected at most {_YAML_BYTES:,}: keep data elsewhere"
        )
    try:
        reader = loader(text)
        node = reader.get_single_node()
        if node is None:
            return None
        if _unfolded(node, {}) > _YAML_BYTES:
            raise ValueError(
                f"its aliases (*name) stand for more than {_YAML_BYTES:,} characters: write out what is meant"
            )
        return reader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(f"not readable as YAML: {_yaml_problem(error)}") from None
    except RecursionError:
        raise ValueError("nested too deeply: expected a few levels of keys") from None


def _yaml_problem(error: yaml.YAMLError) -> str:
    """What is wrong where, without the line itself: it may hold a key."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return str(error)
    problem = str(getattr(error, "problem", None))
    if problem.startswith("but "):
        problem = f"{getattr(error, 'context', None)}, {problem}"
    return f"{problem} in line {mark.line + 1}, column {mark.column + 1}"


def _unfolded(node: yaml.Node, known: dict[int, int]) -> int:
    """Characters of a node, with each alias as long as what it names.

    Args:
        known: of the nodes that were looked at. An alias is the very node that it names.
    """
    key = id(node)
    if key in known:
        if not known[key]:
            raise ValueError(
                f"line {node.start_mark.line + 1} holds an alias of itself: write out what is meant"
            )
        return known[key]
    known[key] = 0  # not known yet: whoever meets it now is inside it
    length = 1
    if isinstance(node, yaml.ScalarNode):
        length += len(node.value)
    elif isinstance(node, yaml.SequenceNode):
        length += sum(_unfolded(item, known) for item in node.value)
    elif isinstance(node, yaml.MappingNode):
        length += sum(_unfolded(part, known) for pair in node.value for part in pair)
    known[key] = length
    return length


def load_npy(path: Path) -> np.ndarray:
    """The array of a .npy file of plain numbers, memory-mapped and read-only.

    Raises: FileNotFoundError, or ValueError for any other file.
    """
    with open_bytes(path) as file, _damage_named(path):
        _check_header(file, path.stat().st_size)
        return np.load(path, mmap_mode="r", allow_pickle=False)


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz file of plain numbers.

    Raises: FileNotFoundError, or ValueError for any other file and for more than this machine's memory.
    """
    with open_bytes(path) as file, _damage_named(path):
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len({member.filename for member in members}) < len(members):
                raise ValueError("it holds two arrays of one name")
            check_memory(path, sum(member.file_size for member in members))
            for member in members:
                with archive.open(member) as content:
                    _check_header(content, member.file_size)
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """What numpy and zipfile raise for a file that is none of theirs, as one error."""
    try:
        yield
    except _DAMAGE as error:
        fault = str(error).split("\n")[0]
        kind = path.suffix.removeprefix(".")
        raise ValueError(
            f"{path}: found no readable .{kind} of plain numbers ({fault}): write it again"
        ) from None


def _check_header(file: IO[bytes], num_bytes: int) -> None:
    """Raises: ValueError for an array that its file cannot hold."""
    version = np.lib.format.read_magic(file)
    read_header = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if any(size < 0 for size in shape):
        raise ValueError(f"its header says shape {shape}")
    expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    found = num_bytes - file.tell()
    if expected != found:
        raise ValueError(f"its header says {expected:,} bytes of numbers, found {found:,}")


def check_memory(path: Path, num_bytes: int) -> None:
    """Raises: ValueError for more bytes than this machine's memory has."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if num_bytes > memory:
        raise ValueError(
            f"{path}: found {num_bytes:,} bytes to read at once, "
            f"expected at most the {memory:,} of this machine's memory"
        )
