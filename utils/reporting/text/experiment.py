"""What an experiment will make, and what that costs."""

from typing import TYPE_CHECKING

from ...terminal import duration, first_of, table, unbroken, wrapped

if TYPE_CHECKING:
    from ...experiments.plan import ExperimentPlan, PlannedRun

_WIDEST_NAME = 120  # runs of an experiment have long names, and they are to be copied whole


def experiment_text(plan: "ExperimentPlan") -> str:
    experiment = plan.experiment
    runs = plan.all_runs
    after = f"after {len(plan.references)} whose trajectories they use"
    lines = [f"experiment {experiment.name}: {len(plan.runs)} runs, {after}"]
    if plan.replaced:
        given = ", ".join(f"{key} {value}" for key, value in plan.replaced.items())
        lines += wrapped(
            f"  of {unbroken(experiment.target)} not used, as the experiment sets it in every run: {given}",
            indent="    ",
        )
    for title, left_out in plan.left_out().items():
        lines += wrapped(
            f"  comparison {unbroken(title)} will be replaced by one without {first_of(left_out)}, "
            "which the YAML does not name",
            indent="    ",
        )
    rows = [
        (run.config.run_name, f"{run.num_examples:,}", f"{run.steps:,}", f"{run.operations:.2g}", _state(run))
        for run in runs
    ]
    heading = ["run", "examples", "steps", "operations", "state"]
    lines += table(heading, rows, align="<>>><", indent="  ", widest_name=_WIDEST_NAME)
    operations = sum(run.operations for run in runs)
    operations_left = sum(run.operations_left for run in plan.left)
    lines.append(f"  in all {operations:.3g} floating-point operations, {operations_left:.3g} of them to do")
    if plan.seconds_left is None:
        lines.append("  device time: not known before the first run of each model is trained")
    else:
        left = f"about {duration(plan.seconds_left)} to do" if plan.seconds_left else "none to do"
        lines.append(f"  device time: {left}, at the pace of what is trained, evaluation not counted")
    return "\n".join(lines)


def _state(run: "PlannedRun") -> str:
    state = run.state
    words = ["trained"] if state.is_trained else []
    if state.is_measured:
        words.append("scored" if run.is_reference else "evaluated")
    return ", ".join(words) or ("begun" if state.is_begun else "to do")
