"""Why rows could not be chosen: reasons.npy, and how many of each reason in composition.json

Legend: N examples of the pool.
"""

import numpy as np

from ..artifacts.subsets import CONTAMINATION, REASONS
from ..data.rows import Rows
from .candidates import Candidates
from .named_rows import ListedRows


def reasons_of(pool: Rows, candidates: Candidates, listed: ListedRows) -> np.ndarray:
    """uint8 (N,): positions in `REASONS`. Of several reasons the first counts."""
    if len(candidates.rows) == len(pool):
        return np.zeros(len(pool), np.uint8)
    contaminated = np.array([hit["row"] for hit in listed.reports.get(CONTAMINATION, ())], np.int64)
    reasons_N = np.full(len(pool), REASONS.index("repeated response"), np.uint8)
    reasons_N[candidates.unscorable] = REASONS.index("no loss")
    reasons_N[listed.barred] = REASONS.index("excluded")
    for rows in listed.dropped.values():
        reasons_N[rows] = REASONS.index("dropped kind")
    reasons_N[listed.of_validation] = REASONS.index("validation row")
    reasons_N[contaminated] = REASONS.index("benchmark question")
    reasons_N[pool.excluded] = REASONS.index("no text")
    reasons_N[candidates.rows] = 0
    return reasons_N


def count_reasons(reasons_N: np.ndarray) -> dict[str, int]:
    """Reason -> how many rows it keeps out, without those of none."""
    num_rows = np.bincount(reasons_N, minlength=len(REASONS))
    return {reason: int(num) for reason, num in zip(REASONS[1:], num_rows[1:], strict=True) if num}
