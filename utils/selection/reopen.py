"""A run's own subset opened again with its pool, to look at or to write for another stack."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..artifacts.paths import RunPaths
from ..artifacts.subsets import Subset, read_clusters
from ..config.schema import RunConfig
from ..data.rows import Rows
from .candidates import Candidates
from .methods.table import METHODS
from .named_rows import ListedRows
from .opening import find_selectable, open_pool, open_trajectories, read_extended, what_needs_losses
from .resolve import resolve_subset
from .validation import open_validation


@dataclass(frozen=True)
class SubsetAndPool:
    """The one subset of a run, and its pool.

    Attributes:
        pool: the rows.
        subset: as it is on disk.
        folder: where it lies.
    """

    pool: Rows
    subset: Subset
    folder: Path

    @property
    def indices(self) -> np.ndarray:
        """int64, ascending row numbers of the pool."""
        return self.subset.indices


@dataclass(frozen=True)
class SubsetWithCandidates(SubsetAndPool):
    """The same, and all that the subset was chosen from.

    Attributes:
        candidates: the rows that were selectable.
        listed: rows named one by one.
        clusters_N: int32 (N,), -1 where not clustered.
    """

    candidates: Candidates
    listed: ListedRows
    clusters_N: np.ndarray


def own_subset(config: RunConfig) -> SubsetAndPool:
    """The subset of a run, checked against its settings, with its pool opened again.

    Raises:
        FileNotFoundError: naming the command that makes it.
        ValueError: if it was made from something else, or is another run's (subset.same_as).
    """
    subset = config.subset_section
    if subset.same_as is not None:
        raise ValueError(
            f"run {config.run_name} uses the subset of run {subset.same_as} (subset.same_as): "
            "give the YAML of that run"
        )
    if isinstance(subset.budget, list):
        raise ValueError(
            f"subset.budget: found {subset.budget}, several subsets, expected one: "
            f"choose it for a run of its own (subset.budget={subset.budget[0]} run_name=<another run>), "
            "then give that run's settings"
        )
    pool = open_pool(config)
    return SubsetAndPool(pool, resolve_subset(config, pool), RunPaths(config.run_name).subset)


def open_subset(config: RunConfig) -> SubsetWithCandidates:
    """As `own_subset`, with all that it was chosen from."""
    own = own_subset(config)
    subset = config.subset_section
    pool = own.pool
    trajectories = open_trajectories(subset, len(pool), what_needs_losses(subset, METHODS[subset.method]))
    extended, _ = read_extended(subset.extend)
    candidates, listed, _ = find_selectable(subset, pool, trajectories, open_validation(pool), extended)
    return SubsetWithCandidates(
        pool=pool,
        subset=own.subset,
        folder=own.folder,
        candidates=candidates,
        listed=listed,
        clusters_N=read_clusters(own.folder, own.subset.manifest),
    )
