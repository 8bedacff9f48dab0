"""Whether a comparison is one of an experiment's arms: run names alone do not say what a run was."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from docs.study.kept import RecordedRun
from utils.artifacts.comparisons import ComparedArm, Comparison
from utils.config.experiment import WHOLE_POOL, ExperimentConfig, run_name_of
from utils.config.load import read_translated
from utils.config.names import SelectionMethod
from utils.config.schema import SELECTION_PRESETS, SubsetConfig
from utils.selection.inputs import DERIVED
from utils.selection.methods.table import METHODS

PROJECT = Path(__file__).resolve().parents[2]
_NOT_SET = "not set"  # as `told_apart` has a setting that an arm does not have


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


def check_arms(
    comparison: Comparison, experiment: ExperimentConfig, budget: int | float | None, path: Path
) -> None:
    """Refuse a comparison whose arms are not what the experiment says.

    Args:
        path: of the comparison, for messages.

    Raises:
        ValueError: runs that differ in more than their data; runs of a label that are no arm, or those of
            two labels that are one; a run of another seed than its name says; an arm of another method or
            other settings than those of its label.
    """
    problems = [f"the arms differ in more than their data: {line}" for line in comparison.unlike]
    arms = {arm.letter: arm for arm in comparison.arms}
    runs = {run.name: run for run in comparison.runs}
    label_of: dict[str, str] = {}
    for label, of_seeds in runs_by_label(experiment, budget).items():
        there = {seed: runs[name] for seed, name in of_seeds.items() if name in runs}
        for seed, run in there.items():
            if run.seed != seed or run.subset_seed != (None if label == WHOLE_POOL else seed):
                problems.append(f"{run.name} has the seed {run.seed} and chose by {run.subset_seed}")
        letters = sorted({run.arm for run in there.values()})
        if len(letters) > 1:
            problems.append(f"the runs of {label} are the arms {', '.join(letters)}, expected one")
        for letter in letters:
            if letter in label_of:
                problems.append(f"{label_of[letter]} and {label} are both the arm {letter}")
            label_of[letter] = label
            if letter not in arms:
                problems.append(f"no arm {letter}")
            else:
                problems += _other_settings(label, experiment, arms[letter], comparison.arms)
    if problems:
        raise ValueError(
            f"{path}: found no comparison of the arms that the experiment {experiment.name} names: "
            f"{'; '.join(problems)}: make the runs and the comparison again with run_experiment.py, or put "
            "back the YAML that they were made with"
        )


def _other_settings(
    label: str, experiment: ExperimentConfig, arm: ComparedArm, arms: Sequence[ComparedArm]
) -> list[str]:
    """In what an arm is not what its label says, as far as `told_apart_by` knows."""
    if label == WHOLE_POOL:
        return [] if arm.method == "whole pool" else [f"{label} is the arm {arm.title}"]
    named = settings_of(label, experiment)
    if arm.method != named.method:
        return [f"{label} is {named.method} and the arm {arm.title}"]
    told = {**SELECTION_PRESETS.get(arm.told_apart_by.get("preset", ""), {}), **arm.told_apart_by}
    of_others = [each.told_apart_by for each in arms if each.method == arm.method]
    problems = []
    for name in sorted({*told, *(name for each in of_others for name in each)} & _settings_of(named.method)):
        value = getattr(named, name)
        if name == "num_clusters" and value is None:
            value = DERIVED
        is_default = value == SubsetConfig.model_fields[name].get_default(call_default_factory=True)
        if name in told:
            is_right = told[name] == value or (told[name] == _NOT_SET and is_default)
        elif is_default or name == "source_weight":  # which a comparison names beside an exponent alone
            continue
        else:  # then it has no value that tells other arms apart
            is_right = value not in [each[name] for each in of_others if name in each]
        if not is_right:
            problems.append(f"{label} has {name} {value} and is the arm {arm.title}")
    return problems


def _settings_of(method: SelectionMethod) -> set[str]:
    """Those by which arms of a method can be told apart, and that a YAML has as a comparison has them."""
    return {*METHODS[method].settings, "drop"}


def settings_of(label: str, experiment: ExperimentConfig) -> SubsetConfig:
    """What the experiment's YAML and its target's say of a label's subset."""
    values, _ = read_translated(PROJECT / experiment.target)
    of_all = {
        key.removeprefix("subset."): value
        for key, value in experiment.settings.items()
        if key.startswith("subset.")
    }
    own = {**(values.get("subset") or {}), **of_all, "method": label, **experiment.methods[label]}
    return SubsetConfig.model_validate({key: value for key, value in own.items() if "budget" not in key})


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
