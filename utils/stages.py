"""The stages, each wired once for its script and for Python: a plan is made and said, then done.

Each takes a config that its checks (stage_checks.py) have passed. Imports stand inside the functions, and
those that bring torch behind all that is said without it. `overwrite`, `dry_run` and `show` are those of the
command line.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .config.schema import RunConfig
from .process import torchrun
from .process.reporter import reporter

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase

    from .artifacts.comparisons import Comparison
    from .artifacts.evaluations import EvaluationResults
    from .data.pool import Pool
    from .data.tokenization import TokenizedPool
    from .experiments.labels import ExperimentLabel
    from .scoring.checkpoints import CheckpointQuery
    from .scoring.launch import Launch
    from .scoring.plan import ScoringPlan
    from .selection.plan import SelectionPlan
    from .training.plan import TrainingPlan


def train(
    config: RunConfig,
    overwrite: bool = False,
    dry_run: bool = False,
    show: int | None = None,
    wandb_key: str | None = None,
) -> dict[int, str]:
    """Fine-tune one model in all processes of a launch. A subset that is not there yet is chosen first.

    Returns: step -> why its losses, which were to be taken meanwhile, are not there.
    """
    from .config.counts import scheduled_steps, total_steps
    from .data.settings import read_pool
    from .selection.plan import SelectionPlan, plan_selection
    from .selection.resolve import chosen_rows, rows_of_subset

    pool = read_pool(config)
    # The rows, or the plan by which they are chosen first.
    chosen = chosen_rows(config, pool) or plan_selection(config, pool)
    num_rows = chosen.budgets[0] if isinstance(chosen, SelectionPlan) else len(chosen.rows)
    scheduled_steps(config.checkpoints, total_steps(config, num_rows))

    # All that needs no torch has been said. These import it.
    from .modeling.imports import import_transformers

    import_transformers()
    from .modeling.loading import load_tokenizer
    from .reporting.text.training import training_plan_text
    from .training.plan import check_training, plan_training
    from .training.settings import launch_state
    from .training.tracking import prepare_tracking

    state = launch_state(shards=bool(config.train_args.get("fsdp")))
    config = prepare_tracking(config, wandb_key)
    with state.main_process_first():
        if isinstance(chosen, SelectionPlan):
            if state.is_main_process:
                setup = check_training(config, pool, num_rows)  # before the time that choosing takes
                _say_selection(chosen)
                if dry_run:
                    reporter.say(training_plan_text(setup.summary))
                    _say_tokens(setup.tokens, load_tokenizer(config.model_section), pool.usable_rows, show)
                else:
                    _choose(chosen)
            if dry_run:
                return {}
            chosen = rows_of_subset(config, pool)
        plan = plan_training(config, pool, chosen.rows, chosen.subset_manifest, overwrite)
    text = training_plan_text(plan.summary)
    if state.is_main_process:
        _remark(chosen.remarks)
        reporter.say(text)
        if dry_run:
            _say_tokens(plan.setup.tokens, load_tokenizer(config.model_section), plan.rows, show)
    return {} if dry_run else _train(config, plan, text)


def _train(config: RunConfig, plan: "TrainingPlan", text: str) -> dict[int, str]:
    from .training.run import run_training

    if not config.trajectories.during_training:
        run_training(config, plan, [], log_heading=text)
        return {}
    from .scoring.callback import TrajectoryCallback

    scoring = TrajectoryCallback(config)
    run_training(config, plan, [scoring], log_heading=text)
    scoring.score_missing()
    return scoring.failed


@dataclass(frozen=True)
class ScoringInputs:
    """What a scoring reads, as far as it is known without torch.

    Attributes:
        config: of the run.
        checkpoints: step -> folder, ascending. None for the base model.
        model_path: where they were looked for, None = in the run's own folder.
        pool: in the first process, which plans for all; None in the others.
    """

    config: RunConfig
    checkpoints: dict[int, Path | None]
    model_path: Path | None
    pool: "Pool | None"


@dataclass(frozen=True)
class Scoring:
    """A scoring that was planned.

    Attributes:
        config: of the run.
        launch: the processes that score.
        plan: the same in all of them.
        overwrite: what is there does not count.
    """

    config: RunConfig
    launch: "Launch"
    plan: "ScoringPlan"
    overwrite: bool


def read_scoring_inputs(config: RunConfig, query: "CheckpointQuery") -> ScoringInputs:
    from .data.settings import read_pool
    from .scoring.checkpoints import choose_checkpoints

    checkpoints = choose_checkpoints(config.run_name, query, config.model_section.cache_dir)
    model_path = None if query.model_path is None else Path(query.model_path)
    pool = read_pool(config) if torchrun.is_first() else None
    return ScoringInputs(config, checkpoints, model_path, pool)


def prepare_scoring(inputs: ScoringInputs, overwrite: bool = False, workers: int = 1) -> Scoring:
    """Plan a scoring in all processes of a launch.

    Args:
        workers: processes that a real run would start, for the plan's estimate.
    """
    from .modeling.imports import import_transformers

    import_transformers()
    from .reporting.text.scoring import scoring_plan_text
    from .scoring.launch import Launch
    from .scoring.plan import ScoringPlan, plan_scoring

    launch = Launch()
    num_devices = max(launch.size, workers)
    overwrite = overwrite and not torchrun.is_restart()

    def plan_for_all() -> ScoringPlan:
        assert inputs.pool is not None
        return plan_scoring(
            inputs.config, inputs.pool, inputs.checkpoints, overwrite, num_devices, inputs.model_path
        )

    plan = launch.first(plan_for_all)
    if launch.rank == 0:
        reporter.say(scoring_plan_text(plan.summary))
    return Scoring(inputs.config, launch, plan, overwrite)


def score(scoring: Scoring) -> dict[int, str]:
    """Returns: step -> why this checkpoint could not be scored."""
    from .reporting.text.scoring import scored_text, scoring_plan_text
    from .scoring.run import run_scoring

    plan = scoring.plan
    text = scoring_plan_text(plan.summary)
    failed = run_scoring(scoring.config, plan, scoring.launch, scoring.overwrite, log_heading=text)
    if scoring.launch.rank == 0:
        reporter.say(scored_text(plan, failed))
    return failed


def show_tokens_to_score(scoring: Scoring, show: int | None) -> None:
    from .modeling.loading import load_checkpoint_tokenizer, load_tokenizer

    if scoring.launch.rank != 0:
        return
    plan = scoring.plan
    folders = [folder for folder in plan.checkpoints.values() if folder is not None]
    settings = scoring.config.model_section
    tokenizer = load_checkpoint_tokenizer(folders[0], settings) if folders else load_tokenizer(settings)
    _say_tokens(plan.tokens, tokenizer, plan.tokens.scorable_rows, show)


def say_failed(failed: Mapping[int, str]) -> int:
    """Name the checkpoints that could not be scored. Returns: the exit code of the command."""
    from .reporting.text.scoring import failed_text

    if torchrun.is_first():
        _warn(failed_text(failed))
    return int(bool(failed))


def select(config: RunConfig, overwrite: bool = False, dry_run: bool = False) -> list[Path]:
    """Choose the subsets of a run that are not there yet. Returns: the folders of all, the smallest first."""
    from .artifacts.paths import named_subset
    from .selection.plan import plan_selection
    from .selection.remarks import unused_remarks
    from .selection.resolve import resolve_subset

    subset = config.subset_section
    origin = subset.same_as
    if origin is not None:
        found = resolve_subset(config)
        folder = named_subset(origin)
        _remark(unused_remarks(subset, used={"same_as"}, by=f"same_as: {origin}"))
        rows = f"{len(found.indices):,} rows, {folder}"
        reporter.say(f"run {config.run_name} uses the subset of run {origin}: {rows}, nothing to select")
        return [folder]
    plan = plan_selection(config, overwrite=overwrite)
    _say_selection(plan)
    if plan.pending and dry_run:
        where = ", ".join(str(request.folder) for request in plan.pending)
        reporter.say(f"dry run: nothing written. Without --dry_run the subset goes to {where}")
    elif plan.pending:
        _choose(plan)
    return [request.folder for request in plan.requests]


def _say_selection(plan: "SelectionPlan") -> None:
    from .reporting.text.selection import selection_plan_text

    _remark(plan.remarks, plan.warnings)
    reporter.say(selection_plan_text(plan))


def _choose(plan: "SelectionPlan") -> None:
    from .reporting.text.selection import selection_text
    from .selection.run import run_selection

    result = run_selection(plan)
    _remark(result.remarks, result.warnings)
    reporter.say(selection_text(result))


def evaluate(
    config: RunConfig, ckpt: int, overwrite: bool = False, dry_run: bool = False
) -> "EvaluationResults | None":
    """Ask a trained model and judge it. Returns: the results, None of a dry run."""
    from .modeling.imports import import_transformers

    import_transformers()
    from .evaluation.plan import plan_evaluation
    from .evaluation.run import run_evaluation
    from .reporting.text.evaluation import evaluation_plan_text, results_text

    plan = plan_evaluation(config, ckpt, overwrite)
    reporter.say(evaluation_plan_text(plan))
    if dry_run:
        return None
    results = run_evaluation(config, plan, overwrite)
    reporter.say(results_text(results, plan))
    return results


def compare(
    runs: Sequence[str],
    allow_differences: bool = False,
    name: str | None = None,
    labels: "Mapping[str, ExperimentLabel] | None" = None,
) -> "Comparison":
    """Set evaluated runs side by side. Args: as of `experiments.compare`."""
    from .artifacts.comparisons import write_comparison
    from .experiments.compare import compare as compare_runs
    from .reporting.text.comparison import comparison_text
    from .terminal import terminal_width

    comparison = compare_runs(runs, allow_differences, name, labels)
    reporter.say(comparison_text(comparison, terminal_width()))
    reporter.say(f"\nall of it, with every run's values: {write_comparison(comparison)}")
    return comparison


def _say_tokens(
    tokens: "TokenizedPool", tokenizer: "PreTrainedTokenizerBase", rows: "np.ndarray", show: int | None
) -> None:
    from .data.shown_tokens import shown_rows
    from .reporting.text.tokens import shown_tokens_text

    reporter.say(shown_tokens_text(shown_rows(tokens, tokenizer, rows, show)))


def _remark(remarks: Iterable[str], warnings: Iterable[str] = ()) -> None:
    from .reporting.text.selection import remarks_text

    _warn(remarks_text(remarks, warnings))


def _warn(lines: str) -> None:
    """Args: lines: whole ones, or none."""
    if lines:
        reporter.warn(lines.removesuffix("\n"))
