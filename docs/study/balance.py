"""What balance does to each source, in Markdown."""

import math
import statistics
from collections.abc import Mapping

from docs.study.differences import cell, paired_difference
from docs.study.markdown import table
from docs.study.results import BUDGETS, CONTROLS, Result, percent_of

_ENOUGH_DOUBLINGS = 1  # of a source's share: below it what other sources give counts as much


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
            before, after = (result.mean_rows(label, source) or 0 for label in (proportional, even))
            losses = [result.mean_losses(label, [source]) for label in (even, proportional)]
            cells += [f"{_in_words(before)} → {_in_words(after)}", cell(paired_difference(*losses))]
        rows.append(cells)
    heading = ["source"]
    for result in of_budgets:
        heading += [f"rows at {percent_of(result)}", f"loss at {percent_of(result)}"]
    note = (
        f"Rows of {proportional} → rows of {even}, the largest source first, and the held-out loss of {even} "
        f"minus that of {proportional}. {' '.join(map(_worth_of_a_doubling, of_budgets))}"
    )
    return f"{table(heading, rows)}\n\n{note}"


def _in_words(rows: float) -> str:
    """A mean of few rows with a digit behind the point."""
    return f"{rows:,.0f}" if rows >= 10 else f"{rows:.1f}"


def _worth_of_a_doubling(result: Result) -> str:
    """How much lower the loss of a source is with twice its share, where the shares differ enough to say."""
    even, proportional = CONTROLS
    worth = []
    for source in result.losses:
        before, after = (result.mean_rows(label, source) for label in (proportional, even))
        if not before or not after or abs(doublings := math.log2(after / before)) < _ENOUGH_DOUBLINGS:
            continue
        losses = [statistics.mean(result.mean_losses(label, [source])) for label in (proportional, even)]
        worth.append((losses[0] - losses[1]) / doublings)
    if not worth:
        return ""
    return (
        f"At {percent_of(result)} twice the share of the training is worth {statistics.median(worth):.2f} "
        f"nats to the median source ({min(worth):.2f} to {max(worth):.2f}), of the {len(worth)} whose share "
        "balance halves or doubles at least."
    )
