"""Whether two arms differ by more than chance: intervals of a difference, and an exact test.

Legend: Q questions.
"""

import warnings
from collections.abc import Sequence

import numpy as np

from ..artifacts.comparisons import Interval

CONFIDENCE = 0.95
_RESAMPLES = 10_000
_RESAMPLES_AT_ONCE = 250  # some ten megabytes for a set of thousands of questions


def bootstrap_interval(
    differences: Sequence[np.ndarray], resamples: int = _RESAMPLES, seed: int = 0
) -> Interval:
    """The percentile bootstrap interval of the mean difference of paired outcomes.

    Questions are drawn with replacement, both arms' outcomes of a question together. Several question
    sets are resampled one by one, and the plain average of their means is taken. The runs are held fixed,
    so the interval says how the difference would vary with other questions, not with other seeds.

    Args:
        differences: per question set a float (Q,) array, one arm's outcome minus the other's.
        resamples: how often the questions are drawn.
        seed: of the draws.
    """
    from scipy import stats  # in each function: a run that is not there is said without this second

    assert differences and all(len(difference_Q) for difference_Q in differences)

    def mean(*differences: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.mean([difference.mean(axis=axis) for difference in differences], axis=0)

    # scipy asks for two observations. A question beside itself is drawn as it would be alone.
    samples = [difference if len(difference) > 1 else np.repeat(difference, 2) for difference in differences]
    result = stats.bootstrap(
        samples,
        mean,
        n_resamples=resamples,
        batch=_RESAMPLES_AT_ONCE,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's interval of a mean over runs: how it would vary with other seeds.

    Args:
        values: one per run, at least two.
    """
    from scipy import stats

    assert len(values) > 1
    mean = float(np.mean(values))
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return mean - float(half), mean + float(half)


def paired_interval(values: Sequence[float], others: Sequence[float]) -> Interval:
    """Student's interval of the mean difference of runs that belong together, such as those of one seed.

    Args:
        values: one per run, at least two.
        others: of the runs that belong to them, in the same order.
    """
    differences = np.subtract(values, others)
    rounding = 1e-12 * np.abs([*values, *others]).max()
    if np.ptp(differences) <= rounding:  # they are equal
        difference = 0.0 if abs(differences[0]) <= rounding else float(differences[0])
        return difference, difference
    return mean_interval(list(differences))


def accuracy_interval(outcomes_Q: np.ndarray) -> Interval:
    """The interval of a share of right answers: how it would vary with other questions.

    The percentile bootstrap. Where all answers are right, or all wrong, every resample is the same, and the
    exact interval of Clopper and Pearson is taken.

    Args:
        outcomes_Q: the share of an arm's runs that get each question right.
    """
    from scipy import stats

    if len(values := np.unique(outcomes_Q)) == 1 and values[0] in (0, 1):
        num_questions = len(outcomes_Q)
        found = stats.binomtest(int(outcomes_Q.sum()), num_questions).proportion_ci(CONFIDENCE)
        return float(found.low), float(found.high)
    return bootstrap_interval([outcomes_Q])


def mcnemar_p(correct_Q: np.ndarray, other_Q: np.ndarray) -> float:
    """McNemar's exact two-sided p.

    Some questions only one of two runs gets right. It says how likely so uneven a split of them would be if
    each run were as likely to be the one. It is 1 where there is no such question.

    Args:
        correct_Q: bool, of the one model.
        other_Q: bool, of the other, for the same questions in the same order.
    """
    from scipy import stats

    num_first_only = int((correct_Q & ~other_Q).sum())
    num_other_only = int((other_Q & ~correct_Q).sum())
    num_split = num_first_only + num_other_only
    return float(stats.binomtest(num_first_only, num_split).pvalue) if num_split else 1.0


def welch_interval(values: Sequence[float], others: Sequence[float]) -> Interval:
    """Welch's interval of the difference of two means over runs: how it would vary with other seeds.

    Args:
        values: one per run, at least two.
        others: likewise.
    """
    from scipy import stats

    assert len(values) > 1 and len(others) > 1
    if np.ptp(values) == np.ptp(others) == 0:  # without variance scipy would divide by a rounding error
        difference = float(values[0] - others[0])
        return difference, difference
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy remarks on runs that hardly vary
        interval = stats.ttest_ind(values, others, equal_var=False).confidence_interval(CONFIDENCE)
    return float(interval.low), float(interval.high)
