"""The five stages as functions, for a notebook or a program of your own.

Each reads YAMLs, checks what its script checks, works in this process and on its one device, and returns what
it made. What is there already is not made again. Plans and progress go through `process.reporter`, which
prints them. What a script would end with is raised: ValueError, FileNotFoundError, or what a library raises.

Legend: N examples of the pool, m rows of a subset, T checkpoints.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import stages
from .artifacts import subsets
from .artifacts.paths import RunPaths, named_subset
from .artifacts.trainings import TrainingManifest
from .artifacts.trajectories import read
from .config.load import NO_DEFAULTS, Checks, load_config
from .config.schema import RunConfig
from .process.reporter import reporter
from .stage_checks import evaluation_checks, scoring_checks, selection_checks, training_checks

if TYPE_CHECKING:
    from .artifacts.comparisons import Comparison
    from .artifacts.evaluations import EvaluationResults


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
    config = _config(config_file, settings, ("model", "data"), training_checks())
    _raise_failed(stages.train(config, overwrite))
    paths = RunPaths(config.run_name)
    return paths.checkpoint(TrainingManifest.read(paths.manifest).save_steps[-1])


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
    from .scoring.checkpoints import CheckpointQuery, sections_of_checkpoints

    query = CheckpointQuery(checkpoints, model_path, subfolder)
    defaults = sections_of_checkpoints(query)
    config = _config(config_file, settings, ("model", "data"), scoring_checks(query), defaults)
    inputs = stages.read_scoring_inputs(config, query)
    _raise_failed(stages.score(stages.prepare_scoring(inputs, overwrite)))
    return read_trajectories(config.run_name, sorted(inputs.checkpoints))


def select(config_file: str | Path, *settings: str, overwrite: bool = False) -> list[SubsetRows]:
    """Choose the subsets of a run, as select_s2l.py does. Needs no torch.

    Args:
        config_file: the YAML of a run.
        settings: `key.sub=value`, which win over it.
        overwrite: choose again, whatever is there.

    Returns: one subset, or one for each of several budgets, the smallest first.
    """
    config = _config(config_file, settings, ("subset",), selection_checks())
    return [_subset_in(folder) for folder in stages.select(config, overwrite)]


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
    config = _config(config_file, settings, ("model", "data"), evaluation_checks(ckpt))
    results = stages.evaluate(config, ckpt, overwrite)
    assert results is not None  # as of a dry run
    return results


def compare(*runs: str, allow_differences: bool = False) -> "Comparison":
    """Evaluated runs side by side, as compare_runs.py does.

    Args:
        runs: their names or folders, one of the arm first that the others are set against.
        allow_differences: also runs that differ in more than the data.
    """
    return stages.compare(runs, allow_differences)


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


def _raise_failed(failed: Mapping[int, str]) -> None:
    """Raises: ValueError naming the checkpoints that could not be scored."""
    if failed:
        raise ValueError("; ".join(f"checkpoint {step} failed: {why}" for step, why in failed.items()))
