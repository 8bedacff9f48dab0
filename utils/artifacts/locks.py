"""One writer at a time: whoever writes something below res/ holds its lock as long as it works.

The kernel gives a lock back when its holder ends, however it ends. The file that is locked stays.
"""

import contextlib
import errno
import fcntl
import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..process.reporter import reporter
from .paths import lock_of

NO_LOCKS_VARIABLE = "S2L_NO_LOCKS"
_SECONDS_TO_LET_GO = 2.0  # a killed process holds its locks until the system has taken down its memory
_NOT_SUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}  # by the file system
_held: set[IO[str]] = set()


@contextlib.contextmanager
def locked(thing: Path, refusal: str | None = None) -> Iterator[None]:
    """Hold the lock of a file or folder against other processes.

    Args:
        thing: that is written. It need not be there.
        refusal: what to say if somebody else holds it for more than a moment. None waits for its turn.

    Raises:
        ValueError: with the refusal, or where the file system has no locks.
    """
    if os.environ.get(NO_LOCKS_VARIABLE) == "1":
        _say_that_nothing_is_locked()
        yield
        return
    path = lock_of(thing)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        _take(file, thing, refusal)
        _held.add(file)
        try:
            yield
        finally:
            _held.discard(file)


def is_locked(thing: Path) -> bool:
    """Whether another process is writing a file or folder just now, as far as the file system can tell."""
    path = lock_of(thing)
    if not path.is_file():
        return False
    with open(path, encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # for less time than `_take` tries
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
    return False


def _take(file: IO[str], thing: Path, refusal: str | None) -> None:
    deadline = time.monotonic() + _SECONDS_TO_LET_GO
    try:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
        if refusal is not None:
            raise ValueError(f"found that {refusal} ({file.name} is locked): wait for it or stop it")
        reporter.warn(f"waiting for another process to be done with {thing}")
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        raise ValueError(
            f"{file.name}: found a file system without locks ({error.strerror})\n"
            "expected one on which flock works, so that no two commands write the same results\n"
            "do: give another S2L_RES_DIR, have it mounted with locks (Lustre: flock, NFS: with lockd), "
            f"or set {NO_LOCKS_VARIABLE}=1 and start no two commands on one run"
        ) from None


@functools.cache
def _say_that_nothing_is_locked() -> None:
    """Once in each process."""
    reporter.warn(
        f"{NO_LOCKS_VARIABLE}=1: nothing keeps two commands from writing the same results at once. "
        "Start no two on one run"
    )


def _let_go() -> None:
    # A forked helper, such as a worker that loads data, would hold the locks of a killed parent as long as it
    # lives. Closing its copies gives up nothing that the parent has.
    for file in _held:
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
