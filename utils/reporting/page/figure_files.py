"""The figures of a page as files for papers, drawn by matplotlib from the same data"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...artifacts.files import atomic_write
from ...process.reporter import reporter
from ...terminal import columns, counted, first_of
from .charts import COLOURS, GREY, SHADES, Chart, Series
from .labels import short

_DASHES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (8, 2, 1, 2)), (0, (4, 1)))
_MARKS = ("o", "s", "D", "^", "x", "P", "v")
_HATCHES = ("", "//", "xx", "..", "\\\\", "++", "--")  # of bars
_WIDTH = 4.8  # inches
_LEGEND_CHARACTERS = 64  # of a line, with the marks


def write_figure_files(charts: Sequence[Chart], folder: Path, formats: Sequence[str]) -> list[Path]:
    """One file of each figure in each format. Those of an earlier command are replaced.

    Args:
        formats: of `FIGURE_FORMATS`.
    """
    import warnings

    import matplotlib

    matplotlib.use("agg")
    settings: dict[Any, Any] = {
        "font.family": "sans-serif",
        "font.size": 9,
        "text.parse_math": False,  # a dollar in the name of a source is a dollar
        "pdf.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "s2l",
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    paths = []
    with matplotlib.rc_context(settings), warnings.catch_warnings(record=True) as caught:
        for chart in charts:
            figure = _draw(chart)
            for kind in formats:
                path = folder / f"{chart.key}.{kind}"
                with atomic_write(path, "wb") as file:
                    figure.savefig(file, format=kind, dpi=200, bbox_inches="tight", metadata=_undated(kind))
                paths.append(path)
    _say_missing(sorted({str(each.message) for each in caught if "missing from" in str(each.message)}))
    return paths


def _say_missing(messages: Sequence[str]) -> None:
    """Characters that matplotlib's font lacks, by what it says of each."""
    if messages:
        codes = [message.removeprefix("Glyph ").split()[0] for message in messages]
        found = first_of(chr(int(code)) for code in codes)
        reporter.warn(
            f"note: matplotlib's font lacks {counted(len(codes), 'character')} of the names in the figures "
            f"({found}), which are boxes in these files. The page has them: its camera saves SVG"
        )


def _undated(kind: str) -> dict[str, Any]:
    """The same data gives the same file."""
    return {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind, {})


