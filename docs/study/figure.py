"""The study's figures: differences from random_per_source with their intervals."""

from pathlib import Path

from docs.study.results import AVERAGES, CONTROLS, Result


def draw(result: Result, path: Path) -> None:
    """A dot for each arm and average, with its interval: what it differs from random_per_source."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"svg.hashsalt": "s2l", "svg.fonttype": "none"})  # the same small file each time
    labels = [label for label in result.arms if label != CONTROLS[0]]
    figure, axes = pyplot.subplots(figsize=(7, 0.9 + 0.28 * len(labels)), layout="constrained")
    for offset, marker, (measure, words) in zip((-0.14, 0.14), "os", AVERAGES.items(), strict=True):
        found = [result.difference(measure, label, CONTROLS[0]) for label in labels]
        points = [(place, one) for place, one in enumerate(found) if one is not None]
        axes.errorbar(
            [one.mean for _, one in points],
            [place + offset for place, _ in points],
            xerr=[[one.mean - one.low for _, one in points], [one.high - one.mean for _, one in points]],
            fmt=marker,
            markersize=4,
            linewidth=1,
            label=words,
        )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("held-out loss minus that of random_per_source, nats (left: better)")
    axes.legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
