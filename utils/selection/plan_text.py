"""What a user is told before anything is chosen: the plan, and which settings have no effect."""

from utils.config.schema import RunConfig, SubsetConfig
from utils.data.pool import Pool
from utils.selection.candidates import Candidates
from utils.selection.constraints import NAMES, constraint_inputs
from utils.selection.methods import Method
from utils.selection.numbered_rows import NumberedRows
from utils.terminal import labelled, unbroken


def plan_text(
    config: RunConfig, method: Method, pool: Pool | NumberedRows, candidates: Candidates, budgets: list[int]
) -> str:
    """The plan. Args: budgets: in rows."""
    assert config.subset is not None
    subset, num_sources, trajectories = config.subset, len(pool.source_names), candidates.trajectories
    plan = {
        "pool": f"{unbroken(pool.name)}: {len(pool):,} rows, {len(candidates.rows):,} selectable, sources: {num_sources:,}",
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
        plan["checkpoints"] = f"{', '.join(map(str, trajectories.steps))} of {unbroken(trajectories.origin)}"
    elif trajectories is not None:
        plan["checkpoints"] = f"the {len(trajectories.columns)} columns of {unbroken(trajectories.origin)}"
    if "num_clusters" in method.settings:
        per_source = f" in each of {num_sources:,} sources" if subset.per_source else ""
        plan["clusters"] = f"at most {subset.num_clusters:,}{per_source}"
    lines = [f"subset of run {config.run_name}"]
    for name, text in plan.items():
        lines += labelled(name, text)
    return "\n".join(lines)


def settings_remarks(config: RunConfig, method: Method) -> list[str]:
    """Which settings of the subset the method does not use."""
    assert config.subset is not None
    subset = config.subset
    used = {"trajectories_from", "method", "budget", "budget_tokens", "extend", *NAMES, *method.settings}
    if subset.trajectories_from is not None:
        used.add("steps")
    if config.data is None:
        used.add("sources_from")
    return unused_remarks(subset, used, by=f"method {subset.method}")


def sources_remarks(config: RunConfig, method: Method, pool: Pool | NumberedRows) -> list[str]:
    """Whether the budget is to be shared out over sources of which there are none."""
    assert config.subset is not None
    by_source = method.by_source or ("per_source" in method.settings and config.subset.per_source)
    if not by_source or pool.source_names != [""]:
        return []
    where = f"data.source_column: {config.data.source_column!r}" if config.data else "subset.sources_from is not set"
    return [f"no row has a source ({where}): the pool is one source"]


def unused_remarks(subset: SubsetConfig, used: set[str], by: str) -> list[str]:
    """Which settings differ from their defaults without being used."""
    untouched = SubsetConfig.model_validate({"preset": subset.preset})
    unused = [
        name
        for name in SubsetConfig.model_fields
        if name not in used | {"preset"} and getattr(subset, name) != getattr(untouched, name)
    ]
    return [f"{by} does not use subset.{', subset.'.join(unused)}"] if unused else []
