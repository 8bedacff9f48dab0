"""What an evaluation leaves on disk and on the screen."""

import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.artifacts.files import atomic_write
from utils.artifacts.manifests import check_inputs, read_manifest, write_manifest
from utils.evaluation.answers.judging import Verdicts, can_be_matched, judge
from utils.evaluation.questions import HELDOUT, Question

KIND = "evaluation result"
WAYS_OUT = "Ways out: --overwrite evaluates again; another run_name keeps both."
_WIDTH = 100
_LABEL_WIDTH = 30
_COLUMNS = {  # heading -> the entries of a result that it shows
    "loss": ("loss",),
    "paper": ("accuracy",),
    "strict": ("accuracy_strict",),
    "questions": ("questions",),
    "cut off": ("cut_off",),
    "no answer": ("without_answer", "without_answer_strict"),
    "hopeless": ("unmatchable", "unmatchable_strict"),
}


@dataclass(frozen=True, slots=True)
class Response:
    """Attributes:
    cut_off: neither an end-of-sequence nor a stop string within the token limit.
    too_long: the prompt left too little room for a response, so its beginning was cut off.
    output: where the text is a program that was run, the sentence with what it printed: that is judged, not the text.
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
    """A question, the model's response to it and what both rules say of it."""

    question: Question
    response: Response
    verdicts: Verdicts
    can_be_right: tuple[bool, bool]  # under `paper`, under `strict`


def judge_all(questions: Sequence[Question], responses: Sequence[Response]) -> list[Prediction]:
    predictions = []
    for question, response in zip(questions, responses, strict=True):
        ideal = can_be_matched(question.gold)
        verdicts = judge(response.judged, question.gold)
        predictions.append(Prediction(question, response, verdicts, (ideal.paper.correct, ideal.strict.correct)))
    return predictions


def tally(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """What the predictions add up to. Entries ending in `_strict` are by the strict rule, those of the same name without
    it by the paper's: correct, accuracy (None without questions), without_answer (no value found in the response) and
    unmatchable (gold answers that the rule would not find right in a response that states them). undecided_strict: verdicts
    that ran out of processor time, counted as not correct."""
    questions = len(predictions)
    counts: dict[str, Any] = {"questions": questions}
    for place, (rule, ending) in enumerate((("paper", ""), ("strict", "_strict"))):
        verdicts = [getattr(prediction.verdicts, rule) for prediction in predictions]
        correct = sum(verdict.correct for verdict in verdicts)
        counts |= {
            f"correct{ending}": correct,
            f"accuracy{ending}": correct / questions if questions else None,
            f"without_answer{ending}": sum(not verdict.answer for verdict in verdicts),
            f"unmatchable{ending}": sum(not prediction.can_be_right[place] for prediction in predictions),
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
    return {
        source: tally([prediction for prediction in predictions if prediction.question.example.source == source])
        for source in sources
    }


def prediction_line(prediction: Prediction) -> dict[str, Any]:
    """A line of the predictions' file. `correct` is by the paper's rule."""
    paper, strict = prediction.verdicts.paper, prediction.verdicts.strict
    return {
        **response_line(prediction.question, prediction.response),
        "answer": paper.answer,
        "correct": paper.correct,
        "answer_strict": strict.answer,
        "correct_strict": strict.correct,
        "undecided_strict": strict.undecided,
    }


def response_line(question: Question, response: Response) -> dict[str, Any]:
    """What every line says, however the response is measured."""
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
    """Every value counts the same; those that are None are left out."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def result_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def predictions_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.predictions.jsonl"


def write_result(
    folder: Path,
    name: str,
    inputs: dict[str, Any],
    lines: Iterable[dict[str, Any]],
    measured: dict[str, Any],
    made: dict[str, Any],
) -> None:
    """The predictions (one line each) first: where the result is, they are."""
    with atomic_write(predictions_path(folder, name)) as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    write_manifest(result_path(folder, name), KIND, "complete", inputs, **measured, provenance=made)


def read_result(folder: Path, name: str) -> dict[str, Any]:
    """Raises: FileNotFoundError; ValueError for a damaged file."""
    return read_manifest(result_path(folder, name), KIND)


def result_is_there(folder: Path, name: str, inputs: dict[str, Any]) -> bool:
    """Whether this file's result was made from exactly these inputs. Raises: ValueError if from others."""
    path = result_path(folder, name)
    if not path.is_file():
        return False
    check_inputs(path, read_result(folder, name)["inputs"], inputs, WAYS_OUT)
    return predictions_path(folder, name).is_file()


def summary(title: str, results: dict[str, dict[str, Any]]) -> str:
    """The table that is printed after a run, 100 columns wide; results: file name -> result as on disk."""
    lines = [title, "", f"{'':<{_LABEL_WIDTH}}" + "".join(f"{heading:>10}" for heading in _COLUMNS)]
    if HELDOUT in results:
        heldout = results[HELDOUT]
        lines += [_line(source or "(no source)", row) for source, row in heldout["by_source"].items()]
        averages = {name: heldout.get(f"{name}_average") for name in ("loss", "accuracy", "accuracy_strict")}
        lines += [_line("average over sources", averages), _line("all held-out rows", heldout)]
    benchmarks = {name: result for name, result in results.items() if name != HELDOUT}
    if benchmarks and HELDOUT in results:
        lines.append("-" * _WIDTH)
    lines += [_line(name, result) for name, result in benchmarks.items() if "metrics" not in result]
    lines += [_metric_line(name, result["metrics"]) for name, result in results.items() if "metrics" in result]
    remarks = [
        "loss: nats per response token. paper, strict: share of questions with the right answer, generated greedily, by "
        "the paper's rules and exactly. cut off: by the token limit. no answer, hopeless (paper/strict): "
        "responses without a value, and gold answers that the rule can never find right."
    ]
    for name, result in results.items():
        remarks += [f"{name}: {note}" for note in result["notes"]]
        if result.get("undecided_strict"):
            remarks.append(
                f"{name}: whether {result['undecided_strict']} formulas are right was not found out within the limits of "
                "processor time and memory: counted as wrong under strict"
            )
        if result.get("prompt_too_long"):
            remarks.append(
                f"{name}: {result['prompt_too_long']} prompts leave no room for a response: their beginning was cut off"
            )
    lines += ["", *(textwrap.fill(remark, _WIDTH, subsequent_indent="  ") for remark in remarks)]
    return "\n".join(lines)


def _line(label: str, row: dict[str, Any]) -> str:
    cells = ("/".join(_cell(row.get(entry)) for entry in entries).strip("/") for entries in _COLUMNS.values())
    return _label(label) + "".join(f"{cell:>10}" for cell in cells)


def _metric_line(name: str, metrics: dict[str, Any]) -> str:
    values = ", ".join(f"{metric} {_cell(value)}" for metric, value in metrics.items() if isinstance(value, float))
    return textwrap.fill(_label(name) + values, _WIDTH, subsequent_indent=" " * _LABEL_WIDTH)


def _label(label: str) -> str:
    return f"{label if len(label) < _LABEL_WIDTH else f'...{label[-(_LABEL_WIDTH - 4) :]}':<{_LABEL_WIDTH}}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
