"""The selection stage: pool and loss trajectories in, res/<run_name>/subset out."""

import math
import sys
import textwrap
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from utils.artifacts.imported import SUFFIXES
from utils.artifacts.manifests import check_inputs
from utils.artifacts.paths import RunPaths, named_subset
from utils.artifacts.subsets import Subset, read_clusters, read_subset, subset_is_there, write_subset
from utils.artifacts.trajectories import Trajectories, read_num_response_tokens, read_trajectories
from utils.config.names import look_up
from utils.config.schema import RunConfig, SubsetConfig
from utils.data.pool import Pool
from utils.selection.candidates import Candidates, find_candidates
from utils.selection.composition import compose, table
from utils.selection.constraints import (
    NAMES,
    ListedRows,
    check_budget,
    constrained_order,
    constraint_inputs,
    list_rows,
    needs_whole_order,
    rows_within_tokens,
    without_duplicates,
)
from utils.selection.extension import read_extended
from utils.selection.inputs import (
    check_extension,
    identity_if_there,
    pool_inputs,
    subset_inputs,
    trajectories_identity,
)
from utils.selection.methods import METHODS, Method
from utils.selection.numbered_rows import NumberedRows


def select(
    config: RunConfig, overwrite: bool = False, dry_run: bool = False, pool: Pool | NumberedRows | None = None
) -> None:
    """Choose the subset of a run and write it; print the plan, remarks (stderr) and what was chosen.

    A list of budgets gives a subset of each, in folders subset-<rows>, from one clustering.

    A subset that was made from the same inputs is left as it is. With `subset.same_as` nothing is chosen: that other
    run's subset must be there and belong to this pool.

    Args:
        config: with its subset section, and a data section unless the losses come from a file.
        overwrite: choose again, whatever lies there.
        dry_run: check everything, print the plan, write nothing.
        pool: the pool of config.data where it is open already.

    Raises:
        FileNotFoundError: no pool, no trajectories, or no subset of the run in `same_as`.
        ValueError: unknown method; trajectories missing for a method that needs them, damaged, of another pool,
            infinite, or NaN in all rows; a budget beyond the selectable rows; a subset there made from other inputs.
    """
    assert config.subset is not None
    subset, stopwatch = config.subset, _Stopwatch()
    if subset.same_as is not None:
        found = resolve_subset(config, pool)
        _remark_unused(subset, used={"same_as"}, by=f"same_as: {subset.same_as}")
        print(
            f"run {config.run_name} uses the subset of run {subset.same_as}: {len(found.indices):,} rows, "
            f"{named_subset(subset.same_as)}; nothing to select"
        )
        return

    method = look_up(METHODS, subset.method, "subset.method")
    pool = open_pool(config) if pool is None else pool
    stopwatch.lap("reading the pool")
    trajectories = _read_trajectories(subset, method, len(pool))
    extended, stored = (None, None) if subset.extend is None else read_extended(subset.extend)
    inputs = subset_inputs(
        config, pool, None if trajectories is None else trajectories_identity(trajectories), extended
    )
    if extended is not None:
        check_extension(config, extended, inputs)
    stopwatch.lap("identifying the trajectories")
    candidates, listed, remarks = _find_selectable(subset, pool, trajectories, extended)
    candidates = replace(candidates, stored=stored)
    budgets = sorted({budget_in_rows(budget, len(candidates.rows)) for budget in _listed_budgets(subset)})
    stopwatch.lap("checking the rows")

    _remark_unused(subset, _used_settings(subset, method, config.data is None), by=f"method {subset.method}")
    if pool.source_names == [""] and (method.by_source or ("per_source" in method.settings and subset.per_source)):
        where = (
            f"data.source_column: {config.data.source_column!r}" if config.data else "subset.sources_from is not set"
        )
        remarks.append(f"no row has a source ({where}): the pool is one source")
    for remark in remarks:
        print(f"note: {remark}", file=sys.stderr)
    print(_plan(config, method, pool, candidates, trajectories, budgets))
    paths = RunPaths(config.run_name)
    folders, inputs_of = [paths.subset], [inputs | _budget_inputs(subset)]
    if isinstance(subset.budget, list):
        folders = [paths.subset_of(budget) for budget in budgets]
        inputs_of = [inputs | _budget_inputs(subset, budget) for budget in budgets]
    with_texts = isinstance(pool, Pool)
    missing = [
        number
        for number, folder in enumerate(folders)
        if overwrite or not subset_is_there(folder, inputs_of[number], with_texts)
    ]
    for folder in (folder for number, folder in enumerate(folders) if number not in missing):
        print(f"already there, made from the same inputs: {folder} (--overwrite chooses again)")
    if not missing:
        return
    if dry_run:
        where = ", ".join(str(folders[number]) for number in missing)
        print(f"dry run: nothing written; without --dry_run the subset goes to {where}")
        return

    whole_order = needs_whole_order(subset, candidates)
    choice = method.choose(candidates, subset, len(candidates.rows) if whole_order else max(budgets), config.seed)
    for remark in choice.remarks:
        print(f"note: {remark}", file=sys.stderr)
    order = choice.order
    if whole_order:
        order, num_required = constrained_order(choice.order, candidates, subset)
        if subset.budget_tokens is not None:
            assert trajectories is not None
            tokens_N = read_num_response_tokens(trajectories)
            budgets = [rows_within_tokens(order, tokens_N, subset.budget_tokens, num_required)]
        for budget in budgets:
            check_budget(budget, len(order), num_required, len(candidates.included))
    stopwatch.lap("choosing")
    for number in missing:
        rows = np.sort(order[: budgets[number]]).astype(np.int64)
        composition = compose(pool, candidates, rows, choice.clusters_N)
        write_subset(
            folders[number],
            inputs_of[number],
            rows,
            choice.clusters_N,
            composition,
            map(pool.line, rows.tolist()) if isinstance(pool, Pool) else None,
            choice.centroids_KT,
            listed.reports,
            budget=budgets[number],
            num_selectable=len(candidates.rows),
            num_excluded=int(pool.excluded.sum()),
            num_unscorable=len(candidates.unscorable),
            unscorable_rows=candidates.unscorable.tolist(),
            trajectories=None
            if trajectories is None
            else {"from": subset.trajectories_from, "steps": trajectories.steps},
            clustering=choice.backend,
            needs_trajectories=method.needs_trajectories,
            seconds=dict(stopwatch.laps),
        )
        stopwatch.lap("writing")
        names = ", ".join(sorted(path.name for path in folders[number].iterdir()))
        print(f"\n{table(composition)}\n\n{folders[number]}: {names}")
    print(f"{stopwatch.total:.1f} s: {stopwatch}")


