"""Trajectories and texts as lines of characters, for a terminal of 100 columns.

Legend: T checkpoints.
"""

import textwrap

import numpy as np

from utils.artifacts.trajectories import Trajectories

WIDTH = 100
_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(losses_T: np.ndarray, lowest: float, highest: float) -> str:
    """One block per checkpoint, its height the loss on the scale from `lowest` to `highest`; "?" where it is NaN."""
    span = max(highest - lowest, 1e-12)
    heights = (np.clip((loss - lowest) / span, 0, 1) * (len(_BLOCKS) - 1) for loss in losses_T.tolist())
    return "".join("?" if np.isnan(height) else _BLOCKS[round(height)] for height in heights)


def band_line(value: float, low: float, middle: float, high: float, lowest: float, highest: float, width: int) -> str:
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


def one_line(text: str, width: int) -> str:
    """The beginning of a text on one line; a cut shows as "..."."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= width else line[: width - 3] + "..."


def name_cell(name: str, width: int) -> list[str]:
    """A name as the first cell of a table's line: a longer one gets a line of its own before it."""
    shown = repr(name)[1:-1] or "(none)"  # a newline in a name must not break the table
    if len(shown) <= width:
        return [f"{shown:<{width}}"]
    return [shown if len(shown) <= WIDTH else shown[: WIDTH - 3] + "...", " " * width]


def labelled(label: str, text: str, max_lines: int = 100) -> list[str]:
    """A text of possibly several lines beside its label, wrapped; lines beyond `max_lines` are counted, not shown."""
    lines = []
    for paragraph in text.split("\n"):
        lines += textwrap.wrap(printable(paragraph), WIDTH - 14, break_on_hyphens=False) or [""]
    left = len(lines) - max_lines
    if left > 1:
        lines = [*lines[:max_lines], f"... {left} more lines"]
    return [f"  {label if not number else '':<12}{line}".rstrip() for number, line in enumerate(lines)]


def printable(text: str) -> str:
    """The text without characters that would move the cursor or colour the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def checkpoint_names(trajectories: Trajectories) -> list[str]:
    """One short name per checkpoint: its step, or its column where a file does not say the steps."""
    if trajectories.steps is None:
        return [f"col {number}" for number in range(len(trajectories.columns))]
    return [str(step) for step in trajectories.steps]


def spread_evenly(count: int, at_most: int) -> list[int]:
    """Positions 0 ... count - 1, or `at_most` of them evenly spread, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, at_most))})
