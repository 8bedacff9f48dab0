"""Errors of libraries and of the machine: told apart, and turned into what a person can act on."""

import contextlib
import errno
import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

from ..terminal import one_line

_PACKAGE = Path(__file__).resolve().parents[1]
_LONGEST = 300  # characters of a library's own words
_OURS = (ValueError, FileNotFoundError, FileExistsError, AssertionError)  # what our code raises
_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE}


@contextlib.contextmanager
def explained(what: str, way_out: str) -> Iterator[None]:
    """Around calls into a library: its errors become one that a person can act on.

    Errors of our own code pass as they are, and so do those of the machine and those that end a process.

    Args:
        what: was tried, such as "model.lora: peft cannot adapt this model".
        way_out: what to do.

    Raises:
        ValueError: "what (KeyError: the library's words): way_out".
    """
    try:
        yield
    except Exception as error:  # a library raises whatever it likes
        if is_of_the_machine(error) or is_ours(error):
            raise
        raise ValueError(f"{what} ({in_words(error)}): {way_out}") from error


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Around writes: "No space left on device" says no file, and says more with one.

    Raises: OSError, also for such an error of a library that has a class of its own for it.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    except Exception as error:
        number = system_error_number(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def is_of_the_machine(error: BaseException) -> bool:
    """Whether memory, the disk or open files ran out: nothing that is read is at fault."""
    return is_out_of_memory(error) or system_error_number(error) in _OF_THE_MACHINE


def system_error_number(error: BaseException) -> int | None:
    """The system's number of an error, such as that of a full disk. None for one that is not the system's."""
    if isinstance(error, OSError):
        return error.errno
    # Of tokenizers and safetensors, in Rust: "No space left on device (os error 28)".
    match = re.search(r"\(os error (\d+)\)", str(error))
    return int(match[1]) if match else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, the process's or a GPU's."""
    if isinstance(error, MemoryError):
        return True
    # torch's errors by their names: this module is imported where torch is not.
    return isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    )


def is_of_another_process(error: BaseException) -> bool:
    """Whether another process of the same launch is gone, as torch tells those that wait for it."""
    if not isinstance(error, RuntimeError):
        return False
    # "Connection closed by peer" has no class of its own under gloo.
    return type(error).__name__.startswith("Dist") or "/gloo/transport/" in str(error)


def is_ours(error: BaseException) -> bool:
    """Whether our own code raised it, for people or as a broken invariant."""
    # No class derived from these: compiled code raises its own without a frame, as if our line had done it.
    if type(error) not in _OURS:
        return False
    innermost = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(innermost).is_relative_to(_PACKAGE)


def in_words(error: BaseException) -> str:
    """The error in one line: "KeyError: the library's words"."""
    name = type(error).__name__
    words = one_line(str(error), _LONGEST)
    return f"{name}: {words}" if words else name
