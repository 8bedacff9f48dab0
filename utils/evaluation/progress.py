"""What an evaluation says while it works: a line now and then, in place of the bars of the libraries."""

import contextlib
import sys
import time
from collections.abc import Iterator

import datasets
from tqdm import tqdm

from utils.terminal import counted

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_LINES_IN_A_LOG = 60.0

datasets.disable_progress_bars()


class Progress:
    """Lines such as "gsm8k: 120 of 1,319 questions, about 4.2 min left"."""

    def __init__(self, name: str, noun: str, total: int | None, pause: float | None = None):
        """Args: total: None where it is not known; pause: seconds between two lines; default: by where they go."""
        default = _SECONDS_BETWEEN_LINES if sys.stderr.isatty() else _SECONDS_BETWEEN_LINES_IN_A_LOG
        self._name, self._noun, self._total = name, noun, total
        self._pause = default if pause is None else pause
        self._done = 0
        self._begun = self._last_line = time.monotonic()

    def advance(self, number: int = 1) -> None:
        self._done += number
        now = time.monotonic()
        if now - self._last_line < self._pause or self._done == self._total:
            return
        self._last_line = now
        if self._total is None:
            line = counted(self._done, self._noun)
        else:
            left = (now - self._begun) / self._done * (self._total - self._done)
            line = f"{self._done:,} of {counted(self._total, self._noun)}, about {left / 60:.1f} min left"
        print(f"  {self._name}: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def no_bars() -> Iterator[None]:
    """lm-eval draws a bar for each of its steps and has no switch for most of them."""
    original = tqdm.__init__

    def without_bar(bar: tqdm, *args, **settings) -> None:
        original(bar, *args, **{**settings, "disable": True})

    tqdm.__init__ = without_bar  # type: ignore[method-assign]
    try:
        yield
    finally:
        tqdm.__init__ = original
