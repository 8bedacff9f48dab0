"""The commands that make all of a page again, as manifests recorded them, in the order to run them in"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ....artifacts.configs import recorded_subset
from ....artifacts.evaluations import EvaluationManifest
from ....artifacts.experiments import ExperimentManifest
from ....artifacts.paths import RunPaths, experiment_path, manifest_in, named_subset, run_named
from ....artifacts.subsets import SubsetManifest
from ....artifacts.trainings import TrainingManifest
from ....artifacts.trajectories.manifest import TrajectoriesManifest
from .. import commands
from ..facts import ComparisonFacts, LossFacts, Step
from .subjects import Subject


def read_steps(
    subjects: Sequence[Subject],
    record: ExperimentManifest | None,
    losses: LossFacts | None,
    comparisons: Sequence[ComparisonFacts],
) -> list[Step]:
    """Each command once. Of an experiment, what its own command does not make, and that."""
    steps = _Steps()
    chosen = [each.config.run_name for each in subjects if each.config.subset is not None]
    compared = [run.name for facts in comparisons for run in facts.comparison.runs]
    members = [] if record is None else [member.run for member in record.members]
    runs = list(dict.fromkeys([*chosen, *compared, *members]))
    if losses is not None and losses.is_of_a_run:
        steps.add_losses(run_named(losses.run))
    for run in runs:
        steps.add_losses_that_chose(run)
    if record is not None:
        path = experiment_path(record.name)
        steps.found.append(commands.recorded("Make and compare all runs", record.provenance, path))
        return _each_once(steps.found)
    for run in runs:
        paths = RunPaths(run)
        steps.add(f"Choose the rows of {run}", SubsetManifest, manifest_in(_subset_of(run)))
        steps.add_training(run)
        steps.add(f"Evaluate {run}", EvaluationManifest, paths.evaluation_manifest)
    for facts in comparisons:
        compared = [run.name for run in facts.comparison.runs]
        command = commands.in_a_shell(["python", "compare_runs.py", *compared])
        steps.found.append(Step("Compare", command, facts.file, ""))
    return _each_once(steps.found)


class _Steps:
    """Steps that are gathered: what a step needs of others comes before it. Attributes: found: so far."""

    def __init__(self) -> None:
        self.found: list[Step] = []
        self._runs: set[tuple[str, str]] = set()  # (what of them was made, run)

    def add(self, title: str, kind: type[Any], path: Path) -> None:
        """The command of a manifest, if it is there."""
        if path.is_file():
            self.found.append(commands.recorded(title, kind.read(path).provenance, path))

    def add_losses_that_chose(self, run: str) -> None:
        path = manifest_in(_subset_of(run))
        origin = SubsetManifest.read(path).trajectories_from if path.is_file() else None
        if origin is not None:
            self.add_losses(run_named(origin))

    def add_losses(self, run: str) -> None:
        """Train the model whose checkpoints scored the pool, and score it with them."""
        path = RunPaths(run).trajectories_manifest
        if not path.is_file() or ("losses", run) in self._runs:
            return
        self._runs.add(("losses", run))
        manifest = TrajectoriesManifest.read(path)
        model_path = commands.model_path_of(manifest.provenance)
        trained = run if model_path is None else _run_below(model_path)
        save_steps: list[int] = []
        if trained is not None and RunPaths(trained).manifest.is_file():
            self.add_training(trained)
            save_steps = TrainingManifest.read(RunPaths(trained).manifest).save_steps
        title = f"Score the pool with the checkpoints of {trained or model_path}"
        self.found.append(commands.scoring(title, manifest, save_steps, path))

    def add_training(self, run: str) -> None:
        path = RunPaths(run).manifest
        if not path.is_file() or ("training", run) in self._runs:
            return
        self._runs.add(("training", run))
        began_from = _run_below(TrainingManifest.read(path).model.get("name_or_path") or "")
        if began_from is not None:
            self.add_training(began_from)
        self.add(f"Train {run}", TrainingManifest, path)


def _subset_of(run: str) -> Path:
    """The folder of the subset that a run is trained on, which may be another run's."""
    same_as = recorded_subset(RunPaths(run)).get("same_as")
    if same_as is not None:
        return named_subset(same_as)
    of_budgets = RunPaths(run).subsets_of_budgets()  # by one command
    return of_budgets[0] if of_budgets else RunPaths(run).subset


def _run_below(path: str) -> str | None:
    """The run whose folder or checkpoint this path is, None where it does not lie below res/."""
    for folder in (path, str(Path(path).parent)):
        if (run := run_named(folder)) != folder:
            return run
    return None


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
