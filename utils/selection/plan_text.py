"""A plan in words."""

from utils.selection.constraints import NAMES
from utils.selection.plan import SelectionPlan
from utils.terminal import counted, labelled, unbroken


def plan_text(plan: SelectionPlan) -> str:
    settings, candidates, pool = plan.settings, plan.candidates, plan.pool
    num_sources, num_selectable, trajectories = len(pool.source_names), len(candidates.rows), candidates.trajectories
    said = [f"{name} {getattr(settings, name)}" for name in plan.method.settings if name != "num_clusters"]
    words = {
        "pool": f"{unbroken(pool.name)}: {len(pool):,} rows, {num_selectable:,} selectable, sources: {num_sources:,}",
        "method": ", ".join([f"{settings.method} (seed {plan.config.seed})", *said]),
        "budget": "; ".join(
            f"{budget:,} rows, {100 * budget / num_selectable:.1f} % of the selectable rows" for budget in plan.budgets
        ),
    }
    if settings.budget_tokens is not None:
        words["budget"] = f"{settings.budget_tokens:,} response tokens"
    limits = [name for name in NAMES if name in plan.wanted[0].inputs]
    limits += ["extend"] if settings.extend is not None else []
    if limits:
        counts = {name: f" ({counted(count, 'row')})" for name, count in plan.listed.counts.items()}
        words["limits"] = ", ".join(f"{name} {getattr(settings, name)}{counts.get(name, '')}" for name in limits)
    if trajectories is not None and trajectories.steps is not None:
        words["checkpoints"] = f"{', '.join(map(str, trajectories.steps))} of {unbroken(trajectories.origin)}"
    elif trajectories is not None:
        words["checkpoints"] = f"the {len(trajectories.columns)} columns of {unbroken(trajectories.origin)}"
    if plan.most_clusters is not None:
        words["clusters"] = _clusters(plan, plan.most_clusters)
    lines = [f"subset of run {plan.config.run_name}"]
    for name, text in words.items():
        lines += labelled(name, text)
    return "\n".join(lines)


def _clusters(plan: SelectionPlan, most_clusters: int) -> str:
    settings, subset = plan.settings, plan.config.subset
    num_sources = len(plan.pool.source_names)
    per_source = f" in each of {num_sources:,} sources" if settings.per_source else ""
    derived = subset is not None and subset.num_clusters is None
    origin = " (a hundredth of the rows of the largest, 100 at most)" if derived else ""
    words = f"at most {settings.num_clusters:,}{per_source}{origin}"
    if settings.budget_tokens is None:
        shares = ", ".join(f"{budget / most_clusters:,.1f}" for budget in plan.budgets)
        words += f", {most_clusters:,} in all: on average {shares} rows of each"
    return words
