"""How far a subset would be another with other seeds, checkpoints or losses."""

from typing import TYPE_CHECKING

from ...terminal import counted, table, wrapped

if TYPE_CHECKING:
    from ...selection.checks.stability import Stability, StabilityPlan

_MEASURES = (
    "clusters: adjusted Rand index, 1 = the same clusters, 0 = no more alike than by chance. "
    "subset: rows in both over rows in either (Jaccard); the random order of the rows is the same throughout."
)
_NO_WARNING = "No warning: the clusters hold under another seed and say more than the mean loss does."
_NAME_WIDTH = 64


def stability_plan_text(plan: "StabilityPlan") -> str:
    return f"clustering {counted(plan.num_rows, 'row')} {plan.num_clusterings} times"


def stability_text(stability: "Stability") -> str:
    changes = {f"the k-means seed (mean of {len(stability.other_seeds)})": stability.mean_of_seeds}
    for name, agreement in stability.without_checkpoint.items():
        changes[f"the checkpoints: without {name}"] = agreement
    changes["trajectories to their mean loss alone"] = stability.mean_loss_alone
    changes["trajectories to their last loss alone"] = stability.last_loss_alone
    if stability.target_losses is not None:
        changes["the proxy's losses to the target's"] = stability.target_losses
    rows = [
        (f"  {name}", f"{agreement.clusters:.2f}", f"{agreement.subset:.2f}")
        for name, agreement in changes.items()
    ]
    rows.append(("  clusters to none, rows in the same random order", "", f"{stability.no_clusters:.2f}"))
    heading = ["agreement with this subset, if one changes", "clusters", "subset"]
    lines = table(heading, rows, widest_name=_NAME_WIDTH)
    return "\n".join([*lines, "", *(line for text in _notes(stability) for line in wrapped(text, indent=""))])


def _notes(stability: "Stability") -> list[str]:
    level = f"{100 * stability.share_of_level:.1f} %"
    shape = f"{100 * (1 - stability.share_of_level):.1f} %"
    notes = [
        _MEASURES,
        f"{level} of the differences between losses are the level of a row (its mean loss); "
        f"the shape of the trajectory makes {shape}.",
    ]
    measured = stability.rows_measured
    if measured < stability.selectable:
        notes.append(
            f"Measured on {measured:,} of the {stability.selectable:,} selectable rows, drawn at random."
        )
    return notes + ([f"warning: {warning}" for warning in stability.warnings] or [_NO_WARNING])
