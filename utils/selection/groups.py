"""Positions by group, without a Python object for each: there may be a million sources.

Legend: n positions, m some of them, G groups.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_ROWS_AT_ONCE = 2**20
_PIECE = 2**16
_SORTED_AT_ONCE = 2**22
_ROWS_TOGETHER = 2**14  # of small groups: sorting them one by one costs more than sorting by two keys


def count_by_number(group_n: np.ndarray, num_groups: int) -> np.ndarray:
    """int64 (G,): how often each number occurs. In pieces: numpy would make eight bytes of every number."""
    sizes = np.zeros(num_groups, np.int64)
    for start in range(0, len(group_n), _ROWS_AT_ONCE):
        sizes += np.bincount(group_n[start : start + _ROWS_AT_ONCE], minlength=num_groups)
    return sizes


@dataclass(frozen=True)
class Groups:
    """Groups of positions, one after the other in one array.

    Attributes:
        position_n: integers, group g in bounds[g]:bounds[g + 1].
        bounds: int64 (G + 1,).
    """

    position_n: np.ndarray
    bounds: np.ndarray

    @classmethod
    def by_number(cls, group_n: np.ndarray, num_groups: int) -> "Groups":
        """Ascending positions of each group. Some may be empty.

        Args:
            group_n: integers in [0, num_groups).
        """
        if num_groups == 1:
            return cls.single(np.arange(len(group_n), dtype=np.int32))
        bounds = np.concatenate([[0], np.cumsum(count_by_number(group_n, num_groups))])
        next_place = bounds[:-1].copy()
        position_n = np.empty(len(group_n), np.int32)
        # In pieces: numpy's argsort takes eight bytes a row, twice.
        for start in range(0, len(group_n), _SORTED_AT_ONCE):
            group_m = group_n[start : start + _SORTED_AT_ONCE]
            # numpy sorts 16 bits by radix, several times faster.
            narrow_m = group_m.astype(np.uint16) if num_groups <= 2**16 else group_m
            order_m = np.argsort(narrow_m, kind="stable")
            sizes_here = np.bincount(group_m, minlength=num_groups)
            begins_here = np.cumsum(sizes_here) - sizes_here
            place_m = np.arange(len(group_m)) + np.repeat(next_place - begins_here, sizes_here)
            position_n[place_m] = start + order_m
            next_place += sizes_here
        return cls(position_n, bounds)

    @classmethod
    def single(cls, position_n: np.ndarray) -> "Groups":
        """All of them in one group."""
        return cls(position_n, np.array([0, len(position_n)]))

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, group: int) -> np.ndarray:
        return self.position_n[self.bounds[group] : self.bounds[group + 1]]

    @property
    def sizes(self) -> np.ndarray:
        """int64 (G,)."""
        return np.diff(self.bounds)

    def batches(self) -> Iterator[slice]:
        """Which groups to sort together: a large one by itself, small ones with those beside them."""
        start = 0
        while start < len(self):
            full = self.bounds[start] + _ROWS_TOGETHER
            stop = max(start + 1, int(np.searchsorted(self.bounds, full, side="right")) - 1)
            yield slice(start, stop)
            start = stop

    def pieces(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Piece by piece: where in `position_n`, the groups there, and how many positions of each."""
        for start in range(0, len(self.position_n), _PIECE):
            stop = min(start + _PIECE, len(self.position_n))
            first = int(np.searchsorted(self.bounds, start, side="right")) - 1
            last = int(np.searchsorted(self.bounds, stop))
            sizes = np.diff(np.clip(self.bounds[first : last + 1], start, stop))
            there = np.flatnonzero(sizes)
            yield slice(start, stop), first + there, sizes[there]
