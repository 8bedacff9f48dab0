"""A chat template applied to a conversation: its text, and what its `{% generation %}` marks hold.

Most templates are given the arguments of calls as objects. One that would write them as Python does, or that
joins them to words of its own, is given them as JSON.
"""

import contextlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from ..reading import is_encodable
from .conversations import arguments_of, as_json, with_arguments_as_text

Message = Mapping[str, Any]  # role, content, and what else a template may read
Span = tuple[int, int]  # of characters: the first, and the one after the last

# What a template that asks for today's date is told: it would give other tokens every day.
_TODAY = datetime(2024, 7, 26)
_HAS_MARKS = re.compile(r"\{%-?\s*generation\s*-?%\}")
_REFUSALS = (TemplateError, TypeError, ValueError, LookupError, ArithmeticError, RecursionError)


class ChatRenderer:
    """A chat template with the names of special tokens that it may read.

    Args:
        source: the template, in Jinja.
        with_tools: the one for conversations with tools.
        special_tokens: name -> token.
    """

    def __init__(self, source: str, with_tools: str, special_tokens: Mapping[str, Any]):
        self.source = source
        self.with_tools = with_tools
        self._special_tokens = dict(special_tokens)

    @property
    def reads(self) -> list[Any]:
        """What its text depends on besides the conversation, for a checksum."""
        return [self.source, {**self._special_tokens, "strftime_now": _TODAY.isoformat()}]

    @cached_property
    def writes_calls_as_python(self) -> bool:
        """Whether the template, left alone, writes the arguments of a call as Python writes an object."""
        call = {"id": "call00000", "type": "function", "function": {"name": "f", "arguments": {"a": "b"}}}
        messages = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
        ]
        for tools in (None, [call["function"]]):  # a tokenizer may have another template for tools
            with contextlib.suppress(*_REFUSALS):
                text, _ = self._render_once(messages, tools, add_generation_prompt=False)
                if _writes_as_python(text, messages):
                    return True
        return False

    def render(
        self, messages: Sequence[Message], tools: Sequence[Any] | None, add_generation_prompt: bool
    ) -> tuple[str, list[Span] | None]:
        """The conversation as text, and what the template marks as generated: None without marks.

        Args:
            messages: the turns.
            tools: JSON schemas, for a template that shows them.
            add_generation_prompt: whether the beginning of the assistant's next turn follows.

        Raises:
            ValueError: if the template refuses it.
        """
        try:
            rendered = None
            with contextlib.suppress(TypeError):  # DeepSeek's puts words around arguments that are a text
                rendered = self._render_once(messages, tools, add_generation_prompt)
            if rendered is None or _writes_as_python(rendered[0], messages):
                as_texts = [with_arguments_as_text(message) for message in messages]
                rendered = self._render_once(as_texts, tools, add_generation_prompt)
        except _REFUSALS as error:
            raise ValueError(f"the chat template refuses it: {error}") from error
        if not is_encodable(rendered[0]):
            raise ValueError("the chat template writes half a surrogate pair, which is no text: repair it")
        return rendered

    def _render_once(
        self, messages: Sequence[Message], tools: Sequence[Any] | None, add_generation_prompt: bool
    ) -> tuple[str, list[Span] | None]:
        """As `render`, with the arguments of calls as they are. Raises: _REFUSALS."""
        source = self.with_tools if tools else self.source
        has_marks = bool(_HAS_MARKS.search(source))
        rendered: Any = render_jinja_template(
            [[dict(message) for message in messages]],
            tools=list(tools) if tools else None,
            chat_template=source,
            return_assistant_tokens_mask=has_marks,
            add_generation_prompt=add_generation_prompt,
            strftime_now=_TODAY.strftime,
            **self._special_tokens,
        )
        (text,), marks = rendered
        return text, [(int(start), int(end)) for start, end in marks[0]] if has_marks else None


def _writes_as_python(text: str, messages: Sequence[Message]) -> bool:
    """Whether a text has the arguments of a call as Python writes an object, which is no JSON."""
    calls = [call for message in messages for call in message.get("tool_calls") or ()]
    objects = [value for call in calls for value in arguments_of(call) if isinstance(value, dict)]
    if not objects:  # as nearly always
        return False
    # What a tool says may be written so, too.
    said = "\n".join(part for message in messages for part in message.values() if isinstance(part, str))
    written = [str(value) for value in objects if str(value) != as_json(value)]
    return any(text.count(value) > said.count(value) for value in written)
