"""The runs of an experiment: the cost of each, the parts that are there, and what any stage would refuse."""

import contextlib
import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..artifacts.comparisons import read_comparison
from ..artifacts.differences import difference_lines
from ..artifacts.evaluations import EvaluationManifest
from ..artifacts.experiments import ExperimentManifest, ExperimentMember
from ..artifacts.manifests import Provenance, is_complete
from ..artifacts.paths import RunPaths
from ..artifacts.trainings import TrainingManifest
from ..artifacts.trajectories.write import TrajectoryFolder
from ..config.counts import budget_in_rows, scheduled_steps, steps_per_epoch, total_steps
from ..config.experiment import (
    WHOLE_POOL,
    ExperimentConfig,
    ExperimentRun,
    arms_and_seeds,
    comparison_of_budget,
    of_seed,
    replaced_keys,
    run_name_of,
    runs_of,
)
from ..config.load import load_config
from ..config.schema import RunConfig
from ..sandbox.proof import check_sandbox
from .checks import (
    MadeOtherwise,
    StageChecks,
    check_arms_differ,
    check_budgets,
    check_choices,
    check_comparisons,
    check_kept_quantities,
    check_names,
    check_none_was_made_otherwise,
    check_settings_have_an_effect,
    check_trajectories,
    refusing_to_reuse,
    with_yamls,
)
from .costs import training_cost
from .labels import ExperimentLabel

_PROJECT = Path(__file__).parents[2]
_NARROWING = re.compile(r"(seeds|methods|budgets)=")  # words of a command that make it one of some runs


@dataclass(frozen=True)
class RunState:
    """What of a run is there, made from what its config says.

    Attributes:
        is_begun: it has a folder.
        is_trained: to the end.
        is_measured: besides, a reference is scored, another run is evaluated.
    """

    is_begun: bool
    is_trained: bool
    is_measured: bool


NOT_BEGUN = RunState(is_begun=False, is_trained=False, is_measured=False)


@dataclass(frozen=True)
class PlannedRun:
    """A run of the experiment.

    Attributes:
        config: its own.
        commands: the scripts that make it, with their arguments: first its training.
        num_examples: rows that it trains on.
        steps: of its training.
        operations: floating-point operations of its training and scoring, about.
        training_operations: those of its training.
        is_reference: whether it is scored, for others, and not evaluated.
        state: what of it was there when this was planned.
        yaml: what its commands read.
        overrides: what they say besides.
    """

    config: RunConfig
    commands: list[list[str]]
    num_examples: int
    steps: int
    operations: float
    training_operations: float
    is_reference: bool
    state: RunState
    yaml: str | None = None
    overrides: tuple[str, ...] = ()

    def check_is_as_planned(self) -> None:
        """Refuse a YAML that no longer says what was planned. Raises: FileNotFoundError, ValueError."""
        if self.yaml is None:
            return
        config, _ = load_config(self.yaml, self.overrides, needs=("model", "data"))
        planned, now = (each.model_dump(mode="json") for each in (self.config, config))
        if differing := difference_lines(planned, now):
            raise ValueError(
                f"{self.yaml} was changed since the experiment was planned:\n"
                + "\n".join(differing)
                + "\nPut it back, or let the other runs end and start the experiment again"
            )

    @property
    def operations_left(self) -> float:
        """The part of `operations` that is to do. All of a scoring that is begun counts."""
        if self.state.is_measured:
            return 0.0
        return self.operations - self.training_operations if self.state.is_trained else self.operations

    @property
    def commands_left(self) -> list[list[str]]:
        """Those that have something to do."""
        if self.state.is_measured:
            return []
        return self.commands[1:] if self.state.is_trained else self.commands


