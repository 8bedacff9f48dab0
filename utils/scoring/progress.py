"""What scoring says while it works, one line per device now and then, and the table at its end."""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from utils.modeling.operations import matrix_rate, scoring_operations
from utils.scoring.plan import ScoringPlan
from utils.terminal import duration, table

AfterBatch = Callable[[np.ndarray], None]  # told the row numbers of a batch that is done

_SECONDS_BETWEEN_LINES = 5.0
# In a log the first line comes soon, and each pause is twice the one before, up to the longest.
_SECONDS_BEFORE_A_LOG_SAYS_MORE = 10.0
_LONGEST_PAUSE_IN_A_LOG = 600.0


class Progress:
    """Speed of one worker, and the time left of the whole launch.

    Args: num_tokens: of all that the launch has to do.
    """

    def __init__(self, plan: ScoringPlan, device: torch.device, num_workers: int, num_tokens: int):
        self._plan, self._device = plan, device
        self._tokens_to_do = num_tokens / num_workers
        self._begun = self._last_line = time.monotonic()
        self._is_log = not sys.stderr.isatty()
        self._pause = _SECONDS_BEFORE_A_LOG_SAYS_MORE if self._is_log else _SECONDS_BETWEEN_LINES
        self._examples = self._tokens = self._units = 0
        self._seconds = self._operations = 0.0
        self._rate: float | None = None

    def report(self, step: int, rows: np.ndarray, seconds: float, model: torch.nn.Module) -> None:
        """Called after each unit. Args: rows: its row numbers; seconds: what scoring them took; model: that did it."""
        if self._rate is None:
            self._rate = matrix_rate(self._device, next(model.parameters()).dtype)
        tokens = self._plan.num_tokens(rows)
        predicted = int(self._plan.tokens.num_response_tokens[rows].sum())
        self._operations += scoring_operations(model).of(tokens, predicted)
        self._examples += len(rows)
        self._tokens += tokens
        self._seconds += seconds
        self._units += 1
        self._say(step, self._tokens)

    def within_unit(self, step: int) -> AfterBatch:
        """For a device whose batches are done when they return."""
        done = self._tokens

        def after_batch(rows: np.ndarray) -> None:
            nonlocal done
            done += self._plan.num_tokens(rows)
            self._say(step, done)

        return after_batch

    def _say(self, step: int, tokens: int) -> None:
        """A line, if it is time for one. Args: tokens: done by this worker."""
        now = time.monotonic()
        if now - self._last_line < self._pause:
            return
        self._last_line = now
        if self._is_log:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_IN_A_LOG)
        speed = tokens / (now - self._begun)
        of_rate = f", {self._fraction:.0%} of the matrix rate" if self._units else ""
        left = max(0.0, self._tokens_to_do - tokens) / speed
        print(
            f"  {self._device}  checkpoint {step}  {min(1.0, tokens / self._tokens_to_do):.0%} done  "
            f"{speed:,.0f} tokens/s{of_rate}  about {duration(left)} left",
            file=sys.stderr,
            flush=True,
        )

    @property
    def _fraction(self) -> float:
        """Of the operations that a device does in large matrix products in the same time."""
        assert self._rate is not None
        return self._operations / self._seconds / self._rate

    def row(self) -> str:
        """This worker's row of the table at the end, its cells joined by tabs; empty if it had nothing to do."""
        if not self._units:
            return ""
        examples, tokens = self._examples / self._seconds, self._tokens / self._seconds
        amounts = f"{self._examples:,}\t{self._tokens:,}\t{self._seconds:.1f}"
        return f"{self._device}\t{amounts}\t{examples:,.0f}\t{tokens:,.0f}\t{self._fraction:.0%}"


def speed_table(rows: list[str]) -> list[str]:
    """Args: rows: `Progress.row` of each worker."""
    heading = ["device", "examples", "tokens", "seconds", "examples/s", "tokens/s", "of matrix rate"]
    return table(heading, [row.split("\t") for row in rows], indent="  ")