@dataclass(frozen=True)
class MadeSubset:
    """A subset that is there and all that it was chosen from.

    Attributes: pool; candidates; listed: rows named one by one; indices: int64, ascending; clusters_N: int32 (N,), -1
    where not clustered; folder: where it lies.
    """

    pool: Pool | NumberedRows
    candidates: Candidates
    listed: ListedRows
    indices: np.ndarray
    clusters_N: np.ndarray
    folder: Path


def open_made_subset(config: RunConfig) -> MadeSubset:
    """The subset of a run, checked against its settings, with pool and candidates opened again.

    Raises: FileNotFoundError naming the command that makes it; ValueError if it was made from something else, or is
    another run's (subset.same_as).
    """
    assert config.subset is not None
    subset = config.subset
    if subset.same_as is not None:
        raise ValueError(
            f"run {config.run_name} uses the subset of run {subset.same_as} (subset.same_as): give the YAML of that run"
        )
    if isinstance(subset.budget, list):
        raise ValueError(
            f"subset.budget: found {subset.budget}, several subsets, expected one to look at: choose it for a run of its own "
            f"(subset.budget={subset.budget[0]} run_name=<another run>), then look at that"
        )
    pool = open_pool(config)
    found, folder = resolve_subset(config, pool), RunPaths(config.run_name).subset
    trajectories = _read_trajectories(subset, look_up(METHODS, subset.method, "subset.method"), len(pool))
    extended = None if subset.extend is None else read_extended(subset.extend)[0]
    candidates, listed, _ = _find_selectable(subset, pool, trajectories, extended)
    return MadeSubset(pool, candidates, listed, found.indices, read_clusters(folder)[0], folder)


