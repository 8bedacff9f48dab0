"""Whether a response is right, by two rules side by side: `paper` and `strict`. Both are always reported.

lm-eval judges with the functions `..._results`, one per kind of answer. The YAMLs in tasks/ name them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...artifacts.evaluations import RULES
from .paper import AnswerKind, kind_of_answer, paper_answer, paper_gold, paper_same
from .strict import given_answer, strict_answer, strict_same

ANSWER_RULES = 5  # part of every result's inputs: raise it when a rule changes


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's verdict on a response.

    Attributes:
        answer: the answer that the rule found in it, empty if none.
        correct: whether that is the gold answer.
        undecided: the rule ran out of processor time, which counts as not correct.
    """

    answer: str
    correct: bool
    undecided: bool = False


@dataclass(frozen=True, slots=True)
class Verdicts:
    paper: Verdict
    strict: Verdict


@dataclass(frozen=True, slots=True)
class Gold:
    """The right answer of a question.

    Attributes:
        text: the answer alone.
        kind: how the paper reads the answers of this set, None where each gold answer says it.
        reference: the response that states it, None where there is only the answer.
    """

    text: str
    kind: AnswerKind | None = None
    reference: str | None = None

    @property
    def stating(self) -> str:
        """A response that is right, if any is."""
        return f"The answer is {self.text}" if self.reference is None else self.reference


def judge(response: str, gold: Gold) -> Verdicts:
    return Verdicts(_by_paper(response, gold), _by_strict(response, gold))


def best_verdicts(gold: Gold) -> Verdicts:
    """The verdicts on a response that states the gold answer itself: where it is wrong, nothing is right."""
    return judge(gold.stating, gold)


def has_paper_answer(response: str, gold: Gold) -> bool:
    """Whether the paper's rule finds anything in a response."""
    return bool(paper_answer(response, gold.kind or kind_of_answer(gold.text)))


def _by_paper(response: str, gold: Gold) -> Verdict:
    kind = gold.kind or kind_of_answer(gold.text)
    right = paper_answer(gold.stating, kind) if gold.kind is None else paper_gold(gold.text, kind)
    answer = paper_answer(response, kind)
    return Verdict(answer, paper_same(answer, right, kind))


def _by_strict(response: str, gold: Gold) -> Verdict:
    answer = strict_answer(response)
    same = strict_same(answer, given_answer(gold.text))
    return Verdict(answer, same is True, undecided=same is None)


def number_results(doc: Mapping[str, Any], responses: Sequence[str]) -> dict[str, float]:
    return _task_results(doc, responses, AnswerKind.NUMBER)


def letter_results(doc: Mapping[str, Any], responses: Sequence[str]) -> dict[str, float]:
    return _task_results(doc, responses, AnswerKind.LETTER)


def latex_results(doc: Mapping[str, Any], responses: Sequence[str]) -> dict[str, float]:
    return _task_results(doc, responses, AnswerKind.LATEX)


def question_results(doc: Mapping[str, Any], responses: Sequence[str]) -> dict[str, float]:
    return _task_results(doc, responses, None)


def _task_results(
    doc: Mapping[str, Any], responses: Sequence[str], kind: AnswerKind | None
) -> dict[str, float]:
    verdicts = judge(responses[0], Gold(doc["answer"], kind))
    return {rule: float(getattr(verdicts, rule).correct) for rule in RULES}
