"""Numbers and tables in Markdown."""

import html
import statistics
from collections.abc import Mapping, Sequence


def mean_and_deviation(values: Sequence[float]) -> str:
    """Mean ± standard deviation. One value as it is, "" of none."""
    if len(values) < 2:
        return "".join(f"{value:.3f}" for value in values)
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def short_commit(commit: str | None) -> str:
    """Twelve digits, and `-dirty` where the tree held changes that were not committed."""
    if commit is None:
        return "not recorded"
    return commit.removesuffix("-dirty")[:12] + ("-dirty" if commit.endswith("-dirty") else "")


def plain(text: str) -> str:
    """A text that is no markup, on one line, with nothing that would end a cell of a table."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "&#124;")


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Args: heading, rows: cells, of which `*` alone is markup."""
    lines = [heading, ["---", *("---:" for _ in heading[1:])], *rows]
    return "\n".join(f"| {' | '.join(map(plain, cells))} |" for cells in lines)


def versions_in_words(python: str, packages: Mapping[str, str]) -> str:
    """Of what a training's figures depend on. Args: packages: name -> version."""
    shown = [f"{name} {packages[name]}" for name in ("torch", "transformers", "numpy") if name in packages]
    return ", ".join([f"Python {python}", *shown])
