"""Ask one trained model and judge it: loss and accuracy on held-out rows, accuracy on question sets.

    python evaluate_run.py --config_file configs/quickstart/target_s2l.yml
    python evaluate_run.py --config_file C --ckpt 0 run_name=quickstart_untrained

The YAML's `evaluation:` section says what is asked. Results go to res/<run_name>/evaluation. After a kill the
same command goes on. `compare_runs.py` sets evaluated runs side by side.
"""

import sys

import utils.process.environment  # noqa: F401 (first, for its message)


def main(argv: list[str] | None = None) -> int:
    from utils.process.lifetime import end_on_signals

    end_on_signals()
    from utils.config.command_line import make_parser, parse_arguments, run_command

    parser = make_parser(__doc__)
    parser.add_argument(
        "--ckpt",
        type=int,
        default=-1,
        metavar="STEP",
        help="0 = the untrained base model, -1 = the newest (default)",
    )
    arguments = parse_arguments(parser, argv)
    return run_command(lambda: _evaluate(arguments))


def _evaluate(arguments) -> int:
    from utils import stages
    from utils.config.command_line import read_config
    from utils.stage_checks import evaluation_checks

    config = read_config(arguments, ("model", "data"), evaluation_checks(arguments.ckpt))
    stages.evaluate(config, arguments.ckpt, arguments.overwrite, arguments.dry_run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
