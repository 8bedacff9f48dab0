"""The answer rules that the paper scored with (MAmmoTH, arXiv:2309.05653), written from their description.

The answer is what follows the last "The answer is" or "####"; a text without either is read whole. Of numbers the first
one after such a trigger counts, the last one of a text without it, and a number is right if it is the same string as
the gold answer. Therefore some gold answers can never be matched: "1363.0", since every number found loses its zeros,
and "[3]". MATH is the exception: its answers are compared as LaTeX and then, loosely, as numbers.

Deviations: model text is never evaluated as code, so that of a formula only numbers and fractions have a value; a
MATH answer ends with its line.
"""

import math
import re
from enum import StrEnum

_TRIGGER = re.compile(r"####|The answer is")
_NUMBER = re.compile(r"-?[0-9]+/?\.?[0-9]*")
_LETTER = re.compile(r"\b([A-E])\b")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_TOLERANCE = 0.04  # relative, of a MATH answer whose gold is not a whole number


class Kind(StrEnum):
    """How the answers of a benchmark are read."""

    NUMBER = "number"  # GSM8K, SVAMP, DeepMind Mathematics, SimulEq
    LETTER = "letter"  # NumGLUE: a letter A to E if there is one, else a number
    LATEX = "latex"  # MATH


def kind_of(gold: str) -> Kind:
    """The kind that fits one gold answer, where a benchmark has no kind of its own."""
    if re.fullmatch(r"\(?[A-E]\)?", gold.strip()):
        return Kind.LETTER
    return Kind.NUMBER if _NUMBER.fullmatch(gold.strip().replace(",", "")) else Kind.LATEX


def paper_answer(text: str, kind: Kind) -> str:
    """The answer that the rule finds in a text; empty if it finds none."""
    *before, statement = _TRIGGER.split(text)
    triggered = bool(before)
    if kind is Kind.LATEX:
        return _latex_answer(statement, triggered)
    if kind is Kind.LETTER and (letters := _LETTER.findall(statement.upper())):
        return letters[0] if triggered else letters[-1]
    numbers = _NUMBER.findall(statement.split("=")[-1].replace(",", ""))
    if not numbers:
        return ""
    return _clean_number(numbers[0] if triggered else numbers[-1])


def paper_same(answer: str, gold: str, kind: Kind) -> bool:
    """Whether an answer that `paper_answer` found is the gold answer."""
    if not answer:
        return False
    if kind is not Kind.LATEX:
        return answer == gold
    wanted = _normal_latex(gold)
    if answer == wanted:
        return True
    value, gold_value = _value(answer), _value(wanted)
    if value is None or gold_value is None:
        return False
    if gold_value.is_integer():
        return round(value) == gold_value
    return abs(value - gold_value) <= _TOLERANCE * abs(gold_value)


def _clean_number(number: str) -> str:
    """Without a trailing point or slash, and without the zeros that end a decimal fraction."""
    number = number.rstrip("./")
    return number.rstrip("0").rstrip(".") if "." in number else number


def _latex_answer(statement: str, triggered: bool) -> str:
    lines = statement.strip(" \t\r\n:").splitlines()
    if triggered:
        return _normal_latex(lines[0]) if lines else ""
    boxed = last_boxed(statement)
    if boxed is not None:
        return _normal_latex(boxed)
    numbers = _NUMBER.findall(statement.replace(",", ""))
    return _clean_number(numbers[-1]) if numbers else ""


def last_boxed(text: str) -> str | None:
    r"""What stands in the last \boxed{...} of a text; None without a whole one."""
    *_, match = [None, *_BOXED.finditer(text)]
    if match is None:
        return None
    depth = 1
    for position in range(match.end(), len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[match.end() : position]
    return None


_REWRITES = [
    (re.compile(r"\\left|\\right|\\!|\\,|\\;|\\:"), ""),
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"\^\{?\\circ\}?"), ""),
    (re.compile(r"\\?\$|\\?%"), ""),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\s*\\(?:text|mbox)\{\s[^{}]*\}$"), ""),  # a unit on the right
    (re.compile(r"\\(?:text|mbox|mathrm|textbf)\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\sqrt\s*([0-9A-Za-z])"), r"\\sqrt{\1}"),
    (re.compile(r"\\frac\s*([0-9])\s*([0-9])"), r"\\frac{\1}{\2}"),
    (re.compile(r"\s+"), ""),
    (re.compile(r"^(-?[0-9]+)/([0-9]+)$"), r"\\frac{\1}{\2}"),
    (re.compile(r"(?<![0-9])\.(?=[0-9])"), "0."),
    (re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))"), ""),
    (re.compile(r"(\.[0-9]*?)0+(?![0-9])"), r"\1"),
    (re.compile(r"\.(?![0-9])"), ""),
]


def _normal_latex(answer: str) -> str:
    """An answer's LaTeX without what says nothing about its value: spaces, sizes, units, and `x =` on the left."""
    boxed = last_boxed(answer)
    if boxed is not None:
        answer = boxed
    for pattern, replacement in _REWRITES:
        answer = pattern.sub(replacement, answer)
    left, equals, right = answer.partition("=")
    return right if equals and "=" not in right and len(left) <= 2 else answer


def _value(answer: str) -> float | None:
    """The value of a number or a fraction of numbers; None for anything else."""
    fraction = re.fullmatch(r"(-?)\\frac\{(-?[0-9.]+)\}\{(-?[0-9.]+)\}", answer)
    try:
        if fraction is None:
            value = float(answer) if re.fullmatch(r"-?[0-9.]+", answer) else math.nan
        else:
            sign, numerator, denominator = fraction.groups()
            value = float(sign + "1") * float(numerator) / float(denominator)
    except (ValueError, ZeroDivisionError):
        return None
    return value if math.isfinite(value) else None
