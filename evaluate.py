"""Measure a trained model: held-out response loss and accuracy per source, exact-match accuracy on benchmarks.

    python evaluate.py --config_file configs/quickstart/target_s2l.yml
    python evaluate.py --config_file configs/quickstart/target_s2l.yml --ckpt 0 run_name=quickstart_untrained
    python evaluate.py --compare quickstart_s2l quickstart_random quickstart_full

The YAML's `evaluation:` section says what is measured. Results go to res/<run_name>/evaluation; the same command
continues after a kill. `--compare` reads the results of several runs and prints one column per arm, the seeds of one
arm together.
"""

import sys


def main(argv: list[str] | None = None) -> int:
    from utils.config.command_line import make_parser, read_config, run_command

    parser = make_parser(__doc__, config_required=False)
    parser.add_argument(
        "--ckpt", type=int, metavar="STEP", help="0 = the untrained base model, -1 = the newest checkpoint (default)"
    )
    parser.add_argument("--compare", nargs="+", metavar="RUN", help="compare evaluated runs instead of evaluating one")
    parser.add_argument(
        "--allow_differences", action="store_true", help="with --compare: also runs that differ in more than the data"
    )
    arguments = parser.parse_intermixed_args(argv)
    if (arguments.compare is None) == (arguments.config_file is None):
        parser.error("expected exactly one of --config_file YAML (evaluate this run) and --compare RUN RUN ...")
    if arguments.allow_differences and arguments.compare is None:
        parser.error("--allow_differences goes with --compare")
    if arguments.compare is None:
        return run_command(lambda: _evaluate(arguments, read_config(arguments, needs=("model", "data"))))
    if arguments.overwrite or arguments.dry_run or arguments.ckpt is not None or arguments.overrides:
        parser.error("--compare only reads results that are there: it takes run names and --allow_differences")
    return run_command(lambda: _compare(arguments.compare, arguments.allow_differences))


def _evaluate(arguments, config) -> int:
    from utils.evaluation.stage import evaluate, plan_evaluation

    plan = plan_evaluation(config, -1 if arguments.ckpt is None else arguments.ckpt, arguments.overwrite)
    print(plan.describe(config), flush=True)
    if not arguments.dry_run:
        evaluate(config, plan, arguments.overwrite)
    return 0


def _compare(run_names: list[str], allow_differences: bool) -> int:
    from utils.evaluation.compare import comparison

    print(comparison(run_names, allow_differences))
    return 0


if __name__ == "__main__":
    sys.exit(main())
