"""Is a response right? Judged by two rules side by side, `paper` and `strict`, which are always both reported.

The functions `..._results` are how lm-eval judges, one per kind of answer; the YAMLs in tasks/ name them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from utils.evaluation.paper_rule import Kind, kind_of, paper_answer, paper_same
from utils.evaluation.strict_rule import given_answer, strict_answer, strict_same

ANSWER_RULES = 2  # part of every result's inputs: raise it when a rule changes


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer that a rule found in a response (empty: none) and whether it is the gold answer."""

    answer: str
    correct: bool


@dataclass(frozen=True, slots=True)
class Verdicts:
    paper: Verdict
    strict: Verdict


def judge(response: str, gold: str, kind: Kind | None) -> Verdicts:
    """Args: kind: how the paper reads the benchmark's answers. None: as this gold answer suggests, which is then read
    by the same rule as the response, so that `1,363.0` can be matched."""
    if kind is None:
        kind = kind_of(gold)
        paper_gold = paper_answer(_stating(gold), kind)
    else:
        paper_gold = gold
    answer, strict = paper_answer(response, kind), strict_answer(response)
    return Verdicts(
        Verdict(answer, paper_same(answer, paper_gold, kind)), Verdict(strict, strict_same(strict, given_answer(gold)))
    )


def _stating(gold: str) -> str:
    return f"The answer is {gold}"


def can_be_matched(gold: str, kind: Kind | None) -> Verdicts:
    """The verdicts on a response that states the gold answer itself: one that is not right can never be."""
    return judge(_stating(gold), gold, kind)


def number_results(doc: Mapping[str, Any], responses: Sequence[str]) -> dict[str, float]:
    return _task_results(doc, responses, Kind.NUMBER)


def letter_results(doc: Mapping[str, Any], responses: Sequence[str]) -> dict[str, float]:
    return _task_results(doc, responses, Kind.LETTER)


def latex_results(doc: Mapping[str, Any], responses: Sequence[str]) -> dict[str, float]:
    return _task_results(doc, responses, Kind.LATEX)


def question_results(doc: Mapping[str, Any], responses: Sequence[str]) -> dict[str, float]:
    return _task_results(doc, responses, None)


def _task_results(doc: Mapping[str, Any], responses: Sequence[str], kind: Kind | None) -> dict[str, float]:
    verdicts = judge(responses[0], doc["answer"], kind)
    return {"paper": float(verdicts.paper.correct), "strict": float(verdicts.strict.correct)}
