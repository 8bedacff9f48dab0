"""The map: every row of the pool by its mean loss and by how much it fell"""

from collections.abc import Sequence

import numpy as np

from ....terminal import counted
from ..charts import LOSS, Chart, Series
from ..facts import SubsetFacts
from ..histograms import LossMap

_MOST_ROWS = 0.98  # of the pool, whose cells the colours tell apart


def map_chart(loss_map: LossMap, subsets: Sequence[SubsetFacts]) -> Chart:
    """Every row of the pool by its mean loss and by how much it fell."""
    cells = np.argwhere(loss_map.rows_XY > 0)
    x_centres = (loss_map.x_edges[:-1] + loss_map.x_edges[1:]) / 2
    y_centres = (loss_map.y_edges[:-1] + loss_map.y_edges[1:]) / 2
    sizes = [int(loss_map.rows_XY[x, y]) for x, y in cells]
    taken = [int(loss_map.taken_XY[0][x, y]) for x, y in cells] if subsets else [0] * len(cells)
    shades = [chosen / size for chosen, size in zip(taken, sizes, strict=True)]
    texts = [
        f"{counted(size, 'row')}, {chosen:,} chosen; mean loss {x_centres[x]:.3g}, fell by {y_centres[y]:.3g}"
        for (x, y), size, chosen in zip(cells, sizes, taken, strict=True)
    ]
    note = "Each square is a cell of the map; its area says how many rows lie there. "
    if subsets:
        note += f"Its colour says which share of them is in the subset ({subsets[0].name}). "
    note += "The outermost cells hold what lies beyond them. "
    note += "Click a square, or its line in the table below, to list its rows."
    order = sorted(range(len(cells)), key=lambda place: -sizes[place])
    numbers = map_cells(loss_map)
    table = [
        [
            f"{x_centres[cells[place][0]]:.3g}",
            f"{y_centres[cells[place][1]]:.3g}",
            f"{sizes[place]:,}",
            f"{taken[place]:,}",
        ]
        for place in order
    ]
    series = Series(
        "",
        [float(x_centres[x]) for x, _ in cells],
        [float(y_centres[y]) for _, y in cells],
        "cells",
        texts=texts,
        sizes=sizes,
        shades=shades,
    )
    return Chart(
        "map",
        "All rows: mean loss over the checkpoints against its fall from the first to the last",
        note,
        f"mean {LOSS}",
        "fall of the loss",
        [series],
        heading=["mean loss", "fall", "rows", "chosen"],
        table=table,
        links=[f"#cell={numbers[place]}" for place in order],
        height=440,
        shade_title="share chosen" if subsets else "",
        shade_end=_shade_end(sizes, shades),
    )


def _shade_end(sizes: Sequence[int], shades: Sequence[float]) -> float:
    """The share chosen that only cells of a few rows pass, all of whose rows may be chosen by chance."""
    order = np.argsort(shades)
    rows = np.cumsum(np.array(sizes)[order])
    if not len(rows):
        return 1.0
    return shades[int(order[np.searchsorted(rows, _MOST_ROWS * rows[-1])])] or 1.0


def map_cells(loss_map: LossMap) -> list[int]:
    """The numbers of the cells in the order of the points of `map_chart`."""
    num_y = loss_map.rows_XY.shape[1]
    return [int(x * num_y + y) for x, y in np.argwhere(loss_map.rows_XY > 0)]
