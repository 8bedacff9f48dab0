"""Evaluated runs as they are on disk, and arms: runs that differ in nothing but their seeds."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from ..artifacts.evaluations import EvaluationManifest, EvaluationResult, predictions_path, read_result
from ..artifacts.paths import RunPaths
from ..artifacts.trainings import TrainingManifest

NOT_OF_THE_ARM = ("seed", "rows", "base_model", "save_steps")  # what runs of one arm may differ in
RULES = {
    "paper": "",
    "strict": "_strict",
}  # rule of answers -> how its entries in results and predictions end
_BUDGETS = ("budget_rows", "budget_fraction", "budget_tokens")  # in a manifest; `budget` in a YAML
_NOT_OF_THE_METHOD = ("pool", "num_examples", "method", "seed")  # of a subset's inputs
_MODEL_INPUTS = ("step", "checkpoint", "base_model")  # of an evaluation: what is measured, not how


@dataclass(frozen=True, eq=False)
class EvaluatedRun:
    """Attributes:
    name: of the run.
    results: file name -> result.
    evaluation: its manifest.
    training: its manifest; None for the base model.
    config_of_subset: the subset section of its YAML, empty where that is not on disk.
    """

    name: str
    results: dict[str, EvaluationResult]
    evaluation: EvaluationManifest
    training: TrainingManifest | None
    config_of_subset: dict[str, Any]

    @property
    def last_step(self) -> int | None:
        """Of the finished training; None if it is not finished or there was none."""
        return None if self.training is None else self.training.steps

    @property
    def step(self) -> int:
        return self.evaluation.step

    @property
    def num_examples(self) -> int:
        return 0 if self.training is None else self.training.num_rows

    @property
    def num_tokens(self) -> int | None:
        """Tokens trained on up to the evaluated step, every epoch's counted; None where no record says it."""
        work = None if self.training is None else self.training.provenance.work
        return None if work is None else round(work.tokens * self.step / work.steps_per_epoch)

    def value(self, file: str, *keys: str) -> float | None:
        """The entry under these keys of a result, None if it was not measured."""
        entry: Any = self.results[file].measured if file in self.results else None
        for key in keys:
            entry = (entry or {}).get(key)
        return entry

    @functools.cache  # noqa: B019 (a handful of runs in a process that ends after one table)
    def outcomes(self, file: str, rule: str) -> np.ndarray:
        """float (Q,): 1 where the answer to a question of this file is right by this rule, in the file's order.

        Raises: ValueError for predictions that do not belong to the result.
        """
        path = predictions_path(RunPaths(self.name).evaluation, file)
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if len(lines) != self.results[file].num_questions:
            raise ValueError(
                f"{path}: found {len(lines)} predictions, expected {self.results[file].num_questions} as the result says: "
                "evaluate the run again with --overwrite"
            )
        return np.array([float(line[f"correct{RULES[rule]}"]) for line in lines])

    @property
    def measurement(self) -> dict[str, Any]:
        """How it was measured: the evaluation's inputs without the model's."""
        inputs = self.evaluation.inputs.items()
        return {name: value for name, value in inputs if name not in (*_MODEL_INPUTS, "files")}

    @property
    def arm_key(self) -> str:
        if self.training is None:
            key: dict[str, Any] = {"untrained": self.evaluation.base_model}
        else:
            inputs = self.training.inputs
            key = {name: value for name, value in inputs.items() if name not in NOT_OF_THE_ARM}
            of_subset = self.training.subset or {}
            key["subset"] = {name: value for name, value in of_subset.items() if name != "seed"}
        return json.dumps([self.step, self.measurement, key], sort_keys=True)

    @property
    def seeds(self) -> tuple[int | None, int | None]:
        """Of the training, and of the choice of its rows; None where there was none."""
        if self.training is None:
            return None, None
        return self.training.seed, self.training.subset_seed

    @property
    def effective_seeds(self) -> tuple[int | None, int | None]:
        """The whole pool belongs to the choice that was made with the training's seed."""
        seed, subset_seed = self.seeds
        return seed, seed if subset_seed is None else subset_seed

    @property
    def method(self) -> str:
        if self.training is None:
            return "base model"
        return self.training.subset_method or "whole pool"

    @property
    def settings(self) -> dict[str, Any]:
        """All that it was made and measured with apart from its method and seeds: what a person sets first, what follows
        from it last."""
        training = self.training.inputs if self.training else {}
        of_subset = (self.training.subset if self.training else None) or {}
        subset = {"budget" if name in _BUDGETS else name: value for name, value in of_subset.items()}
        last = {name: subset.pop(name) for name in ("trajectories",) if name in subset}  # a hash
        if self.training is None:
            last["base_model"] = self.evaluation.base_model
        said = {name: self.config_of_subset.get(name) for name in ("steps", "trajectories_from")}
        return {
            **{name: subset[name] for name in ("budget",) if name in subset},
            **{name: value for name, value in said.items() if value is not None},
            **{name: value for name, value in subset.items() if name not in _NOT_OF_THE_METHOD},
            **{name: training[name] for name in ("num_rows",) if name in training},
            "step": self.step,
            **_flat(
                {name: value for name, value in training.items() if name not in (*NOT_OF_THE_ARM, "subset")}
            ),
            **_flat({"evaluation": self.measurement}),
            **last,
        }


