"""Pieces of work: a range of the length-sorted pool at one checkpoint.

What is done of them lies in parts/ until a checkpoint is whole, so that a killed run loses the units in
flight and nothing else. Neither the units nor the batches inside them depend on the number of devices: the
same bits on one as on many.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..artifacts.checksums import checksum_of_json
from ..artifacts.files import save_arrays
from ..artifacts.locks import locked
from ..data.batching import batch_widths
from ..process.reporter import reporter
from ..reading import load_npz
from .plan import ScoringPlan

_SECONDS = "seconds"  # in a unit's file, beside its quantities


@dataclass(frozen=True)
class Unit:
    """One range of examples at one checkpoint."""

    step: int
    number: int

    @property
    def file_name(self) -> str:
        return f"unit-{self.number}.npz"


class Units:
    """The units of a plan, and the results that are on disk."""

    def __init__(self, plan: ScoringPlan, examples_per_unit: int):
        self._plan = plan
        self._examples_per_unit = examples_per_unit
        rows = plan.tokens.scorable_rows
        lengths = batch_widths(plan.tokens)[rows]
        longest = int(lengths.max(initial=0))
        shortfall = (longest - lengths).astype(np.min_scalar_type(longest))  # 16 bits sort in linear time
        self._rows = rows[np.argsort(shortfall, kind="stable")]
        self.per_checkpoint = max(1, -(-len(rows) // examples_per_unit))

    def rows(self, unit: Unit) -> np.ndarray:
        """int64: the rows of a unit, longest first."""
        start = unit.number * self._examples_per_unit
        return self._rows[start : start + self._examples_per_unit]

    def pending(self, steps: list[int]) -> list[Unit]:
        """Units of these checkpoints that are not whole on disk, checkpoint after checkpoint."""
        folders = {step: self._folder(step) for step in steps}
        with locked(self._plan.folder.path):  # else another launch might just be removing an empty parts/
            for folder in folders.values():
                folder.mkdir(parents=True, exist_ok=True)
        units = [Unit(step, number) for step in steps for number in range(self.per_checkpoint)]
        return [unit for unit in units if not _is_whole(folders[unit.step] / unit.file_name)]

    def finish(self, unit: Unit, scores: dict[str, np.ndarray], seconds: float) -> None:
        """Keep what a unit gave.

        Args:
            unit: that is done.
            scores: quantity -> array, in the order of its rows.
            seconds: that it took its device.
        """
        save_arrays(self._folder(unit.step) / unit.file_name, {**scores, _SECONDS: np.asarray(seconds)})
        self.assemble(unit.step)

    def assemble(self, step: int) -> None:
        """If all units of a checkpoint are there, put its results in place and drop the parts."""
        folder = self._folder(step)
        units = [Unit(step, number) for number in range(self.per_checkpoint)]
        # From the last, which is the likeliest to be missing.
        if not all((folder / unit.file_name).is_file() for unit in reversed(units)):
            return
        with locked(self._plan.folder.path):
            if not folder.is_dir():  # another worker was faster
                return
            pieces = ((self.rows(unit), *_read_part(folder / unit.file_name)) for unit in units)
            self._plan.folder.finish(step, len(self._plan.tokens), pieces)

    def _folder(self, step: int) -> Path:
        """Parts of other weights, inputs or sizes lie in other folders and are never mixed in."""
        identity = [
            self._plan.fingerprints[step],
            self._plan.inputs,
            self._plan.quantities,
            self._examples_per_unit,
        ]
        key = checksum_of_json(identity)[:12]
        return self._plan.folder.parts_of(step) / key


def _is_whole(path: Path) -> bool:
    """Whether a unit's file is there. A damaged one goes."""
    if not path.exists():
        return False
    try:
        _read_part(path)
    except (ValueError, KeyError):
        reporter.warn(f"  {path} is damaged: its examples are scored again")
        path.unlink()
        return False
    return True


def _read_part(path: Path) -> tuple[dict[str, np.ndarray], float]:
    """What a unit gave, and the seconds it took its device."""
    arrays = load_npz(path)
    seconds = float(arrays.pop(_SECONDS))
    return arrays, seconds
