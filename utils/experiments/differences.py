"""Which differences between the first arm and each other one are more than chance."""

import statistics
from collections.abc import Callable, Sequence

import numpy as np

from ..artifacts.comparisons import (
    AVERAGES,
    NO_DIFFERENCE,
    NOT_TESTED,
    ArmValue,
    Difference,
    Interval,
    Measure,
    Verdict,
)
from ..artifacts.evaluations import HELDOUT, RULES
from .runs import Arm, EvaluatedRun
from .statistics import (
    CONFIDENCE,
    accuracy_interval,
    bootstrap_interval,
    mcnemar_p,
    mean_interval,
    paired_interval,
    welch_interval,
)


def differences_of(arms: Sequence[Arm], question_sets: Sequence[str]) -> list[Difference]:
    """The differences of the first arm and each other one, without those of `alike_in_all`.

    Args:
        arms: all of them.
        question_sets: their names, held-out first.
    """
    first, *others = arms
    alike = alike_in_all(arms, question_sets)
    differences = [difference for other in others for difference in _differences(first, other, question_sets)]
    return [
        each
        for each in differences
        if not all((question_set, each.measure) in alike for question_set in each.question_sets)
    ]


def alike_in_all(arms: Sequence[Arm], question_sets: Sequence[str]) -> dict[tuple[str, str], float]:
    """What cannot tell one arm from another, as where the models are too weak to answer anything.

    Returns: (question set, measure) -> its value, of the accuracies that come of the same right answers in
        all runs that have them, and of the metrics that are one number there.
    """
    runs = [run for arm in arms for run in arm.runs]
    alike = {}
    for question_set in question_sets:
        asked = [run for run in runs if question_set in run.results]
        for rule, ending in RULES.items():
            measure = f"accuracy{ending}"
            judged = [run for run in asked if run.value(question_set, measure) is not None]
            outcomes = [run.outcomes(question_set, rule) for run in judged]
            if len(outcomes) > 1 and all(np.array_equal(outcomes[0], each_Q) for each_Q in outcomes):
                alike[question_set, measure] = float(outcomes[0].mean())
        for metric in dict.fromkeys(name for run in asked for name in run.results[question_set].metrics):
            values = [run.value(question_set, "metrics", metric) for run in asked]
            known = [value for value in values if value is not None]
            if len(known) > 1 and len(set(known)) == 1:
                alike[question_set, metric] = known[0]
    return alike


def arm_values_of(arms: Sequence[Arm], measures: Sequence[Measure]) -> list[ArmValue]:
    """What all of a set came to in each arm, of the measures that all of its runs have."""
    values = []
    endings = {f"accuracy{ending}": rule for rule, ending in RULES.items()}
    for measure in measures:
        if measure.source is not None or measure.name == "cut_off_share":
            continue
        for arm in arms:
            of_runs = [measure.values[run.name] for run in arm.runs if run.name in measure.values]
            if len(of_runs) < len(arm.runs):
                continue
            rule = endings.get(measure.name)
            over_questions = None
            if rule is not None and not measure.is_metric:
                over_questions = accuracy_interval(_mean_outcomes(arm, measure.question_set, rule))
            values.append(
                ArmValue(
                    arm=arm.letter,
                    question_set=measure.question_set,
                    measure=measure.name,
                    mean=statistics.mean(of_runs),
                    over_questions=over_questions,
                    over_runs=mean_interval(of_runs) if len(of_runs) > 1 else None,
                )
            )
    return values


def _differences(first: Arm, other: Arm, question_sets: Sequence[str]) -> list[Difference]:
    differences = []
    for average in AVERAGES:
        if _both_have(first, other, HELDOUT, average):
            differences.append(_value_difference(first, other, HELDOUT, average))
    for rule, ending in RULES.items():
        judged = [
            question_set
            for question_set in question_sets
            if _both_have(first, other, question_set, f"accuracy{ending}")
        ]
        benchmarks = [
            question_set
            for question_set in judged
            if question_set != HELDOUT and _is_judged_by_rules(first, question_set)
        ]
        differences += [_accuracy_difference(first, other, [question_set], rule) for question_set in judged]
        if len(benchmarks) > 1:
            differences.append(_accuracy_difference(first, other, benchmarks, rule))
    for question_set in question_sets:
        result = first.runs[0].results.get(question_set)
        for metric in result.metrics if result else ():
            if _both_have(first, other, question_set, "metrics", metric):
                differences.append(_value_difference(first, other, question_set, "metrics", metric))
    return differences


