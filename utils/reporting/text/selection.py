"""What a selection will do, and what a subset consists of."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ...config.names import LIMITS
from ...terminal import counted, labelled, table, unbroken, visible

if TYPE_CHECKING:
    from ...artifacts.trajectories.read import Trajectories
    from ...selection.plan import SelectionPlan
    from ...selection.run import SelectionResult

_NUM_SHOWN = 40  # sources in the table
_NAME_WIDTH = 36  # a longer name gets a line of its own
_MEASURES = {
    "first_loss": "loss at the first checkpoint",
    "last_loss": "loss at the last checkpoint",
    "fall_of_loss": "fall of the loss between them",
    "response_tokens": "response tokens",
}


def remarks_text(remarks: Iterable[str], warnings: Iterable[str] = ()) -> str:
    """Whole lines; none where there is nothing to remark."""
    lines = [*(f"note: {remark}" for remark in remarks), *(f"warning: {warning}" for warning in warnings)]
    return "".join(f"{visible(line)}\n" for line in lines)


def selection_plan_text(plan: "SelectionPlan") -> str:
    words = {
        "pool": _pool(plan),
        "method": _method(plan),
        "budget": _budget(plan),
        "limits": _limits(plan),
        "checkpoints": _checkpoints(plan.candidates.trajectories),
        "clusters": "" if plan.most_clusters is None else _clusters(plan, plan.most_clusters),
    }
    lines = [f"subset of run {plan.config.run_name}"]
    for name, text in words.items():
        if text:
            lines += labelled(name, text)
    for request in plan.requests:
        if request not in plan.pending:
            overwrite = "(--overwrite chooses again)"
            lines.append(f"already there, made from the same inputs: {request.folder} {overwrite}")
    return "\n".join(lines)


def _pool(plan: "SelectionPlan") -> str:
    pool = plan.pool
    selectable = f"{len(plan.candidates.rows):,} selectable"
    return f"{unbroken(pool.name)}: {len(pool):,} rows, {selectable}, sources: {len(pool.source_names):,}"


def _method(plan: "SelectionPlan") -> str:
    settings = plan.settings
    names = [name for name in plan.method.settings if name != "num_clusters"]  # which has a line of its own
    said = [f"{name} {getattr(settings, name)}" for name in names]
    if "per_source" in names:  # a preset is of these methods alone
        said = [f"preset {settings.preset}", *said]
    return ", ".join([f"{settings.method} (seed {plan.config.seed})", *said])


def _budget(plan: "SelectionPlan") -> str:
    if plan.settings.budget_tokens is not None:
        return f"{plan.settings.budget_tokens:,} response tokens"
    num_selectable = len(plan.candidates.rows)
    shares = [f"{100 * budget / num_selectable:.1f} % of the selectable rows" for budget in plan.budgets]
    return "; ".join(f"{budget:,} rows, {share}" for budget, share in zip(plan.budgets, shares, strict=True))


def _limits(plan: "SelectionPlan") -> str:
    """Empty without any."""
    settings = plan.settings
    names = [name for name in LIMITS if name in plan.requests[0].inputs]
    if settings.extend is not None:
        names.append("extend")
    counts = {name: f" ({counted(count, 'row')})" for name, count in plan.listed.counts.items()}
    return ", ".join(f"{name} {getattr(settings, name)}{counts.get(name, '')}" for name in names)


def _checkpoints(trajectories: "Trajectories | None") -> str:
    """Empty without trajectories."""
    if trajectories is None:
        return ""
    origin = unbroken(trajectories.origin)
    if trajectories.steps is None:
        return f"the {len(trajectories.columns)} columns of {origin}"
    return f"{', '.join(map(str, trajectories.steps))} of {origin}"


def _clusters(plan: "SelectionPlan", most_clusters: int) -> str:
    settings = plan.settings
    num_sources = len(plan.pool.source_names)
    per_source = f" in each of {num_sources:,} sources" if settings.per_source else ""
    is_derived = plan.config.subset_section.num_clusters is None
    origin = " (a hundredth of the rows of the largest, 100 at most)" if is_derived else ""
    if settings.num_clusters == "auto":
        return f"as many as agree between seeds{per_source}, at most {most_clusters:,} in all"
    words = f"at most {settings.num_clusters:,}{per_source}{origin}"
    if settings.budget_tokens is None:
        shares = ", ".join(f"{budget / most_clusters:,.1f}" for budget in plan.budgets)
        words += f", {most_clusters:,} in all: on average {shares} rows of each"
    return f"{words}; k-means on {counted(plan.num_gpus, 'GPU')}" if plan.num_gpus else words


def selection_text(result: "SelectionResult") -> str:
    """What was chosen, and where it lies."""
    lines = []
    for subset in result.subsets:
        names = ", ".join(sorted(path.name for path in subset.folder.iterdir()))
        lines += ["", composition_text(subset.composition), "", f"{subset.folder}: {names}"]
    spent = ", ".join(f"{name} {seconds:.1f}" for name, seconds in result.seconds.items())
    return "\n".join([*lines, f"{sum(result.seconds.values()):.1f} s: {spent}"])


def composition_text(composition: dict[str, Any]) -> str:
    """The composition for people; of many sources the largest, by name."""
    sources = composition["sources"]
    largest = sorted(sources, key=lambda name: -sources[name]["pool_rows"])[:_NUM_SHOWN]
    heading = ["source", "pool rows", "% of pool", "chosen", "% of source", "% of subset"]
    rows = [(name or "(none)", *_cells(sources[name])) for name in sorted(largest)]
    if len(sources) > len(largest):
        rows.append((f"... and {len(sources) - len(largest):,} smaller sources, all in composition.json",))
    whole = {
        "share_of_pool": 1.0,
        "share_of_subset": 1.0,
        "share_chosen": composition["chosen"] / composition["pool_rows"],
    }
    rows.append(("total", *_cells(composition | whole)))
    if composition["num_clusters"]:
        heading.append("clusters")
    else:
        rows = [row[: len(heading)] for row in rows]
    if "source_weight" in composition:
        heading.append(f"weight ({composition['source_weight']})")
        weights = [f"{sources[name]['weight']:.4g}" for name in sorted(largest)]
        rows[: len(weights)] = [(*row, cell) for row, cell in zip(rows, weights, strict=False)]
    lines = table(heading, rows, widest_name=_NAME_WIDTH)
    if composition["measures"]:
        lines += ["", *_measures_table(composition["measures"])]
    return "\n".join(lines)


def _cells(counts: dict[str, Any]) -> list[str]:
    return [
        f"{counts['pool_rows']:,}",
        f"{100 * counts['share_of_pool']:.1f}",
        f"{counts['chosen']:,}",
        f"{100 * counts['share_chosen']:.1f}",
        f"{100 * counts['share_of_subset']:.1f}",
        f"{counts['num_clusters']:,}",
    ]


def _measures_table(measures: dict[str, dict[str, float]]) -> list[str]:
    rows = []
    for name, words in _MEASURES.items():
        if name in measures:
            digits = 1 if name == "response_tokens" else 3
            measure = measures[name]
            values = (measure["chosen"], measure["at_random"], measure["standard_error"])
            rows.append((words, *(f"{value:.{digits}f}" for value in values)))
    return table(["mean over rows", "chosen", "at random, same sources", "± standard error"], rows)
