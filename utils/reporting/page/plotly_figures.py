"""Figures for the page: what plotly's script draws them from, in light colours, which the page may darken"""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import plotly.offline

from .charts import COLOURS, DASHES, GREY, MARKS, SHADES, Chart, Series
from .labels import for_plotly, short

HEIGHT = 340
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
_INK = "#1b1f24"
_LINE = "#d4d8dd"
_PATTERNS = ("", "/", "x", ".", "\\", "+", "-")  # of bars, as many as dashes
_LARGEST_CELL = 11  # pixels; the page makes it larger where there is room


def plotly_script() -> str:
    """The script of the installed package."""
    return plotly.offline.get_plotlyjs()


def plotly_figure(chart: Chart) -> dict[str, Any]:
    """Data and layout as JSON holds them."""
    traces: list[Any] = []
    for series in chart.series:
        traces += _traces(series, chart)
    if chart.beyond:
        traces.append(_arrows(chart))
    figure = go.Figure(traces, _layout(chart))
    return figure.to_plotly_json() | {"layout": _without_template(figure)}


def _without_template(figure: go.Figure) -> dict[str, Any]:
    layout = figure.layout.to_plotly_json()
    layout.pop("template", None)
    return layout


def _layout(chart: Chart) -> go.Layout:
    named = [series for series in chart.series if series.name]
    axis = {
        "gridcolor": _LINE,
        "linecolor": _LINE,
        "zerolinecolor": GREY,
        "exponentformat": "power",
        "ticks": "outside",
        "tickcolor": _LINE,
        "ticklen": 4,
        "automargin": True,
        "fixedrange": True,
    }
    x_axis = axis | {"title": {"text": for_plotly(chart.x_title), "standoff": 8}}
    y_axis = axis | {"title": {"text": for_plotly(chart.y_title), "standoff": 8}}
    if chart.x_log:
        # Plotly would write 2 and 5 alone, and small, between 10 and 100.
        x_axis |= {
            "type": "log",
            "tickmode": "array",
            "tickvals": chart.log_ticks,
            "ticktext": [f"{tick:,}" for tick in chart.log_ticks],
        }
    if chart.x_marks:
        places = list(range(len(chart.x_marks)))
        step = -(-len(places) // 8)
        x_axis |= {
            "tickmode": "array",
            "tickvals": places[::step],
            "ticktext": [for_plotly(mark) for mark in chart.x_marks][::step],
            "range": [-0.3, len(places) - 0.7],
            "tickangle": 0,
            "zeroline": False,
        }
    if chart.names_on_y:
        y_axis |= {"type": "category", "autorange": "reversed", "showgrid": False, "zeroline": False}
        labels = [_axis_label(lines) for lines in chart.axis_names.values()]
        y_axis |= {"categoryorder": "array", "categoryarray": labels}
    if any(series.kind == "steps" for series in chart.series):
        y_axis["rangemode"] = "tozero"
    for range_of, ends in ((x_axis, chart.x_range), (y_axis, chart.y_range)):
        if ends is not None:
            range_of["range"] = ends
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
    return go.Layout(
        template="none",
        height=chart.height or HEIGHT,
        margin={"l": 8, "r": 12, "t": 34 if len(named) > 1 or chart.shade_title else 10, "b": 8},
        font={"family": _FONT, "size": 12, "color": _INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="closest",
        hoverlabel={"font": {"family": _FONT, "size": 12}, "namelength": 40},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": GREY},
        showlegend=len(named) > 1,
        legend=legend,
        scattermode="group" if chart.names_on_y else "overlay",  # intervals of one name beside each other
        scattergap=0.5,
        barmode="stack" if chart.is_stacked else "group",
        bargap=0.25,
        xaxis=x_axis,
        yaxis=y_axis,
    )


def _traces(series: Series, chart: Chart) -> list[Any]:
    common = _common(series, chart)
    match series.kind:
        case "bars":
            return [_bars(series, chart, common)]
        case "points":
            return [_points(series, chart, common)]
        case "cells":
            return [_cells(series, chart, common)]
        case "line" | "steps":
            return [*_band(series), _line(series, common)]


def _common(series: Series, chart: Chart) -> dict[str, Any]:
    """What traces of every kind say of the series."""
    y = list(series.y)
    if chart.names_on_y:
        labels = chart.axis_names
        y = [_axis_label(labels[name]) for name in y]
    common: dict[str, Any] = {
        "x": list(series.x),
        "y": y,
        "name": for_plotly(short(series.name)) if series.name else "",
        "showlegend": bool(series.name),
        "legendgroup": series.name or None,
    }
    if series.texts is not None:
        common |= {"text": [for_plotly(text) for text in series.texts], "hoverinfo": "text"}
    elif series.is_thin:
        common |= {"hoverinfo": "skip"}
    return common


def _axis_label(lines: Sequence[str]) -> str:
    return "<br>".join(map(for_plotly, lines))


def _look(series: Series) -> int:
    return 0 if series.look is None else series.look


def _colour(series: Series) -> str:
    return GREY if series.look is None else COLOURS[series.look % len(COLOURS)]


def _bars(series: Series, chart: Chart, common: dict[str, Any]) -> Any:
    pattern = {
        "shape": _PATTERNS[_look(series) % len(_PATTERNS)],
        "fillmode": "overlay",
        "fgcolor": "#ffffff",
        "fgopacity": 0.4,
        "size": 6,
    }
    return go.Bar(
        **common,
        orientation="h" if chart.names_on_y else "v",
        marker={"color": _colour(series), "line": {"width": 0}, "pattern": pattern},
    )


def _points(series: Series, chart: Chart, common: dict[str, Any]) -> Any:
    errors = {}
    ends = series.errors(series.x if chart.names_on_y else series.y)
    if ends is not None:
        below, above = ends
        errors["error_x" if chart.names_on_y else "error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": above,
            "arrayminus": below,
            "color": _colour(series),
            "thickness": 1.5,
            "width": 4,
        }
    marker = {"color": _colour(series), "symbol": MARKS[_look(series) % len(MARKS)], "size": 9}
    place = {"orientation": "h", "offsetgroup": str(_look(series))} if chart.names_on_y else {}
    return go.Scatter(**common, **place, mode="markers", marker=marker, **errors)


def _arrows(chart: Chart) -> Any:
    arrows = list(chart.arrows())
    labels = chart.axis_names
    return go.Scatter(
        x=[arrow.x for arrow in arrows],
        y=[_axis_label(labels[arrow.name]) for arrow in arrows],
        mode="markers+text",
        marker={
            "symbol": ["triangle-left" if arrow.is_left else "triangle-right" for arrow in arrows],
            "size": 9,
            "color": GREY,
        },
        text=[arrow.text for arrow in arrows],
        textposition=["middle right" if arrow.is_left else "middle left" for arrow in arrows],
        orientation="h",
        offsetgroup="0",
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )


def _band(series: Series) -> list[Any]:
    if series.low is None or series.high is None:
        return []
    return [
        go.Scatter(
            x=[*series.x, *reversed(series.x)],
            y=[*series.high, *reversed(series.low)],
            fill="toself",
            fillcolor=_colour(series),
            opacity=0.22,
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            legendgroup=series.name or None,
        )
    ]


def _line(series: Series, common: dict[str, Any]) -> Any:
    dash = "dot" if series.look is None else DASHES[series.look % len(DASHES)]
    is_thin = series.is_thin
    has_no_marks = is_thin or series.kind == "steps" or len(series.x) > 30
    return go.Scatter(
        **common,
        mode="markers" if series.joins_nothing else "lines" if has_no_marks else "lines+markers",
        line={
            "color": _colour(series),
            "dash": "solid" if is_thin and series.look is not None else dash,
            "width": 1 if is_thin else 2.2,
            "shape": "hv" if series.kind == "steps" else "linear",
        },
        opacity=0.65 if is_thin else 1,
        marker={"symbol": MARKS[_look(series) % len(MARKS)], "size": 6, "color": _colour(series)},
        connectgaps=False,
    )


def _cells(series: Series, chart: Chart, common: dict[str, Any]) -> Any:
    assert series.sizes is not None and series.shades is not None
    largest = max(series.sizes, default=1)
    places = [place / (len(SHADES) - 1) for place in range(len(SHADES))]
    return go.Scatter(
        **common,
        mode="markers",
        marker={
            "symbol": "square",
            "size": [max(2.5, _LARGEST_CELL * (size / largest) ** 0.5) for size in series.sizes],
            "color": list(series.shades),
            "cmin": 0,
            "cmax": chart.shade_end,
            "colorscale": [list(pair) for pair in zip(places, SHADES, strict=True)],
            "line": {"width": 0},
            "opacity": 1,
            "showscale": bool(chart.shade_title),
            "colorbar": {
                "title": {"text": for_plotly(chart.shade_title), "side": "top", "font": {"size": 12}},
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1.02,
                "yanchor": "bottom",
                "len": 0.5,
                "tickvals": list(chart.shade_ticks),
                "ticktext": list(chart.shade_ticks.values()),
                "thickness": 8,
                "outlinewidth": 0,
            },
        },
        customdata=list(range(len(series.sizes))),
    )
