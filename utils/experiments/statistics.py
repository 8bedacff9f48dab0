"""Are two arms told apart? Differences of the same questions' outcomes, with intervals and an exact test.

Legend: Q questions, R resamples.
"""

import math
import statistics
from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95
_RESAMPLES = 10_000
_RESAMPLES_AT_ONCE = 250  # bounds the memory of a benchmark of thousands of questions to some ten megabytes

Interval = tuple[float, float]


def bootstrap_interval(differences: Sequence[np.ndarray], resamples: int = _RESAMPLES, seed: int = 0) -> Interval:
    """The percentile bootstrap interval of the mean difference of paired outcomes.

    Questions are drawn with replacement, both arms' outcomes of a question together. Of several benchmarks the plain
    average of their means is taken, and each is resampled by itself. The runs are held fixed: the interval says how the
    difference would vary with other questions, not with other seeds.

    Args: differences: per benchmark a float (Q,) array, one arm's outcome minus the other's.
    """
    assert differences and all(len(of_questions) for of_questions in differences)
    generator = np.random.default_rng(seed)
    means_R = np.zeros(resamples)
    for difference_Q in differences:
        for start in range(0, resamples, _RESAMPLES_AT_ONCE):
            stop = min(start + _RESAMPLES_AT_ONCE, resamples)
            drawn_RQ = generator.integers(0, len(difference_Q), (stop - start, len(difference_Q)))
            means_R[start:stop] += difference_Q[drawn_RQ].mean(axis=1) / len(differences)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(means_R, [tail, 100 - tail])
    return float(low), float(high)


def mcnemar_p(correct_Q: np.ndarray, other_Q: np.ndarray) -> float:
    """McNemar's exact two-sided p: how likely so uneven a split of the questions that only one of two runs gets right
    would be, if each were as likely to be the one. 1 where there is no such question.

    Args: correct_Q, other_Q: bool, of the same questions in the same order.
    """
    only_one, only_other = int((correct_Q & ~other_Q).sum()), int((other_Q & ~correct_Q).sum())
    split = only_one + only_other
    ways = sum(math.comb(split, number) for number in range(min(only_one, only_other) + 1))
    return min(1.0, 2 * ways / 2**split)


def welch_interval(values: Sequence[float], others: Sequence[float]) -> Interval:
    """Welch's interval of the difference of two means over runs: how it would vary with other seeds.

    Args: values, others: one per run, at least two each.
    """
    assert len(values) > 1 and len(others) > 1
    difference = statistics.mean(values) - statistics.mean(others)
    parts = [statistics.variance(runs) / len(runs) for runs in (values, others)]
    error = math.sqrt(sum(parts))
    if error == 0:
        return difference, difference
    shares = [part / sum(parts) for part in parts]
    freedom = 1 / sum(share**2 / (len(runs) - 1) for share, runs in zip(shares, (values, others), strict=True))
    half = _student_quantile(freedom) * error
    return difference - half, difference + half


def _student_quantile(freedom: float) -> float:
    """t such that Student's distribution has CONFIDENCE of its mass within -t and t.

    With t = sqrt(freedom) tan(angle) its density becomes cos(angle) ** (freedom - 1), which is summed up numerically.
    """
    angles = np.linspace(0, np.pi / 2, 200_001)
    density = np.cos(angles) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return float(math.sqrt(freedom) * np.tan(np.interp(CONFIDENCE, mass / mass[-1], angles)))
