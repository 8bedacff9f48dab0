"""A trial: disturb a command, run it again to its end, and look for all that is not as without the fault."""

import contextlib
import copyreg
import ctypes
import datetime
import functools
import os
import random
import re
import resource
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .commands import (
    PROJECT,
    Command,
    RunningCommand,
    adopt_orphans,
    children,
    command_line,
    kill_all,
    living_descendants,
)
from .operations import die_within_a_write, strike_at
from .reference import Reference
from .results import differences, torn
from .stages import STAGES, Stage, command_of, prepare

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_SECONDS_TO_DIE = 10.0  # after a signal, and for what is left after the end
_SECONDS_TO_END = 240.0
_SLACK = 1.1  # moments are drawn over a little more than an undisturbed run takes
_SHARE_OF_FRESH = 0.05  # trials whose Python is started anew
# From linux/mount.h and linux/sched.h.
_MS_REMOUNT = 32
_MS_REC = 16384
_MS_PRIVATE = 1 << 18
_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
# Of torch's launcher, which its SIGKILL leaves.
_LEFT_BY_TORCH = ("torchelastic_", "torch_")
_OWN_TRACEBACK = re.compile(rf'File "{re.escape(str(PROJECT))}/(utils/|\w+\.py")')


@dataclass(frozen=True)
class Trial:
    """What is disturbed, and how. Follows from the seed and the number.

    Attributes:
        stage: its name.
        fault: its name.
        is_fresh: whether Python is started anew.
    """

    seed: int
    number: int
    stage: str
    fault: str
    is_fresh: bool

    @staticmethod
    def drawn(seed: int, number: int, stages: list[str], faults: list[str]) -> "Trial":
        dice = random.Random(f"{seed} {number}")
        weights = [STAGES[name].weight for name in stages]
        (stage,) = dice.choices(stages, weights)
        (fault,) = dice.choices(faults, [FAULTS[name].weight for name in faults])
        return Trial(seed, number, stage, fault, fault == "kills" and dice.random() < _SHARE_OF_FRESH)


