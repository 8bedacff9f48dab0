"""A comparison of runs for the terminal: the verdict, the arms, what to know, differences, values, costs."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter

from ...artifacts.comparisons import (
    AVERAGES,
    NO_DIFFERENCE,
    NOT_TESTED,
    SHOWN_IF,
    ArmCost,
    ComparedArm,
    ComparedRun,
    Comparison,
    Cost,
    Difference,
    Interval,
    Measure,
    Payback,
)
from ...artifacts.evaluations import HELDOUT, RULES
from ...terminal import WIDTH, counted, tables, wrapped

_RULES = {f"accuracy{ending}": rule for rule, ending in RULES.items()}
_FIRST_METRIC = "the task's first metric"  # an accuracy of lm-eval's own
_UNITS = {
    "device_seconds": "cost in device-seconds",
    "operations": "cost in floating-point operations",
}
_HEAD_WIDTH = 20  # of a column, where its words allow it
_NOTES = (
    "Over questions: paired bootstrap of these runs' answers, runs held fixed. "
    "Over runs: Student's interval of the differences between runs of one seed, or Welch's where the arms "
    "have other seeds. Both need two runs in both arms. "
    f"Exact McNemar p of each pair of runs of one seed, smallest..largest. {SHOWN_IF}"
)


def comparison_text(comparison: Comparison, width: int = WIDTH) -> str:
    """All of it in lines of at most `width` columns; a longer name stands alone on its line."""
    parts = [
        _verdict(comparison),
        _legend(comparison),
        [f"Not alike: {line}" for line in comparison.unlike],
        comparison.remarks,
    ]
    lines: list[str] = []
    for part in parts:
        lines += ["", *(line for text in part for line in wrapped(text, width=width))] if part else []
    sections = [_differences(comparison, width), _values(comparison, width), _costs(comparison, width)]
    return "\n".join([*lines[1:], *(line for section in sections for line in section)])


def _verdict(comparison: Comparison) -> list[str]:
    first, *others = comparison.arms
    lines = []
    for other in others:
        differences = [difference for difference in comparison.differences if difference.arm == other.letter]
        shown = [
            f"{difference.verdict} {_name(comparison, difference)} ({difference.mean:+.4f})"
            for difference in differences
            if difference.verdict not in (NO_DIFFERENCE, NOT_TESTED)
        ]
        rest = []
        for verdict in (NO_DIFFERENCE, NOT_TESTED):
            if number := sum(difference.verdict == verdict for difference in differences):
                rest.append(f"{verdict} in {number} of {len(differences)}")
        words = "; ".join([*shown, *rest]) or "nothing was tested"
        lines.append(f"{first.title} against {other.title}: {words}.")
    tested = [difference for difference in comparison.differences if difference.verdict != NOT_TESTED]
    if tested and all(difference.verdict == NO_DIFFERENCE for difference in tested):
        letters = ", ".join(other.letter for other in others)
        lines.append(f"In all: {NO_DIFFERENCE} between {first.letter} and {letters}.")
    if len(tested) > 1:
        expected = len(tested) * (1 - comparison.confidence)
        lines.append(
            f"{len(tested)} differences were tested; "
            f"were there none at all, about {expected:.1f} would still be called shown by chance."
        )
    return lines


def _legend(comparison: Comparison) -> list[str]:
    compared = {run.name: run for run in comparison.runs}
    lines = []
    for arm in comparison.arms:
        step = f"step {arm.step:,}"
        if arm.step and arm.last_step != arm.step:
            step += " of an unfinished training" if arm.last_step is None else f" of {arm.last_step:,}"
        runs = []
        for name in arm.runs:
            runs.append(f"{name} ({_seeds(compared[name])})")
        made_of = f"{arm.num_examples:,} examples, {step}; {counted(len(arm.runs), 'run')}"
        lines.append(f"{arm.title}: {made_of}: {'; '.join(runs)}")
    return lines


def _seeds(run: ComparedRun) -> str:
    words = "untrained" if run.seed is None else f"seed {run.seed}"
    if run.subset_seed not in (None, run.seed):
        words += f", subset seed {run.subset_seed}"
    return words


def _differences(comparison: Comparison, width: int) -> list[str]:
    if not comparison.differences:
        return []
    first, *others = comparison.arms
    heading = [f"{first.letter} minus", "difference", "verdict", "over questions", "over runs", "McNemar p"]
    rows: list[Sequence[str]] = []
    for other in others:
        rows.append([other.title])
        for difference in comparison.differences:
            if difference.arm == other.letter:
                cells = [
                    _interval(difference.over_questions),
                    _interval(difference.over_runs),
                    _p(difference),
                ]
                name = f"  {_name(comparison, difference)}"
                rows.append([name, f"{difference.mean:+.4f}", difference.verdict, *cells])
    notes = wrapped(f"Intervals: {comparison.confidence:.0%}. {_NOTES}", width=width)
    return ["", *tables([heading], rows, width, align="<><>>>"), "", *notes]


def _name(comparison: Comparison, difference: Difference) -> str:
    sets = difference.question_sets
    asked = sets[0] if len(sets) == 1 else f"mean of {len(sets)}"
    if difference.measure in AVERAGES:
        return f"held-out loss, {AVERAGES[difference.measure]}"
    if difference.measure in _RULES and not all(map(comparison.is_judged_by_rules, sets)):
        return f"{asked}, {_FIRST_METRIC}"
    return f"{asked}, {_RULES.get(difference.measure, difference.measure)}"


def _interval(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval[0]:+.4f}..{interval[1]:+.4f}"


def _p(difference: Difference) -> str:
    if not difference.p_values:
        return "-"
    ends = (min(difference.p_values), max(difference.p_values))
    low, high = (f"{p:.3f}" if p >= 0.001 else "<.001" for p in ends)
    return low if low == high else f"{low}..{high}"


def _values(comparison: Comparison, width: int) -> list[str]:
    rows: list[Sequence[str]] = [["runs", *(str(len(arm.runs)) for arm in comparison.arms)]]
    for title, measures in _sections(comparison):
        cells = [(label, _cells(comparison, measure)) for label, measure in measures]
        known = [[f"  {label}", *values] for label, values in cells if set(values) != {"-"}]
        rows += [[], [title], *known] if known else []
    note = "Cells: the run's value, or mean ± sample standard deviation over the runs of the arm."
    return ["", *tables(_heads(comparison.arms), rows, width), "", *wrapped(note, width=width)]


def _sections(comparison: Comparison) -> Iterator[tuple[str, list[tuple[str, Measure]]]]:
    """(title, its rows)."""
    measures = comparison.measures
    heldout = [measure for measure in measures if measure.question_set == HELDOUT and not measure.is_metric]
    others = [measure for measure in measures if measure.question_set != HELDOUT and not measure.is_metric]
    accuracies = {name: f"accuracy, {rule}" for name, rule in _RULES.items()}
    for name, title in {"loss": "loss", **accuracies}.items():
        of_name = [measure for measure in heldout if measure.name == name]
        averages = {average.replace("loss", name): words for average, words in AVERAGES.items()}
        rows = [
            (measure.source or "(no source)", measure) for measure in of_name if measure.source is not None
        ]
        rows += [(averages[measure.name], measure) for measure in heldout if measure.name in averages]
        rows += [("all rows", measure) for measure in of_name if measure.source is None]
        yield f"held-out {title}", rows
    judged = [measure for measure in others if comparison.is_judged_by_rules(measure.question_set)]
    for name, title in accuracies.items():
        yield title, [(measure.question_set, measure) for measure in judged if measure.name == name]
    of_tasks = [measure for measure in others if measure.name in accuracies and measure not in judged]
    yield f"accuracy, {_FIRST_METRIC}", [(measure.question_set, measure) for measure in of_tasks]
    metrics = [measure for measure in measures if measure.is_metric]
    yield "metrics", [(f"{measure.question_set}, {measure.name}", measure) for measure in metrics]
    cut_off = [measure for measure in measures if measure.name == "cut_off_share" and not measure.is_metric]
    yield "share of responses cut off", [(measure.question_set, measure) for measure in cut_off]


def _cells(comparison: Comparison, measure: Measure) -> list[str]:
    """One an arm: "-" unless all of its runs have a value."""
    cells = []
    for arm in comparison.arms:
        values = comparison.values(measure, arm)
        if values is None:
            cells.append("-")
        elif len(values) == 1:
            cells.append(f"{values[0]:.4f}")
        else:
            cells.append(f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}")
    return cells


def _heads(arms: Sequence[ComparedArm]) -> list[list[str]]:
    """The heading's lines: an arm's title over several, none of it cut."""
    titles = [wrapped(arm.title, indent="", width=_HEAD_WIDTH) for arm in arms]
    height = max(map(len, titles))
    columns = [[""] * (height - len(title)) + title for title in titles]
    return [["", *cells] for cells in zip(*columns, strict=True)]


def _costs(comparison: Comparison, width: int) -> list[str]:
    costs = comparison.costs
    if not costs:
        return []
    rows: list[Sequence[str]] = []
    stages = list(dict.fromkeys(stage for cost in costs for stage in cost.stages))
    for unit in ("device_seconds", "operations"):
        of_unit = attrgetter(unit)  # a cost and a payback have the same units
        rows += [[], [_UNITS[unit]]] if rows else [[_UNITS[unit]]]
        for stage in stages:
            rows.append([f"  {stage}", *(_cost(cost.stages.get(stage), of_unit) for cost in costs)])
        rows.append(["  in all", *(_cost(cost.total, of_unit) for cost in costs)])
        rows.append(["  training on everything", *(_cost(cost.everything, of_unit) for cost in costs)])
        rows.append(["  share of that", *(_share(cost, of_unit) for cost in costs)])
        rows.append(["  pays from a pool of", *(_payback(cost.pays_from, of_unit) for cost in costs)])
    notes = [line for note in comparison.cost_remarks for line in wrapped(note, width=width)]
    return ["", *tables(_heads(comparison.arms), rows, width), "", *notes]


def _cost(cost: Cost | None, measure: Callable[[Cost], float | None]) -> str:
    if cost is None:
        return ""
    value = measure(cost)
    if value is None:
        return "-"
    return f"{value:,.1f}" if value < 1e6 else f"{value:.3g}"


def _share(cost: ArmCost, measure: Callable[[Cost], float | None]) -> str:
    total = measure(cost.total)
    everything = None if cost.everything is None else measure(cost.everything)
    return f"{total / everything:.0%}" if total is not None and everything else "-"


def _payback(payback: Payback | None, measure: Callable[[Payback], int | str | None]) -> str:
    rows = None if payback is None else measure(payback)
    if rows is None:
        return "-"
    return f"{math.ceil(rows):,} rows" if isinstance(rows, int) else "none"
