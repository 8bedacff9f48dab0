"""Make the runs of an experiment with the ordinary scripts, one process after the other.

The scripts themselves reuse what is there and continue what was interrupted.
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
    """Make every run of the plan. Where one fails, the others are made, unless they need it."""
    for reference in plan.references:
        if not _make(reference):
            return Failures(reference.config.run_name, [])
    return Failures(None, [run.config.run_name for run in plan.runs if not _make(run)])


def _make(run: PlannedRun) -> bool:
    for command in run.commands:
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
