"""The trainings of a page: their curves, how far each run is, and the commands that made all of it"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ....artifacts.evaluations import EvaluationManifest
from ....artifacts.experiments import ExperimentManifest
from ....artifacts.manifests import Manifest
from ....artifacts.metrics import read_losses_of_steps
from ....artifacts.paths import RunPaths, experiment_path, manifest_in, run_named
from ....artifacts.subsets import SubsetManifest
from ....artifacts.trainings import TrainingManifest
from ....artifacts.trajectories.manifest import TrajectoriesManifest
from .. import commands
from ..facts import ComparisonFacts, LossFacts, RunProgress, Step, SubsetFacts, TrainingCurve
from .notes import Notes
from .subjects import Subject

_Kind = TypeVar("_Kind", bound=Manifest)
_MOST_CURVES = 24  # of an experiment; more lines say nothing


def read_curves(
    subjects: Sequence[Subject], comparisons: Sequence[ComparisonFacts], notes: Notes
) -> list[TrainingCurve]:
    """Of the runs of the comparisons, and of those that the page was asked for."""
    arms: dict[str, str] = {}
    for facts in comparisons:
        for arm in facts.comparison.arms:
            label = arm.label + (f", {facts.budget}" if facts.budget else "")
            arms |= {run: label for run in arm.runs if run not in arms}
    for subject in subjects:
        arms.setdefault(subject.config.run_name, subject.config.run_name)
    curves = []
    for run, arm in arms.items():
        path = RunPaths(run).metrics
        if path.is_file():
            steps, losses = read_losses_of_steps(path)
            curves.append(TrainingCurve(run, arm, steps, losses, path))
    if len(curves) > _MOST_CURVES:
        notes.say("comparison", f"{len(curves)} runs were trained. {_MOST_CURVES} curves are shown.")
    return curves[:_MOST_CURVES]


def state_of(run: str) -> RunProgress:
    """By the last of its stages that has begun."""
    paths = RunPaths(run)
    evaluation = _read(EvaluationManifest, paths.evaluation_manifest)
    if evaluation is not None:
        done = evaluation.is_complete
        return RunProgress(run, "evaluated" if done else "evaluating", done)
    training = _read(TrainingManifest, paths.manifest)
    if training is not None:
        return RunProgress(run, "trained" if training.is_complete else "training", False)
    chosen = _read(SubsetManifest, manifest_in(paths.subset))
    if chosen is not None:
        return RunProgress(run, "chosen" if chosen.is_complete else "choosing", False)
    return RunProgress(run, "to do", False)


def read_steps(
    subjects: Sequence[Subject],
    record: ExperimentManifest | None,
    losses: LossFacts | None,
    subsets: Sequence[SubsetFacts],
    comparisons: Sequence[ComparisonFacts],
) -> list[Step]:
    """The commands as their manifests recorded them, in the order in which to run them again."""
    steps: list[Step] = []

    def add(title: str, kind: type[Any], path: Path) -> None:
        manifest = _read(kind, path)
        if manifest is not None:
            steps.append(commands.recorded(title, manifest.provenance, path))

    if losses is not None and losses.is_of_a_run:
        proxy = RunPaths(run_named(losses.run))
        add("Train the proxy", TrainingManifest, proxy.manifest)
        add("Score the pool", TrajectoriesManifest, proxy.trajectories_manifest)
    if record is not None:
        path = experiment_path(record.name)
        steps.append(commands.recorded("Make and compare all runs", record.provenance, path))
        return _each_once(steps)
    for subset in subsets:
        add(f"Choose the rows of {subset.run}", SubsetManifest, manifest_in(subset.folder))
    of_subjects = [each.config.run_name for each in subjects if each.config.subset is not None]
    compared = [run.name for facts in comparisons for run in facts.comparison.runs]
    for run in dict.fromkeys([*of_subjects, *compared]):
        paths = RunPaths(run)
        if run not in of_subjects:
            add(f"Choose the rows of {run}", SubsetManifest, manifest_in(paths.subset))
        add(f"Train {run}", TrainingManifest, paths.manifest)
        add(f"Evaluate {run}", EvaluationManifest, paths.evaluation_manifest)
    for facts in comparisons:
        runs = [run.name for run in facts.comparison.runs]
        command = commands.in_a_shell(["python", "compare_runs.py", *runs])
        steps.append(Step("Compare", command, facts.file, ""))
    return _each_once(steps)


def _each_once(steps: Iterable[Step]) -> list[Step]:
    """One command may make several things: train.py chooses the rows first. Their titles are joined."""
    by_command: dict[str, Step] = {}
    for step in steps:
        earlier = by_command.get(step.command)
        if earlier is None:
            by_command[step.command] = step
        elif step.title not in earlier.title:
            joined = f"{earlier.title}; {step.title[0].lower()}{step.title[1:]}"
            by_command[step.command] = replace(earlier, title=joined)
    return list(by_command.values())


def _read(kind: type[_Kind], path: Path) -> _Kind | None:
    return kind.read(path) if path.is_file() else None
