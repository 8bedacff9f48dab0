"""Commands of the project as processes that can be killed, without the seconds that importing torch takes.

A warm process has imported everything and computed nothing. It forks for each command, and the fork becomes
what a fresh `python SCRIPT ...` would be: a session, an environment, signal handlers and a standard output of
its own. Where such a fork starts Python in its turn (torchrun its ranks, an experiment its scripts), it forks
too: the child has the same parent, session and descriptors as one that was started afresh.
"""

import atexit
import contextlib
import functools
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from utils.process import lifetime

PROJECT = Path(__file__).resolve().parents[2]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone")
_HIGHEST_DESCRIPTOR = 4096
_SECONDS_BETWEEN_LOOKS = 0.002

# What subprocess hands to the function of C that forks and executes, in its order.
_FORK_EXEC = """
    args executables close_fds fds_to_keep cwd env stdin_read stdin_write stdout_read stdout_write
    stderr_read stderr_write error_read error_write restore_signals start_new_session
""".split()  # noqa: SIM905 (as subprocess has it)
_exit_codes: dict[int, int] = {}  # of the children of this process that have ended
_fork_exec: Any = subprocess._fork_exec  # pyright: ignore[reportAttributeAccessIssue]


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Command:
    """What is run.

    Attributes:
        words: what follows `python`: a script or -m and a module, and its arguments.
        environment: all of it.
        output: a file that standard output and error are appended to.
        is_fresh: whether Python is started anew, as a user would.
        disturb: called in the process before the command begins. Of a forked one only.
    """

    words: list[str]
    environment: dict[str, str]
    output: Path
    is_fresh: bool = False
    disturb: Callable[[], None] = _nothing


class RunningCommand:
    """A command that was started, the first process of a session of its own."""

    def __init__(self, command: Command):
        self.pid = _start(command)

    def poll(self) -> int | None:
        """The exit code, negative for a signal, None while it runs."""
        _reap()
        return _exit_codes.get(self.pid)

    def wait(self, seconds: float) -> int | None:
        """As `poll`, after so many seconds at the latest."""
        deadline = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        return self.poll()


def forked(work: Callable[[], Any], answer: Path) -> int:
    """Do work in a fork of this process, which itself computes nothing. What it returns goes to a JSON file.

    Returns: the process id.
    """
    pid = os.fork()
    if pid != 0:
        return pid
    try:
        answer.write_text(json.dumps(work()), encoding="utf-8")
    except KeyboardInterrupt:
        pass
    except BaseException:  # noqa: BLE001 (a fork must not go on with what its parent was doing)
        traceback.print_exc()
    finally:
        os._exit(0)


def adopt_orphans() -> None:
    """Have all processes that this one and its children leave behind become children of this one."""
    import ctypes

    pr_set_child_subreaper = 36  # from linux/prctl.h
    assert ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1) == 0


def living_descendants(pid: int) -> list[int]:
    """All processes below this one that are not dead yet."""
    found = []
    for child in children(pid):
        if _state(child) not in ("Z", "X", ""):
            found.append(child)
        found += living_descendants(child)
    return found


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def command_line(pid: int) -> str:
    """Empty for a process that is gone."""
    with contextlib.suppress(OSError):
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        )
    return ""


def kill_all(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _state(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def _reap() -> None:
    """Remember the exit code of each child that has ended, adopted ones too."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _exit_codes[pid] = os.waitstatus_to_exitcode(status)


def _start(command: Command) -> int:
    with open(command.output, "ab") as output:
        descriptors = {0: os.open(os.devnull, os.O_RDONLY), 1: output.fileno(), 2: output.fileno()}
        try:
            if command.is_fresh:
                return _fresh(command, descriptors[1])
            with _no_signals():
                pid = os.fork()
                if pid == 0:
                    _become(command.words, command.environment, descriptors, True, command.disturb)
                return pid
        finally:
            os.close(descriptors[0])


def _fresh(command: Command, output: int) -> int:
    process = subprocess.Popen(
        [sys.executable, *command.words],
        cwd=PROJECT,
        env=command.environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    process.returncode = 0  # `_reap` waits for it
    return process.pid


@contextlib.contextmanager
def _no_signals() -> Iterator[None]:
    """Neither this process nor one that it forks meanwhile is interrupted before it is ready to be."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _become(
    words: list[str],
    environment: Mapping[str, str],
    descriptors: Mapping[int, int],
    leads_session: bool,
    begin: Callable[[], None],
) -> NoReturn:
    """Turn this fork into `python WORDS`, and end with it.

    Args:
        words: as in `Command`.
        environment: all of it.
        descriptors: those of standard input, output and error -> what they become. All others are closed.
        leads_session: whether it begins a session.
        begin: called before anything else of it.
    """
    code = 1
    try:
        if leads_session:
            os.setsid()
        kept = {number: os.dup(descriptor) for number, descriptor in descriptors.items()}
        for number, descriptor in kept.items():
            os.dup2(descriptor, number)
        os.closerange(3, _HIGHEST_DESCRIPTOR)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(PROJECT)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (as long as the process)
        sys.stderr = open(  # noqa: SIM115
            2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        tempfile.tempdir = None  # $TMPDIR is another one now
        subprocess._fork_exec = _fork_or_exec  # pyright: ignore[reportAttributeAccessIssue]
        for number in signal.valid_signals() - {
            signal.SIGKILL,
            signal.SIGSTOP,
            signal.SIGPIPE,
            signal.SIGXFSZ,
        }:
            signal.signal(number, signal.SIG_DFL)
        # Python's own way before a script's first line is a traceback. That line sets what ours does.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        begin()
        code = _run(words)
    except BaseException:  # noqa: BLE001 (a fork must not go on with what its parent was doing)
        traceback.print_exc()
    finally:
        os._exit(code)


def _run(words: list[str]) -> int:
    """Run a script as `__main__`, and all that Python does at its end. Returns the exit code."""
    code: Any = 0
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        sys.argv = list(words)
        if words[0] == "-m":
            sys.argv = list(words[1:])
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
    except BaseException as error:  # noqa: BLE001 (Python too tells of any error)
        traceback.print_exc()
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    return code or 0


def _fork_or_exec(*arguments: Any) -> int:
    """Takes the place of subprocess's function: Python with a script of ours, or torchrun, is forked."""
    call = dict(zip(_FORK_EXEC, arguments, strict=False))
    executable, *words = map(os.fsdecode, call["args"])
    begin = _nothing
    if words[:2] == ["-P", lifetime.__file__]:
        begin = functools.partial(lifetime._end_with, int(words[2]))
        words = words[3:]
    words = words[1:] if words[:1] == ["-u"] else words
    if executable != sys.executable or not (words[:2] == list(TORCHRUN[:2]) or _is_script(words[0])):
        return _fork_exec(*arguments)
    environment = dict(os.environ)
    if call["env"] is not None:
        environment = dict(os.fsdecode(entry).split("=", 1) for entry in call["env"])
    given = (call["stdin_read"], call["stdout_write"], call["stderr_write"])
    descriptors = {number: number if given[number] == -1 else given[number] for number in range(3)}
    with warnings.catch_warnings(), _no_signals():
        warnings.simplefilter("ignore", DeprecationWarning)  # torchrun has threads; they hold nothing of ours
        pid = os.fork()
        if pid == 0:
            _become(words, environment, descriptors, bool(call["start_new_session"]), begin)
        return pid


def _is_script(word: str) -> bool:
    return (PROJECT / word).parent == PROJECT and word.endswith(".py")
