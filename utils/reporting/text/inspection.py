"""What the trajectories of a pool are like: losses by checkpoint, the kinds of rows, the clearest of each.

Legend: T checkpoints.
"""

from typing import TYPE_CHECKING

import numpy as np

from ...terminal import WIDTH, one_line, spread_evenly, table
from .drawing import Scale, sparkline

if TYPE_CHECKING:
    from ...config.names import TrajectoryKind
    from ...selection.checks.inspection import Case, Inspection, RowList

MEANINGS: "dict[TrajectoryKind, str]" = {
    "never_learnt": "the loss never falls below 95 % of what it was at the first checkpoint",
    "forgotten": (
        "the loss falls by 5 % or more, then half of that or more comes back (at least 5 % of the first)"
    ),
    "known": "first and last loss are at most {known_below:.2f}, where only the best tenth of the rows ends",
    "identical": "the same losses, to the bit, as a row with a lower number",
    "unscorable": (
        "no loss (NaN) at some checkpoint, as of a response that max_length cut off whole; never chosen"
    ),
}
_QUANTILE_NAMES = ("90 % below", "half below", "10 % below")
_NUM_SHOWN_SOURCES = 30
_NUM_DRAWN_CHECKPOINTS = 24
_NAME_WIDTH = 36


def inspection_text(inspection: "Inspection") -> str:
    title = f"loss (mean nats per response token) of {inspection.num_selectable:,} rows by checkpoint"
    sections = [
        [title, *_loss_lines(inspection)],
        _kind_lines(inspection),
        _source_lines(inspection),
        _case_lines(inspection),
    ]
    return "\n".join("\n".join([*section, ""]) for section in sections).rstrip("\n")


def row_list_text(export: "RowList", num_rows: int) -> str:
    return f"{export.path}: {num_rows:,} rows {export.kind}; leave them out with subset.exclude={export.path}"


def _loss_lines(inspection: "Inspection") -> list[str]:
    columns = inspection.quantiles.values()
    rows = [
        (name, *(f"{quantiles[place]:.3f}" for quantiles in columns))
        for place, name in enumerate(_QUANTILE_NAMES)
    ]
    lines = table(["", *inspection.quantiles], rows, indent="  ")
    if len(columns) < inspection.num_checkpoints:
        lines.append(f"  ({len(columns)} of {inspection.num_checkpoints} checkpoints shown)")
    return lines


def _kind_lines(inspection: "Inspection") -> list[str]:
    """A table whose rows each have their meaning below."""
    rows = []
    for kind, of_kind in inspection.kinds.items():
        num_rows = len(of_kind.rows)
        rows.append((kind, f"{num_rows:,}", f"{100 * num_rows / inspection.num_examples:.1f}"))
    heading, *lines = table(["kind", "rows", "% of pool"], rows)
    with_meanings = [heading]
    for kind, line in zip(inspection.kinds, lines, strict=True):
        with_meanings += [line, f"    {MEANINGS[kind].format(known_below=inspection.known_below)}"]
    return with_meanings


def _source_lines(inspection: "Inspection") -> list[str]:
    sizes = inspection.by_source
    largest = sorted(sizes, key=lambda source: -sizes[source])[:_NUM_SHOWN_SOURCES]
    rows = []
    for source in sorted(largest):
        counts = [of_kind.by_source[source] for of_kind in inspection.kinds.values()]
        cells = [f"{count:,}" if count else "-" for count in counts]
        rows.append((source or "(none)", f"{sizes[source]:,}", *cells))
    lines = table(["rows by source", "all", *inspection.kinds], rows, widest_name=_NAME_WIDTH)
    if len(sizes) > len(largest):
        lines.append(f"... and {len(sizes) - len(largest):,} smaller sources")
    return lines


def _case_lines(inspection: "Inspection") -> list[str]:
    cases = {kind: of_kind.clearest for kind, of_kind in inspection.kinds.items() if of_kind.clearest}
    if not cases:
        return []
    drawn = "each drawn from its own lowest to its own highest loss"
    lines = [f"clearest cases, first to last checkpoint ({drawn})"]
    for kind, of_kind in cases.items():
        lines += [kind, *map(_case_line, of_kind)]
    return lines


def _case_line(case: "Case") -> str:
    losses_T = case.losses_T[spread_evenly(len(case.losses_T), _NUM_DRAWN_CHECKPOINTS)]
    known_t = losses_T[~np.isnan(losses_T)]
    scale = Scale(float(known_t.min(initial=np.inf)), float(known_t.max(initial=-np.inf)))
    ends = f"{losses_T[0]:6.3f} -> {losses_T[-1]:6.3f}"
    line = f"  row {case.row:<9}{sparkline(losses_T, scale)}  {ends}  "
    return (line + one_line(case.topic, WIDTH - len(line))).rstrip()
