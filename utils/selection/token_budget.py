"""A budget of response tokens: whether it can hold, and how many rows of an order it takes.

Legend: N examples of the pool, n candidates, S sources.
"""

import numpy as np

from .candidates import Candidates
from .limits import Limits


def check_token_budget(
    budget_tokens: int, tokens_N: np.ndarray, candidates: Candidates, limits: Limits
) -> bool:
    """Whether the budget holds whatever the order of the rows.

    If not, it may turn out too small once they are ordered.

    Args:
        tokens_N: response tokens of each row of the pool.

    Raises: ValueError if it is too small for any order.
    """
    tokens_n = tokens_N[candidates.rows].astype(np.int64)
    is_free_n = ~np.isin(candidates.rows, candidates.included)
    fewest = most = int(tokens_n[~is_free_n].sum())
    missing_S = limits.least_S - limits.included_S
    for code in np.flatnonzero(missing_S):
        of_source = np.sort(tokens_n[is_free_n & (candidates.source_codes_n == code)])
        fewest += int(of_source[: missing_S[code]].sum())
        most += int(of_source[-missing_S[code] :].sum())
    if not limits.least_S.any():
        fewest = int(tokens_n.min())
        most = int(tokens_n.max())
    if fewest > budget_tokens:
        raise ValueError(
            f"subset.budget_tokens: found {budget_tokens:,}, expected at least {fewest:,} for the rows that "
            "must be in (subset.include, subset.extend, subset.min_per_source) or the shortest response: "
            "raise it or take rows out"
        )
    return most <= budget_tokens


def rows_within_tokens(order: np.ndarray, tokens_N: np.ndarray, budget_tokens: int, num_required: int) -> int:
    """How many rows of the order fit into this many response tokens. The next one would not.

    Args:
        tokens_N: response tokens of each row of the pool.
        num_required: rows at the beginning of the order that must be in.

    Raises: ValueError if not even those fit, or no row does.
    """
    tokens_of_first = np.cumsum(tokens_N[order], dtype=np.int64)
    num_rows = int(np.searchsorted(tokens_of_first, budget_tokens, side="right"))
    if num_rows < num_required:
        raise ValueError(
            "subset.budget_tokens and the rows that must be in (subset.include, subset.extend, "
            "subset.min_per_source) are in conflict: those have "
            f"{tokens_of_first[num_required - 1]:,} response tokens, the budget is {budget_tokens:,}: "
            "raise it or take rows out"
        )
    if num_rows == 0:
        raise ValueError(
            f"subset.budget_tokens: found {budget_tokens:,}, but the first row to choose has "
            f"{tokens_of_first[0]:,} response tokens: raise it"
        )
    return num_rows
