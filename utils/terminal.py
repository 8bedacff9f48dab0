"""Text for people: its width, tables, wrapping, the first of a list, control characters made visible.

The width is fixed: a log, a pipe and every terminal get the same lines. Nothing here knows of the project.
"""

import re
import shutil
import textwrap
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from typing import Any

WIDTH = 100
_NUM_SHOWN = 10  # of a list in a message
_LONGEST_LINE = 1000  # characters of a message
_UNBROKEN = "\0"  # stands for a space at which no line ends; it occurs in no path and in no visible text
_NUMBER_AND_UNIT = re.compile(r"(?<![^\s(])([-+~]?\d[\d.,]*) (?=[^\W\d_]|%)")


def terminal_width() -> int:
    """Columns of the terminal, or WIDTH where output goes elsewhere."""
    return shutil.get_terminal_size((WIDTH, 0)).columns


def wrapped(text: str, indent: str = "  ", width: int = WIDTH) -> list[str]:
    """The text in lines, all but the first indented.

    No line ends inside a word, a path or `unbroken` text, or between a number and its unit.
    What is longer than the width stands whole on a line of its own.
    """
    glued = _NUMBER_AND_UNIT.sub(rf"\1{_UNBROKEN}", text)
    lines = textwrap.wrap(
        glued, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace(_UNBROKEN, " ") for line in lines]


def unbroken(text: Any) -> str:
    """A path, a command or a name with spaces, for `wrapped` to keep on one line."""
    return visible(str(text)).replace(" ", _UNBROKEN)


def labelled(
    label: str, text: str, indent: str = "  ", label_width: int = 12, max_lines: int = 100
) -> list[str]:
    """A text of one or several paragraphs, wrapped beside its label. Lines after `max_lines` are counted."""
    margin = " " * (len(indent) + label_width)
    lines: list[str] = []
    for paragraph in text.split("\n"):
        shown = _UNBROKEN.join(map(visible, paragraph.split(_UNBROKEN)))
        lines += wrapped(shown, indent="", width=WIDTH - len(margin)) or [""]
    num_left = len(lines) - max_lines
    if num_left > 1:
        lines = [*lines[:max_lines], f"... {num_left} more lines"]
    first, *others = lines
    shown_lines = [f"{indent}{label:<{label_width}}{first}", *(margin + line for line in others)]
    return [line.rstrip() for line in shown_lines]


def table(
    heading: Sequence[str],
    rows: Iterable[Sequence[str]],
    align: str = "",
    indent: str = "",
    widest_name: int = 42,
) -> list[str]:
    """The lines of a table. Each column is as wide as its widest cell, and two spaces part them.

    Args:
        heading: one cell a column.
        rows: cells. A row of fewer cells than the heading leaves the others empty.
        align: "<" or ">" for each column. By default the first is to the left, the others to the right.
        indent: of every line.
        widest_name: a first cell that is longer stands on a line of its own, before the others.
    """
    align = align or "<" + ">" * (len(heading) - 1)
    assert len(align) == len(heading), "one alignment a column"
    cells = [[*map(visible, row), *[""] * (len(heading) - len(row))] for row in (heading, *rows)]
    widths = [max((columns(row[0]) for row in cells if columns(row[0]) <= widest_name), default=0)]
    widths += [max(columns(row[number]) for row in cells) for number in range(1, len(heading))]
    lines = []
    for name, *others in cells:
        if columns(name) > widest_name:
            lines.append((indent + name).rstrip())
            if not any(others):
                continue
            name = ""
        padded = [_padded(*column) for column in zip([name, *others], widths, align, strict=True)]
        lines.append((indent + "  ".join(padded)).rstrip())
    return lines


def tables(
    heading: Sequence[Sequence[str]], rows: Sequence[Sequence[str]], width: int, align: str = ""
) -> list[str]:
    """A table of any number of columns, in parts below one another.

    Each part has the first column and as many of the others as the width holds, at least one.

    Args:
        heading: its lines, of one cell a column.
        rows: as for `table`.
        width: of a line.
        align: as for `table`.
    """
    num_columns = len(heading[0])
    align = align or "<" + ">" * (num_columns - 1)
    widest_name = min(42, 2 * width // 5)
    names = {visible(row[0]).rstrip() for row in rows if row and columns(visible(row[0])) > widest_name}
    lines: list[str] = []
    start = 1
    while start < num_columns:
        part: list[str] = []
        stop = num_columns
        for stop in range(num_columns, start, -1):  # as many columns as there are, then one fewer at a time
            heads = [[row[0], *row[start:stop]] for row in heading]
            body = [[*row[:1], *row[start:stop]] for row in rows]
            head, *cells = [*([row for row in heads if any(row)] or heads[:1]), *body]
            part = table(head, cells, align[0] + align[start:stop], widest_name=widest_name)
            if all(columns(line) <= width for line in part if line not in names):
                break
        lines += [*([""] if lines else []), *part]
        start = stop
    return lines


def _padded(cell: str, size: int, side: str) -> str:
    blanks = " " * (size - columns(cell))
    return cell + blanks if side == "<" else blanks + cell


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of_character, text))


def _columns_of_character(character: str) -> int:
    if unicodedata.combining(character):
        return 0  # an accent on the character before
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def first_of(items: Iterable[Any], at_most: int = _NUM_SHOWN) -> str:
    """ "3, 8, 12": the first items of a list. "..." stands for the others."""
    shown = [str(item) for _, item in zip(range(at_most + 1), items, strict=False)]
    return ", ".join([*shown[:at_most], "..."] if len(shown) > at_most else shown)


def spread_evenly(count: int, at_most: int) -> list[int]:
    """Positions 0 ... count - 1, or `at_most` of them evenly spread, the first and the last among them."""
    if count <= at_most:
        return list(range(count))
    step = (count - 1) / (at_most - 1)
    return [round(place * step) for place in range(at_most)]


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 problem", "1,270 clusters"."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def rows_in_words(rows: Collection[int]) -> str:
    """ "3 rows (0, 4, 7)": their number, and the numbers of the first."""
    return f"{counted(len(rows), 'row')} ({first_of(rows)})"


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "3.5 h", "2.1 days"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def size(num_bytes: float) -> str:
    """ "812 B", "3.4 GB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"


def one_line(text: str, width: int = WIDTH) -> str:
    """The beginning of a text on one line. A cut shows as "..."."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= width else line[: width - 3] + "..."


def readable(text: str) -> str:
    """Lines for a person, whatever is in them: control characters visible, of a long line its two ends."""
    lines = map(visible, text.split("\n"))
    return "\n".join(line if len(line) <= _LONGEST_LINE else _ends_of(line) for line in lines)


def _ends_of(line: str) -> str:
    last = _LONGEST_LINE // 4  # where a message says what to do
    return f"{line[: _LONGEST_LINE - last]} ... {line[-last:]}"


def visible(text: str) -> str:
    r"""The text with control characters as `\n`, `\x1b` and so on. They would break or colour a table."""
    if text.isprintable():
        return text
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(escaped)
