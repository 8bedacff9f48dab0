"""Make the runs of an experiment with the ordinary scripts, one process after the other.

The scripts themselves reuse what is there and continue what was interrupted. One that the plan found nothing
to do for is not started.
"""

import subprocess
from dataclasses import dataclass

from ..process.lifetime import tied_to_this_process
from ..process.reporter import reporter
from .plan import ExperimentPlan, PlannedRun


@dataclass(frozen=True)
class Failures:
    """The runs that failed.

    Attributes:
        reference: one that the others need, so that none of them was tried; None if all references are there.
        runs: names of the others.
    """

    reference: str | None
    runs: list[str]


def run_experiment(plan: ExperimentPlan) -> Failures:
    """Make what is not there of every run. Where one fails, the others are made, unless they need it."""
    for reference in plan.references:
        if not _make(reference, reference.commands_left):
            return Failures(reference.config.run_name, [])
    # Where a reference was made just now, the runs that were chosen by it are compared with it again.
    are_as_planned = all(reference.state.is_measured for reference in plan.references)
    failed = []
    for run in plan.runs:
        if not _make(run, run.commands_left if are_as_planned else run.commands):
            failed.append(run.config.run_name)
    return Failures(None, failed)


def _make(run: PlannedRun, commands: list[list[str]]) -> bool:
    if not commands:
        measured = "scored" if run.is_reference else "evaluated"
        reporter.say(f"run {run.config.run_name}: trained and {measured} already")
    for command in commands:
        reporter.say(f"\n$ {' '.join(command)}")
        if _run(command) != 0:
            return False
    return True


def _run(command: list[str]) -> int:
    """The exit code of Python with these words. It ends with this process, however that ends."""
    process = subprocess.Popen(tied_to_this_process(command))
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()  # whoever interrupts this process alone means the script too
        process.wait()
        raise
