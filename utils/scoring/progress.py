"""How far a scoring is and how fast it goes: said now and then, and as a table at its end."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from ..modeling.operations import matrix_rate, scoring_operations
from ..process.reporter import reporter
from .plan import ScoringPlan

AfterBatch = Callable[[np.ndarray], None]  # told the row numbers of a batch that is done


@dataclass(frozen=True)
class WorkerSpeed:
    """How fast one worker was.

    Attributes:
        device: that it worked on.
        num_examples: that it scored, counted at each checkpoint.
        num_tokens: of these.
        seconds: that scoring them took.
        share_of_rate: of the operations that the device does in large matrix products in the same time.
    """

    device: str
    num_examples: int
    num_tokens: int
    seconds: float
    share_of_rate: float


class WorkerProgress:
    """Of one worker, which has `num_tokens` to score."""

    def __init__(self, plan: ScoringPlan, device: torch.device, num_tokens: int):
        self._plan = plan
        self._device = device
        self._progress = reporter.progress(str(device), "token", num_tokens)
        self._start_time = time.monotonic()
        self._examples = self._tokens = self._units = self._told = 0
        self._seconds = self._operations = 0.0
        self._rate: float | None = None

    def after_unit(self, step: int, rows: np.ndarray, seconds: float, model: torch.nn.Module) -> None:
        """Count a unit that is done.

        Args:
            rows: its row numbers.
            seconds: what scoring them took.
            model: that did it.
        """
        if self._rate is None:
            self._rate = matrix_rate(self._device, next(model.parameters()).dtype)
        tokens = self._plan.num_tokens(rows)
        predicted = int(self._plan.tokens.num_response_tokens[rows].sum())
        self._operations += scoring_operations(model).of(tokens, predicted)
        self._examples += len(rows)
        self._tokens += tokens
        self._seconds += seconds
        self._units += 1
        self._tell(step, self._tokens)

    def within_unit(self, step: int) -> AfterBatch:
        """For a device whose batches are done when they return."""
        done = self._tokens

        def after_batch(rows: np.ndarray) -> None:
            nonlocal done
            done += self._plan.num_tokens(rows)
            self._tell(step, done)

        return after_batch

    def _tell(self, step: int, tokens: int) -> None:
        """Say how far this worker is: the tokens that are done."""
        speed = tokens / (time.monotonic() - self._start_time)
        of_rate = f", {self._fraction:.0%} of the matrix rate" if self._units else ""
        self._progress.advance(tokens - self._told, f"checkpoint {step}, {speed:,.0f} tokens/s{of_rate}")
        self._told = tokens

    def close(self) -> None:
        self._progress.close()

    @property
    def _fraction(self) -> float:
        """Of the operations that a device does in large matrix products in the same time."""
        assert self._rate is not None
        return self._operations / self._seconds / self._rate

    def result(self) -> WorkerSpeed | None:
        """None if it had nothing to do."""
        if not self._units:
            return None
        return WorkerSpeed(str(self._device), self._examples, self._tokens, self._seconds, self._fraction)


def say_speeds(speeds: Iterable[WorkerSpeed]) -> None:
    heading = ["device", "examples", "tokens", "seconds", "examples/s", "tokens/s", "of matrix rate"]
    rows = [
        (
            speed.device,
            f"{speed.num_examples:,}",
            f"{speed.num_tokens:,}",
            f"{speed.seconds:.1f}",
            f"{speed.num_examples / speed.seconds:,.0f}",
            f"{speed.num_tokens / speed.seconds:,.0f}",
            f"{speed.share_of_rate:.0%}",
        )
        for speed in speeds
    ]
    if rows:
        reporter.table(heading, rows)
