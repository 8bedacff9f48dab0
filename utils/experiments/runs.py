"""Evaluated runs as they are on disk, and arms: runs that differ in nothing but their seeds."""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..artifacts.checksums import check_contents
from ..artifacts.configs import recorded_subset
from ..artifacts.evaluations import (
    HELDOUT,
    RULES,
    EvaluationManifest,
    EvaluationResult,
    predictions_path,
    read_result,
    result_path,
)
from ..artifacts.paths import RunPaths, manifest_in, run_named
from ..artifacts.subsets import COMPOSITION, SubsetManifest, most_selectable, read_composition
from ..artifacts.trainings import TrainingManifest
from ..artifacts.trajectories.identity import identity_of_steps
from ..artifacts.trajectories.manifest import TrajectoriesManifest
from ..artifacts.trajectories.read import are_made_elsewhere
from ..artifacts.trajectories.write import BASE_LOSSES
from ..process.errors import explained
from ..reading import read_text
from ..terminal import one_line

_FROM_THE_SEED = ("seed", "rows", "save_steps")  # what runs of one arm may differ in
_LEAST_HELD_OUT = 0.95  # of the pool's rows: by source, for an average that is weighted as the pool
_AGAIN = "evaluate the run again with --overwrite"
_BUDGETS = ("budget_rows", "budget_fraction", "budget_tokens")  # in a manifest; `budget` in a YAML
_NOT_OF_THE_METHOD = ("pool", "num_examples", "method", "seed")  # of a subset's inputs
# Inputs of an evaluation that do not say how it measures.
_MODEL_INPUTS = ("step", "checkpoint", "base_model")


@dataclass(frozen=True, eq=False)
class EvaluatedRun:
    """An evaluated run as it is on disk.

    Attributes:
        name: of the run.
        results: name of a question set -> result.
        evaluation: its manifest.
        training: its manifest; None for the base model.
        config_of_subset: the subset section of its YAML, empty where that is not on disk.
        proxy: what the run whose trajectories chose its rows was made from, apart from its seed; None where
            that is not on disk.
        steps: the checkpoints by whose losses its rows were chosen, None where that is not known.
        why_no_proxy: what is not on disk of a proxy that chose its rows, None where nothing is missing.
    """

    name: str
    results: dict[str, EvaluationResult]
    evaluation: EvaluationManifest
    training: TrainingManifest | None
    config_of_subset: dict[str, Any]
    proxy: dict[str, Any] | None
    steps: list[int] | None = None
    why_no_proxy: str | None = None

    @property
    def last_step(self) -> int | None:
        """The last step of the finished training; None if it is not finished or there was none."""
        return None if self.training is None else self.training.steps

    @property
    def step(self) -> int:
        return self.evaluation.step

    @property
    def num_examples(self) -> int:
        return 0 if self.training is None else self.training.num_rows

    @property
    def num_tokens(self) -> int | None:
        """Tokens trained on up to the evaluated step, over all epochs; None where no record says it."""
        work = None if self.training is None else self.training.provenance.work
        return None if work is None else round(work.tokens * self.step / work.steps_per_epoch)

    def value(self, question_set: str, *keys: str) -> float | None:
        """The entry under these keys of a result; None if it was not measured."""
        entry: Any = self.results[question_set].measured if question_set in self.results else None
        for key in keys:
            entry = entry.get(key) if isinstance(entry, dict) else None
        is_number = isinstance(entry, int | float) and not isinstance(entry, bool) and math.isfinite(entry)
        if entry is not None and not is_number:
            path = result_path(RunPaths(self.name).evaluation, question_set)
            raise ValueError(
                f"{path}: {'.'.join(keys)}: found {one_line(repr(entry), 60)}, "
                f"expected a finite number: {_AGAIN}"
            )
        return entry

    @functools.cache  # noqa: B019 (a handful of runs in a process that ends after one table)
    def outcomes(self, question_set: str, rule: str) -> np.ndarray:
        """float (Q,), in the set's order: 1 where the answer to a question is right by this rule.

        Raises:
            ValueError: for predictions that do not belong to the result.
        """
        path = predictions_path(RunPaths(self.name).evaluation, question_set)
        result = self.results[question_set]
        check_contents(path, result.checksums, _AGAIN)
        lines = read_text(path).split("\n")[:-1]
        if len(lines) != result.num_questions:
            raise ValueError(
                f"{path}: found {len(lines)} predictions, "
                f"expected {result.num_questions} as the result says: {_AGAIN}"
            )
        with explained(f"{path} is damaged", _AGAIN):
            return np.array([float(json.loads(line)[f"correct{RULES[rule]}"]) for line in lines])

    @property
    def measurement(self) -> dict[str, Any]:
        """The inputs of the evaluation that say how it measures, not which model."""
        inputs = self.evaluation.inputs.items()
        return {name: value for name, value in inputs if name not in (*_MODEL_INPUTS, "files")}

    @property
    def arm_key(self) -> str:
        """What all runs of an arm have in common."""
        return self._key_by(None if self.proxy is None else [self.proxy, self.steps])

    @property
    def key_but_for_the_proxy(self) -> str:
        """The same, whatever the proxy whose losses chose the rows."""
        return self._key_by("any proxy" if self.training and self.training.subset else None)

    def _key_by(self, proxy: Any) -> str:
        """Args: proxy: what stands for the losses that chose the rows, None: their own checksum."""
        step: int | str = self.step
        if self.training is None:
            key: dict[str, Any] = {"untrained": self.evaluation.base_model}
        else:
            key = without_seed(self.training.inputs)
            of_subset = self.training.subset or {}
            key["subset"] = {name: value for name, value in of_subset.items() if name != "seed"}
            if proxy is not None:  # then not by its losses, which another seed makes others
                key["subset"].pop(BASE_LOSSES, None)
                key["subset"]["trajectories"] = proxy
            # The seed decides how many rows a share or a number of tokens comes to: its losses may drop other
            # rows. So the number of steps differs, too.
            if "budget_fraction" in of_subset or "budget_tokens" in of_subset:
                del key["num_rows"]
                step = "last" if self.step == self.last_step else self.step
        return json.dumps([step, self.measurement, key], sort_keys=True)

    @property
    def seeds(self) -> tuple[int | None, int | None]:
        """The seed of the training and that of the choice of its rows; None where there was none."""
        if self.training is None:
            return None, None
        return self.training.seed, self.training.subset_seed

    @property
    def effective_seeds(self) -> tuple[int | None, int | None]:
        """The seeds by which runs of two arms are paired."""
        seed, subset_seed = self.seeds
        # A run on the whole pool is paired with the choice that was made with the training's seed.
        return seed, seed if subset_seed is None else subset_seed

    @property
    def method(self) -> str:
        if self.training is None:
            return "base model"
        return self.training.subset_method or "whole pool"

    @property
    def settings(self) -> dict[str, Any]:
        """All inputs of the run apart from its method and seeds. Those that a person sets come first."""
        training = self.training.inputs if self.training else {}
        of_subset = (self.training.subset if self.training else None) or {}
        subset = {"budget" if name in _BUDGETS else name: value for name, value in of_subset.items()}
        hashes = {name: subset.pop(name) for name in ("trajectories", BASE_LOSSES) if name in subset}
        settings: dict[str, Any] = {}
        if self.training is None:  # what the person called it, who may have trained it elsewhere
            settings["run"] = self.name
        if "budget" in subset:
            settings["budget"] = subset["budget"]
        for name in ("steps", "trajectories_from"):
            if self.config_of_subset.get(name) is not None:
                settings[name] = self.config_of_subset[name]
        settings |= _flat({name: value for name, value in subset.items() if name not in _NOT_OF_THE_METHOD})
        if "num_rows" in training:
            settings["num_rows"] = training["num_rows"]
        settings["step"] = self.step
        beside_the_rows = {name: value for name, value in training.items() if name != "subset"}
        settings |= _flat(without_seed(beside_the_rows))
        settings |= _flat({"evaluation": self.measurement})
        settings |= hashes  # they tell a reader least
        return settings


