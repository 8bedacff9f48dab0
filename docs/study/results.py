"""The study's comparisons as they were kept, each as its experiment names the arms."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docs.study.differences import PairedDifference, paired_difference
from utils.artifacts.comparisons import AVERAGES
from utils.config.experiment import (
    WHOLE_POOL,
    ExperimentConfig,
    comparison_of_budget,
    load_experiment,
    run_name_of,
)

PROJECT = Path(__file__).resolve().parents[2]
RESULTS = PROJECT / "docs/results"
ANALYSES = RESULTS / "analyses"
STUDY = PROJECT / "configs/study"
CONTROLS = ("random_per_source", "random")


@dataclass(frozen=True)
class Result:
    """A comparison that was kept, as its experiment names the arms.

    Attributes:
        name: of the comparison.
        config_file: the experiment's, below the project.
        experiment: what that says.
        budget: of all its arms but the whole pool; None where that is the only one.
        arms: label -> its runs, by seed, of those arms alone of which every seed is there.
        unfinished: label -> how many of its seeds are there, of the others.
        values: measure of all held-out rows -> run -> value.
        losses: source -> run -> held-out loss.
        rows_of: source -> its rows, as benchmarks/study_results.py keeps them.
        of_no_arm: runs that were measured and belong to no arm of the experiment.
        kept: the whole file.
    """

    name: str
    config_file: str
    experiment: ExperimentConfig
    budget: int | float | None
    arms: dict[str, list[str]]
    unfinished: dict[str, int]
    values: dict[str, dict[str, float]]
    losses: dict[str, dict[str, float]]
    rows_of: dict[str, dict[str, int]]
    of_no_arm: list[str]
    kept: dict[str, Any]

    @property
    def averages(self) -> dict[str, str]:
        """Those of `AVERAGES` that were measured. One source held out has none as in the pool."""
        return {measure: words for measure, words in AVERAGES.items() if measure in self.values}

    def values_of(self, measure: str, label: str) -> list[float]:
        """By seed."""
        return [self.values[measure][run] for run in self.arms[label]]

    def difference(self, measure: str, label: str, control: str) -> PairedDifference | None:
        """None between an arm and itself, and where the control is not there."""
        if label == control or control not in self.arms:
            return None
        return paired_difference(self.values_of(measure, label), self.values_of(measure, control))

    @property
    def differences(self) -> list[PairedDifference]:
        """All that the table shows."""
        found = [
            self.difference(measure, label, control)
            for measure in self.averages
            for label in self.arms
            for control in CONTROLS
            if (label, control) != ("random", "random_per_source")  # the same pair, turned round
        ]
        return [difference for difference in found if difference is not None]


def comparison_names(experiment: ExperimentConfig) -> dict[str, int | float | None]:
    """Name of each comparison that run_experiment.py makes -> its budget."""
    budgets = experiment.budgets or [None]
    return {comparison_of_budget(experiment, budget): budget for budget in budgets}


def arms_of(experiment: ExperimentConfig, budget: int | float | None) -> dict[str, list[str]]:
    """Label -> the runs that it is to have at a budget, by seed."""
    return {
        label: [
            run_name_of(experiment, label, None if label == WHOLE_POOL else budget, seed)
            for seed in experiment.seeds
        ]
        for label in experiment.methods
    }


def read_result(path: Path, config_file: Path) -> Result:
    """Raises: ValueError for a file that is no comparison of this experiment, or without held-out losses."""
    experiment = load_experiment(config_file)
    names = comparison_names(experiment)
    if path.stem not in names:
        raise ValueError(f"{path}: found a comparison that {config_file} does not make ({', '.join(names)})")
    kept = json.loads(path.read_text(encoding="utf-8"))
    measures = [
        measure
        for measure in kept["measures"]
        if measure["question_set"] == "heldout" and not measure["is_metric"]
    ]
    of_sources = [each for each in measures if each["source"] is not None and each["name"] == "loss"]
    values = {measure["name"]: measure["values"] for measure in measures if measure["source"] is None}
    arms = arms_of(experiment, names[path.stem])
    averages = [values[measure] for measure in AVERAGES if measure in values]
    if not averages:
        raise ValueError(f"{path}: found no held-out loss, expected {' or '.join(AVERAGES)}")
    there = {label: [run for run in runs if all(run in average for average in averages)]
             for label, runs in arms.items()}  # fmt: skip
    of_arms = {run for runs in arms.values() for run in runs}
    is_below = config_file.is_relative_to(PROJECT)
    return Result(
        name=path.stem,
        config_file=str(config_file.relative_to(PROJECT) if is_below else config_file),
        experiment=experiment,
        budget=names[path.stem],
        arms={label: runs for label, runs in there.items() if len(runs) == len(arms[label])},
        unfinished={label: len(runs) for label, runs in there.items() if len(runs) < len(arms[label])},
        values=values,
        losses={measure["source"]: measure["values"] for measure in of_sources},
        rows_of=kept["sources"],
        of_no_arm=[run for run in averages[0] if run not in of_arms],
        kept=kept,
    )


def all_results(results: Path = RESULTS, study: Path = STUDY) -> dict[str, Result]:
    """By name, those of the study's experiments of which a file is there."""
    found = {}
    for config_file in sorted(study.glob("experiment_*.yml")):
        for name in comparison_names(load_experiment(config_file)):
            path = results / f"{name}.json"
            if path.is_file():
                found[name] = read_result(path, config_file)
    return found
