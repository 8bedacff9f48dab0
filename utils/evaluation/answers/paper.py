"""The answer rules that the paper scored with: those of MAmmoTH (arXiv:2309.05653).

CoLM (arXiv:2407.19580), by the paper's own lab, ships them in `math_eval`. Written from their behaviour.

Sets of numbers and letters: a text that holds a trigger ("####", "The answer is") twice ends with its first
paragraph. The answer stands behind the last trigger, and there behind the last "=". Behind a trigger the
first number counts, without one the last. NumGLUE has letters A to E besides. A number loses what a float
loses (`18.0` is `18`, `007` is `7`). It is right if it is the same string as the gold answer, so no response
can match the golds "1363.0" and "[3]".

MATH: the answer is the text behind the last "The answer is ", else behind the last "the answer is ", else in
the last box, else the last number. Its LaTeX is stripped. It is right if it is the same string as the gold
answer. If both are numbers, it is also right if it rounds to a whole gold answer or is within 4 % of another.

Deviations:
- Model text is never run. `python_numbers` gives the value of the arithmetic in it.
- The number of a MATH gold is read from its text. MAmmoTH's file stores it beside the text.
- A text with two units (`\\text{ `) is cut at the first. MAmmoTH fails there, and CoLM does the same as here.
- Held-out rows and files of other names have no rule there.
  Each gold answer says which rule fits it (`kind_of_answer`). It is read by that rule as a response is,
  out of the whole reference response where there is one.
"""

import contextlib
import math
import re
from enum import StrEnum

from .python_numbers import evaluate

_TRIGGERS = ("####", "The answer is")
_TRIGGER = re.compile("|".join(_TRIGGERS))
_NUMBER = re.compile(r"-?\d+/?\.?\d*")
_LETTER = re.compile(r"\b([A-E])\b")
_PLAIN_NUMBER = re.compile(r"[-\N{MINUS SIGN}]?[0-9]+/?\.?[0-9]*|[-\N{MINUS SIGN}]?\.[0-9]+")
_LAST_NUMBER = re.compile(r"-?\d*\.?\d+")
_FRACTION = re.compile(r"\\frac\{([^{}]+)\}\{([^{}]+)\}")
_WHOLE_FRACTION = re.compile(r"(0|-?[1-9][0-9]*)/(0|-?[1-9][0-9]*)")
_TOLERANCE = 0.04  # relative, of a MATH answer whose gold is not a whole number


class AnswerKind(StrEnum):
    """How the answers of a benchmark are read."""

    NUMBER = "number"  # GSM8K, SVAMP, DeepMind Mathematics, SimulEq
    LETTER = "letter"  # NumGLUE: a letter A to E if there is one, else a number
    LATEX = "latex"  # MATH


def kind_of_answer(gold: str) -> AnswerKind:
    """The kind that fits one gold answer, where a benchmark has no kind of its own."""
    if re.fullmatch(r"\(?[A-E]\)?", gold.strip()):
        return AnswerKind.LETTER
    return AnswerKind.NUMBER if _PLAIN_NUMBER.fullmatch(gold.strip().replace(",", "")) else AnswerKind.LATEX


def paper_answer(text: str, kind: AnswerKind) -> str:
    """The answer that the rule finds in a text, empty if it finds none."""
    if kind is AnswerKind.LATEX:
        return _latex_answer(text)
    if any(text.count(trigger) > 1 for trigger in _TRIGGERS):
        text = text.split("\n\n")[0]
    parts = _TRIGGER.split(text)
    which = 0 if len(parts) > 1 else -1  # the first answer behind a trigger, the last of a text without one
    statement = parts[-1].split("=")[-1]
    if kind is AnswerKind.LETTER and (letters := _LETTER.findall(statement.upper())):
        return letters[which]
    numbers = _NUMBER.findall(statement.replace(",", ""))
    return clean_number(numbers[which]).removesuffix(".").removesuffix("/") if numbers else ""


def paper_gold(gold: str, kind: AnswerKind) -> str:
    """A gold answer as its set's file gives it, in the form in which answers are compared."""
    if kind is not AnswerKind.LATEX:
        return gold
    return _boxed(gold) if "boxed" in gold else _stripped(gold)


