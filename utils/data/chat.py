"""Conversations as a chat template renders them, and which of their characters are scored.

A conversation is rendered once. The stretch of an assistant's turn comes from the template's
`{% generation %}` marks where it has them. Else that turn alone gets another content, and what differs
between the two texts must lie within the content. No prefix is rendered: a template may treat the last turn
in its own way (Qwen3 drops the thinking of all others). Thinking in a field of its own (`reasoning_content`)
is replaced together with the content, and is scored with what the template writes around it.

After its content a turn is scored up to and including the special token that ends it, and not the line break
behind that. TRL and LLaMA-Factory train on that line break, axolotl does not. Its loss is near zero, so that
in the mean over a short answer it would count for more than what is said.
"""

import bisect
import contextlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from transformers import PreTrainedTokenizerBase

from ..artifacts.checksums import checksum_of_json
from ..reading import read_text
from .chat_rendering import ChatRenderer, Message, Span
from .conversations import Conversation, thoughts_of

_SPAN_RULES = 2  # count it up where other characters come to be scored: tokens and losses are made anew
_OTHER_CONTENT = "\ue000\ue001"  # for private use: no text begins or ends with these
# What a turn does besides saying its content, and what to do where a template does not show that.
_CALLS = (
    "calls tools",
    "Give it a template that shows calls of tools (data.template: FILE.jinja), or take tool_call out of "
    "data.score_roles",
)
_THINKS = (
    "has its thinking in a field of its own",
    "Give it a template that shows that (data.template: FILE.jinja), set data.score_turns: last for one that "
    "shows it in the last turn alone, or take the field out of the rows",
)

_PROBE: list[Message] = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": "c"},
    {"role": "assistant", "content": "d"},
]


@dataclass(frozen=True)
class Rendered:
    """A conversation as text.

    Attributes:
        text: all of it, with the special tokens that the template writes.
        spans: of the scored turns, in order. Each is scored with the token that ends it, where there is one.
    """

    text: str
    spans: list[Span]


def chat_template_of(template: str, tokenizer: PreTrainedTokenizerBase) -> "ChatTemplate | None":
    """The chat template that `data.template` names, None where it names one of texts.

    Raises:
        FileNotFoundError: no such file.
        ValueError: if the tokenizer has none.
    """
    if template.endswith(".jinja"):
        path = Path(template)
        if not path.is_file():
            raise FileNotFoundError(f"data.template: {path} is not a file (current folder: {Path.cwd()})")
        return ChatTemplate(read_text(path), tokenizer)
    if template != "chat":
        return None
    named = tokenizer.chat_template
    if not named:
        raise ValueError(
            "data.template: found chat, but the model's tokenizer has no chat template: give a .jinja file, "
            "or a model that was tuned to chat"
        )
    if isinstance(named, str):
        return ChatTemplate(named, tokenizer)
    if "default" not in named:
        raise ValueError(
            f"data.template: found chat, but of the tokenizer's chat templates ({', '.join(named)}) none is "
            "the default: give one of them as a .jinja file"
        )
    return ChatTemplate(named["default"], tokenizer, named.get("tool_use"))


