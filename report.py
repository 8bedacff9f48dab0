"""Make one HTML page of a run or an experiment: what was selected, why, and what it bought.

    python report.py --config_file configs/<target>.yml
    python report.py --config_file A.yml B.yml
    python report.py --experiment NAME
    python report.py --config_file configs/<target>.yml --figures pdf png

The page is one file that needs no network: open it from disk, send it, print it. It is made from what lies
under res/ and says what is not there yet, with the command that makes it. Several YAMLs: their subsets of one
pool side by side. NAME is that of an experiment, or of a comparison below res/comparisons/. --figures writes
the figures as files, too. The page replaces an earlier one.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import utils.process.environment  # noqa: F401 (first, for its message)

if TYPE_CHECKING:
    import argparse

    from utils.config.schema import RunConfig
    from utils.reporting.page.gathering.subjects import OpenedPool
    from utils.reporting.page.make import PageRequest


def main(argv: list[str] | None = None) -> int:
    from utils.process.lifetime import end_on_signals

    end_on_signals()
    from utils.config.command_line import run_command
    from utils.config.flags import CommandParser
    from utils.config.names import FIGURE_FORMATS

    parser = CommandParser(__doc__)
    parser.add_argument("--config_file", nargs="+", metavar="YAML", default=[], help="the run, or several")
    parser.add_argument("--experiment", metavar="NAME", help="an experiment, or a comparison, by its name")
    parser.add_argument(
        "--figures", nargs="+", metavar="FORMAT", default=[], choices=FIGURE_FORMATS,
        help=f"write the figures as files too ({', '.join(FIGURE_FORMATS)})",
    )  # fmt: skip
    parser.add_argument(
        "--dry_run", action="store_true", help="say what the page would lack; writes nothing but res/.cache"
    )
    arguments = parser.parse_args(argv)
    if bool(arguments.config_file) == (arguments.experiment is not None):
        parser.error("found both or none of --config_file and --experiment, expected one of them")
    return run_command(lambda: _report(arguments))


def _report(arguments: "argparse.Namespace") -> int:
    from utils.reporting.page.make import make_page, plan_page
    from utils.reporting.text.page import page_plan_text, page_text

    plan = plan_page(_request(arguments))
    print(page_plan_text(plan), flush=True)
    if arguments.dry_run:
        print("dry run: nothing written")
        return 0
    print(page_text(make_page(plan, arguments.figures)))
    return 0


def _request(arguments: "argparse.Namespace") -> "PageRequest":
    """The runs or the experiment, and the texts of its pool."""
    from utils.config.load import load_config
    from utils.reporting.page.gathering.subjects import Subject, find_experiment
    from utils.reporting.page.make import PageRequest

    if arguments.experiment is not None:
        found = find_experiment(arguments.experiment)
        return PageRequest(found.subjects, found, _open_pool([each.config for each in found.subjects]))
    overrides = [word for word in arguments.config_file if "=" in word and not Path(word).is_file()]
    files = [word for word in arguments.config_file if word not in overrides]
    if not files:
        raise ValueError(f"found no YAML beside {overrides[0]}, expected --config_file YAML {overrides[0]}")
    subjects = [Subject(load_config(file, overrides)[0], file, tuple(overrides)) for file in files]
    return PageRequest(subjects, None, _open_pool([each.config for each in subjects]))


def _open_pool(configs: "list[RunConfig]") -> "OpenedPool":
    """The pool of the first run; why not, where it cannot be read any more."""
    from utils.reporting.page.gathering.subjects import OpenedPool
    from utils.selection.opening import open_pool

    if not configs:
        return OpenedPool(None)
    if configs[0].data is None and configs[0].subset is None:
        return OpenedPool(None, "the YAML has no data section")
    try:
        return OpenedPool(open_pool(configs[0]))
    except (FileNotFoundError, ValueError) as error:
        return OpenedPool(None, str(error))


if __name__ == "__main__":
    sys.exit(main())
