"""What scoring says while it works: one line per device now and then."""

import sys
import time

from utils.scoring.plan import ScoringPlan

_SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Speed of this worker and time left of the whole launch."""

    def __init__(self, plan: ScoringPlan, device: str, num_workers: int, num_units: int):
        self._plan, self._device, self._num_workers, self._num_units = plan, device, num_workers, num_units
        self._begun = self._last_line = time.monotonic()
        self._examples = self._tokens = self._units = 0

    def report(self, step: int, rows) -> None:
        """Called after each unit, with its checkpoint and row numbers."""
        self._examples += len(rows)
        self._tokens += int(self._plan.tokens.lengths[rows].sum())
        self._units += 1
        now = time.monotonic()
        if now - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        seconds = now - self._begun
        left = seconds / self._units * (self._num_units / self._num_workers - self._units)
        print(
            f"  {self._device}  checkpoint {step}  {self._examples / seconds:,.0f} examples/s  "
            f"{self._tokens / seconds:,.0f} tokens/s  about {max(0.0, left) / 60:.1f} min left",
            file=sys.stderr,
            flush=True,
        )
