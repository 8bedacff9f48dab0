"""List the runs below res/: what was done of each, when, from what, how far, and its size on disk.

python -m utils.runs            a table, the newest run last
python -m utils.runs --json     the same as data
"""

import json
import sys
from dataclasses import asdict

from .process import environment  # noqa: F401 (first, for its message)

# isort: split

from .artifacts.paths import results_root
from .artifacts.runs import find_runs
from .config.command_line import run_command
from .config.flags import CommandParser
from .reporting.text.runs import run_table


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(__doc__)
    parser.add_argument("--json", action="store_true", help="data instead of a table")
    arguments = parser.parse_args(argv)

    def command() -> int:
        runs = find_runs()
        if arguments.json:
            print(json.dumps([asdict(run) for run in runs], indent=2))
        else:
            print("\n".join(run_table(runs) if runs else [f"no run in {results_root().absolute()}"]))
        return 0

    return run_command(command)


if __name__ == "__main__":
    sys.exit(main())
