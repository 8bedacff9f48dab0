"""How a row with turns becomes a conversation.

`messages` is OpenAI's form (role, content), `sharegpt` the one of conversations (from, value). Both take
`tools` and a `system` text. A content in typed parts must be of texts alone.
"""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from functools import partial
from typing import Any

from ..config.names import Speaker
from ..terminal import one_line
from .values import is_nothing, plain, text_of, type_in_words

# What stacks call those who speak -> what templates call them.
_ROLES: dict[str, Speaker] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "function_call": "tool_call",
    "tool_call": "tool_call",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
_WEIGHTS = ("weight", "loss_weight")
_FLAGS = ("train", "training", "loss")  # where they are true or false: axolotl's, and ms-swift's `loss`
_DETAILS = ("train_detail", "training_detail", "reasoning_training_detail")  # axolotl's, of parts of a turn
_CALLS = ("tool_calls", "function_call")  # fields of a turn; the second is OpenAI's older one
_ARGUMENTS = ("arguments", "parameters")  # fields of a call
# Fields of an assistant's turn that hold what it thought. It says that, too, in front of its content.
THOUGHTS = frozenset({"reasoning_content", "reasoning", "thinking"})


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn as a person reads it.

    Attributes:
        speaker: as `data.score_roles` names them.
        text: what was thought, said and called, a paragraph each.
        is_scored: whether the loss is taken over it.
    """

    speaker: Speaker
    text: str
    is_scored: bool


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns as a chat template takes them.

    Attributes:
        messages: role, content, and what else a turn has.
        is_scored: of each turn, whether the loss is taken over what it says.
        speakers: of each turn, as `data.score_roles` names them. A call of a tool is said by the assistant.
        tools: JSON schemas, if any.
    """

    messages: tuple[dict[str, Any], ...]
    is_scored: tuple[bool, ...]
    speakers: tuple[Speaker, ...]
    tools: tuple[Any, ...] = ()

    def said(self, scored: bool) -> str:
        """What the scored turns say, or all others, with a blank line between two.

        A scored turn that says nothing but calls tools says its calls, as JSON. One that only thinks, that.
        """
        pairs = zip(self.messages, self.is_scored, strict=True)
        said = [message for message, is_scored in pairs if is_scored == scored]
        if not scored:
            return "\n\n".join(message["content"] for message in said)
        return "\n\n".join(
            message["content"] or _calls_of(message) or "\n\n".join(thoughts_of(message).values())
            for message in said
        )

    def turns(self) -> list[Turn]:
        """All of them, in order."""
        turns = zip(self.messages, self.speakers, self.is_scored, strict=True)
        return [
            Turn(speaker, "\n\n".join(filter(None, _parts_of(message))), is_scored)
            for message, speaker, is_scored in turns
        ]

    def canonical(self) -> str:
        """All of it as JSON, the same for the same conversation.

        A chat template writes tools and calls in the order of their keys, so that order counts.
        """
        messages = [dict(sorted(message.items())) for message in self.messages]
        parts = [messages, self.is_scored, self.tools]
        if any(map(thoughts_of, self.messages)):
            parts.append("thoughts are scored")  # once they were not: such a pool is another one
        return json.dumps(parts, ensure_ascii=False)


