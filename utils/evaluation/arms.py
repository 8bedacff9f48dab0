"""Make the runs of an experiment: a list with its cost, then the ordinary scripts, one after the other, each in a process of
its own. The scripts themselves reuse what is there and continue what was interrupted."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.artifacts.manifests import is_complete, read_manifest
from utils.artifacts.paths import RunPaths
from utils.config.arms import WHOLE_POOL, Arm, ArmsConfig, arms_of, replaced_keys
from utils.config.counts import budget_in_rows, scheduled_steps, steps_per_epoch, total_steps
from utils.config.load import load_config
from utils.config.schema import RunConfig
from utils.evaluation.experiment_checks import (
    StageChecks,
    check_budgets,
    check_kept_quantities,
    check_names,
    check_settings_have_an_effect,
    check_trajectories,
    with_yamls,
)
from utils.evaluation.ledger import training_cost
from utils.sandbox.proof import check_sandbox
from utils.terminal import unbroken, wrapped

_PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class PlannedRun:
    """Attributes:
    commands: the scripts that make it, with their arguments.
    num_examples: rows it trains on; operations: floating-point operations of its training and scoring, about.
    training_operations: those of its training.
    """

    config: RunConfig
    commands: list[list[str]]
    num_examples: int
    steps: int
    operations: float
    training_operations: float
    is_reference: bool

    @property
    def state(self) -> str:
        """What is there already."""
        paths = RunPaths(self.config.run_name)
        done = [("trained", paths.manifest, "training")]
        if self.is_reference:
            done.append(("scored", paths.trajectories / "manifest.json", "trajectories"))
        else:
            done.append(("evaluated", paths.evaluation / "manifest.json", "evaluation"))
        states = [word for word, path, kind in done if is_complete(path, kind)]
        return ", ".join(states) or ("begun" if paths.root.is_dir() else "to do")

    @property
    def is_done(self) -> bool:
        return len(self.state.split(", ")) == 2

    @property
    def operations_left(self) -> float:
        """What is to do of `operations`. Of a scoring that is begun, all of it."""
        if self.is_done:
            return 0.0
        is_trained = "trained" in self.state.split(", ")
        return self.operations - (self.training_operations if is_trained else 0.0)


class ExperimentPlan:
    """The runs of an experiment in the order in which they are made.

    Args: checks: what the stages that make the runs would refuse.
    Raises: FileNotFoundError, ValueError: whatever would keep a run from starting, as far as it can be known now.
    """

    def __init__(self, config_file: str, arms: ArmsConfig, checks: StageChecks):
        arms = with_yamls(arms)
        self.name = arms.name
        self._arms = arms_of(arms, {**checks.sections, **checks.target_sections})
        self._target, self._replaced = arms.target, replaced_keys(arms)
        check_settings_have_an_effect(config_file, arms, self._arms, checks.methods)
        if any(arm.config.evaluation.program_of_thought for arm in self._arms):
            check_sandbox()
        self.references = [_reference(path, arms, checks) for path in (arms.proxy, *arms.references)]
        of_references = {run.config.run_name: run.config for run in self.references}
        check_trajectories(config_file, self._arms, of_references.keys())
        check_kept_quantities(config_file, self._arms, of_references, checks.methods, arms.score_base_model)
        work = _Work(self._arms[0].config)
        self.runs = [_target(arm, arms, work) for arm in self._arms]
        check_names([run.config.run_name for run in (*self.references, *self.runs)])
        planned = zip(self._arms, self.runs, strict=True)
        check_budgets({arm.budget: run.num_examples for arm, run in planned if arm.budget is not None})
        checks.questions(self._arms[0].config)  # and the model: the same in all arms
        fresh = {run.num_examples: run for run in self.runs}.values()  # nothing tells those of a number of rows apart
        begun = [run for run in self.runs if RunPaths(run.config.run_name).root.is_dir()]
        for run in {run.config.run_name: run for run in (*fresh, *begun)}.values():
            checks.training(run.config, run.num_examples)
        for arm in self._arms:
            if arm.config.subset is not None:
                checks.selection(arm.config, work.num_selectable)

    def describe(self) -> str:
        runs = [*self.references, *self.runs]
        width = max(len(run.config.run_name) for run in runs)
        lines = [
            f"experiment {self.name}: {len(self.runs)} runs, after {len(self.references)} whose trajectories they use"
        ]
        if self._replaced:
            given = ", ".join(f"{key} {value}" for key, value in self._replaced.items())
            lines += wrapped(
                f"  of {unbroken(self._target)} not used, as the experiment sets it in every run: {given}",
                indent="    ",
            )
        lines.append(f"  {'run':<{width}}{'examples':>12}{'steps':>9}{'operations':>12}  state")
        lines += [
            f"  {run.config.run_name:<{width}}{run.num_examples:>12,}{run.steps:>9,}{run.operations:>12.2g}  {run.state}"
            for run in runs
        ]
        left = [run for run in runs if not run.is_done]
        operations, still = sum(run.operations for run in runs), sum(run.operations_left for run in left)
        lines.append(f"  in all {operations:.3g} floating-point operations, {still:.3g} of them to do")
        lines.append(f"  {_device_time(runs, left)}")
        return "\n".join(lines)

    def comparisons(self) -> dict[str, list[str]]:
        """Name -> finished runs that belong in one comparison: those of a budget and of the whole pool, by method."""
        whole = [arm for arm in self._arms if arm.label == WHOLE_POOL]
        budgets = dict.fromkeys(arm.budget for arm in self._arms if arm.budget is not None)
        found = {}
        for budget in budgets or [None]:
            chosen = [arm for arm in self._arms if arm.budget == budget and arm.label != WHOLE_POOL] + whole
            labels = list(dict.fromkeys(arm.label for arm in chosen))
            by_method = sorted(chosen, key=lambda arm: labels.index(arm.label))
            names = [arm.config.run_name for arm in by_method]
            found[self.name if budget is None else f"{self.name}_{budget}"] = [
                name for name in names if is_complete(RunPaths(name).evaluation / "manifest.json", "evaluation")
            ]
        return {name: runs for name, runs in found.items() if len(runs) > 1}


@dataclass(frozen=True)
class Failures:
    """Attributes: reference: the run that failed and that the others need, so that none of them was tried; runs: names of
    the others that failed."""

    reference: str | None
    runs: list[str]


def make_arms(plan: ExperimentPlan) -> Failures:
    """Make every run of the plan; where one fails, the others are made, unless they need it."""
    for reference in plan.references:
        if not _make(reference):
            return Failures(reference.config.run_name, [])
    return Failures(None, [run.config.run_name for run in plan.runs if not _make(run)])


def _make(run: PlannedRun) -> bool:
    for command in run.commands:
        print(f"\n$ {' '.join(command)}", flush=True)
        if subprocess.run([sys.executable, *command], check=False).returncode != 0:
            return False
    return True


def _reference(path: str, arms: ArmsConfig, checks: StageChecks) -> PlannedRun:
    """The proxy, or another run whose trajectories are used: trained on the whole pool and scored."""
    config, _ = load_config(path, needs=("model", "data"), checks=checks.sections)
    if config.subset is not None:
        raise ValueError(
            f"{path}: found a `subset` section, expected a run on the whole pool: its losses are to be of all rows"
        )
    commands = [
        [*_launcher(arms), _script("train.py"), "--config_file", path],
        [_script("run_distributed_trajectories.py"), "--config_file", path],
    ]
    if arms.score_base_model:
        commands.append([_script("run_distributed_trajectories.py"), "--config_file", path, "--checkpoints", "0"])
    work = _Work(config)
    steps = total_steps(config, work.num_rows)
    checks.training(config, work.num_rows)
    training = work.training_of_epoch * steps / steps_per_epoch(work.num_rows, config.global_batch_size)
    num_scored = len(scheduled_steps(config.checkpoints, steps)) + arms.score_base_model
    scoring = work.scoring_of_pool * num_scored
    return PlannedRun(config, commands, work.num_rows, steps, training + scoring, training, is_reference=True)


def _target(arm: Arm, arms: ArmsConfig, work: "_Work") -> PlannedRun:
    words = ["--config_file", arms.target, *arm.overrides]
    commands = [[*_launcher(arms), _script("train.py"), *words], [_script("evaluate.py"), *words]]
    rows, of_epoch = work.num_rows, work.training_of_epoch
    if arm.budget is not None:
        rows = budget_in_rows(arm.budget, work.num_selectable, "budgets")
        of_epoch = work.training_of_selectable_row * rows
    steps = total_steps(arm.config, rows)
    scheduled_steps(arm.config.checkpoints, steps)  # train.py would refuse more checkpoints than steps
    operations = of_epoch * steps / steps_per_epoch(rows, arm.config.global_batch_size)
    return PlannedRun(arm.config, commands, rows, steps, operations, operations, is_reference=False)


class _Work:
    """What a model's passes over its pool take, in floating-point operations.

    Attributes:
        num_rows: that a training on the whole pool takes; num_selectable: those of them with a response token.
        training_of_epoch: on the whole pool; training_of_selectable_row: on one of these, on average.
        scoring_of_pool: with one checkpoint.
    """

    def __init__(self, config: RunConfig):
        from utils.data.pool import Pool
        from utils.data.tokenization import tokenize_pool
        from utils.modeling.loading import base_config, empty_model, load_tokenizer
        from utils.modeling.operations import scoring_operations, training_operations

        assert config.model is not None and config.data is not None
        data, pool = config.data, Pool(config.data)
        is_encoder_decoder = bool(base_config(config.model).is_encoder_decoder)
        tokens = tokenize_pool(pool, load_tokenizer(config.model), data.template, data.max_length, is_encoder_decoder)
        model = empty_model(config.model)
        training_N = training_operations(model).of(tokens.lengths, tokens.num_response_tokens)
        scoring_N = scoring_operations(model).of(tokens.lengths, tokens.num_response_tokens)
        selectable_N = tokens.num_response_tokens > 0
        self.num_rows = len(pool.usable_rows)
        self.num_selectable = int(selectable_N.sum())
        self.training_of_epoch = float(training_N[pool.usable_rows].sum())
        self.training_of_selectable_row = float(training_N[selectable_N].mean()) if self.num_selectable else 0.0
        self.scoring_of_pool = float(scoring_N[selectable_N].sum())


def _launcher(arms: ArmsConfig) -> list[str]:
    if arms.processes == 1:
        return []
    return ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={arms.processes}"]


def _script(name: str) -> str:
    return str(_PROJECT / name)


def _device_time(runs: Sequence[PlannedRun], left: Sequence[PlannedRun]) -> str:
    """What the runs left would take at the pace of those of their kind that are done."""
    seconds = 0.0
    for run in left:
        pace = _pace([other for other in runs if other.config.model == run.config.model])
        if pace is None:
            return "device time: not known before the first run of each model is trained"
        seconds += run.operations_left * pace
    return (
        f"device time: about {seconds / 3600:.2g} hours to do, at the pace of what is trained, evaluation not counted"
    )


def _pace(runs: Sequence[PlannedRun]) -> float | None:
    """Device-seconds an operation of the trained ones among these runs, None if there is none."""
    seconds = operations = 0.0
    for run in runs:
        path = RunPaths(run.config.run_name).manifest
        if is_complete(path, "training"):
            cost = training_cost(read_manifest(path, "training"))
            if cost.device_seconds is not None:
                seconds += cost.device_seconds
                operations += run.training_operations
    return seconds / operations if operations else None
