"""Texts of users as the page shows them: nothing in them acts, and control characters are visible"""

import html
import re
import textwrap
from collections.abc import Sequence

from ...terminal import columns

# Control characters but newline and tab, marks and overrides of the writing direction, half surrogate pairs.
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_LONGEST_LABEL = 72
_LONGEST_LINE = 28


def harmless(text: str) -> str:
    r"""The text with characters that act instead of being seen written as `\u202e`."""
    text = text.replace("\r\n", "\n")
    return _ACTING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def short(text: str) -> str:
    """A label of one line, its middle left out where it is long."""
    line = " ".join(harmless(text).split()) or "(no source)"
    half = _LONGEST_LABEL // 2 - 1
    return line if len(line) <= _LONGEST_LABEL else f"{line[:half]}…{line[-half:]}"


def for_plotly(text: str) -> str:
    """A text in which plotly finds no markup, which it would turn into links and line breaks."""
    return html.escape(harmless(text), quote=False).replace("$", "&#36;")


def lines_of(text: str) -> list[str]:
    """A name on an axis, in lines that leave room for a narrow figure."""
    label = short(text)
    longest = _LONGEST_LINE * len(label) // max(1, columns(label))  # fewer of the characters that are wide
    return textwrap.wrap(label, max(1, longest), break_on_hyphens=False)


def apart(names: Sequence[str]) -> list[str]:
    """A label of each name. Those of names that look alike when they are short are numbered."""
    labels: dict[str, None] = {}
    for name in names:
        label, number = short(name), 1
        while label in labels:
            number += 1
            label = f"{short(name)} ({number})"
        labels[label] = None
    return list(labels)
