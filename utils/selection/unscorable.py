"""The rows that have no loss at some checkpoint: counted, refused where nothing is left, said.

Legend: N examples of the pool, m some of them, T checkpoints.
"""

from dataclasses import dataclass

import numpy as np

from ..artifacts.trajectories.read import Trajectories
from ..terminal import counted, first_of

_LARGEST_LOSS = np.float32(1e15)  # nats. Beyond it squared distances would leave the range of float32
_LEAST_LOSS = np.float32(-1e-3)  # nats. A sum of low precision may end a little below 0
_ROWS_AT_ONCE = 2**16


@dataclass(frozen=True)
class LossCounts:
    """What the losses of the usable rows are like.

    Attributes:
        usable_N: bool, the rows that have a text.
        num_nan_N: int, at how many checkpoints the loss of a usable row is NaN.
        num_nan_T: int, how many usable rows are NaN at a checkpoint.
        num_partial_T: int, those of them that have a loss at another checkpoint.
        negative_N: bool, rows with a loss below 0 by more than rounding.
        infinite: row numbers, ascending: usable rows with a loss that is infinite, or as good as.
    """

    usable_N: np.ndarray
    num_nan_N: np.ndarray
    num_nan_T: np.ndarray
    num_partial_T: np.ndarray
    negative_N: np.ndarray
    infinite: np.ndarray

    @property
    def scorable_N(self) -> np.ndarray:
        """bool: the usable rows with a loss at every checkpoint."""
        return self.usable_N & (self.num_nan_N == 0)

    @property
    def unscorable(self) -> np.ndarray:
        """Row numbers of the other usable rows, ascending."""
        return np.flatnonzero(self.usable_N & (self.num_nan_N > 0))


def count_losses(usable_N: np.ndarray, trajectories: Trajectories) -> LossCounts:
    """Read all losses once, in pieces."""
    num_examples = len(usable_N)
    num_checkpoints = len(trajectories.columns)
    num_nan_N = np.zeros(num_examples, np.uint16)
    num_nan_T = np.zeros(num_checkpoints, np.int64)
    num_partial_T = np.zeros(num_checkpoints, np.int64)
    negative_N = np.zeros(num_examples, bool)
    infinite = [np.empty(0, np.int64)]
    for start in range(0, num_examples, _ROWS_AT_ONCE):
        piece = slice(start, start + _ROWS_AT_ONCE)
        losses_mT = trajectories.rows(piece)
        if losses_mT.min() >= _LEAST_LOSS and losses_mT.max() <= _LARGEST_LOSS:  # false if any is NaN
            continue
        negative_N[piece] = (losses_mT < _LEAST_LOSS).any(1)
        nan_mT = np.isnan(losses_mT) & usable_N[piece, None]
        num_nan_m = nan_mT.sum(1)
        num_nan_N[piece] = num_nan_m
        num_nan_T += nan_mT.sum(0)
        num_partial_T += nan_mT[num_nan_m < num_checkpoints].sum(0)
        too_large_m = (np.abs(losses_mT) > _LARGEST_LOSS).any(1) & usable_N[piece]
        infinite.append(start + np.flatnonzero(too_large_m))
    return LossCounts(usable_N, num_nan_N, num_nan_T, num_partial_T, negative_N, np.concatenate(infinite))


def refuse_losses(counts: LossCounts, trajectories: Trajectories) -> None:
    """Raises: ValueError for infinite or negative losses, or if no row has a loss at every checkpoint."""
    if len(counts.infinite):
        raise ValueError(
            f"{trajectories.origin}: {_rows_have(counts.infinite)} an infinite loss "
            f"(or one beyond {_LARGEST_LOSS:g}), expected finite numbers: "
            f"{row_numbers_text(counts.infinite)}. The model of that checkpoint has diverged: leave it out "
            "(subset.steps), or write NaN for rows that are to be left out"
        )
    negative = np.flatnonzero(counts.scorable_N & counts.negative_N)
    if len(negative):
        raise ValueError(
            f"{trajectories.origin}: {_rows_have(negative)} a loss below 0 "
            f"({row_numbers_text(negative)}), expected minus the mean log-probability of a response's "
            "tokens, which never is: are these losses, with that sign?"
        )
    if not counts.scorable_N.any():
        names = trajectories.checkpoint_titles
        where = ", ".join(
            f"{number:,} at {name}" for name, number in zip(names, counts.num_nan_T, strict=True)
        )
        raise ValueError(
            f"{trajectories.origin}: each of {counts.usable_N.sum():,} rows is NaN somewhere ({where}), "
            "expected rows with a loss at every checkpoint: "
            "leave such checkpoints out (subset.steps), or score again"
        )


def loss_remarks(counts: LossCounts, trajectories: Trajectories) -> list[str]:
    """What a person is told of the losses."""
    remarks = []
    unscorable = counts.unscorable
    if len(unscorable):
        remarks.append(
            f"{_rows_have(unscorable)} no loss (NaN), not selectable: {row_numbers_text(unscorable)}"
        )
    partial = unscorable[counts.num_nan_N[unscorable] < len(trajectories.columns)]
    if len(partial):
        names = trajectories.checkpoint_titles
        where = ", ".join(name for name, number in zip(names, counts.num_partial_T, strict=True) if number)
        remarks.append(
            f"{len(partial):,} of those are NaN at some checkpoints only ({where}): "
            f"{row_numbers_text(partial)}"
        )
    return remarks


def row_numbers_text(rows: np.ndarray) -> str:
    """The first of some row numbers, for a message."""
    return f"{'row' if len(rows) == 1 else 'rows'} {first_of(rows)}"


def _rows_have(rows: np.ndarray) -> str:
    return counted(len(rows), "row has", "rows have")
