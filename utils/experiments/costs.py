"""The cost of an arm, beside that of training on everything, and the pool size from which on selecting pays.

A cost is the sum of proxy training, scoring, selection and target, in device-seconds and floating-point
operations, as the manifests say.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..artifacts.comparisons import NEVER, ArmCost, Cost, Payback
from ..artifacts.configs import recorded_subset
from ..artifacts.paths import RunPaths, manifest_in, named_subset, run_named
from ..artifacts.subsets import SubsetManifest
from ..artifacts.trainings import TrainingManifest
from ..artifacts.trajectories.manifest import TrajectoriesManifest
from ..artifacts.trajectories.write import BASE_LOSSES
from ..config.counts import steps_per_epoch
from .runs import Arm, EvaluatedRun

STAGES = ("proxy training", "scoring", "selection", "target")
NOTHING = Cost(0.0, 0.0)
_OF_A_TARGET = ("model", "pool", "max_length", "template")  # inputs of a training, besides its rows


@dataclass(frozen=True)
class Ledger:
    """The costs of one run that was trained on a subset.

    Attributes:
        stages: name -> cost, of the four stages.
        everything: training the target on the whole pool, as an arm of this comparison did or as it would be.
        num_examples: of the subset.
        num_pool: rows of the pool with text, which training on everything takes.
        epochs_are_fixed: whether training on more rows would take more steps.
    """

    stages: dict[str, Cost]
    everything: Cost
    num_examples: int
    num_pool: int
    epochs_are_fixed: bool

    def pays_from(self, measure: Callable[[Cost], float | None]) -> float | None:
        """Rows of the pool at which selecting this many examples costs as much as training on everything.

        The proxy, scoring, selection and the training on everything grow with the pool, the target does not.

        Args:
            measure: a cost -> its device-seconds or its operations.

        Returns:
            inf if there is no such size; None where a cost is not known.
        """
        costs = {stage: measure(cost) for stage, cost in self.stages.items()}
        target = costs.pop("target")
        grows_with_pool = _total(list(costs.values()))
        everything = measure(self.everything)
        if target is None or grows_with_pool is None or everything is None:
            return None
        saved_per_row = (everything - grows_with_pool) / self.num_pool
        # At a fixed number of steps training on everything costs no more than training on a subset.
        if not self.epochs_are_fixed or saved_per_row <= 0:
            return math.inf
        return max(float(self.num_examples), target / saved_per_row)


def ledger_of(run: EvaluatedRun, whole_pool: Arm | None) -> Ledger | None:
    """The ledger of a run that was trained on a subset; None for others and where the subset is gone.

    Args:
        run: one of the compared.
        whole_pool: the arm of the same model that was trained on everything, if there is one.
    """
    if run.training is None or run.training.subset is None:
        return None
    try:
        subset = SubsetManifest.read(manifest_in(_subset_folder(run.name)))
    except FileNotFoundError:
        return None
    num_pool = subset.num_examples - subset.num_excluded
    target = training_cost(run.training)
    epochs_are_fixed = run.training.max_steps is None
    if whole_pool is not None:
        everything = mean_cost([training_cost(other.training) for other in whole_pool.runs])
    else:
        everything = _times(target, _more_work(run.training, num_pool, epochs_are_fixed))
    proxy, scoring = _cost_of_trajectories(subset)
    selection = Cost(sum(subset.seconds.values()), 0.0)
    stages: dict[str, Cost] = dict(zip(STAGES, (proxy, scoring, selection, target), strict=True))
    return Ledger(stages, everything, run.num_examples, num_pool, epochs_are_fixed)


def _more_work(training: TrainingManifest, num_pool: int, epochs_are_fixed: bool) -> float:
    """How many times the work of this training the pool would take, over as many epochs or as many steps."""
    more_rows = num_pool / training.num_rows
    work = training.provenance.work
    more_per_row = 1.0  # where no record says how long the rows of the pool are
    if work is not None and work.pool_training_operations and work.training_operations:
        more_per_row = work.pool_training_operations / work.training_operations / more_rows
    if epochs_are_fixed:
        return more_rows * more_per_row
    if work is None:
        return more_per_row
    # As many steps are fewer epochs of more rows. The last batch of an epoch need not be full.
    epochs_of_pool = work.steps_per_epoch / steps_per_epoch(num_pool, training.global_batch_size)
    return more_rows * more_per_row * epochs_of_pool


def training_cost(training: TrainingManifest | None) -> Cost:
    """The cost of a finished training."""
    if training is None or not training.is_complete or training.steps is None:
        return Cost(None, None)
    launch = training.provenance
    operations = None
    if launch.work is not None and launch.work.training_operations is not None:
        operations = launch.work.training_operations * training.steps / launch.work.steps_per_epoch
    seconds = None
    if launch.seconds is not None:
        # A launch that continued a killed one knows its own seconds only.
        # The steps before are charged at its pace.
        steps_of_launch = max(1, training.steps - launch.first_step)
        seconds = launch.seconds * launch.devices * training.steps / steps_of_launch
    return Cost(seconds, operations)


def mean_cost(costs: Sequence[Cost]) -> Cost:
    """The mean of each part of some costs; None where one of them is not known."""
    return Cost(_mean([cost.device_seconds for cost in costs]), _mean([cost.operations for cost in costs]))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known and len(known) == len(values) else None


def _total_cost(costs: Sequence[Cost]) -> Cost:
    """The sum of each part of some costs; None where one of them is not known."""
    return Cost(_total([cost.device_seconds for cost in costs]), _total([cost.operations for cost in costs]))


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _times(cost: Cost, factor: float) -> Cost:
    seconds = None if cost.device_seconds is None else cost.device_seconds * factor
    operations = None if cost.operations is None else cost.operations * factor
    return Cost(seconds, operations)


def _subset_folder(run_name: str) -> Path:
    """The folder of a run's subset: its own, or the one in its `subset.same_as` (RUN, or RUN/<folder>)."""
    paths = RunPaths(run_name)
    return named_subset(recorded_subset(paths).get("same_as") or run_name)


