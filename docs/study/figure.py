"""The study's figures: differences from random_per_source with their intervals."""

from docs.study.differences import PairedDifference
from docs.study.results import CONTROLS, Result
from utils.reporting.page.charts import BEYOND, Chart, Series, range_around_most


def has_chart(result: Result) -> bool:
    """Whether there are differences from random_per_source to draw."""
    return CONTROLS[0] in result.arms and len(result.arms) > 1 and len(result.experiment.seeds) > 1


def difference_chart(result: Result) -> Chart:
    """A dot for each arm and average, with its interval: what it differs from random_per_source."""
    control = CONTROLS[0]
    series = []
    for look, (measure, words) in enumerate(result.averages.items()):
        found: dict[str, PairedDifference] = {}
        for label in result.arms:
            difference = result.difference(measure, label, control)
            if difference is not None:
                found[label] = difference
        differences = found.values()
        series.append(
            Series(
                words,
                [each.mean for each in differences],
                list(found),
                "points",
                [each.low for each in differences],
                [each.high for each in differences],
                look,
            )
        )
    x_range, beyond = range_around_most(series, 0.0)
    return Chart(
        result.name,
        f"Held-out loss minus that of {control}",
        f"Left of 0 an arm is better.{BEYOND if beyond else ''}",
        f"held-out loss minus that of {control}, nats (left: better)",
        "",
        series,
        names_on_y=True,
        height=100 + 34 * max(len(each.y) for each in series),
        x_range=x_range,
        beyond=beyond,
    )