@dataclass(frozen=True)
class TurnsReader:
    """Reads the turns of a row.

    Attributes:
        role: the field of a turn that says who speaks.
        content: the field of a turn that holds what is said.
        scored_roles: of the speakers whose turns the loss is taken over.
        last_only: whether of the scored turns the last alone counts.
    """

    role: str
    content: str
    scored_roles: frozenset[str]
    last_only: bool

    def read(self, turns: Any, context: Any = None, system: Any = None, tools: Any = None) -> Conversation:
        """One conversation.

        Args:
            turns: a list of objects, or that as JSON.
            context: turns before these, none of which is scored.
            system: a text that comes before all turns.
            tools: a list of JSON schemas, or that as JSON.

        Raises:
            ValueError: in a few words, for what is no such thing.
        """
        before = [] if context in (None, "") else _listed(context, "turns")
        messages: list[dict[str, Any]] = []
        is_scored: list[bool] = []
        speakers: list[Speaker] = []
        after = _listed(turns, "turns")
        if before and begins_with(after, before):
            raise ValueError(
                "turns that begin with those of the question again: read them alone, as format messages"
            )
        for number, turn in enumerate([*before, *after]):
            message, role = self._message(turn, number)
            messages.append(message)
            speakers.append(role)
            counts = _counts(turn, number)
            is_scored.append(number >= len(before) and role in self.scored_roles and counts)
        if not is_nothing(system):
            first = {"role": "system", "content": _text(system, "the system text")}
            if speakers[:1] != ["system"]:
                messages.insert(0, first)
                is_scored.insert(0, "system" in self.scored_roles)
                speakers.insert(0, "system")
            elif messages[0]["content"].strip() != first["content"].strip():
                raise ValueError("a system text that is another one than the system's turn: keep one of them")
        if self.last_only and any(is_scored):
            last = len(is_scored) - 1 - is_scored[::-1].index(True)
            is_scored = [number == last for number in range(len(is_scored))]
        if not any(is_scored):
            raise ValueError(f"no turn of {' or '.join(sorted(self.scored_roles))} to score")
        schemas = () if is_nothing(tools) else tuple(plain(_listed(tools, "tools")))
        _check_json(schemas, "the tools")
        return Conversation(tuple(messages), tuple(is_scored), tuple(speakers), schemas)

    def _message(self, turn: Any, number: int) -> tuple[dict[str, Any], Speaker]:
        """The message of a turn, and who speaks."""
        if not isinstance(turn, Mapping):
            raise ValueError(f"{type_in_words(turn)} as turn {number}")
        for field in (self.role, self.content):
            if field not in turn and (field == self.role or not any(map(turn.get, _CALLS))):
                raise ValueError(f"no {field!r} in turn {number} (there are {', '.join(map(repr, turn))})")
        name = turn[self.role]
        if not isinstance(name, str) or name not in _ROLES:
            raise ValueError(f"the role {name!r} in turn {number}, expected one of {', '.join(_ROLES)}")
        role = _ROLES[name]
        # ShareGPT's turn has `from` and `value`: a `role` or `content` beside them is not the message's.
        read = {self.role, self.content, "role", "content", *_WEIGHTS, *_weights(turn)}
        rest = plain(
            {
                key: value
                for key, value in turn.items()
                if key not in read and not isinstance(value, date | time)  # when it was said, is not said
            }
        )
        for field, value in rest.items():
            _check_json(value, f"{field!r} of turn {number}")
        for field in _CALLS:
            if field in rest and is_nothing(rest[field]):  # some templates ask whether there is such a field
                del rest[field]
        if role == "assistant" and "function_call" in rest:
            rest.setdefault("tool_calls", [{"type": "function", "function": rest.pop("function_call")}])
        if role == "assistant" and "tool_calls" in rest:
            role = "tool_call"
            calls = plain(_listed(rest["tool_calls"], f"the calls of turn {number}"))
            rest["tool_calls"] = [_with_arguments(call, partial(_as_object, number)) for call in calls]
        content = _text(turn.get(self.content), f"turn {number}")
        if role in ("assistant", "tool_call"):
            for field in (field for field in THOUGHTS if isinstance(rest.get(field), str | list)):
                rest[field] = _text(rest[field], f"{field!r} of turn {number}")
        spoken = "assistant" if role == "tool_call" else role
        return {"role": spoken, "content": content, **rest}, role


def thoughts_of(message: Mapping[str, Any]) -> dict[str, str]:
    """What an assistant's turn holds of its thinking in fields of their own, by field."""
    if message["role"] != "assistant":
        return {}
    fields = {field: message[field] for field in sorted(THOUGHTS & message.keys())}
    # A flag of such a name is none, nor is an object.
    return {field: text for field, text in fields.items() if isinstance(text, str) and text.strip()}


