"""What scoring says while it works, one line per device now and then, and the table at its end."""

import sys
import time

import numpy as np
import torch

from utils.modeling.operations import matrix_rate, scoring_operations
from utils.scoring.plan import ScoringPlan

_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_BETWEEN_LINES_IN_A_LOG = 600.0


class Progress:
    """Speed of one worker, and the time left of the whole launch."""

    HEADER = f"  {'device':<12}{'examples':>12}{'tokens':>14}{'seconds':>9}{'examples/s':>12}{'tokens/s':>11}  of matrix rate"

    def __init__(self, plan: ScoringPlan, device: torch.device, num_workers: int, num_units: int):
        self._plan, self._device, self._num_workers, self._num_units = plan, device, num_workers, num_units
        self._begun = self._last_line = time.monotonic()
        self._pause = _SECONDS_BETWEEN_LINES if sys.stderr.isatty() else _SECONDS_BETWEEN_LINES_IN_A_LOG
        self._examples = self._tokens = self._units = 0
        self._seconds = self._operations = 0.0
        self._rate: float | None = None

    def report(self, step: int, rows: np.ndarray, seconds: float, model: torch.nn.Module) -> None:
        """Called after each unit. Args: rows: its row numbers; seconds: what scoring them took; model: that did it."""
        if self._rate is None:
            self._rate = matrix_rate(self._device, next(model.parameters()).dtype)
        tokens = int(self._plan.tokens.lengths[rows].sum())
        predicted = int(self._plan.tokens.num_response_tokens[rows].sum())
        self._operations += scoring_operations(model).of(tokens, predicted)
        self._examples += len(rows)
        self._tokens += tokens
        self._seconds += seconds
        self._units += 1
        now = time.monotonic()
        if now - self._last_line < self._pause:
            return
        self._last_line = now
        left = (now - self._begun) / self._units * (self._num_units / self._num_workers - self._units)
        print(
            f"  {self._device}  checkpoint {step}  {self._examples / self._seconds:,.0f} examples/s  "
            f"{self._tokens / self._seconds:,.0f} tokens/s  {self._fraction:.0%} of the matrix rate  "
            f"about {max(0.0, left) / 60:.1f} min left",
            file=sys.stderr,
            flush=True,
        )

    @property
    def _fraction(self) -> float:
        """Of the operations that a device does in large matrix products in the same time."""
        assert self._rate is not None
        return self._operations / self._seconds / self._rate

    def row(self) -> str:
        """This worker's line of the table at the end; empty if it had nothing to do."""
        if not self._units:
            return ""
        return (
            f"  {self._device!s:<12}{self._examples:>12,}{self._tokens:>14,}{self._seconds:>9.1f}"
            f"{self._examples / self._seconds:>12,.0f}{self._tokens / self._seconds:>11,.0f}  {self._fraction:.0%}"
        )
