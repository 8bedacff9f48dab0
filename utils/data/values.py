"""The one rule for values in all containers: what text a value is.

A text is itself. A number is its text as written, or in a binary container the shortest text that reads back
as the same number. True and false are `true` and `false`. Null, a missing column and an empty cell are the
empty text. A list, an object, NaN, an infinity, a date and binary data are no text, and their row is invalid.
"""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_WHOLE_WITH_DECIMALS = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")
_NOTHING = frozenset({"", "null", "[]", "{}"})  # as a text, white space around it aside


class NumberText(str):
    """A number as it is written in a text container."""

    __slots__ = ()


_KINDS = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    NumberText: "a number",
    list: "a list",
    dict: "an object",
    bytes: "binary data",
    float: "NaN or an infinity",
}


def plain(value: Any) -> Any:
    """A value with numbers in place of what they are written as, within lists and objects, too.

    What is null in an object goes: a table has it wherever any other row has such a field.
    """
    if isinstance(value, NumberText):
        return float(value) if set(value) & set(".eEN") else int(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def text_of(value: Any) -> str | None:
    """The text of a value. None where it has none."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else None
    return None


def is_nothing(value: Any) -> bool:
    """Whether a value that may be missing is: null, false, white space, an empty list or object.

    The last two and null also as JSON.
    """
    if isinstance(value, str):
        return value.strip() in _NOTHING
    if isinstance(value, list | tuple | Mapping):
        return not value
    return value is None or value is False


def type_in_words(value: Any) -> str:
    """What a value without text is, for a message."""
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def source_name(text: str) -> str:
    """The name of a source. 1.0 is the source 1: pandas turns whole numbers with gaps into floating point."""
    whole = _WHOLE_WITH_DECIMALS.fullmatch(text)
    return whole[1] if whole else text
