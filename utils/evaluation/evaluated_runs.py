"""Evaluated runs as they are on disk, and arms: runs that differ in nothing but their seeds."""

import functools
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.artifacts.manifests import read_manifest
from utils.artifacts.paths import RunPaths
from utils.evaluation.results import predictions_path, read_result

NOT_OF_THE_ARM = ("seed", "rows", "base_model", "save_steps")  # what runs of one arm may differ in
RULES = {"paper": "", "strict": "_strict"}  # rule of answers -> how its entries in results and predictions end
_MODEL_INPUTS = ("step", "checkpoint", "base_model")  # of an evaluation: what is measured, not how


@dataclass(frozen=True, eq=False)
class EvaluatedRun:
    """Attributes:
    results: file name -> result as on disk.
    evaluation: inputs of the evaluation; training: the training's manifest, None for the base model.
    """

    name: str
    results: dict[str, dict[str, Any]]
    evaluation: dict[str, Any]
    training_manifest: dict[str, Any] | None

    @property
    def training(self) -> dict[str, Any] | None:
        """The inputs of the training, None for the base model."""
        return self.training_manifest["inputs"] if self.training_manifest else None

    @property
    def last_step(self) -> int | None:
        """Of the finished training; None if it is not finished or there was none."""
        return self.training_manifest.get("steps") if self.training_manifest else None

    @property
    def step(self) -> int:
        return self.evaluation["step"]

    @property
    def num_examples(self) -> int:
        return self.training["num_rows"] if self.training else 0

    @property
    def num_tokens(self) -> int | None:
        """Tokens trained on up to the evaluated step, every epoch's counted; None where no record says it."""
        work = self.training_manifest and self.training_manifest["provenance"].get("work")
        return round(work["tokens"] * self.step / work["steps_per_epoch"]) if work else None

    def value(self, *keys: str) -> float | None:
        """The entry under these keys of the results, None if it was not measured."""
        entry: Any = self.results
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
        if len(lines) != self.results[file]["questions"]:
            raise ValueError(
                f"{path}: found {len(lines)} predictions, expected {self.results[file]['questions']} as the result says: "
                "evaluate the run again with --overwrite"
            )
        return np.array([float(line[f"correct{RULES[rule]}"]) for line in lines])

    @property
    def measurement(self) -> dict[str, Any]:
        """How it was measured: the evaluation's inputs without the model's."""
        return {name: value for name, value in self.evaluation.items() if name not in (*_MODEL_INPUTS, "files")}

    @property
    def arm_key(self) -> str:
        training = self.training or {"untrained": self.evaluation["base_model"]}
        key = {name: value for name, value in training.items() if name not in NOT_OF_THE_ARM}
        if key.get("subset"):
            key["subset"] = {name: value for name, value in key["subset"].items() if name != "seed"}
        return json.dumps([self.step, self.measurement, key], sort_keys=True)

    @property
    def seeds(self) -> str:
        if self.training is None:
            return "untrained"
        subset_seed = (self.training["subset"] or {}).get("seed", self.training["seed"])
        seed = f"seed {self.training['seed']}"
        return seed if subset_seed == self.training["seed"] else f"{seed}, subset seed {subset_seed}"


@dataclass(frozen=True)
class Arm:
    """The runs that differ in nothing but their seeds."""

    letter: str
    runs: list[EvaluatedRun]

    @property
    def method(self) -> str:
        training = self.runs[0].training
        if training is None:
            return "base model"
        return training["subset"]["method"] if training["subset"] else "whole pool"

    @property
    def title(self) -> str:
        return f"{self.letter}: {self.method}"

    def describe(self) -> str:
        first = self.runs[0]
        step = f"step {first.step:,}"
        if first.training is not None and first.last_step != first.step:
            step += " of an unfinished training" if first.last_step is None else f" of {first.last_step:,}"
        runs = "; ".join(f"{run.name} ({run.seeds})" for run in self.runs)
        counts = f"{first.num_examples:,} examples, {step}; {len(self.runs)} {'run' if len(self.runs) == 1 else 'runs'}"
        return f"{self.letter}  {self.method}: {counts}: {runs}"

    def values(self, *keys: str) -> list[float] | None:
        """One value per run; None unless all have it."""
        values = [value for run in self.runs if (value := run.value(*keys)) is not None]
        return values if len(values) == len(self.runs) else None

    def cell(self, *keys: str) -> str:
        """Mean and sample standard deviation over the runs of a value in their results; "-" unless all have it."""
        values = self.values(*keys)
        if values is None:
            return "-"
        mean = f"{statistics.mean(values):.4f}"
        return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.4f}"

    def pairs(self, other: "Arm") -> list[tuple[EvaluatedRun, EvaluatedRun]]:
        """Runs of the two arms that belong together: those of one seed, or all with all where an arm has a single run."""
        pairs = [(mine, theirs) for mine in self.runs for theirs in other.runs]
        if min(len(self.runs), len(other.runs)) == 1:
            return pairs
        return [pair for pair in pairs if pair[0].seeds == pair[1].seeds]


def read_run(name: str) -> EvaluatedRun:
    """Raises: FileNotFoundError, ValueError: no finished evaluation, or no record of the training."""
    paths = RunPaths(name)
    how = f"`python evaluate.py --config_file <the YAML of {name}>`"
    if not (paths.evaluation / "manifest.json").is_file():
        raise FileNotFoundError(f"run {name!r} has no evaluation in {paths.evaluation}: make it with {how}")
    manifest = read_manifest(paths.evaluation / "manifest.json", "evaluation")
    if manifest["status"] != "complete":
        raise ValueError(f"the evaluation of run {name!r} is not finished: continue it with {how}")
    results = {file: read_result(paths.evaluation, file) for file in manifest["inputs"]["files"]}
    if manifest["inputs"]["step"] == 0:
        return EvaluatedRun(name, results, manifest["inputs"], None)
    if not paths.manifest.is_file():
        raise FileNotFoundError(
            f"run {name!r} has no {paths.manifest}, which says what it was trained on: compare runs of train.py"
        )
    return EvaluatedRun(name, results, manifest["inputs"], read_manifest(paths.manifest, "training"))


def group_into_arms(runs: Sequence[EvaluatedRun]) -> list[Arm]:
    """In the order in which they are first named. Raises: ValueError for one draw that is named twice."""
    groups: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        group = groups.setdefault(run.arm_key, [])
        for other in group:
            if run.training is None or other.training is None or _drawn(run.training) == _drawn(other.training):
                raise ValueError(
                    f"{other.name} and {run.name} are the same arm with the same seed, which would count twice: name "
                    "one of them"
                )
        group.append(run)
    return [Arm(_letter(number), group) for number, group in enumerate(groups.values())]


def _drawn(training: dict[str, Any]) -> tuple[Any, ...]:
    """What chance decided in a run."""
    return training["seed"], training["rows"]


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"A{number}"
