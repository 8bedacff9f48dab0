"""What is written of a subset for other stacks, and where it lies."""

from typing import TYPE_CHECKING

from ...terminal import counted, unbroken, wrapped

if TYPE_CHECKING:
    from ...selection.export import ExportPlan


def export_plan_text(plan: "ExportPlan") -> str:
    num_rows = counted(len(plan.own.subset.indices), "row")
    kind = "exact texts" if plan.renderer is not None else "messages"
    lines = [f"{num_rows} of the subset of run {plan.config.run_name}"]
    for export in plan.exports:
        what = "their columns as they are" if export.form is None else f"as {kind}"
        lines += wrapped(f"  for {export.stack}, {what}: {unbroken(export.folder)}", indent="    ")
    if plan.repo is not None:
        lines.append(f"  to the hub, seen by you alone until you change that there: {plan.repo}")
    return "\n".join(lines)


def export_text(plan: "ExportPlan", address: str | None) -> str:
    """What each folder holds."""
    lines = []
    for export in plan.exports:
        names = ", ".join(sorted(path.name for path in export.folder.iterdir()))
        lines.append(f"{export.folder}: {names}")
    if any(export.form is not None for export in plan.exports):
        lines.append("README.md says which tokens a stack trains on, and where that is not what S2L scored")
    if address is not None:
        lines.append(f"{address}: private, and without a licence. State one in its card before others see it")
    return "\n".join(lines)
