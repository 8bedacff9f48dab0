"""The figure of a score at each budget"""

from collections.abc import Sequence

from ....artifacts.comparisons import ArmValue, Comparison
from ..charts import Chart, Series, interval_text, number
from ..facts import ComparisonFacts
from ..tiles import measure_name
from .comparison import unit_of


def score_against_budget(comparisons: Sequence[ComparisonFacts]) -> Chart | None:
    """The paper's figure: a score of each method at each budget, with intervals over runs."""
    points: dict[str, dict[int, ArmValue]] = {}
    measure = _main_measure([facts.comparison for facts in comparisons])
    if measure is None:
        return None
    whole: list[ArmValue] = []
    for facts in comparisons:
        for value in facts.comparison.arm_values:
            if (value.question_set, value.measure) != measure:
                continue
            arm = facts.comparison.arm(value.arm)
            if arm.method == "whole pool":
                whole = [value]
            elif arm.num_examples:
                points.setdefault(arm.label, {})[arm.num_examples] = value
    if max((len(of_arm) for of_arm in points.values()), default=0) < 2:
        return None
    series = []
    table = []
    for look, (label, of_arm) in enumerate(points.items()):
        budgets = sorted(of_arm)
        values = [of_arm[budget] for budget in budgets]
        known = all(value.over_runs is not None for value in values)
        intervals = [value.over_runs or (value.mean, value.mean) for value in values]
        low = [each[0] for each in intervals] if known else None
        high = [each[1] for each in intervals] if known else None
        series.append(Series(label, budgets, [value.mean for value in values], "line", low, high, look))
        table += [
            [label, f"{budget:,}", number(value.mean), interval_text(value.over_runs)]
            for budget, value in zip(budgets, values, strict=True)
        ]
    if whole:
        ends = [min(budget for each in points.values() for budget in each),
                max(budget for each in points.values() for budget in each)]  # fmt: skip
        series.append(Series("whole pool", ends, [whole[0].mean] * 2, "line", look=None))
        table.append(["whole pool", "all", number(whole[0].mean), interval_text(whole[0].over_runs)])
    title = measure_name(comparisons[0].comparison, [measure[0]], measure[1])
    return Chart(
        "score_against_budget",
        f"{title[0].upper()}{title[1:]}, by budget",
        "Mean over the runs of an arm; bands are intervals over runs.",
        "rows of the subset",
        unit_of(measure[1]),
        series,
        heading=["arm", "rows", "mean", "over runs"],
        table=table,
    )


def _main_measure(comparisons: Sequence[Comparison]) -> tuple[str, str] | None:
    """The set and measure that every comparison has: an accuracy if one tells arms apart."""
    measured = [
        dict.fromkeys((value.question_set, value.measure) for value in comparison.arm_values)
        for comparison in comparisons
    ]
    of_all = [each for each in measured[0] if all(each in others for others in measured)] if measured else []
    for name in ("accuracy_strict", "accuracy", "loss_average"):
        for question_set, measure in of_all:
            if measure == name and _tells_apart(comparisons, question_set, name):
                return question_set, name
    return None


def _tells_apart(comparisons: Sequence[Comparison], question_set: str, measure: str) -> bool:
    """Whether the arms have more than one value of it."""
    means = {
        value.mean
        for comparison in comparisons
        for value in comparison.arm_values
        if (value.question_set, value.measure) == (question_set, measure)
    }
    return len(means) > 1
