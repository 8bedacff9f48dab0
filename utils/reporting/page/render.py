"""The page as one file: templates filled, data packed, a policy that lets nothing in or out

Legend: N rows of the pool.
"""

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jinja2
import numpy as np

from ...artifacts.comparisons import SHOWN_IF
from ...artifacts.paths import RunPaths, results_root
from ...artifacts.subsets import COMPOSITION, REASONS, stability_path
from .charts import Chart, number
from .clusters import ClusterTable, cluster_table
from .facts import Fact, PageFacts, SubsetFacts
from .figures.before_and_after import before_and_after, source_mix
from .figures.budgets import score_against_budget
from .figures.comparison import (
    all_values,
    cost_chart,
    difference_charts,
    losses_by_source,
    value_charts,
)
from .figures.loss_map import map_cells, map_chart
from .figures.trainings import training_curves
from .figures.trajectories import (
    commonest_source,
    members_chart,
    one_cluster_and_many,
    panel_chart,
    row_chart,
)
from .figures.trust import stability_chart
from .held_rows import HeldRows, RowArrays, hold_rows
from .histograms import LossMap, loss_map
from .labels import harmless
from .packing import Packed, json_in_html, pack_array, pack_text
from .plotly_figures import plotly_figure, plotly_script
from .tiles import headlines

if TYPE_CHECKING:
    from ...data.rows import Rows

LARGEST_PAGE = 25_000_000  # bytes
_BESIDE_THE_ROWS = 700_000  # bytes of template, style, script and figures, about
_TEMPLATES = Path(__file__).parent / "templates"
_MOST_SOURCES_OF_A_CLUSTER = 8
_MOST_HEADLINES = 6  # of the first screen
_SEED = 0
_SECTIONS = {
    "answer": "Answer",
    "trajectories": "Trajectories",
    "map": "Map",
    "before": "Before and after",
    "trust": "Trust",
    "rows": "Search",
    "comparison": "Comparison",
}


@dataclass(frozen=True)
class Page:
    """A page that was made.

    Attributes:
        html: all of it.
        charts: its figures, for files.
    """

    html: str
    charts: list[Chart]


@dataclass(frozen=True)
class _Drawn:
    """What the figures are made from. Attributes: as the functions that make them say."""

    clusters: ClusterTable | None
    loss_map: LossMap | None


def render_page(facts: PageFacts, pool: "Rows | None") -> Page:
    """The page of what was gathered.

    Args:
        facts: from `gathering`.
        pool: the texts, None without.
    """
    drawn = _Drawn(
        cluster_table(facts.clustered, facts.losses) if facts.clustered is not None else None,
        loss_map(facts.losses, facts.subsets) if facts.losses is not None else None,
    )
    charts = _charts(facts, drawn)
    groups = _comparison_groups(facts)
    shown = [chart for part in charts.values() for chart in part]
    shown += [chart for group in groups for chart in group["charts"]]
    patterns = _patterns(facts, drawn)
    packed = [pack_text("plotly", plotly_script()), *_packed_clusters(drawn.clusters, facts)]
    held = None
    if facts.num_rows is not None and (facts.subsets or facts.losses is not None or pool is not None):
        arrays = _row_arrays(facts, drawn, pool if facts.sources is not None else None)
        beside = _BESIDE_THE_ROWS + sum(len(each.data) for each in packed)
        held = hold_rows(arrays, LARGEST_PAGE - beside, _SEED)
        packed += held.packed
    figure_data = {chart.key: plotly_figure(chart) for chart in (*shown, *patterns)}
    lines = [line for each in facts.comparisons for line in headlines(each)]
    script = (_TEMPLATES / "page.js").read_text(encoding="utf-8")
    values = {
        "page": facts,
        "sections": [{"id": key, "title": title} for key, title in _SECTIONS.items()],
        "lead": _lead(facts),
        "folders": ", ".join(sorted({step.folder for step in facts.steps if step.folder})),
        "headlines": lines[:_MOST_HEADLINES],
        "more_headlines": max(0, len(lines) - _MOST_HEADLINES),
        "confidence": f"{facts.comparisons[0].comparison.confidence:.0%}" if facts.comparisons else "",
        "shown_if": SHOWN_IF,
        "has_clusters": drawn.clusters is not None,
        "has_panels": drawn.clusters is not None and drawn.clusters.has_losses,
        "clusters_words": _clusters_words(drawn.clusters, facts.clustered),
        "charts": {
            "trajectories": charts["trajectories"],
            "map": (charts["map"] or [None])[0],
            "before": charts["before"],
            "trust": (charts["trust"] or [None])[0],
            "comparison": charts["comparison"],
        },
        "inspection": _inspection(facts),
        "measures": _measures(facts.subsets),
        "overlap": _overlap(facts.subsets),
        "not_selectable": _not_selectable(facts),
        "stability": _stability(facts),
        "has_rows": held is not None,
        "rows_words": _rows_words(held, facts),
        "sample_words": _sample_words(held),
        "explain": _explain(facts),
        "comparisons": groups,
        "figures_json": json_in_html(figure_data),
        "data_json": json_in_html(_data(facts, drawn)),
        "packed": packed,
        "script": script,
        "style": (_TEMPLATES / "page.css").read_text(encoding="utf-8"),
        "policy": _policy([script, plotly_script()]),
    }
    html = _environment(facts.folder).get_template("page.html").render(values)
    return Page(html, shown)


