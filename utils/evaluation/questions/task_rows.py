"""The rows of the math sets as lm-eval tasks: each from a local JSONL file, or from its public dataset.

The YAMLs in tasks/ name `rows_of_question_set`, `alpaca_text` and `response_text`.
A row is {"instruction", "input", "answer", "response"}, where `response` serves few-shot examples only.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from datasets import Dataset, load_dataset

from ...data.formats import Example
from ...data.templates import alpaca_prompt
from ...process.libraries import explained
from .files import Question, public_question_set, read_question_set
from .published import answer_in, question_in

_MATH_SUBJECTS = (
    "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra",
    "precalculus",
)  # fmt: skip


def alpaca_text(doc: Mapping[str, Any]) -> str:
    return alpaca_prompt(Example(doc["instruction"], "", doc["input"]))


def response_text(doc: Mapping[str, Any]) -> str:
    return doc["response"]


def rows_of(questions: list[Question]) -> dict[str, Dataset]:
    """Questions as a task's only split."""
    rows = [
        {
            "instruction": question.example.instruction,
            "input": question.example.input,
            "answer": question.gold.text,
        }
        for question in questions
    ]
    return {"test": Dataset.from_list([{**row, "response": row["answer"]} for row in rows])}


def rows_of_question_set(benchmark: str, path: str | None = None, **_: Any) -> dict[str, Dataset]:
    """Every task's `custom_dataset`.

    Args:
        benchmark: from the task's `dataset_kwargs`.
        path: from its metadata, None for the hub.

    Raises:
        FileNotFoundError, ValueError: see `read_question_set` and `public_rows`.
    """
    if path:
        return rows_of(read_question_set(benchmark, path, None).questions)
    return rows_of(public_question_set(benchmark, public_rows(benchmark), None).questions)


def public_rows(name: str) -> list[tuple[str, str]]:
    """Question and answer of each row of a set's public dataset.

    Raises:
        ValueError: for a set without a known dataset, or rows without a question or an answer.
    """
    if name not in _PUBLIC:
        raise ValueError(
            f"evaluation.benchmarks.{name}: found `public`, but only of {', '.join(_PUBLIC)} a dataset "
            "on the hub is known to hold the paper's questions\n"
            'give a .jsonl of {"instruction", "answer"} '
            "(the paper's six sets: math_eval/dataset of github.com/TIGER-AI-Lab/MAmmoTH)"
        )
    texts = [(question_in(row), answer_in(row, name)) for row in _PUBLIC[name]()]
    incomplete = [row for row, (question, answer) in enumerate(texts) if not question or not answer]
    if incomplete:
        raise ValueError(
            f"evaluation.benchmarks.{name}: row {incomplete[0]} of the dataset on the hub has no question "
            "or no answer, so its fields have changed: give a .jsonl of the set instead"
        )
    return texts


def _public_gsm8k() -> Iterator[dict[str, Any]]:
    yield from _hub_rows("openai/gsm8k", "main", "test")


def _public_math() -> Iterator[dict[str, Any]]:
    for subject in _MATH_SUBJECTS:
        yield from _hub_rows("EleutherAI/hendrycks_math", subject, "test")


def _public_svamp() -> Iterator[dict[str, Any]]:
    yield from _hub_rows("ChilleD/SVAMP", None, "train+test")


def _hub_rows(name: str, subset: str | None, split: str) -> Iterator[dict[str, Any]]:
    with explained(f"{name} cannot be loaded from the hub", "give evaluation.benchmarks a file of the set"):
        rows = cast(Any, load_dataset(name, subset, split=split))
    yield from rows


_PUBLIC = {"gsm8k": _public_gsm8k, "math": _public_math, "svamp": _public_svamp}
