"""How a process ends: at once and for certain, on Ctrl-C, on SIGTERM and with the process that started it.

Every file is written whole or not at all, so a process may end at any instant. Imports nothing heavy: a
script calls `end_on_signals` before the seconds that torch takes to import.

    python utils/process/lifetime.py PARENT WORD ...      Python with these words, until process PARENT ends
"""

import _thread
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

LAUNCHER_VARIABLE = "S2L_LAUNCHER"  # process id of the launcher, for its workers
INTERRUPTED = "interrupted; the same command continues where it stopped"
EXIT_CODE = 130  # what a shell calls the end by Ctrl-C
_SECONDS_TO_END = 10.0  # of the libraries' own tidying up
_PR_SET_PDEATHSIG = 1  # from linux/prctl.h
_is_interruptible = False


def is_worker() -> bool:
    """Whether a launcher (ours or torchrun) started this process as one of its ranks.

    Some clusters set RANK=0 and WORLD_SIZE=1 for the machine, in which nobody has started ranks yet.
    """
    return "RANK" in os.environ and ("LOCAL_RANK" in os.environ or os.environ.get("WORLD_SIZE", "1") != "1")


def end_on_signals() -> None:
    """The first line of a script: Ctrl-C and SIGTERM end it, and a worker ends with its launcher."""
    if not is_worker():
        sys.unraisablehook = _unraisable
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGTERM, _interrupt)
        return
    # At once and silently. Python's own handling would wait for the end of a call into torch, which may
    # wait for other workers, and torchrun would wait half a minute for this one.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _end_with(int(os.environ.get(LAUNCHER_VARIABLE, os.getppid())))


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """An interrupt raises KeyboardInterrupt in this context. Before and after, it ends the process there.

    Nothing catches the exception at the start and at the end of Python, which has callbacks of its own.
    """
    global _is_interruptible
    _is_interruptible = True
    try:
        yield
    finally:
        _is_interruptible = False


def tied_to_this_process(words: list[str]) -> list[str]:
    """The command that runs Python with these words, and is killed when this process is gone."""
    return [sys.executable, "-P", __file__, str(os.getpid()), *words]


def _end_with(launcher: int) -> None:
    """Have the kernel kill this process when its parent is gone. Also the program that replaces it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:  # it was gone before prctl was called
        os._exit(1)


def _interrupt(_: int, frame: FrameType | None) -> NoReturn:
    """Raise KeyboardInterrupt where the process is, and see to it that it ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)  # whoever asks twice does not want to wait
    if not _is_interruptible or _is_within_an_import(frame):
        _end()
    _thread.start_new_thread(_end_later, ())
    raise KeyboardInterrupt


def _unraisable(error: "sys.UnraisableHookArgs") -> None:
    # An interrupt in the midst of a destructor or a weak reference's callback, where Python drops exceptions.
    if issubclass(error.exc_type, KeyboardInterrupt):
        _end()
    sys.__unraisablehook__(error)


def _is_within_an_import(frame: FrameType | None) -> bool:
    # A library takes an exception in the midst of its import for a part that is not installed, and goes on
    # without it: the interrupt would be lost, and the part would be missing.
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _end_later() -> None:
    time.sleep(_SECONDS_TO_END)
    _end()


def _end(*_: object) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # it may be in the midst of a write
            stream.flush()
    os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(EXIT_CODE)


if __name__ == "__main__":
    _end_with(int(sys.argv[1]))
    os.execv(sys.executable, [sys.executable, *sys.argv[2:]])  # noqa: S606 (there is no shell to want)