def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "harmless": harmless,
        "json": lambda value: json.dumps(value, default=str),
        "place": lambda file: os.path.relpath(file, results_root()),
        "link": lambda file: quote(os.path.relpath(file, folder)),
    }
    return environment


def _policy(scripts: Sequence[str]) -> str:
    """Scripts by their sha256 alone, no address to load from or send to. Plotly needs styles of its own."""
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii") for script in scripts
    ]
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


# Figures


def _charts(facts: PageFacts, drawn: _Drawn) -> dict[str, list[Chart]]:
    """Section -> its figures, without those of each comparison."""
    charts: dict[str, list[Chart | None]] = {
        "trajectories": [], "map": [], "before": [], "trust": [], "comparison": [],
    }  # fmt: skip
    losses = facts.losses
    if losses is not None and facts.clustered is not None and drawn.clusters is not None:
        charts["trajectories"] += one_cluster_and_many(facts.clustered, drawn.clusters, losses)
    charts["trajectories"].append(commonest_source(facts.subsets))
    charts["trajectories"].append(score_against_budget(facts.comparisons))
    if drawn.loss_map is not None:
        charts["map"].append(map_chart(drawn.loss_map, facts.subsets))
    charts["before"].append(source_mix(facts.subsets))
    if losses is not None:
        charts["before"] += before_and_after(losses, facts.subsets)
    if facts.clustered is not None:
        charts["trust"].append(stability_chart(facts.clustered))
    charts["comparison"].append(training_curves(facts.curves))
    return {section: [chart for chart in some if chart is not None] for section, some in charts.items()}


def _patterns(facts: PageFacts, drawn: _Drawn) -> list[Chart]:
    """Figures that the page fills when a cluster or row is looked at."""
    if facts.losses is None:
        return []
    table = drawn.clusters if drawn.clusters is not None and drawn.clusters.has_losses else None
    patterns = [row_chart(facts.losses, table)]
    if table is not None:
        patterns += [panel_chart(table, facts.losses), members_chart(table, facts.losses)]
    return patterns


def _comparison_groups(facts: PageFacts) -> list[dict[str, Any]]:
    groups = []
    for each in facts.comparisons:
        charts = [*difference_charts(each), *value_charts(each), cost_chart(each)]
        comparison = each.comparison
        groups.append(
            {
                "budget": each.budget or comparison.name,
                "remarks": [*(f"Not alike: {line}." for line in comparison.unlike), *comparison.remarks],
                "charts": [chart for chart in charts if chart is not None],
                "tables": [all_values(each), losses_by_source(each)],
                "cost_remarks": comparison.cost_remarks,
            }
        )
    return groups


# Rows and clusters


