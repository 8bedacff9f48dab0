"""What a selection will do: all that is known before a row is chosen, and every conflict of settings."""

import time
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from ..artifacts.paths import RunPaths
from ..artifacts.subsets import subset_is_there
from ..artifacts.trajectories.read import Trajectories, read_num_response_tokens, wanted_steps
from ..config.counts import budget_in_rows
from ..config.schema import RunConfig, SubsetConfig
from ..data.pool import Pool
from ..data.rows import Rows
from ..terminal import counted, first_of
from .budgets import SubsetRequest, subset_requests
from .candidates import Candidates
from .inputs import check_extension, loss_inputs, subset_inputs
from .limits import Limits, check_budget, find_limits, needs_whole_order
from .methods.kmeans import num_gpus
from .methods.num_clusters import most_clusters, num_clusters_of
from .methods.table import METHODS, Method, check_num_checkpoints
from .named_rows import ListedRows
from .opening import find_selectable, open_pool, open_trajectories, read_extended, what_needs_losses
from .remarks import few_rows_of_each, one_cluster, other_tokens_remarks, settings_remarks, sources_remarks
from .token_budget import check_token_budget
from .validation import mean_losses, open_validation, tuning_warnings

_FEW_ROWS = 1.5  # of a cluster on average: below, most clusters give one row or none


@dataclass(frozen=True)
class SelectionPlan:
    """Nothing in it contradicts anything else, and all that choosing will read has been read.

    Attributes:
        config: of the run.
        settings: its subset section, the number of clusters filled in.
        method: of choosing.
        pool: what is chosen from.
        candidates: the rows of it that are selectable.
        listed: rows named one by one.
        limits: how many rows of each source.
        requests: the subsets that are asked for, the smallest first.
        starts_over: what is there does not count.
        pending: those of them that are to be made.
        most_clusters: how many clusters there may be, None for a method without.
        num_gpus: that look for them, 0 for the CPU.
        remarks: for the user.
        warnings: for the user.
        seconds: by what they were spent on.
    """

    config: RunConfig
    settings: SubsetConfig
    method: Method
    pool: Rows
    candidates: Candidates
    listed: ListedRows
    limits: Limits
    requests: list[SubsetRequest]
    starts_over: bool
    pending: list[SubsetRequest]
    most_clusters: int | None
    num_gpus: int
    remarks: list[str]
    warnings: list[str]
    seconds: dict[str, float]

    @property
    def budgets(self) -> list[int]:
        """Rows of each subset. With a budget of tokens, all rows that it may be cut from."""
        return [request.num_rows for request in self.requests]


def plan_selection(config: RunConfig, pool: Rows | None = None, overwrite: bool = False) -> SelectionPlan:
    """Open what the subset is chosen from, identify it, and look for every conflict.

    Args:
        config: with its subset section, and a data section unless the losses come from a file.
        pool: the pool of config.data where it is open already.
        overwrite: choose again, whatever lies there.

    Raises:
        FileNotFoundError: no pool, no trajectories, or not what the method needs of them.
        ValueError: trajectories that are missing for a method that needs them, damaged, of another pool,
            infinite, or NaN in all rows. Two settings in conflict, a budget beyond the selectable rows,
            a subset there made from other inputs.
    """
    subset = config.subset_section
    RunPaths(config.run_name).check_place()
    stopwatch = Stopwatch({})
    method = METHODS[subset.method]
    pool = open_pool(config) if pool is None else pool
    stopwatch.lap("reading the pool")
    trajectories = open_trajectories(subset, len(pool), what_needs_losses(subset, method))
    validation = open_validation(pool)
    extended, stored = read_extended(subset.extend)
    inputs = subset_inputs(config, pool, loss_inputs(subset, trajectories), validation, extended)
    if extended is not None:
        check_extension(config, extended, inputs)
    stopwatch.lap("identifying the trajectories")

    candidates, listed, remarks = find_selectable(subset, pool, trajectories, validation, extended)
    validation_ST, remarks_of_validation = _validation_losses(subset, pool, trajectories, validation)
    candidates = replace(candidates, stored=stored, validation_ST=validation_ST)
    settings = subset
    if "num_clusters" in method.settings:
        settings = subset.model_copy(update={"num_clusters": num_clusters_of(subset, candidates)})
    if trajectories is not None:
        check_num_checkpoints(candidates.num_checkpoints, settings)
    method.check(candidates, settings)
    limits = find_limits(candidates, settings)
    requests = subset_requests(config, inputs, len(candidates.rows))
    remarks = [*settings_remarks(config), *remarks, *remarks_of_validation]
    remarks += sources_remarks(config, method, pool)
    remarks += other_tokens_remarks(config, trajectories)
    remarks += _check_budgets(settings, candidates, limits, requests)
    warnings = []
    if method.needs_validation == "rows" and validation is not None and trajectories is not None:
        warnings += tuning_warnings(validation, trajectories)
    num_clusters = most_clusters(settings, candidates) if "num_clusters" in method.settings else None
    stopwatch.lap("checking the rows")
    return SelectionPlan(
        config=config,
        settings=settings,
        method=method,
        pool=pool,
        candidates=candidates,
        listed=listed,
        limits=limits,
        requests=requests,
        starts_over=overwrite,
        pending=requests if overwrite else pending_requests(requests, pool),
        most_clusters=num_clusters,
        num_gpus=num_gpus(),
        remarks=remarks,
        warnings=warnings + _warnings(settings, candidates, requests, num_clusters),
        seconds=stopwatch.seconds,
    )


