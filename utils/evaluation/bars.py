"""Keep the bars of libraries from the terminal, where process.reporter says how far an evaluation is."""

import contextlib
from collections.abc import Iterator

import datasets
from tqdm import tqdm

datasets.disable_progress_bars()


@contextlib.contextmanager
def no_bars() -> Iterator[None]:
    """Within this context no bar of tqdm is drawn."""
    # lm-eval draws a bar for each of its steps and has no switch for most of them.
    original = tqdm.__init__

    def without_bar(bar: tqdm, *args, **settings) -> None:
        original(bar, *args, **{**settings, "disable": True})

    tqdm.__init__ = without_bar  # type: ignore[method-assign]
    try:
        yield
    finally:
        tqdm.__init__ = original
