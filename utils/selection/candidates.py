"""The rows a method may choose from, what it knows of them, and what it answers.

Legend: N examples of the pool, n candidates, m some of them, T checkpoints.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..artifacts.differences import pool_record, why_another_pool
from ..artifacts.trajectories.read import Trajectories
from ..data.numbered_rows import NumberedRows
from ..data.pool import Pool
from ..terminal import first_of
from .methods.random_order import random_keys

_LARGEST_LOSS = np.float32(1e15)  # nats; beyond it squared distances would leave the range of float32
_ROWS_AT_ONCE = 2**16
_SORTED_AT_ONCE = 2**22


@dataclass(frozen=True)
class Candidates:
    """The selectable rows: neither excluded nor unscorable.

    Attributes:
        rows: integers (n,), ascending row numbers of the pool, n >= 1.
        source_codes_n: int32 (n,), index into source_names.
        source_names: sources of the pool, ascending.
        num_examples: N.
        trajectories: of the whole pool; None without.
        unscorable: ascending: rows that are NaN at some checkpoint and not excluded; none without trajectories.
        included: int64, ascending: the rows of these that have to be chosen.
        stored: the clusters of a subset that is extended.
    """

    rows: np.ndarray
    source_codes_n: np.ndarray
    source_names: list[str]
    num_examples: int
    trajectories: Trajectories | None
    unscorable: np.ndarray
    included: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    stored: "StoredClusters | None" = None

    def losses(self, rows_m: np.ndarray) -> np.ndarray:
        """float32 (m, T): the loss trajectories of these rows of the pool."""
        assert self.trajectories is not None
        return self.trajectories.rows(rows_m)

    def read_losses(self, position_m: np.ndarray | slice) -> np.ndarray:
        """float32 (m, T): the loss trajectories of these candidates, by position (0 to n - 1)."""
        assert self.trajectories is not None
        return self.trajectories.rows(
            position_m if len(self.rows) == self.num_examples else self.rows[position_m]
        )

    def random_keys(self, seed: int) -> np.ndarray:
        """uint64 (n,): ascending keys are the random order in which rows are taken; rows that have to be in come first."""
        key_N = random_keys(seed, self.num_examples)
        if len(self.included):
            key_N >>= np.uint64(1)
            others_N = np.ones(self.num_examples, bool)
            others_N[self.included] = False
            key_N[others_N] |= np.uint64(1 << 63)
        return key_N if len(self.rows) == self.num_examples else key_N[self.rows]

    def only(self, position_m: np.ndarray) -> "Candidates":
        """Some of these candidates, by ascending position."""
        return replace(self, rows=self.rows[position_m], source_codes_n=self.source_codes_n[position_m])

    def positions_by_source(self) -> list[np.ndarray]:
        """Ascending positions (0 to n - 1) per source, in the order of source_names; some may be empty."""
        return positions_by_group(self.source_codes_n, len(self.source_names))

    def rows_by_source(self) -> list[np.ndarray]:
        """Ascending row numbers per source, in the order of source_names; some may be empty."""
        return [self.rows[position_m] for position_m in self.positions_by_source()]


def positions_by_group(group_n: np.ndarray, num_groups: int) -> list[np.ndarray]:
    """Ascending positions per group. Args: group_n: integers in [0, num_groups)."""
    sizes = np.bincount(group_n, minlength=num_groups)
    ends = np.cumsum(sizes)
    next_place = ends - sizes
    position_n = np.empty(len(group_n), np.int32)
    for start in range(0, len(group_n), _SORTED_AT_ONCE):  # numpy's argsort takes eight bytes a row, twice
        group_m = group_n[start : start + _SORTED_AT_ONCE]
        narrow_m = (
            group_m.astype(np.uint16) if num_groups <= 2**16 else group_m
        )  # for 16 bits it has a radix sort
        order_m = np.argsort(narrow_m, kind="stable")
        sizes_here = np.bincount(group_m, minlength=num_groups)
        begins_here = np.cumsum(sizes_here) - sizes_here
        place_m = np.arange(len(group_m)) + np.repeat(next_place - begins_here, sizes_here)
        position_n[place_m] = start + order_m
        next_place += sizes_here
    return np.split(position_n, ends[:-1])


@dataclass(frozen=True)
class StoredClusters:
    """The clusters of a subset whose pool is the beginning of this one.

    Attributes:
        clusters: int32 (M,), of the first M rows of the pool; -1 where not clustered.
        centroids_KT: float32 (K, T).
        numbers: source -> its clusters' numbers; "" -> all of them where sources were not clustered apart.
    """

    clusters: np.ndarray
    centroids_KT: np.ndarray
    numbers: dict[str, np.ndarray]


@dataclass(frozen=True)
class Choice:
    """What a method answers.

    Attributes:
        order: integers (budget,), rows of the pool as a growing budget takes them: the first b are the choice for b.
        clusters_N: int32 (N,), -1 where not clustered.
        centroids_KT: float32 (K, T), row k of cluster k; None where nothing was clustered.
        backend: what computed the clusters, for the manifest; None where nothing did.
        remarks, warnings: for the user.
    """

    order: np.ndarray
    clusters_N: np.ndarray
    centroids_KT: np.ndarray | None = None
    backend: dict[str, Any] | None = None
    remarks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def rows(self) -> np.ndarray:
        """int64 (budget,), ascending row numbers of the pool."""
        return np.sort(self.order).astype(np.int64)


def find_candidates(
    pool: Pool | NumberedRows,
    trajectories: Trajectories | None,
    barred: np.ndarray | None = None,
    included: np.ndarray | None = None,
) -> tuple[Candidates, list[str]]:
    """The selectable rows of the pool, and remarks for the user about rows that are not.

    A row is unscorable if its loss is NaN at any of the checkpoints: it is left out, and counts in no source or
    cluster size.

    Args: barred: row numbers that must not be chosen; included: row numbers that must.

    Raises: ValueError if the trajectories belong to another pool, hold infinite losses, or leave no row selectable; or
    if a row that must be in is not selectable.
    """
    usable_N, remarks = ~pool.excluded, []
    if pool.excluded.any():
        remarks.append(f"{pool.excluded.sum():,} rows without instruction or response are not selectable")
    scorable_N = usable_N
    if trajectories is not None:
        _refuse_another_pool(pool, trajectories)
        scorable_N, unscorable_remarks = _scorable(usable_N, trajectories)
        remarks += unscorable_remarks
    unscorable = np.flatnonzero(usable_N & ~scorable_N)
    if included is not None:
        lost = included[~scorable_N[included]]
        if len(lost):
            raise ValueError(
                f"subset.include: {len(lost):,} of its rows have no loss or no text: {listed(lost)}; take them out of it"
            )
    if barred is not None and len(barred):
        scorable_N = scorable_N.copy()
        scorable_N[barred] = False
    if not scorable_N.any():
        raise ValueError(
            "no row is selectable: the settings that leave rows out (subset.exclude, ...) leave out all"
        )
    # Half the memory of numpy's own row numbers, where a hundred million rows make that count.
    rows = (
        np.arange(len(pool), dtype=np.int32)
        if scorable_N.all()
        else np.flatnonzero(scorable_N).astype(np.int32)
    )
    candidates = Candidates(
        rows,
        pool.source_codes if len(rows) == len(pool) else pool.source_codes[rows],
        pool.source_names,
        len(pool),
        trajectories,
        unscorable,
        np.empty(0, np.int64) if included is None else included,
    )
    return candidates, remarks


def _refuse_another_pool(pool: Pool | NumberedRows, trajectories: Trajectories) -> None:
    if trajectories.num_examples != len(pool):
        raise ValueError(
            f"{trajectories.origin} holds losses of {trajectories.num_examples} examples, but the pool "
            f"{pool.name} has {len(pool)} rows: select from the pool that was scored (data.path, data.split, data.limit)"
        )
    manifest = trajectories.manifest
    if manifest is not None and manifest.pool != pool.fingerprint:
        now = pool_record(pool.data) if isinstance(pool, Pool) else None
        why = why_another_pool(manifest.data, now)
        raise ValueError(
            f"{trajectories.origin} was made from another pool than {pool.name}: found fingerprint {manifest.pool[:12]}..., "
            f"expected {pool.fingerprint[:12]}... ({why}). Select from the pool that was scored, or score this one"
        )


def _scorable(usable_N: np.ndarray, trajectories: Trajectories) -> tuple[np.ndarray, list[str]]:
    """bool (N,), the usable rows with a loss at every checkpoint; remarks on the other usable rows."""
    num_checkpoints, num_examples = len(trajectories.columns), len(usable_N)
    num_nan_N = np.zeros(num_examples, np.uint16)
    num_nan_T = np.zeros(num_checkpoints, np.int64)
    num_partial_T = np.zeros(num_checkpoints, np.int64)
    negative_N = np.zeros(num_examples, bool)
    too_large = []
    for start in range(0, num_examples, _ROWS_AT_ONCE):
        losses_mT = trajectories.rows(slice(start, start + _ROWS_AT_ONCE))
        negative_N[start : start + _ROWS_AT_ONCE] = (losses_mT < 0).any(1)
        if np.abs(losses_mT).max() <= _LARGEST_LOSS:  # false if any is NaN
            continue
        usable_m = usable_N[start : start + _ROWS_AT_ONCE]
        nan_mT = np.isnan(losses_mT) & usable_m[:, None]
        num_nan_m = nan_mT.sum(1)
        num_nan_N[start : start + _ROWS_AT_ONCE] = num_nan_m
        num_nan_T += nan_mT.sum(0)
        num_partial_T += nan_mT[num_nan_m < num_checkpoints].sum(0)
        too_large_m = (np.abs(losses_mT) > _LARGEST_LOSS).any(1) & usable_m
        too_large.append(start + np.flatnonzero(too_large_m))
    names = _column_names(trajectories)
    infinite = np.concatenate([*too_large, np.empty(0, np.int64)]).astype(np.int64)
    if len(infinite):
        raise ValueError(
            f"{trajectories.origin}: {len(infinite):,} rows have an infinite loss (or one beyond {_LARGEST_LOSS:g}), "
            f"expected finite numbers: {listed(infinite)}. The model of that checkpoint has diverged: leave it out "
            "(subset.steps), or write NaN for rows that are to be left out"
        )
    scorable_N = usable_N & (num_nan_N == 0)
    if not scorable_N.any():
        counts = ", ".join(f"{name}: {num_nan:,}" for name, num_nan in zip(names, num_nan_T, strict=True))
        raise ValueError(
            f"{trajectories.origin}: each of {usable_N.sum():,} rows is NaN somewhere, expected rows with a loss at "
            f"every checkpoint (NaN at {counts}): leave such checkpoints out (subset.steps), or score again"
        )
    remarks = []
    negative = np.flatnonzero(scorable_N & negative_N)
    if len(negative):
        remarks.append(
            f"{len(negative):,} rows have a loss below 0 ({listed(negative)}), which minus a log-probability never is: are "
            "these losses, with that sign?"
        )
    unscorable = np.flatnonzero(usable_N & ~scorable_N)
    if len(unscorable):
        remarks.append(
            f"{len(unscorable):,} rows have no loss (NaN) and are not selectable: {listed(unscorable)}"
        )
    partial = unscorable[num_nan_N[unscorable] < num_checkpoints]
    if len(partial):
        where = ", ".join(name for name, num_nan in zip(names, num_partial_T, strict=True) if num_nan)
        remarks.append(
            f"{len(partial):,} of those are NaN at some checkpoints only ({where}): {listed(partial)}"
        )
    return scorable_N, remarks


def _column_names(trajectories: Trajectories) -> list[str]:
    if trajectories.steps is None:
        return [f"column {number}" for number in range(len(trajectories.columns))]
    return [f"checkpoint {step}" for step in trajectories.steps]


def listed(rows: np.ndarray) -> str:
    return f"rows {first_of(rows)}"
