"""What the sources' shares of a subset explain of its losses, in Markdown tables."""

import math
import statistics
from collections.abc import Mapping

import numpy as np

from docs.study.differences import PairedDifference, cell, paired_difference
from docs.study.markdown import table
from docs.study.results import BUDGETS, CONTROLS, Result, percent_of
from utils.artifacts.comparisons import AVERAGES

_ENOUGH_DOUBLINGS = 1  # of a source's rows: below it those of other sources count as much
_SAME_SHARE = 0.05  # rows of a source that are as many as another arm's, up to this part of them


def balance_section(results: Mapping[str, Result]) -> str:
    """What balance does to each source, at every budget: its rows, and its loss."""
    even, proportional = CONTROLS
    of_budgets = [
        results[name]
        for name in BUDGETS
        if name in results and {even, proportional} <= results[name].arms.keys()
    ]
    if not of_budgets:
        return "*Not run yet.*"
    sources = sorted(of_budgets[0].losses, key=lambda source: -of_budgets[0].rows_of[source]["selectable"])
    rows = []
    for source in sources:
        cells = [source]
        for result in of_budgets:
            fewer, more = (_mean_rows(result, label, source) for label in (proportional, even))
            losses = [[result.losses[source][run] for run in result.arms[label]] for label in CONTROLS]
            cells += [f"{fewer:,.0f} → {more:,.0f}", cell(paired_difference(*losses))]
        rows.append(cells)
    heading = ["source"]
    for result in of_budgets:
        heading += [f"rows at {percent_of(result)}", f"loss at {percent_of(result)}"]
    note = (
        f"Rows of {proportional} → rows of {even}, the largest source first, and the held-out loss of {even} "
        f"minus that of {proportional}. {' '.join(map(_worth_of_a_doubling, of_budgets))}"
    )
    return f"{table(heading, rows)}\n\n{note}"


def _worth_of_a_doubling(result: Result) -> str:
    """How much lower a source's loss is with twice its rows, of those whose rows differ enough to say."""
    worth = []
    for source, losses in result.losses.items():
        even, proportional = (
            (_mean_rows(result, label, source), statistics.mean(losses[run] for run in result.arms[label]))
            for label in CONTROLS
        )
        doublings = math.log2(max(even[0], 1) / max(proportional[0], 1))
        if abs(doublings) >= _ENOUGH_DOUBLINGS:
            worth.append((proportional[1] - even[1]) / doublings)
    if not worth:
        return ""
    return (
        f"At {percent_of(result)} a doubling of its rows is worth {statistics.median(worth):.2f} nats to the "
        f"median of {len(worth)} sources that differ by one or more ({min(worth):.2f} to {max(worth):.2f})."
    )


def shares_section(results: Mapping[str, Result]) -> str:
    """Of each arm with shares of its own: what random rows with them would show, and what is left.

    Random arms stand first. What is left of these is the error of `expected_losses`.
    """
    rows = []
    for result in (results[name] for name in BUDGETS if name in results):
        if not set(CONTROLS) <= result.arms.keys():
            continue
        labels = [label for label in result.arms if label not in (*CONTROLS, "full")]
        for label in sorted(labels, key=lambda each: not each.startswith("random")):
            if not _has_shares_of_control(result, label):
                found = [_told_apart(result, label, measure) for measure in result.averages]
                cells = [text for whole, by_shares, left in found
                         for text in (f"{whole:+.3f}", f"{by_shares:+.3f}", cell(left))]  # fmt: skip
                rows.append([percent_of(result), label, *cells])
    heading = ["budget", "arm"]
    for words in AVERAGES.values():
        heading += [f"minus {CONTROLS[0]}, {words}", "by its shares", "beyond them"]
    return table(heading, rows)


def _has_shares_of_control(result: Result, label: str) -> bool:
    """Whether an arm has as many rows of each source as random_per_source."""
    rows = [
        (_mean_rows(result, label, source), _mean_rows(result, CONTROLS[0], source))
        for source in result.losses
    ]
    return all(abs(of_arm - of_control) <= _SAME_SHARE * of_control for of_arm, of_control in rows)


def _told_apart(result: Result, label: str, measure: str) -> tuple[float, float, PairedDifference | None]:
    """An arm minus `random_per_source`: on average, by its shares alone, and beyond them."""
    sources = list(result.losses)
    weight = "selectable" if measure == "loss_as_pool" else None
    weights = None if weight is None else [result.rows_of[source][weight] for source in sources]
    expected = [statistics.fmean(losses, weights) for losses in expected_losses(result, label)]
    seen = result.mean_losses(label, sources, weight)
    base = statistics.mean(result.mean_losses(CONTROLS[0], sources, weight))
    return statistics.mean(seen) - base, statistics.mean(expected) - base, paired_difference(seen, expected)


def expected_losses(result: Result, label: str) -> list[list[float]]:
    """By seed and source: the loss that random rows with an arm's shares of the sources would give.

    Interpolated between the two controls of the same seed, linearly in the logarithm of how many rows of the
    source they have. No row counts as one, and rows beyond those of both controls as those of the nearer one.
    """
    expected = []
    for seed, run in enumerate(result.arms[label]):
        of_controls = [result.arms[control][seed] for control in CONTROLS]
        losses = []
        for source, of_runs in result.losses.items():
            points = sorted((_log_rows(result, each, source), of_runs[each]) for each in of_controls)
            places, values = zip(*points, strict=True)
            losses.append(float(np.interp(_log_rows(result, run, source), places, values)))
        expected.append(losses)
    return expected


def _log_rows(result: Result, run: str, source: str) -> float:
    return math.log2(max(_rows(result, run, source), 1))


def _rows(result: Result, run: str, source: str) -> int:
    rows = result.kept.recorded[run].rows_by_source
    assert rows is not None
    return rows.get(source, 0)


def _mean_rows(result: Result, label: str, source: str) -> float:
    return statistics.mean(_rows(result, run, source) for run in result.arms[label])
