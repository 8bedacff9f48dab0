"""A number, exactly, and the unit behind it."""

import re
from dataclasses import dataclass
from fractions import Fraction

from .formulas import is_formula

MAX_CHARACTERS = 1000  # of an answer. A longer one is compared as text
_DIGITS = r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)"
_POWER_OF_TEN = (
    r"(?:[eE]([-+]?[0-9]{1,4})"
    r"|\s*(?:\\times|\\cdot|[x*])\s*10\s*\^\s*(?:\{\s*)?([-+]?[0-9]{1,4})(?:\s*\})?)"
)
_NUMBER = re.compile(rf"(?P<sign>[-+]?)\s*(?P<digits>{_DIGITS})(?:{_POWER_OF_TEN})?")
_RATIO = re.compile(
    rf"(?P<sign>[-+]?)\s*(?:(?P<whole>[0-9]+)(?:\s+|\s*(?=\\frac)))?"
    rf"(?:(?P<over>{_DIGITS})\s*/\s*(?P<under>{_DIGITS})"
    rf"|\\frac\s*\{{\s*(?P<top>[-+]?\s*{_DIGITS})\s*\}}\s*\{{\s*(?P<bottom>[-+]?\s*{_DIGITS})\s*\}})"
)
_REPEATING = re.compile(
    r"(?P<sign>[-+]?)\s*(?P<whole>[0-9]*)\.(?P<once>[0-9]*)\\overline\s*\{(?P<again>[0-9]+)\}"
)
_QUANTITY = re.compile(
    r"(?P<number>[-+]?\s*[0-9.\\].*?)(?P<unit>\s*(?<![A-Za-z\\{])[A-Za-z][-A-Za-z/^0-9 ']*)"
)
_LEAD = re.compile(
    r"(?:about|approximately|around|exactly|equal to|equals|is|just|only|a total of|roughly|=)"
    r"\s+(?=[-+.\\0-9])",
    re.IGNORECASE,
)
_SCALES = {
    "hundred": 100,
    "dozen": 12,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_PARTS = (
    "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "hundredth", "thousandth",
    "millionth",
)  # fmt: skip
_NO_UNITS = {
    "remainder", "r", "and", "or", "plus", "minus", "times", "over", "less", "more", "than", "not", "squared",
    "cubed", "factorial", "mod", "modulo", "base", "choose", "if", "when", "for", "because", "since", "so",
    "as", "half", "to", "from", "between", "by", "with", "most", "least", *_SCALES,
    *(f"{part}{end}" for part in _PARTS for end in ("", "s")), "halves",
}  # fmt: skip
_UNIT_NAMES = {
    "cm": "centimeter", "mm": "millimeter", "m": "meter", "km": "kilometer", "ft": "foot", "feet": "foot",
    "in": "inch", "yd": "yard", "mi": "mile", "g": "gram", "kg": "kilogram", "mg": "milligram", "lb": "pound",
    "oz": "ounce", "l": "liter", "ml": "milliliter", "s": "second", "sec": "second", "min": "minute",
    "h": "hour", "hr": "hour", "mph": "mile per hour", "deg": "degree", "am": "am", "pm": "pm",
}  # fmt: skip
EXPLANATION = re.compile(r",?\s+(?:because|since|and not|not)\b")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit, a formula, or words.

    Attributes:
        text: as written.
        number: None for a formula or words.
        unit: empty if none.
    """

    text: str
    number: Fraction | None
    unit: str


def read_quantity(text: str) -> Quantity:
    number = _number(text)
    if number is not None:
        return Quantity(text, number, "")
    if lead := _LEAD.match(text):
        return read_quantity(text[lead.end() :])
    match = _QUANTITY.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
    if match is None:
        return Quantity(text, None, "")
    amount = match["number"].strip()
    number = _number(amount)
    words = match["unit"].split()
    is_apart = match["unit"][0] == " "
    while number is not None and words and words[0].casefold() in _SCALES and is_apart:
        number *= _SCALES[words.pop(0).casefold()]
    is_product = not is_apart and re.match(r"[A-Za-z](?![A-Za-z])", match["unit"])  # 2x, not 2 m
    is_unit = all(map(_is_unit, words)) and not is_product
    if not is_unit or (number is None and not is_formula(amount)):
        return Quantity(text, None, "")
    return Quantity(amount, number, " ".join(map(_unit, words)))


def _is_unit(word: str) -> bool:
    plain = re.sub(r"\^?[0-9]$", "", word.casefold())
    if plain in _NO_UNITS or re.search(r"[0-9^]|(?<![A-Za-z])'", plain):
        return False
    return len(plain) > 2 or plain in _UNIT_NAMES or plain in ("a", "an", "at", "of", "on") or "/" in plain


def _unit(word: str) -> str:
    name, _, power = word.casefold().partition("^")
    name = _UNIT_NAMES.get(name, name)
    name = name.removesuffix("es") if name.endswith(("ches", "shes", "xes")) else name.removesuffix("s")
    return {"2": "square ", "3": "cubic "}.get(power, "") + name


def _number(text: str) -> Fraction | None:
    """The exact value of a number, None for anything else."""
    try:
        if match := _NUMBER.fullmatch(text):
            exponent = int(match[3] or match[4] or 0)
            return Fraction(_plain(match["sign"] + match["digits"])) * Fraction(10) ** exponent
        if match := _RATIO.fullmatch(text):
            over = Fraction(_plain(match["over"] or match["top"]))
            under = Fraction(_plain(match["under"] or match["bottom"]))
            value = int(match["whole"] or 0) + over / under
            return -value if match["sign"] == "-" else value
        if match := _REPEATING.fullmatch(text):
            once = match["once"]
            again = match["again"]
            # 0.1(23) = 0.1 + 23/990
            value = Fraction(f"{match['whole'] or 0}.{once}0")
            value += Fraction(int(again), (10 ** len(again) - 1) * 10 ** len(once))
            return -value if match["sign"] == "-" else value
    except (ValueError, ZeroDivisionError):  # thousands of digits, or 3/0: compared as text
        pass
    return None


def _plain(digits: str) -> str:
    return digits.replace(",", "").replace(" ", "") + ("0" if digits.endswith(".") else "")
