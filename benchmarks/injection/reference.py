"""Undisturbed runs of the stages: what trials begin from, and what their results must equal."""

import functools
import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from .commands import Command, RunningCommand, forked
from .operations import count_operations, operations_counted
from .stages import STAGES, command_of, prepare, write_inputs

_SECONDS_TO_END = 600.0


@dataclass(frozen=True)
class Reference:
    """Undisturbed runs.

    Attributes:
        inputs: the folder of pool, tokenizer and YAMLs.
        results: the folder with a folder for each stage.
        seconds: stage -> that it takes. A trial that sees it take another time corrects it.
        operations: stage -> operations on files.
        seconds_to_import: that a Python started anew takes longer.
    """

    inputs: Path
    results: Path
    seconds: dict[str, float]
    operations: dict[str, int]
    seconds_to_import: float


def _needed(stages: list[str]) -> list[str]:
    """These stages and those that they begin from, in an order in which they can be made."""
    names: dict[str, None] = {}
    for name in stages:
        chain = [name]
        while (before := STAGES[chain[-1]].after) is not None:
            chain.append(before)
        names.update(dict.fromkeys(reversed(chain)))
    return list(names)


def make_reference(stages: list[str], folder: Path) -> Reference:
    """Run each stage undisturbed. Raises: ValueError for one that fails."""
    reference = Reference(folder / "inputs", folder / "undisturbed", {}, {}, 0.0)
    reference.inputs.mkdir()
    answer = folder / "answer.json"
    os.waitpid(forked(lambda: write_inputs(reference.inputs), answer), 0)
    for name in _needed(stages):
        os.waitpid(forked(lambda name=name: _undisturbed(name, reference), answer), 0)
        reference.seconds[name], reference.operations[name] = json.loads(answer.read_text())
        answer.unlink()
    os.waitpid(forked(lambda: _seconds_to_import(folder), answer), 0)
    return replace(reference, seconds_to_import=json.loads(answer.read_text()))


def _undisturbed(name: str, reference: Reference) -> tuple[float, int]:
    """Run a stage in the folder of its name. Returns the seconds and the operations on files it took."""
    place = reference.results / name
    prepare(STAGES[name], reference.results, place)
    begun = time.monotonic()
    counts = place / "operations"
    count = functools.partial(count_operations, place / "res", counts)
    command = replace(command_of(STAGES[name], reference.inputs, place), disturb=count)
    if RunningCommand(command).wait(_SECONDS_TO_END) != 0:
        raise ValueError(f"{name} fails without any fault:\n{command.output.read_text()}")
    return time.monotonic() - begun, operations_counted(counts)


def _seconds_to_import(folder: Path) -> float:
    """What a Python that is started anew needs before it works."""
    begun = time.monotonic()
    words = ["-c", "import utils.training.run"]
    RunningCommand(Command(words, dict(os.environ), folder / "output.txt", is_fresh=True)).wait(
        _SECONDS_TO_END
    )
    return time.monotonic() - begun
