"""Set evaluated runs side by side: arms, which differences are more than chance, costs.

    python compare_runs.py quickstart_s2l quickstart_random
    python compare_runs.py exp_s2l_1000_seed0 exp_s2l_1000_seed1 exp_random_1000_seed0 exp_random_1000_seed1

Runs that differ in their seeds alone are one arm. Name a run of the arm first that the others are set
against. All of it, with every run's values, goes to res/comparisons/<name>/comparison.json.
"""

import sys

import utils.process.environment  # noqa: F401 (first, for its message)


def main(argv: list[str] | None = None) -> int:
    from utils.process.lifetime import end_on_signals

    end_on_signals()
    from utils.config.command_line import run_command
    from utils.config.flags import CommandParser

    parser = CommandParser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the name or folder of an evaluated run")
    parser.add_argument(
        "--allow_differences", action="store_true", help="also runs that differ in more than the data"
    )
    arguments = parser.parse_args(argv)
    return run_command(lambda: _compare(arguments.runs, arguments.allow_differences))


def _compare(runs: list[str], allow_differences: bool) -> int:
    from utils import stages

    stages.compare(runs, allow_differences)
    return 0


if __name__ == "__main__":
    sys.exit(main())
