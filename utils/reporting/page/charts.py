"""A figure as data, before plotly or matplotlib draws it, with the table that says the same"""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from .labels import apart, lines_of

Number = float | int | None
LOSS = "loss (nats per response token)"  # titles of axes
CHECKPOINT = "checkpoint (optimizer step)"
BEYOND = " An arrow with a number stands for what lies beyond the axis."


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

    @property
    def joins_nothing(self) -> bool:
        """Whether a line would not be seen, since it has one place: that of a single checkpoint."""
        return len({place for place in self.x if place is not None}) == 1

    def errors(self, centre: Sequence[Any]) -> tuple[list[float], list[float]] | None:
        """How far the error bars reach below and above these values, None without any."""
        if self.low is None or self.high is None:
            return None
        below = [0.0 if low is None else value - low for value, low in zip(centre, self.low, strict=True)]
        above = [0.0 if high is None else high - value for value, high in zip(centre, self.high, strict=True)]
        return below, above


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
        shade_title: of the colours of cells, empty where these say nothing.
        shade_end: that has the last colour, as has what lies beyond it.
        is_stacked: whether bars stand one behind the other.
        x_marks: names of places on the x axis, where it is not numbers.
        x_range: ends of the axis, None where they follow from the data.
        y_range: likewise.
        beyond: (name on the y axis, value) of each value outside x_range: an arrow there, with its number.
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
    shade_end: float = 1.0
    is_stacked: bool = False
    x_marks: list[str] = field(default_factory=list)
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    beyond: list[tuple[str, float]] = field(default_factory=list)

    @property
    def shade_ticks(self) -> dict[float, str]:
        """The marks beside the colours of cells."""
        shades = [shade for series in self.series for shade in series.shades or ()]
        is_fine = self.shade_end < 0.1
        ticks = {
            tick: f"{tick:.1%}" if is_fine else f"{tick:.0%}"
            for tick in (0.0, self.shade_end / 2, self.shade_end)
        }
        if max(shades, default=0) > self.shade_end:
            ticks[self.shade_end] += " or more"
        return ticks

    @property
    def log_ticks(self) -> list[int]:
        """The marks of a logarithmic x axis."""
        values = [value for series in self.series for value in series.x if value is not None]
        return log_ticks(min(values), max(values))

    @property
    def axis_names(self) -> dict[str, list[str]]:
        """Each name on the y axis -> its label there, in lines. From the top, as the table has them."""
        names = list(dict.fromkeys(name for series in self.series for name in series.y))
        in_table = {row[0]: place for place, row in enumerate(self.table)}
        if in_table.keys() >= set(names):
            names.sort(key=in_table.__getitem__)
        return dict(zip(names, map(lines_of, apart(names)), strict=True))

    def arrows(self) -> Iterator["Arrow"]:
        """What stands for the values beyond the ends of the x axis: at most one of a name at each end."""
        if self.x_range is None:
            return
        ends: dict[tuple[str, bool], list[str]] = {}
        for name, value in self.beyond:
            ends.setdefault((name, value < self.x_range[0]), []).append(number(value).replace("-", "−"))
        for (name, is_left), texts in ends.items():
            yield Arrow(name, self.x_range[0 if is_left else 1], is_left, ", ".join(texts))


@dataclass(frozen=True)
class Arrow:
    """A mark at an end of the x axis. Attributes: name: on the y axis. x: that end. text: the values."""

    name: str
    x: float
    is_left: bool
    text: str


# Okabe and Ito's colours, which people without full colour vision tell apart, in an order in which
# neighbours differ in lightness too. There is one dash and one mark fewer than colours, so that a ninth line
# differs from the first in these: 56 pairs in all.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a6a00", "#a04000")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px 2px")
MARKS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "triangle-down")
GREY = "#8a8f98"
# From few to all: blue to yellow, even in lightness (the middle of cividis, Nunez et al., 2018, PLOS ONE
# 13:e0199239, whose ends would be lost on a dark and on a white page).
SHADES = ("#1f386b", "#434e6c", "#666970", "#878479", "#aba074", "#d6bf4f")


_FAR = 5  # times as far as the median point: what lies beyond is an arrow
_MOST_TICKS = 8
_DIGITS = ((10, 20, 50), range(10, 100, 5), range(10, 100))  # of ticks, tenths: the first that give three


def log_ticks(low: float, high: float) -> list[int]:
    """Whole numbers between two, as round as they can be where three or more are to be had."""
    whole = range(math.ceil(low), math.floor(high) + 1)
    for digits in _DIGITS:
        ticks = [digit * 10**power // 10 for power in range(8) for digit in digits]
        found = sorted({tick for tick in ticks if tick in whole})
        if len(found) >= 3:
            break
    else:
        found = list(whole)
    return found[:: max(1, -(-len(found) // _MOST_TICKS))]


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


def padded(low: float, high: float) -> tuple[float, float]:
    """Ends of an axis with some room, from 0 where that is not far."""
    room = 0.06 * (high - low) or 0.5
    return 0.0 if 0 <= low < high / 3 else low - room, high + room


def range_around_most(
    series: Sequence[Series], centre: float | None = None
) -> tuple[tuple[float, float], list[tuple[str, float]]]:
    """Ends of the x axis around all intervals, but for those far beyond the others, which would hide these.

    Args:
        series: points with names on the y axis.
        centre: a value that lies on the axis, and from which distances count. None: the median of all.

    Returns: the ends, and `Chart.beyond`: the value of a point that lies outside, else the ends of its
        interval that do.
    """
    points: list[tuple[str, float, tuple[float, float]]] = []
    for each in series:
        parts: list[Sequence[Any]] = [each.x, each.low or each.x, each.high or each.x]
        points += [(name, value, (low, high)) for name, value, low, high in zip(each.y, *parts, strict=True)]
    middle = statistics.median(value for _, value, _ in points) if centre is None else centre
    distances = [max(abs(end - middle) for end in interval) for _, _, interval in points]
    reach = _FAR * statistics.median(distances) or math.inf
    ends = [] if centre is None else [centre]
    for (_, _, interval), distance in zip(points, distances, strict=True):
        if distance <= reach:
            ends += interval
    x_range = padded(min(ends), max(ends))
    beyond: dict[tuple[str, float], None] = {}  # in order, and a value that two kinds of interval share once
    for name, value, interval in points:
        is_out = not x_range[0] <= value <= x_range[1]
        shown = (value,) if is_out else interval
        beyond |= {(name, end): None for end in shown if not x_range[0] <= end <= x_range[1]}
    return x_range, list(beyond)


def rounded(values: np.ndarray) -> list[float]:
    """Numbers short enough for a page and exact enough for a figure."""
    return [float(f"{value:.5g}") for value in values]