@dataclass
class Outcome:
    """What happened.

    Attributes:
        signals: name, target, seconds after the start or number of an operation, and exit code
            of each that met a living process.
        problems: what was not as without the fault.
        skipped: why nothing was tried, None where it was.
        undisturbed_seconds: that the command took where no signal came in time.
        seconds: that the trial took.
    """

    signals: list[tuple[str, str, float, int | None]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    skipped: str | None = None
    undisturbed_seconds: float | None = None
    seconds: float = 0.0


class Skipped(Exception):
    """This machine cannot bring about the fault."""


class Bench:
    """Where one trial runs, and what it has found so far."""

    def __init__(self, trial: Trial, reference: Reference, place: Path):
        self.trial = trial
        self.stage: Stage = STAGES[trial.stage]
        self.place = place
        self.dice = random.Random(f"{trial.seed} {trial.number} moments")
        self.outcome = Outcome()
        self.undisturbed = reference.results / trial.stage / "res"
        self.operations = reference.operations[trial.stage]
        self.seconds = reference.seconds[trial.stage] + trial.is_fresh * reference.seconds_to_import
        self.command = command_of(self.stage, reference.inputs, place, trial.is_fresh)
        self._reference = reference
        self._read = 0  # characters of the output that were looked at

    @property
    def res(self) -> Path:
        return self.place / "res"

    def lay_inputs(self) -> None:
        prepare(self.stage, self._reference.results, self.place)

    def moment(self) -> float:
        return self.dice.uniform(0, _SLACK * self.seconds)

    def note(self, text: str) -> None:
        """For who reads the output of the commands."""
        with open(self.command.output, "a", encoding="utf-8") as file:
            file.write(f"\n=== {text}\n")

    def found(self, problem: str) -> None:
        self.outcome.problems.append(problem)
        self.note(f"FOUND {problem}")

    def start(self, command: Command | None = None) -> RunningCommand:
        self.note(f"start ({self.trial.stage}, {self.trial.fault})")
        return RunningCommand(command or self.command)

    def end(self, running: RunningCommand, seconds: float, cause: str) -> int | None:
        """Wait for the end of a command and of all that it started. None if it had to be killed."""
        code = running.wait(seconds)
        if code is None:
            self.found(f"{cause}: still there after {seconds:.0f} s")
            kill_all([running.pid])
            running.wait(_SECONDS_TO_DIE)
        self.no_process_left(cause)
        return code

    def no_process_left(self, cause: str) -> None:
        deadline = time.monotonic() + _SECONDS_TO_DIE
        while orphans := living_descendants(os.getpid()):
            if time.monotonic() > deadline:
                lines = "; ".join(f"{pid} {command_line(pid)[:80]}" for pid in orphans)
                self.found(f"{cause}: {len(orphans)} processes left: {lines}")
                kill_all(orphans)
                deadline += _SECONDS_TO_DIE
            time.sleep(0.01)

    def check_output(self, cause: str) -> None:
        """No traceback of ours since the last look."""
        text = self.command.output.read_text(encoding="utf-8", errors="replace")
        if _OWN_TRACEBACK.search(text[self._read :]):
            self.found(f"{cause}: traceback")
        self._read = len(text)

    def check_results(self, cause: str) -> None:
        for line in differences(self.res, self.undisturbed):
            self.found(f"{cause}: {line}")

    def finish(self) -> None:
        """The same command without a fault: all is there, equal, and nothing else."""
        code = self.end(self.start(), _SECONDS_TO_END, "last run")
        self.check_output("last run")
        if code != 0:
            self.found(f"last run: exit code {code}")
            return
        self.check_results("last run")
        left = [
            path.name for path in (self.place / "tmp").iterdir() if not path.name.startswith(_LEFT_BY_TORCH)
        ]
        if left:
            self.found(f"left in the temporary folder: {left}")


def run_trial(trial: Trial, reference: Reference, place: Path) -> Outcome:
    """Run one trial in this process, which is of no other use."""
    begun = time.monotonic()
    adopt_orphans()
    bench = Bench(trial, reference, place)
    try:
        FAULTS[trial.fault].bring_about(bench)
    except Skipped as reason:
        bench.outcome.skipped = str(reason)
    finally:
        kill_all(living_descendants(os.getpid()))
    bench.outcome.seconds = time.monotonic() - begun
    return bench.outcome


def _kills(bench: Bench) -> None:
    """Several in a row at moments, until the command gets to its end in spite of them."""
    bench.lay_inputs()
    for attempt in range(1 if bench.trial.is_fresh else bench.dice.randint(3, 8)):
        moment = bench.moment()
        number, target, send = _signal(bench)
        running = bench.start()
        begun = time.monotonic()
        code = running.wait(moment)
        cause = "undisturbed"
        if code is None:
            bench.note(f"{number.name} to {target} after {moment:.3f} s")
            send(running.pid)
            cause = f"{number.name} to {target} at {moment:.2f} s"
            survives = target == "worker" and not bench.stage.torchrun  # our launcher starts it again
            code = bench.end(running, _SECONDS_TO_END if survives else _SECONDS_TO_DIE, cause)
            bench.outcome.signals.append((number.name, target, round(moment, 3), code))
        elif attempt == 0 and not bench.trial.is_fresh:
            bench.outcome.undisturbed_seconds = time.monotonic() - begun
        if _is_done(bench, cause, code):
            break
    bench.finish()


def _kills_at_operations(bench: Bench) -> None:
    """Several in a row at operations on files, or within the writes behind them."""
    bench.lay_inputs()
    for _ in range(bench.dice.randint(3, 8)):
        operation = bench.dice.randrange(bench.operations)
        number = bench.dice.choice((*SIGNALS, signal.SIGXFSZ, signal.SIGXFSZ))
        strike = functools.partial(_signal_oneself, number)
        if number == signal.SIGXFSZ:
            strike = functools.partial(die_within_a_write, int(2 ** bench.dice.uniform(0, 17)))
        mark = bench.place / "struck"
        mark.unlink(missing_ok=True)
        disturb = functools.partial(strike_at, operation, bench.res, mark, strike)
        running = bench.start(replace(bench.command, disturb=disturb))
        cause = f"{number.name} at operation {operation} on files"
        code = bench.end(running, _SECONDS_TO_END, cause)
        if mark.exists() and (number != signal.SIGXFSZ or code == -signal.SIGXFSZ):
            bench.outcome.signals.append((number.name, "itself", operation, code))
        if _is_done(bench, cause, code):
            break
    bench.finish()


def _signal_oneself(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def _is_done(bench: Bench, cause: str, code: int | None) -> bool:
    """Look at what a command left that ended, by itself or not. Whether it says that all is there."""
    bench.no_process_left(cause)
    bench.check_output(cause)
    for line in torn(bench.res, bench.undisturbed):
        bench.found(f"{cause}: {line}")
    if code == 0:
        bench.check_results(cause)
    return code == 0


def _signal(bench: Bench) -> tuple[signal.Signals, str, Callable[[int], None]]:
    """A signal, whom it meets, and what sends it."""
    number = bench.dice.choice(SIGNALS)
    targets: dict[str, Callable[[int], None]] = {
        "process": lambda pid: os.kill(pid, number),  # a supervisor, or the kernel for want of memory
        "group": lambda pid: _kill_group(pid, number),  # a terminal
    }
    if number == signal.SIGKILL:
        targets["all"] = lambda pid: kill_all([pid, *living_descendants(pid)])  # a power cut
    if bench.stage.has_workers and number != signal.SIGINT:
        targets["worker"] = lambda pid: _kill_worker(bench.dice, pid, number)
    target = bench.dice.choice(sorted(targets))
    return number, target, targets[target]


def _kill_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:  # in the instant before it has a group
        os.kill(pid, number)


def _kill_worker(dice: random.Random, pid: int, number: signal.Signals) -> None:
    workers = children(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(dice.choice(workers) if workers else pid, number)


def _full_disk(bench: Bench) -> None:
    """res/ on a file system in memory that the results do not fit into, or hardly. Then it grows."""
    _own_mounts()
    bench.res.mkdir()
    _mount(bench.res, "size=1g")
    bench.lay_inputs()
    begins_with = _size(bench.res)
    room = int(bench.dice.uniform(0, 1.2) * (_size(bench.undisturbed) - begins_with))
    _mount(bench.res, f"size={begins_with + max(room, 4096)}", _MS_REMOUNT)
    cause = f"full disk, {room // 1024} KiB of room"
    bench.end(bench.start(), _SECONDS_TO_END, cause)
    bench.check_output(cause)
    _mount(bench.res, "size=1g", _MS_REMOUNT)
    bench.finish()
    if bench.outcome.problems:  # the file system goes with this process
        shutil.copytree(bench.res, bench.place / "res_of_full_disk")


def _own_mounts() -> None:
    """Mounts of this process and its children alone. Raises: Skipped."""
    user = os.getuid()
    group = os.getgid()
    if user == 0:
        _call("unshare", _CLONE_NEWNS)
    else:
        _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _call("mount", None, b"/", None, _MS_REC | _MS_PRIVATE, None)


def _mount(folder: Path, options: str, flags: int = 0) -> None:
    _call("mount", b"s2l", str(folder).encode(), b"tmpfs", flags, options.encode())


def _call(name: str, *arguments: Any) -> None:
    """A function of the C library. Raises: Skipped."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments) != 0:
        raise Skipped(f"{name}: {os.strerror(ctypes.get_errno())}")


def _size(folder: Path) -> int:
    """In pages, as the file system in memory counts."""
    page = resource.getpagesize()
    return sum(page + -(-path.lstat().st_size // page) * page for path in folder.rglob("*"))


def _short_writes(bench: Bench) -> None:
    """Each file ends at some size: a write beyond it writes a part and then fails."""
    bench.lay_inputs()
    largest = max(path.stat().st_size for path in bench.undisturbed.rglob("*") if path.is_file())
    limit = int(2 ** bench.dice.uniform(10, largest.bit_length()))

    def disturb() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    cause = f"files of {limit} bytes at most"
    bench.end(bench.start(replace(bench.command, disturb=disturb)), _SECONDS_TO_END, cause)
    bench.check_output(cause)
    bench.finish()


def _jumping_clock(bench: Bench) -> None:
    """The clock jumps by up to a day, to and fro. Nothing may depend on it."""
    bench.lay_inputs()
    moments = sorted(bench.moment() for _ in range(4))
    jumps = [bench.dice.uniform(-86400, 86400) for _ in moments]
    running = bench.start(replace(bench.command, disturb=lambda: _let_clock_jump(moments, jumps)))
    code = bench.end(running, _SECONDS_TO_END, "jumping clock")
    bench.check_output("jumping clock")
    if code != 0:
        bench.found(f"jumping clock: exit code {code}")
    else:
        bench.check_results("jumping clock")
    bench.finish()


def _let_clock_jump(moments: list[float], jumps: list[float]) -> None:
    """In this process, as Python's own modules tell the time."""
    begun = time.monotonic()
    real_time = time.time
    real_datetime = datetime.datetime

    def offset() -> float:
        passed = sum(time.monotonic() - begun > moment for moment in moments)
        return jumps[passed - 1] if passed else 0.0

    class JumpingDatetime(real_datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(time.time(), tz)

    # What was made by the real class, which modules may have imported before, is still found when pickled.
    JumpingDatetime.__module__ = real_datetime.__module__
    JumpingDatetime.__qualname__ = real_datetime.__qualname__
    copyreg.pickle(real_datetime, lambda value: (JumpingDatetime, tuple(value.__reduce_ex__(2)[1])))
    time.time = lambda: real_time() + offset()
    time.time_ns = lambda: int(time.time() * 1e9)
    datetime.datetime = JumpingDatetime  # pyright: ignore[reportAttributeAccessIssue]


def _second_launch(bench: Bench) -> None:
    """The same command twice at once: one does the work, the other waits for it or refuses in one error."""
    bench.lay_inputs()
    running = {"first": bench.start()}
    output = bench.place / "output_of_second.txt"
    pause = bench.moment()
    running["first"].wait(pause)
    running["second"] = bench.start(replace(bench.command, output=output))
    codes: dict[str, int | None] = {}
    deadline = time.monotonic() + _SECONDS_TO_END
    while len(codes) < 2 and time.monotonic() < deadline:
        for name, command in running.items():
            if name not in codes and (code := command.poll()) is not None:
                codes[name] = code
        time.sleep(0.01)
    cause = f"second launch after {pause:.2f} s"
    if codes.get("first") != 0 and codes.get("second") != 0:
        bench.found(f"{cause}: exit codes {codes}")
    texts = {"first": bench.command.output, "second": output}
    for name, code in codes.items():
        text = texts[name].read_text(encoding="utf-8")
        if code not in (0, None) and "error: " not in text:
            bench.found(f"{cause}: {name} ended with {code} and no error")
        if _OWN_TRACEBACK.search(text):
            bench.found(f"{cause}: {name}: traceback")
    bench.no_process_left(cause)
    bench.check_output(cause)
    if 0 in codes.values():
        bench.check_results(cause)
    bench.finish()


@dataclass(frozen=True)
class Fault:
    """How a trial disturbs a command.

    Attributes:
        bring_about: does it, and what follows.
        weight: how often, beside the others.
    """

    bring_about: Callable[[Bench], None]
    weight: float


FAULTS: dict[str, Fault] = {
    "kills": Fault(_kills, 0.5),
    "kills_at_operations": Fault(_kills_at_operations, 0.3),
    "full_disk": Fault(_full_disk, 0.06),
    "short_writes": Fault(_short_writes, 0.05),
    "jumping_clock": Fault(_jumping_clock, 0.04),
    "second_launch": Fault(_second_launch, 0.05),
}