def _cost_of_trajectories(subset: SubsetManifest) -> tuple[Cost, Cost]:
    """The cost of training the proxy, and of scoring with the checkpoints that were used."""
    if not subset.needs_trajectories:
        return NOTHING, NOTHING
    if subset.trajectories_from is None or not subset.steps:
        return Cost(None, None), Cost(None, None)
    paths = RunPaths(run_named(subset.trajectories_from))
    if not paths.trajectories_manifest.is_file():
        return Cost(None, None), Cost(None, None)
    steps = sorted({0, *subset.steps}) if BASE_LOSSES in subset.inputs else subset.steps
    seconds = TrajectoriesManifest.read(paths.trajectories_manifest).device_seconds
    device_seconds = _total([seconds.get(step) for step in steps])
    if not paths.manifest.is_file():
        return Cost(None, None), Cost(device_seconds, None)
    training = TrainingManifest.read(paths.manifest)
    work = training.provenance.work
    # The proxy was trained on every scored row, so scoring counts as one forward pass of its epoch.
    # That is a little too much: rows without a response are not scored, and the common beginning
    # of all prompts is computed once.
    operations = None if work is None else work.forward_operations * len(steps)
    return training_cost(training), Cost(device_seconds, operations)


def costs_of(arms: Sequence[Arm]) -> tuple[list[ArmCost], list[str]]:
    """The costs of each arm, with notes for a reader; nothing where no arm is known to have chosen rows."""
    ledgers = {arm.letter: _ledgers_of(arm, _whole_pool_of(arm, arms)) for arm in arms}
    if not any(ledgers.values()):
        return [], []
    return [_cost_of(arm, ledgers[arm.letter]) for arm in arms], _notes(arms, ledgers)


def _cost_of(arm: Arm, ledgers: list[Ledger]) -> ArmCost:
    if not ledgers:
        target = mean_cost([training_cost(run.training) for run in arm.runs])
        return ArmCost(arm.letter, {"target": target}, target, None, None)
    stages = {stage: mean_cost([ledger.stages[stage] for ledger in ledgers]) for stage in STAGES}
    everything = mean_cost([ledger.everything for ledger in ledgers])
    pays_from = Payback(_pays(ledgers, _device_seconds), _pays(ledgers, _operations))
    return ArmCost(arm.letter, stages, _total_cost(list(stages.values())), everything, pays_from)


def _device_seconds(cost: Cost) -> float | None:
    return cost.device_seconds


def _operations(cost: Cost) -> float | None:
    return cost.operations


def _ledgers_of(arm: Arm, whole_pool: Arm | None) -> list[Ledger]:
    ledgers = [ledger_of(run, whole_pool) for run in arm.runs]
    return [ledger for ledger in ledgers if ledger is not None]


def _whole_pool_of(arm: Arm, arms: Sequence[Arm]) -> Arm | None:
    """The arm that trained the same model on the whole of the same pool, for as long if there are several."""
    mine = arm.runs[0].training
    if mine is None:
        return None
    found = [
        (training.train_args != mine.train_args, place)
        for place, other in enumerate(arms)
        if (training := other.runs[0].training) and training.subset is None and _same_target(mine, training)
    ]
    return arms[min(found)[1]] if found else None


def _same_target(one: TrainingManifest, other: TrainingManifest) -> bool:
    return all(one.inputs.get(name) == other.inputs.get(name) for name in _OF_A_TARGET)


def _pays(ledgers: list[Ledger], measure: Callable[[Cost], float | None]) -> int | Literal["never"] | None:
    sizes = [ledger.pays_from(measure) for ledger in ledgers]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    size = statistics.mean(known)
    return NEVER if math.isinf(size) else math.ceil(size)


def _notes(arms: Sequence[Arm], ledgers: dict[str, list[Ledger]]) -> list[str]:
    notes = [
        "Costs: means over the runs of an arm, from the manifests; - = not recorded. "
        "A proxy and its scoring serve every subset of their pool and are charged to each in full. "
        "Operations: 2 x the weights that multiply a token x tokens forward, "
        "three times that for training (twice for weights that LoRA freezes), "
        "of a mixture the experts that are chosen, the output layer at response tokens only; "
        "attention's own products and selection's few are left out."
    ]
    estimated = [arm.letter for arm in arms if ledgers[arm.letter] and _whole_pool_of(arm, arms) is None]
    if estimated:
        notes.append(
            f"Training on everything was not run beside {', '.join(estimated)}: "
            "it is reckoned from the target's own cost per example."
        )
    fixed = [
        arm.letter for arm in arms if ledgers[arm.letter] and not ledgers[arm.letter][0].epochs_are_fixed
    ]
    if fixed:
        notes.append(
            f"{', '.join(fixed)}: trained for a fixed number of steps (max_steps), "
            "which on everything cost the same: selecting cannot save cost there. "
            "A better model is all that it can gain."
        )
    devices = sorted({device for arm in arms for run in arm.runs if (device := _device_of(run))})
    if devices:
        notes.append(f"Targets were trained on {', '.join(devices)}; selection runs on one CPU.")
    return notes


def _device_of(run: EvaluatedRun) -> str | None:
    return None if run.training is None else run.training.provenance.device
