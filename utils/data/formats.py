"""How a row of the pool becomes an example. `data.format` names one of `FORMATS`."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ..config.names import DataFormat, look_up
from ..config.schema import DataConfig
from .values import kind_of, source_name, text_of


@dataclass(frozen=True, slots=True)
class Example:
    """What S2L needs of a row. `input` is Alpaca's optional context, empty where there is none."""

    instruction: str
    response: str
    input: str = ""
    source: str = ""


@dataclass(frozen=True)
class Format:
    """The fields a format reads. `data.columns` maps a field to the column that holds it."""

    instruction: str
    response: str
    input: str | None = None


FORMATS: dict[DataFormat, Format] = {
    "alpaca": Format(instruction="instruction", response="output", input="input"),
    "prompt_completion": Format(instruction="prompt", response="completion"),
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
    """

    instruction: str
    input: str | None
    response: str
    source: str
    named_columns: frozenset[str]

    def texts(self, row: Mapping[str, Any]) -> tuple[str, str, str, str]:
        """Instruction, input, response and source as written.

        Where one of the four is no text, only the source is left: a row without the others is invalid.
        """
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

    def example(self, row: Mapping[str, Any]) -> Example:
        instruction, context, response, source = self.texts(row)
        return Example(instruction, response, context, source_name(source))

    def fault(self, row: Mapping[str, Any]) -> str:
        """Why a row without instruction or response has none."""
        for column in (self.instruction, self.input, self.response, self.source):
            if column and text_of(row.get(column)) is None:
                return f"{kind_of(row.get(column))} in {column!r}"
        needed = (self.instruction, self.response)
        empty = [column for column in needed if not (text_of(row.get(column)) or "").strip()]
        return f"no text in {' and '.join(map(repr, empty))}"


def row_reader(data: DataConfig) -> RowReader:
    """Raises: ValueError for a field that the format does not have, or one column for two fields."""
    row_format = FORMATS[data.format]
    fields = [field for field in (row_format.instruction, row_format.input, row_format.response) if field]
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
        named_columns=frozenset(
            [column_of[row_format.instruction], column_of[row_format.response], *data.columns.values()]
        ),
    )
