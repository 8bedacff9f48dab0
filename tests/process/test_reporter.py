"""What a stage says while it works: a line now and then in a log, a bar on a terminal, no more."""

import io
import itertools

import pytest

from utils.process import reporter as module
from utils.process.reporter import Reporter


class Said(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.mark.parametrize(("pause", "expected"), [(0.0, 2), (1000.0, 0)])
def test_a_log_gets_a_line_now_and_then_with_the_time_left(monkeypatch, pause, expected):
    monkeypatch.setattr(module, "_FIRST_PAUSE", pause)
    said = Said()
    progress = said.progress("gsm8k", "question", total=3)
    for _ in range(3):
        progress.advance(remark="fast")
    assert len(said.warnings) == expected, "the last one is followed by its result"
    assert all(line.startswith("  gsm8k: ") and " of 3 questions, about " in line for line in said.warnings)
    assert all(line.endswith(" left, fast") for line in said.warnings)


def test_each_pause_is_longer_than_the_one_before(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    said = Said()
    progress = said.progress("scoring", "token", total=100_000)
    for second in range(10_000):
        now[0] = float(second)
        progress.advance()
    times = [int(line.split(" of ")[0].split()[-1].replace(",", "")) for line in said.warnings]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses == sorted(pauses) and pauses[0] < 30 and pauses[-1] == 600


def test_a_terminal_gets_one_bar_that_goes_when_it_is_closed(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = Reporter().progress("scoring", "token", total=10)
    progress.advance(4)
    progress.advance(6)
    progress.close()
    text = terminal.getvalue()
    assert "scoring" in text and "\n" not in text and text.split("\r")[-2].strip() == ""