@dataclass(frozen=True)
class ExperimentPlan:
    """The runs of an experiment.

    Attributes:
        experiment: its YAML.
        replaced: key -> value in the target's YAML, of the settings that the experiment takes over.
        references: the proxy, and further runs whose trajectories are used. They are made first.
        runs: the others, in the order in which they are made.
        members: these runs, and those that the YAML alone names besides, where the command narrows it
            (`seeds=[0]`). The record and the comparisons are of all of them.
        methods: label -> settings of the subset, of all members.
    """

    experiment: ExperimentConfig
    replaced: dict[str, Any]
    references: list[PlannedRun]
    runs: list[PlannedRun]
    members: list[ExperimentMember]
    methods: Mapping[str, Mapping[str, Any]]

    @property
    def all_runs(self) -> list[PlannedRun]:
        return [*self.references, *self.runs]

    @property
    def left(self) -> list[PlannedRun]:
        return [run for run in self.all_runs if not run.state.is_measured]

    @property
    def seconds_left(self) -> float | None:
        """Device-seconds left, at the pace of the trained runs of each model; None before there is one."""
        seconds = 0.0
        for run in self.left:
            alike = {
                other.config.run_name for other in self.all_runs if other.config.model == run.config.model
            }
            if not run.is_reference:  # all members are of the target's model
                alike |= {member.run for member in self.members}
            pace = _pace(alike)
            if pace is None:
                return None
            seconds += run.operations_left * pace
        return seconds

    @property
    def label_of_run(self) -> dict[str, ExperimentLabel]:
        return {
            member.run: ExperimentLabel(member.label, self.methods[member.label]) for member in self.members
        }

    def comparisons(self) -> dict[str, list[str]]:
        """Name of a comparison -> its finished runs, of those of which there are two."""
        finished = {
            title: [name for name in names if _is_evaluated(name)]
            for title, names in self.planned_comparisons().items()
        }
        return {title: names for title, names in finished.items() if len(names) > 1}

    def record(self, config_file: str, is_made: bool = False) -> ExperimentManifest:
        """What is written of it before the first run, and when all are made.

        Args:
            config_file: its YAML.
            is_made: all runs of this command are there by now.
        """
        own = {run.config.run_name for run in self.runs}
        others = [member.run for member in self.members if member.run not in own]
        is_complete = (is_made or not self.left) and all(map(_is_evaluated, others))
        made = Provenance.now()
        if others:  # the command that makes all of them
            made = replace(made, command=[word for word in made.command if not _NARROWING.match(word)])
        return ExperimentManifest(
            status="complete" if is_complete else "running",
            inputs={"name": self.experiment.name, "references": self._references_of_members()},
            members=self.members,
            comparisons=list(self.planned_comparisons()),
            config_file=config_file,
            provenance=made,
        )

    def planned_comparisons(self) -> dict[str, list[str]]:
        """Name of a comparison -> its runs: of one budget by method, then of the whole pool."""
        of_whole_pool = [member.run for member in self.members if member.label == WHOLE_POOL]
        chosen = [member for member in self.members if member.label != WHOLE_POOL]
        comparisons: dict[str, dict[str, list[str]]] = {}  # name -> label -> runs
        if not chosen:
            comparisons[comparison_of_budget(self.experiment, None)] = {}
        for member in chosen:
            by_label = comparisons.setdefault(comparison_of_budget(self.experiment, member.budget), {})
            by_label.setdefault(member.label, []).append(member.run)
        return {
            title: [*itertools.chain.from_iterable(by_label.values()), *of_whole_pool]
            for title, by_label in comparisons.items()
        }

    def left_out(self) -> dict[str, list[str]]:
        """Name of a comparison that is there -> its runs that will no longer be part of it."""
        left_out = {}
        for title, names in self.planned_comparisons().items():
            # A damaged one is about to be made again.
            with contextlib.suppress(FileNotFoundError, ValueError):
                runs = [run.name for run in read_comparison(title).runs]
                left_out[title] = [run for run in runs if run not in names]
        return {title: runs for title, runs in left_out.items() if runs}

    def _references_of_members(self) -> list[str]:
        """The references of this command, and those of the other members' seeds."""
        names = [run.config.run_name for run in self.references]
        if self.experiment.proxy_per_seed:
            seed = self.experiment.seeds[0]
            of_a_seed = [run.config.run_name for run in self.references if run.config.seed == seed]
            seeds = dict.fromkeys(member.seed for member in self.members)
            for other in seeds:
                names += [of_seed(name.removesuffix(of_seed("", seed)), other) for name in of_a_seed]
        return list(dict.fromkeys(names))


