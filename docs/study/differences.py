"""Paired differences of runs: their intervals, which are shown, and how a table says so"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from utils.experiments.statistics import CONFIDENCE, paired_interval


@dataclass(frozen=True)
class PairedDifference:
    """A measure of an arm minus that of a control, run by run of the same seed.

    Attributes:
        mean: over the seeds.
        low: end of the interval of Student's t over the seeds.
        high: the other one.
        p: of Student's paired test, two-sided.
    """

    mean: float
    low: float
    high: float
    p: float

    @property
    def is_shown(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def paired_difference(values: Sequence[float], others: Sequence[float]) -> PairedDifference | None:
    """Args: values, others: one per seed, in the same order. Returns: None for fewer than two seeds."""
    differences = [value - other for value, other in zip(values, others, strict=True)]
    if len(differences) < 2:
        return None
    low, high = paired_interval(values, others)
    # Where they are equal there is no variance, and no test.
    p = float(low == 0) if low == high else float(stats.ttest_rel(values, others).pvalue)
    return PairedDifference(statistics.mean(differences), low, high, p)


def shown_of_all(differences: Sequence[PairedDifference]) -> list[PairedDifference]:
    """Those that are shown where all of them are corrected for (Holm, 1979, Scand. J. Statist. 6:65-70)."""
    shown = []
    for rank, difference in enumerate(sorted(differences, key=lambda one: one.p)):
        if difference.p * (len(differences) - rank) > 1 - CONFIDENCE:
            break
        shown.append(difference)
    return shown


def cell(difference: PairedDifference | None, held: Sequence[PairedDifference] = (), digits: int = 3) -> str:
    """Args: held: those that hold with all of a table corrected for. digits: behind the point."""
    if difference is None:
        return ""
    mean, low, high = (f"{end:+.{digits}f}" for end in (difference.mean, difference.low, difference.high))
    text = f"{mean} ({low} to {high})"
    return f"**{text}**{' †' if difference in held else ''}" if difference.is_shown else text


def how_many_are_shown(differences: Sequence[PairedDifference]) -> str:
    shown = sum(difference.is_shown for difference in differences)
    chance = len(differences) * (1 - CONFIDENCE)
    return (
        f"{len(differences)} different comparisons, {shown} of them bold; were there no difference at all, "
        f"about {chance:.0f} would be. {len(shown_of_all(differences))} hold with all of them corrected for "
        "(Holm): †."
    )
