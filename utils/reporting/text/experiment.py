"""What an experiment will make, and what that costs."""

from typing import TYPE_CHECKING

from ...terminal import table, unbroken, wrapped

if TYPE_CHECKING:
    from ...experiments.plan import ExperimentPlan


def experiment_text(plan: "ExperimentPlan") -> str:
    experiment, runs = plan.experiment, plan.all_runs
    lines = [
        f"experiment {experiment.name}: {len(plan.runs)} runs, after {len(plan.references)} whose trajectories they use"
    ]
    if plan.replaced:
        given = ", ".join(f"{key} {value}" for key, value in plan.replaced.items())
        lines += wrapped(
            f"  of {unbroken(experiment.target)} not used, as the experiment sets it in every run: {given}",
            indent="    ",
        )
    rows = [
        (run.config.run_name, f"{run.num_examples:,}", f"{run.steps:,}", f"{run.operations:.2g}", run.state)
        for run in runs
    ]
    lines += table(
        ["run", "examples", "steps", "operations", "state"], rows, align="<>>><", indent="  ", widest_name=120
    )
    operations, still = sum(run.operations for run in runs), sum(run.operations_left for run in plan.left)
    lines.append(f"  in all {operations:.3g} floating-point operations, {still:.3g} of them to do")
    if plan.seconds_left is None:
        lines.append("  device time: not known before the first run of each model is trained")
    else:
        hours = f"about {plan.seconds_left / 3600:.2g} hours to do"
        lines.append(f"  device time: {hours}, at the pace of what is trained, evaluation not counted")
    return "\n".join(lines)