def _row_arrays(facts: PageFacts, drawn: _Drawn, pool: "Rows | None") -> RowArrays:
    assert facts.num_rows is not None
    return RowArrays(
        num_rows=facts.num_rows,
        losses=facts.losses,
        subsets=facts.subsets,
        clusters_N=None if facts.clustered is None else facts.clustered.clusters_N,
        cell_N=None if drawn.loss_map is None else drawn.loss_map.cell_N,
        source_codes_N=None if facts.sources is None else facts.sources.codes_N,
        pool=pool,
        reasons_N=None if facts.explained is None else facts.explained.reasons_N,
    )


def _packed_clusters(table: ClusterTable | None, facts: PageFacts) -> list[Packed]:
    if table is None or not table.has_losses:
        return []
    place_of = {name: place for place, name in enumerate(_source_names(facts))}
    commonest = np.array([place_of.get(entries[0][0], 0) for entries in table.sources], np.int32)
    arrays = {
        "number": table.numbers,
        "size": table.sizes.astype(np.int32),
        "taken": table.taken.astype(np.int32),
        "source": commonest,
        "slope": table.slopes,
        "mean": table.mean_KT,
        "low": table.low_KT,
        "high": table.high_KT,
    }
    return [pack_array(f"clusters-{name}", array) for name, array in arrays.items()]


def _source_names(facts: PageFacts) -> list[str]:
    if facts.sources is not None:
        return facts.sources.names
    return sorted(facts.subsets[0].composition["sources"]) if facts.subsets else []


def _data(facts: PageFacts, drawn: _Drawn) -> dict[str, Any]:
    """What the page's script knows besides figures and packed arrays."""
    table = drawn.clusters
    main = facts.explained
    bit = 1 << facts.subsets.index(main) if main is not None else 0
    of_clusters = [] if table is None else table.sources
    explain = _explain(facts)
    return {
        "checkpoints": [] if facts.losses is None else facts.losses.checkpoints,
        "sources": [harmless(name) for name in _source_names(facts)],
        "subsets": [harmless(subset.name) for subset in facts.subsets],
        "explainedBit": bit,
        "explained": harmless(main.name) if main is not None else "",
        "method": main.method if main is not None else "",
        "clusterSources": [
            [[harmless(name), rows, taken] for name, rows, taken in entries[:_MOST_SOURCES_OF_A_CLUSTER]]
            for entries in of_clusters
        ],
        "cells": [] if drawn.loss_map is None else map_cells(drawn.loss_map),
        "reasons": list(REASONS),
        "contamination": {
            str(row): harmless(words)
            for row, words in (main.contamination if main is not None else {}).items()
        },
        "explain": explain.removesuffix("ROW"),
    }


# Words and tables


def _lead(facts: PageFacts) -> str:
    if not facts.subsets or facts.num_rows is None:
        return f"{facts.num_rows:,} rows of {facts.pool_name}" if facts.num_rows else ""
    first = facts.subsets[0]
    words = f"{len(first.indices):,} of {facts.num_rows:,} rows, chosen by {first.name}"
    if len(facts.subsets) > 1:
        words += f", beside {', '.join(subset.name for subset in facts.subsets[1:])}"
    return f"{words}. Pool: {facts.pool_name}." if facts.pool_name else f"{words}."


def _clusters_words(table: ClusterTable | None, subset: SubsetFacts | None) -> str:
    if table is None or subset is None:
        return ""
    words = f"The clusters of {subset.name}, made of {subset.clusters_of}. "
    if not table.has_losses:
        return words
    words += (
        "Each panel: the mean loss at each checkpoint, and the band between the 10 % and 90 % quantiles "
        "of its rows, those side by side on one scale. Click one to see its rows."
    )
    if table.num_left_out:
        words += f" The {table.num_left_out:,} smallest clusters are left out of this page."
    return words


def _rows_words(held: HeldRows | None, facts: PageFacts) -> list[str]:
    if held is None:
        return []
    words = []
    if held.is_sample:
        words.append(
            f"This table holds {len(held.rows):,} of the {held.num_rows:,} rows, a seeded sample: "
            "rows of the subsets and some of every cluster first, then others at random. "
            "All figures but the trajectories "
            "of a cluster count every row."
        )
    if held.characters is not None:
        words.append(f"Texts of more than {held.characters:,} characters are cut, which shows as “…”.")
    if facts.losses is not None:
        words.append("Losses of rows are rounded to half precision (three digits).")
    if facts.sources is not None and not any(each.name == "rows-text" for each in held.packed):
        words.append("The rows have no texts: only their numbers and sources are known.")
    return words


