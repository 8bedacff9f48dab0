"""Why one row is in a subset or not.

Told are its place in its cluster's order, the quotas of its source and cluster, its losses beside the
cluster's, and its nearest neighbours. All facts are read from the subset on disk, the pool and the
trajectories. Nothing is chosen again.

Legend: n candidates, m members of a cluster, T checkpoints.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import faiss
import numpy as np

from ...artifacts.subsets import REASONS, NotSelectable
from ...config.schema import RunConfig, SubsetConfig
from ...data.formats import Example
from ..candidates import Candidates, is_in
from ..methods.kmeans import reproducible_faiss
from ..methods.pick import pick_keys
from ..methods.random_order import turn_in_key_order
from ..methods.table import METHODS
from ..reasons import reasons_of
from ..reopen import SubsetWithCandidates, open_subset

NUM_NEIGHBOURS = 8
BAND = (0.1, 0.9)  # quantiles of the losses of a group
_ROWS_AT_ONCE = 2**20

Reason = Literal[
    NotSelectable,
    "response cut off",
    "required",
    "pruned",
    "score of the method",
    "limits of sources",
    "whole group",
    "small cluster",
    "order of the group",
]


@dataclass(frozen=True)
class Group:
    """The rows that a row competes with.

    Attributes:
        kind: what they have in common.
        name: the cluster's number, or the source. Empty for the pool.
    """

    kind: Literal["cluster", "source", "pool"]
    name: str = ""


@dataclass(frozen=True)
class Standing:
    """Where a candidate stands among the rows it competes with.

    Attributes:
        group: these rows.
        members: integers (m,), their ascending row numbers, the row itself among them.
        taken: how many of them are in the subset: those with the lowest places.
        place: the row's, counted from 1, in the order in which the members are taken.
    """

    group: Group
    members: np.ndarray
    taken: int
    place: int


@dataclass(frozen=True)
class Quotas:
    """How much was taken.

    Attributes:
        chosen: rows of the subset.
        selectable: rows that it was chosen from.
        chosen_of_source: rows of the subset from the row's source.
        selectable_of_source: rows that these were chosen from.
    """

    chosen: int
    selectable: int
    chosen_of_source: int
    selectable_of_source: int


@dataclass(frozen=True)
class GroupLosses:
    """The losses of a group: the ends of its band (the quantiles `BAND`) and the mean.

    Attributes:
        low_T: the lower end at each checkpoint.
        mean_T: the mean.
        high_T: the upper end.
    """

    low_T: np.ndarray
    mean_T: np.ndarray
    high_T: np.ndarray


@dataclass(frozen=True)
class Neighbour:
    """A row with a trajectory like the explained one's.

    Attributes:
        row: its number.
        distance: Euclidean, in nats.
        is_chosen: whether it is in the subset.
        cluster: its number, None where it is not clustered.
        losses_T: at each checkpoint.
        topic: of its text, in a line. Empty where the pool has no texts.
    """

    row: int
    distance: float
    is_chosen: bool
    cluster: int | None
    losses_T: np.ndarray
    topic: str


@dataclass(frozen=True)
class Losses:
    """The trajectory of the explained row.

    Attributes:
        checkpoints: their short names.
        losses_T: at each of them.
        group: of the rows that it competes with, None where it is not selectable.
        neighbours: the row itself, then the rows nearest to it. Empty where it is not selectable.
        max_length: in tokens, that the row was scored with. None of losses that were made elsewhere.
    """

    checkpoints: list[str]
    losses_T: np.ndarray
    group: GroupLosses | None
    neighbours: list[Neighbour]
    max_length: int | None = None


@dataclass(frozen=True)
class Explanation:
    """All there is to say of one row and a subset.

    Attributes:
        row: its number.
        is_chosen: whether it is in the subset.
        folder: of the subset.
        origin: where the row comes from.
        source: of the row, empty without.
        example: its text, None where the pool has none.
        settings: of the subset.
        reason: why it was chosen or not.
        standing: among the rows it competes with, None where it is not selectable.
        quotas: None where it is not selectable.
        losses: None where no trajectories are given.
    """

    row: int
    is_chosen: bool
    folder: Path
    origin: str
    source: str
    example: Example | None
    settings: SubsetConfig
    reason: Reason
    standing: Standing | None
    quotas: Quotas | None
    losses: Losses | None


def explain_row(config: RunConfig, row: int) -> Explanation:
    """Read the subset of a run, and explain one row of its pool.

    Raises:
        FileNotFoundError: there is no subset yet.
        ValueError: the pool does not have the row.
    """
    made = open_subset(config)
    if not 0 <= row < len(made.pool):
        raise ValueError(
            f"--explain: found row {row}, expected 0 to {len(made.pool) - 1} "
            f"(rows of {made.pool.name}, from 0)"
        )
    return explanation(row, made, config.subset_section, config.seed)


def explanation(row: int, made: SubsetWithCandidates, settings: SubsetConfig, seed: int) -> Explanation:
    pool = made.pool
    standing = None
    if row in made.candidates.rows:
        standing = standing_of(row, made, settings, seed)
    return Explanation(
        row=row,
        is_chosen=row in made.indices,
        folder=made.folder,
        origin=pool.origin_of(row),
        source=pool.source_names[pool.source_codes[row]],
        example=pool[row] if pool.has_texts else None,
        settings=settings,
        reason=_why_not_selectable(row, made)
        if standing is None
        else reason_of(row, made, settings, standing),
        standing=standing,
        quotas=None if standing is None else _quotas(row, made),
        losses=None if made.candidates.trajectories is None else _losses(row, made, standing),
    )


def standing_of(row: int, made: SubsetWithCandidates, settings: SubsetConfig, seed: int) -> Standing:
    """The rows that this one competes with, and how it stands among them.

    Args:
        row: its number, a selectable one.
        settings: of the subset.
    """
    candidates = made.candidates
    position = int(np.searchsorted(candidates.rows, row))
    source = candidates.source_codes_n[position]
    cluster = int(made.clusters_N[row])
    if cluster >= 0:
        group = Group("cluster", str(cluster))
        is_member_n = made.clusters_N[candidates.rows] == cluster
    elif METHODS[settings.method].by_source:  # rows that are not clustered compete there
        group = Group("source", candidates.source_names[source])
        is_member_n = candidates.source_codes_n == source
    else:
        group = Group("pool")
        is_member_n = np.ones(len(candidates.rows), bool)
    position_m = np.flatnonzero(is_member_n)
    place = int(np.searchsorted(position_m, position))
    key_n = pick_keys(candidates, settings, seed) if cluster >= 0 else candidates.random_keys(seed)
    members = candidates.rows[position_m]
    return Standing(
        group=group,
        members=members,
        taken=int(np.count_nonzero(is_in(members, made.indices))),
        place=1 + turn_in_key_order(place, position_m, key_n),
    )


def reason_of(row: int, made: SubsetWithCandidates, settings: SubsetConfig, standing: Standing) -> Reason:
    """Why a selectable row is in or not: the order of its group, unless a rule before it overrules."""
    is_cluster = standing.group.kind == "cluster"
    size = len(standing.members)
    if row in made.candidates.included:
        return "required"
    if settings.method == "prune_then_select" and not is_cluster:
        return "pruned"
    if not METHODS[settings.method].takes_at_random:
        return "score of the method"
    if (row in made.indices) != (standing.place <= standing.taken):
        return "limits of sources"
    if standing.taken == size:
        return "whole group"
    if standing.taken == 0 and is_cluster and size < settings.min_cluster_size:
        return "small cluster"
    return "order of the group"


def _why_not_selectable(row: int, made: SubsetWithCandidates) -> Reason:
    reason = REASONS[reasons_of(made.pool, made.candidates, made.listed)[row]]
    trajectories = made.candidates.trajectories
    if reason == "no loss" and trajectories is not None and trajectories.manifest is not None:
        losses_1T = trajectories.rows(np.array([row]))
        if np.isnan(losses_1T).all():  # our scorer has a loss wherever it has a response token
            return "response cut off"
    return cast(Reason, reason)


def _quotas(row: int, made: SubsetWithCandidates) -> Quotas:
    candidates = made.candidates
    of_source = made.pool.source_codes[row]
    return Quotas(
        chosen=len(made.indices),
        selectable=len(candidates.rows),
        chosen_of_source=int(np.count_nonzero(made.pool.source_codes[made.indices] == of_source)),
        selectable_of_source=int(np.count_nonzero(candidates.source_codes_n == of_source)),
    )


def _losses(row: int, made: SubsetWithCandidates, standing: Standing | None) -> Losses:
    candidates = made.candidates
    names = candidates.needed_trajectories.checkpoint_names
    losses_T = candidates.losses(np.array([row]))[0]
    manifest = candidates.needed_trajectories.manifest
    max_length = None if manifest is None else manifest.max_length
    if standing is None:
        return Losses(names, losses_T, group=None, neighbours=[], max_length=max_length)
    losses_mT = candidates.losses(standing.members)
    low_T, high_T = np.quantile(losses_mT, BAND, axis=0)
    group = GroupLosses(low_T, losses_mT.mean(axis=0, dtype=np.float64), high_T)
    return Losses(names, losses_T, group, _neighbours(row, made), max_length)


def _neighbours(row: int, made: SubsetWithCandidates) -> list[Neighbour]:
    """The row itself, and the nearest rows."""
    pool = made.pool
    others, distances = nearest_rows(made.candidates, row)
    rows = np.append(row, others)
    neighbours = []
    for other, distance, losses_T in zip(
        rows.tolist(), [0.0, *distances.tolist()], made.candidates.losses(rows), strict=True
    ):
        cluster = int(made.clusters_N[other])
        neighbours.append(
            Neighbour(
                row=other,
                distance=distance,
                is_chosen=other in made.indices,
                cluster=cluster if cluster >= 0 else None,
                losses_T=losses_T,
                topic=pool[other].topic,
            )
        )
    return neighbours


def nearest_rows(
    candidates: Candidates, row: int, count: int = NUM_NEIGHBOURS
) -> tuple[np.ndarray, np.ndarray]:
    """The candidates with the trajectories most like this row's, itself left out. They are read in pieces.

    Returns:
        Row numbers and Euclidean distances (nats), nearest first, ties by lowest row.
    """
    query_1T = candidates.losses(np.array([row]))
    rows = np.empty(0, np.int64)
    distances = np.empty(0, np.float32)
    with reproducible_faiss():
        for start in range(0, len(candidates.rows), _ROWS_AT_ONCE):
            rows_m = candidates.rows[start : start + _ROWS_AT_ONCE]
            losses_mT = candidates.read_losses(slice(start, start + _ROWS_AT_ONCE))
            # One more than is wanted, for the row itself is among its neighbours.
            squares_1k, places_1k = faiss.knn(query_1T, losses_mT, min(count + 1, len(rows_m)))
            rows = np.append(rows, rows_m[places_1k[0]])
            distances = np.append(distances, np.sqrt(squares_1k[0]))
            others = rows != row
            rows = rows[others]
            distances = distances[others]
            nearest = np.lexsort((rows, distances))[:count]
            rows = rows[nearest]
            distances = distances[nearest]
    return rows, distances
