"""The comparisons that a page shows: those of the evaluations that are on disk now"""

from collections.abc import Sequence

from ....artifacts.comparisons import Comparison
from ....artifacts.evaluations import identity_of_evaluation_of
from ....artifacts.paths import RunPaths
from ....terminal import first_of
from .. import commands
from ..facts import ComparisonFacts
from .notes import Notes


def of_these_evaluations(
    comparisons: Sequence[ComparisonFacts], notes: Notes, command: str = ""
) -> list[ComparisonFacts]:
    """Those that hold of their runs as they are, and a note on each other one.

    Args:
        command: that makes them again, where it is another than `compare_runs.py`.
    """
    current = []
    for facts in comparisons:
        comparison = facts.comparison
        changed = _changed_runs(comparison)
        if not changed:
            current.append(facts)
            continue
        again = ["python", "compare_runs.py", *(run.name for run in comparison.runs)]
        notes.miss(
            "comparison",
            f"Comparison {comparison.name} is not shown. It was made of other weights or questions than "
            f"these runs have now: {first_of(changed)}. Evaluate what is not evaluated, and compare again.",
            command or commands.in_a_shell(again),
        )
    return current


def _changed_runs(comparison: Comparison) -> list[str]:
    """The runs that were evaluated anew or trained anew since. Of one that is not here nothing is known."""
    changed = []
    for run in comparison.runs:
        try:
            now = identity_of_evaluation_of(run.name)
        except (FileNotFoundError, ValueError):  # a result is gone or damaged, so it is not what was compared
            changed.append(run.name)
            continue
        is_here = now is not None or RunPaths(run.name).manifest.is_file()
        if run.evaluation is not None and is_here and now != run.evaluation:
            changed.append(run.name)
    return changed