def paper_same(answer: str, gold: str, kind: AnswerKind) -> bool:
    """Whether an answer is the gold one.

    Args:
        answer: as `paper_answer` gives it.
        gold: as `paper_gold` or `paper_answer` gives it.
    """
    if not answer:
        return False
    if answer == gold or kind is not AnswerKind.LATEX:
        return answer == gold
    number = _number(answer)
    gold_number = _number(gold)
    if number is None or gold_number is None or not math.isfinite(number):
        return False
    if isinstance(gold_number, int):
        return round(number) == gold_number
    margin = abs(gold_number) * _TOLERANCE
    return gold_number - margin <= number <= gold_number + margin


def clean_number(number: str) -> str:
    """A number as its float is written, without the zeros at its end. Any other text stays as it is."""
    try:
        # 1e20, written 1e+20, loses the zero of its exponent, as in MAmmoTH.
        written = str(float(number)).rstrip("0")
    except ValueError:
        return number
    return str(int(written[:-1])) if written.endswith(".") else str(float(written))


def _latex_answer(text: str) -> str:
    answer = _stripped(_latex_statement(text).removesuffix(".").removesuffix("/"))
    return _boxed(answer) if "boxed" in answer else answer


def _latex_statement(text: str) -> str:
    for trigger in ("The answer is ", "the answer is "):
        if trigger in text:
            return text.split(trigger)[-1].strip()
    if "boxed" in text:
        return _boxed(text)
    numbers = _LAST_NUMBER.findall(text)
    return numbers[-1] if numbers else ""


def _boxed(text: str) -> str:
    r"""The content of the last \boxed{...} of a text, stripped. An open box holds all that follows."""
    rest = text.split("boxed")[-1]
    if not rest.startswith("{"):
        return _stripped(rest.split("$")[0].strip())
    depth = 0
    for position, character in enumerate(rest):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return _stripped(rest[1:position])
    return _stripped(rest[1:])


_REMOVED = ("\\left", "\\right", "^{\\circ}", "^\\circ", "\\$")


def _stripped(text: str) -> str:
    """LaTeX without line ends, sizes, degrees, units, and `x =` on the left."""
    # In MAmmoTH's order, which decides what a text becomes.
    text = text.replace("\n", "").replace("\\!", "").replace("\\\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac")
    for notation in _REMOVED:
        text = text.replace(notation, "")
    text = text.split("\\text{ ")[0].replace("\\%", "")
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    if text.startswith("."):
        text = "0" + text
    left, equals, right = text.partition("=")
    if equals and "=" not in right and len(left) <= 2:
        text = right
    text = re.sub(r"\\sqrt(?!\\sqrt)([^{])", r"\\sqrt{\1}", text).replace(" ", "")
    text = _with_braced_fractions(text)
    fraction = _WHOLE_FRACTION.fullmatch(text)
    return rf"\frac{{{fraction[1]}}}{{{fraction[2]}}}" if fraction else text


def _with_braced_fractions(text: str) -> str:
    r"""The text with \frac12 and \frac1{2} as \frac{1}{2}. With half a fraction it stays as it is."""
    before, *fractions = text.split("\\frac")
    braced = before
    for fraction in fractions:
        braced += "\\frac"
        if not fraction or fraction.startswith("{"):
            braced += fraction
        elif len(fraction) == 1:
            return text
        else:
            below = fraction[1] if fraction[1] == "{" else f"{{{fraction[1]}}}"
            braced += f"{{{fraction[0]}}}{below}{fraction[2:]}"
    return braced


def _number(text: str) -> int | float | None:
    """The number that Python makes of an answer, a whole one as int. None if it makes none."""
    if "frac" in text:
        text = _FRACTION.sub(r"\1/\2", text)
        with contextlib.suppress(ValueError):  # the text may be a number without it
            text = str(evaluate(text))
    else:
        text = text.replace(",", "")
    number = _as_number(text)
    if number is not None:
        return number
    try:
        value = evaluate(text)
    except ValueError:
        return None
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    return _as_number(value)


def _as_number(value: object) -> int | float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (OverflowError, TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else number
