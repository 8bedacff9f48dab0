"""How large a subset is to be: budgets as they are asked for, in rows, and in a manifest."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.artifacts.paths import RunPaths
from utils.config.schema import RunConfig, SubsetConfig


@dataclass(frozen=True)
class WantedSubset:
    """One of the subsets that a run asks for.

    Attributes: folder: where it goes; num_rows: its budget, or with `budget_tokens` all rows that it may be cut from;
    inputs: all that it is made from.
    """

    folder: Path
    num_rows: int
    inputs: dict[str, Any]


def wanted_subsets(config: RunConfig, inputs: dict[str, Any], num_selectable: int) -> list[WantedSubset]:
    """The subset of a run, or of a list of budgets one each, the smallest first.

    Args: inputs: what they are made from, except the budget.

    Raises: ValueError for a budget beyond the selectable rows.
    """
    assert config.subset is not None
    subset, paths = config.subset, RunPaths(config.run_name)
    if isinstance(subset.budget, list):
        budgets = sorted({budget_in_rows(budget, num_selectable) for budget in subset.budget})
        return [WantedSubset(paths.subset_of(rows), rows, inputs | {"budget_rows": rows}) for rows in budgets]
    num_rows = budget_in_rows(subset.budget, num_selectable)
    return [WantedSubset(paths.subset, num_rows, inputs | budget_inputs(subset))]


def budget_inputs(subset: SubsetConfig) -> dict[str, Any]:
    """What a manifest says of a single budget: as it was asked for."""
    if subset.budget_tokens is not None:
        return {"budget_tokens": subset.budget_tokens}
    return {"budget_fraction" if isinstance(subset.budget, float) else "budget_rows": subset.budget}


def budget_in_rows(budget: float, num_selectable: int) -> int:
    """An int is rows; a float is a fraction of the selectable rows, rounded half up, at least 1.

    Raises: ValueError if that is more than there are.
    """
    rows = budget if isinstance(budget, int) else max(1, math.floor(budget * num_selectable + 0.5))
    if rows > num_selectable:
        raise ValueError(
            f"subset.budget: found {rows:,} rows, but only {num_selectable:,} rows of the pool are selectable: ask for "
            "at most that many (1.0 is all of them)"
        )
    return rows
