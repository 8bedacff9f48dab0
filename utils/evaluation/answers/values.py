"""What an answer says: a quantity, an equation, a named value, a list, a set, an interval, a matrix."""

import re
from dataclasses import dataclass

from .notation import as_text, without_notation
from .quantities import EXPLANATION, MAX_CHARACTERS, Quantity, read_quantity
from .statement import closing_brace


@dataclass(frozen=True, slots=True)
class Named:
    """`x = 5`."""

    name: str
    value: "Value"


@dataclass(frozen=True, slots=True)
class Equation:
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`1 < x <= 5`, from the smaller to the larger side."""

    signs: tuple[str, ...]
    sides: tuple["Value", ...]


@dataclass(frozen=True, slots=True)
class Collection:
    """Several values.

    Attributes:
        kind: "list", "set", "union", or what opens and closes it: "()", "[)", "matrix of 2 rows".
        items: in order where the kind has one.
    """

    kind: str
    items: tuple["Value", ...]

    @property
    def ordered(self) -> bool:
        return self.kind not in ("list", "set", "union")


Value = Quantity | Named | Equation | Comparison | Collection

_PAIRS = {"(": ")", "[": "]", "\\{": "\\}", "{": "}"}
_LIST = re.compile(r"[,;\n]|\b(?:and|or)\b")
_THOUSANDS = re.compile(r"(?<![0-9,.])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])")
_MATRIX = re.compile(r"\\begin\{([pbBvV]?matrix|array)\}(?:\{[lcr|\s]*\})?(.*)\\end\{\1\}", re.DOTALL)
_PARTS = re.compile(r"\(a\).*\(b\)|\(i\).*\(ii\)|a\..*\bb\.", re.DOTALL)
_PART = re.compile(r"\((?:[a-h]|i{1,3}|iv|v)\)|\b[a-h]\.(?=\s)")
_BEHIND_A_UNIT = re.compile(r"(?<=[A-Za-z])\s+(?=[0-9])")
_RELATION = re.compile(r"=|<|>|\\(?:le|ge|ne|in|approx)(?![A-Za-z])")
_FLIPPED = {">": "<", "\\ge": "\\le"}
_NAME = re.compile(
    r"[A-Za-z](?:_\w|_\{\w+\}|'+)?(?:\s*\([A-Za-z0-9](?:[,|]\s*[A-Za-z0-9])*\))?"  # x, a_1, f', f(x), P(A|B)
    r"|[A-Za-z][A-Za-z ]*[A-Za-z]|\\[a-z]+"  # total cost, \theta
    r"|\(\s*(?:[A-Za-z](?:_\w)?|\\[a-z]+)(?:\s*,\s*(?:[A-Za-z](?:_\w)?|\\[a-z]+))+\s*\)"  # (x, y)
)
_NOT_A_LETTER = re.compile(r"\\(?:frac|times|cdot|sqrt|div)|[^A-Za-z\\]")
_MAX_DEPTH = 20  # of brackets in brackets. A model may write thousands, and Python's stack ends


def read_value(text: str) -> Value:
    """The meaning of an answer, written in LaTeX or plain."""
    return _read(without_notation(text), 0)


def _read(text: str, depth: int) -> Value:
    text = text.strip().rstrip(".,;:").strip()
    if depth > _MAX_DEPTH or len(text) > MAX_CHARACTERS:
        return Quantity(text, None, "")
    explanation = EXPLANATION.search(text)
    if explanation:
        value = read_quantity(text[: explanation.start()].strip())
        if value.number is not None:
            return value
    matrix = _MATRIX.fullmatch(text)
    if matrix:
        rows = [row.split("&") for row in matrix[2].strip().removesuffix("\\\\").split("\\\\")]
        kind = "determinant" if matrix[1] in ("vmatrix", "Vmatrix") else "matrix"
        items = tuple(_read(cell, depth + 1) for row in rows for cell in row)
        return Collection(f"{kind} of {len(rows)} rows", items)
    if _PARTS.match(text):
        parts = [part.strip(" ,;") for part in _PART.split(text)[1:]]
        return Collection("parts", tuple(_read(part, depth + 1) for part in parts))
    items = _split(text, _LIST)
    if len(items) > 1:
        kind = "sequence" if "\\ldots" in items else "list"
        return Collection(kind, tuple(_read(item, depth + 1) for item in items))
    if "\\pm" in text:
        upper = text.replace("\\pm", "+").replace("\\mp", "-")
        lower = text.replace("\\pm", "-").replace("\\mp", "+")
        return Collection("list", (_read(upper, depth + 1), _read(lower, depth + 1)))
    sides = _split(text, _RELATION)
    if len(sides) > 1:
        return _relation(text, sides, depth)
    parts = _split(text, re.compile(r"\\cup(?![A-Za-z])"))
    if len(parts) > 1:
        return Collection("union", tuple(_read(part, depth + 1) for part in parts))
    return _amounts(text) or _bracketed(text, depth) or read_quantity(text)


def _amounts(text: str) -> Value | None:
    """`3 hours 20 minutes`, the same as `3 hours and 20 minutes`."""
    amounts = [read_quantity(part) for part in _BEHIND_A_UNIT.split(text)]
    if len(amounts) > 1 and all(amount.number is not None and amount.unit for amount in amounts):
        return Collection("list", tuple(amounts))
    return None


def _bracketed(text: str, depth: int) -> Value | None:
    for opening in _PAIRS:
        if not text.startswith(opening) or len(_top_level(text)) != 1:
            continue
        closing = next((sign for sign in _PAIRS.values() if text.endswith(sign)), None)
        is_set = opening in ("\\{", "{")
        # Round and square brackets may be mixed (an interval), braces not.
        if closing is None or ((is_set or closing in ("\\}", "}")) and closing != _PAIRS[opening]):
            continue
        inside = text[len(opening) : -len(closing)]
        items = _split(inside, re.compile(r"[,;]"), thousands=False)
        if len(items) == 1 and _PAIRS[opening] == closing:
            return _read(inside, depth + 1)
        if len(items) > 1 or opening == "\\{":
            kind = "set" if is_set else opening + closing
            return Collection(kind, tuple(_read(item, depth + 1) for item in items))
    return None


def _relation(text: str, sides: list[str], depth: int) -> Value:
    signs = _RELATION.findall(_outside(text))
    if len(signs) != len(sides) - 1:  # one side is empty
        return Quantity(text, None, "")
    if "\\approx" in signs and set(signs) <= {"=", "\\approx"}:
        # What is only approximate is left out, unless a name is all that stands beside it.
        exact = [side for side, sign in zip(sides, ["=", *signs], strict=True) if sign == "="]
        sides = sides if len(exact) == 1 and _NAME.fullmatch(sides[0]) else exact
        signs = ["="] * (len(sides) - 1)
    if set(signs) <= {"="}:
        return _equated(text, sides, depth)
    if signs == ["\\in"] and _NAME.fullmatch(sides[0]):
        return Named(as_text(sides[0]), _read(sides[1], depth + 1))
    if all(sign in _FLIPPED for sign in signs):
        signs = [_FLIPPED[sign] for sign in reversed(signs)]
        sides = sides[::-1]
    return Comparison(tuple(signs), tuple(_read(side, depth + 1) for side in sides))


def _equated(text: str, sides: list[str], depth: int) -> Value:
    """The meaning of sides with "=" between them: a calculation's result, or the value of x in `x = 5`."""
    values = [side for side in sides if not _NAME.fullmatch(side)]
    names = [side for side in sides if _NAME.fullmatch(side)]
    if _has_result(values, names):
        result = _read(values[-1], depth + 1)
        if not names:
            return result
        return Named(as_text(names[0]), result) if len(names) == 1 else Quantity(text, None, "")
    return Equation(*sides) if len(sides) == 2 else Quantity(text, None, "")