def plan_experiment(
    config_file: str,
    experiment: ExperimentConfig,
    checks: StageChecks,
    whole: ExperimentConfig | None = None,
) -> ExperimentPlan:
    """Check all runs as the stages that make them would, as far as that can be known now.

    Args:
        config_file: the experiment's YAML, for errors.
        experiment: what it says.
        checks: what those stages would refuse.
        whole: what the YAML alone says, where the command narrows it.

    Raises:
        FileNotFoundError, ValueError: whatever would keep a run from starting.
    """
    experiment = with_yamls(experiment)
    whole = whole or experiment
    named = runs_of(experiment, {**checks.sections, **checks.target_sections})
    check_settings_have_an_effect(config_file, experiment, named, checks)
    if any(run.config.evaluation.program_of_thought for run in named):
        check_sandbox()
    references = _references(experiment, checks)
    of_references = {run.config.run_name: run.config for run in references}
    check_trajectories(config_file, named, of_references.keys())
    saved = {run.config.run_name: _scored_steps(run, experiment.score_base_model) for run in references}
    check_arms_differ(config_file, named, saved, checks)
    check_kept_quantities(config_file, named, of_references, checks, experiment.score_base_model)
    work = _Work(named[0].config)
    runs = [_target(run, experiment, work) for run in named]
    check_names([run.config.run_name for run in (*references, *runs)])
    # By their texts: 1 (a row) is equal to 1.0 (all of them).
    rows_of = {
        str(run.budget): planned.num_examples
        for run, planned in zip(named, runs, strict=True)
        if run.budget is not None
    }
    check_budgets(rows_of)
    checks.questions(named[0].config)  # and the model: the same in all of them
    fresh = {run.num_examples: run for run in runs}.values()  # nothing tells those of a number of rows apart
    for run in fresh:
        if not _is_begun(run):
            checks.is_trained(run.config, run.num_examples)
    runs = _with_states(runs, checks)
    are_there = {run.config.run_name for run in references if run.state.is_measured}
    to_choose = [run for run, planned in zip(named, runs, strict=True) if not planned.state.is_trained]
    steps_of = {name: None if name in are_there else steps for name, steps in saved.items()}
    check_choices(config_file, to_choose, steps_of, work.num_selectable, checks)
    plan = ExperimentPlan(
        experiment=experiment,
        replaced=replaced_keys(experiment),
        references=references,
        runs=runs,
        members=_members(experiment, whole),
        methods={**whole.methods, **experiment.methods},
    )
    check_comparisons(config_file, experiment.name, plan.planned_comparisons())
    return plan


def _members(experiment: ExperimentConfig, whole: ExperimentConfig) -> list[ExperimentMember]:
    """The runs of both, in the order of the whole."""
    members: dict[str, ExperimentMember] = {}
    for each in (whole, experiment):
        for label, budget, seed in arms_and_seeds(each):
            name = run_name_of(each, label, budget, seed)
            members.setdefault(name, ExperimentMember(name, label, budget, seed))
    return list(members.values())


def _is_evaluated(run_name: str) -> bool:
    return is_complete(RunPaths(run_name).evaluation_manifest, EvaluationManifest)


def _references(experiment: ExperimentConfig, checks: StageChecks) -> list[PlannedRun]:
    """The proxy and the other references, of each seed by itself where each has its own."""
    paths = (experiment.proxy, *experiment.references)
    configs = {path: load_config(path, needs=("model", "data"), checks=checks.sections)[0] for path in paths}
    works = {path: _Work(config) for path, config in configs.items()}
    if not experiment.proxy_per_seed:
        references = [_reference(path, (), experiment, works[path], checks) for path in paths]
    else:
        references = []
        for seed in experiment.seeds:
            for path in paths:
                words = (f"run_name={of_seed(configs[path].run_name, seed)}", f"seed={seed}")
                references.append(_reference(path, words, experiment, works[path], checks))
    return _with_states(references, checks, scored=("all", "0") if experiment.score_base_model else ("all",))


def _reference(
    path: str, overrides: tuple[str, ...], experiment: ExperimentConfig, work: "_Work", checks: StageChecks
) -> PlannedRun:
    """The proxy, or another run whose trajectories are used: trained on the whole pool and scored."""
    config, _ = load_config(path, overrides, ("model", "data"), checks.sections)
    if config.subset is not None:
        raise ValueError(
            f"{path}: found a `subset` section, expected a run on the whole pool, "
            "since subsets are chosen by its losses: remove the section, or name the YAML of another run"
        )
    words = ["--config_file", path, *overrides]
    score = [_script("run_distributed_trajectories.py"), *words]
    commands = [[*_launcher(experiment), _script("train.py"), *words], score]
    if experiment.score_base_model:
        commands.append([*score, "--checkpoints", "0"])
    steps = total_steps(config, work.num_rows)
    training = work.training_of_epoch * steps / steps_per_epoch(work.num_rows, config.global_batch_size)
    num_scored = len(scheduled_steps(config.checkpoints, steps)) + experiment.score_base_model
    scoring = work.scoring_of_pool * num_scored
    return PlannedRun(
        config=config,
        commands=commands,
        num_examples=work.num_rows,
        steps=steps,
        operations=training + scoring,
        training_operations=training,
        is_reference=True,
        state=NOT_BEGUN,
        yaml=path,
        overrides=overrides,
    )


def _scored_steps(reference: PlannedRun, score_base_model: bool) -> list[int]:
    """The steps of a reference that will be scored, and those that are."""
    steps = scheduled_steps(reference.config.checkpoints, reference.steps)
    folder = TrajectoryFolder(RunPaths(reference.config.run_name).trajectories)
    return sorted({*([0] if score_base_model else []), *steps, *folder.scored_steps()})


