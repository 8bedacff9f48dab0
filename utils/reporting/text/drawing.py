"""Trajectories as lines of characters.

Legend: T checkpoints.
"""

from dataclasses import dataclass

import numpy as np

_BLOCKS = "▁▂▃▄▅▆▇█"
_LEAST_SPAN = 1e-12  # a scale of no length would be divided by


@dataclass(frozen=True)
class Scale:
    """What a plot reaches from and to."""

    lowest: float
    highest: float

    def share(self, value: float) -> float:
        """0 at the lowest value or below it, 1 at the highest or above."""
        span = max(self.highest - self.lowest, _LEAST_SPAN)
        return min(max((value - self.lowest) / span, 0), 1)


def sparkline(losses_T: np.ndarray, scale: Scale) -> str:
    """One block per checkpoint, its height the loss on the scale; "?" where it is NaN."""
    return "".join(
        "?" if np.isnan(loss) else _BLOCKS[round(scale.share(loss) * (len(_BLOCKS) - 1))]
        for loss in losses_T.tolist()
    )


def band_line(value: float, band: tuple[float, float, float], scale: Scale, width: int) -> str:
    """A line of a plot: dots over a band, "|" at its middle, "o" at the value ("@" where both fall together).

    Args:
        value: NaN is not drawn.
        band: its lower end, its middle and its upper end.
        scale: of the line.
        width: in characters.
    """
    low, middle, high = (round(scale.share(loss) * (width - 1)) for loss in band)
    cells = [" "] * width
    cells[low : high + 1] = "." * (high - low + 1)
    cells[middle] = "|"
    if not np.isnan(value):
        place = round(scale.share(value) * (width - 1))
        cells[place] = "@" if place == middle else "o"
    return "".join(cells).rstrip()
