"""The public datasets of the math sets, on the hub."""

from collections.abc import Iterator
from typing import Any, cast

from ...process.errors import explained
from .published import answer_in, question_in

_MATH_SUBJECTS = (
    "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra",
    "precalculus",
)  # fmt: skip


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
    from datasets import load_dataset  # only who reads one waits for it

    with explained(f"{name} cannot be loaded from the hub", "give evaluation.benchmarks a file of the set"):
        rows = cast(Any, load_dataset(name, subset, split=split))
    yield from rows


_PUBLIC = {"gsm8k": _public_gsm8k, "math": _public_math, "svamp": _public_svamp}
