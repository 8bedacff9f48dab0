"""The strict answer rule: all of an answer has to be right.

It is compared exactly if possible, else as text.

A text states its answer behind the last "The answer is", "####" or "Answer:", or in a box behind that. What
follows a question that the model asks itself does not count. A text that states none is itself an answer if
it is a line without prose, and gives its last number otherwise. Nothing is rounded: 0.3333 is not 1/3.
"""

import re

from .choices import same_choice
from .comparison import same_value
from .notation import same_text
from .statement import plain_characters, stated_by, whole_statement
from .values import read_value

_NUMBER = re.compile(
    r"(?:(?<![0-9A-Za-z)\]}])[-+])?"  # a sign, not a subtraction
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
    r"(?:[eE][-+]?[0-9]{1,3}(?![0-9A-Za-z])|/[0-9]+)?"
)
_PROSE = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{2,}")
_WORD = re.compile(r"[A-Za-z]+\.?")
_ONE_WORD = re.compile(r"[^\W\d_]{1,20}\.?")
_QUANTITY = re.compile(rf"[^\w(]*{_NUMBER.pattern}(?:[\W_]*[^\W\d_]{{1,12}}){{0,2}}\W*")
# Letters that are no notation of mathematics, as Greek ones are.
_OTHER_SCRIPT = re.compile("[\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0400-\u1fff\u2c00-\U0001cfff]")
# Scripts whose words no space parts: Thai, Lao, Burmese, Khmer, kana and the characters of Chinese.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_COMMAND_WITH_WORDS = re.compile(r"\\(?:text|mbox|mathrm|textbf|begin|end|operatorname)\s*\{[^{}]*\}")


def strict_answer(text: str) -> str:
    """The answer that a text gives, empty if it gives none."""
    stated = _stated(text)
    if stated is not None:
        return stated
    numbers = _NUMBER.findall(plain_characters(text))
    return numbers[-1] if numbers else ""


def marked_answer(response: str) -> str:
    """The answer that a reference response marks ("The answer is", "####", a box), empty if it marks none."""
    return _as_gold(stated_by(response) or "")


def bare_answer(response: str) -> str:
    """The answer that a reference response is: a formula, a word, a number and its unit. Else empty."""
    line = response.strip()
    if not line or "\n" in line or ". " in line:
        return ""
    # In a sentence of any language a single number is seldom what was asked for.
    plain = _COMMAND_WITH_WORDS.sub("", plain_characters(line))
    is_formula = not _PROSE.search(plain) and not _OTHER_SCRIPT.search(plain)
    is_word = _ONE_WORD.fullmatch(line) and (len(line) <= 4 or not _UNSPACED.search(line))
    return _as_gold(strict_answer(response)) if is_formula or is_word or _QUANTITY.fullmatch(plain) else ""


def given_answer(answer: str) -> str:
    """The gold answer of a benchmark's `answer` field, read like what follows a marker."""
    return whole_statement(answer)


def _as_gold(answer: str) -> str:
    """The answer of a reference; empty for one in which a gold answer would read nothing, as a full stop."""
    return answer if given_answer(answer) else ""


def strict_same(answer: str, gold: str) -> bool | None:
    """Whether two answers are the same, None if algebra ran into one of its limits."""
    if not answer or not gold:
        return False
    if same_text(answer, gold) or same_choice(answer, gold):
        return True
    return same_value(read_value(answer), read_value(gold))


def _stated(text: str) -> str | None:
    stated = stated_by(text)
    if stated is not None:
        return stated
    line = text.strip()
    if not line or "\n" in line or ". " in line:
        return None
    is_answer = _WORD.fullmatch(line) or not _PROSE.search(_COMMAND_WITH_WORDS.sub("", line))
    return whole_statement(line) if is_answer else None