def open_candidates(config: RunConfig) -> tuple[Pool | NumberedRows, Candidates]:
    """The pool and its selectable rows, whether a subset has been made or not.

    Raises: as `select` for a pool or trajectories that are missing, damaged or do not belong together.
    """
    assert config.subset is not None
    pool = open_pool(config)
    trajectories = _read_trajectories(config.subset, METHODS["s2l"], len(pool))
    return pool, find_candidates(pool, trajectories)[0]


def _find_selectable(
    subset: SubsetConfig, pool: Pool | NumberedRows, trajectories: Trajectories | None, extended: Subset | None
) -> tuple[Candidates, ListedRows, list[str]]:
    """The selectable rows, those that the settings name one by one, and remarks for the user."""
    listed = list_rows(subset, pool, None if extended is None else extended.indices)
    candidates, remarks = find_candidates(pool, trajectories, listed.barred, listed.included)
    remarks += listed.remarks
    if subset.deduplicate == "exact":
        before, candidates = len(candidates.rows), without_duplicates(candidates, pool)
        remarks.append(f"{before - len(candidates.rows):,} rows repeat the response of an earlier row: not selectable")
    return candidates, listed, remarks


def open_pool(config: RunConfig) -> Pool | NumberedRows:
    """The pool, or, without a data section, as many rows as there are imported losses.

    Raises: ValueError if there is neither.
    """
    assert config.subset is not None
    subset = config.subset
    if config.data is not None:
        return Pool(config.data)
    if subset.trajectories_from is None or not subset.trajectories_from.endswith(SUFFIXES):
        raise ValueError(
            "data: missing, and this command needs it: add a `data:` section; row numbers alone can be chosen without it "
            f"from a file of losses ({', '.join(SUFFIXES)}) in subset.trajectories_from"
        )
    return NumberedRows(read_trajectories(subset.trajectories_from, subset.steps).num_examples, subset.sources_from)


def resolve_subset(config: RunConfig, pool: Pool | NumberedRows | None = None) -> Subset:
    """The subset that a run trains on: its own, or that of the run in `subset.same_as`.

    Before it is handed out it is compared with what is asked for now. Its own: pool, method, seed, budget, settings,
    and the trajectories where they are still there (a subset may outlive them). Another run's: the pool.

    Raises:
        FileNotFoundError: there is none yet. ValueError: it was made from something else.
    """
    assert config.subset is not None
    subset = config.subset
    if subset.same_as == config.run_name:
        raise ValueError(
            f"subset.same_as: found {subset.same_as!r}, this run itself; expected another run: remove the key"
        )
    if subset.same_as is None and isinstance(subset.budget, list):
        raise ValueError(
            f"subset.budget: found {subset.budget}, several subsets; a run is trained on one: name it in another run, such "
            f"as subset.same_as: {config.run_name}/subset-<rows>"
        )
    folder = named_subset(subset.same_as or config.run_name)
    try:
        found = read_subset(folder)
    except FileNotFoundError:
        if subset.same_as is None:
            raise
        raise FileNotFoundError(
            f"subset.same_as: run {subset.same_as!r} has no subset in {folder}: make it first with `python "
            f"select_s2l.py --config_file <the YAML of {subset.same_as}>`"
        ) from None
    pool = open_pool(config) if pool is None else pool
    recorded = found.manifest["inputs"]
    if subset.same_as is not None:
        wanted = pool_inputs(pool)
        recorded = {name: recorded.get(name) for name in wanted}
        ways_out = f"Give this run the pool of {subset.same_as} (its data section), or remove subset.same_as."
    else:
        extended = None if subset.extend is None else read_extended(subset.extend)[0]
        wanted = subset_inputs(config, pool, identity_if_there(subset, found, len(pool)), extended)
        wanted |= _budget_inputs(subset)
        ways_out = "Ways out: `select_s2l.py --overwrite` chooses again; another run_name keeps both."
    check_inputs(folder / "manifest.json", recorded, wanted, ways_out)
    return found


def budget_in_rows(budget: float, num_selectable: int) -> int:
    """An int is rows; a float is a fraction of the selectable rows, rounded half up, at least 1.

    Raises: ValueError if that is more than there are.
    """
    rows = budget if isinstance(budget, int) else max(1, math.floor(budget * num_selectable + 0.5))
    if rows > num_selectable:
        raise ValueError(
            f"subset.budget: found {rows:,} rows, but only {num_selectable:,} rows of the pool are selectable: ask for "
            "at most that many (1.0 is all of them)"
        )
    return rows


