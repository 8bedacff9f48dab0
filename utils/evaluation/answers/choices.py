"""Answers that name one of several choices by its letter: B, (B) 5, option B."""

import re

from .notation import without_notation

_LETTER = re.compile(r"\(?([A-H])\)?", re.IGNORECASE)
_CHOICE = re.compile(
    r"(?P<word>(?:option|choice)\s+)?\(?(?P<letter>[A-H])(?P<mark>\)?[.:]?)(?:\s+(?P<text>.+))?",
    re.IGNORECASE | re.DOTALL,
)
_TAKEN_BACK = re.compile(
    r"(?:or|and|nor)\b|[,;/&]|(?:is|was)\s+(?:not|wrong|incorrect|false)\b", re.IGNORECASE
)
_LABEL = re.compile(
    r"(?<![\w.])\(?([A-H])(?:\)|[.:](?!\S))|\b(?:option|choice)\s+\(?([A-H])\b", re.IGNORECASE
)


def same_choice(one: str, other: str) -> bool:
    """Whether one of two answers is a letter alone, and the other names that choice and may say its text."""
    return _is_choice(one, other) or _is_choice(other, one)


def _is_choice(letter: str, answer: str) -> bool:
    alone = _LETTER.fullmatch(without_notation(letter))
    return alone is not None and _chosen(without_notation(answer)) == alone[1].upper()


def _chosen(answer: str) -> str | None:
    """The letter of the choice that an answer names; None for none, for several, or for one taken back."""
    match = _CHOICE.fullmatch(answer)
    if match is None:
        return None
    letter = match["letter"].upper()
    if match["text"] is None:
        return letter
    # "A sum" names no choice.
    is_label = bool(match["word"] or match["mark"])
    others = {label.upper() for pair in _LABEL.findall(match["text"]) for label in pair if label} - {letter}
    return letter if is_label and not others and not _TAKEN_BACK.match(match["text"]) else None