def pending_requests(requests: list[SubsetRequest], pool: Rows) -> list[SubsetRequest]:
    """Those of which no subset is on disk. Raises: ValueError where one was made from other inputs."""
    return [
        request for request in requests if not subset_is_there(request.folder, request.inputs, pool.has_texts)
    ]


def check_before_scoring(config: RunConfig, pool: Rows, num_selectable: int, steps: Collection[int]) -> None:
    """What `plan_selection` would refuse before the losses are there.

    Rows and limits are checked against the pool, what the method needs against the checkpoints.

    Args:
        config: with a subset of a single budget, in rows or as a fraction.
        num_selectable: rows that will have a loss.
        steps: that will be scored.

    Raises: ValueError, FileNotFoundError.
    """
    subset = config.subset_section
    assert not isinstance(subset.budget, list)
    used = wanted_steps(subset.steps, sorted(steps))
    if missing := sorted(set(used) - set(steps)):
        raise ValueError(
            f"subset.steps: found {missing}, which {subset.trajectories_from} will not have, expected some "
            f"of {sorted(steps)}: save them in its training (checkpoints), or use others"
        )
    check_num_checkpoints(len(used), subset)
    validation = open_validation(pool)
    _check_validation_is_given(subset, validation)
    extended, _ = read_extended(subset.extend)
    if extended is not None:
        check_extension(config, extended, subset_inputs(config, pool, {}, validation, extended))
    candidates, _, _ = find_selectable(subset, pool, None, validation, extended)
    limits = find_limits(candidates, subset)
    budget = budget_in_rows(subset.budget, min(num_selectable, len(candidates.rows)))
    if needs_whole_order(subset, candidates):
        check_budget(budget, limits)


def _validation_losses(
    subset: SubsetConfig, pool: Rows, trajectories: Trajectories | None, validation: Pool | None
) -> tuple[np.ndarray | None, list[str]]:
    """What a targeted method compares with, None for others, and remarks.

    Raises: ValueError, FileNotFoundError where there are no validation rows or not their losses.
    """
    _check_validation_is_given(subset, validation)
    if METHODS[subset.method].needs_validation != "losses":
        return None, []
    assert trajectories is not None and validation is not None
    mean_ST, without = mean_losses(validation, trajectories, pool.source_names)
    if not without:
        return mean_ST, []
    names = first_of([name or "(none)" for name in without])
    return mean_ST, [
        f"{counted(len(without), 'source')} without validation rows ({names}): compared with all of them"
    ]


def _check_validation_is_given(subset: SubsetConfig, validation: Pool | None) -> None:
    if validation is None and METHODS[subset.method].needs_validation is not None:
        raise ValueError(
            f"data.validation: missing, and method {subset.method} needs it: name a file of rows of what the "
            "target is to be good at"
        )


def _check_budgets(
    settings: SubsetConfig, candidates: Candidates, limits: Limits, requests: list[SubsetRequest]
) -> list[str]:
    """Remarks. Raises: ValueError naming two settings in conflict."""
    if settings.budget_tokens is None:
        for request in requests if needs_whole_order(settings, candidates) else ():
            check_budget(request.num_rows, limits)
        return []
    tokens_N = read_num_response_tokens(candidates.needed_trajectories)
    if check_token_budget(settings.budget_tokens, tokens_N, candidates, limits):
        return []
    return ["whether the first rows fit into subset.budget_tokens will show once the rows are ordered"]


def _warnings(
    settings: SubsetConfig, candidates: Candidates, requests: list[SubsetRequest], num_clusters: int | None
) -> list[str]:
    counts_tokens = settings.budget_tokens is not None
    takes_all = not counts_tokens and requests[0].num_rows == len(candidates.rows)
    if num_clusters is None or takes_all:
        return []
    if settings.num_clusters == 1:
        return [one_cluster(settings.per_source)]
    if counts_tokens or settings.num_clusters == "auto":  # then it shows afterwards
        return []
    smallest = requests[0].num_rows
    if smallest >= _FEW_ROWS * num_clusters:
        return []
    return [few_rows_of_each(settings, smallest, num_clusters, len(candidates.source_names))]


class Stopwatch:
    """Seconds by what they were spent on, after those that it begins with."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = dict(seconds)
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now
