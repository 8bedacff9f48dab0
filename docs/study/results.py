"""The study's comparisons as they were kept, each as its experiment names the arms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from docs.study.checks import PROJECT, check_arms, check_numbers, check_recorded, runs_by_label
from docs.study.differences import PairedDifference, paired_difference
from docs.study.kept import KeptAnalysis, KeptComparison
from utils.artifacts.comparisons import AVERAGES
from utils.config.experiment import ExperimentConfig, comparison_of_budget, load_experiment

RESULTS = PROJECT / "docs/results"
ANALYSES = RESULTS / "analyses"
STUDY = PROJECT / "configs/study"
CONTROLS = ("random_per_source", "random")
BUDGETS = ("study_budgets_0.025", "study_wide_0.11", "study_budgets_0.4")  # from few rows to many


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
    kept: KeptComparison

    @property
    def averages(self) -> dict[str, str]:
        """Those of `AVERAGES` that were measured, each number once: of one source both are the same."""
        there = [measure for measure in AVERAGES if measure in self.values]
        return {
            measure: AVERAGES[measure]
            for measure in there
            if measure == there[0] or self.values[measure] != self.values[there[0]]
        }

    def values_of(self, measure: str, label: str) -> list[float]:
        """By seed."""
        return [self.values[measure][run] for run in self.arms[label]]

    def mean_losses(self, label: str, sources: Sequence[str], weight: str | None = None) -> list[float]:
        """By seed: the held-out loss, a mean over sources.

        Args: weight: the number of `rows_of` that a source weighs. None: all count alike.
        """
        weights = None if weight is None else [self.rows_of[source][weight] for source in sources]
        return [fmean([self.losses[source][run] for source in sources], weights) for run in self.arms[label]]

    def mean_rows(self, label: str, source: str) -> float | None:
        """Over seeds: how many rows of a source an arm chose. None where that is not recorded."""
        of_runs = [self.kept.recorded[run].rows_by_source for run in self.arms[label]]
        rows = [of_run.get(source, 0) for of_run in of_runs if of_run is not None]
        return fmean(rows) if rows else None

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


def percent_of(result: Result) -> str:
    """Its budget in words."""
    return f"{100 * (result.budget or 1):g} %"


def comparison_names(experiment: ExperimentConfig) -> dict[str, int | float | None]:
    """Name of each comparison that run_experiment.py makes -> its budget."""
    budgets = experiment.budgets or [None]
    return {comparison_of_budget(experiment, budget): budget for budget in budgets}


def arms_of(experiment: ExperimentConfig, budget: int | float | None) -> dict[str, list[str]]:
    """Label -> the runs that it is to have at a budget, by seed."""
    return {label: list(runs.values()) for label, runs in runs_by_label(experiment, budget).items()}


def read_result(path: Path, config_file: Path) -> Result:
    """Raises: ValueError for a file that is no comparison of this experiment, or without held-out losses."""
    experiment = load_experiment(config_file)
    names = comparison_names(experiment)
    if path.stem not in names:
        raise ValueError(f"{path}: found a comparison that {config_file} does not make ({', '.join(names)})")
    kept = KeptComparison.read(path)
    check_numbers(kept.comparison, path)
    check_arms(kept.comparison, experiment, names[path.stem], path)
    measures = [
        measure
        for measure in kept.comparison.measures
        if measure.question_set == "heldout" and not measure.is_metric
    ]
    of_sources = [each for each in measures if each.source is not None and each.name == "loss"]
    values = {measure.name: measure.values for measure in measures if measure.source is None}
    averages = {measure: values[measure] for measure in AVERAGES if measure in values}
    if not averages:
        raise ValueError(f"{path}: found no held-out loss, expected {' or '.join(AVERAGES)}")
    known = {run.name for run in kept.comparison.runs}
    losses = {str(each.source): each.values for each in of_sources}
    _check_runs(averages | {f"loss of {name}": of_runs for name, of_runs in losses.items()}, known, path)
    arms = arms_of(experiment, names[path.stem])
    there = {label: [run for run in runs if run in known] for label, runs in arms.items()}
    of_arms = {run for runs in arms.values() for run in runs}
    whole = {label: runs for label, runs in there.items() if len(runs) == len(arms[label])}
    check_recorded(whole, kept.recorded, path)
    is_below = config_file.is_relative_to(PROJECT)
    return Result(
        name=path.stem,
        config_file=str(config_file.relative_to(PROJECT) if is_below else config_file),
        experiment=experiment,
        budget=names[path.stem],
        arms=whole,
        unfinished={label: len(runs) for label, runs in there.items() if label not in whole},
        values=values,
        losses=losses,
        rows_of=kept.sources,
        of_no_arm=[run.name for run in kept.comparison.runs if run.name not in of_arms],
        kept=kept,
    )


def _check_runs(measures: Mapping[str, Mapping[str, float]], runs: set[str], path: Path) -> None:
    """Raises: ValueError for a measure that only some of the runs have."""
    for name, values in measures.items():
        if without := sorted(runs - values.keys()):
            raise ValueError(f"{path}: found no {name} of {', '.join(without)}")


def all_analyses(analyses: Path = ANALYSES) -> dict[str, dict[str, Any]]:
    """By name, what each script measured."""
    return {path.stem: KeptAnalysis.read(path).measured for path in sorted(analyses.glob("*.json"))}


def config_files(study: Path = STUDY) -> dict[str, Path]:
    """Name of each comparison that the study's experiments make -> the experiment's YAML.

    Raises: ValueError for a comparison that two of them make.
    """
    found: dict[str, Path] = {}
    for config_file in sorted(study.glob("experiment_*.yml")):
        for name in comparison_names(load_experiment(config_file)):
            if name in found:
                raise ValueError(f"{config_file}: found {name}, which {found[name]} makes: rename one")
            found[name] = config_file
    return found


def all_results(results: Path = RESULTS, study: Path = STUDY) -> dict[str, Result]:
    """By name, in the order of the experiments. Raises: ValueError for a file that none of them makes."""
    makers = config_files(study)
    paths = {path.stem: path for path in results.glob("*.json")}
    if strange := sorted(str(path) for name, path in paths.items() if name not in makers):
        raise ValueError(
            f"found {', '.join(strange)}, which no experiment of {study} makes: put back its YAML or the "
            "budget, or remove the file"
        )
    return {name: read_result(paths[name], makers[name]) for name in makers if name in paths}
