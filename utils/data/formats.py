"""How a row of the pool becomes an example. `data.format` names one of `FORMATS`."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ..config.names import DataFormat, look_up
from ..config.schema import DataConfig
from .conversations import Conversation, TurnsReader, is_turns_as_json
from .values import is_nothing, source_name, text_of, type_in_words


@dataclass(frozen=True, slots=True)
class Example:
    """What S2L needs of a row.

    Attributes:
        instruction: of a conversation, what the turns say that are not scored.
        response: of a conversation, what the scored turns say.
        input: Alpaca's optional context, empty where there is none.
        source: the tag that says where the row came from.
        conversation: of a row with turns.
    """

    instruction: str
    response: str
    input: str = ""
    source: str = ""
    conversation: Conversation | None = None

    @property
    def topic(self) -> str:
        """What tells the row from others in a list: of a conversation what the user says last.

        They often begin with one system text for all. Without a user it is the response.
        """
        if self.conversation is None:
            return self.instruction
        asked = (turn.text for turn in reversed(self.conversation.turns()) if turn.speaker == "user")
        return next(filter(str.strip, asked), self.response)


@dataclass(frozen=True)
class Format:
    """The fields a format reads. `data.columns` maps a field to the column that holds it.

    Attributes:
        instruction: a field, as `response` and `input`.
        turns: the fields of a turn that say who speaks and what, None for a format without turns.
        system: the field of a system text, which only rows with turns may have.
        tools: the field of the tools, likewise.
    """

    instruction: str
    response: str
    input: str | None = None
    turns: tuple[str, str] | None = None
    system: str | None = None
    tools: str | None = None


FORMATS: dict[DataFormat, Format] = {
    "alpaca": Format(instruction="instruction", response="output", input="input"),
    "prompt_completion": Format(
        instruction="prompt",
        response="completion",
        turns=("role", "content"),
        system="system",
        tools="tools",
    ),
    "question_answer": Format(instruction="question", response="answer", input="context"),
    "messages": Format(
        instruction="messages",
        response="messages",
        turns=("role", "content"),
        system="system",
        tools="tools",
    ),
    "sharegpt": Format(
        instruction="conversations",
        response="conversations",
        turns=("from", "value"),
        system="system",
        tools="tools",
    ),
}


# Columns from which other stacks take what a model is shown besides the fields, and what to do with such.
_AS_TURNS = "Write the rows as turns (data.format: messages)"
_CONTEXT = {
    "system": f"{_AS_TURNS}: that format reads a column `system`",
    "tools": f"{_AS_TURNS}: that format reads a column `tools`",
    "history": f"{_AS_TURNS}, the turns of the history first",
    "chat_template_kwargs": "Write its values into a template of your own (data.template: FILE.jinja)",
}


@dataclass(frozen=True)
class RowReader:
    """Reads the rows of one format.

    Attributes:
        instruction: the column of an example's instruction, as `response` and `source` are of theirs.
        input: None for a format without it.
        response: a column.
        source: a column.
        named_columns: those that at least one row must have.
        turns: reads lists of turns, None for a format of texts alone.
        system: the column of a system text, None for a format without it.
        tools: the column of the tools, None for a format without them.
    """

    instruction: str
    input: str | None
    response: str
    source: str
    named_columns: frozenset[str]
    turns: TurnsReader | None = None
    system: str | None = None
    tools: str | None = None

    @property
    def needed_columns(self) -> list[str]:
        """Those of an example's instruction and response, each once."""
        return list(dict.fromkeys([self.instruction, self.response]))

    @property
    def is_one_column(self) -> bool:
        """Whether all turns of a row lie in one column."""
        return self.instruction == self.response

    def texts(self, row: Mapping[str, Any]) -> tuple[str, str, str, str]:
        """Instruction, input, response and source as written.

        Where one of the four is no text, only the source is left: a row without the others is invalid.
        Of a conversation the input is all of it, so that nothing of it escapes the pool's fingerprint.
        """
        if self._has_turns(row):
            source = text_of(row.get(self.source))
            try:
                conversation = self._conversation(row)
            except ValueError:
                return "", "", "", source or ""
            if source is None:
                return "", "", "", ""
            return conversation.said(False), conversation.canonical(), conversation.said(True), source
        instruction = row.get(self.instruction, "")
        context = row.get(self.input, "") if self.input else ""
        response = row.get(self.response, "")
        source = row.get(self.source, "")
        if type(instruction) is type(context) is type(response) is type(source) is str:  # as nearly always
            return instruction, context, response, source
        instruction, context, response, source = map(text_of, (instruction, context, response, source))
        if instruction is None or context is None or response is None or source is None:
            return "", "", "", source or ""
        return instruction, context, response, source

    def _has_turns(self, row: Mapping[str, Any]) -> bool:
        """Whether the row holds lists of turns and not texts, which a format without texts always does."""
        if self.turns is None:
            return False
        if self.is_one_column or isinstance(row.get(self.response), list | tuple):
            return True
        columns = (self.response, self.instruction)
        return all(is_turns_as_json(row.get(column), self.turns.role) for column in columns)

    def unread_context(self, row: Mapping[str, Any]) -> str | None:
        """What of a row is left unread though it is context, and what to do. None without."""
        if row.keys().isdisjoint(_CONTEXT):  # as nearly always
            return None
        read = {self.instruction, self.input, self.response, self.source}
        if self._has_turns(row):
            read |= {self.system, self.tools}
        for column in _CONTEXT:
            if column not in read and not is_nothing(row.get(column)):
                return (
                    f"found {column!r}, which other stacks show to a model and data.format does not read. "
                    f"{_CONTEXT[column]}"
                )
        return None

    def asks_nothing(self, row: Mapping[str, Any]) -> bool:
        """Whether a row may have a response alone: the turns of the user are scored themselves."""
        return self.turns is not None and "user" in self.turns.scored_roles and self._has_turns(row)

    def _conversation(self, row: Mapping[str, Any]) -> Conversation:
        """Raises: ValueError, in a few words."""
        assert self.turns is not None
        return self.turns.read(
            row.get(self.response),
            context=None if self.is_one_column else row.get(self.instruction),
            system=row.get(self.system) if self.system else None,
            tools=row.get(self.tools) if self.tools else None,
        )

    def example(self, row: Mapping[str, Any]) -> Example:
        if self._has_turns(row):
            source = source_name(text_of(row.get(self.source)) or "")
            try:
                conversation = self._conversation(row)
            except ValueError:  # `fault` says what is wrong; with data.invalid_rows: drop the row is unused
                return Example("", "", "", source)
            return Example(conversation.said(False), conversation.said(True), "", source, conversation)
        instruction, context, response, source = self.texts(row)
        return Example(instruction, response, context, source_name(source))

    def fault(self, row: Mapping[str, Any]) -> str:
        """Why a row without instruction or response has none."""
        if self._has_turns(row):
            try:
                self._conversation(row)
            except ValueError as error:
                return str(error)
            if text_of(row.get(self.source)) is None:
                return f"{type_in_words(row.get(self.source))} in {self.source!r}"
            return "no text in the scored turns, or none in the others"
        for column in (self.instruction, self.input, self.response, self.source):
            if column and text_of(row.get(column)) is None:
                return f"{type_in_words(row.get(column))} in {column!r}"
        needed = (self.instruction, self.response)
        empty = [column for column in needed if not (text_of(row.get(column)) or "").strip()]
        return f"no text in {' and '.join(map(repr, empty))}"


