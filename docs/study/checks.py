"""Whether a comparison is one of an experiment's arms: run names alone do not say what a run was."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from docs.study.kept import RecordedRun
from utils.artifacts.comparisons import Comparison
from utils.config.experiment import WHOLE_POOL, ExperimentConfig, run_name_of

PROJECT = Path(__file__).resolve().parents[2]


def runs_by_label(experiment: ExperimentConfig, budget: int | float | None) -> dict[str, dict[int, str]]:
    """Label -> seed -> the run that it is to have at a budget."""
    return {
        label: {
            seed: run_name_of(experiment, label, None if label == WHOLE_POOL else budget, seed)
            for seed in experiment.seeds
        }
        for label in experiment.methods
    }


def check_numbers(comparison: Comparison, path: Path) -> None:
    """Refuse a comparison with a number that is not clear.

    Args:
        path: of the comparison, for messages.

    Raises: ValueError for a run or a measure that is there twice, and for a value that is no number.
    """
    measures = [
        f"{'metric ' if each.is_metric else ''}{each.name} of {each.source or 'all'} in {each.question_set}"
        for each in comparison.measures
    ]
    counts = Counter([run.name for run in comparison.runs] + measures)
    problems = [f"{name} {count} times" for name, count in counts.items() if count > 1]
    for name, measure in zip(measures, comparison.measures, strict=True):
        without = [run for run, value in measure.values.items() if not math.isfinite(value)]
        problems += [f"no number for the {name} of {run}" for run in without]
    if problems:
        again = "make the comparison again (run_experiment.py)"
        raise ValueError(f"{path}: found {'; '.join(problems)}: {again}")


def check_recorded(
    arms: Mapping[str, Sequence[str]], recorded: Mapping[str, RecordedRun], path: Path
) -> None:
    """Refuse records that would leave cells of a table empty.

    Args:
        arms: label -> its runs, by seed, of arms that are whole.

    Raises: ValueError for a run without a record, and for what only some of the runs recorded.
    """
    runs = [run for of_label in arms.values() for run in of_label]
    if missing := [run for run in runs if run not in recorded]:
        raise ValueError(f"{path}: found no record of {', '.join(missing)}: keep it again")
    choosing = [run for label in arms if label != WHOLE_POOL for run in arms[label]]
    names = {run: _names_of(recorded[run], arms) for run in choosing}
    for name in sorted(set().union(*names.values())):
        if without := [run for run in choosing if name not in names[run]]:
            raise ValueError(
                f"{path}: found no {name} of {', '.join(without)}, expected it of every run or of none: keep "
                "it again"
            )


def _names_of(record: RecordedRun, arms: Mapping[str, Sequence[str]]) -> set[str]:
    """What is recorded: an arm that is not whole may have a run for some seeds."""
    values = record.as_json()
    shared = {f"shared_with {control}" for control in values.pop("shared_with", ()) if control in arms}
    return {*values, *shared}
