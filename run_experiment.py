"""Make all runs of an experiment (methods x budgets x seeds) with the other scripts, and compare them.

    python run_experiment.py --config_file configs/quickstart/experiment.yml --dry_run
    python run_experiment.py --config_file configs/quickstart/experiment.yml
    python run_experiment.py --config_file configs/quickstart/experiment.yml seeds=[0]

What is there already is not made again. After an interruption the same command goes on. `--dry_run` checks
what every stage of every run would refuse, and lists the runs with their costs.
"""

import sys
from typing import TYPE_CHECKING

import utils.process.environment  # noqa: F401 (first, for its message)

if TYPE_CHECKING:
    from utils.config.schema import RunConfig
    from utils.data.pool import Pool
    from utils.experiments.checks import StageChecks


def main(argv: list[str] | None = None) -> int:
    from utils.process.lifetime import end_on_signals

    end_on_signals()
    from utils.config.command_line import make_parser, parse_arguments, run_command

    parser = make_parser(__doc__, can_overwrite=False)
    arguments = parse_arguments(parser, argv)
    if arguments.overwrite:
        parser.error(
            "--overwrite: an experiment reuses what is there: overwrite a run with the script that made it"
        )
    return run_command(lambda: _run(arguments))


def _run(arguments) -> int:
    from utils.config.experiment import load_experiment

    experiment = load_experiment(arguments.config_file, arguments.overrides)

    # What its YAML alone says has been said.
    from dataclasses import replace

    from utils.artifacts.comparisons import write_comparison
    from utils.artifacts.experiments import write_experiment
    from utils.experiments.compare import compare
    from utils.experiments.plan import plan_experiment
    from utils.experiments.run import run_experiment
    from utils.reporting.text.comparison import comparison_text
    from utils.reporting.text.experiment import experiment_text
    from utils.terminal import terminal_width

    plan = plan_experiment(arguments.config_file, experiment, stage_checks())
    print(experiment_text(plan), flush=True)
    if arguments.dry_run:
        return 0
    write_experiment(plan.record(arguments.config_file))
    failures = run_experiment(plan)
    try:
        for name, runs in plan.comparisons().items():
            comparison = compare(runs, name=name)
            print(f"\n{comparison_text(comparison, terminal_width())}", flush=True)
            print(f"\nall of it, with every run's values: {write_comparison(comparison)}")
        if not failures.failed:
            write_experiment(replace(plan.record(arguments.config_file), status="complete"))
    finally:
        for name in failures.failed:
            print(f"error: run {name} failed, see above. The same command tries it again", file=sys.stderr)
        if failures.not_tried:
            print(
                f"error: not tried, as they need a run that failed: {', '.join(failures.not_tried)}",
                file=sys.stderr,
            )
    return 1 if failures.failed else 0


def stage_checks() -> "StageChecks":
    """What the stages say of a run of an experiment. Each is imported when it is first asked."""
    from utils.artifacts.manifests import is_complete
    from utils.artifacts.paths import RunPaths
    from utils.artifacts.trainings import TrainingManifest
    from utils.config.train_args import train_args_problems
    from utils.data.settings import data_problems, read_pool
    from utils.evaluation.settings import evaluation_problems
    from utils.experiments.checks import StageChecks
    from utils.modeling.settings import model_problems
    from utils.selection.methods.table import needed_besides_losses, unused_settings
    from utils.training.tracking import tracking_problems

    pools: dict[str, Pool] = {}  # most runs have one. Reading it for each of them would take as often as long

    def pool_of(config: "RunConfig") -> "Pool":
        key = config.data_section.model_dump_json()
        if key not in pools:
            pools[key] = read_pool(config)
        return pools[key]

    def is_trained(config: "RunConfig", num_rows: int) -> bool:
        from utils.selection.resolve import chosen_rows
        from utils.training.plan import all_steps_are_trained, check_training, plan_training

        pool = pool_of(config)
        chosen = chosen_rows(config, pool)
        if chosen is None:
            check_training(config, pool, num_rows)
            return False
        plan = plan_training(config, pool, chosen.rows, chosen.subset_manifest, overwrite=False)
        paths = RunPaths(config.run_name)
        is_whole = is_complete(paths.manifest, TrainingManifest) and all_steps_are_trained(paths, plan)
        return is_whole and (not config.trajectories.during_training or is_scored(config, "all"))

    def is_scored(config: "RunConfig", checkpoints: str) -> bool:
        from utils.scoring import plan

        return plan.is_scored(config, pool_of(config), checkpoints)

    def is_evaluated(config: "RunConfig") -> bool:
        from utils.evaluation import inputs

        return inputs.is_evaluated(config)

    def check_selection(config: "RunConfig", num_rows: int) -> None:
        from utils.selection.plan import check_before_scoring

        check_before_scoring(config, pool_of(config), num_rows)

    def check_questions(config: "RunConfig") -> None:
        from utils.evaluation.inputs import question_sets

        question_sets(config)

    sections = {
        "model": model_problems,
        "data": data_problems,
        "train_args": train_args_problems,
        "tracking": tracking_problems,
    }
    return StageChecks(
        sections=sections,
        target_sections={"evaluation": evaluation_problems},
        is_trained=is_trained,
        is_scored=is_scored,
        is_evaluated=is_evaluated,
        selection=check_selection,
        questions=check_questions,
        unused_settings=unused_settings,
        needed_besides_losses=needed_besides_losses,
    )


if __name__ == "__main__":
    sys.exit(main())
