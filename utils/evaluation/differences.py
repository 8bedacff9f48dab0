"""The section of a comparison that says which differences between the first arm and each other one are more than chance."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.evaluation.evaluated_runs import RULES, Arm, EvaluatedRun
from utils.evaluation.paired import CONFIDENCE, Interval, bootstrap_interval, mcnemar_p, welch_interval
from utils.evaluation.questions import HELDOUT

NO_DIFFERENCE = "no difference shown"
_COLUMNS = (22, 10, 17, 17, 13)  # with the verdict 100 columns
_NOTES = (
    "Over questions: paired bootstrap of these runs' answers, runs held fixed. Over runs: Welch's interval, which needs "
    "two runs in both arms. Exact McNemar p of each pair of runs of one seed, smallest..largest. A difference is called "
    "shown if no interval that is there holds 0.",
)


@dataclass(frozen=True)
class Difference:
    """One arm's value minus another's.

    Attributes: over_questions, over_runs: intervals, None where there is none; p_values: McNemar's, of pairs of runs.
    """

    mean: float
    over_questions: Interval | None = None
    over_runs: Interval | None = None
    p_values: tuple[float, ...] = ()

    @property
    def verdict(self) -> str:
        intervals = [interval for interval in (self.over_questions, self.over_runs) if interval is not None]
        if not intervals:
            return "not tested"
        if any(low <= 0 <= high for low, high in intervals):
            return NO_DIFFERENCE
        return "higher" if self.mean > 0 else "lower"


def accuracy_difference(first: Arm, other: Arm, files: Sequence[str], rule: str) -> Difference:
    """Of the accuracy on a file by one rule; of several, of the plain average over them."""
    by_file = [_mean_outcomes(first, file, rule) - _mean_outcomes(other, file, rule) for file in files]
    p_values = ()
    if len(files) == 1:
        (file,) = files
        pairs = [(mine.outcomes(file, rule), theirs.outcomes(file, rule)) for mine, theirs in first.pairs(other)]
        if all(np.isin(outcomes, (0, 1)).all() for pair in pairs for outcomes in pair):  # not a share of right words
            p_values = tuple(sorted(mcnemar_p(mine == 1, theirs == 1) for mine, theirs in pairs))
    over_runs = _over_runs(*([_average_accuracy(run, files, rule) for run in arm.runs] for arm in (first, other)))
    mean = statistics.mean(float(difference_Q.mean()) for difference_Q in by_file)
    return Difference(mean, bootstrap_interval(by_file), over_runs, p_values)


def value_difference(values: Sequence[float], others: Sequence[float]) -> Difference:
    """Of a value that each run has one of. Args: values, others: one per run of each arm."""
    return Difference(statistics.mean(values) - statistics.mean(others), over_runs=_over_runs(values, others))


def difference_lines(arms: Sequence[Arm], files: Sequence[str]) -> tuple[list[str], list[str]]:
    """The section's lines, and the sentences that a reader needs with it. Args: files: held-out first."""
    first, *others = arms
    lines = [
        "",
        _line(f"{first.letter} minus the others", ["difference", "over questions", "over runs", "McNemar p"], ""),
    ]
    verdicts = []
    for other in others:
        lines.append(other.title)
        for label, difference in _differences(first, other, files):
            cells = [
                f"{difference.mean:+.4f}",
                _interval(difference.over_questions),
                _interval(difference.over_runs),
                _range(difference.p_values),
            ]
            lines.append(_line(f"  {label}", cells, difference.verdict))
            verdicts.append(difference.verdict)
    tested = len(verdicts) - verdicts.count("not tested")
    notes = [f"Intervals: {CONFIDENCE:.0%}. {note}" for note in _NOTES]
    if tested > 1:
        expected = tested * (1 - CONFIDENCE)
        notes.append(
            f"{tested} differences were tested; were there none at all, about {expected:.1f} would still be called "
            "shown by chance."
        )
    if tested and all(verdict in (NO_DIFFERENCE, "not tested") for verdict in verdicts):
        notes.append(f"In all: {NO_DIFFERENCE} between {first.letter} and {', '.join(arm.letter for arm in others)}.")
    return lines, notes


def _differences(first: Arm, other: Arm, files: Sequence[str]) -> list[tuple[str, Difference]]:
    found = []
    losses = [arm.values(HELDOUT, "loss_average") for arm in (first, other)]
    if losses[0] is not None and losses[1] is not None:
        found.append(("held-out loss", value_difference(losses[0], losses[1])))
    for rule, ending in RULES.items():
        judged = [file for file in files if _both_have(first, other, file, f"accuracy{ending}")]
        benchmarks = [file for file in judged if file != HELDOUT and _is_judged_by_rules(first, file)]
        for file in judged:
            label = f"{file}, {rule}" if _is_judged_by_rules(first, file) else file
            found.append((label, accuracy_difference(first, other, [file], rule)))
        if len(benchmarks) > 1:
            average = accuracy_difference(first, other, benchmarks, rule)
            found.append((f"mean of {len(benchmarks)}, {rule}", average))
    for file in files:
        for metric in first.runs[0].results.get(file, {}).get("metrics", {}):
            values = [arm.values(file, "metrics", metric) for arm in (first, other)]
            if values[0] and values[1] and all(isinstance(value, float) for value in values[0] + values[1]):
                found.append((f"{file}, {metric}", value_difference(values[0], values[1])))
    return found


def _is_judged_by_rules(arm: Arm, file: str) -> bool:
    """False for lm-eval's own tasks, whose accuracy is by their own metrics."""
    return arm.values(file, "accuracy_strict") is not None


def _both_have(first: Arm, other: Arm, *keys: str) -> bool:
    return first.values(*keys) is not None and other.values(*keys) is not None


def _mean_outcomes(arm: Arm, file: str, rule: str) -> np.ndarray:
    """float (Q,): per question the share of the arm's runs that get it right."""
    return np.mean([run.outcomes(file, rule) for run in arm.runs], axis=0)


def _average_accuracy(run: EvaluatedRun, files: Sequence[str], rule: str) -> float:
    return statistics.mean(float(run.outcomes(file, rule).mean()) for file in files)


def _over_runs(values: Sequence[float], others: Sequence[float]) -> Interval | None:
    return welch_interval(values, others) if min(len(values), len(others)) > 1 else None


def _interval(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval[0]:+.4f}..{interval[1]:+.4f}"


def _range(p_values: Sequence[float]) -> str:
    if not p_values:
        return "-"
    low, high = (f"{p:.3f}" if p >= 0.001 else "<.001" for p in (p_values[0], p_values[-1]))
    return low if low == high else f"{low}..{high}"


def _line(label: str, cells: Sequence[str], verdict: str) -> str:
    width, *widths = _COLUMNS
    label = label if len(label) < width else f"  ...{label[-(width - 6) :]}"
    text = "".join(f"{cell:>{size}}" for cell, size in zip(cells, widths, strict=True))
    return f"{label:<{width}}{text}  {verdict}".rstrip()
