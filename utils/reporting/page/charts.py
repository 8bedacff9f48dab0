"""A figure as data, before plotly or matplotlib draws it, with the table that says the same"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Number = float | int | None
LOSS = "loss (nats per response token)"  # titles of axes
CHECKPOINT = "checkpoint (optimizer step)"


@dataclass(frozen=True)
class Series:
    """One line, set of points or bars of a figure.

    Attributes:
        name: in the legend. Empty where it has no entry there.
        x: numbers, or names on an axis of names.
        y: likewise. None breaks a line.
        kind: line; steps (a line that holds its value up to the next x); points; bars; cells (squares whose
            area is `sizes` and whose colour is `shades`).
        low: lower ends of a band around a line or of error bars on points; of points along x.
        high: upper ends.
        look: which colour, dash and mark, by number. None is grey, for what stands back.
        is_thin: of many lines in one, broken by None.
        texts: what is said of each point under the pointer.
        sizes: of cells.
        shades: of cells, from 0 to 1.
    """

    name: str
    x: Sequence[Any]
    y: Sequence[Any]
    kind: Literal["line", "steps", "points", "bars", "cells"] = "line"
    low: Sequence[Number] | None = None
    high: Sequence[Number] | None = None
    look: int | None = 0
    is_thin: bool = False
    texts: Sequence[str] | None = None
    sizes: Sequence[int] | None = None
    shades: Sequence[float] | None = None


@dataclass(frozen=True)
class Chart:
    """A figure.

    Attributes:
        key: its id and the name of its file.
        title: what it shows.
        note: how to read it, in a sentence or two.
        x_title: of the axis, with the unit.
        y_title: likewise.
        series: drawn in this order.
        x_log: whether the axis is logarithmic.
        names_on_y: whether the y axis has names, the first at the top.
        heading: of the table beside it.
        table: rows of it, as texts.
        links: of the first cell of each of these rows, empty where they lead nowhere.
        height: pixels, None for the usual.
        shade_title: of the colours of cells.
        is_stacked: whether bars stand one behind the other.
        x_marks: names of places on the x axis, where it is not numbers.
    """

    key: str
    title: str
    note: str
    x_title: str
    y_title: str
    series: list[Series]
    x_log: bool = False
    names_on_y: bool = False
    heading: list[str] = field(default_factory=list)
    table: list[list[str]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    height: int | None = None
    shade_title: str = ""
    is_stacked: bool = False
    x_marks: list[str] = field(default_factory=list)


# Okabe and Ito's colours, which people without full colour vision tell apart, in an order in which
# neighbours differ in lightness too. Each has a dash and a mark of its own besides.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a6a00", "#a04000")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px 2px", "2px 4px")
MARKS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "triangle-down", "star")
GREY = "#8a8f98"
# From few to all: blue to yellow, even in lightness (the middle of cividis, Nunez et al., 2018, PLOS ONE
# 13:e0199239, whose ends would be lost on a dark and on a white page).
SHADES = ("#1f386b", "#434e6c", "#666970", "#878479", "#aba074", "#d6bf4f")


def number(value: float | int | None) -> str:
    """A number of a table."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}"


def interval_text(interval: tuple[float, float] | None) -> str:
    """An interval of a table."""
    return "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def rounded(values: np.ndarray) -> list[float]:
    """Numbers short enough for a page and exact enough for a figure."""
    return [float(f"{value:.5g}") for value in values]