class ChatTemplate:
    """One chat template, with the special tokens of one tokenizer.

    Args:
        source: the template, in Jinja.
        tokenizer: whose special tokens it may name.
        with_tools: another one for conversations with tools, as some tokenizers have. None: the same.

    Attributes:
        source: as a tokenizer has it: a text, or several by name.
    """

    def __init__(self, source: str, tokenizer: PreTrainedTokenizerBase, with_tools: str | None = None):
        self.source = source if with_tools is None else {"default": source, "tool_use": with_tools}
        self._renderer = ChatRenderer(source, with_tools or source, tokenizer.special_tokens_map)
        # The longest that fits counts. Runs of white space, as Gemma and GPT-NeoX have them, end nothing.
        added = sorted(cast(Any, tokenizer).get_added_vocab(), key=len, reverse=True)
        self._blanks = [token for token in added if not token.strip()]
        ends = [token for token in added if token.strip()]
        self._end_of_sequence = tokenizer.eos_token
        self._ends = re.compile("|".join(map(re.escape, ends)) if ends else r"(?!)")

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of all that the text and its spans depend on besides the conversation."""
        return checksum_of_json([*self._renderer.reads, _SPAN_RULES, *self._later_rules()])

    def _later_rules(self) -> Iterator[str]:
        """Names of the rules that came after `_SPAN_RULES` was last raised and score this template otherwise.

        A template that none of them touches keeps its fingerprint, and so its losses.
        """
        if self._renderer.with_tools != self._renderer.source:
            yield self._renderer.with_tools
        if self._renderer.writes_calls_as_python:
            yield "arguments of calls are JSON"
        if self._probed is None:
            return
        text, answers, marked = self._probed
        (start, end), *_ = answers
        behind = [self._until_special(text, end)[0] for _, end in answers]
        if any(blank in part for part in behind for blank in self._blanks):
            yield "white space ends no turn"
        if marked and not any(first <= start and text[end:last].strip() for first, last in marked):
            yield "an end lies behind the marks"
        if self._run_of_ends and not marked:  # marks hold all of them, or are told apart above
            yield "several tokens end a turn"

    def _until_special(self, text: str, place: int) -> tuple[str, re.Match[str] | None]:
        """What a text has from a place to the next special token, and that token if there is one."""
        found = self._ends.search(text, place)
        return text[place : found.start() if found else len(text)], found

    @cached_property
    def _run_of_ends(self) -> str | None:
        """What ends each answer, where that is several special tokens up to the tokenizer's own end."""
        if self._probed is None:
            return None
        text, ((_, end), *_), _ = self._probed
        place = end
        while found := self._ends.match(text, place):
            place = found.end()
            if found[0] == self._end_of_sequence:
                return text[end:place] if found.start() > end else None
        return None

    @cached_property
    def _probed(self) -> tuple[str, list[Span], list[Span] | None] | None:
        """A conversation as text, where its answers are, and the marks. None where it is refused."""
        for probe in (_PROBE, [{"role": "system", "content": "s"}, *_PROBE]):  # some demand a system turn
            answers = [turn for turn, message in enumerate(probe) if message["role"] == "assistant"]
            with contextlib.suppress(ValueError):
                text, marked = self._renderer.render(probe, None, add_generation_prompt=False)
                return text, [self._said(text, probe, turn, None) for turn in answers], marked
        return None

    def text(
        self,
        messages: Sequence[Message],
        add_generation_prompt: bool = True,
        tools: Sequence[Any] | None = None,
    ) -> str:
        """The conversation as text.

        Args:
            messages: the turns.
            add_generation_prompt: whether the beginning of the assistant's next turn follows.
            tools: as in `render`.

        Raises:
            ValueError: if the template refuses it.
        """
        text, _ = self._renderer.render(messages, tools, add_generation_prompt)
        return text

    def end_of_turn(self) -> str | None:
        """The special token that ends an assistant's turn, None where none does."""
        rendered = self.render(_PROBE[:2], [False, True])
        (start, end) = rendered.spans[0]
        # The last: what is marked as generated may begin with one, such as <think>.
        specials = [found for found in self._ends.finditer(rendered.text, start, end) if found.end() == end]
        return specials[-1][0] if specials else None

    def render(
        self, messages: Sequence[Message], is_scored: Sequence[bool], tools: Sequence[Any] | None = None
    ) -> Rendered:
        """The conversation, and where the scored turns are.

        Args:
            messages: the turns.
            is_scored: of each turn, whether it is.
            tools: JSON schemas, for a template that shows them.

        Raises:
            ValueError: if the template refuses the conversation, changes the content of a scored turn,
                does not show its calls of tools or its thinking, or ends it with a text that is no special
                token.
        """
        text, marked = self._renderer.render(messages, tools, add_generation_prompt=False)
        spans = []
        for turn in (turn for turn, scored in enumerate(is_scored) if scored):
            said = self._said(text, messages, turn, tools)
            if marked is not None:
                spans.append(self._marked(text, said, turn, marked))
                continue
            if thoughts_of(messages[turn]):
                said = self._from_beginning(text, messages, turn, tools, said)
            spans.append(self._with_end(text, said, turn))
        if any(end > start for (_, end), (start, _) in itertools.pairwise(spans)):
            raise ValueError("the chat template does not render the scored turns one after the other")
        return Rendered(text, spans)

    def left_out(self, rendered: Rendered, conversation: Conversation) -> set[str]:
        """Of "turns" and "tools", what the text does not show. `render` checks the scored turns.

        Thinking that stands in the content of an answer may be missing: templates drop that of earlier turns.
        """
        pairs = zip(conversation.messages, conversation.is_scored, strict=True)
        unscored = [message for message, is_scored in pairs if not is_scored]
        said = [message["content"].rpartition("</think>")[2].strip() for message in unscored]
        called = [_called_name(call) for message in unscored for call in message.get("tool_calls") or ()]
        missing = set() if all(_is_shown(rendered.text, part) for part in (*said, *called)) else {"turns"}
        if conversation.tools:
            with contextlib.suppress(ValueError):  # without tools it may be refused: then they are read
                # Not by their names, which calls have, too.
                if self.text(conversation.messages, add_generation_prompt=False) == rendered.text:
                    missing.add("tools")
        return missing

    def _said(self, text: str, messages: Sequence[Message], turn: int, tools: Sequence[Any] | None) -> Span:
        """Where the content of a turn is: all that differs with another content lies within it.

        A template may strip it. Calls of tools belong to what is said, and so does thinking.
        """
        calls = messages[turn].get("tool_calls") or ()
        thoughts = thoughts_of(messages[turn])
        changed = [*messages]
        without_calls = {key: value for key, value in messages[turn].items() if key != "tool_calls"}
        changed[turn] = {**without_calls, **dict.fromkeys(["content", *thoughts], _OTHER_CONTENT)}
        other, _ = self._renderer.render(changed, tools, add_generation_prompt=False)
        at_most = min(len(text), len(other))
        start = _length_of_common(text, other, at_most)
        end = len(text) - _length_of_common(text[::-1], other[::-1], at_most - start)
        if calls or thoughts:
            self._check_shown(text, messages[turn], turn, (start, end))
            if calls:
                self._check_apart(text, messages, turn, tools, end)
            return start, end
        core = messages[turn]["content"].strip()
        differing = text[start:end]
        first = start + len(differing) - len(differing.lstrip())
        last = max(first, end - (len(differing) - len(differing.rstrip())))
        found = text.find(core, max(0, last - len(core))) if core else first
        if _OTHER_CONTENT not in other or not 0 <= found <= first:
            raise ValueError(
                f"the chat template changes what the {messages[turn]['role']} says in turn {turn} (counted "
                f"from 0): found {differing[:60]!r}, expected {messages[turn]['content'][:60]!r}. Give it a "
                "template that leaves answers as they are (data.template: FILE.jinja)"
            )
        return min(start, found), max(end, found + len(core))

    def _from_beginning(
        self, text: str, messages: Sequence[Message], turn: int, tools: Sequence[Any] | None, said: Span
    ) -> Span:
        """What is said, with what the template writes in front of thinking (`<think>`).

        The beginning of the turn, which a model is given, is left out.
        """
        given, _ = self._renderer.render(messages[:turn], tools, add_generation_prompt=True)
        start, end = said
        if text.startswith(given):
            start = min(start, len(given))
        return start, end

    def _check_shown(self, text: str, message: Message, turn: int, found: Span) -> None:
        """Raises: ValueError unless what was found shows thinking, content and calls of a turn."""
        start, end = found
        # Some write the same thinking into two fields.
        thoughts = dict.fromkeys(thought.strip() for thought in thoughts_of(message).values())
        calls = [_called_name(call) for call in message.get("tool_calls") or ()]
        place = start
        for shown in (*thoughts, message["content"].strip(), *calls):
            place = text.find(shown, place, end)
            if place < 0:
                is_call = bool(calls) and shown not in thoughts
                raise ValueError(
                    f"the chat template does not show {shown[:60]!r} in turn {turn} (counted from 0), which "
                    f"{_CALLS[0] if is_call else _THINKS[0]}: found {text[start:end][:60]!r}. "
                    f"{_CALLS[1] if is_call else _THINKS[1]}"
                )
            place += len(shown)

    def _check_apart(
        self, text: str, messages: Sequence[Message], turn: int, tools: Sequence[Any] | None, end: int
    ) -> None:
        """Raises: ValueError if what comes later is shown within a turn, which ends at `end`."""
        later = [{**message, "content": _OTHER_CONTENT} for message in messages[turn + 1 :]]
        other, _ = self._renderer.render([*messages[: turn + 1], *later], tools, add_generation_prompt=False)
        if _length_of_common(text, other, min(len(text), len(other))) < end:
            raise ValueError(
                f"the chat template puts what comes later into turn {turn} (counted from 0), which calls "
                "tools: take tool_call out of data.score_roles"
            )

    def _marked(self, text: str, said: Span, turn: int, marked: Sequence[Span]) -> Span:
        """The template's mark around what is said, without a line break behind the token that ends it."""
        around = [(start, end) for start, end in marked if start <= said[0] and said[1] <= end]
        if not around:
            raise ValueError(
                f"the chat template marks as generated what does not hold all that turn {turn} says"
            )
        start, end = around[0]
        end_of_words = start + len(text[start:end].rstrip())
        # What is said may end in such a token itself, as in </think>.
        if any(found.end() == end_of_words for found in self._ends.finditer(text, said[1], end_of_words)):
            return start, end_of_words
        return self._with_end(text, (start, end), turn)

    def _with_end(self, text: str, said: Span, turn: int) -> Span:
        """What is said, and what ends it: a special token, or those that end each answer."""
        start, end = said
        between, found = self._until_special(text, end)
        if between.strip():
            raise ValueError(
                f"the chat template ends turn {turn} (counted from 0) with {between[:40]!r}, expected a "
                "special token of the tokenizer: else no answer teaches where it ends. Use the model's own "
                "template, or one that ends answers with the tokenizer's end token"
            )
        if found and self._run_of_ends and text.startswith(self._run_of_ends, found.start()):
            return start, found.start() + len(self._run_of_ends)
        return start, found.end() if found else end


def _is_shown(text: str, part: str) -> bool:
    """Whether a text has a part as it is or as JSON, as some templates write the result of a tool."""
    return (
        part in text or json.dumps(part, ensure_ascii=False)[1:-1] in text or json.dumps(part)[1:-1] in text
    )


def _called_name(call: Any) -> str:
    """The name of the tool that is called, empty where there is none."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else ""


def _length_of_common(one: str, other: str, at_most: int) -> int:
    """Characters that both begin with."""
    return bisect.bisect_left(range(at_most), True, key=lambda last: one[: last + 1] != other[: last + 1])