def _listed_budgets(subset: SubsetConfig) -> list[int | float]:
    return subset.budget if isinstance(subset.budget, list) else [subset.budget]


def _budget_inputs(subset: SubsetConfig, one_of_several: int | None = None) -> dict[str, Any]:
    """What a manifest says of the budget: as it was asked for, or the rows of one of several."""
    if subset.budget_tokens is not None:
        return {"budget_tokens": subset.budget_tokens}
    if isinstance(subset.budget, float):
        return {"budget_fraction": subset.budget}
    return {"budget_rows": subset.budget if one_of_several is None else one_of_several}


def _used_settings(subset: SubsetConfig, method: Method, is_without_data: bool) -> set[str]:
    used = {"trajectories_from", "method", "budget", "budget_tokens", "extend", *NAMES, *method.settings}
    if subset.trajectories_from is not None:
        used.add("steps")
    if is_without_data:
        used.add("sources_from")
    return used


def _read_trajectories(subset: SubsetConfig, method: Method, num_examples: int) -> Trajectories | None:
    if subset.trajectories_from is not None:
        return read_trajectories(subset.trajectories_from, subset.steps, num_examples)
    if method.needs_trajectories or subset.budget_tokens is not None:
        wanted_by = f"method {subset.method}" if method.needs_trajectories else "subset.budget_tokens"
        raise ValueError(
            f"subset.trajectories_from: missing, and {wanted_by} needs it: write the run_name of the proxy "
            "model whose trajectories to use, or a file of (N, T) losses in pool order (.npy, .npz, .parquet)"
        )
    return None


def _remark_unused(subset: SubsetConfig, used: set[str], by: str) -> None:
    """Tell which settings differ from their defaults without being used."""
    untouched = SubsetConfig.model_validate({"preset": subset.preset})
    unused = [
        name
        for name in SubsetConfig.model_fields
        if name not in used | {"preset"} and getattr(subset, name) != getattr(untouched, name)
    ]
    if unused:
        print(f"note: {by} does not use subset.{', subset.'.join(unused)}", file=sys.stderr)


def _plan(
    config: RunConfig,
    method: Method,
    pool: Pool | NumberedRows,
    candidates: Candidates,
    trajectories: Trajectories | None,
    budgets: list[int],
) -> str:
    assert config.subset is not None
    subset, num_sources = config.subset, len(pool.source_names)
    plan = {
        "pool": f"{pool.name}: {len(pool):,} rows, {len(candidates.rows):,} selectable, sources: {num_sources:,}",
        "method": ", ".join(
            [f"{subset.method} (seed {config.seed})", *(f"{name} {getattr(subset, name)}" for name in method.settings)]
        ),
        "budget": "; ".join(
            f"{budget:,} rows, {100 * budget / len(candidates.rows):.1f} % of the selectable rows" for budget in budgets
        ),
    }
    if subset.budget_tokens is not None:
        plan["budget"] = f"{subset.budget_tokens:,} response tokens"
    constraints = [
        f"{name} {getattr(subset, name)}" for name in (*NAMES, "extend") if name in constraint_inputs(subset)
    ]
    if constraints:
        plan["limits"] = ", ".join(constraints)
    if trajectories is not None and trajectories.steps is not None:
        plan["checkpoints"] = f"{', '.join(map(str, trajectories.steps))} of {trajectories.origin}"
    elif trajectories is not None:
        plan["checkpoints"] = f"the {len(trajectories.columns)} columns of {trajectories.origin}"
    if "num_clusters" in method.settings:
        per_source = f" in each of {num_sources:,} sources" if subset.per_source else ""
        plan["clusters"] = f"at most {subset.num_clusters:,}{per_source}"
    lines = [f"subset of run {config.run_name}"]
    for name, text in plan.items():
        lines += textwrap.wrap(
            f"  {name:<12}{text}", 100, subsequent_indent=14 * " ", break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines)


class _Stopwatch:
    """Seconds by what they were spent on."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now

    @property
    def total(self) -> float:
        return sum(self.laps.values())

    def __str__(self) -> str:
        return ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.laps.items())
