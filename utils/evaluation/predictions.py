"""Questions, responses to them and the verdicts of both rules, counted and as lines of a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..artifacts.evaluations import RULES
from .answers.judging import Verdicts, best_verdicts, judge
from .questions.files import Question


@dataclass(frozen=True, slots=True)
class Response:
    """A response of the model.

    Attributes:
        text: as generated.
        cut_off: neither an end-of-sequence nor a stop string within the token limit.
        too_long: the prompt left too little room for a response, so its beginning was cut off.
        output: a sentence with the output of the program in the text, which is judged in place of the text.
            None where the text is no program.
    """

    text: str
    cut_off: bool = False
    too_long: bool = False
    output: str | None = None

    @property
    def judged(self) -> str:
        return self.text if self.output is None else self.output


@dataclass(frozen=True, slots=True)
class Prediction:
    """A question and the model's response to it.

    Attributes:
        verdicts: both rules on the response.
        best_verdicts: both rules on a response that states the gold answer itself.
    """

    question: Question
    response: Response
    verdicts: Verdicts
    best_verdicts: Verdicts


def judge_all(questions: Sequence[Question], responses: Sequence[Response]) -> list[Prediction]:
    predictions = []
    for question, response in zip(questions, responses, strict=True):
        verdicts = judge(response.judged, question.gold)
        predictions.append(Prediction(question, response, verdicts, best_verdicts(question.gold)))
    return predictions


def tally(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Counts over the predictions.

    Entries that end in `_strict` are by the strict rule, those of the same name without it by the paper's.

    Returns:
        `correct`, `accuracy` (None without questions), `without_answer` (no value found in the response),
        `unmatchable` (gold answers that the rule finds wrong in a response that states them).
        `undecided_strict` counts verdicts that ran out of processor time, which are not correct.
    """
    questions = len(predictions)
    counts: dict[str, Any] = {"questions": questions}
    for rule, ending in RULES.items():
        verdicts = [getattr(prediction.verdicts, rule) for prediction in predictions]
        best = [getattr(prediction.best_verdicts, rule) for prediction in predictions]
        correct = sum(verdict.correct for verdict in verdicts)
        counts |= {
            f"correct{ending}": correct,
            f"accuracy{ending}": correct / questions if questions else None,
            f"without_answer{ending}": sum(not verdict.answer for verdict in verdicts),
            f"unmatchable{ending}": sum(not verdict.correct for verdict in best),
        }
    counts["undecided_strict"] = sum(prediction.verdicts.strict.undecided for prediction in predictions)
    return counts | count_endings([prediction.response for prediction in predictions])


def count_endings(responses: Sequence[Response]) -> dict[str, Any]:
    cut_off = sum(response.cut_off for response in responses)
    return {
        "cut_off": cut_off,
        "cut_off_share": cut_off / len(responses) if responses else None,
        "prompt_too_long": sum(response.too_long for response in responses),
    }


def tally_by_source(predictions: Sequence[Prediction], sources: Sequence[str]) -> dict[str, dict[str, Any]]:
    of_source: dict[str, list[Prediction]] = {source: [] for source in sources}
    for prediction in predictions:
        of_source[prediction.question.example.source].append(prediction)
    return {source: tally(predictions) for source, predictions in of_source.items()}


def prediction_line(prediction: Prediction) -> dict[str, Any]:
    """A line of the predictions' file. `correct` is by the paper's rule."""
    paper = prediction.verdicts.paper
    strict = prediction.verdicts.strict
    return {
        **response_line(prediction.question, prediction.response),
        "answer": paper.answer,
        "correct": paper.correct,
        "answer_strict": strict.answer,
        "correct_strict": strict.correct,
        "undecided_strict": strict.undecided,
    }


def response_line(question: Question, response: Response) -> dict[str, Any]:
    """The part of a line that does not depend on how the response is measured."""
    example = question.example
    return {
        "index": question.row,
        "source": example.source,
        "question": f"{example.instruction}\n\n{example.input}" if example.input else example.instruction,
        "gold": question.gold.text,
        "pool_row": question.pool_row,
        "cut_off": response.cut_off,
        "prompt_too_long": response.too_long,
        "text": f"{response.text}\n\n{response.output}" if response.output else response.text,
    }


def plain_average(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are not None, None without any."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