def _draw(chart: Chart) -> Any:
    from matplotlib.figure import Figure

    height = 3.0 if chart.height is None else max(2.0, chart.height / 110)
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    if chart.names_on_y:
        _draw_by_name(axes, chart)
    else:
        for number, series in enumerate(chart.series):
            _draw_series(figure, axes, chart, series, number)
    if chart.x_log:
        axes.set_xscale("log")
        axes.set_xticks(chart.log_ticks, [f"{tick:,}" for tick in chart.log_ticks])
        axes.set_xticks([], minor=True)
    if chart.x_marks:
        step = -(-len(chart.x_marks) // 8)
        axes.set_xticks(range(len(chart.x_marks))[::step], chart.x_marks[::step])
    if any(series.kind == "steps" for series in chart.series):
        axes.set_ylim(bottom=0)
    if chart.x_range is not None:
        axes.set_xlim(chart.x_range)
        if chart.x_range[0] < 0:
            axes.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    if chart.y_range is not None:
        axes.set_ylim(chart.y_range)
    axes.set_xlabel(chart.x_title)
    axes.set_ylabel(chart.y_title)
    names = [short(series.name) for series in chart.series if series.name]
    if len(names) > 1:
        # Above the axes: inside, it would lie on what is drawn.
        num_columns = max(1, _LEGEND_CHARACTERS // (max(map(columns, names)) + 6))
        figure.legend(loc="outside upper left", ncols=num_columns, frameon=False, fontsize=8)
    return figure


def _colour(series: Series) -> str:
    return GREY if series.look is None else COLOURS[series.look % len(COLOURS)]


def _label(series: Series) -> str | None:
    return short(series.name) if series.name else None


def _draw_series(figure: Any, axes: Any, chart: Chart, series: Series, number: int) -> None:
    look = 0 if series.look is None else series.look % len(_MARKS)
    colour = _colour(series)
    x = [float("nan") if value is None else value for value in series.x]
    y = [float("nan") if value is None else value for value in series.y]
    if series.kind == "bars":
        num_bars = sum(each.kind == "bars" for each in chart.series)
        width = 0.8 / num_bars
        places = [place + (number - (num_bars - 1) / 2) * width for place in range(len(x))]
        axes.bar(
            places, y, width, color=colour, hatch=_HATCHES[look], edgecolor="white", label=_label(series)
        )
        axes.set_xticks(range(len(x)), [str(value) for value in series.x])
    elif series.kind == "cells":
        _draw_cells(figure, axes, chart, series)
    elif series.kind == "points":
        axes.errorbar(
            x,
            y,
            yerr=series.errors(series.y),
            fmt=_MARKS[look],
            color=colour,
            capsize=3,
            markersize=5,
            label=_label(series),
        )
    else:
        if series.low is not None and series.high is not None:
            axes.fill_between(x, series.low, series.high, color=colour, alpha=0.22, linewidth=0)
        axes.plot(
            x,
            y,
            color=colour,
            linestyle=":" if series.look is None else "-" if series.is_thin else _DASHES[look],
            linewidth=0.6 if series.is_thin else 1.6,
            marker="." if series.joins_nothing else None,
            drawstyle="steps-post" if series.kind == "steps" else "default",
            label=_label(series),
        )


def _draw_cells(figure: Any, axes: Any, chart: Chart, series: Series) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    assert series.sizes is not None and series.shades is not None
    colours = LinearSegmentedColormap.from_list("shades", SHADES)
    largest = max(series.sizes, default=1)
    drawn = axes.scatter(
        series.x,
        series.y,
        s=[max(1.5, 42 * size / largest) for size in series.sizes],
        c=list(series.shades),
        cmap=colours,
        vmin=0,
        vmax=chart.shade_end,
        marker="s",
        linewidth=0,
    )
    if chart.shade_title:
        bar = figure.colorbar(drawn, ax=axes, label=chart.shade_title)
        bar.set_ticks(list(chart.shade_ticks), labels=list(chart.shade_ticks.values()))


def _draw_by_name(axes: Any, chart: Chart) -> None:
    names = chart.axis_names
    place_of = {name: place for place, name in enumerate(names)}
    height = 0.8 if chart.is_stacked else 0.8 / max(1, len(chart.series))
    ends = [0.0] * len(names)
    for number, series in enumerate(chart.series):
        look = 0 if series.look is None else series.look % len(_MARKS)
        shift = 0.0 if chart.is_stacked else (number - (len(chart.series) - 1) / 2) * height
        places = [place_of[name] + shift for name in series.y]
        values = [0.0 if value is None else value for value in series.x]
        if series.kind == "bars":
            left = [ends[place_of[name]] for name in series.y] if chart.is_stacked else None
            axes.barh(
                places,
                values,
                height,
                left=left,
                color=_colour(series),
                hatch=_HATCHES[look],
                edgecolor="white",
                label=_label(series),
            )
            for name, value in zip(series.y, values, strict=True):
                ends[place_of[name]] += value
        else:
            axes.errorbar(
                values,
                places,
                xerr=series.errors(values),
                fmt=_MARKS[look],
                color=_colour(series),
                capsize=3,
                markersize=5,
                label=_label(series),
            )
    for arrow in chart.arrows():
        place = place_of[arrow.name]
        axes.plot(arrow.x, place, "<" if arrow.is_left else ">", color=GREY, markersize=5, clip_on=False)
        axes.annotate(
            arrow.text,
            (arrow.x, place),
            (6, 0),  # right of either: the names are left of the axes, and what lies there is free
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=8,
        )
    axes.locator_params(axis="x", nbins=5)  # beside long names there is room for few
    axes.set_yticks(range(len(names)), ["\n".join(lines) for lines in names.values()])
    axes.set_ylim(len(names) - 0.5, -0.5)  # the first at the top