def _has_result(values: list[str], names: list[str]) -> bool:
    """Whether the last side is the value of all the others, and not one side of an equation in a letter."""
    if len(values) < 2:
        return len(values) == 1
    is_calculation = not any(_NOT_A_LETTER.sub("", value) for value in values[:-1])
    is_number = read_quantity(values[-1]).number is not None
    return is_calculation and (is_number or (bool(names) and not _NOT_A_LETTER.sub("", values[-1])))


def _top_level(text: str) -> list[tuple[int, int]]:
    """(begin, end) of each stretch that is one bracketed group, or has none.

    Brackets that do not close are characters like any other.
    """
    parts = []
    depth = 0
    begin = 0
    position = 0
    while position < len(text):
        width = 2 if text[position] == "\\" and text[position : position + 2] in ("\\{", "\\}") else 1
        sign = text[position : position + width]
        if sign in ("(", "[", "{", "\\{") or text.startswith("\\begin{", position):
            if depth == 0 and position > begin:
                parts.append((begin, position))
                begin = position
            depth += 1
        elif depth and (sign in (")", "]", "}", "\\}") or text.startswith("\\end{", position)):
            depth -= 1
            if depth == 0:
                parts.append((begin, position + width))
                begin = position + width
        if text.startswith(("\\begin{", "\\end{"), position):
            position = closing_brace(text, text.index("{", position)) or len(text)
        else:
            position += width
    return [*parts, (begin, len(text))] if begin < len(text) else parts


def _outside(text: str) -> str:
    """The same text with a space for each character in brackets."""
    characters = list(text)
    for begin, end in _top_level(text):
        if text[begin : begin + 1] in ("(", "[", "{") or text.startswith(("\\{", "\\begin{"), begin):
            characters[begin:end] = " " * (end - begin)
    return "".join(characters)


def _split(text: str, separator: re.Pattern[str], thousands: bool = True) -> list[str]:
    """The parts between separators outside of brackets.

    Args:
        thousands: the comma of 1,000 separates nothing.
    """
    outside = _outside(text)
    if thousands:
        # Zeros of the same length, so that the positions stay.
        outside = _THOUSANDS.sub(lambda match: "0" * len(match[0]), outside)
    parts = []
    begin = 0
    for match in separator.finditer(outside):
        parts.append(text[begin : match.start()])
        begin = match.end()
    return [part.strip() for part in (*parts, text[begin:]) if part.strip()]
