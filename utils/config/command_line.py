"""What every command line shares: --config_file, key=value, --overwrite, --dry_run, errors.

An error is one message that a person can act on, instead of a traceback.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from ..process.environment import WAY_OUT
from .flags import CommandParser
from .load import NO_CHECKS, Checks, load_config
from .schema import RunConfig
from .wandb_key import FLAG, take_wandb_key, without_keys

_PROJECT_ROOT = Path(__file__).resolve().parents[2]


def make_parser(docstring: str | None) -> argparse.ArgumentParser:
    """The arguments that every script takes. A script adds its own."""
    parser = CommandParser(docstring)
    parser.add_argument("--config_file", required=True, metavar="YAML", help="the run, see configs/")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="redo this stage: its earlier results in this run's folder go first",
    )
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="check everything and print the plan; writes nothing but res/.cache, what was read of the pool",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key.sub=value", help="settings that win over the YAML's"
    )
    return parser


def parse_arguments(
    parser: argparse.ArgumentParser, argv: list[str] | None, takes_wandb_key: bool = False
) -> argparse.Namespace:
    """Read a command line, and take a wandb key out of it.

    Args:
        parser: knows the flags.
        argv: the words; None for this process's own, which lose the key for good.
        takes_wandb_key: whether this script has a use for the key.

    Returns:
        The parser's arguments, and with them `words` (the command line without the key) and `wandb_key`
        (None where there is none).
    """
    try:
        words, key = take_wandb_key(sys.argv[1:] if argv is None else argv)
    except ValueError as error:
        parser.error(str(error))
    if key is not None and not takes_wandb_key:
        parser.error(f"{FLAG}: found a key, but only train.py reports to wandb: leave it out")
    if argv is None:
        sys.argv[1:] = words  # manifests record the command
    arguments = parser.parse_intermixed_args(words)
    arguments.words = words
    arguments.wandb_key = key
    return arguments


def read_config(
    arguments: argparse.Namespace, needs: Iterable[str] = (), checks: Checks = NO_CHECKS
) -> RunConfig:
    """The config of a parsed command line, as `load_config` reads it.

    The first process says how a YAML of the released code was read.
    """
    config, translations = load_config(arguments.config_file, arguments.overrides, needs, checks)
    if translations and os.environ.get("RANK", "0") == "0":
        print(f"{arguments.config_file} has the released code's keys; read as:", file=sys.stderr)
        for line in translations:
            print(f"  {line}", file=sys.stderr)
    return config


def run_command(command: Callable[[], int]) -> int:
    """Run a script's work. An error that our own code raised for people becomes one message and exit code 1.

    An error from inside a library keeps its traceback: somebody has to debug it.
    """
    try:
        return command()
    except KeyboardInterrupt:
        print("interrupted; the same command continues where it stopped", file=sys.stderr)
        return 130
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        innermost = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if not innermost.is_relative_to(_PROJECT_ROOT) or "site-packages" in innermost.parts:
            raise
        print(f"error: {without_keys(str(error))}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "utils"):
            raise
        print(f"error: found no package {package}: {WAY_OUT}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read our output has seen enough, as `head` has
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # else Python complains once more as it ends
        return 1
    except OSError as error:  # a full disk, a read-only folder: the system's own words say what to do
        print(f"error: {without_keys(str(error))}", file=sys.stderr)
        return 1
