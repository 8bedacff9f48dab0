"""Choose the subset of a run: loss trajectories in, res/<run_name>/subset out. Needs no GPU and no model.

    python select_s2l.py --config_file configs/<target>.yml
    python select_s2l.py --config_file configs/<target>.yml --dry_run
    python select_s2l.py --config_file configs/<target>.yml subset.budget=0.11 run_name=<another run>
    python select_s2l.py --config_file configs/<target>.yml --overwrite

The config's subset section says how. Before it, the proxy's trajectories must be there
(run_distributed_trajectories.py), or an .npy file of losses, one row per example and one column per checkpoint.
A smaller budget chooses a part of what a larger one chooses.
"""

import sys

from utils.config.command_line import make_parser, read_config, run_command
from utils.selection.stage import select


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser(__doc__).parse_intermixed_args(argv)

    def command() -> int:
        config = read_config(arguments, needs=("data", "subset"))
        select(config, arguments.overwrite, arguments.dry_run)
        return 0

    return run_command(command)


if __name__ == "__main__":
    sys.exit(main())
