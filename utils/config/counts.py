"""Steps, saved steps, rows of a budget, operations of a row. They follow from a config and a number of rows alone, and are
defined here once."""

import math
from dataclasses import dataclass
from typing import Any

from .schema import CheckpointsConfig, RunConfig


def steps_per_epoch(num_rows: int, global_batch_size: int) -> int:
    return math.ceil(num_rows / global_batch_size)


def total_steps(config: RunConfig, num_rows: int) -> int:
    """Optimizer steps of the whole training; independent of the devices.

    Needs train_args whose numbers were checked. Raises: ValueError without a row.
    """
    if num_rows == 0:
        raise ValueError("there is no row to train on: the pool or the subset is empty")
    max_steps = config.train_args.get("max_steps", -1)
    if max_steps > 0:
        return max_steps
    epochs = config.train_args.get("num_train_epochs", 3.0)
    return math.ceil(epochs * steps_per_epoch(num_rows, config.global_batch_size))


def scheduled_steps(checkpoints: CheckpointsConfig, total_steps: int) -> list[int]:
    """The steps after which a checkpoint is saved, ascending; the last step of training is always among them.

    Depends on the number of optimizer steps only, hence not on the number of devices.

    Raises: ValueError if more checkpoints are asked for than there are steps, or steps beyond the last.
    """
    if checkpoints.count is not None:
        if checkpoints.count > total_steps:
            raise ValueError(
                f"checkpoints.count: found {checkpoints.count}, but training has {total_steps} optimizer steps: "
                f"ask for at most {total_steps}, or train longer"
            )
        return [
            math.floor(i * total_steps / checkpoints.count + 0.5) for i in range(1, checkpoints.count + 1)
        ]
    if checkpoints.every is not None:
        chosen = set(range(checkpoints.every, total_steps + 1, checkpoints.every))
    else:
        assert checkpoints.steps is not None
        chosen = set(checkpoints.steps)
        beyond = sorted(step for step in chosen if step > total_steps)
        if beyond:
            raise ValueError(f"checkpoints.steps: {beyond} lie beyond the last optimizer step, {total_steps}")
    return sorted(chosen | {total_steps})


def budget_in_rows(budget: float, num_selectable: int, setting: str = "subset.budget") -> int:
    """An int is rows; a float is a fraction of the selectable rows, rounded half up, at least 1.

    Args: setting: where the budget was given.

    Raises: ValueError if that is more than there are.
    """
    rows = budget if isinstance(budget, int) else max(1, math.floor(budget * num_selectable + 0.5))
    if rows > num_selectable:
        raise ValueError(
            f"{setting}: found {rows:,} rows, but only {num_selectable:,} rows of the pool are selectable: ask for "
            "at most that many (1.0 is all of them)"
        )
    return rows


@dataclass(frozen=True)
class TokenOperations:
    """Floating-point operations of a token: of the prompt, and of the response, whose tokens are predicted as well."""

    prompt: float
    response: float

    def of(self, num_tokens: Any, num_response_tokens: Any) -> Any:
        """Of a row, or of an array of rows. Args: num_tokens: those of the response included."""
        return self.prompt * (num_tokens - num_response_tokens) + self.response * num_response_tokens