def _accuracy_difference(first: Arm, other: Arm, question_sets: list[str], rule: str) -> Difference:
    """The difference of the accuracy on a set by one rule, or of its plain average over several sets."""
    by_set = [
        _mean_outcomes(first, question_set, rule) - _mean_outcomes(other, question_set, rule)
        for question_set in question_sets
    ]
    p_values = []
    pairs = [
        [np.concatenate([run.outcomes(name, rule) for name in question_sets]) for run in pair]
        for pair in first.pairs(other)
    ]
    # The outcome of a task of lm-eval may be a share, such as that of the right words.
    if all(np.isin(outcomes, (0, 1)).all() for pair in pairs for outcomes in pair):
        p_values = [mcnemar_p(mine == 1, theirs == 1) for mine, theirs in pairs]
    over_runs = _over_runs(first, other, lambda run: _average_accuracy(run, question_sets, rule))
    over_questions = bootstrap_interval(by_set)
    mean = statistics.mean(float(difference_Q.mean()) for difference_Q in by_set)
    are_single = min(len(first.runs), len(other.runs)) == 1
    verdict = _verdict(mean, over_questions, over_runs) if are_single or over_runs else NOT_TESTED
    # Where the few questions that differ all favour one arm, the bootstrap leaves out 0 even of one or two.
    if are_single and p_values and max(p_values) >= 1 - CONFIDENCE:
        verdict = NO_DIFFERENCE
    measure = f"accuracy{RULES[rule]}"
    return Difference(
        other.letter, question_sets, measure, mean, over_questions, over_runs, p_values, verdict
    )


def _value_difference(first: Arm, other: Arm, question_set: str, *keys: str) -> Difference:
    """The difference of a measure that has one value per run, which all runs of both arms have."""

    def value_of(run: EvaluatedRun) -> float:
        value = run.value(question_set, *keys)
        assert value is not None
        return value

    mean = statistics.mean(map(value_of, first.runs)) - statistics.mean(map(value_of, other.runs))
    over_runs = _over_runs(first, other, value_of)
    return Difference(
        other.letter, [question_set], keys[-1], mean, None, over_runs, [], _verdict(mean, over_runs)
    )


def _verdict(mean: float, *intervals: Interval | None) -> Verdict:
    """A difference is shown if every interval that is there leaves out 0."""
    known = [interval for interval in intervals if interval is not None]
    if not known:
        return NOT_TESTED
    if any(low <= 0 <= high for low, high in known):
        return NO_DIFFERENCE
    return "higher" if mean > 0 else "lower"


def _is_judged_by_rules(arm: Arm, question_set: str) -> bool:
    """False for lm-eval's own tasks, whose accuracy is by their own metrics."""
    return arm.values(question_set, "accuracy_strict") is not None


def _both_have(first: Arm, other: Arm, *keys: str) -> bool:
    return first.values(*keys) is not None and other.values(*keys) is not None


def _mean_outcomes(arm: Arm, question_set: str, rule: str) -> np.ndarray:
    """float (Q,): the share of the arm's runs that get each question right."""
    return np.mean([run.outcomes(question_set, rule) for run in arm.runs], axis=0)


def _average_accuracy(run: EvaluatedRun, question_sets: Sequence[str], rule: str) -> float:
    return statistics.mean(float(run.outcomes(question_set, rule).mean()) for question_set in question_sets)


def _over_runs(first: Arm, other: Arm, value_of: Callable[[EvaluatedRun], float]) -> Interval | None:
    """The interval of a difference over runs: paired by seed where both arms have the same, else Welch's.

    None where neither has a width and the arms differ: a coarse score does that by accident.
    """
    if min(len(first.runs), len(other.runs)) < 2:
        return None
    pairs = first.pairs(other)
    if len(pairs) == len(first.runs) == len(other.runs) == len({mine.effective_seeds for mine, _ in pairs}):
        values, others = zip(*((value_of(mine), value_of(theirs)) for mine, theirs in pairs), strict=True)
        interval = paired_interval(values, others)
        if interval[0] < interval[1]:
            return interval
    low, high = welch_interval([*map(value_of, first.runs)], [*map(value_of, other.runs)])
    return None if low == high != 0 else (low, high)
