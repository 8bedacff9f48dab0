"""How large a subset is to be: budgets as they are asked for, in rows, and in a manifest."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..artifacts.paths import RunPaths
from ..config.counts import budget_in_rows
from ..config.schema import RunConfig, SubsetConfig


@dataclass(frozen=True)
class SubsetRequest:
    """One of the subsets that a run asks for.

    Attributes:
        folder: where it goes.
        num_rows: its budget, or with `budget_tokens` all rows that it may be cut from.
        inputs: all that it is made from.
    """

    folder: Path
    num_rows: int
    inputs: dict[str, Any]


def subset_requests(config: RunConfig, inputs: dict[str, Any], num_selectable: int) -> list[SubsetRequest]:
    """The subset of a run, or of a list of budgets one each, the smallest first.

    Args:
        inputs: what they are made from, except the budget.

    Raises:
        ValueError: for a budget beyond the selectable rows, or two that are the same number of rows.
    """
    subset = config.subset_section
    paths = RunPaths(config.run_name)
    if isinstance(subset.budget, list):
        in_rows = [budget_in_rows(budget, num_selectable) for budget in subset.budget]
        pairs = zip(subset.budget, in_rows, strict=True)
        same = [str(budget) for budget, rows in pairs if in_rows.count(rows) > 1]
        if same:
            raise ValueError(
                f"subset.budget: found {' and '.join(same)}, which are the same number of rows, "
                "expected each once: keep one"
            )
        return [
            SubsetRequest(paths.subset_of(rows), rows, inputs | {"budget_rows": rows})
            for rows in sorted(in_rows)
        ]
    num_rows = budget_in_rows(subset.budget, num_selectable)
    return [SubsetRequest(paths.subset, num_rows, inputs | budget_inputs(subset))]


def budget_inputs(subset: SubsetConfig) -> dict[str, Any]:
    """What a manifest says of a single budget: as it was asked for."""
    if subset.budget_tokens is not None:
        return {"budget_tokens": subset.budget_tokens}
    return {"budget_fraction" if isinstance(subset.budget, float) else "budget_rows": subset.budget}


def single_subset_problems(subset: SubsetConfig) -> list[str]:
    """What keeps a run from being trained on its one subset. The config alone says so."""
    if subset.same_as is None and isinstance(subset.budget, list):
        return [
            f"subset.budget: found {subset.budget}, several subsets, but a run is trained on one: "
            "make them with select_s2l.py, and name one in another run as subset.same_as: RUN/subset-<rows>"
        ]
    return []
