"""Which rows a run is trained on: the pool, or a subset on disk if it is what is asked for now."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..artifacts.manifests import check_inputs
from ..artifacts.paths import RunPaths, manifest_in, named_subset
from ..artifacts.pools import pool_record
from ..artifacts.subsets import Subset, SubsetManifest, how_to_make_subset, read_subset
from ..config.schema import RunConfig
from ..data.pool import Pool
from ..data.rows import Rows
from ..terminal import counted
from .budgets import budget_inputs, single_subset_problems
from .inputs import loss_inputs_if_there, pool_inputs, subset_inputs
from .opening import open_pool, read_extended
from .unscorable import row_numbers_text
from .validation import open_validation, rows_of_validation


@dataclass(frozen=True)
class ChosenRows:
    """The rows that a run trains on.

    Attributes:
        rows: int64, ascending row numbers of the pool.
        subset_manifest: of the subset they are, None for the whole pool.
        remarks: for the user.
    """

    rows: np.ndarray
    subset_manifest: SubsetManifest | None
    remarks: list[str]


def chosen_rows(config: RunConfig, pool: Pool) -> ChosenRows | None:
    """The whole pool, or the subset. None where the run's own subset is yet to be made.

    Raises: as `resolve_subset`.
    """
    if config.subset is None:
        return ChosenRows(pool.usable_rows, None, _validation_remarks(pool))
    if config.subset.same_as is None and not manifest_in(RunPaths(config.run_name).subset).exists():
        return None
    return rows_of_subset(config, pool)


def rows_of_subset(config: RunConfig, pool: Pool) -> ChosenRows:
    """Raises: as `resolve_subset`."""
    subset, remarks = _compared_subset(config, pool)
    return ChosenRows(subset.indices, subset.manifest, remarks)


def resolve_subset(config: RunConfig, pool: Rows | None = None) -> Subset:
    """The subset that a run trains on: its own, or that of the run in `subset.same_as`.

    Before it is handed out it is compared with what is asked for now. Its own: pool, method, seed,
    budget, settings, and the trajectories where they are still there (a subset may outlive them).
    Another run's: the pool.

    Raises:
        FileNotFoundError: there is none yet.
        ValueError: it was made from something else.
    """
    return _compared_subset(config, pool)[0]


def _compared_subset(config: RunConfig, pool: Rows | None) -> tuple[Subset, list[str]]:
    """The subset, and what could not be compared."""
    subset = config.subset_section
    if subset.same_as == config.run_name:
        raise ValueError(
            f"subset.same_as: found {subset.same_as!r}, this run itself, expected another run: remove the key"
        )
    if problems := single_subset_problems(subset):
        raise ValueError("; ".join(problems))
    folder = named_subset(subset.same_as or config.run_name)
    try:
        found = read_subset(folder)
    except FileNotFoundError:
        if subset.same_as is None:
            raise
        raise FileNotFoundError(
            f"subset.same_as: run {subset.same_as!r} has no subset in {folder}: "
            f"{how_to_make_subset(subset.same_as)}"
        ) from None
    pool = open_pool(config) if pool is None else pool
    recorded = found.manifest.inputs
    remarks: list[str] = []
    if subset.same_as is not None:
        wanted = pool_inputs(pool)
        recorded = {name: recorded.get(name) for name in wanted}
        ways_out = f"Give this run the pool of {subset.same_as} (its data section), or remove subset.same_as."
    else:
        extended, _ = read_extended(subset.extend)
        losses, remarks = loss_inputs_if_there(subset, found, len(pool))
        wanted = subset_inputs(config, pool, losses, open_validation(pool), extended)
        wanted |= budget_inputs(subset)
        ways_out = "Ways out: `select_s2l.py --overwrite` chooses again; another run_name keeps both."
    check_inputs(manifest_in(folder), recorded, wanted, ways_out, pool_record(pool.data))
    if subset.same_as is not None:
        _refuse_validation_rows(found, pool, folder)
    return found, remarks


def _validation_remarks(pool: Pool) -> list[str]:
    """What to say of validation rows in a pool that is trained on as it is."""
    validation = open_validation(pool)
    if validation is None:
        return []
    in_pool = np.intersect1d(pool.usable_rows, rows_of_validation(pool, validation))
    if not len(in_pool):
        return []
    return [f"{counted(len(in_pool), 'row')} of data.validation in the pool, all of which is trained on"]


def _refuse_validation_rows(found: Subset, pool: Rows, folder: Path) -> None:
    """Refuse another run's subset with rows that this one must not be trained on. Raises: ValueError."""
    validation = open_validation(pool)
    if validation is None or found.manifest.inputs.get("validation") == validation.fingerprint:
        return
    both = np.intersect1d(found.indices, rows_of_validation(pool, validation))
    if len(both):
        raise ValueError(
            f"subset.same_as and data.validation are in conflict: {folder} holds "
            f"{counted(len(both), 'row')} of {validation.name}: {row_numbers_text(both)}: choose that subset "
            "with the same data.validation, or remove one of the two keys"
        )
