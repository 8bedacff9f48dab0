"""What every script's command line shares: --config_file, key=value overrides, --overwrite, --dry_run, and errors
that a person can act on instead of a traceback."""

import argparse
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from utils.config.load import load_config
from utils.config.schema import RunConfig

_PROJECT_ROOT = Path(__file__).resolve().parents[2]


def make_parser(docstring: str | None, config_required: bool = True) -> argparse.ArgumentParser:
    """The arguments that every script takes; a script adds its own. One that can do without a config checks itself."""
    parser = argparse.ArgumentParser(
        description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config_file", required=config_required, metavar="YAML", help="the run, see configs/")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="redo this stage: its earlier results in this run's folder go first",
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="check everything, print the plan, write nothing but the cache of tokens"
    )
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="settings that win over the YAML's")
    return parser


def read_config(arguments: argparse.Namespace, needs: Iterable[str] = (), quiet: bool = False) -> RunConfig:
    """The config of a parsed command line; says how a released-code YAML was read (unless quiet)."""
    config, translations = load_config(arguments.config_file, arguments.overrides, needs)
    if translations and not quiet:
        print(f"{arguments.config_file} has the released code's keys; read as:", file=sys.stderr)
        for line in translations:
            print(f"  {line}", file=sys.stderr)
    return config


def run_command(command: Callable[[], int]) -> int:
    """Run a script's work; an error that our own code raised for people becomes one message and exit code 1.

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
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a read-only folder: the system's own words say what to do
        print(f"error: {error}", file=sys.stderr)
        return 1


def take_wandb_key(argv: list[str]) -> tuple[list[str], str | None]:
    """Remove `--wandb_key K` (or `--wandb_key=K`) from a command line before anything can record or import it.

    Returns: (the command line without it, the key or None).
    """
    rest: list[str] = []
    key: str | None = None
    position = 0
    while position < len(argv):
        word = argv[position]
        if word == "--wandb_key":
            if position + 1 == len(argv):
                raise SystemExit(
                    "error: --wandb_key: found nothing after it, expected a key; WANDB_API_KEY is the better way"
                )
            key = argv[position + 1]
            position += 1
        elif word.startswith("--wandb_key="):
            key = word.partition("=")[2]
        else:
            rest.append(word)
        position += 1
    return rest, key or None
