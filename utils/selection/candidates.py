"""The rows a method may choose from, what it knows of them, and what it answers.

Legend: N examples of the pool, n candidates, m some of them, S sources, T checkpoints.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..artifacts.pools import pool_record, why_another_pool
from ..artifacts.trajectories.read import Trajectories
from ..data.rows import Rows
from .groups import Groups
from .methods.random_order import random_keys
from .unscorable import count_losses, loss_remarks, refuse_losses, row_numbers_text


@dataclass(frozen=True)
class Candidates:
    """The selectable rows: neither excluded nor unscorable.

    Attributes:
        rows: integers (n,), ascending row numbers of the pool, n >= 1.
        source_codes_n: int32 (n,), index into source_names.
        source_names: sources of the pool, ascending.
        num_examples: N.
        trajectories: of the whole pool, None without.
        unscorable: ascending: rows that are NaN at some checkpoint and not excluded.
            Empty without trajectories.
        included: int64, ascending: the rows of these that have to be chosen.
        stored: the clusters of a subset that is extended.
        validation_ST: float64 (S, T), the mean losses of the validation rows of each source of the pool.
            None for methods that are not targeted.
    """

    rows: np.ndarray
    source_codes_n: np.ndarray
    source_names: list[str]
    num_examples: int
    trajectories: Trajectories | None
    unscorable: np.ndarray
    included: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    stored: "StoredClusters | None" = None
    validation_ST: np.ndarray | None = None

    @property
    def needed_trajectories(self) -> Trajectories:
        """The trajectories, for what cannot do without: a plan has made sure of them."""
        assert self.trajectories is not None
        return self.trajectories

    @property
    def num_checkpoints(self) -> int:
        """T."""
        return len(self.needed_trajectories.columns)

    def loss_columns(self) -> Iterator[np.ndarray]:
        """float64 (n,) each: the losses of the candidates, a checkpoint after the other."""
        for column_N in self.needed_trajectories.columns:
            yield column_N[self.rows].astype(np.float64)

    def losses(self, rows_m: np.ndarray) -> np.ndarray:
        """float32 (m, T): the loss trajectories of these rows of the pool."""
        return self.needed_trajectories.rows(rows_m)

    def read_losses(self, position_m: np.ndarray | slice) -> np.ndarray:
        """float32 (m, T): the loss trajectories of these candidates, by position (0 to n - 1)."""
        return self.needed_trajectories.rows(
            position_m if len(self.rows) == self.num_examples else self.rows[position_m]
        )

    def random_keys(self, seed: int) -> np.ndarray:
        """uint64 (n,): ascending keys are the random order in which rows are taken.

        Rows that have to be in come first.
        """
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

    def by_source(self) -> Groups:
        """Ascending positions (0 to n - 1) per source, in the order of source_names. Some may be empty."""
        return Groups.by_number(self.source_codes_n, len(self.source_names))


@dataclass(frozen=True)
class StoredClusters:
    """The clusters of a subset whose pool is the beginning of this one.

    Attributes:
        clusters: int32 (M,), of the first M rows of the pool, -1 where not clustered.
        centroids_KT: float32 (K, T).
        numbers: source -> its clusters' numbers, or "" -> all of them where sources were not clustered apart.
    """

    clusters: np.ndarray
    centroids_KT: np.ndarray
    numbers: dict[str, np.ndarray]


@dataclass(frozen=True)
class Choice:
    """What a method answers.

    Attributes:
        order: integers (budget,), rows of the pool as a growing budget takes them: the first b are the choice
            for b.
        clusters_N: int32 (N,), -1 where not clustered.
        centroids_KT: float32 (K, T), row k of cluster k. None where nothing was clustered.
        backend: what computed the clusters, for the manifest. None where nothing did.
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


def choose_in_order(candidates: Candidates, order: np.ndarray, budget: int) -> Choice:
    """The first rows of an order, nothing being clustered.

    Args:
        order: positions among the candidates, as a growing budget takes them.
    """
    return Choice(candidates.rows[order[:budget]], np.full(candidates.num_examples, -1, np.int32))


