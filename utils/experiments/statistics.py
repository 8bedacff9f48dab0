"""Whether two arms are told apart: by differences of the same questions' outcomes. They come with intervals and an exact
test.

Legend: Q questions, R resamples.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
_RESAMPLES = 10_000
_RESAMPLES_AT_ONCE = 250  # bounds the memory of a question set of thousands to some ten megabytes

Interval = tuple[float, float]


def bootstrap_interval(
    differences: Sequence[np.ndarray], resamples: int = _RESAMPLES, seed: int = 0
) -> Interval:
    """The percentile bootstrap interval of the mean difference of paired outcomes.

    Questions are drawn with replacement, both arms' outcomes of a question together. Of several question sets the plain
    average of their means is taken, and each is resampled by itself. The runs are held fixed: the interval says how the
    difference would vary with other questions, not with other seeds.

    Args: differences: per question set a float (Q,) array, one arm's outcome minus the other's.
    """
    assert differences and all(len(of_questions) for of_questions in differences)

    def mean(*differences: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.mean([difference.mean(axis=axis) for difference in differences], axis=0)

    # scipy asks for two observations; a question beside itself is drawn as it would be alone.
    several = [difference if len(difference) > 1 else np.repeat(difference, 2) for difference in differences]
    found = stats.bootstrap(
        several,
        mean,
        n_resamples=resamples,
        batch=_RESAMPLES_AT_ONCE,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def mcnemar_p(correct_Q: np.ndarray, other_Q: np.ndarray) -> float:
    """McNemar's exact two-sided p: how likely so uneven a split of the questions that only one of two runs gets right
    would be, if each were as likely to be the one. 1 where there is no such question.

    Args: correct_Q, other_Q: bool, of the same questions in the same order.
    """
    only_one, only_other = int((correct_Q & ~other_Q).sum()), int((other_Q & ~correct_Q).sum())
    split = only_one + only_other
    return float(stats.binomtest(only_one, split).pvalue) if split else 1.0


def welch_interval(values: Sequence[float], others: Sequence[float]) -> Interval:
    """Welch's interval of the difference of two means over runs: how it would vary with other seeds.

    Args: values, others: one per run, at least two each.
    """
    assert len(values) > 1 and len(others) > 1
    if np.ptp(values) == np.ptp(others) == 0:  # no variance: scipy would divide by what rounding leaves
        return float(values[0] - others[0]), float(values[0] - others[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy remarks on runs that hardly vary
        found = stats.ttest_ind(values, others, equal_var=False).confidence_interval(CONFIDENCE)
    return float(found.low), float(found.high)
