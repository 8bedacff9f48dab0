"""A copy of what a run prints, in res/<run_name>/log.txt."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


class _Tee:
    """A text stream that writes to two places and is otherwise the first."""

    def __init__(self, stream: Any, copy: IO[str]):
        self._stream, self._copy = stream, copy

    def write(self, text: str) -> int:
        self._copy.write(text)
        self._copy.flush()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def copied_to(path: Path) -> Iterator[None]:
    """Append everything printed meanwhile, to stdout and stderr, to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stdout, stderr = sys.stdout, sys.stderr
    with open(path, "a", encoding="utf-8") as copy:
        sys.stdout, sys.stderr = _Tee(stdout, copy), _Tee(stderr, copy)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = stdout, stderr
