"""Strike a command at one of its operations on files.

There kills do harm. A moment in time hardly ever meets one, since they take microseconds.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

_OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}


def strike_at(operation: int, folder: Path, mark: Path, strike: Callable[[], None]) -> None:
    """Have the first one strike, of this process and all that it forks, to come to an operation.

    Args:
        operation: its number, from 0.
        folder: below which operations count.
        mark: a file that is made when it strikes.
        strike: what it does, just before the operation.
    """
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it. Nothing else sends it
    prefix = str(folder)
    counts: dict[int, int] = {}

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if event not in _OPERATIONS or not str(arguments[0]).startswith(prefix):
            return
        number = counts.get(os.getpid(), 0)
        counts[os.getpid()] = number + 1
        if number != operation:
            return
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:  # another process of the command was first
            return
        strike()

    sys.addaudithook(look)


def count_operations(folder: Path, counts: Path) -> None:
    """Have this process, and each that it forks, count. Each adds a byte to a file of its own at each."""
    counts.mkdir()
    prefix = str(folder)

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if event in _OPERATIONS and str(arguments[0]).startswith(prefix):
            file = os.open(counts / str(os.getpid()), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
            os.write(file, b".")
            os.close(file)

    sys.addaudithook(look)


def operations_counted(counts: Path) -> int:
    """Of the process with most of them."""
    return max(path.stat().st_size for path in counts.iterdir())


def die_within_a_write(num_bytes: int) -> None:
    """From now on, a write that makes a file longer than this ends the process in its midst (SIGXFSZ)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
