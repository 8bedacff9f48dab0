"""Make the runs of an experiment with the ordinary scripts, each script a process of its own.

The scripts themselves reuse what is there and continue what was interrupted. One that the plan found nothing
to do for is not started.
"""

import os
import shlex
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from typing import IO

from ..artifacts.paths import run_named
from ..process.lifetime import tied_to_this_process
from ..process.reporter import reporter
from .plan import ExperimentPlan, PlannedRun

_SECONDS_BETWEEN_LOOKS = 0.02  # at the processes


@dataclass(frozen=True)
class Failures:
    """The runs that are not there.

    Attributes:
        failed: names of those that were tried.
        not_tried: names of those that need the trajectories of one of these.
    """

    failed: list[str] = field(default_factory=list)
    not_tried: list[str] = field(default_factory=list)


def run_experiment(plan: ExperimentPlan) -> Failures:
    """Make what is not there of every run, `at_once` of them side by side.

    A run begins when the reference is there by whose trajectories its rows are chosen. Where one fails, the
    others are made, unless they need it.
    """
    machine = _Machine(plan.experiment.at_once)
    references = {run.config.run_name: run for run in plan.references}
    is_there: dict[str, bool] = {}
    failures = Failures()
    waiting = plan.all_runs
    running: list[_RunProcess] = []
    try:
        while waiting or running:
            for run in list(waiting):
                needed = references.get(_trajectories_of(run) or "")
                if needed is not None and is_there.get(needed.config.run_name) is False:
                    failures.not_tried.append(run.config.run_name)
                    waiting.remove(run)
                elif len(running) < machine.at_once and (
                    needed is None or needed.config.run_name in is_there
                ):
                    # A run chosen by a reference that was made just now is compared with it again.
                    is_as_planned = needed is None or needed.state.is_measured
                    commands = run.commands_left if is_as_planned else run.commands
                    place = min(set(range(machine.at_once)) - {other.place for other in running})
                    running.append(_RunProcess(run, commands, place, machine))
                    waiting.remove(run)
            for making in list(running):
                succeeded = making.poll()
                if succeeded is None:
                    continue
                running.remove(making)
                is_there[making.name] = succeeded
                if not succeeded:
                    failures.failed.append(making.name)
            if running:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        for making in running:
            making.terminate()  # whoever interrupts this process alone means the scripts too
        for making in running:
            making.wait()
        raise
    return failures


class _RunProcess:
    """A run and the process that makes it at present.

    Attributes:
        name: of the run.
        place: its number among those made at once.
    """

    def __init__(self, run: PlannedRun, commands: list[list[str]], place: int, machine: "_Machine"):
        self.name = run.config.run_name
        self.place = place
        self._run = run
        self._commands = list(commands)
        self._environment = machine.environment(place)
        # Lines of several runs would be mixed on the terminal. A run's own are in its log.txt.
        self._output: IO[bytes] | None = tempfile.TemporaryFile() if machine.is_shared else None  # noqa: SIM115
        self._process: subprocess.Popen | None = None
        self._start_time = time.monotonic()
        if not commands:
            measured = "scored" if run.is_reference else "evaluated"
            reporter.say(f"run {self.name}: trained and {measured} already")

    def poll(self) -> bool | None:
        """Start the next script where the last one is done.

        Returns: whether the run is there, None as long as nobody knows.
        """
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return None
            self._process = None
            if code != 0:
                self._say_why(code)
                return False
        if not self._commands:
            if self._output is not None:
                reporter.say(f"run {self.name}: there after {time.monotonic() - self._start_time:,.0f} s")
                self._output.close()
            return True
        try:
            self._run.check_is_as_planned()
        except (FileNotFoundError, ValueError) as error:
            reporter.warn(f"run {self.name}: {error}")
            if self._output is not None:
                self._output.close()
            return False
        command = self._commands.pop(0)
        if self._output is None:
            reporter.say(f"\n$ {shlex.join(['python', *command])}")
        self._process = _started(command, self._environment, self._output)
        return None

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> None:
        if self._process is not None:
            self._process.wait()

    def _say_why(self, code: int) -> None:
        if self._output is not None:
            self._output.seek(0)
            said = self._output.read().decode(errors="replace")
            self._output.close()
            reporter.warn(f"{said}run {self.name}: failed with exit code {code}, as said above")


def _started(command: list[str], environment: dict[str, str], output: IO[bytes] | None) -> subprocess.Popen:
    """Python with these words. It ends with this process, however that ends."""
    return subprocess.Popen(
        tied_to_this_process(command), env={**os.environ, **environment}, stdout=output, stderr=output
    )


def _trajectories_of(run: PlannedRun) -> str | None:
    """The run by whose losses its rows are chosen."""
    subset = run.config.subset
    return None if subset is None or subset.trajectories_from is None else run_named(subset.trajectories_from)


class _Machine:
    """What the runs share that are made at once: the cores of the processor, and the GPUs."""

    def __init__(self, at_once: int):
        self.at_once = at_once
        self._devices: list[str] = []
        if self.is_shared:
            import torch  # it is there since the plan was made

            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            self._devices = (
                visible.split(",") if visible else list(map(str, range(torch.cuda.device_count())))
            )

    @property
    def is_shared(self) -> bool:
        return self.at_once > 1

    def environment(self, place: int) -> dict[str, str]:
        """What a run is told of its share."""
        environment: dict[str, str] = {}
        if self.is_shared and "OMP_NUM_THREADS" not in os.environ:
            environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // self.at_once))
        if self._devices:
            environment["CUDA_VISIBLE_DEVICES"] = self._devices[place % len(self._devices)]
        return environment
