"""The rows a method may choose from, what it knows of them, and what it answers.

Legend: N examples of the pool, n candidates, m some of them, T checkpoints.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.artifacts.trajectories import Trajectories
from utils.data.pool import Pool

_LARGEST_LOSS = np.float32(1e15)  # nats; beyond it squared distances would leave the range of float32
_NUM_SHOWN = 10  # rows listed in a message


@dataclass(frozen=True)
class Candidates:
    """The selectable rows: neither excluded from the pool nor unscorable.

    Attributes:
        rows: int64 (n,), ascending row numbers of the pool, n >= 1.
        source_codes_n: int32 (n,), index into source_names.
        source_names: sources of the pool, ascending.
        num_examples: N.
        columns: per checkpoint the losses (N,) of the whole pool, memory-mapped; None without trajectories.
        unscorable: int64, ascending: rows that are NaN at some checkpoint and not excluded; none without trajectories.
    """

    rows: np.ndarray
    source_codes_n: np.ndarray
    source_names: list[str]
    num_examples: int
    columns: list[np.ndarray] | None
    unscorable: np.ndarray

    def losses(self, rows_m: np.ndarray) -> np.ndarray:
        """float32 (m, T): the loss trajectories of these rows of the pool."""
        assert self.columns is not None
        losses_mT = np.empty((len(rows_m), len(self.columns)), np.float32)
        for step, column_N in enumerate(self.columns):
            losses_mT[:, step] = column_N[rows_m]
        return losses_mT

    def rows_by_source(self) -> list[np.ndarray]:
        """Ascending row numbers per source, in the order of source_names; some may be empty."""
        by_source_n = np.argsort(self.source_codes_n, kind="stable")
        sizes = np.bincount(self.source_codes_n, minlength=len(self.source_names))
        return np.split(self.rows[by_source_n], np.cumsum(sizes)[:-1])


@dataclass(frozen=True)
class Choice:
    """What a method answers.

    Attributes:
        rows: int64 (budget,), ascending row numbers of the pool.
        clusters_N: int32 (N,), -1 where not clustered.
        backend: what computed the clusters, for the manifest; None where nothing did.
    """

    rows: np.ndarray
    clusters_N: np.ndarray
    backend: dict[str, Any] | None = None


def find_candidates(pool: Pool, trajectories: Trajectories | None) -> tuple[Candidates, list[str]]:
    """The selectable rows of the pool, and remarks for the user about rows that are not.

    A row is unscorable if its loss is NaN at any of the checkpoints: it is left out, and counts in no source or
    cluster size.

    Raises: ValueError if the trajectories belong to another pool, hold infinite losses, or leave no row selectable.
    """
    usable_N = ~pool.excluded
    scorable_N, remarks = usable_N, []
    if pool.excluded.any():
        remarks.append(f"{pool.excluded.sum():,} rows without instruction or response are not selectable")
    if trajectories is not None:
        _refuse_another_pool(pool, trajectories)
        scorable_N, unscorable_remarks = _scorable(usable_N, trajectories)
        remarks += unscorable_remarks
    rows = np.flatnonzero(scorable_N)
    candidates = Candidates(
        rows,
        pool.source_codes[rows],
        pool.source_names,
        len(pool),
        trajectories.columns if trajectories is not None else None,
        np.flatnonzero(usable_N & ~scorable_N),
    )
    return candidates, remarks


def _refuse_another_pool(pool: Pool, trajectories: Trajectories) -> None:
    if trajectories.num_examples != len(pool):
        raise ValueError(
            f"{trajectories.origin} holds losses of {trajectories.num_examples} examples, but the pool "
            f"{pool.data.path} has {len(pool)} rows: select from the pool that was scored (data.path, data.split, data.limit)"
        )
    scored = trajectories.manifest.get("inputs", {}).get("pool")
    if trajectories.manifest and scored != pool.fingerprint:
        raise ValueError(
            f"{trajectories.origin} was made from another pool than {pool.data.path}: found fingerprint {scored}, "
            f"expected {pool.fingerprint}. Select from the pool that was scored (data.path, data.format, data.columns, "
            "data.source_column), or score this one"
        )


def _scorable(usable_N: np.ndarray, trajectories: Trajectories) -> tuple[np.ndarray, list[str]]:
    """bool (N,), the usable rows with a loss at every checkpoint; remarks on the other usable rows."""
    num_nan_N = np.zeros(len(usable_N), np.int32)
    too_large_N = np.zeros(len(usable_N), bool)
    num_nan_by_checkpoint = {}
    for name, column_N in zip(_column_names(trajectories), trajectories.columns, strict=True):
        nan_N = np.isnan(column_N)
        num_nan_N += nan_N
        num_nan_by_checkpoint[name] = int((nan_N & usable_N).sum())
        too_large_N |= np.abs(column_N) > _LARGEST_LOSS
    too_large = np.flatnonzero(usable_N & too_large_N)
    if len(too_large):
        raise ValueError(
            f"{trajectories.origin}: {len(too_large):,} rows have an infinite loss (or one beyond {_LARGEST_LOSS:g}), "
            f"expected finite numbers: {_listed(too_large)}. The model of that checkpoint has diverged: leave it out "
            "(subset.steps), or write NaN for rows that are to be left out"
        )
    scorable_N = usable_N & (num_nan_N == 0)
    if not scorable_N.any():
        counts = ", ".join(f"{name}: {num_nan:,}" for name, num_nan in num_nan_by_checkpoint.items())
        raise ValueError(
            f"{trajectories.origin}: each of {usable_N.sum():,} rows is NaN somewhere, expected rows with a loss at "
            f"every checkpoint (NaN at {counts}): leave such checkpoints out (subset.steps), or score again"
        )
    remarks = []
    unscorable = np.flatnonzero(usable_N & ~scorable_N)
    if len(unscorable):
        remarks.append(f"{len(unscorable):,} rows have no loss (NaN) and are not selectable: {_listed(unscorable)}")
    partial = np.flatnonzero(usable_N & ~scorable_N & (num_nan_N < len(trajectories.columns)))
    if len(partial):
        columns = zip(num_nan_by_checkpoint, trajectories.columns, strict=True)
        where = ", ".join(name for name, column_N in columns if np.isnan(column_N[partial]).any())
        remarks.append(f"{len(partial):,} of those are NaN at some checkpoints only ({where}): {_listed(partial)}")
    return scorable_N, remarks


def _column_names(trajectories: Trajectories) -> list[str]:
    if trajectories.steps is None:
        return [f"column {number}" for number in range(len(trajectories.columns))]
    return [f"checkpoint {step}" for step in trajectories.steps]


def _listed(rows: np.ndarray) -> str:
    return "rows " + ", ".join(map(str, rows[:_NUM_SHOWN])) + (", ..." if len(rows) > _NUM_SHOWN else "")
