"""Prove on this machine that a program is shut in: attempts at every door, each of which must fail.

A machine on which any protection fails its test runs no program: `check_sandbox` says which, and what to do.
"""

import functools
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .attempts import ATTEMPTS, PRELUDE
from .run import ENVIRONMENT, Limits, Outcome, run_program, visible_folders

_LIBRARIES_OF_PROGRAMS = ("math", "numpy", "sympy")
_HARMLESS = "a harmless call"
_RUN_ALL = """
for name, attempt in attempts.items():
    try:
        exec(attempt)
    except BaseException:
        print('closed', name, flush=True)
    else:
        print('open', name, flush=True)
"""
_FORGE = """
import os
for number in range(64):
    try:
        os.write(number, b'{"exit-code": 0}\\n')
    except OSError:
        pass
os._exit(3)
"""
_KILL_THE_FIRST = """
import os, signal
for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):
    os.kill(1, number)
os._exit(3)
"""
_DEAF = """
import ctypes, signal, time
ctypes.CDLL(None).prctl(1, 0)  # no longer told when its parent dies
for number in set(range(1, 65)) - {9, 19, 32, 33}:
    signal.signal(number, signal.SIG_IGN)
time.sleep(60)
"""


@dataclass(frozen=True)
class _Ending:
    """A program that does not try a door but its own end.

    Attributes:
        program: its source.
        limits: it runs under.
        is_right: whether it ended as it should.
    """

    program: str
    limits: Limits
    is_right: Callable[[Outcome], bool]


_LIMITS = Limits()
_SHORT = replace(_LIMITS, wall_seconds=0.5)
_ENDINGS = {
    "endless computing": _Ending(
        "while True: pass",
        replace(_LIMITS, cpu_seconds=1, wall_seconds=30.0),
        lambda outcome: outcome.ending == "exit 137",  # by SIGKILL, at the limit of processor time
    ),
    "endless waiting": _Ending(
        "import time; time.sleep(60)", _SHORT, lambda outcome: outcome.ending == "wall"
    ),
    "waiting deaf to signals": _Ending(_DEAF, _SHORT, lambda outcome: outcome.ending == "wall"),
    "stopping itself": _Ending(
        "import os; os.kill(os.getpid(), 19)", _SHORT, lambda outcome: outcome.ending == "wall"
    ),
    "a flood of output": _Ending(
        "while True: print('x' * 1000)",
        _LIMITS,
        lambda outcome: len(outcome.output) <= _LIMITS.file_bytes and not outcome.ended_well,
    ),
    "a flood of errors": _Ending(
        "import os\nwhile True: os.write(2, bytes(1000))",
        _LIMITS,
        lambda outcome: len(outcome.error) <= 2 * _LIMITS.file_bytes and not outcome.ended_well,
    ),
    "a forged exit code": _Ending(_FORGE, _LIMITS, lambda outcome: outcome.ending == "exit 3"),
    "the end of its first process": _Ending(
        _KILL_THE_FIRST, _LIMITS, lambda outcome: outcome.ending == "exit 3"
    ),
}


@functools.cache
def check_sandbox() -> None:
    """Prove each protection on this machine, in a few seconds, once per process.

    Raises:
        ValueError: that names the protections that fail.
    """
    greeting = "".join(f"import {name}\n" for name in _LIBRARIES_OF_PROGRAMS) + "print(6 * 7)"
    works = run_program(greeting)
    if works.output.strip() != "42":
        raise ValueError(
            f"program-of-thought: found a sandbox in which Python does not start ({works.ending}: "
            f"{works.error.strip()[-300:]})\n"
            f"expected Python, numpy and sympy in its folders ({', '.join(visible_folders())})\n"
            "install them there, or set evaluation.program_of_thought to false"
        )
    values = _values()
    failed = [
        f"{kind}: {name}" for kind, attempts in ATTEMPTS.items() for name in _open_doors(attempts, values)
    ]
    for name, ending in _ENDINGS.items():
        if not ending.is_right(run_program(ending.program, ending.limits)):
            failed.append(name)
    if failed:
        raise ValueError(
            f"program-of-thought: found that this machine does not keep programs from: {', '.join(failed)}\n"
            "expected all doors closed\n"
            "use another machine, or set evaluation.program_of_thought to false"
        )


def attempts_program(attempts: Mapping[str, str], values: Mapping[str, Any]) -> str:
    """A program that makes attempts one after the other and prints `open NAME` or `closed NAME` of each."""
    given = "".join(f"{name} = {value!r}\n" for name, value in {**values, "attempts": dict(attempts)}.items())
    return f"{PRELUDE}\n{given}{_RUN_ALL}"


def _open_doors(attempts: Mapping[str, str], values: Mapping[str, Any]) -> list[str]:
    """The attempts that get through."""
    said = _said(attempts, values)
    # Whoever ended the program was shut in. Those after it get a program of their own, and end that at most.
    unsaid = [name for name in attempts if name not in said]
    for name in unsaid:
        said |= _said({name: attempts[name]}, values)
    return [name for name in attempts if said.get(name) == "open"]


def _said(attempts: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
    """Name -> open or closed, of the attempts that the program came to the end of.

    Raises: ValueError if not even a harmless call gets through: then a closed door says nothing.
    """
    outcome = run_program(attempts_program({_HARMLESS: "call('getpid')", **attempts}, values), _LIMITS)
    pairs = (line.partition(" ") for line in outcome.output.splitlines())
    said = {name: word for word, _, name in pairs}
    if said.pop(_HARMLESS, None) != "open":
        raise ValueError(
            f"program-of-thought: found a sandbox that cannot be tried ({outcome.ending}: "
            f"{outcome.error.strip()[-300:]})\n"
            "expected Python with ctypes, and libseccomp2, in its folders\n"
            "install them, or set evaluation.program_of_thought to false"
        )
    return said


def _values() -> dict[str, Any]:
    """What the attempts need to know of this machine."""
    home = Path.home()
    seen = [Path(folder) for folder in visible_folders() if Path(folder).is_relative_to(home)]
    return {
        "home": str(home),
        "seen_of_home": {folder.relative_to(home).parts[0] for folder in seen if folder != home},
        "project": __file__,
        "environment": {*ENVIRONMENT, "PWD", "LC_CTYPE"},  # bubblewrap and Python set the last two
        "prefix": sys.prefix,
        "temporary": tempfile.gettempdir(),
        "python": sys.executable,
        "memory": _LIMITS.memory_bytes,
        "file_bytes": _LIMITS.file_bytes,
    }