def find_candidates(
    pool: Rows,
    trajectories: Trajectories | None,
    barred: np.ndarray | None = None,
    included: np.ndarray | None = None,
) -> tuple[Candidates, list[str]]:
    """The selectable rows of the pool, and remarks for the user about rows that are not.

    A row is unscorable if its loss is NaN at any of the checkpoints: it is left out,
    and counts in no source or cluster size.

    Args:
        barred: row numbers that must not be chosen.
        included: row numbers that must.

    Raises:
        ValueError: if the trajectories belong to another pool, hold infinite losses,
            or leave no row selectable. Or if a row that must be in is not selectable.
    """
    usable_N = ~pool.excluded
    remarks = []
    if pool.excluded.any():
        remarks.append(f"{pool.excluded.sum():,} rows without instruction or response are not selectable")
    scorable_N = usable_N
    if trajectories is not None:
        _refuse_another_pool(pool, trajectories)
        counts = count_losses(usable_N, trajectories)
        refuse_losses(counts, trajectories)
        remarks += loss_remarks(counts, trajectories)
        scorable_N = counts.scorable_N
    unscorable = np.flatnonzero(usable_N & ~scorable_N)
    if included is not None:
        lost = included[~scorable_N[included]]
        if len(lost):
            raise ValueError(
                f"subset.include: found {len(lost):,} rows without a loss or text: {row_numbers_text(lost)}: "
                "take them out of it"
            )
    if barred is not None and len(barred):
        scorable_N = scorable_N.copy()
        scorable_N[barred] = False
    if not scorable_N.any():
        raise ValueError(
            "no row is selectable: subset.exclude, subset.drop, subset.decontaminate and data.validation "
            "leave out all rows that have a loss: give fewer of them"
        )
    # 32 bits, half the memory of numpy's own row numbers: a hundred million rows make that count.
    if scorable_N.all():
        rows = np.arange(len(pool), dtype=np.int32)
        source_codes_n = pool.source_codes
    else:
        rows = np.flatnonzero(scorable_N).astype(np.int32)
        source_codes_n = pool.source_codes[rows]
    candidates = Candidates(
        rows=rows,
        source_codes_n=source_codes_n,
        source_names=pool.source_names,
        num_examples=len(pool),
        trajectories=trajectories,
        unscorable=unscorable,
        included=np.empty(0, np.int64) if included is None else included,
    )
    return candidates, remarks


def is_in(ascending: np.ndarray, number_m: np.ndarray) -> np.ndarray:
    """bool (m,): whether each number is one of these."""
    if not len(ascending):
        return np.zeros(len(number_m), bool)
    place_m = np.minimum(np.searchsorted(ascending, number_m), len(ascending) - 1)
    return ascending[place_m] == number_m


def _refuse_another_pool(pool: Rows, trajectories: Trajectories) -> None:
    if trajectories.num_examples != len(pool):
        if len(trajectories.columns) == len(pool):
            raise ValueError(
                f"{trajectories.origin}: found {trajectories.num_examples} rows and {len(pool)} columns, "
                f"expected one row for each of the {len(pool)} examples and one column for each checkpoint: "
                "transpose it"
            )
        raise ValueError(
            f"{trajectories.origin} holds losses of {trajectories.num_examples} examples, but the pool "
            f"{pool.name} has {len(pool)} rows: select from the pool that was scored (data.path, data.split, "
            "data.limit)"
        )
    manifest = trajectories.manifest
    if manifest is not None and not manifest.is_of(pool):
        why = why_another_pool(manifest.data, pool_record(pool.data))
        raise ValueError(
            f"{trajectories.origin} was made from another pool than {pool.name}: "
            f"found fingerprint {manifest.pool[:12]}..., expected {pool.fingerprint[:12]}... ({why}). "
            "Select from the pool that was scored, or score this one"
        )
