"""The trainings of a page: their curves, and how far each run is"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from ....artifacts.evaluations import EvaluationManifest
from ....artifacts.manifests import Manifest
from ....artifacts.metrics import read_losses_of_steps
from ....artifacts.paths import RunPaths, manifest_in
from ....artifacts.subsets import SubsetManifest
from ....artifacts.trainings import TrainingManifest
from ..facts import ComparisonFacts, RunProgress, TrainingCurve
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


def _read(kind: type[_Kind], path: Path) -> _Kind | None:
    return kind.read(path) if path.is_file() else None
