"""Why one row is in a subset or not. Shown are its text, its place in its cluster's order, its trajectory beside the
cluster's, the quotas of its source and cluster, and its nearest neighbours.

All facts are read from the subset on disk, the pool and the trajectories; nothing is chosen again.

Legend: N examples of the pool, n candidates, m members of a cluster, T checkpoints.
"""

from dataclasses import dataclass

import faiss
import numpy as np

from ...config.schema import RunConfig, SubsetConfig
from ...data.formats import Example
from ...data.numbered_rows import NumberedRows
from ...data.pool import Pool
from ...terminal import WIDTH, labelled, one_line, unbroken
from ..candidates import Candidates
from ..drawing import band_line, checkpoint_names, sparkline, spread_evenly
from ..methods.kmeans import reproducible_faiss
from ..methods.random_order import in_random_order
from ..methods.table import METHODS
from ..resolve import ExistingSubset, open_subset

NUM_NEIGHBOURS = 8
_BAND = (0.1, 0.9)  # quantiles of the cluster's losses
_ROWS_AT_ONCE = 2**20
_NUM_SHOWN_CHECKPOINTS = 24
_NUM_TEXT_LINES = 8
_PLOT_WIDTH = 54


@dataclass(frozen=True)
class Standing:
    """Where a candidate stands among the rows it competes with.

    Attributes:
        group: for people: "cluster 12", "source x" or "the pool".
        is_cluster: whether it is a cluster.
        members: integers (m,), ascending row numbers, the row itself among them.
        taken: how many of them are in the subset: those with the lowest places.
        place: the row's, counted from 1, in the seeded random order of the members.
    """

    group: str
    is_cluster: bool
    members: np.ndarray
    taken: int
    place: int


def standing_of(
    row: int, candidates: Candidates, clusters_N: np.ndarray, indices: np.ndarray, by_source: bool, seed: int
) -> Standing:
    """Args: clusters_N, indices: the subset on disk; by_source: whether rows that are not clustered compete in sources."""
    position = int(np.searchsorted(candidates.rows, row))
    source = candidates.source_codes_n[position]
    is_cluster = bool(clusters_N[row] >= 0)
    if is_cluster:
        group, is_member_n = f"cluster {clusters_N[row]}", clusters_N[candidates.rows] == clusters_N[row]
    elif by_source:
        group, is_member_n = f"source {candidates.source_names[source]}", candidates.source_codes_n == source
    else:
        group, is_member_n = "the pool", np.ones(len(candidates.rows), bool)
    ordered_m = in_random_order(np.flatnonzero(is_member_n), candidates.random_keys(seed))
    place = 1 + int(np.flatnonzero(ordered_m == position)[0])
    members = candidates.rows[is_member_n]
    return Standing(
        group, is_cluster, members, len(np.intersect1d(members, indices, assume_unique=True)), place
    )


def nearest_rows(
    candidates: Candidates, row: int, count: int = NUM_NEIGHBOURS
) -> tuple[np.ndarray, np.ndarray]:
    """The candidates with the trajectories most like this row's, itself left out: row numbers and Euclidean distances
    (nats), nearest first, ties by lowest row. The trajectories are read in pieces."""
    query_1T = candidates.losses(np.array([row]))
    rows, distances = np.empty(0, np.int64), np.empty(0, np.float32)
    with reproducible_faiss():
        for start in range(0, len(candidates.rows), _ROWS_AT_ONCE):
            rows_m = candidates.rows[start : start + _ROWS_AT_ONCE]
            losses_mT = candidates.read_losses(slice(start, start + _ROWS_AT_ONCE))
            squares_1k, places_1k = faiss.knn(query_1T, losses_mT, min(count + 1, len(rows_m)))
            rows = np.append(rows, rows_m[places_1k[0]])
            distances = np.append(distances, np.sqrt(squares_1k[0]))
            others = rows != row
            rows, distances = rows[others], distances[others]
            nearest = np.lexsort((rows, distances))[:count]
            rows, distances = rows[nearest], distances[nearest]
    return rows, distances


