"""The loss of each step of a training, as it was logged: res/<run_name>/metrics.jsonl"""

import math
from pathlib import Path

from ..reading import parse_json, read_text


def read_losses_of_steps(path: Path) -> tuple[list[int], list[float]]:
    """Steps, ascending, and the loss of each. A training that was continued logged some steps twice.

    Raises: FileNotFoundError; ValueError for a damaged file.
    """
    lines = read_text(path).split("\n")
    losses: dict[int, float] = {}
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is half written
        try:
            values = parse_json(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}: train it again") from None
        step, loss = (values.get("step"), values.get("loss")) if isinstance(values, dict) else (None, None)
        if not isinstance(step, int):
            raise ValueError(
                f"{path}, line {number}: found no step, expected one on each line: train it again"
            )
        if isinstance(loss, float) and math.isfinite(loss):
            losses[step] = loss
    steps = sorted(losses)
    return steps, [losses[step] for step in steps]