def with_arguments_as_text(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message with the arguments of its calls as JSON, as OpenAI and some chat templates have them."""
    if not message.get("tool_calls"):
        return dict(message)
    return {**message, "tool_calls": [_with_arguments(call, as_json) for call in message["tool_calls"]]}


def arguments_of(call: Any) -> list[Any]:
    """What a call has as its arguments, wherever they are in it."""
    if not isinstance(call, Mapping):
        return []
    if isinstance(call.get("function"), Mapping):
        return arguments_of(call["function"])
    return [call[name] for name in _ARGUMENTS if name in call]


def _with_arguments(call: Any, change: Callable[[Any], Any]) -> Any:
    """A call with its arguments changed, wherever they are in it."""
    if not isinstance(call, Mapping):
        return call
    if isinstance(call.get("function"), Mapping):
        return {**call, "function": _with_arguments(call["function"], change)}
    return {key: change(value) if key in _ARGUMENTS else value for key, value in call.items()}


def _as_object(number: int, arguments: Any) -> dict[str, Any]:
    """The arguments of a call of turn `number`: a template would write a text as JSON again.

    A call without arguments has an empty text there in what some servers record.

    Raises: ValueError for a text that is no object as JSON, as of a model that broke off, and for a list.
    """
    values = arguments
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError):
            values = json.loads(arguments) if arguments.strip() else {}
    if isinstance(values, dict):
        return values
    raise ValueError(
        f"the arguments {one_line(repr(arguments), 60)} of a call in turn {number}, expected a JSON object"
    )


def as_json(arguments: Any) -> str:
    """The arguments of a call as OpenAI has them."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _calls_of(message: Mapping[str, Any]) -> str:
    """The calls of tools as JSON, empty without any."""
    calls = message.get("tool_calls")
    return json.dumps(calls, ensure_ascii=False) if calls else ""


def _parts_of(message: Mapping[str, Any]) -> list[str]:
    return [*thoughts_of(message).values(), message["content"], _calls_of(message)]


def _counts(turn: Mapping[str, Any], number: int) -> bool:
    """Whether no weight of a turn is 0. Raises: ValueError for one that is neither 0 nor 1, or of a part."""
    for name in _DETAILS:
        if turn.get(name):
            raise ValueError(
                f"{name!r} in turn {number}, where only a whole turn can be scored: write `train`"
            )
    weights = _weights(turn).values()
    for weight in weights:
        if not isinstance(weight, int | float) or weight not in (0, 1):
            raise ValueError(f"the weight {weight!r} in turn {number}, where only 0 and 1 are known")
    return 0 not in weights


def _weights(turn: Mapping[str, Any]) -> dict[str, Any]:
    """What says whether a turn counts."""
    weights = {name: plain(turn[name]) for name in _WEIGHTS if turn.get(name) is not None}
    return weights | {name: turn[name] for name in _FLAGS if isinstance(turn.get(name), bool)}


def begins_with(turns: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether a conversation is another one, and how it goes on."""
    return list(turns[: len(others)]) == list(others)


def _check_json(value: Any, where: str) -> None:
    """Raises: ValueError for what no chat template can be given, such as an image."""
    if isinstance(value, str):  # as nearly always
        return
    try:
        json.dumps(value)
    except TypeError as error:
        raise ValueError(
            f"{type_in_words(value)} that is no JSON in {where} ({error}): take it out"
        ) from None


def is_turns_as_json(value: Any, role: str) -> bool:
    """Whether a text is a list of turns that was written as JSON.

    Args:
        role: the field of a turn that says who speaks.
    """
    # Nearly always it is not.
    if not isinstance(value, str) or not value.lstrip().startswith("[") or f'"{role}"' not in value:
        return False
    try:
        turns = json.loads(value)
    except ValueError:
        return False
    return bool(turns) and all(isinstance(turn, dict) and role in turn for turn in turns)


def _listed(value: Any, what: str) -> Sequence[Any]:
    """A list, also one that was written as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(f"a text in place of {what}") from None
    if not isinstance(value, list | tuple):
        raise ValueError(f"{type_in_words(value)} in place of {what}")
    return value


def _text(content: Any, where: str) -> str:
    """The text of a content, also of one in typed parts."""
    if isinstance(content, list | tuple):
        for part in content:
            if not isinstance(part, Mapping) or "type" not in part:
                raise ValueError(f"{type_in_words(part)} without a type as a part of {where}")
            if part["type"] != "text":
                raise ValueError(f"{part['type']} in {where}, where only text can be scored")
            if not part.keys() & {"text", "value"}:
                raise ValueError(f"a part without its text in {where}")
        # OpenAI calls the text `text`, LLaMA-Factory `value`.
        return "".join(_text(part.get("text", part.get("value")), where) for part in content)
    text = text_of(content)
    if text is None:
        raise ValueError(f"{type_in_words(content)} in {where}")
    return text
