"""The selection stage as a script calls it: plan, say what the plan is, run it, say what came of it."""

import sys
from collections.abc import Iterable

from utils.artifacts.manifests import keep_config
from utils.artifacts.paths import RunPaths, named_subset
from utils.config.schema import RunConfig
from utils.data.pool import Pool
from utils.selection.composition import composition_text
from utils.selection.made_subset import resolve_subset
from utils.selection.numbered_rows import NumberedRows
from utils.selection.plan import plan_selection
from utils.selection.plan_text import plan_text
from utils.selection.remarks import unused_remarks
from utils.selection.run import run_selection


def select(
    config: RunConfig, overwrite: bool = False, dry_run: bool = False, pool: Pool | NumberedRows | None = None
) -> None:
    """Choose the subset of a run and write it; print the plan, remarks (stderr) and what was chosen.

    A list of budgets gives a subset of each, in folders subset-<rows>, from one clustering.

    A subset that was made from the same inputs is left as it is. With `subset.same_as` nothing is chosen: that other
    run's subset must be there and belong to this pool.

    Args:
        overwrite: choose again, whatever lies there.
        dry_run: check everything, print the plan, write nothing.
        pool: the pool of config.data where it is open already.

    Raises: as `plan_selection` and `run_selection`; FileNotFoundError where the run in `same_as` has no subset.
    """
    assert config.subset is not None
    subset = config.subset
    if subset.same_as is not None:
        found = resolve_subset(config, pool)
        _print_remarks(unused_remarks(subset, used={"same_as"}, by=f"same_as: {subset.same_as}"), [])
        print(
            f"run {config.run_name} uses the subset of run {subset.same_as}: {len(found.indices):,} rows, "
            f"{named_subset(subset.same_as)}; nothing to select"
        )
        return

    plan = plan_selection(config, pool, overwrite)
    _print_remarks(plan.remarks, plan.warnings)
    print(plan_text(plan))
    for wanted in plan.wanted:
        if wanted not in plan.pending:
            print(f"already there, made from the same inputs: {wanted.folder} (--overwrite chooses again)")
    if not plan.pending:
        return
    if dry_run:
        where = ", ".join(str(wanted.folder) for wanted in plan.pending)
        print(f"dry run: nothing written; without --dry_run the subset goes to {where}")
        return

    keep_config(RunPaths(config.run_name), config)
    result = run_selection(plan)
    _print_remarks(result.remarks, result.warnings)
    for made in result.subsets:
        names = ", ".join(sorted(path.name for path in made.folder.iterdir()))
        print(f"\n{composition_text(made.composition)}\n\n{made.folder}: {names}")
    spent = ", ".join(f"{name} {seconds:.1f}" for name, seconds in result.seconds.items())
    print(f"{sum(result.seconds.values()):.1f} s: {spent}")


def _print_remarks(remarks: Iterable[str], warnings: Iterable[str]) -> None:
    for remark in remarks:
        print(f"note: {remark}", file=sys.stderr)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