def _target(run: ExperimentRun, experiment: ExperimentConfig, work: "_Work") -> PlannedRun:
    words = ["--config_file", experiment.target, *run.overrides]
    commands = [[*_launcher(experiment), _script("train.py"), *words], [_script("evaluate_run.py"), *words]]
    if run.budget is None:
        num_rows = work.num_rows
        of_epoch = work.training_of_epoch
    else:
        num_rows = budget_in_rows(run.budget, work.num_selectable, "budgets")
        of_epoch = work.training_of_selectable_row * num_rows
    steps = total_steps(run.config, num_rows)
    scheduled_steps(run.config.checkpoints, steps)  # train.py would refuse more checkpoints than steps
    operations = of_epoch * steps / steps_per_epoch(num_rows, run.config.global_batch_size)
    return PlannedRun(
        config=run.config,
        commands=commands,
        num_examples=num_rows,
        steps=steps,
        operations=operations,
        training_operations=operations,
        is_reference=False,
        state=NOT_BEGUN,
        yaml=experiment.target,
        overrides=run.overrides,
    )


def _is_begun(run: PlannedRun) -> bool:
    return RunPaths(run.config.run_name).root.is_dir()


def _with_states(
    runs: Sequence[PlannedRun], checks: StageChecks, scored: Sequence[str] = ()
) -> list[PlannedRun]:
    """The runs as they are now.

    Args:
        scored: the checkpoints that are scored of references.

    Raises: what the stages would refuse.
    """
    known: list[PlannedRun] = []
    in_the_way: list[MadeOtherwise] = []
    for run in runs:
        try:
            known.append(_with_state(run, checks, scored) if run.is_reference or _is_begun(run) else run)
        except MadeOtherwise as error:
            in_the_way.append(error)
    check_none_was_made_otherwise(in_the_way)
    return known


def _with_state(run: PlannedRun, checks: StageChecks, scored: Sequence[str]) -> PlannedRun:
    words = run.commands[1][1:]
    with refusing_to_reuse("train.py", words):
        is_trained = is_measured = checks.is_trained(run.config, run.num_examples)
    if is_trained and run.is_reference:
        with refusing_to_reuse("run_distributed_trajectories.py", words):
            is_measured = all(checks.is_scored(run.config, steps) for steps in scored)
    elif is_trained:
        with refusing_to_reuse("evaluate_run.py", words):
            is_measured = checks.is_evaluated(run.config)
    return replace(run, state=RunState(_is_begun(run), is_trained, is_measured))


class _Work:
    """The work of a model's passes over its pool, in floating-point operations.

    Attributes:
        num_rows: rows of the pool that can be trained on.
        num_selectable: those of them with a response token.
        training_of_epoch: training on all rows once.
        training_of_selectable_row: training on one selectable row once, on average.
        scoring_of_pool: scoring with one checkpoint.
    """

    def __init__(self, config: RunConfig):
        # Here, as a comparison imports this package without torch.
        from ..modeling.imports import import_transformers

        import_transformers()
        from ..data.pool import Pool
        from ..data.tokenization import tokenize_pool
        from ..modeling.loading import base_config, empty_model, load_tokenizer
        from ..modeling.operations import scoring_operations, training_operations

        data = config.data_section
        pool = Pool(data)
        is_encoder_decoder = bool(base_config(config.model_section).is_encoder_decoder)
        tokenizer = load_tokenizer(config.model_section)
        tokens = tokenize_pool(pool, tokenizer, data.template, data.max_length, is_encoder_decoder)
        model = empty_model(config.model_section, tokenizer)
        training_N = training_operations(model).of(tokens.lengths, tokens.num_response_tokens)
        scoring_N = scoring_operations(model).of(tokens.lengths, tokens.num_response_tokens)
        selectable_N = tokens.num_response_tokens > 0
        self.num_rows = len(pool.usable_rows)
        self.num_selectable = int(selectable_N.sum())
        self.training_of_epoch = float(training_N[pool.usable_rows].sum())
        self.training_of_selectable_row = 0.0
        if self.num_selectable:
            self.training_of_selectable_row = float(training_N[selectable_N].mean())
        self.scoring_of_pool = float(scoring_N[selectable_N].sum())


def _launcher(experiment: ExperimentConfig) -> list[str]:
    if experiment.processes == 1:
        return []
    return ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={experiment.processes}"]


def _script(name: str) -> str:
    return str(_PROJECT / name)


def _pace(runs: Collection[str]) -> float | None:
    """Device-seconds per operation of the trained runs among these; None if there is none."""
    seconds = operations = 0.0
    for run in runs:
        path = RunPaths(run).manifest
        if is_complete(path, TrainingManifest):
            cost = training_cost(TrainingManifest.read(path))
            if cost.device_seconds is not None and cost.operations is not None:
                seconds += cost.device_seconds
                operations += cost.operations
    return seconds / operations if operations else None
