"""Do what a plan says: choose, and put the subsets in place."""

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts.configs import keep_config
from ..artifacts.locks import locked
from ..artifacts.manifests import Provenance
from ..artifacts.paths import RunPaths, manifest_in
from ..artifacts.pools import pool_record
from ..artifacts.subsets import (
    SubsetContents,
    SubsetManifest,
    read_composition,
    remove_unfinished_subsets,
    write_subset,
)
from ..artifacts.trajectories.read import read_num_response_tokens
from .budgets import SubsetRequest
from .candidates import Choice
from .composition import compose
from .limits import needs_whole_order, order_within
from .methods.table import shares_by_source
from .methods.turns import source_weights
from .opening import what_needs_losses
from .plan import SelectionPlan, Stopwatch, pending_requests
from .reasons import count_reasons, reasons_of
from .remarks import few_rows_of_each
from .token_budget import rows_within_tokens


@dataclass(frozen=True)
class SubsetFiles:
    """A subset that was written: its folder, and its composition as on disk."""

    folder: Path
    composition: dict[str, Any]


@dataclass(frozen=True)
class SelectionResult:
    """What a selection left.

    Attributes:
        subsets: those that were made.
        remarks: for the user.
        warnings: for the user.
        seconds: by what they were spent on.
    """

    subsets: list[SubsetFiles]
    remarks: list[str]
    warnings: list[str]
    seconds: dict[str, float]


def run_selection(plan: SelectionPlan) -> SelectionResult:
    """Choose once, write each subset that is pending (at least one is).

    Raises:
        ValueError: for a budget of tokens too small for the first row, which only their order shows, or if
            another command is choosing for this run or has done so from other inputs.
    """
    paths = RunPaths(plan.config.run_name)
    stopwatch = Stopwatch(plan.seconds)
    with locked(paths.subset, "another command is choosing the rows of this run"):
        remove_unfinished_subsets(paths)
        if not plan.starts_over and not pending_requests(plan.requests, plan.pool):
            # Another command has chosen the same since the plan was made.
            there = [_files_of(request.folder) for request in plan.pending]
            return SelectionResult(there, [], [], stopwatch.seconds)
        keep_config(paths, plan.config)
        choice = _choose(plan)
        stopwatch.lap("choosing")
        subsets = []
        with _no_collection():
            for request in plan.pending:
                subsets.append(_write(plan, request, choice, stopwatch.seconds))
                stopwatch.lap("writing")
    warnings = [*choice.warnings, *([] if plan.warnings else _warnings(plan, subsets))]
    return SelectionResult(subsets, list(choice.remarks), warnings, stopwatch.seconds)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Without the garbage collector, which would walk through the counts of a million sources many times."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _files_of(folder: Path) -> SubsetFiles:
    return SubsetFiles(folder, read_composition(folder, SubsetManifest.read(manifest_in(folder))))


def _choose(plan: SelectionPlan) -> Choice:
    """The choice, in an order of which each budget takes the first rows and a budget of tokens takes all."""
    settings = plan.settings
    candidates = plan.candidates
    whole_order = needs_whole_order(settings, candidates)
    num_rows = len(candidates.rows) if whole_order else max(plan.budgets)
    choice = plan.method.choose(candidates, settings, num_rows, plan.config.seed)
    if not whole_order:
        return choice
    order = order_within(plan.limits, choice.order, candidates)
    if settings.budget_tokens is not None:
        tokens_N = read_num_response_tokens(candidates.needed_trajectories)
        num_required = int(plan.limits.least_S.sum())
        order = order[: rows_within_tokens(order, tokens_N, settings.budget_tokens, num_required)]
    return replace(choice, order=order)


def _write(
    plan: SelectionPlan, request: SubsetRequest, choice: Choice, seconds: dict[str, float]
) -> SubsetFiles:
    pool = plan.pool
    candidates = plan.candidates
    subset = plan.config.subset_section
    rows = np.sort(choice.order[: request.num_rows]).astype(np.int64)
    reasons_N = reasons_of(pool, candidates, plan.listed)
    composition = compose(pool, candidates, rows, choice.clusters_N)
    composition["not_selectable"] = count_reasons(reasons_N)
    composition |= _weights(plan, composition["sources"])
    used = candidates.trajectories
    clustering = None
    if choice.backend is not None:
        how = {None: "derived from the pool", "auto": "the most that agree between seeds"}
        origin = how.get(subset.num_clusters, "given")
        clustering = choice.backend | {"num_clusters": plan.settings.num_clusters, "num_clusters_is": origin}
    contents = SubsetContents(
        indices=rows,
        clusters_N=choice.clusters_N,
        reasons_N=reasons_N,
        composition=composition,
        lines=map(pool.line, rows.tolist()) if pool.has_texts else None,
        centroids_KT=choice.centroids_KT,
        reports=plan.listed.reports,
    )
    manifest = SubsetManifest(
        status="complete",
        inputs=request.inputs,
        budget=len(rows),
        num_selectable=len(candidates.rows),
        num_excluded=int(pool.excluded.sum()),
        dropped={kind: len(rows) for kind, rows in plan.listed.dropped.items()} or None,
        data=pool_record(pool.data),
        trajectories=None if used is None else {"from": subset.trajectories_from, "steps": used.steps},
        clustering=clustering,
        needs_trajectories=what_needs_losses(subset, plan.method) is not None,
        seconds=seconds,
        provenance=Provenance.now(),
    )
    write_subset(request.folder, manifest, contents)
    return SubsetFiles(request.folder, composition)


def _weights(plan: SelectionPlan, sources: dict[str, Any]) -> dict[str, Any]:
    """What the weights of the sources are, for the composition, and each in the entry of its source.

    Returns: nothing where all weigh the same.
    """
    settings = plan.settings
    if "source_weight" not in plan.method.settings or not shares_by_source(settings, plan.method):
        return {}
    weight_S = source_weights(plan.candidates, settings)
    if weight_S is None:
        return {}
    for name, weight in zip(plan.pool.source_names, weight_S.tolist(), strict=True):
        sources[name]["weight"] = weight
    return {"source_weight": settings.source_weight}


def _warnings(plan: SelectionPlan, subsets: list[SubsetFiles]) -> Iterator[str]:
    """Where most clusters gave one row or none although there were rows enough: their sizes differ much."""
    for subset in subsets:
        composition = subset.composition
        num_clusters = composition["num_clusters"]
        most_have_few = 2 * composition["num_clusters_of_one_or_none"] > num_clusters > 0
        if most_have_few and composition["chosen"] < composition["selectable"]:
            num_sources = len(plan.candidates.source_names)
            yield few_rows_of_each(plan.settings, composition["chosen"], num_clusters, num_sources)
