"""What is written of a subset for other stacks, and where it lies."""

from typing import TYPE_CHECKING

from ...terminal import counted, first_of, unbroken, wrapped

if TYPE_CHECKING:
    from ...selection.export import ExportPlan, Refusals


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


def refusals_text(refusals: "Refusals", is_dry_run: bool) -> str:
    """Which rows cannot be written for which stack, and what to do. Nothing was written for these stacks."""
    lines = []
    for stack, rows_of in refusals.faults.items():
        num_faulty = len({row for rows in rows_of.values() for row in rows})
        lines.append(
            f"--write_for {stack}: not written, since {num_faulty:,} of {counted(refusals.num_rows, 'row')} "
            "cannot be written there (rows of the pool, from 0):"
        )
        for fault, rows in rows_of.items():
            lines.append(f"  {fault}: {counted(len(rows), 'row')} ({first_of(rows)})")
    listed = "are listed without --dry_run" if is_dry_run else "are listed"
    num_listed = counted(len(refusals.excluded), "row")
    lines.append(
        f"All rows of the pool that cannot be written there {listed} in {refusals.path} ({num_listed}, with "
        "those that subset.exclude names already). Repair them, or choose and write again without them: "
        f"subset.exclude={refusals.path} and another run_name"
    )
    return "\n".join(lines)