@dataclass(frozen=True)
class Arm:
    """The runs that differ in nothing but their seeds."""

    letter: str
    runs: list[EvaluatedRun]

    def values(self, file: str, *keys: str) -> list[float] | None:
        """One value per run; None unless all have it."""
        values = [value for run in self.runs if (value := run.value(file, *keys)) is not None]
        return values if len(values) == len(self.runs) else None

    def pairs(self, other: "Arm") -> list[tuple[EvaluatedRun, EvaluatedRun]]:
        """Runs of the two arms that belong together: those of one seed, or all with all where an arm has a single run."""
        pairs = [(mine, theirs) for mine in self.runs for theirs in other.runs]
        if min(len(self.runs), len(other.runs)) == 1:
            return pairs
        return [(mine, theirs) for mine, theirs in pairs if mine.effective_seeds == theirs.effective_seeds]


def read_run(name: str) -> EvaluatedRun:
    """Raises: FileNotFoundError, ValueError: no finished evaluation, or no record of the training."""
    paths = RunPaths(name)
    how = f"`python evaluate_run.py --config_file <the YAML of {name}>`"
    if not paths.evaluation_manifest.is_file():
        raise FileNotFoundError(f"run {name!r} has no evaluation in {paths.evaluation}: make it with {how}")
    evaluation = EvaluationManifest.read(paths.evaluation_manifest)
    if not evaluation.is_complete:
        raise ValueError(f"the evaluation of run {name!r} is not finished: continue it with {how}")
    results = {file: read_result(paths.evaluation, file) for file in evaluation.files}
    if evaluation.step == 0:
        return EvaluatedRun(name, results, evaluation, None, {})
    if not paths.manifest.is_file():
        raise FileNotFoundError(
            f"run {name!r} has no {paths.manifest}, which says what it was trained on: compare runs of train.py"
        )
    training = TrainingManifest.read(paths.manifest)
    config = yaml.safe_load(paths.config.read_text(encoding="utf-8")) if paths.config.is_file() else {}
    return EvaluatedRun(name, results, evaluation, training, config.get("subset") or {})


def group_into_arms(runs: Sequence[EvaluatedRun]) -> list[Arm]:
    """In the order in which they are first named. Raises: ValueError for one draw that is named twice."""
    groups: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        group = groups.setdefault(run.arm_key, [])
        for other in group:
            if (
                run.training is None
                or other.training is None
                or _drawn(run.training) == _drawn(other.training)
            ):
                raise ValueError(
                    f"{other.name} and {run.name} are the same arm with the same seed, which would count twice: name "
                    "one of them"
                )
        group.append(run)
    return [Arm(_letter(number), group) for number, group in enumerate(groups.values())]


def _drawn(training: TrainingManifest) -> tuple[int, str]:
    """What chance decided in a run."""
    return training.seed, training.rows


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Nested settings by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = _flat(value) if isinstance(value, dict) else None
        flat |= {name: value} if inner is None else {f"{name}.{key}": leaf for key, leaf in inner.items()}
    return flat


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"A{number}"
