"""The selection stage: pool and loss trajectories in, res/<run_name>/subset out."""

import math
import sys
import textwrap
import time

from utils.artifacts.manifests import check_inputs
from utils.artifacts.paths import RunPaths
from utils.artifacts.subsets import Subset, read_subset, subset_is_there, write_subset
from utils.artifacts.trajectories import Trajectories, read_trajectories
from utils.config.names import look_up
from utils.config.schema import RunConfig, SubsetConfig
from utils.data.pool import Pool
from utils.selection.candidates import Candidates, find_candidates
from utils.selection.composition import compose, table
from utils.selection.inputs import identity_if_there, pool_inputs, subset_inputs, trajectories_identity
from utils.selection.methods import METHODS, Method


def select(config: RunConfig, overwrite: bool = False, dry_run: bool = False, pool: Pool | None = None) -> None:
    """Choose the subset of a run and write it; print the plan, remarks (stderr) and what was chosen.

    A subset that was made from the same inputs is left as it is. With `subset.same_as` nothing is chosen: that other
    run's subset must be there and belong to this pool.

    Args:
        config: with its data and subset sections.
        overwrite: choose again, whatever lies there.
        dry_run: check everything, print the plan, write nothing.
        pool: the pool of config.data where it is open already.

    Raises:
        FileNotFoundError: no pool, no trajectories, or no subset of the run in `same_as`.
        ValueError: unknown method; trajectories missing for a method that needs them, damaged, of another pool,
            infinite, or NaN in all rows; a budget beyond the selectable rows; a subset there made from other inputs.
    """
    assert config.data is not None and config.subset is not None
    subset, folder, stopwatch = config.subset, RunPaths(config.run_name).subset, _Stopwatch()
    if subset.same_as is not None:
        found = resolve_subset(config, pool)
        _remark_unused(subset, used={"same_as"}, by=f"same_as: {subset.same_as}")
        print(
            f"run {config.run_name} uses the subset of run {subset.same_as}: {len(found.indices):,} rows, "
            f"{RunPaths(subset.same_as).subset}; nothing to select"
        )
        return

    method = look_up(METHODS, subset.method, "subset.method")
    trajectories = _read_trajectories(subset, method)
    stopwatch.lap("opening the trajectories")
    pool = Pool(config.data) if pool is None else pool
    stopwatch.lap("reading the pool")
    candidates, remarks = find_candidates(pool, trajectories)
    budget = budget_in_rows(subset.budget, len(candidates.rows))
    inputs = subset_inputs(config, pool, None if trajectories is None else trajectories_identity(trajectories))
    is_there = not overwrite and subset_is_there(folder, inputs)
    stopwatch.lap("checking the losses")

    used = {"trajectories_from", "method", "budget", *method.settings} | (
        {"steps"} if trajectories is not None else set()
    )
    _remark_unused(subset, used, by=f"method {subset.method}")
    if pool.source_names == [""] and (method.by_source or ("per_source" in method.settings and subset.per_source)):
        remarks.append(
            f"no row has a source (data.source_column: {config.data.source_column!r}): the pool is one source"
        )
    for remark in remarks:
        print(f"note: {remark}", file=sys.stderr)
    print(_plan(config, method, pool, candidates, trajectories, budget))
    if is_there:
        print(f"already there, made from the same inputs: {folder} (--overwrite chooses again)")
        return
    if dry_run:
        print(f"dry run: nothing written; without --dry_run the subset goes to {folder}")
        return

    choice = method.choose(candidates, subset, budget, config.seed)
    assert len(choice.rows) == budget
    stopwatch.lap("choosing")
    composition = compose(pool, candidates, choice)
    write_subset(
        folder,
        inputs,
        choice.rows,
        choice.clusters_N,
        composition,
        map(pool.line, choice.rows.tolist()),
        budget=budget,
        num_selectable=len(candidates.rows),
        num_excluded=int(pool.excluded.sum()),
        num_unscorable=len(candidates.unscorable),
        unscorable_rows=candidates.unscorable.tolist(),
        trajectories=None if trajectories is None else {"from": subset.trajectories_from, "steps": trajectories.steps},
        clustering=choice.backend,
        needs_trajectories=method.needs_trajectories,
        seconds=dict(stopwatch.laps),
    )
    stopwatch.lap("writing")
    print(
        f"\n{table(composition)}\n\n{folder}: subset.jsonl, indices.npy, clusters.npy, composition.json, manifest.json"
    )
    print(f"{stopwatch.total:.1f} s: {stopwatch}")


def resolve_subset(config: RunConfig, pool: Pool | None = None) -> Subset:
    """The subset that a run trains on: its own, or that of the run in `subset.same_as`.

    Before it is handed out it is compared with what is asked for now. Its own: pool, method, seed, budget, settings,
    and the trajectories where they are still there (a subset may outlive them). Another run's: the pool.

    Raises:
        FileNotFoundError: there is none yet. ValueError: it was made from something else.
    """
    assert config.data is not None and config.subset is not None
    subset = config.subset
    if subset.same_as == config.run_name:
        raise ValueError(
            f"subset.same_as: found {subset.same_as!r}, this run itself; expected another run: remove the key"
        )
    folder = RunPaths(subset.same_as or config.run_name).subset
    try:
        found = read_subset(folder)
    except FileNotFoundError:
        if subset.same_as is None:
            raise
        raise FileNotFoundError(
            f"subset.same_as: run {subset.same_as!r} has no subset in {folder}: make it first with `python "
            f"select_s2l.py --config_file <the YAML of {subset.same_as}>`"
        ) from None
    pool = Pool(config.data) if pool is None else pool
    recorded = found.manifest["inputs"]
    if subset.same_as is not None:
        wanted = pool_inputs(pool)
        recorded = {name: recorded.get(name) for name in wanted}
        ways_out = f"Give this run the pool of {subset.same_as} (its data section), or remove subset.same_as."
    else:
        wanted = subset_inputs(config, pool, identity_if_there(subset, found))
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


def _read_trajectories(subset: SubsetConfig, method: Method) -> Trajectories | None:
    if subset.trajectories_from is not None:
        return read_trajectories(subset.trajectories_from, subset.steps)
    if method.needs_trajectories:
        raise ValueError(
            f"subset.trajectories_from: missing, and method {subset.method} needs it: write the run_name of the proxy "
            "model whose trajectories to use, or an .npy file of (N, T) losses in pool order"
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
    pool: Pool,
    candidates: Candidates,
    trajectories: Trajectories | None,
    budget: int,
) -> str:
    assert config.subset is not None
    subset, num_sources = config.subset, len(pool.source_names)
    plan = {
        "pool": f"{pool.data.path}: {len(pool):,} rows, {len(candidates.rows):,} selectable, sources: {num_sources:,}",
        "method": ", ".join(
            [f"{subset.method} (seed {config.seed})", *(f"{name} {getattr(subset, name)}" for name in method.settings)]
        ),
        "budget": f"{budget:,} rows, {100 * budget / len(candidates.rows):.1f} % of the selectable rows",
    }
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
