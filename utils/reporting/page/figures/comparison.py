"""The figures of a comparison (values, differences, costs of its arms) and its tables"""

import statistics
from collections.abc import Sequence

from ....artifacts.comparisons import SHOWN_IF, ArmValue, Comparison, Difference
from ....artifacts.evaluations import HELDOUT
from ..charts import BEYOND, LOSS, Chart, Series, interval_text, number, range_around_most
from ..facts import ComparisonFacts
from ..labels import lines_of
from ..tiles import measure_name

_IN_THE_TABLE_ALONE = ("loss", "accuracy_average", "accuracy_strict_average")  # beside what says more


def value_charts(facts: ComparisonFacts) -> list[Chart]:
    """A dot plot of each measure: every arm with its intervals."""
    comparison = facts.comparison
    by_measure: dict[tuple[str, str], list[ArmValue]] = {}
    for value in comparison.arm_values:
        by_measure.setdefault((value.question_set, value.measure), []).append(value)
    charts = []
    for (question_set, measure), values in by_measure.items():
        if measure in _IN_THE_TABLE_ALONE and not _is_metric(comparison, question_set, measure):
            continue
        names = [comparison.arm(value.arm).title for value in values]
        series = _points(values, names, comparison.confidence, bare="one run")
        title = measure_name(comparison, [question_set], measure)
        x_range, beyond = range_around_most(series)
        table = [
            [name, number(value.mean), interval_text(value.over_runs), interval_text(value.over_questions)]
            for name, value in zip(names, values, strict=True)
        ]
        charts.append(
            Chart(
                f"values_{question_set}_{measure}{facts.key_end}",
                title[0].upper() + title[1:],
                "Mean over the runs of each arm." + (BEYOND if beyond else ""),
                unit_of(measure),
                "",
                series,
                names_on_y=True,
                heading=["arm", "mean", "over runs", "over questions"],
                table=table,
                height=_height_of(names),
                x_range=x_range,
                beyond=beyond,
            )
        )
    return charts


def difference_charts(facts: ComparisonFacts) -> list[Chart]:
    """The first arm minus each other one, with intervals, beside a line at 0: a figure for each unit."""
    by_unit: dict[str, list[Difference]] = {}
    for each in facts.comparison.differences:
        by_unit.setdefault(unit_of(each.measure), []).append(each)
    return [_difference_chart(facts, unit, some) for unit, some in by_unit.items()]


def _difference_chart(facts: ComparisonFacts, unit: str, differences: Sequence[Difference]) -> Chart:
    comparison = facts.comparison
    words = [measure_name(comparison, each.question_sets, each.measure) for each in differences]
    names = [
        f"{comparison.arms[0].letter} − {each.arm}: {measured}"
        for each, measured in zip(differences, words, strict=True)
    ]
    series = _points(differences, names, comparison.confidence, bare="not tested")
    table = [
        [
            name,
            f"{each.mean:+.4f}",
            each.verdict,
            interval_text(each.over_runs),
            interval_text(each.over_questions),
        ]
        for name, each in zip(names, differences, strict=True)
    ]
    x_range, beyond = range_around_most(series, 0.0)
    name = unit.removesuffix(LOSS.removeprefix("loss"))
    lower = " Left of 0 the first arm has the lower loss." if unit == LOSS else ""
    note = f"{SHOWN_IF}{lower}"
    return Chart(
        f"differences_{name.replace(' ', '_')}{facts.key_end}",
        f"{comparison.arms[0].title} minus each other arm: {name}",
        note + (BEYOND if beyond else ""),
        f"difference{unit.removeprefix(name)}",
        "",
        series,
        names_on_y=True,
        heading=["difference", "mean", "verdict", "over runs", "over questions"],
        table=table,
        height=_height_of(names),
        x_range=x_range,
        beyond=beyond,
    )


def _height_of(names: Sequence[str]) -> int:
    """Pixels that leave room for every line of the names."""
    num_lines = max((len(lines_of(name)) for name in names), default=1)
    return 120 + max(42, 8 + 16 * num_lines) * len(names)


def _points(
    values: Sequence[ArmValue | Difference], names: Sequence[str], confidence: float, bare: str
) -> list[Series]:
    """Every value: a series for each kind of interval, and one for the values without any.

    Args:
        bare: the name of the last.
    """
    series = []
    kinds = {"over runs (other seeds)": "over_runs", "over questions": "over_questions"}
    for look, (words, attribute) in enumerate(kinds.items()):
        some = [place for place, value in enumerate(values) if getattr(value, attribute) is not None]
        if some:
            intervals = [getattr(values[place], attribute) for place in some]
            series.append(
                Series(
                    f"{confidence:.0%} interval {words}",
                    [values[place].mean for place in some],
                    [names[place] for place in some],
                    "points",
                    [low for low, _ in intervals],
                    [high for _, high in intervals],
                    look,
                )
            )
    alone = [
        place for place, each in enumerate(values) if each.over_runs is None and each.over_questions is None
    ]
    if alone:
        means = [values[place].mean for place in alone]
        series.append(Series(bare, means, [names[place] for place in alone], "points", look=None))
    return series


