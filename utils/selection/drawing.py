"""Trajectories as lines of characters.

Legend: T checkpoints.
"""

import numpy as np

from ..artifacts.trajectories.read import Trajectories

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(losses_T: np.ndarray, lowest: float, highest: float) -> str:
    """One block per checkpoint, its height the loss on the scale from `lowest` to `highest`; "?" where it is NaN."""
    span = max(highest - lowest, 1e-12)
    heights = (np.clip((loss - lowest) / span, 0, 1) * (len(_BLOCKS) - 1) for loss in losses_T.tolist())
    return "".join("?" if np.isnan(height) else _BLOCKS[round(height)] for height in heights)


def band_line(
    value: float, low: float, middle: float, high: float, lowest: float, highest: float, width: int
) -> str:
    """A line of a plot: dots from `low` to `high`, "|" at `middle`, "o" at `value` ("@" where both fall together)."""
    span = max(highest - lowest, 1e-12)

    def column(loss: float) -> int:
        return round(min(max((loss - lowest) / span, 0), 1) * (width - 1))

    cells = [" "] * width
    cells[column(low) : column(high) + 1] = "." * (column(high) - column(low) + 1)
    cells[column(middle)] = "|"
    if not np.isnan(value):
        cells[column(value)] = "@" if column(value) == column(middle) else "o"
    return "".join(cells).rstrip()


def checkpoint_names(trajectories: Trajectories) -> list[str]:
    """One short name per checkpoint: its step, or its column where a file does not say the steps."""
    if trajectories.steps is None:
        return [f"col {number}" for number in range(len(trajectories.columns))]
    return [str(step) for step in trajectories.steps]


def spread_evenly(count: int, at_most: int) -> list[int]:
    """Positions 0 ... count - 1, or `at_most` of them evenly spread, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, at_most))})