@dataclass(frozen=True)
class Arm:
    """The runs that differ in nothing but their seeds."""

    letter: str
    runs: list[EvaluatedRun]

    def values(self, question_set: str, *keys: str) -> list[float] | None:
        """One value per run; None unless all have it."""
        values = [value for run in self.runs if (value := run.value(question_set, *keys)) is not None]
        return values if len(values) == len(self.runs) else None

    def pairs(self, other: "Arm") -> list[tuple[EvaluatedRun, EvaluatedRun]]:
        """Runs of the two arms that belong together: those of one seed, or all with an arm's single run."""
        pairs = [(mine, theirs) for mine in self.runs for theirs in other.runs]
        if min(len(self.runs), len(other.runs)) == 1:
            return pairs
        return [(mine, theirs) for mine, theirs in pairs if mine.effective_seeds == theirs.effective_seeds]


def read_run(name: str) -> EvaluatedRun:
    """A run with a finished evaluation.

    Raises:
        FileNotFoundError, ValueError: if it has none, or no record of its training.
    """
    paths = RunPaths(name)
    how = f"`python evaluate_run.py --config_file <the YAML of {name}>`"
    if not paths.evaluation_manifest.is_file():
        raise FileNotFoundError(f"run {name!r} has no evaluation in {paths.evaluation}: make it with {how}")
    evaluation = EvaluationManifest.read(paths.evaluation_manifest)
    if not evaluation.is_complete:
        raise ValueError(f"the evaluation of run {name!r} is not finished: continue it with {how}")
    results = {question_set: read_result(paths.evaluation, question_set) for question_set in evaluation.files}
    if evaluation.step == 0:
        return EvaluatedRun(name, results, evaluation, None, {}, None)
    if not paths.manifest.is_file():
        raise FileNotFoundError(
            f"run {name!r} has no {paths.manifest}, expected the record of its training: "
            "compare runs of train.py"
        )
    training = TrainingManifest.read(paths.manifest)
    subset = recorded_subset(paths)
    origin, steps = subset.get("trajectories_from"), subset.get("steps")
    chosen = SubsetManifest.read(manifest_in(paths.subset)) if manifest_in(paths.subset).is_file() else None
    if chosen is not None:  # it outlives the config.yml, and says which steps all of them were
        origin, steps = chosen.trajectories_from, chosen.steps
    proxy, why_no_proxy = _proxy_of(origin, chosen)
    is_own = subset.get("same_as") is None
    if origin is None and is_own and (training.subset or {}).get("trajectories") is not None:
        why_no_proxy = f"{manifest_in(paths.subset)} is not there"
    return EvaluatedRun(name, results, evaluation, training, subset, proxy, steps, why_no_proxy)


