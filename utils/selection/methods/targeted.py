"""Targeted selection: rows that move the losses of given validation rows.

`cld` is CLD (arXiv:2508.20230, TMLR). With y_c the mean loss of the validation rows of source c at each
checkpoint, the score of row i of source c is Pearson's correlation of (L_2 - L_1, ..., L_T - L_{T-1}), the
changes of its loss, with the changes of y_c. Of each source the highest scores are taken.
Deviations: the paper's classes are our sources. How many of each are taken follows from the budget, shared
out as by random_per_source. A source without validation rows is compared with the mean of all of them. A
row whose loss changes by the same amount every time, up to rounding, scores 0: it correlates with nothing.

`tacs` is TACS (arXiv:2605.09404). The proxy is fine-tuned on the validation rows, and the score of a row of
the pool is the share of its loss that goes with it: (L_0 - L_last) / L_0, L_0 being the loss before that
training. The highest scores of the whole pool are taken. The formula is inferred from the flags of its
code.
Deviations: how the proxy is fine-tuned is what its YAML says (there: LoRA of rank 1, for as long as three
folds say). L_0 counts as at least a thousandth of a nat, below which a loss is rounding.

Ties go to the lowest row.

Legend: n candidates, S sources, T checkpoints.
"""

from collections.abc import Iterator

import numpy as np

from ...artifacts.trajectories.write import LOSS
from ...config.schema import SubsetConfig
from ..candidates import Candidates, Choice, choose_in_order
from ..groups import Groups
from .baselines import at_step, last
from .features import LEAST_LOSS
from .turns import source_weights, take_turns

_ROUNDING = 1e-6  # of a loss: differences between float32 losses that vary by less do not vary


def cld(candidates: Candidates, subset: SubsetConfig, budget: int, seed: int) -> Choice:
    """The rows of each source whose loss moves as that of its validation rows does."""
    score_n = correlation_with_validation(candidates)
    by_score = Groups(np.lexsort((-score_n, candidates.source_codes_n)), candidates.by_source().bounds)
    weight_S = source_weights(candidates, subset)
    order = take_turns(by_score, candidates.random_keys(seed), budget, weight_G=weight_S)
    return choose_in_order(candidates, order, budget)


def check_cld(num_checkpoints: int, subset: SubsetConfig) -> None:
    """Raises: ValueError for too few checkpoints to correlate over."""
    if num_checkpoints < 4:  # any two changes correlate at 1 or -1, so that all scores would be ties
        raise ValueError(
            f"subset.method cld: found {num_checkpoints} checkpoints, expected at least 4: three changes of "
            "a loss are the fewest whose correlation tells rows apart"
        )


def correlation_with_validation(candidates: Candidates) -> np.ndarray:
    """float64 (n,): the score of CLD, from -1 to 1."""
    assert candidates.validation_ST is not None
    codes_n = candidates.source_codes_n
    num_rows = len(candidates.rows)
    num_differences = candidates.num_checkpoints - 1
    validation_SD = np.diff(candidates.validation_ST, axis=1)
    validation_SD = validation_SD - validation_SD.mean(axis=1, keepdims=True)
    mean_n, largest_n = np.zeros((2, num_rows))
    for change_n, size_n in _changes(candidates):
        mean_n += change_n / num_differences
        np.maximum(largest_n, size_n, out=largest_n)
    together_n, own_n = np.zeros((2, num_rows))
    for column, (change_n, _) in enumerate(_changes(candidates)):
        offset_n = change_n - mean_n
        together_n += offset_n * validation_SD[codes_n, column]
        own_n += offset_n**2
    is_constant_n = own_n <= num_differences * (_ROUNDING * largest_n) ** 2
    norm_n = np.sqrt(own_n * (validation_SD**2).sum(axis=1)[codes_n])
    is_constant_n |= norm_n == 0
    return np.where(is_constant_n, 0.0, together_n / np.where(is_constant_n, 1.0, norm_n))


def _changes(candidates: Candidates) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Between checkpoint and checkpoint, float64 (n,): L_{t+1} - L_t, and the larger of the two losses."""
    earlier_n = None
    for loss_n in candidates.loss_columns():
        if earlier_n is not None:
            yield loss_n - earlier_n, np.maximum(np.abs(loss_n), np.abs(earlier_n))
        earlier_n = loss_n


def minus_share_of_loss_gone(candidates: Candidates) -> np.ndarray:
    """float64 (n,): minus the score of TACS."""
    first_n = at_step(candidates, LOSS, 0).astype(np.float64)
    return (last(candidates, LOSS) - first_n) / np.maximum(first_n, LEAST_LOSS)
