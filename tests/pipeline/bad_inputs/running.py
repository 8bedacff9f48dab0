"""Run a command in this process beside good files, with an end to what takes for ever or fills the memory."""

import contextlib
import importlib
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .cases import Case, put

SECONDS = 15  # of a case alone it is far less; other tests may run beside it
MORE_MEMORY = 2 * 2**30  # bytes of address space


class TooLong(BaseException):
    """Not an `Exception`, so that no command catches it."""


def run(case: Case) -> int | str | None:
    """The exit code of its command."""
    script = importlib.import_module(case.script.removesuffix(".py"))
    try:
        return script.main(case.arguments)
    except SystemExit as end:  # of argparse
        return end.code


@contextlib.contextmanager
def in_place(case: Case, folder: Path) -> Iterator[None]:
    """The case's files, and afterwards what was there before."""
    kept = folder.with_name(f"{folder.name}-kept")
    moved: list[tuple[Path, Path]] = []
    try:
        for number, (name, content) in enumerate(case.files.items()):
            path = folder / name
            if os.path.lexists(path):
                kept.mkdir(exist_ok=True)
                moved.append((path, path.rename(kept / str(number))))
            put(path, content)
        yield
    finally:
        for name in filter(None, (*case.files, case.leaves)):
            remove(folder / name)
        for path, place in moved:
            place.rename(path)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def state_of(folder: Path, leaving_out: str | None = None) -> dict[str, Any]:
    """All files but locks, the cache and one more folder's, each with what changes when it is written."""
    left_out = {str(folder / "res/.cache"), str(folder / str(leaving_out))}
    files = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = [
            name for name in folders if name != ".locks" and os.path.join(parent, name) not in left_out
        ]
        for name in [*folders, *names]:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            files[path] = None if name in folders else (status.st_mtime_ns, status.st_size, status.st_ino)
    return files


@contextlib.contextmanager
def limits() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MORE_MEMORY, hard))
    former = signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _too_long(*_: Any) -> None:
    raise TooLong(f"no end after {SECONDS} seconds")
