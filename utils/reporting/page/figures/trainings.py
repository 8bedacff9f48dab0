"""The figure of the training loss of each run"""

import statistics
from collections.abc import Sequence

from ..charts import LOSS, Chart, Series, number
from ..facts import TrainingCurve

_NUM_PIECES = 100  # of a curve


def training_curves(curves: Sequence[TrainingCurve]) -> Chart | None:
    """The loss of each training, smoothed, an arm in one colour."""
    if not curves:
        return None
    looks = {arm: look for look, arm in enumerate(dict.fromkeys(curve.arm for curve in curves))}
    series = []
    named: set[str] = set()
    table = []
    for curve in curves:
        steps, losses = _smoothed(curve)
        if steps:
            name = "" if curve.arm in named else curve.arm
            named.add(curve.arm)
            series.append(Series(name, steps, losses, "line", look=looks[curve.arm]))
            table.append([curve.run, f"{curve.steps[-1]:,}", number(curve.losses[0]), number(losses[-1])])
    if not series:
        return None
    return Chart(
        "training_curves",
        "Training loss",
        f"Means of pieces of a training, at most {_NUM_PIECES} of each; runs of an arm look alike.",
        "optimizer step",
        LOSS,
        series,
        heading=["run", "steps", "loss of the first step", "mean of the last piece"],
        table=table,
    )


def _smoothed(curve: TrainingCurve) -> tuple[list[int], list[float]]:
    size = max(1, -(-len(curve.steps) // _NUM_PIECES))
    starts = range(0, len(curve.steps), size)
    steps = [curve.steps[start : start + size][-1] for start in starts]
    return steps, [statistics.mean(curve.losses[start : start + size]) for start in starts]
