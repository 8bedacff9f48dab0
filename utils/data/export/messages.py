"""A row as messages: who says what, in turn, and what is wrong with that for another stack."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from ..conversations import Conversation, thoughts_of
from ..formats import Example
from ..templates import as_conversation

Message = dict[str, Any]  # role, content, and what else a turn has

_ASKING = ("user", "tool")
_ANSWERING = ("assistant", "tool_call")


def conversation_of(example: Example) -> Conversation:
    """The turns of a row, whatever its format. All that is written as messages is written from these."""
    return example.conversation or as_conversation(example)


def answer_fault(conversation: Conversation) -> str | None:
    """Why no stack can train on these turns, None where all can."""
    spoken = [message["role"] for message in conversation.messages]
    return None if "assistant" in spoken else "there is no turn of the assistant"


def alternation_fault(conversation: Conversation) -> str | None:
    """Why these turns are not an optional one of the system, then questions and answers by turns.

    The result of a tool counts as a question, a call of one as an answer.

    Returns: None where they are.
    """
    speakers = conversation.speakers
    first = int(speakers[:1] == ("system",))
    for number, speaker in enumerate(speakers[first:]):
        expected = (_ASKING, _ANSWERING)[number % 2]
        if speaker not in expected:
            return (
                f"roles do not alternate: turn {number + first + 1} is of {speaker}, "
                f"expected {' or '.join(expected)}"
            )
    is_whole = len(speakers) > first and (len(speakers) - first) % 2 == 0
    return None if is_whole else "the last turn is not the assistant's"


def call_fault(conversation: Conversation) -> str | None:
    """Why calls of tools and their results do not belong together as OpenAI asks, None where they do."""
    for speaker, message in zip(conversation.speakers, conversation.messages, strict=True):
        if speaker == "tool_call" and not message.get("tool_calls"):
            return "a call of a tool is a text, expected `tool_calls`"
        if speaker == "tool" and not message.get("tool_call_id"):
            return "the result of a tool has no `tool_call_id`"
    return None


def call_text_fault(conversation: Conversation) -> str | None:
    """Why a call of tools cannot be written as a text, None where all can."""
    try:
        for message in conversation.messages:
            call_as_text(message)
    except ValueError as error:
        return str(error)
    return None


def thought_fault(conversation: Conversation) -> str | None:
    """Why thinking in fields of its own would be lost, None where there is none."""
    for message in conversation.messages:
        for field in thoughts_of(message):
            return f"a turn has thinking in {field!r}, which is not read there: write it into the content"
    return None


def is_scored_by_role(conversation: Conversation) -> bool:
    """Whether each turn of the assistant, calls of tools among them, is scored, and no other."""
    spoken = [message["role"] == "assistant" for message in conversation.messages]
    return spoken == list(conversation.is_scored)


def answers_once(conversation: Conversation) -> bool:
    """Whether the last turn is the assistant's, and the only one that is scored."""
    *others, last = conversation.is_scored
    return last and not any(others) and conversation.messages[-1]["role"] == "assistant"


def call_as_text(message: Message) -> str:
    """A call of tools as LLaMA-Factory writes it: one object or a list, each with name and arguments.

    A turn that holds it as a text is left as it is.

    Raises: ValueError, in a few words, for a call without a name or whose arguments are no object, and for a
        turn that says something besides.
    """
    calls = [_call(call) for call in message.get("tool_calls") or ()]
    if not calls:
        return message["content"]
    if message["content"].strip():
        raise ValueError("a turn says something besides its call of a tool, which would be lost")
    return json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)


def _call(call: Any) -> dict[str, Any]:
    """Name and arguments, which OpenAI writes as JSON."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    name, arguments = (
        function.get(key) if isinstance(function, Mapping) else None for key in ("name", "arguments")
    )
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError):
            arguments = json.loads(arguments)
    if not isinstance(name, str) or not isinstance(arguments, Mapping):
        raise ValueError("a call of a tool has no name, or its arguments are no object")
    return {"name": name, "arguments": arguments}
