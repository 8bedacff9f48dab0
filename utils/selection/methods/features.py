"""What k-means sees of a row: its losses, or what is made of them.

    losses      L_1 ... L_T as they are, as S2L does
    shape       L_t less the row's own mean over the checkpoints: how a loss moves, whatever its level
    reductions  (L_t - L_{t+1}) / L_t: the share of its loss that a row loses between checkpoints.
                The second feature of "Prune, Then Select" (submitted to ICLR 2026, withdrawn).
    whitened    the columns decorrelated over the pool, each of variance 1
    embeddings  no losses, but the last checkpoint's mean response embeddings, at unit length

A reduction divides by at least a thousandth of a nat, below which a loss is rounding. So a loss of 0 that
stays 0 is reduced by 0, and all reductions are finite.

Whitened columns are those of Cholesky: with C = F F' the covariance of the columns, a row x becomes
F^-1 (x - mean). Column t is then what the columns before it do not tell of the loss at checkpoint t.
Squared distances are Mahalanobis's, (x - y)' C^-1 (x - y). They are the same of every other whitening (ZCA,
PCA), which are rotations of this one: k-means cannot tell them apart. A column that does not vary, or that
follows from those before it, becomes 0. Sums are taken column by column in float64, in pieces that do not
depend on the machine, and without BLAS: the same bits on any number of threads. Where a subset is extended,
the old rows say how to whiten.

Legend: n rows, m some of them, T checkpoints.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...config.names import Features
from ...config.schema import SubsetConfig
from ..candidates import Candidates
from .embeddings import unit_embeddings
from .kmeans import ReadRows

LEAST_LOSS = 1e-3  # nats: below, a loss is rounding
_UNTOLD = 1e-10  # of a column's variance: float32 losses say no more than that of it
_ROWS_AT_ONCE = 2**16


def shape(losses_mT: np.ndarray) -> np.ndarray:
    """float32 (m, T)."""
    level_m = np.zeros(len(losses_mT))
    for loss_m in losses_mT.T:  # numpy's own mean over a row depends on how the rows lie in memory
        level_m += loss_m
    level_m /= losses_mT.shape[1]
    return (losses_mT - level_m[:, None]).astype(np.float32)


def reductions(losses_mT: np.ndarray) -> np.ndarray:
    """float32 (m, T - 1)."""
    earlier_mT = losses_mT[:, :-1].astype(np.float64)
    return ((earlier_mT - losses_mT[:, 1:]) / np.maximum(earlier_mT, LEAST_LOSS)).astype(np.float32)


@dataclass(frozen=True)
class Whitening:
    """How to decorrelate the columns of losses.

    Attributes:
        mean_T: of each column.
        factor_TT: F, lower triangular; 0 on the diagonal where the column tells nothing new.
    """

    mean_T: np.ndarray
    factor_TT: np.ndarray

    @classmethod
    def of(cls, read_rows: ReadRows, num_rows: int) -> "Whitening":
        """That of these rows.

        Args:
            num_rows: n, of which the first are read.
        """
        pieces = [
            slice(start, min(start + _ROWS_AT_ONCE, num_rows)) for start in range(0, num_rows, _ROWS_AT_ONCE)
        ]
        num_columns = read_rows(slice(0, 1)).shape[1]
        mean_T = np.zeros(num_columns)
        for piece in pieces:
            mean_T += [loss_m.sum() for loss_m in _columns(read_rows(piece))]
        mean_T /= num_rows
        covariance_TT = np.zeros((num_columns, num_columns))
        for piece in pieces:
            offsets = [loss_m - mean for loss_m, mean in zip(_columns(read_rows(piece)), mean_T, strict=True)]
            for one in range(num_columns):
                for other in range(one + 1):
                    covariance_TT[one, other] += (offsets[one] * offsets[other]).sum()
        return cls(mean_T, _cholesky(covariance_TT / num_rows))

    def apply(self, losses_mT: np.ndarray) -> np.ndarray:
        """float32 (m, T): F^-1 (x - mean) of each row, by forward substitution."""
        white_mT = np.zeros(losses_mT.shape, np.float32)
        told: list[tuple[int, np.ndarray]] = []  # column, and the float64 numbers that it became
        for column, loss_m in enumerate(_columns(losses_mT)):
            scale = self.factor_TT[column, column]
            if scale == 0:
                continue
            rest_m = loss_m - self.mean_T[column]
            for earlier, white_m in told:
                rest_m -= self.factor_TT[column, earlier] * white_m
            rest_m /= scale
            told.append((column, rest_m))
            white_mT[:, column] = rest_m
        return white_mT


def _columns(losses_mT: np.ndarray) -> list[np.ndarray]:
    return [loss_m.astype(np.float64) for loss_m in losses_mT.T]


def _cholesky(covariance_TT: np.ndarray) -> np.ndarray:
    """The lower triangular F of C = F F'. By hand: LAPACK's rounding depends on the processor.

    Args:
        covariance_TT: C, of which the lower half is read.
    """
    factor_TT = np.zeros_like(covariance_TT)
    for row in range(len(covariance_TT)):
        for column in range(row):
            if factor_TT[column, column] > 0:
                told = (factor_TT[row, :column] * factor_TT[column, :column]).sum()
                factor_TT[row, column] = (covariance_TT[row, column] - told) / factor_TT[column, column]
        untold = covariance_TT[row, row] - (factor_TT[row, :row] ** 2).sum()
        if untold > _UNTOLD * covariance_TT[row, row]:
            factor_TT[row, row] = np.sqrt(untold)
    return factor_TT


def _in_pieces(read_rows: ReadRows, make: Callable[[np.ndarray], np.ndarray]) -> ReadRows:
    """Reads what is made of rows. A piece at a time, for it is made in float64."""

    def read(position_m: np.ndarray | slice) -> np.ndarray:
        losses_mT = read_rows(position_m)
        starts = range(0, max(1, len(losses_mT)), _ROWS_AT_ONCE)
        return np.concatenate([make(losses_mT[start : start + _ROWS_AT_ONCE]) for start in starts])

    return read


# Name -> (how to read losses, how many of the first rows say how to whiten) -> how to read the features.
OF_LOSSES: dict[Features, Callable[[ReadRows, int], ReadRows]] = {
    "losses": lambda read_rows, num_rows: read_rows,
    "shape": lambda read_rows, num_rows: _in_pieces(read_rows, shape),
    "reductions": lambda read_rows, num_rows: _in_pieces(read_rows, reductions),
    "whitened": lambda read_rows, num_rows: _in_pieces(read_rows, Whitening.of(read_rows, num_rows).apply),
}


def read_features(candidates: Candidates, subset: SubsetConfig) -> ReadRows:
    """Reads float32 (m, d): what is clustered, by position among the candidates.

    Raises: as `unit_embeddings`.
    """
    if subset.features == "embeddings":
        return unit_embeddings(candidates)
    num_rows = len(candidates.rows)
    if candidates.stored is not None:
        num_rows = int(np.searchsorted(candidates.rows, len(candidates.stored.clusters)))
    return OF_LOSSES[subset.features](candidates.read_losses, num_rows)


def fewest_checkpoints(features: Features) -> int:
    """What these features can be made of: a loss moves between two."""
    return 2 if features in ("shape", "reductions") else 1


def check_features(num_checkpoints: int, subset: SubsetConfig) -> None:
    """Refuse features that so many checkpoints do not have. Raises: ValueError."""
    if num_checkpoints < fewest_checkpoints(subset.features):
        raise ValueError(
            f"subset.features: found {subset.features} with 1 checkpoint, expected at least 2, between which "
            "a loss can move: score more of them, or set subset.features=losses"
        )
