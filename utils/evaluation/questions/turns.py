"""Questions with turns: they travel as one text through lm-eval, which knows no others."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...data.formats import Example

if TYPE_CHECKING:
    from ...data.chat import ChatTemplate

_MARK = "\ue002"  # for private use: no question of a person begins with it


def asked_example(example: Example) -> Example | None:
    """What is asked of a row: the turns before the assistant's last scored one, which is the response.

    Returns: a row without turns as it is. None where no such turn is, or nothing stands before it.
    """
    conversation = example.conversation
    if conversation is None:
        return example
    pairs = zip(conversation.speakers, conversation.is_scored, strict=True)
    last = max((turn for turn, pair in enumerate(pairs) if pair == ("assistant", True)), default=0)
    if last == 0:
        return None
    before = conversation.messages[:last]
    return replace(
        example,
        instruction="\n\n".join(message["content"] for message in before),
        response=conversation.messages[last]["content"],
        conversation=replace(
            conversation,
            messages=before,
            is_scored=conversation.is_scored[:last],
            speakers=conversation.speakers[:last],
        ),
    )


def question_text(example: Example) -> str:
    """The instruction, of a question with turns all of them: for `chat_prompt`."""
    conversation = example.conversation
    if conversation is None:
        return example.instruction
    return _MARK + json.dumps({"messages": conversation.messages, "tools": conversation.tools})


def chat_prompt(
    chat: "ChatTemplate", history: Sequence[dict[str, Any]], add_generation_prompt: bool = True
) -> str:
    """The prompt of lm-eval's history: solved examples, then a question, each with its turns if it has some.

    The system turn of the question stands before all. Those of the examples are left out.

    Raises: ValueError if the template refuses it.
    """
    system: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    tools: list[Any] = []
    for message in history:
        if not message["content"].startswith(_MARK):
            messages.append(message)
            continue
        question = json.loads(message["content"].removeprefix(_MARK))
        turns, tools = question["messages"], question["tools"]
        system = turns[:1] if turns[0]["role"] == "system" else []
        messages += turns[len(system) :]
    return chat.text([*system, *messages], add_generation_prompt, tools)
