"""What every command line shares: --config_file, key=value, --overwrite, --dry_run, errors.

An error is one message that a person can act on, instead of a traceback.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from io import TextIOWrapper
from typing import Any

from ..process import torchrun
from ..process.environment import WAY_OUT
from ..process.errors import (
    in_words,
    is_of_another_process,
    is_ours,
    is_out_of_memory,
    system_error_number,
)
from ..process.lifetime import EXIT_CODE, INTERRUPTED, interruptible
from ..terminal import readable
from .flags import CommandParser
from .load import NO_CHECKS, NO_DEFAULTS, Checks, load_config
from .schema import RunConfig
from .wandb_key import FLAG, take_wandb_key, without_keys

_FAULT_OF_OURS = (
    "error: this is a fault of the program, not of what you gave it. What it finished is whole on disk.\n"
    "Please report it to the project with the lines above, the command, its YAML, and what "
    "`python -m utils.doctor` prints"
)


def make_parser(docstring: str | None, can_overwrite: bool = True) -> argparse.ArgumentParser:
    """The arguments that every script takes. A script adds its own.

    Args:
        docstring: of the script.
        can_overwrite: whether --help names --overwrite. A script that cannot says why.
    """
    parser = CommandParser(docstring)
    parser.add_argument("--config_file", required=True, metavar="YAML", help="the run, see configs/")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="redo this stage: its earlier results in this run's folder go first"
        if can_overwrite
        else argparse.SUPPRESS,
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


def add_show(parser: argparse.ArgumentParser) -> None:
    """The argument of the scripts that show tokens."""
    parser.add_argument(
        "--show",
        type=int,
        metavar="ROW",
        help="with --dry_run: the tokens of this row of the pool (from 0) in place of three rows'",
    )


def add_checkpoint_flags(parser: argparse.ArgumentParser) -> None:
    """--model_path and --subfolder, of the scripts that score checkpoints."""
    parser.add_argument(
        "--model_path",
        help="folder of checkpoints (checkpoint-500, step-500, iter_500, epoch_5, ...), or revisions of a "
        "model on the hub (NAME@step1000,step2000 or NAME@'step*'); default: the run's own folder",
    )
    parser.add_argument("--subfolder", help="folder that holds the model in each checkpoint or revision")


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
    if getattr(arguments, "show", None) is not None and not arguments.dry_run:
        parser.error("--show: found without --dry_run, which shows tokens: add it")
    arguments.words = words
    arguments.wandb_key = key
    return arguments


def read_config(
    arguments: argparse.Namespace,
    needs: Iterable[str] = (),
    checks: Checks = NO_CHECKS,
    defaults: Mapping[str, Any] = NO_DEFAULTS,
) -> RunConfig:
    """The config of a parsed command line, as `load_config` reads it.

    The first process says how a YAML of the released code was read.
    """
    config, translations = load_config(arguments.config_file, arguments.overrides, needs, checks, defaults)
    if translations and torchrun.is_first():
        print(f"{arguments.config_file} has the released code's keys; read as:", file=sys.stderr)
        for line in translations:
            print(f"  {line}", file=sys.stderr)
    return config


def run_command(command: Callable[[], int]) -> int:
    """Run a script's work and turn its end into an exit code.

    Whatever goes wrong with what a person gave, or with the machine, becomes one message and exit code 1.
    What is left is a fault of ours: that alone keeps its traceback, and is called so.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that knows ASCII alone, a lone surrogate in a name
            stream.reconfigure(errors="backslashreplace")
    try:
        with interruptible():
            _check_current_folder()
            code = command()
            torchrun.leave_group()
            return code
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return EXIT_CODE
    except BrokenPipeError:  # whoever read our output has seen enough, as `head` has
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # else Python complains once more as it ends
        return 1
    except Exception as error:  # noqa: BLE001 (a library raises whatever it likes)
        message = _message_for_people(error)
        if message is None:
            print(without_keys(traceback.format_exc()), _FAULT_OF_OURS, sep="", file=sys.stderr)
        else:
            print("error:", readable(without_keys(message)), file=sys.stderr)
        return 1


def _check_current_folder() -> None:
    """Raises: ValueError where it was removed under the shell. Every relative path would lead nowhere."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ValueError(
            "the current folder was removed, and relative paths lead nowhere: cd to another, then the same "
            "command"
        ) from None


def _message_for_people(error: Exception) -> str | None:
    """What a person can act on, None if the error is a fault of ours."""
    if isinstance(error, (ValueError, FileNotFoundError, FileExistsError)) and is_ours(error):
        return str(error)
    if system_error_number(error) is not None:
        return str(error)  # a full disk, a read-only folder: the system's own words say what to do
    if is_out_of_memory(error):
        return f"out of memory ({in_words(error)}): docs/out_of_memory.md says what to make smaller"
    if is_of_another_process(error):
        return (
            f"another process of this launch has ended, and this one with it ({in_words(error)}): "
            "that one says why, or was killed. The same command continues where it stopped"
        )
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return None if package == "utils" else f"found no package {package}: {WAY_OUT}"
    return None
