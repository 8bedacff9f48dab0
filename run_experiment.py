"""Make all runs of an experiment (methods x budgets x seeds) with the other scripts, and compare them.

    python run_experiment.py --config_file configs/quickstart/experiment.yml --dry_run
    python run_experiment.py --config_file configs/quickstart/experiment.yml
    python run_experiment.py --config_file configs/quickstart/experiment.yml seeds=[0]

What is there already is not made again. After an interruption the same command goes on. `seeds=[0]`,
`methods=[s2l]` or `budgets=[0.1]` make some of the runs that the YAML names: record and comparisons are still
of all of them, as far as they are there. `--dry_run` checks what every stage of every run would refuse, and
lists the runs with their costs.
"""

import sys

import utils.process.environment  # noqa: F401 (first, for its message)


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
    from utils.config.experiment import load_experiment, load_whole

    experiment = load_experiment(arguments.config_file, arguments.overrides)

    # What its YAML alone says has been said.
    from utils import stages
    from utils.artifacts.experiments import write_experiment
    from utils.experiments.plan import plan_experiment
    from utils.experiments.run import run_experiment
    from utils.reporting.text.experiment import experiment_text
    from utils.stage_checks import experiment_checks

    whole = load_whole(arguments.config_file, experiment)
    plan = plan_experiment(arguments.config_file, experiment, experiment_checks(), whole)
    print(experiment_text(plan), flush=True)
    if arguments.dry_run:
        return 0
    write_experiment(plan.record(arguments.config_file))
    failures = run_experiment(plan)
    try:
        for name, runs in plan.comparisons().items():
            print()
            stages.compare(runs, name=name, labels=plan.label_of_run)
        if not failures.failed:
            write_experiment(plan.record(arguments.config_file, is_made=True))
    finally:
        for name in failures.failed:
            print(f"error: run {name} failed, see above. The same command tries it again", file=sys.stderr)
        if failures.not_tried:
            print(
                f"error: not tried, as they need a run that failed: {', '.join(failures.not_tried)}",
                file=sys.stderr,
            )
    return 1 if failures.failed else 0


if __name__ == "__main__":
    sys.exit(main())
