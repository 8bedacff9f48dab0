"""A row as the exact text that this repository trains on, in segments that count in the loss or do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from ..formats import Example
from ..templates import TEMPLATES


class Segment(TypedDict):
    """A piece of a row's text, and whether its tokens count in the loss."""

    label: bool
    text: str


@dataclass(frozen=True)
class SpecialTexts:
    """What a tokenizer's special tokens are written as.

    Attributes:
        beginning: of those that it puts before a text, empty where it puts none.
        end: of the end-of-sequence token.
    """

    beginning: str
    end: str


def segments_of(example: Example, template: str) -> list[Segment]:
    """The prompt, then the response, without any special token."""
    return [
        {"label": False, "text": TEMPLATES[template](example)},
        {"label": True, "text": example.response},
    ]


def with_special_texts(segments: Sequence[Segment], special: SpecialTexts) -> list[Segment]:
    """The segments for a stack that adds no special tokens. An end that is there already is not doubled."""
    *others, last = segments
    if not last["text"].endswith(special.end):
        last = Segment(label=last["label"], text=last["text"] + special.end)
    first, *between = [*others, last]
    return [Segment(label=first["label"], text=special.beginning + first["text"]), *between]
