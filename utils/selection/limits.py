"""How many rows of each source must be chosen and may be, and in which order rows are taken then.

The limits work on the order in which a growing budget takes rows: first rows that must be in, then each
source's minimum, then all others, passing over sources at their maximum. So a smaller subset stays inside a
larger one, and S2L over sources with a maximum is water-filling with that cap.

Legend: N examples of the pool, n candidates, S sources.
"""

from dataclasses import dataclass

import numpy as np

from ..config.names import look_up
from ..config.schema import SubsetConfig
from .candidates import Candidates
from .groups import count_by_number


def needs_whole_order(subset: SubsetConfig, candidates: Candidates) -> bool:
    """Whether rows beyond the budget may be needed, because some come earlier or are passed over."""
    return bool(len(candidates.included)) or any(
        setting is not None
        for setting in (subset.min_per_source, subset.max_per_source, subset.budget_tokens)
    )


@dataclass(frozen=True)
class Limits:
    """How many rows of each source must be chosen and may be: known from counts, before any row is.

    Attributes:
        included_S: int64 (S,), rows that were named one by one.
        least_S: int64 (S,), rows that must be chosen, those among them.
        most_S: int64 (S,), rows that may be.
    """

    included_S: np.ndarray
    least_S: np.ndarray
    most_S: np.ndarray


def find_limits(candidates: Candidates, subset: SubsetConfig) -> Limits:
    """Raises: ValueError naming the two settings that are in conflict, or an unknown source."""
    names = candidates.source_names
    num_sources = len(names)
    rows_S = count_by_number(candidates.source_codes_n, num_sources)
    minimum_S = np.minimum(rows_S, _per_source(subset.min_per_source, "min_per_source", names, 0))
    maximum_S = _per_source(subset.max_per_source, "max_per_source", names, candidates.num_examples)
    for code in np.flatnonzero(minimum_S > maximum_S)[:1]:
        raise ValueError(
            f"subset.min_per_source and subset.max_per_source are in conflict for source {names[code]!r}: "
            f"at least {minimum_S[code]:,}, at most {maximum_S[code]:,}: lower the one or raise the other"
        )
    included = np.searchsorted(candidates.rows, candidates.included)
    included_S = np.bincount(candidates.source_codes_n[included], minlength=num_sources)
    for code in np.flatnonzero(included_S > maximum_S)[:1]:
        raise ValueError(
            f"subset.include and subset.max_per_source are in conflict: {included_S[code]:,} rows of source "
            f"{names[code]!r} must be in, at most {maximum_S[code]:,} may: take rows out or raise the maximum"
        )
    return Limits(included_S, np.maximum(minimum_S, included_S), np.minimum(rows_S, maximum_S))


def check_budget(budget: int, limits: Limits) -> None:
    """Refuse a budget (in rows) that the limits do not allow. Raises: ValueError naming the two settings."""
    num_included = int(limits.included_S.sum())
    num_required = int(limits.least_S.sum())
    if budget < num_included:
        raise ValueError(
            "subset.budget and subset.include (or subset.extend) are in conflict: "
            f"{num_included:,} rows must be in, the budget is {budget:,} rows: raise it or take rows out"
        )
    if budget < num_required:
        raise ValueError(
            "subset.budget and subset.min_per_source are in conflict: with the minimum of each source "
            f"{num_required:,} rows must be in, the budget is {budget:,} rows: raise it or lower the minimum"
        )
    num_allowed = int(limits.most_S.sum())
    if budget > num_allowed:
        raise ValueError(
            "subset.budget and subset.max_per_source are in conflict: "
            f"at most {num_allowed:,} rows may be chosen, the budget is {budget:,} rows: "
            "lower it or raise the maximum"
        )


def order_within(limits: Limits, order: np.ndarray, candidates: Candidates) -> np.ndarray:
    """The order in which a growing budget takes rows, brought into line with the limits.

    Args:
        order: all candidates' rows.

    Returns:
        The rows that may be taken. Those that must be come first.
    """
    code_N = np.zeros(candidates.num_examples, np.int32)
    code_N[candidates.rows] = candidates.source_codes_n
    is_included_N = np.zeros(candidates.num_examples, bool)
    is_included_N[candidates.included] = True
    order = np.concatenate([order[is_included_N[order]], order[~is_included_N[order]]])
    place_n = _place_in_group(code_N[order])
    is_least_n = place_n < limits.least_S[code_N[order]]
    is_other_n = ~is_least_n & (place_n < limits.most_S[code_N[order]])
    return np.concatenate([order[is_least_n], order[is_other_n]])


def _per_source(setting: int | dict[str, int] | None, key: str, names: list[str], default: int) -> np.ndarray:
    """int64 (S,): the limit of each source."""
    if not isinstance(setting, dict):
        return np.full(len(names), default if setting is None else setting, np.int64)
    code_of_name = {name: code for code, name in enumerate(names)}
    limit_S = np.full(len(names), default, np.int64)
    for name, limit in setting.items():
        limit_S[look_up(code_of_name, name, f"subset.{key}")] = limit
    return limit_S


def _place_in_group(code_n: np.ndarray) -> np.ndarray:
    """int64 (n,): how many of the same group come before."""
    by_code_n = np.argsort(code_n, kind="stable")
    sizes = np.bincount(code_n)
    place_n = np.empty(len(code_n), np.int64)
    place_n[by_code_n] = np.arange(len(code_n)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return place_n
