"""Measure a trained model: held-out response loss and accuracy per source, exact-match accuracy on benchmarks.

    python evaluate.py --config_file configs/quickstart/target_s2l.yml
    python evaluate.py --config_file configs/quickstart/target_s2l.yml --ckpt 0 run_name=quickstart_untrained
    python evaluate.py --compare quickstart_s2l quickstart_random
    python evaluate.py --arms configs/quickstart/arms.yml --dry_run
    python evaluate.py --arms configs/quickstart/arms.yml

The YAML's `evaluation:` section says what is measured. Results go to res/<run_name>/evaluation; the same command
continues after a kill. `--compare` reads the results of several runs and prints one column per arm, the seeds of one
arm together; name the arm first that the others are set against. `--arms` makes all runs of an experiment (methods x budgets
x seeds) with the other scripts, continues where it was interrupted, and compares them.
"""

import sys
from typing import TYPE_CHECKING

import utils.process.environment  # noqa: F401 (first, for its message)

if TYPE_CHECKING:
    from utils.config.schema import RunConfig
    from utils.evaluation.experiment_checks import StageChecks


def main(argv: list[str] | None = None) -> int:
    from utils.config.command_line import make_parser, parse_arguments, run_command

    parser = make_parser(__doc__, config_required=False)
    parser.add_argument(
        "--ckpt", type=int, metavar="STEP", help="0 = the untrained base model, -1 = the newest checkpoint (default)"
    )
    parser.add_argument("--compare", nargs="+", metavar="RUN", help="compare evaluated runs instead of evaluating one")
    parser.add_argument("--arms", metavar="YAML", help="make the runs of an experiment, and compare them")
    parser.add_argument(
        "--allow_differences", action="store_true", help="with --compare: also runs that differ in more than the data"
    )
    arguments = parse_arguments(parser, argv)
    if sum(given is not None for given in (arguments.compare, arguments.config_file, arguments.arms)) != 1:
        parser.error(
            "expected exactly one of --config_file YAML (evaluate this run), --compare RUN RUN ... and --arms YAML"
        )
    if arguments.allow_differences and arguments.compare is None:
        parser.error("--allow_differences goes with --compare")
    if arguments.arms is not None:
        if arguments.overwrite or arguments.ckpt is not None:
            parser.error("--arms reuses what is there: it takes --dry_run and settings of its YAML, such as seeds=[0]")
        return run_command(lambda: _make_arms(arguments.arms, arguments.overrides, arguments.dry_run))
    if arguments.compare is None:
        return run_command(lambda: _evaluate(arguments))
    if arguments.overwrite or arguments.dry_run or arguments.ckpt is not None or arguments.overrides:
        parser.error("--compare only reads results that are there: it takes run names and --allow_differences")
    return run_command(lambda: _compare(arguments.compare, arguments.allow_differences))


def _evaluate(arguments) -> int:
    from utils.config.command_line import read_config
    from utils.data.settings import reading_problems
    from utils.evaluation.settings import checkpoint_problems, evaluation_problems
    from utils.modeling.settings import model_problems

    ckpt = -1 if arguments.ckpt is None else arguments.ckpt
    checks = {
        "run_name": lambda name: checkpoint_problems(name, ckpt),
        "data": reading_problems,
        "evaluation": evaluation_problems,
    }
    if ckpt == 0:  # a checkpoint is whole without the model that it began from
        checks["model"] = model_problems
    config = read_config(arguments, needs=("model", "data"), checks=checks)

    # What the config alone says has been said; these import torch.
    from utils.evaluation.plan import plan_evaluation
    from utils.evaluation.stage import evaluate

    plan = plan_evaluation(config, ckpt, arguments.overwrite)
    print(plan.describe(config), flush=True)
    if not arguments.dry_run:
        evaluate(config, plan, arguments.overwrite)
    return 0


def _compare(run_names: list[str], allow_differences: bool, name: str | None = None) -> int:
    import shutil

    from utils.artifacts.comparisons import write_comparison
    from utils.evaluation.compare import compare
    from utils.reporting.text.comparison import comparison_text
    from utils.terminal import WIDTH

    comparison = compare(run_names, allow_differences, name)
    print(comparison_text(comparison, shutil.get_terminal_size((WIDTH, 0)).columns), flush=True)
    print(f"\nall of it, with every run's values: {write_comparison(comparison)}")
    return 0


def _make_arms(config_file: str, overrides: list[str], dry_run: bool) -> int:
    from utils.config.arms import load_arms
    from utils.evaluation.arms import ExperimentPlan, make_arms

    plan = ExperimentPlan(config_file, load_arms(config_file, overrides), stage_checks())
    print(plan.describe(), flush=True)
    if dry_run:
        return 0
    failed = make_arms(plan)
    if failed.reference is not None:
        print(f"error: {failed.reference} failed, see above; the runs that need it were not tried", file=sys.stderr)
        return 1
    try:
        for name, runs in plan.comparisons().items():
            print()
            _compare(runs, allow_differences=False, name=name)
    finally:
        for name in failed.runs:
            print(f"error: run {name} failed, see above; the same command tries it again", file=sys.stderr)
    return 1 if failed.runs else 0


def stage_checks() -> "StageChecks":
    """What training, selection and evaluation say of a run of an experiment before it is made."""
    from utils.config.train_args import train_args_problems
    from utils.data.settings import data_problems, read_pool
    from utils.evaluation.experiment_checks import MethodFacts, StageChecks
    from utils.evaluation.plan import question_files
    from utils.evaluation.settings import evaluation_problems
    from utils.modeling.settings import model_problems
    from utils.selection.made_subset import resolve_subset, subset_is_begun
    from utils.selection.methods import METHODS
    from utils.selection.plan import check_before_scoring
    from utils.training.plan import plan_training, set_up_training
    from utils.training.tracking import tracking_problems

    def check_training(config: "RunConfig", num_rows: int) -> None:
        pool = read_pool(config)
        if config.subset is None:
            plan_training(config, pool, pool.usable_rows, None, overwrite=False)
        elif subset_is_begun(config):
            subset = resolve_subset(config, pool)
            plan_training(config, pool, subset.indices, subset.manifest, overwrite=False)
        else:
            set_up_training(config, pool, num_rows)

    sections = {
        "model": model_problems,
        "data": data_problems,
        "train_args": train_args_problems,
        "tracking": tracking_problems,
    }
    return StageChecks(
        methods={name: MethodFacts(method.settings, method.reads_with) for name, method in METHODS.items()},
        sections=sections,
        target_sections={"evaluation": evaluation_problems},
        training=check_training,
        selection=lambda config, num_rows: check_before_scoring(config, read_pool(config), num_rows),
        questions=question_files,
    )


if __name__ == "__main__":
    sys.exit(main())
