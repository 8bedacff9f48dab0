"""The study's figures: differences from random_per_source with their intervals."""

import statistics
from pathlib import Path

from docs.study.results import CONTROLS, Result

_EDGE = 5  # times the median difference: what lies beyond is an arrow


def draw(result: Result, path: Path) -> None:
    """A dot for each arm and average, with its interval: what it differs from random_per_source.

    Arms far beyond the others are an arrow at the edge with their number, else the others were one line.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"svg.hashsalt": "s2l", "svg.fonttype": "none"})  # the same small file each time
    labels = [label for label in result.arms if label != CONTROLS[0]]
    figure, axes = pyplot.subplots(figsize=(7, 0.9 + 0.28 * len(labels)), layout="constrained")
    found = {measure: [result.difference(measure, label, CONTROLS[0]) for label in labels]
             for measure in result.averages}  # fmt: skip
    sizes = [abs(one.mean) for of_measure in found.values() for one in of_measure if one is not None]
    edge = _EDGE * statistics.median(sizes) if sizes else 0
    styles = ((-0.17, "o", "C0"), (0.17, "s", "C1"))
    for (offset, marker, colour), (measure, words) in zip(styles, result.averages.items(), strict=False):
        there = [(place, one) for place, one in enumerate(found[measure]) if one is not None]
        points = [(place, one) for place, one in there if abs(one.mean) <= edge]
        for place, one in there:
            if abs(one.mean) > edge:
                side = 1 if one.mean > 0 else -1
                axes.annotate(
                    f"{one.mean:+.2f}",
                    xy=(side * edge, place + offset),
                    xytext=(-side * 24, 0),
                    textcoords="offset points",
                    arrowprops={"arrowstyle": "->", "color": colour},
                    annotation_clip=False,
                    va="center",
                    ha="right" if side > 0 else "left",
                    fontsize=7,
                )
        axes.errorbar(
            [one.mean for _, one in points],
            [place + offset for place, _ in points],
            xerr=[[one.mean - one.low for _, one in points], [one.high - one.mean for _, one in points]],
            fmt=marker,
            color=colour,
            markersize=4,
            linewidth=1,
            label=words,
        )
    axes.axvline(0, color="black", linewidth=0.8)
    if max(sizes, default=0) > edge:
        axes.set_xlim(-edge, edge)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("held-out loss minus that of random_per_source, nats (left: better)")
    axes.legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
