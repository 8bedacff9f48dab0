"""A row as messages: who says what, in turn, and what is wrong with that for another stack."""

from collections.abc import Sequence
from typing import TypedDict

from ..formats import Example
from ..templates import plain_prompt

ROLES = ("system", "user", "assistant")


class Message(TypedDict):
    """One turn. `role` is one of `ROLES`."""

    role: str
    content: str


def messages_of(example: Example) -> list[Message]:
    """The turns of a row, whatever its format. All that is written as messages is written from these."""
    if example.conversation is not None:
        turns = example.conversation.messages
        return [{"role": turn["role"], "content": turn["content"]} for turn in turns]
    return [
        {"role": "user", "content": plain_prompt(example)},
        {"role": "assistant", "content": example.response},
    ]


def conversation_fault(example: Example) -> str | None:
    """What of a row with turns its messages alone do not say, None where they say all."""
    conversation = example.conversation
    if conversation is None:
        return None
    if conversation.tools or any(set(turn) - {"role", "content"} for turn in conversation.messages):
        return "it has tools, or turns with more than a role and a content, which are not written"
    pairs = zip(conversation.messages, conversation.is_scored, strict=True)
    if any((turn["role"] == "assistant") != is_scored for turn, is_scored in pairs):
        return "not each turn of the assistant, and no other, is scored here, but the stack trains on each"
    return None


def turns_fault(messages: Sequence[Message]) -> str | None:
    """Why no stack can train on these turns, None where all can."""
    roles = [message["role"] for message in messages]
    for role in roles:
        if role not in ROLES:
            return f"a turn has the role {role!r}, expected {', '.join(ROLES)}"
    return None if "assistant" in roles else "there is no turn of the assistant"


def alternation_fault(messages: Sequence[Message]) -> str | None:
    """Why these turns are not an optional one of the system, then user and assistant by turns.

    None where they are.
    """
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    expected = ["user", "assistant"] * (len(turns) // 2)
    if turns and turns == expected:
        return None
    for number, (role, other) in enumerate(zip(turns, ["user", "assistant"] * len(turns), strict=False)):
        if role != other:
            turn = number + 1 + len(roles) - len(turns)
            return f"roles do not alternate: turn {turn} is of {role}, expected {other}"
    return "the last turn is not the assistant's"


def answers_once(messages: Sequence[Message]) -> bool:
    """Whether the last turn is the only one of the assistant."""
    return [message["role"] == "assistant" for message in messages].index(True) == len(messages) - 1