def without_seed(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a training that runs of one arm share."""
    names = set(inputs).difference(_FROM_THE_SEED)
    if (inputs.get("model") or {}).get("architecture") is not None:
        names.discard("base_model")  # random first weights
    return {name: value for name, value in inputs.items() if name in names}


def _proxy_of(origin: str | None, chosen: SubsetManifest | None) -> tuple[dict[str, Any] | None, str | None]:
    """What the run was made from by whose losses rows were chosen, or why that is not known.

    Args:
        origin: that run, or a file.
        chosen: the subset.
    """
    if origin is None or are_made_elsewhere(origin):
        return None, None
    paths = RunPaths(run_named(origin))
    for path in (paths.manifest, paths.trajectories_manifest):
        if not path.is_file():
            return None, f"{path} is not there"
    trained = TrainingManifest.read(paths.manifest).inputs
    scored = TrajectoriesManifest.read(paths.trajectories_manifest)
    if (
        chosen is not None
        and chosen.steps
        and identity_of_steps(scored, chosen.steps) != chosen.trajectories_identity
    ):
        return None, f"{paths.root} was trained or scored anew since"
    proxy = {
        **without_seed(trained),
        "save_steps": trained["save_steps"],
        "precision": scored.inputs.get("precision"),
    }
    return proxy, None


def with_average_as_pool(runs: Sequence[EvaluatedRun]) -> list[EvaluatedRun]:
    """The runs with `loss_as_pool` too: the held-out loss, sources weighted as in the pool.

    A held-out file seldom has the sources as the pool has them, and where balance is the cause of a
    difference, this average and the plain one disagree. A source weighs as many rows as can be chosen of it:
    held-out rows whose response lies beyond the window have no loss either.

    Returns: the runs as they are where they are not of one pool, where none of them tells its sources, or
        where the sources that were held out have fewer than 95 % of these rows.
    """
    rows_of = _rows_of_sources(runs)
    return [_with_average(run, rows_of) for run in runs] if rows_of else list(runs)


def _rows_of_sources(runs: Sequence[EvaluatedRun]) -> dict[str, int]:
    """Source -> its rows that can be chosen."""
    pools = {run.training.inputs["pool"] for run in runs if run.training is not None}
    compositions = []
    for run in runs if len(pools) == 1 else ():
        folder = RunPaths(run.name).subset
        if (folder / COMPOSITION).is_file() and manifest_in(folder).is_file():
            compositions.append(read_composition(folder, SubsetManifest.read(manifest_in(folder))))
    return most_selectable(composition["sources"] for composition in compositions)


def _with_average(run: EvaluatedRun, rows_of: dict[str, int]) -> EvaluatedRun:
    result = run.results.get(HELDOUT)
    if result is None:
        return run
    losses = {
        source: entry["loss"] for source, entry in result.by_source.items() if entry["loss"] is not None
    }
    known = [source for source in losses if rows_of.get(source)]
    weights = [rows_of[source] for source in known]
    if not known or sum(weights) < _LEAST_HELD_OUT * sum(rows_of.values()):
        return run
    mean = np.average([losses[source] for source in known], weights=weights)
    measured = {**result.measured, "loss_as_pool": float(mean)}
    return replace(run, results={**run.results, HELDOUT: replace(result, measured=measured)})


def group_into_arms(runs: Sequence[EvaluatedRun]) -> list[Arm]:
    """The arms of these runs, in the order in which they are first named.

    Raises:
        ValueError: for one draw that is named twice.
    """
    groups: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        group = groups.setdefault(run.arm_key, [])
        for other in group:
            if _draw_of(run) == _draw_of(other):
                raise ValueError(
                    f"{other.name} and {run.name} are the same arm with the same seed, "
                    "which would count twice: name one of them"
                )
        group.append(run)
    return [Arm(_letter(number), group) for number, group in enumerate(groups.values())]


def _draw_of(run: EvaluatedRun) -> tuple[int, str] | None:
    """What chance decided in a run; None for a base model, of which there is one."""
    return None if run.training is None else (run.training.seed, run.training.rows)


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Nested settings by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": leaf for key, leaf in _flat(value).items()}
        else:
            flat[name] = value
    return flat


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"A{number}"
