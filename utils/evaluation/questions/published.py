"""A question and its answer in the fields in which the authors of each set publish them.

| set | question | answer |
|---|---|---|
| this project's own | `instruction` | `answer` |
| GSM8K | `question` | `answer`: a solution, the answer behind its last `####` |
| MATH | `problem` | `answer` where there is one, else the last box of `solution` |
| SVAMP | `Body` and `Question` | `Answer` |
| NumGLUE, DeepMind Mathematics, SimulEq as MAmmoTH ships them | `question` | `answer` |
| SimulEq as first published | `sQuestion` | `lSolutions`: all of them |
"""

from collections.abc import Mapping
from typing import Any

from ..answers.paper import clean_number
from ..answers.statement import last_boxed

_QUESTION_FIELDS = ("instruction", "question", "problem", "sQuestion")
_ANSWER_FIELDS = ("answer", "Answer")
_CLEANED = ("gsm8k", "svamp")  # sets whose golds MAmmoTH writes as it writes the numbers of responses


def question_in(row: Mapping[str, Any]) -> str:
    """The question of a row, empty if there is none."""
    if _is_text(row.get("Body")) and _is_text(row.get("Question")):
        return f"{row['Body'].strip()} {row['Question'].strip()}"
    return next((row[field] for field in _QUESTION_FIELDS if _is_text(row.get(field))), "")


def answer_in(row: Mapping[str, Any], name: str) -> str:
    """The answer of a row, empty if there is none.

    Args:
        row: a row as published.
        name: of the set.
    """
    answers = (_answer_text(row.get(field)) for field in _ANSWER_FIELDS)
    answer = next(filter(None, answers), "")
    if not answer and isinstance(row.get("lSolutions"), list):
        answer = ", ".join(map(_answer_text, row["lSolutions"]))
    if not answer and _is_text(row.get("solution")):
        answer = last_boxed(row["solution"]) or ""
    if "####" in answer:
        answer = answer.rpartition("####")[2].strip().replace(",", "")
    return clean_number(answer) if name in _CLEANED else answer


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _answer_text(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else None
    is_answer = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return str(value).strip() if is_answer else ""
