"""A row as the exact text that this repository trains on, in segments that count in the loss or do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from ..conversations import Conversation
from ..formats import Example
from ..templates import TEMPLATES

if TYPE_CHECKING:
    from ..chat import ChatTemplate  # of transformers, which selection does without


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


def segments_of_chat(conversation: Conversation, chat: "ChatTemplate") -> list[Segment]:
    """The conversation as the template renders it, with the special tokens that the template writes.

    Raises: ValueError, as `ChatTemplate.render`.
    """
    rendered = chat.render(conversation.messages, conversation.is_scored, conversation.tools)
    segments = []
    written = 0
    for start, end in rendered.spans:
        segments += [(False, written, start), (True, start, end)]
        written = end
    segments.append((False, written, len(rendered.text)))
    return [
        Segment(label=label, text=rendered.text[start:end]) for label, start, end in segments if end > start
    ]


def completion_fault(segments: Sequence[Segment]) -> str | None:
    """Why these are not a prompt and one completion, None where they are.

    White space behind the completion, as most chat templates write it, is no part of either.
    """
    *others, last = segments
    if not last["label"] and not last["text"].strip():
        *others, last = others
    if not last["label"] or any(segment["label"] for segment in others):
        return "what is scored is not one text at the end, as it is with data.score_turns: last"
    return None


def without_beginning(segments: Sequence[Segment], special: SpecialTexts) -> list[Segment]:
    """The segments for a stack whose tokenizer puts the beginning in front of every text by itself."""
    first, *others = segments
    return [Segment(label=first["label"], text=first["text"].removeprefix(special.beginning)), *others]


def with_special_texts(segments: Sequence[Segment], special: SpecialTexts) -> list[Segment]:
    """The segments for a stack that adds no special tokens. An end that is there already is not doubled."""
    *others, last = segments
    if not last["text"].endswith(special.end):
        last = Segment(label=last["label"], text=last["text"] + special.end)
    first, *between = [*others, last]
    return [Segment(label=first["label"], text=special.beginning + first["text"]), *between]
