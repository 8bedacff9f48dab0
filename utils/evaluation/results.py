"""What an evaluation leaves on disk and on the screen."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.artifacts.files import atomic_write
from utils.artifacts.manifests import check_inputs, read_manifest, write_manifest
from utils.evaluation.answers import extract_answer, same_answer
from utils.evaluation.questions import HELDOUT, Question

KIND = "evaluation result"
WAYS_OUT = "Ways out: --overwrite evaluates again; another run_name keeps both."
_WIDTH = 100
_COLUMNS = {
    "loss": "loss",
    "examples": "examples",
    "accuracy": "accuracy",
    "questions": "questions",
    "cut_off": "cut off",
    "without_answer": "no answer",
}


@dataclass(frozen=True, slots=True)
class Response:
    """Attributes: cut_off: no end-of-sequence within the token limit; too_long: the prompt left no room, no answer."""

    text: str
    cut_off: bool = False
    too_long: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """A question, the model's response to it and whether the answer in it is right."""

    question: Question
    response: Response
    answer: str
    correct: bool


def judge(questions: Sequence[Question], responses: Sequence[Response]) -> list[Prediction]:
    predictions = []
    for question, response in zip(questions, responses, strict=True):
        answer = extract_answer(response.text)
        predictions.append(Prediction(question, response, answer, same_answer(answer, question.gold)))
    return predictions


def tally(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """questions, correct, accuracy (None without questions), and how many responses could not be judged fairly."""
    correct = sum(prediction.correct for prediction in predictions)
    cut_off = sum(prediction.response.cut_off for prediction in predictions)
    return {
        "questions": len(predictions),
        "correct": correct,
        "accuracy": correct / len(predictions) if predictions else None,
        "cut_off": cut_off,
        "cut_off_share": cut_off / len(predictions) if predictions else None,
        "without_answer": sum(not prediction.answer for prediction in predictions),
        "prompt_too_long": sum(prediction.response.too_long for prediction in predictions),
    }


def tally_by_source(predictions: Sequence[Prediction], sources: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {
        source: tally([prediction for prediction in predictions if prediction.question.example.source == source])
        for source in sources
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
    predictions: Sequence[Prediction],
    measured: dict[str, Any],
    made: dict[str, Any],
) -> None:
    """The predictions first: where the result is, they are."""
    with atomic_write(predictions_path(folder, name)) as file:
        for prediction in predictions:
            file.write(json.dumps(_prediction_line(prediction), ensure_ascii=False) + "\n")
    write_manifest(result_path(folder, name), KIND, "complete", inputs, **measured, provenance=made)


def _prediction_line(prediction: Prediction) -> dict[str, Any]:
    example = prediction.question.example
    return {
        "index": prediction.question.row,
        "source": example.source,
        "question": f"{example.instruction}\n\n{example.input}" if example.input else example.instruction,
        "gold": prediction.question.gold,
        "answer": prediction.answer,
        "correct": prediction.correct,
        "cut_off": prediction.response.cut_off,
        "prompt_too_long": prediction.response.too_long,
        "text": prediction.response.text,
    }


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
    lines = [title, "", _line("", _COLUMNS)]
    if HELDOUT in results:
        heldout = results[HELDOUT]
        lines += [_line(source or "(no source)", row) for source, row in heldout["by_source"].items()]
        averages = {"loss": heldout["loss_average"], "accuracy": heldout["accuracy_average"]}
        lines += [_line("average over sources", averages), _line("all held-out rows", heldout)]
    benchmarks = {name: result for name, result in results.items() if name != HELDOUT}
    if benchmarks and HELDOUT in results:
        lines.append("-" * _WIDTH)
    lines += [_line(name, result) for name, result in benchmarks.items()]
    remarks = ["loss: nats per response token; accuracy: share of questions with the right answer, generated greedily"]
    for name, result in results.items():
        remarks += [f"{name}: {note}" for note in result["notes"]]
        if result["prompt_too_long"]:
            remarks.append(f"{name}: {result['prompt_too_long']} prompts leave no room for a response: answered empty")
    lines += ["", *(textwrap.fill(remark, _WIDTH, subsequent_indent="  ") for remark in remarks)]
    return "\n".join(lines)


def _line(label: str, row: dict[str, Any]) -> str:
    label = label if len(label) <= 38 else f"...{label[-35:]}"
    return f"{label:<40}" + "".join(f"{_cell(row.get(column)):>10}" for column in _COLUMNS)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