def trajectory_plot(
    candidates: Candidates, row: int, members: np.ndarray, step_names: list[str]
) -> list[str]:
    """The row's loss at each checkpoint beside the mean and the 10-90 % band of `members`, as numbers and as a plot."""
    losses_T = candidates.losses(np.array([row]))[0]
    losses_mT = candidates.losses(members)
    low_T, high_T = np.quantile(losses_mT, _BAND, axis=0)
    mean_T = losses_mT.mean(axis=0, dtype=np.float64)
    every_loss = np.concatenate([losses_T, low_T, high_T])
    lowest, highest = float(np.nanmin(every_loss)), float(np.nanmax(every_loss))
    scale = f"{lowest:.2f}".ljust(_PLOT_WIDTH - 5) + f"{highest:5.2f}"
    lines = [f"{'step':>10}{'row':>8}{'mean':>8}{'10-90 % band':>16}    {scale}"]
    for column in spread_evenly(len(losses_T), _NUM_SHOWN_CHECKPOINTS):
        band = f"{low_T[column]:.2f} - {high_T[column]:.2f}"
        plot = band_line(
            losses_T[column], low_T[column], mean_T[column], high_T[column], lowest, highest, _PLOT_WIDTH
        )
        lines.append(
            f"{step_names[column]:>10}{losses_T[column]:>8.3f}{mean_T[column]:>8.3f}{band:>16}    {plot}".rstrip()
        )
    return [*lines, f"{'':<46}o this row   | mean   ... band   @ row at the mean"]


def neighbour_table(
    candidates: Candidates, pool: Pool | NumberedRows, row: int, clusters_N: np.ndarray, chosen: np.ndarray
) -> list[str]:
    """The nearest rows, one a line. Args: chosen: ascending row numbers of the subset."""
    rows, distances = nearest_rows(candidates, row)
    if not len(rows):
        return ["  no other row has a trajectory"]
    shown = spread_evenly(candidates.losses(rows[:1]).shape[1], 16)
    losses_kT = candidates.losses(np.append(row, rows))[:, shown]
    lowest, highest = float(losses_kT.min()), float(losses_kT.max())
    lines = [
        f"{'row':>12}{'distance':>10}  {'subset':<8}{'cluster':>9}  {'losses':<{max(len(shown), 6)}}  text"
    ]
    for other, distance, losses_T in zip(
        [row, *rows.tolist()], [0.0, *distances.tolist()], losses_kT, strict=True
    ):
        cluster = str(clusters_N[other]) if clusters_N[other] >= 0 else "-"
        line = (
            f"{other:>12}{distance:>10.4f}  {'chosen' if _contains(chosen, other) else '-':<8}{cluster:>9}  "
            f"{sparkline(losses_T, lowest, highest):<6}  "
        )
        text = pool[other].instruction if isinstance(pool, Pool) else ""
        lines.append((line + one_line(text, WIDTH - len(line))).rstrip())
    return lines


def _contains(ascending: np.ndarray, row: int) -> bool:
    place = np.searchsorted(ascending, row)
    return bool(place < len(ascending) and ascending[place] == row)


def explain_row(config: RunConfig, row: int) -> str:
    """All there is to say of one row and the subset of a run.

    Raises: ValueError for a row that the pool does not have; FileNotFoundError where there is no subset yet.
    """
    made = open_subset(config)
    if not 0 <= row < len(made.pool):
        raise ValueError(
            f"--explain: found row {row}, expected 0 to {len(made.pool) - 1} (rows of {made.pool.name}, from 0)"
        )
    return explanation(row, made, config.subset_section, config.seed)


def explanation(row: int, made: ExistingSubset, subset: SubsetConfig, seed: int) -> str:
    pool, candidates, clusters_N, indices = made.pool, made.candidates, made.clusters_N, made.indices
    chosen = _contains(indices, row)
    lines = [f"row {row} is {'IN' if chosen else 'NOT in'} the subset {made.folder}", ""]
    lines += labelled("pool", unbroken(pool.name))
    lines += labelled("source", pool.source_names[pool.source_codes[row]] or "(none)")
    if isinstance(pool, Pool):
        lines += _texts(pool[row])
    lines.append("")
    standing = None
    if _contains(candidates.rows, row):
        by_source = METHODS[subset.method].by_source
        standing = standing_of(row, candidates, clusters_N, indices, by_source, seed)
        lines += _why(row, chosen, standing, candidates, subset, indices)
    else:
        lines += labelled("why", f"it is not selectable: {_why_not_selectable(row, made)}")
    if candidates.trajectories is None:
        return "\n".join([*lines, "", "  no trajectories are given: nothing to draw, no neighbours"])
    names = checkpoint_names(candidates.trajectories)
    lines += ["", *_losses(row, candidates, standing, names)]
    if standing is not None:
        lines += [
            "",
            f"nearest trajectories of all sources, after its own (Euclidean distance over {len(names)} checkpoints)",
        ]
        lines += neighbour_table(candidates, pool, row, clusters_N, indices)
    return "\n".join(lines)