def cost_chart(facts: ComparisonFacts) -> Chart | None:
    """What each arm cost, stage by stage, beside training on everything."""
    comparison = facts.comparison
    unit = next(
        (
            unit
            for unit in ("operations", "device_seconds")
            if any(getattr(cost.total, unit) is not None for cost in comparison.costs)
        ),
        None,
    )
    if unit is None:
        return None
    words = {"operations": "floating-point operations", "device_seconds": "device-seconds"}[unit]
    names: list[str] = []
    rows: list[dict[str, float]] = []
    for cost in comparison.costs:
        names.append(comparison.arm(cost.arm).title)
        rows.append(
            {
                stage: value
                for stage, each in cost.stages.items()
                if (value := getattr(each, unit)) is not None
            }
        )
    totals = [getattr(cost.total, unit) for cost in comparison.costs]
    # Where an arm trained on everything its cost stands there; else what it would be, once for all alike.
    reckoned: dict[float, list[str]] = {}
    if all(arm.method != "whole pool" for arm in comparison.arms):
        for cost in comparison.costs:
            everything = None if cost.everything is None else getattr(cost.everything, unit)
            if everything is not None:
                reckoned.setdefault(everything, []).append(cost.arm)
    for everything, letters in reckoned.items():
        names.append(f"{', '.join(letters)} on everything, reckoned")
        rows.append({"target": everything})
        totals.append(everything)
    stages = list(dict.fromkeys(stage for row in rows for stage in row))
    series = [
        Series(stage, [row.get(stage, 0.0) for row in rows], names, "bars", look=look)
        for look, stage in enumerate(stages)
    ]
    return Chart(
        f"costs{facts.key_end}",
        "What each arm cost",
        f"In {words}, stage by stage, means over the runs. Where a stage is not recorded there is no sum.",
        words,
        "",
        series,
        names_on_y=True,
        heading=["arm", *stages, "in all"],
        table=[
            [name, *(number(row.get(stage)) for stage in stages), number(total)]
            for name, row, total in zip(names, rows, totals, strict=True)
        ],
        height=130 + 32 * len(names),
        is_stacked=True,
    )


def all_values(facts: ComparisonFacts) -> Chart:
    """A table: every measure of each arm."""
    comparison = facts.comparison
    by_measure: dict[tuple[str, str], dict[str, ArmValue]] = {}
    for value in comparison.arm_values:
        by_measure.setdefault((value.question_set, value.measure), {})[value.arm] = value
    table = []
    for (question_set, measure), of_arms in by_measure.items():
        cells = [of_arms.get(arm.letter) for arm in comparison.arms]
        means = ["" if value is None else number(value.mean) for value in cells]
        table.append([measure_name(comparison, [question_set], measure), *means])
    heading = ["mean over the runs", *(arm.title for arm in comparison.arms)]
    return Chart("all_values", "All measures", "", "", "", [], heading=heading, table=table)


def losses_by_source(facts: ComparisonFacts) -> Chart:
    """A table: the held-out loss of each source in each arm."""
    comparison = facts.comparison
    table = []
    for measure in comparison.measures:
        if (measure.question_set, measure.name) == (HELDOUT, "loss") and measure.source is not None:
            values = [comparison.values(measure, arm) for arm in comparison.arms]
            means = ["" if each is None else number(statistics.mean(each)) for each in values]
            table.append([measure.source or "(no source)", *means])
    heading = ["mean over the runs", *(arm.title for arm in comparison.arms)]
    title = f"Held-out {LOSS}, by source"
    return Chart("losses_by_source", title, "", "", "", [], heading=heading, table=table)


def unit_of(measure: str) -> str:
    """What a measure counts: measures that are averaged or judged in other ways share an axis."""
    name = measure.removesuffix("_average").removesuffix("_as_pool").removesuffix("_strict")
    return LOSS if name == "loss" else name.replace("_", " ")


def _is_metric(comparison: Comparison, question_set: str, name: str) -> bool:
    return any(
        measure.is_metric and (measure.question_set, measure.name) == (question_set, name)
        for measure in comparison.measures
    )
