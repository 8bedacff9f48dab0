"""Rows in bins: the map of losses, and lengths and losses before and after

Legend: N rows of the pool, X bins of the mean loss, Y bins of its fall, B bins.
"""

from dataclasses import dataclass

import numpy as np

from .facts import LossFacts, SubsetFacts

_CELLS = (48, 20)  # nearly square where the map is as wide as the page
_BINS = 40
_ENDS = (0.005, 0.995)  # quantiles: what lies beyond counts in the outer bins


@dataclass(frozen=True)
class LossMap:
    """All rows with losses, by their mean loss and by how much it fell.

    Attributes:
        x_edges: float (X + 1,), of the mean loss over the checkpoints.
        y_edges: float (Y + 1,), of the first loss minus the last.
        rows_XY: int64, how many rows lie in each cell.
        taken_XY: one a subset: int64, how many of these are in it.
        cell_N: int32 (N,), x * Y + y of each row, -1 without losses.
    """

    x_edges: np.ndarray
    y_edges: np.ndarray
    rows_XY: np.ndarray
    taken_XY: list[np.ndarray]
    cell_N: np.ndarray


@dataclass(frozen=True)
class Histogram:
    """Shares of the pool and of each subset in bins. Attributes: edges: (B + 1,). pool: (B,). subsets."""

    edges: np.ndarray
    pool: np.ndarray
    subsets: list[np.ndarray]


def loss_map(losses: LossFacts, subsets: list[SubsetFacts]) -> LossMap:
    """The map. With one checkpoint nothing falls, and it is one row of cells."""
    mean_N = np.zeros(losses.num_examples, np.float32)
    for column_N in losses.columns:
        mean_N += column_N
    mean_N /= len(losses.columns)
    fall_N = np.asarray(losses.columns[0]) - np.asarray(losses.columns[-1])
    scorable_N = np.isfinite(mean_N)
    x_edges = _edges(mean_N[scorable_N], _CELLS[0])
    y_edges = _edges(fall_N[scorable_N], _CELLS[1] if len(losses.columns) > 1 else 1)
    num_y = len(y_edges) - 1
    cell_N = np.where(scorable_N, _bin_of(mean_N, x_edges) * num_y + _bin_of(fall_N, y_edges), -1)
    shape = (len(x_edges) - 1, num_y)

    def counted(cell_m: np.ndarray) -> np.ndarray:
        return np.bincount(cell_m[cell_m >= 0], minlength=shape[0] * shape[1]).reshape(shape)

    taken = [counted(cell_N[subset.indices]) for subset in subsets]
    return LossMap(x_edges, y_edges, counted(cell_N), taken, cell_N.astype(np.int32))


def histogram(value_N: np.ndarray, subsets: list[SubsetFacts], is_log: bool = False) -> Histogram:
    """Shares in bins, even ones or, of counts, ones that grow. Values that are not finite count nowhere."""
    finite_N = np.isfinite(value_N)
    if is_log:
        finite_N &= value_N > 0
    edges = _edges(value_N[finite_N], _BINS, is_log)

    def shares(value_m: np.ndarray, finite_m: np.ndarray) -> np.ndarray:
        counts = np.bincount(_bin_of(value_m[finite_m], edges), minlength=len(edges) - 1)
        return counts / max(1, int(counts.sum()))

    of_subsets = [shares(value_N[subset.indices], finite_N[subset.indices]) for subset in subsets]
    return Histogram(edges, shares(value_N, finite_N), of_subsets)


def _edges(values: np.ndarray, num_bins: int, is_log: bool = False) -> np.ndarray:
    """Ascending edges between `_ENDS` of the values."""
    if not len(values):
        return np.array([0.0, 1.0])
    low, high = np.quantile(values, _ENDS)
    if low == high:
        return np.array([low - 0.5, high + 0.5])
    if is_log:
        edges = np.unique(np.round(np.geomspace(max(low, 1), max(high, 2) + 1, num_bins + 1)))
        # Rounding makes bins of 1, 2, 1, 2 numbers, whose shares rise and fall with nothing in the data.
        widths = np.maximum.accumulate(np.diff(edges))
        steady = edges[0] + np.concatenate([[0], np.cumsum(widths)])
        return steady[: np.searchsorted(steady, edges[-1]) + 1]
    return np.linspace(low, high, num_bins + 1)


def _bin_of(value_m: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """int64 (m,). What lies outside the edges counts in the first or last bin, NaN in the last."""
    return np.clip(np.searchsorted(edges, value_m, side="right") - 1, 0, len(edges) - 2)
