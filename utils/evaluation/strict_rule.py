"""The strict answer rule: numbers by exact value, formulas by symbolic equality (math-verify), all else as text.

A text states its answer after the last "The answer is" or "####"; a text that states none gives its last number.
What stands in a formula is not torn out of it: `(5,12)` is not 5. Nothing is rounded: 0.3333 is not 1/3.
"""

import re
from fractions import Fraction

from math_verify import parse, verify

_MARKER = re.compile(r"the answer is|####", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?:(?<![0-9A-Za-z)\]}])[-+])?"  # a sign, not a subtraction
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
    r"(?:[eE][-+]?[0-9]{1,3}(?![0-9A-Za-z])|/[0-9]+)?"
)

# LaTeX that says nothing about the value, taken away in this order.
_REWRITES = [
    (re.compile(r"\\left|\\right|\\[,!;:]|\^\{?\\circ\}?|\$|\\(?=[%$])"), ""),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"(?<=[0-9])\s*[x×]\s*(?=10\s*\^)"), r"\\times "),
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"(?<![0-9}])\\frac\{(-?[0-9]+)\}\{([0-9]+)\}"), r"\1/\2"),
    (re.compile(r"\\(?:boxed|text|mbox|mathrm|textbf)\{([^{}]*)\}"), r"\1"),
]
# Words (read as products of letters, "tow" would be "two"), numbers in another base (whose base would be lost), times.
_NO_FORMULA = re.compile(r"(?<![\\a-z])[a-z]{3,}|[0-9]_\{?[0-9]|:[0-9]")
_END_OF_SENTENCE = re.compile(r"\.(?:\s|$)")
_SOLVED_SIDE = re.compile(r"\s*[A-Za-z]\s*|[^A-Za-z]+")  # x = 5 and 2 + 3 = 5, but not 5x - 7y = 0
_FORMULA_BEFORE = re.compile(r"(?:[A-Za-z]|[\^_{}(\[|*/+<>-]\s*)$")
_FORMULA_AFTER = re.compile(
    r"[A-Za-z](?![A-Za-z])"  # a variable: 2x
    r"|[A-Za-z]*\s*[\^_{}+*/=|<>]"
    r"|\s*-\s*(?:[0-9(]|[A-Za-z](?![A-Za-z]))"
    r"|\s*,?\s*-?[0-9]"  # a list of numbers
    r"|[(\[]|:[0-9]"
)


def strict_answer(text: str) -> str:
    """The answer that a text gives; empty if it gives none.

    After the last marker: the first number of the sentence, or the whole sentence where there is no number or the
    number is part of a formula. Of an equation such as `x = 5` or `2 + 3 = 5` the side that is the value. Without a
    marker: the last number of the text.
    """
    text = _without_notation(text)
    markers = list(_MARKER.finditer(text))
    if markers:
        return _answer_in_statement(text[markers[-1].end() :])
    numbers = _NUMBER.findall(text)
    return numbers[-1] if numbers else ""


def stated_answer(response: str) -> str:
    """The answer that a reference response states; empty if it states none.

    Without a marker only a line with a single number counts: the last number of a program or of a textbook's solution
    is seldom its answer.
    """
    text = _without_notation(response).strip()
    if _MARKER.search(text) or ("\n" not in text and len(_NUMBER.findall(text)) == 1):
        return strict_answer(response)
    return ""


def given_answer(answer: str) -> str:
    """The gold answer of a benchmark's `answer` field, read like what follows a marker."""
    return _answer_in_statement(_without_notation(answer))


def strict_same(answer: str, gold: str) -> bool:
    """Numbers by exact value (1,234.50 = 1234.5, 3/4 = 0.75; a percent sign counts for nothing), formulas by symbolic
    equality, and what is neither as text without case, spaces and $."""
    if not answer:
        return False
    text, gold_text = _bare(answer), _bare(gold)
    if text == gold_text:
        return True
    number, gold_number = _value(answer), _value(gold)
    if number is not None and gold_number is not None:
        return number == gold_number
    if _NO_FORMULA.search(text) or _NO_FORMULA.search(gold_text):
        return False
    return _symbolically_equal(_without_notation(answer), _without_notation(gold))


def _symbolically_equal(answer: str, gold: str) -> bool:
    # Digits by which math-verify would take pi for 3.1415927, or a third for 0.333333, are asked for in full.
    parsed = [parse(f"${text}$", fallback_mode="no_fallback") for text in (gold, answer)]
    return bool(verify(*parsed, float_rounding=15, numeric_precision=30))


def _without_notation(text: str) -> str:
    text = text.replace("\N{MINUS SIGN}", "-")
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text


def _answer_in_statement(text: str) -> str:
    lines = text.strip(" \t\r\n:*").splitlines()
    statement = _END_OF_SENTENCE.split(lines[0])[0].strip(" \t*") if lines else ""
    left, _, right = statement.partition("=")
    if right and "=" not in right and _SOLVED_SIDE.fullmatch(left):
        statement = (left if _NUMBER.fullmatch(left.strip()) else right).strip()
    number = _NUMBER.search(statement)
    if number is None or "\\" in statement:
        return statement
    if _FORMULA_BEFORE.search(statement[: number.start()]) or _FORMULA_AFTER.match(statement[number.end() :]):
        return statement
    return number.group()


def _value(answer: str) -> Fraction | None:
    text = _bare(answer).removesuffix("%")
    if not _NUMBER.fullmatch(text):
        return None
    numerator, _, denominator = text.replace(",", "").partition("/")
    try:
        return Fraction(numerator) / Fraction(denominator or 1)
    except (ValueError, ZeroDivisionError):  # thousands of digits, or 3/0: compared as text
        return None


def _bare(answer: str) -> str:
    text = re.sub(r"\s+", "", _without_notation(answer)).casefold().rstrip(".")
    for opening, closing in ("[]", "()"):
        inside = text[1:-1]
        if text[:1] == opening and text[-1:] == closing and not re.search(r"[][(),]", inside):
            return inside
    return text