def _texts(example: Example) -> list[str]:
    lines = labelled("instruction", example.instruction, max_lines=_NUM_TEXT_LINES)
    if example.input:
        lines += labelled("input", example.input, max_lines=_NUM_TEXT_LINES)
    return lines + labelled("response", example.response, max_lines=_NUM_TEXT_LINES)


def _why_not_selectable(row: int, made: ExistingSubset) -> str:
    if made.pool.excluded[row]:
        return "it has no instruction or no response (data.invalid_rows: drop)"
    if row in {hit["row"] for hit in made.listed.reports.get("contamination.json", ())}:
        return "it contains a benchmark question (subset.decontaminate)"
    if _contains(made.listed.barred, row):
        return "subset.exclude names it"
    if _contains(made.candidates.unscorable, row):
        return "it has no loss (NaN) at some checkpoint"
    return "an earlier row has the same response (subset.deduplicate)"


def _why(
    row: int,
    chosen: bool,
    standing: Standing,
    candidates: Candidates,
    subset: SubsetConfig,
    indices: np.ndarray,
) -> list[str]:
    size, taken, place = len(standing.members), standing.taken, standing.place
    if _contains(candidates.included, row):
        verdict = "it has to be in (subset.include, or subset.extend)"
    elif subset.method == "prune_then_select" and not standing.is_cluster:
        verdict = (
            f"its loss falls by less than {subset.min_slope:g} nats per checkpoint (subset.min_slope): pruned"
        )
    elif not METHODS[subset.method].takes_at_random:
        verdict = (
            f"method {subset.method} ranks rows by a score of its own and {'took' if chosen else 'left'} it"
        )
    elif chosen != (place <= taken):
        verdict = (
            f"it is number {place:,} in the random order of {standing.group}, of which {taken:,} are taken, but not in "
            f"this order: each source has its limits (subset.min_per_source, subset.max_per_source)"
        )
    elif taken == size:
        verdict = f"{standing.group} is taken whole"
    elif taken == 0 and standing.is_cluster and size < subset.min_cluster_size:
        verdict = (
            f"{standing.group} has {size} rows, and clusters of fewer than {subset.min_cluster_size} get nothing until "
            "all others are spent (subset.min_cluster_size)"
        )
    else:
        verdict = f"it is number {place:,} in the random order of {standing.group}, of which the first {taken:,} are taken"
    source_code = candidates.source_codes_n[np.searchsorted(candidates.rows, row)]
    of_source = candidates.rows[candidates.source_codes_n == source_code]
    from_source = len(np.intersect1d(of_source, indices, assume_unique=True))
    return [
        *labelled("why", verdict),
        *labelled("quotas", f"budget: {len(indices):,} of {len(candidates.rows):,} selectable rows"),
        *labelled("", f"its source: {from_source:,} of {len(of_source):,}"),
        *(labelled("", f"{standing.group}: {taken:,} of {size:,}") if standing.is_cluster else []),
    ]


def _losses(
    row: int, candidates: Candidates, standing: Standing | None, column_names: list[str]
) -> list[str]:
    title = "loss (mean nats per response token) by checkpoint"
    if standing is not None:
        beside = f"{standing.group} ({len(standing.members):,} rows)"
        return [
            f"{title}, beside {beside}",
            *trajectory_plot(candidates, row, standing.members, column_names),
        ]
    losses_T = candidates.losses(np.array([row]))[0]
    return [
        title,
        *(f"{name:>20}{loss:>10.3f}" for name, loss in zip(column_names, losses_T.tolist(), strict=True)),
    ]
