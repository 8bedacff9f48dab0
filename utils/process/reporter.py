"""What a stage says while it works: news, warnings, progress."""

import sys
import time
from collections.abc import Iterable, Sequence

from tqdm import tqdm

from ..terminal import counted, duration, table

# Seconds between the lines of a progress. Each pause is twice the one before, so that a long log stays short.
_FIRST_PAUSE = 10.0
_LONGEST_PAUSE = 600.0


class Reporter:
    """Prints to standard output and standard error."""

    def say(self, text: str) -> None:
        """News of the work."""
        print(text, flush=True)

    def warn(self, text: str) -> None:
        """News that a person should see even where standard output goes to a file."""
        print(text, file=sys.stderr, flush=True)

    def table(self, heading: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Numbers of the work, as `terminal.table` takes them."""
        self.say("\n".join(table(heading, rows, indent="  ")))

    def progress(self, title: str, noun: str, total: int | None) -> "Progress":
        """The progress of a piece of work.

        Args:
            title: of the work.
            noun: of the things that are counted, in the singular.
            total: None where it is not known.
        """
        return Progress(self, title, noun, total)


class Progress:
    """How far a piece of work is: a bar on a terminal, elsewhere a line now and then, with the time left."""

    def __init__(self, reporter: Reporter, title: str, noun: str, total: int | None):
        self._reporter = reporter
        self._title = title
        self._noun = noun
        self._total = total
        is_terminal = sys.stderr.isatty()
        self._bar = tqdm(desc=title, total=total, unit=f" {noun}s", leave=False) if is_terminal else None
        self._done = 0
        self._pause = _FIRST_PAUSE
        self._start_time = time.monotonic()
        self._line_time = self._start_time

    def advance(self, number: int = 1, remark: str = "") -> None:
        """Count more things as done.

        Args:
            number: how many more.
            remark: said beside them, such as a speed.
        """
        self._done += number
        if self._bar is not None:
            self._bar.set_postfix_str(remark, refresh=False)
            self._bar.update(number)
            return
        now = time.monotonic()
        if now - self._line_time < self._pause or self._done == self._total:
            return
        self._line_time = now
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        line = counted(self._done, self._noun)
        if self._total is not None:
            left = (now - self._start_time) / self._done * (self._total - self._done)
            line = f"{self._done:,} of {counted(self._total, self._noun)}, about {duration(left)} left"
        self._reporter.warn(f"  {self._title}: {line}{', ' if remark else ''}{remark}")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


reporter = Reporter()
