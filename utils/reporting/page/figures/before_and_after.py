"""The figures that set the pool beside each subset: sources, lengths, losses"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..charts import LOSS, Chart, Series, rounded
from ..facts import LossFacts, SubsetFacts
from ..histograms import Histogram, histogram
from ..labels import lines_of

_NUM_SOURCES = 20


def source_mix(subsets: Sequence[SubsetFacts]) -> Chart | None:
    """Shares of the sources in the pool and in each subset."""
    if not subsets:
        return None
    sources = subsets[0].composition["sources"]
    names = sorted(sources, key=lambda name: (-sources[name]["pool_rows"], name))
    shown, others = names[:_NUM_SOURCES], names[_NUM_SOURCES:]
    labels = list(shown)
    if others:
        labels.append(f"{len(others):,} other sources")

    def shares(subset: SubsetFacts, entry: str) -> list[float]:
        of = subset.composition["sources"]
        values = [float(of[name][entry]) if name in of else 0.0 for name in shown]
        return [*values, sum(float(of[name][entry]) for name in others if name in of)] if others else values

    pool = shares(subsets[0], "share_of_pool")
    series = [Series("pool", pool, labels, "bars", look=None)]
    columns = [pool]
    for look, subset in enumerate(subsets):
        columns.append(shares(subset, "share_of_subset"))
        series.append(Series(subset.name, columns[-1], labels, "bars", look=look))
    table = [
        [label or "(no source)", *(f"{column[place]:.2%}" for column in columns)]
        for place, label in enumerate(labels)
    ]
    num_lines = max(len(lines_of(label)) for label in labels)
    return Chart(
        "source_mix",
        "Where the rows come from",
        "Share of each source, in the pool and in the subset.",
        "share of the rows",
        "",
        series,
        names_on_y=True,
        heading=["source", "pool", *(subset.name for subset in subsets)],
        table=table,
        height=max(260, 40 + len(labels) * max(10 + 12 * len(series), 8 + 14 * num_lines)),
    )


def before_and_after(losses: LossFacts, subsets: Sequence[SubsetFacts]) -> list[Chart]:
    """Lengths and losses in the pool and in each subset."""
    charts = []
    some = list(subsets)
    if losses.tokens_N is not None:
        charts.append(
            _histogram_chart(
                "response_length",
                "Response length",
                "tokens of the response",
                histogram(np.asarray(losses.tokens_N, np.float32), some, is_log=True),
                some,
                x_log=True,
            )
        )
    ends = {"first": losses.columns[0], "last": losses.columns[-1]}
    if len(losses.columns) == 1:
        del ends["first"]
    for name, column_N in ends.items():
        checkpoint = losses.checkpoints[0 if name == "first" else -1]
        charts.append(
            _histogram_chart(
                f"{name}_loss",
                f"Loss at the {name} checkpoint ({checkpoint})",
                LOSS,
                histogram(np.asarray(column_N), some),
                some,
            )
        )
    return charts


def _histogram_chart(
    key: str, title: str, x_title: str, bins: Histogram, subsets: Sequence[SubsetFacts], x_log: bool = False
) -> Chart:
    x = rounded(bins.edges)
    named = [("pool", bins.pool), *zip((subset.name for subset in subsets), bins.subsets, strict=True)]
    series = []
    for place, (name, shares) in enumerate(named):
        y = rounded(shares)
        series.append(Series(name, x, [*y, y[-1]], "steps", look=None if place == 0 else place - 1))
    table = [
        [f"{low:.3g} to {high:.3g}", *(f"{shares[place]:.2%}" for _, shares in named)]
        for place, (low, high) in enumerate(pairwise(x))
    ]
    note = "Share of the rows in each bin; the outer bins hold what lies beyond."
    heading = [x_title, *(name for name, _ in named)]
    return Chart(key, title, note, x_title, "share of the rows", series, x_log, heading=heading, table=table)
