"""Which rows of a cluster are taken first: at random, or by how their loss moves.

    random   in the seeded random order, as S2L does
    stable   the least sum of |L_{t+1} - L_t| over the checkpoints first: rows whose loss moves little.
             XMAS (arXiv:2510.01454), which takes the steadiest rows of each cluster.
    brittle  the largest |L_last - L_first| first: rows whose loss moves far.
             TEMP (arXiv:2606.26797), whose checkpoints are perturbed models. Here a training left them.

Deviations: of XMAS and TEMP the order inside a cluster is taken and nothing else. Clusters, their quotas and
what k-means sees are S2L's, so that arms differ in one thing. Sums are rounded to float32. Of equal ones
the row with the lowest number comes first.

Legend: n candidates.
"""

from collections.abc import Callable

import numpy as np

from ...config.names import Pick
from ...config.schema import SubsetConfig
from ..candidates import Candidates

_BITS_OF_KEY = 31  # below those of a float32, above them one bit is left for rows that have to be in


def movement(candidates: Candidates) -> np.ndarray:
    """float64 (n,): the sum of |L_{t+1} - L_t|, nats."""
    sum_n = np.zeros(len(candidates.rows))
    earlier_n = None
    for loss_n in candidates.loss_columns():
        if earlier_n is not None:
            sum_n += np.abs(loss_n - earlier_n)
        earlier_n = loss_n
    return sum_n


def distance_moved(candidates: Candidates) -> np.ndarray:
    """float64 (n,): |L_last - L_first|, nats."""
    columns = candidates.needed_trajectories.columns
    first_n, last_n = (column_N[candidates.rows].astype(np.float64) for column_N in (columns[0], columns[-1]))
    return np.abs(last_n - first_n)


# Scores, of which the lowest are taken first. None: by chance.
PICKS: dict[Pick, Callable[[Candidates], np.ndarray] | None] = {
    "random": None,
    "stable": movement,
    "brittle": lambda candidates: -distance_moved(candidates),
}


def check_pick(num_checkpoints: int, subset: SubsetConfig) -> None:
    """Refuse an order that so many checkpoints cannot give. Raises: ValueError."""
    if PICKS[subset.pick] is None:
        return
    if num_checkpoints < 2:
        raise ValueError(
            f"subset.pick: found {subset.pick} with 1 checkpoint, expected at least 2, between which a loss "
            "can move: score more of them, or set subset.pick=random"
        )


def pick_keys(candidates: Candidates, subset: SubsetConfig, seed: int) -> np.ndarray:
    """uint64 (n,): in ascending order of these the rows of a cluster are taken.

    Those that have to be in come first.

    Args:
        seed: of the random order.
    """
    score = PICKS[subset.pick]
    if score is None:
        return candidates.random_keys(seed)
    key_n = _ascending_bits(score(candidates).astype(np.float32)) << np.uint64(_BITS_OF_KEY)
    if len(candidates.included):
        key_n[~np.isin(candidates.rows, candidates.included)] |= np.uint64(1 << 63)
    return key_n


def _ascending_bits(number_n: np.ndarray) -> np.ndarray:
    """uint64 (n,) below 2**32, which sort as these float32 numbers do."""
    bits_n = (number_n + np.float32(0)).view(np.uint32)  # -0.0 is 0.0
    is_negative_n = bits_n >> np.uint32(31) == 1
    return np.where(is_negative_n, ~bits_n, bits_n | np.uint32(1 << 31)).astype(np.uint64)
