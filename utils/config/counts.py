"""Steps, saved steps, rows of a budget, operations of a row.

They follow from a config and a number of rows alone, and are defined here once.
"""

import math
from dataclasses import dataclass
from typing import Any

from ..terminal import counted
from .schema import CheckpointsConfig, RunConfig

_MOST_STEPS = 10**9
_MOST_CHECKPOINTS = 10**6


def steps_per_epoch(num_rows: int, global_batch_size: int) -> int:
    return math.ceil(num_rows / global_batch_size)


def total_steps(config: RunConfig, num_rows: int) -> int:
    """Optimizer steps of the whole training, on any devices. The numbers in train_args must be checked ones.

    Raises: ValueError without a row, or for more steps than any machine takes.
    """
    if num_rows == 0:
        raise ValueError("found no row to train on, expected some: the pool or the subset is empty")
    steps = config.train_args.get("max_steps", -1)
    if steps <= 0:
        epochs = config.train_args.get("num_train_epochs", 3.0)
        steps = math.ceil(epochs * steps_per_epoch(num_rows, config.global_batch_size))
    if steps > _MOST_STEPS:
        raise ValueError(
            f"train_args: found {steps:.3g} optimizer steps, expected at most {_MOST_STEPS:,}: "
            "lower max_steps or num_train_epochs"
        )
    return steps


def scheduled_steps(checkpoints: CheckpointsConfig, total_steps: int) -> list[int]:
    """The steps after which a checkpoint is saved, ascending. The last step of training is always among them.

    They depend on the number of optimizer steps only, hence not on the number of devices.

    Raises: ValueError for more checkpoints than there are steps or any disk holds, or steps beyond the last.
    """
    _refuse_too_many(checkpoints.count or total_steps // (checkpoints.every or total_steps))
    if checkpoints.count is not None:
        if checkpoints.count > total_steps:
            raise ValueError(
                f"checkpoints.count: found {checkpoints.count}, "
                f"but training has {counted(total_steps, 'optimizer step')}: "
                "ask for at most that many, lower global_batch_size or train longer"
            )
        return [
            math.floor(i * total_steps / checkpoints.count + 0.5) for i in range(1, checkpoints.count + 1)
        ]
    if checkpoints.every is not None:
        chosen = set(range(checkpoints.every, total_steps + 1, checkpoints.every))
    else:
        chosen = set(checkpoints.steps or [])
        if beyond := sorted(step for step in chosen if step > total_steps):
            raise ValueError(
                f"checkpoints.steps: found {beyond}, expected none beyond the last optimizer step, "
                f"{total_steps}: remove them, or train longer"
            )
    return sorted(chosen | {total_steps})


def _refuse_too_many(num_checkpoints: int) -> None:
    if num_checkpoints > _MOST_CHECKPOINTS:
        raise ValueError(
            f"checkpoints: found {num_checkpoints:,} of them, expected at most {_MOST_CHECKPOINTS:,}: "
            "save fewer (checkpoints.count, .every)"
        )


def budget_in_rows(budget: float, num_selectable: int, setting: str = "subset.budget") -> int:
    """How many rows a budget is.

    Args:
        budget: rows, or as a float a fraction of the selectable rows, rounded half up, at least 1.
        num_selectable: the rows that can be chosen.
        setting: where the budget was given.

    Raises:
        ValueError: more rows than can be chosen.
    """
    rows = budget if isinstance(budget, int) else max(1, math.floor(budget * num_selectable + 0.5))
    if rows > num_selectable:
        raise ValueError(
            f"{setting}: found {rows:,} rows, but only {num_selectable:,} rows of the pool are selectable: "
            "ask for at most that many (1.0 is all)"
        )
    return rows


@dataclass(frozen=True)
class TokenOperations:
    """Floating-point operations of a token of the prompt, and of the response, which is predicted as well."""

    prompt: float
    response: float

    def of(self, num_tokens: Any, num_response_tokens: Any) -> Any:
        """Of a row, or of an array of rows. `num_tokens` includes those of the response."""
        return self.prompt * (num_tokens - num_response_tokens) + self.response * num_response_tokens
