"""End a worker with its launcher, so that a kill leaves no orphan that goes on scoring and holds locks.

Every file is written whole or not at all, so a worker may end at any instant.
Imports nothing heavy: a worker calls `end_with_launcher` before the seconds that torch takes to import.
"""

import ctypes
import os
import signal
import sys

LAUNCHER_VARIABLE = "S2L_LAUNCHER"  # process id of the launcher, for its workers
_PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def is_worker() -> bool:
    """Whether a launcher (ours or torchrun) started this process as one of its ranks."""
    return "RANK" in os.environ


def end_with_launcher() -> None:
    """In a worker: die at once and silently on Ctrl-C and, on Linux, when the launcher is gone."""
    # Python's own handling of Ctrl-C would wait for the end of a call into torch,
    # which may wait for other workers.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = str(os.getppid())
    if os.environ.get(LAUNCHER_VARIABLE, parent) != parent:  # the launcher was gone before prctl was called
        os._exit(1)


def stop_on_sigterm() -> None:
    """In a process without workers: a scheduler's SIGTERM does the same as Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
