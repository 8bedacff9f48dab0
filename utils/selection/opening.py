"""Open what a subset is chosen from: the pool, the losses, and the rows that may be chosen."""

import numpy as np

from ..artifacts.paths import named_subset
from ..artifacts.subsets import (
    Subset,
    clusters_of_sources,
    how_to_make_subset,
    read_centroids,
    read_clusters,
    read_subset,
)
from ..artifacts.trajectories.imported import SUFFIXES
from ..artifacts.trajectories.read import Trajectories, are_made_elsewhere, read_trajectories
from ..config.names import TrajectoryKind
from ..config.schema import RunConfig, SubsetConfig
from ..data.numbered_rows import NumberedRows
from ..data.pool import Pool
from ..data.rows import Rows
from ..data.settings import read_pool
from .candidates import Candidates, StoredClusters, find_candidates
from .kinds import classify_rows
from .methods.table import Method, shares_by_source
from .named_rows import ListedRows, list_rows, without_duplicates


def open_pool(config: RunConfig) -> Rows:
    """The pool, or, without a data section, as many rows as there are imported losses.

    Raises: ValueError if there is neither.
    """
    if config.data is not None:
        return read_pool(config)
    subset = config.subset_section
    if subset.trajectories_from is None or not are_made_elsewhere(subset.trajectories_from):
        raise ValueError(
            "data: missing, and this command needs it: add a `data:` section. Without it, row numbers alone "
            f"can be chosen from a file of losses ({', '.join(SUFFIXES)}) in subset.trajectories_from"
        )
    return NumberedRows(
        read_trajectories(subset.trajectories_from, subset.steps).num_examples, subset.sources_from
    )


def open_trajectories(subset: SubsetConfig, num_examples: int, needed_by: str | None) -> Trajectories | None:
    """The losses, where the settings name any.

    Raises: ValueError if not, and `needed_by` needs them, or a budget of tokens the numbers beside them.
    """
    if subset.trajectories_from is not None:
        return read_trajectories(subset.trajectories_from, subset.steps, num_examples)
    if needed_by is None and subset.budget_tokens is not None:
        needed_by = "subset.budget_tokens"
    if needed_by is not None:
        raise ValueError(
            f"subset.trajectories_from: missing, and {needed_by} needs it: write the run_name of the proxy "
            "model whose trajectories to use, or a file of (N, T) losses in pool order (.npy, .npz, .parquet)"
        )
    return None


def what_needs_losses(subset: SubsetConfig, method: Method) -> str | None:
    """What in the settings cannot do without a proxy's losses, whose cost is then part of the subset's."""
    if method.needs_losses:
        return f"method {subset.method}"
    if shares_by_source(subset, method) and subset.source_exponent and subset.source_weight == "fall":
        return "subset.source_weight fall"
    if subset.drop:
        return "subset.drop"
    return None


def find_selectable(
    subset: SubsetConfig,
    pool: Rows,
    trajectories: Trajectories | None,
    validation: Pool | None,
    extended: Subset | None,
) -> tuple[Candidates, ListedRows, list[str]]:
    """The selectable rows, those that the settings name one by one, and remarks for the user."""
    kept = None if extended is None else extended.indices
    listed = list_rows(subset, pool, validation, kept, _rows_of_kind(subset, pool, trajectories))
    candidates, remarks = find_candidates(pool, trajectories, listed.barred, listed.included)
    remarks += listed.remarks
    if subset.deduplicate == "exact":
        num_before = len(candidates.rows)
        candidates = without_duplicates(candidates, pool)
        num_repeated = num_before - len(candidates.rows)
        remarks.append(f"{num_repeated:,} rows repeat the response of an earlier row: not selectable")
    return candidates, listed, remarks


def _rows_of_kind(
    subset: SubsetConfig, pool: Rows, trajectories: Trajectories | None
) -> dict[TrajectoryKind, np.ndarray]:
    """Kind -> rows that `subset.drop` leaves out for being of it, as --inspect finds them.

    None before the losses are there.
    """
    if not subset.drop or trajectories is None:
        return {}
    found = classify_rows(find_candidates(pool, trajectories)[0]).rows
    return {kind: found[kind] for kind in subset.drop}


def open_candidates(config: RunConfig) -> tuple[Rows, Candidates]:
    """The pool and its selectable rows, whether a subset has been made or not.

    Raises: as `select` for a pool or trajectories that are missing, damaged or do not belong together.
    """
    pool = open_pool(config)
    trajectories = open_trajectories(config.subset_section, len(pool), needed_by="--inspect")
    return pool, find_candidates(pool, trajectories)[0]


def read_extended(run: str | None) -> tuple[Subset | None, StoredClusters | None]:
    """The subset to extend, where there is one to extend, and its clusters, where its method has any.

    Args:
        run: as in `subset.extend`.

    Raises: FileNotFoundError, ValueError.
    """
    if run is None:
        return None, None
    folder = named_subset(run)
    try:
        subset = read_subset(folder)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"subset.extend: run {run!r} has no subset in {folder}: {how_to_make_subset(run)}"
        ) from None
    centroids_KT = read_centroids(folder, subset.manifest)
    if centroids_KT is None:
        return subset, None
    numbers = {"": np.arange(len(centroids_KT), dtype=np.int32)}
    if subset.manifest.per_source:
        sources = clusters_of_sources(folder, subset.manifest).items()
        numbers = {name: np.array(clusters, np.int32) for name, clusters in sources if clusters}
    return subset, StoredClusters(read_clusters(folder, subset.manifest), centroids_KT, numbers)
