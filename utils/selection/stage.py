"""The selection stage: pool and loss trajectories in, res/<run_name>/subset out."""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from utils.artifacts.differences import pool_record
from utils.artifacts.paths import named_subset
from utils.artifacts.subsets import subset_is_there, write_subset
from utils.artifacts.trajectories import read_num_response_tokens
from utils.config.names import look_up
from utils.config.schema import RunConfig, SubsetConfig
from utils.data.pool import Pool
from utils.selection.budgets import WantedSubset, wanted_subsets
from utils.selection.candidates import Candidates, Choice
from utils.selection.composition import compose, table
from utils.selection.constraints import (
    ListedRows,
    check_budget,
    constrained_order,
    needs_whole_order,
    rows_within_tokens,
)
from utils.selection.extension import read_extended
from utils.selection.inputs import check_extension, subset_inputs, trajectories_identity
from utils.selection.made_subset import resolve_subset
from utils.selection.methods import METHODS, Method
from utils.selection.numbered_rows import NumberedRows
from utils.selection.opening import find_selectable, open_pool, open_trajectories, who_needs_trajectories
from utils.selection.plan_text import plan_text, settings_remarks, sources_remarks, unused_remarks


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
        _print_remarks(unused_remarks(subset, used={"same_as"}, by=f"same_as: {subset.same_as}"))
        print(
            f"run {config.run_name} uses the subset of run {subset.same_as}: {len(found.indices):,} rows, "
            f"{named_subset(subset.same_as)}; nothing to select"
        )
        return

    method = look_up(METHODS, subset.method, "subset.method")
    opened = _open(config, method, pool, stopwatch)
    wanted = wanted_subsets(config, opened.inputs, len(opened.candidates.rows))
    stopwatch.lap("checking the rows")

    _print_remarks([*settings_remarks(config, method), *opened.remarks, *sources_remarks(config, method, opened.pool)])
    print(plan_text(config, method, opened.pool, opened.candidates, [one.num_rows for one in wanted]))
    with_texts = isinstance(opened.pool, Pool)
    missing = [one for one in wanted if overwrite or not subset_is_there(one.folder, one.inputs, with_texts)]
    for one in wanted:
        if one not in missing:
            print(f"already there, made from the same inputs: {one.folder} (--overwrite chooses again)")
    if not missing:
        return
    if dry_run:
        where = ", ".join(str(one.folder) for one in missing)
        print(f"dry run: nothing written; without --dry_run the subset goes to {where}")
        return

    choice = _choose(subset, method, opened.candidates, [one.num_rows for one in wanted], config.seed)
    stopwatch.lap("choosing")
    for one in missing:
        composition = _write(one, choice, opened, subset, method, dict(stopwatch.laps))
        stopwatch.lap("writing")
        names = ", ".join(sorted(path.name for path in one.folder.iterdir()))
        print(f"\n{table(composition)}\n\n{one.folder}: {names}")
    print(f"{stopwatch.total:.1f} s: {stopwatch}")


@dataclass(frozen=True)
class _Opened:
    """What is chosen from, checked to belong together.

    Attributes: pool; candidates; listed: rows named one by one; remarks: for the user; inputs: what a subset is made
    from, except its budget.
    """

    pool: Pool | NumberedRows
    candidates: Candidates
    listed: ListedRows
    remarks: list[str]
    inputs: dict[str, Any]


def _open(config: RunConfig, method: Method, pool: Pool | NumberedRows | None, stopwatch: "_Stopwatch") -> _Opened:
    assert config.subset is not None
    subset = config.subset
    pool = open_pool(config) if pool is None else pool
    stopwatch.lap("reading the pool")
    trajectories = open_trajectories(subset, len(pool), who_needs_trajectories(subset, method))
    identity = None if trajectories is None else trajectories_identity(trajectories)
    extended, stored = read_extended(subset.extend)
    inputs = subset_inputs(config, pool, identity, extended)
    if extended is not None:
        check_extension(config, extended, inputs)
    stopwatch.lap("identifying the trajectories")
    candidates, listed, remarks = find_selectable(subset, pool, trajectories, extended)
    return _Opened(pool, replace(candidates, stored=stored), listed, remarks, inputs)


def _choose(subset: SubsetConfig, method: Method, candidates: Candidates, budgets: list[int], seed: int) -> Choice:
    """The choice in an order of which each budget takes the first rows; a budget of tokens takes all that is left of it.

    Raises: ValueError for a budget that other settings contradict.
    """
    whole_order = needs_whole_order(subset, candidates)
    choice = method.choose(candidates, subset, len(candidates.rows) if whole_order else max(budgets), seed)
    _print_remarks(choice.remarks)
    if not whole_order:
        return choice
    order, num_required = constrained_order(choice.order, candidates, subset)
    if subset.budget_tokens is not None:
        assert candidates.trajectories is not None
        tokens_N = read_num_response_tokens(candidates.trajectories)
        return replace(choice, order=order[: rows_within_tokens(order, tokens_N, subset.budget_tokens, num_required)])
    for budget in budgets:
        check_budget(budget, len(order), num_required, len(candidates.included))
    return replace(choice, order=order)


def _write(
    wanted: WantedSubset,
    choice: Choice,
    opened: _Opened,
    subset: SubsetConfig,
    method: Method,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Put one subset in place. Returns: its composition."""
    pool, candidates = opened.pool, opened.candidates
    rows = np.sort(choice.order[: wanted.num_rows]).astype(np.int64)
    composition = compose(pool, candidates, rows, choice.clusters_N)
    used = candidates.trajectories
    write_subset(
        wanted.folder,
        wanted.inputs,
        rows,
        choice.clusters_N,
        composition,
        map(pool.line, rows.tolist()) if isinstance(pool, Pool) else None,
        choice.centroids_KT,
        opened.listed.reports,
        budget=len(rows),
        num_selectable=len(candidates.rows),
        num_excluded=int(pool.excluded.sum()),
        num_unscorable=len(candidates.unscorable),
        unscorable_rows=candidates.unscorable.tolist(),
        data=pool_record(pool.data) if isinstance(pool, Pool) else None,
        trajectories=None if used is None else {"from": subset.trajectories_from, "steps": used.steps},
        clustering=choice.backend,
        needs_trajectories=method.needs_trajectories,
        seconds=seconds,
    )
    return composition


def _print_remarks(remarks: Iterable[str]) -> None:
    for remark in remarks:
        print(f"note: {remark}", file=sys.stderr)


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
