"""The rows of the math sets as lm-eval tasks: each from a local JSONL file, or from its public dataset.

The YAMLs in tasks/ name `rows_of_question_set`, `alpaca_text` and `response_text`.
A row is {"instruction", "input", "answer", "response"}, where `response` serves few-shot examples only.
"""

from collections.abc import Mapping
from typing import Any

from datasets import Dataset

from ...data.formats import Example
from ...data.templates import alpaca_prompt
from .files import Question, public_question_set, read_question_set
from .public import public_rows
from .turns import question_text


def alpaca_text(doc: Mapping[str, Any]) -> str:
    return alpaca_prompt(Example(doc["instruction"], "", doc["input"]))


def response_text(doc: Mapping[str, Any]) -> str:
    return doc["response"]


def rows_of(questions: list[Question]) -> dict[str, Dataset]:
    """Questions as a task's only split."""
    rows = [
        {
            "instruction": question_text(question.example),
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
