"""One way to write what LaTeX and plain text can write in several."""

import re

from .statement import plain_characters

_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|textnormal|mbox|mathrm|mathbf|mathit|operatorname|bm)\s*\{([^{}]*)\}"
)
_MONEY = {"\\$": "dollar", "\N{EURO SIGN}": "euro", "\N{POUND SIGN}": "pound"}
_SCALE = "hundred|thousand|million|billion|trillion"
_HALF_OF_DAY = re.compile(r"(?<=[0-9])\s*([AaPp])\.?\s?[Mm]\b\.?")
# LaTeX that says nothing about the value goes, and what can be written in several ways becomes one of them.
# The order matters: later patterns match what earlier ones write.
_REWRITES = [
    (re.compile(r"\\(?:displaystyle|limits|bigl?|bigr|Bigl?|Bigr|left|right)(?![A-Za-z])\.?"), ""),
    (re.compile(r"\\(?:bf|rm|it|sf|tt|small|large|Large|LARGE|huge|Huge)(?![A-Za-z])"), ""),
    (re.compile(r"\\\\\s*\[-?[0-9.]+\s*[a-z]{2}\]"), r"\\\\"),  # the space below a matrix's row
    (re.compile(r"(?<!\\)\\[!,]"), ""),
    (re.compile(r"(?<!\\)\\[;: ]|\\(?:quad|qquad|space)(?![A-Za-z])|~"), " "),
    (re.compile(r"\\[dtc]frac"), r"\\frac"),
    (re.compile(r"\\frac\s*([0-9A-Za-z])\s*([0-9A-Za-z])"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac\s*([0-9A-Za-z])\s*\{"), r"\\frac{\1}{"),
    (re.compile(r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)"), r"\\sqrt{\1}"),
    (re.compile(r"\\sqrt\s*([0-9A-Za-z])"), r"\\sqrt{\1}"),
    (re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])"), r"\\pi"),
    (re.compile(r"\\(?:leq|leqslant)(?![A-Za-z])|<="), r"\\le "),
    (re.compile(r"\\(?:geq|geqslant)(?![A-Za-z])|>="), r"\\ge "),
    (re.compile(r"\\neq(?![A-Za-z])|!="), r"\\ne "),
    (re.compile(r"\\lt(?![A-Za-z])"), "<"),
    (re.compile(r"\\gt(?![A-Za-z])"), ">"),
    (re.compile(r"\\(?:dots|cdots|ldots)(?![A-Za-z])|\.\.\."), r"\\ldots "),
    (re.compile(r"\\[lr]?vert(?![A-Za-z])|\\mid(?![A-Za-z])"), "|"),
    (re.compile(r"\\lbrace(?![A-Za-z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![A-Za-z])"), r"\\}"),
    (re.compile(r"\\varnothing(?![A-Za-z])"), r"\\emptyset"),
    (re.compile(r"(?<![\\A-Za-z])(?:infinity|inf)(?![A-Za-z])"), r"\\infty"),
    (re.compile(r"\+\s*\\infty"), r"\\infty"),
    (re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degree(?![A-Za-z])"), " degree "),
    (re.compile(r"\\?%"), " percent "),
    (re.compile(r"\\colon(?![A-Za-z])"), ":"),
    (re.compile("(?<=[0-9])\N{EN DASH}(?=[0-9])"), "-"),
    (re.compile(r"(?<=[0-9])\s*(?:R|\sr)\s*(?=[0-9])"), " remainder "),
    (re.compile(r"\s*([_^])\s*\{\s*([0-9A-Za-z])\s*\}(?![0-9])"), r"\1\2"),  # 2^{3}5 is not 2^35
    (re.compile(r"\s+(?=\^)"), ""),
    (re.compile(r"\\[()\[\]]|\$"), ""),
]


def without_notation(text: str) -> str:
    """The text with every notation that has several forms in one of them."""
    text = plain_characters(text).replace("{,}", ",")
    while (plain := _TEXT.sub(r" \1 ", text)) != text:  # once for each level of nesting
        text = plain
    for sign, unit in _MONEY.items():
        text = _behind_its_number(text, re.escape(sign), unit)
    if text.count("$") == 1:  # a price: a formula stands between a pair
        text = _behind_its_number(text, r"\$", "dollar")
    text = _HALF_OF_DAY.sub(lambda match: f" {match[1].lower()}m", text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return " ".join(text.split()).rstrip(".,;:").strip()


def _behind_its_number(text: str, sign: str, unit: str) -> str:
    return re.sub(rf"{sign}\s*(-?[0-9.,]*[0-9](?:\s+(?:{_SCALE}))*)", rf"\1 {unit} ", text)


def as_text(text: str) -> str:
    """The form in which texts are compared: words without case, and no spaces but those between digits."""
    text = re.sub(r"(?<![0-9])\s+|\s+(?![0-9])", "", text)  # 1 1/2 is not 11/2
    return text if re.search(r"[0-9\\^_=<>+*/|]", text) else text.casefold()  # in a formula x is not X


def same_text(one: str, other: str) -> bool:
    """Whether two answers are written in the same way, apart from notation without a meaning."""
    return _as_written(one) == _as_written(other)


def _as_written(text: str) -> str:
    """As `as_text`, where 12, 345 is a list and not the number 12,345."""
    return as_text(re.sub(r"(?<=[0-9]),\s+(?=[0-9])", ";", without_notation(text)))