def _sample_words(held: HeldRows | None) -> str:
    if held is None or not held.is_sample:
        return ""
    return (
        f"Lines and texts are of the {len(held.rows):,} rows that this page holds, a sample; "
        "band, mean and counts are of all rows."
    )


def _explain(facts: PageFacts) -> str:
    """The command that tells all of a row, without its number."""
    subset = facts.explained
    if subset is None:
        return ""
    return f"python select_s2l.py --config_file {RunPaths(subset.folder.parent.name).config} --explain ROW"


def _inspection(facts: PageFacts) -> list[dict[str, Any]]:
    if facts.inspection is None:
        return []
    values, file = facts.inspection
    return [
        {
            "name": kind.replace("_", " "),
            "rows": Fact(of_kind["rows"], f"{of_kind['rows']:,}", file, f"kinds.{kind}.rows"),
            "clearest": of_kind["clearest"],
        }
        for kind, of_kind in values["kinds"].items()
    ]


def _measures(subsets: Sequence[SubsetFacts]) -> Chart:
    """A table: what each method chose beyond its sources."""
    names = {
        "first_loss": "loss at the first checkpoint",
        "last_loss": "loss at the last checkpoint",
        "fall_of_loss": "fall of the loss",
        "response_tokens": "response tokens",
    }
    rows = []
    for subset in subsets:
        for key, measure in subset.composition["measures"].items():
            at_random = f"{number(measure['at_random'])} ± {number(measure['standard_error'])}"
            name = names.get(key, key) if len(subsets) == 1 else f"{subset.name}: {names.get(key, key)}"
            rows.append([name, number(measure["chosen"]), at_random])
    return Chart(
        "measures",
        "What was chosen, beside as many rows at random of each source",
        "Means over the chosen rows, and what random rows would give, ± one standard error of a draw.",
        "",
        "",
        [],
        heading=["mean of", "chosen", "at random"],
        table=rows,
    )


def _overlap(subsets: Sequence[SubsetFacts]) -> Chart:
    """A table: rows that two subsets have in common."""
    rows = []
    if len(subsets) > 1:
        for subset in subsets:
            cells = [subset.name]
            for other in subsets:
                both = len(np.intersect1d(subset.indices, other.indices, assume_unique=True))
                either = len(subset.indices) + len(other.indices) - both
                cells.append(f"{both:,} ({both / either:.1%})")
            rows.append(cells)
    return Chart(
        "overlap",
        "Overlap",
        "Rows that two subsets share, and their share of the rows in either (Jaccard).",
        "",
        "",
        [],
        heading=["subset", *(subset.name for subset in subsets)],
        table=rows,
    )


def _not_selectable(facts: PageFacts) -> list[dict[str, Any]]:
    table = []
    for reason in REASONS[1:]:
        cells: list[Fact | str] = []
        for subset in facts.subsets:
            counts = subset.composition.get("not_selectable")
            if counts is None:
                cells.append("not recorded")
            elif reason in counts:
                file = subset.folder / COMPOSITION
                cells.append(Fact(counts[reason], f"{counts[reason]:,}", file, f"not_selectable.{reason}"))
            else:
                cells.append("0")
        table.append({"reason": reason, "cells": cells})
    return table


def _stability(facts: PageFacts) -> dict[str, Any] | None:
    subset = facts.clustered
    if subset is None or subset.stability is None:
        return None
    file = stability_path(subset.folder)
    level = subset.stability["share_of_level"]
    target = subset.stability.get("target_losses")
    return {
        "level": Fact(level, f"{level:.0%}", file, "share_of_level"),
        "warnings": subset.stability["warnings"],
        "target": None
        if target is None
        else Fact(target["clusters"], number(target["clusters"]), file, "target_losses.clusters"),
    }
