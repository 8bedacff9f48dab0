"""The five stages as functions, for a notebook or a program of your own.

Each reads YAMLs, checks what its script checks, works in this process and on its one device, and returns what
it made. What is there already is not made again. Plans and progress go through `process.reporter`, which
prints them. What a script would end with is raised: ValueError, FileNotFoundError, or what a library raises.

Legend: N examples of the pool, m rows of a subset, T checkpoints.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .artifacts import subsets
from .artifacts.paths import RunPaths, named_subset
from .artifacts.trajectories import read
from .config.load import NO_DEFAULTS, Checks, load_config
from .config.schema import RunConfig
from .process.reporter import reporter

# Each function imports the stage that it calls: selection needs no torch.
if TYPE_CHECKING:
    from .artifacts.comparisons import Comparison
    from .artifacts.evaluations import EvaluationResults
    from .selection.plan import SelectionPlan


@dataclass(frozen=True)
class LossTrajectories:
    """Losses as arrays.

    Attributes:
        rows: int64 (N,), row numbers of the pool, from 0.
        steps: of the T checkpoints, ascending. None for a file that does not say them.
        losses_NT: float32 (N, T), mean nats per response token. NaN where a row has no loss.
    """

    rows: np.ndarray
    steps: list[int] | None
    losses_NT: np.ndarray


@dataclass(frozen=True)
class SubsetRows:
    """A subset as arrays.

    Attributes:
        rows: int64 (m,), row numbers of the pool, from 0, ascending.
        clusters: int32 (m,), the cluster of each, -1 where the method makes none.
        folder: where it lies, with its texts in subset.jsonl.
    """

    rows: np.ndarray
    clusters: np.ndarray
    folder: Path


def read_trajectories(trajectories_from: str, steps: list[int] | None = None) -> LossTrajectories:
    """The losses of a run, by its name, or of a file (.npy, .npz or .parquet).

    Args:
        steps: the checkpoints. None for all after step 0.

    Raises: FileNotFoundError, ValueError for losses that are damaged or incomplete.
    """
    found = read.read_trajectories(trajectories_from, steps)
    return LossTrajectories(np.arange(found.num_examples), found.steps, found.rows(slice(None)))


def read_subset(name: str) -> SubsetRows:
    """The subset of a run, by `RUN`, or by `RUN/subset-<rows>` for one of several.

    Raises: FileNotFoundError, ValueError for a subset that is damaged.
    """
    return _subset_in(named_subset(name))


def _subset_in(folder: Path) -> SubsetRows:
    subset = subsets.read_subset(folder)
    clusters_N = subsets.read_clusters(folder, subset.manifest)
    return SubsetRows(subset.indices, clusters_N[subset.indices], folder)


def train(config_file: str | Path, *settings: str, overwrite: bool = False) -> Path:
    """Fine-tune one model, as train.py does. With a `subset:` section it chooses the subset first.

    Args:
        config_file: the YAML of a run.
        settings: `key.sub=value`, which win over it.
        overwrite: start over, whatever is there.

    Returns: the folder of the last checkpoint.
    """
    from .checks import training_checks
    from .data.settings import read_pool
    from .training.tracking import prepare_tracking

    config = _config(config_file, settings, ("model", "data"), training_checks())

    from .config.counts import scheduled_steps, total_steps
    from .reporting.text.training import training_plan_text
    from .selection.plan import SelectionPlan, plan_selection
    from .selection.resolve import chosen_rows, rows_of_subset

    pool = read_pool(config)
    chosen = chosen_rows(config, pool) or plan_selection(config, pool)
    num_rows = chosen.budgets[0] if isinstance(chosen, SelectionPlan) else len(chosen.rows)
    scheduled_steps(config.checkpoints, total_steps(config, num_rows))

    from .modeling.imports import import_transformers

    import_transformers()
    from .scoring.callback import TrajectoryCallback
    from .training.plan import check_training, plan_training
    from .training.run import run_training

    config = prepare_tracking(config, None)
    if isinstance(chosen, SelectionPlan):
        check_training(config, pool, num_rows)
        _choose(chosen)
        chosen = rows_of_subset(config, pool)
    _remark(chosen.remarks)
    plan = plan_training(config, pool, chosen.rows, chosen.subset_manifest, overwrite)
    text = training_plan_text(plan.summary)
    reporter.say(text)
    scoring = TrajectoryCallback(config) if config.trajectories.during_training else None
    run_training(config, plan, [] if scoring is None else [scoring], log_heading=text)
    if scoring is not None:
        scoring.score_missing()
        _raise_failed(scoring.failed)
    return RunPaths(config.run_name).checkpoint(plan.setup.steps)


def score(
    config_file: str | Path,
    *settings: str,
    checkpoints: str = "all",
    model_path: str | None = None,
    subfolder: str | None = None,
    overwrite: bool = False,
) -> LossTrajectories:
    """The loss of every example at checkpoints, as run_distributed_trajectories.py does.

    Args:
        config_file: the YAML of a run.
        settings: `key.sub=value`, which win over it.
        checkpoints: all, 1000,2000 or start:end:step; 0 for the base model, -1 for the newest.
        model_path: a folder of checkpoints, or a model on the hub with its revisions; None: the run's own.
        subfolder: of each of them, in which the model lies.
        overwrite: score again, whatever is there.
    """
    from .checks import scoring_checks
    from .data.settings import read_pool
    from .scoring.checkpoints import CheckpointQuery, choose_checkpoints, sections_of_checkpoints

    query = CheckpointQuery(checkpoints, model_path, subfolder)
    defaults = sections_of_checkpoints(query)
    config = _config(config_file, settings, ("model", "data"), scoring_checks(query), defaults)
    chosen = choose_checkpoints(config.run_name, query, config.model_section.cache_dir)
    pool = read_pool(config)

    from .modeling.imports import import_transformers

    import_transformers()
    from .reporting.text.scoring import scored_text, scoring_plan_text
    from .scoring.launch import Launch
    from .scoring.plan import plan_scoring
    from .scoring.run import run_scoring

    plan = plan_scoring(config, pool, chosen, overwrite)
    text = scoring_plan_text(plan.summary)
    reporter.say(text)
    failed = run_scoring(config, plan, Launch(), overwrite, log_heading=text)
    reporter.say(scored_text(plan, failed))
    _raise_failed(failed)
    return read_trajectories(config.run_name, sorted(chosen))


def select(config_file: str | Path, *settings: str, overwrite: bool = False) -> list[SubsetRows]:
    """Choose the subsets of a run, as select_s2l.py does. Needs no torch.

    Args:
        config_file: the YAML of a run.
        settings: `key.sub=value`, which win over it.
        overwrite: choose again, whatever is there.

    Returns: one subset, or one for each of several budgets, the smallest first.
    """
    from .data.settings import data_problems

    config = _config(config_file, settings, ("subset",), {"data": data_problems})

    from .selection.plan import plan_selection
    from .selection.remarks import unused_remarks
    from .selection.resolve import resolve_subset

    same_as = config.subset_section.same_as
    if same_as is not None:
        resolve_subset(config)
        _remark(unused_remarks(config.subset_section, used={"same_as"}, by=f"same_as: {same_as}"))
        return [read_subset(same_as)]
    plan = plan_selection(config, overwrite=overwrite)
    _choose(plan)
    return [_subset_in(request.folder) for request in plan.requests]


def evaluate(
    config_file: str | Path, *settings: str, ckpt: int = -1, overwrite: bool = False
) -> "EvaluationResults":
    """Ask a trained model and judge it, as evaluate_run.py does.

    Args:
        config_file: the YAML of a run.
        settings: `key.sub=value`, which win over it.
        ckpt: the step; 0 for the untrained base model, -1 for the newest.
        overwrite: ask again, whatever is there.
    """
    from .checks import evaluation_checks

    config = _config(config_file, settings, ("model", "data"), evaluation_checks(ckpt))

    from .modeling.imports import import_transformers

    import_transformers()
    from .evaluation.plan import plan_evaluation
    from .evaluation.run import run_evaluation
    from .reporting.text.evaluation import evaluation_plan_text, results_text

    plan = plan_evaluation(config, ckpt, overwrite)
    reporter.say(evaluation_plan_text(plan))
    results = run_evaluation(config, plan, overwrite)
    reporter.say(results_text(results))
    return results


def compare(*runs: str, allow_differences: bool = False) -> "Comparison":
    """Evaluated runs side by side, as compare_runs.py does.

    Args:
        runs: their names or folders, one of the arm first that the others are set against.
        allow_differences: also runs that differ in more than the data.
    """
    from .artifacts.comparisons import write_comparison
    from .experiments.compare import compare as compared
    from .reporting.text.comparison import comparison_text
    from .terminal import terminal_width

    comparison = compared(runs, allow_differences)
    reporter.say(comparison_text(comparison, terminal_width()))
    write_comparison(comparison)
    return comparison


def _config(
    config_file: str | Path,
    settings: tuple[str, ...],
    needs: tuple[str, ...],
    checks: Checks,
    defaults: Mapping[str, Any] = NO_DEFAULTS,
) -> RunConfig:
    config, translations = load_config(config_file, settings, needs, checks, defaults)
    for line in translations:
        reporter.warn(f"{config_file}: {line}")
    return config


def _choose(plan: "SelectionPlan") -> None:
    """Choose what is not there yet."""
    from .reporting.text.selection import selection_plan_text, selection_text
    from .selection.run import run_selection

    _remark(plan.remarks, plan.warnings)
    reporter.say(selection_plan_text(plan))
    if plan.pending:
        result = run_selection(plan)
        _remark(result.remarks, result.warnings)
        reporter.say(selection_text(result))


def _remark(remarks: Iterable[str], warnings: Iterable[str] = ()) -> None:
    from .reporting.text.selection import remarks_text

    if text := remarks_text(remarks, warnings):
        reporter.warn(text.removesuffix("\n"))


def _raise_failed(failed: Mapping[int, str]) -> None:
    """Raises: ValueError naming the checkpoints that could not be scored."""
    if failed:
        raise ValueError("; ".join(f"checkpoint {step} failed: {why}" for step, why in failed.items()))
