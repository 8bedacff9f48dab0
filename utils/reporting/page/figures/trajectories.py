"""The figures of loss trajectories: of a cluster, of a row, of many clusters, and what clusters gather

Legend: T checkpoints, K clusters.
"""

from collections.abc import Sequence

import numpy as np

from ..charts import CHECKPOINT, LOSS, Chart, Series, number, padded, rounded
from ..clusters import ClusterTable, members_of_clusters, shares_of_commonest
from ..facts import LossFacts, SubsetFacts

_NUM_LINES = 24  # trajectories of a figure
_NUM_POINTS = 300  # of a curve
_SEED = 0


def checkpoint_title(losses: LossFacts) -> str:
    """Of the axis: losses made elsewhere may be columns without steps."""
    return CHECKPOINT if all(name.isdigit() for name in losses.checkpoints) else "checkpoint"


def panel_chart(table: ClusterTable, losses: LossFacts) -> Chart:
    """The pattern of the small figure of each cluster, filled with the first."""
    places = list(range(len(losses.checkpoints)))
    band = Series(
        "", places, rounded(table.mean_KT[0]), "line", rounded(table.low_KT[0]), rounded(table.high_KT[0])
    )
    return Chart("panel", "", "", "", "", [band], x_marks=losses.checkpoints, height=150)


def members_chart(table: ClusterTable, losses: LossFacts) -> Chart:
    """The pattern of the figure of a cluster that was clicked: its band, some rows, chosen and not."""
    places = list(range(len(losses.checkpoints)))
    mean = rounded(table.mean_KT[0])
    series = [
        Series("not chosen", places, mean, look=None, is_thin=True),
        Series("chosen", places, mean, look=1, is_thin=True),
        Series(
            "mean, 10–90 % band", places, mean, "line", rounded(table.low_KT[0]), rounded(table.high_KT[0])
        ),
    ]
    return Chart("members", "", "", checkpoint_title(losses), LOSS, series, x_marks=losses.checkpoints)


def row_chart(losses: LossFacts, table: ClusterTable | None) -> Chart:
    """The pattern of the figure of a row: its trajectory over the band of its cluster."""
    places = list(range(len(losses.checkpoints)))
    zeros = [0.0] * len(places)
    series = [Series("this row", places, zeros, look=1)]
    if table is not None:
        series.insert(0, Series("its cluster, mean and 10–90 % band", places, zeros, "line", zeros, zeros))
    return Chart(
        "row", "", "", checkpoint_title(losses), LOSS, series, x_marks=losses.checkpoints, height=260
    )


def one_cluster_and_many(subset: SubsetFacts, table: ClusterTable, losses: LossFacts) -> list[Chart]:
    """The paper's figure: trajectories of one cluster are alike, those of different clusters are not."""
    draw = np.random.default_rng(_SEED)
    clusters_N = subset.clusters_N
    largest = int(table.numbers[0])
    members = np.flatnonzero(clusters_N == largest)
    of_one = np.sort(draw.choice(members, min(_NUM_LINES, len(members)), replace=False))
    places = np.unique(np.linspace(0, len(table.numbers) - 1, _NUM_LINES).round().astype(int))
    of_many = np.array([draw.choice(np.flatnonzero(clusters_N == each)) for each in table.numbers[places]])
    both_mT = _losses_of(np.concatenate([of_one, of_many]), losses)
    ends = padded(float(both_mT.min()), float(both_mT.max()))  # on one scale, or both would look alike
    return [
        _lines(
            "one_cluster",
            f"Rows of one cluster: {len(of_one)} of cluster {largest}",
            "Drawn at random from the largest cluster. Both figures have one scale.",
            of_one,
            losses,
            0,
            ends,
        ),
        _lines(
            "different_clusters",
            f"Rows of different clusters: one each of {len(of_many)}",
            "One row at random from each of some clusters, from the largest to the smallest.",
            of_many,
            losses,
            1,
            ends,
        ),
    ]


def _lines(
    key: str,
    title: str,
    note: str,
    rows: np.ndarray,
    losses: LossFacts,
    look: int,
    y_range: tuple[float, float],
) -> Chart:
    losses_mT = _losses_of(rows, losses)
    places = list(range(losses_mT.shape[1]))
    x: list[int | None] = []
    y: list[float | None] = []
    for losses_T in losses_mT:
        x += [*places, None]
        y += [*rounded(losses_T), None]
    heading = ["row", *losses.checkpoints]
    table = [
        [f"{row:,}", *map(number, rounded(losses_T))]
        for row, losses_T in zip(rows.tolist(), losses_mT, strict=True)
    ]
    series = [Series("", x, y, look=look, is_thin=True)]
    return Chart(
        key, title, note, checkpoint_title(losses), LOSS, series, heading=heading, table=table,
        x_marks=losses.checkpoints, links=[f"#row={row}" for row in rows], y_range=y_range,
    )  # fmt: skip


def _losses_of(rows: np.ndarray, losses: LossFacts) -> np.ndarray:
    """float32 (m, T)."""
    return np.stack([np.asarray(column_N[rows]) for column_N in losses.columns], axis=1)


def commonest_source(subsets: Sequence[SubsetFacts]) -> Chart | None:
    """The paper's figure: how far clusters gather one source, for each kind of clusters of the page."""
    series = []
    table = []
    for look, subset in enumerate(each for each in subsets if each.has_clusters):
        members = list(members_of_clusters(subset).values())
        sizes = np.array([sum(rows for _, rows, _ in entries) for entries in members])
        shares = np.sort(shares_of_commonest(members, sizes))[::-1]
        x = (np.arange(len(shares)) + 1) / len(shares)
        some = np.unique(np.linspace(0, len(shares) - 1, _NUM_POINTS).round().astype(int))
        name = f"{subset.name}, clusters of {subset.clusters_of}"
        series.append(Series(name, rounded(x[some]), rounded(shares[some]), "steps", look=look))
        table.append([name, f"{len(shares):,}", f"{shares.mean():.1%}", f"{float(np.median(shares)):.1%}"])
    if all(subset.per_source for subset in subsets if subset.has_clusters):
        return None  # every share is 1 by construction
    note = "Each cluster's rows of its commonest source, over all its rows. Clusters in falling order."
    return Chart(
        "commonest_source",
        "Share of the commonest source in each cluster",
        note,
        "share of the clusters",
        "share of the commonest source",
        series,
        heading=["clusters", "how many", "mean share", "median share"],
        table=table,
    )
