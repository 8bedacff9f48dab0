"""A copy of a run's output in res/<run_name>/log.txt, each line with its time."""

import contextlib
import datetime
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import naming


class _Log:
    """A file of lines, each after the time (UTC) at which it began."""

    def __init__(self, path: Path):
        self._path = path
        self._line_has_begun = False

    def write(self, text: str) -> None:
        with naming(self._path), open(self._path, "a", encoding="utf-8") as file:
            for line in text.splitlines(keepends=True):
                if not self._line_has_begun:
                    now = datetime.datetime.now(datetime.UTC)
                    file.write(f"{now:%Y-%m-%d %H:%M:%SZ}  ")
                file.write(line)
                self._line_has_begun = not line.endswith("\n")


class _Tee:
    """A text stream that writes to a log too and is otherwise itself."""

    def __init__(self, stream: Any, log: _Log):
        self._stream = stream
        self._log = log

    def write(self, text: str) -> int:
        self._log.write(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def copied_to(path: Path, heading: str) -> Iterator[None]:
    """Append to `path` the command, a heading such as its plan, and everything printed in this context."""
    if isinstance(sys.stdout, _Tee):  # a context around this one copies it
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    stdout = sys.stdout
    stderr = sys.stderr
    log = _Log(path)
    command = shlex.join([Path(sys.executable).name, *sys.argv])  # a key is taken out of sys.argv before
    log.write(f"$ {command}\n")
    if heading:
        log.write(f"{heading}\n")
    sys.stdout = _Tee(stdout, log)
    sys.stderr = _Tee(stderr, log)
    try:
        yield
    finally:
        sys.stdout = stdout
        sys.stderr = stderr
