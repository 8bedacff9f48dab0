"""What a stage says while it works: the one way in which it prints, so that a script or a test can put another in its place."""

import sys
import time

from tqdm import tqdm

from ..terminal import counted, duration

_SECONDS_BETWEEN_LINES = (
    10.0  # the first comes soon; in a log each pause is twice the one before, up to the longest
)
_LONGEST_PAUSE = 600.0


class Reporter:
    """Says it on the terminal, or wherever standard output and standard error go."""

    def say(self, text: str) -> None:
        """News of the work."""
        print(text, flush=True)

    def warn(self, text: str) -> None:
        """What a person should know."""
        print(text, file=sys.stderr, flush=True)

    def progress(self, title: str, noun: str, total: int | None) -> "Progress":
        """Args: noun: of what is counted; total: None where it is not known."""
        return Progress(self, title, noun, total)


class Progress:
    """How far a piece of work is: a bar on a terminal, elsewhere a line now and then, with the time left."""

    def __init__(self, teller: Reporter, title: str, noun: str, total: int | None):
        self._teller, self._title, self._noun, self._total = teller, title, noun, total
        is_terminal = sys.stderr.isatty()
        self._bar = tqdm(desc=title, total=total, unit=f" {noun}s", leave=False) if is_terminal else None
        self._done = 0
        self._pause = _SECONDS_BETWEEN_LINES
        self._begun = self._last_line = time.monotonic()

    def advance(self, number: int = 1, remark: str = "") -> None:
        """Args: number: more that are done; remark: what is known of them besides, such as a speed."""
        self._done += number
        if self._bar is not None:
            self._bar.set_postfix_str(remark, refresh=False)
            self._bar.update(number)
            return
        now = time.monotonic()
        if now - self._last_line < self._pause or self._done == self._total:
            return
        self._last_line, self._pause = now, min(2 * self._pause, _LONGEST_PAUSE)
        line = counted(self._done, self._noun)
        if self._total is not None:
            left = (now - self._begun) / self._done * (self._total - self._done)
            line = f"{self._done:,} of {counted(self._total, self._noun)}, about {duration(left)} left"
        self._teller.warn(f"  {self._title}: {line}{', ' if remark else ''}{remark}")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


reporter = Reporter()
