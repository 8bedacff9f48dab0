"""What lies below res/: every run, what was done of it, when, from what, how far, and its size on disk."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..config.schema import path_in_words
from .configs import recorded_config
from .evaluations import EvaluationManifest
from .manifests import Manifest
from .paths import RunPaths, manifest_in, results_root, step_of
from .subsets import SubsetManifest
from .trainings import TrainingManifest
from .trajectories.manifest import TrajectoriesManifest
from .trajectories.write import TrajectoryFolder

_Kind = TypeVar("_Kind", bound=Manifest)
_WithTime = TrainingManifest | TrajectoriesManifest | SubsetManifest | EvaluationManifest


@dataclass(frozen=True)
class Work:
    """One thing that was done in a run.

    Attributes:
        kind: training, trajectories, subset or evaluation. One of several subsets has its folder's name.
        status: as its manifest says: running or complete.
        time: when the manifest was written, ISO 8601 in UTC, "" where it does not say.
        done: how many checkpoints, scored checkpoints, rows or results are there.
        planned: how many are to be, None where all is there at once.
        made_from: the model and pool, the trajectories or the method.
    """

    kind: str
    status: str
    time: str
    done: int
    planned: int | None
    made_from: str


@dataclass(frozen=True)
class Run:
    """A folder below res/.

    Attributes:
        name: of the folder.
        num_bytes: of all its files.
        works: what was done, in the order of the stages.
    """

    name: str
    num_bytes: int
    works: list[Work]

    @property
    def time(self) -> str:
        return max((work.time for work in self.works), default="")


def find_runs() -> list[Run]:
    """Every run below res/, the newest last. Unreadable manifests count as work of status "unreadable"."""
    root = results_root()
    folders = sorted(path for path in root.glob("*") if path.is_dir() and not path.name.startswith("."))
    found = [
        Run(
            folder.name,
            sum(map(_size_of, folder.rglob("*"))),
            list(_works(folder.name)),
        )
        for folder in folders
    ]
    return sorted((run for run in found if run.works), key=lambda run: (run.time, run.name))


def _size_of(path: Path) -> int:
    """Bytes of a file, 0 for what is none, or is no more: a training removes older checkpoints."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _works(run_name: str) -> Iterator[Work]:
    paths = RunPaths(run_name)
    config = _config_of(paths)
    pool = path_in_words(_section(config, "data").get("path", "?"))
    origin = f"{_model_of(config)} on {pool}" if config else ""
    if paths.manifest.is_file():
        training = _read(TrainingManifest, paths.manifest)
        planned = training.save_steps if training else []
        saved = {step_of(path) for path in paths.root.glob("checkpoint-*") if path.is_dir()}
        yield _work("training", training, len(saved & set(planned)), len(planned), origin)
    if paths.trajectories_manifest.is_file():
        scoring = _read(TrajectoriesManifest, paths.trajectories_manifest)
        done = len(TrajectoryFolder(paths.trajectories).scored_steps())
        yield _work("trajectories", scoring, done, len(scoring.checkpoints) if scoring else 0, origin)
    for folder in (paths.subset, *paths.subsets_of_budgets()):
        if manifest_in(folder).is_file():
            subset = _read(SubsetManifest, manifest_in(folder))
            yield _work(folder.name, subset, subset.budget if subset else 0, None, _choice_of(subset))
    if paths.evaluation_manifest.is_file():
        evaluation = _read(EvaluationManifest, paths.evaluation_manifest)
        done = len(set(paths.evaluation.glob("*.json")) - {paths.evaluation_manifest})
        planned = len(evaluation.files) if evaluation else None
        yield _work("evaluation", evaluation, done, planned or None, origin)


def _read(kind: type[_Kind], path: Path) -> _Kind | None:
    """None for a manifest that cannot be read: a list of runs shows what it can."""
    try:
        return kind.read(path)
    except (OSError, ValueError):
        return None


def _work(kind: str, manifest: _WithTime | None, done: int, planned: int | None, made_from: str) -> Work:
    if manifest is None:
        return Work(kind, "unreadable", "", done, planned, made_from)
    return Work(kind, manifest.status, manifest.provenance.time, done, planned, made_from)


def _choice_of(subset: SubsetManifest | None) -> str:
    if subset is None:
        return "?"
    if subset.trajectories_from is None:
        return subset.method
    return f"{subset.method} of {subset.trajectories_from}"


def _config_of(paths: RunPaths) -> dict[str, Any]:
    """Empty where it is not there or not readable."""
    try:
        return recorded_config(paths)
    except (OSError, ValueError):
        return {}


def _model_of(config: dict[str, Any]) -> str:
    model = _section(config, "model")
    return str(
        model.get("name_or_path") or f"a new {_section(model, 'architecture').get('model_type', 'model')}"
    )


def _section(values: dict[str, Any], name: str) -> dict[str, Any]:
    section = values.get(name)
    return section if isinstance(section, dict) else {}