def fitting_format(row: Mapping[str, Any]) -> DataFormat | None:
    """The format whose instruction and response a row has under their own names, None without one."""
    for name, row_format in FORMATS.items():
        if {row_format.instruction, row_format.response} <= row.keys():
            return name
    return None


def row_reader(data: DataConfig) -> RowReader:
    """Raises: ValueError for a field that the format does not have, or one column for two fields."""
    row_format = FORMATS[data.format]
    needed = list(dict.fromkeys([row_format.instruction, row_format.response]))
    others = (row_format.input, row_format.system, row_format.tools)
    fields = [*needed, *(field for field in others if field)]
    for field in data.columns:
        look_up(dict.fromkeys(fields), field, f"data.columns of format {data.format}")
    column_of = {field: data.columns.get(field, field) for field in fields}
    for field, other in combinations(fields, 2):
        if column_of[field] == column_of[other]:
            raise ValueError(
                f"data.columns: {field} and {other} are both read from column {column_of[field]!r}: "
                "name two columns"
            )
    return RowReader(
        instruction=column_of[row_format.instruction],
        input=column_of[row_format.input] if row_format.input else None,
        response=column_of[row_format.response],
        source=data.source_column,
        named_columns=frozenset([*(column_of[field] for field in needed), *data.columns.values()]),
        turns=_turns_reader(row_format, data),
        system=column_of[row_format.system] if row_format.system else None,
        tools=column_of[row_format.tools] if row_format.tools else None,
    )


def _turns_reader(row_format: Format, data: DataConfig) -> TurnsReader | None:
    if row_format.turns is None:
        return None
    role, content = row_format.turns
    return TurnsReader(role, content, frozenset(data.score_roles), data.score_turns == "last")
