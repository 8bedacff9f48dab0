"""How a row of the pool becomes an example; `data.format` names one of `FORMATS`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from utils.config.names import look_up


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


FORMATS: dict[str, Format] = {
    "alpaca": Format(instruction="instruction", response="output", input="input"),
    "prompt_completion": Format(instruction="prompt", response="completion"),
}


def example_reader(
    format_name: str, columns: Mapping[str, str], source_column: str
) -> Callable[[Mapping[str, Any]], Example]:
    """The function that turns a row of this format into an `Example`; its ValueErrors say what is wrong with the row.

    Raises: ValueError for an unknown format, or columns for fields it does not have.
    """
    row_format = look_up(FORMATS, format_name, "data.format")
    fields = [field for field in (row_format.instruction, row_format.response, row_format.input) if field]
    for field in columns:
        look_up(dict.fromkeys(fields), field, f"data.columns of format {format_name}")
    instruction_column = columns.get(row_format.instruction, row_format.instruction)
    response_column = columns.get(row_format.response, row_format.response)
    input_column = columns.get(row_format.input, row_format.input) if row_format.input else None

    def text(row: Mapping[str, Any], column: str, optional: bool = False) -> str:
        value = row.get(column)
        if isinstance(value, str):
            return value
        if value is not None:
            raise ValueError(f"column {column!r} holds {type(value).__name__}, expected text")
        if optional or column in row:
            return ""
        raise ValueError(f"no column {column!r} (there are {', '.join(map(repr, row))}): set data.columns")

    def read(row: Mapping[str, Any]) -> Example:
        source = row.get(source_column)
        return Example(
            instruction=text(row, instruction_column),
            response=text(row, response_column),
            input=text(row, input_column, optional=True) if input_column else "",
            source="" if source is None else str(source),
        )

    return read
