"""The trajectory debugger: which rows were never learnt, forgotten, known, identical or unscorable.

What the kinds are is said in `selection/kinds.py`.

Legend: T checkpoints.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...artifacts.files import atomic_write, remove_leftovers, save_array, write_json
from ...artifacts.locks import locked
from ...artifacts.paths import RunPaths
from ...artifacts.trajectories.identity import trajectories_identity
from ...config.names import TrajectoryKind, look_up
from ...config.schema import RunConfig
from ...data.rows import Rows
from ...terminal import spread_evenly
from ..candidates import Candidates
from ..groups import count_by_number
from ..kinds import KINDS, classify_rows
from ..opening import open_candidates

QUANTILES = (0.9, 0.5, 0.1)  # of the losses at a checkpoint
_NUM_MEASURED_CHECKPOINTS = 9  # whose losses are ordered for their quantiles


@dataclass(frozen=True)
class Case:
    """A row that shows a kind clearly.

    Attributes:
        row: its number.
        losses_T: at each checkpoint.
        topic: of its text, in a line. Empty where the pool has no texts.
    """

    row: int
    losses_T: np.ndarray
    topic: str


@dataclass(frozen=True)
class RowsOfKind:
    """The rows of one kind.

    Attributes:
        rows: int64, ascending row numbers of the pool.
        by_source: how many each source has of them.
        clearest: a few of them, the clearest case first.
    """

    rows: np.ndarray
    by_source: dict[str, int]
    clearest: list[Case]


@dataclass(frozen=True)
class Inspection:
    """What the trajectories of a pool are like.

    Attributes:
        num_examples: of the pool.
        num_selectable: of them, those with a loss at every checkpoint.
        by_source: how many rows each source has.
        num_checkpoints: of the trajectories.
        quantiles: short name of a checkpoint -> `QUANTILES` of the losses there, of many checkpoints some.
        known_below: the loss (nats per response token) that `known` compares with.
        kinds: the rows of each.
        trajectories: the identity of the losses.
    """

    num_examples: int
    num_selectable: int
    by_source: dict[str, int]
    num_checkpoints: int
    quantiles: dict[str, list[float]]
    known_below: float
    kinds: dict[TrajectoryKind, RowsOfKind]
    trajectories: str


@dataclass(frozen=True)
class RowList:
    """A list of rows to write.

    Attributes:
        kind: of these rows.
        path: a .npy or .txt, as subset.exclude and subset.include read them.
    """

    kind: TrajectoryKind
    path: Path


def row_lists_of(words: list[tuple[str, str]]) -> list[RowList]:
    """What the words (kind, file) ask for. Raises: ValueError for an unknown kind or another ending."""
    known: dict[str, TrajectoryKind] = {kind: kind for kind in KINDS}
    exports = []
    for name, file in words:
        path = Path(file)
        kind = look_up(known, name, "--export")
        if path.suffix not in (".npy", ".txt"):
            raise ValueError(f"--export {name}: found {path}, expected a file ending in .npy or .txt")
        if path in [export.path for export in exports]:
            raise ValueError(f"--export: found {path} twice, expected a file for each kind")
        if path.is_dir():
            raise ValueError(f"--export {name}: found the folder {path}, expected a file to write")
        exports.append(RowList(kind, path))
    return exports


def inspect_pool(config: RunConfig) -> Inspection:
    """Raises: ValueError, FileNotFoundError as for opening the pool and the trajectories."""
    pool, candidates = open_candidates(config)
    classified = classify_rows(candidates)
    kinds: dict[TrajectoryKind, RowsOfKind] = {}
    for kind, rows in classified.rows.items():
        clearest = [_case(row, pool, candidates) for row in classified.clearest[kind]]
        kinds[kind] = RowsOfKind(rows, _count_by_source(pool, rows), clearest)
    return Inspection(
        num_examples=len(pool),
        num_selectable=len(candidates.rows),
        by_source=_count_by_source(pool, slice(None)),
        num_checkpoints=candidates.num_checkpoints,
        quantiles=_quantiles(candidates),
        known_below=classified.known_below,
        kinds=kinds,
        trajectories=trajectories_identity(candidates.needed_trajectories),
    )


def write_inspection(config: RunConfig, inspection: Inspection) -> Path:
    """inspection.json: kind -> how many rows it has, of each source too, and the clearest of them."""
    kinds: dict[str, Any] = {}
    for kind, of_kind in inspection.kinds.items():
        kinds[kind] = {
            "rows": len(of_kind.rows),
            "by_source": of_kind.by_source,
            "clearest": [case.row for case in of_kind.clearest],
        }
    path = RunPaths(config.run_name).inspection
    content = {
        "num_examples": inspection.num_examples,
        "known_below": inspection.known_below,
        "trajectories": inspection.trajectories,
        "kinds": kinds,
    }
    with locked(path):
        remove_leftovers(path.parent, path.name)
        write_json(path, content)
    return path


def write_row_list(rows: np.ndarray, path: Path) -> None:
    """Write row numbers: int64 .npy if the name ends so, else text with one number a line."""
    if path.suffix == ".npy":
        save_array(path, rows)
        return
    with atomic_write(path) as file:
        file.writelines(f"{row}\n" for row in rows.tolist())


def _count_by_source(pool: Rows, rows: np.ndarray | slice) -> dict[str, int]:
    num_S = count_by_number(pool.source_codes[rows], len(pool.source_names))
    return dict(zip(pool.source_names, num_S.tolist(), strict=True))


def _case(row: int, pool: Rows, candidates: Candidates) -> Case:
    losses_T = candidates.losses(np.array([row]))[0]
    return Case(row, losses_T, pool[row].topic)


def _quantiles(candidates: Candidates) -> dict[str, list[float]]:
    columns = candidates.needed_trajectories.columns
    names = candidates.needed_trajectories.checkpoint_names
    return {
        names[column]: np.quantile(columns[column][candidates.rows], QUANTILES).tolist()
        for column in spread_evenly(len(columns), _NUM_MEASURED_CHECKPOINTS)
    }
