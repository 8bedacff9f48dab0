"""The questions of an evaluation: held-out rows in the pool's own format, and benchmark files."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from utils.config.schema import DataConfig
from utils.data.formats import Example
from utils.data.pool import Pool
from utils.evaluation.paper_rule import Kind
from utils.evaluation.strict_rule import given_answer, stated_answer
from utils.terminal import counted, first_of

HELDOUT = "heldout"
PUBLIC = "public"  # in place of a benchmark's file: its dataset on the hub
# The sets that the paper scores and how it reads their answers; tasks/ holds each as a task of lm-eval.
MATH_SETS = {
    "gsm8k": Kind.NUMBER,
    "math": Kind.LATEX,
    "numglue": Kind.LETTER,
    "svamp": Kind.NUMBER,
    "mathematics": Kind.NUMBER,
    "simuleq": Kind.NUMBER,
}


@dataclass(frozen=True, slots=True)
class Question:
    """Attributes: row: number in the file, from 0; example: what the prompt is made of; gold: the right answer;
    pool_row: the row of the pool that asks the same, if one does."""

    row: int
    example: Example
    gold: str
    pool_row: int | None = None


@dataclass(frozen=True)
class QuestionFile:
    """Attributes:
    name: "heldout", or the benchmark's name in the YAML.
    path: where they come from: a file, or "public".
    sha256: of the file's bytes, or of a public set's texts.
    notes: what the user should know about these questions, a sentence each.
    kind: how the paper reads the answers; None where it follows from each gold answer.
    pool: the held-out rows, whose response loss is measured too; None for a benchmark.
    """

    name: str
    path: str
    sha256: str
    questions: list[Question]
    notes: list[str]
    kind: Kind | None = None
    pool: Pool | None = None


def read_heldout(path: str, data: DataConfig, limit: int | None, as_summaries: bool = False) -> QuestionFile:
    """Held-out rows, read as the pool is; the gold answer is the one that the response states.

    Args: as_summaries: every response is a text to compare with, and the gold answer is all of it.
    Raises: FileNotFoundError; ValueError for what `Pool` refuses.
    """
    file = _existing(path, "evaluation.heldout")
    pool = Pool(data.model_copy(update={"path": path, "limit": limit}))
    questions, unanswered = [], []
    for row in map(int, pool.usable_rows):
        example = pool[row]
        gold = example.response if as_summaries else stated_answer(example.response)
        if gold:
            questions.append(Question(row, example, gold))
        else:
            unanswered.append(row)
    notes = []
    if pool.excluded.any():
        notes.append(f"{_rows(np.flatnonzero(pool.excluded))} without instruction or response: not used")
    if unanswered:
        notes.append(f'{_rows(unanswered)} whose response states no "The answer is": in the loss, not in the accuracy')
    return QuestionFile(HELDOUT, path, _sha256(file), questions, notes + _repeated(questions), pool=pool)


def read_benchmark(name: str, path: str, limit: int | None) -> QuestionFile:
    """A benchmark: lines of {"instruction", "answer"}; other fields are not read.

    Raises: FileNotFoundError; ValueError for an empty file, malformed lines (line number) or rows without a question or
    an answer (row numbers).
    """
    setting = f"evaluation.benchmarks.{name}"
    file = _existing(path, setting)
    questions, incomplete = [], []
    for row, value in enumerate(_json_lines(file, setting, limit)):
        instruction, answer = value.get("instruction"), _answer_text(value.get("answer")).strip()
        if not isinstance(instruction, str) or not instruction.strip() or not given_answer(answer):
            incomplete.append(row)
        else:
            questions.append(Question(row, Example(instruction, answer), answer))
    if incomplete:
        raise ValueError(
            f"{setting}: {path}: {_rows(incomplete)} (counted from 0) without a text in `instruction` or without an "
            "`answer` (text, a number, or a list that starts with one): repair or remove them"
        )
    if not questions:
        raise ValueError(f'{setting}: {path} is empty: expected lines of {{"instruction": ..., "answer": ...}}')
    return QuestionFile(name, path, _sha256(file), questions, _repeated(questions), MATH_SETS.get(name))


def public_benchmark(name: str, rows: Sequence[tuple[str, str]], limit: int | None) -> QuestionFile:
    """A benchmark from the hub; rows: the question and the answer of each."""
    digest = hashlib.sha256(json.dumps(list(rows)).encode()).hexdigest()
    questions = [
        Question(row, Example(question, answer), answer) for row, (question, answer) in enumerate(rows[:limit])
    ]
    return QuestionFile(name, PUBLIC, digest, questions, _repeated(questions), MATH_SETS.get(name))


def read_shots(path: str, count: int, data: DataConfig) -> list[Example]:
    """The first usable rows of a file like the pool's, as solved examples before each question.

    Raises: FileNotFoundError; ValueError for fewer rows than asked for, and what `Pool` refuses.
    """
    _existing(path, "evaluation.fewshot")
    pool = Pool(data.model_copy(update={"path": path, "limit": None}))
    rows = pool.usable_rows[:count].tolist()
    if len(rows) < count:
        raise ValueError(f"evaluation.num_fewshot: found {count}, usable rows in {path}: {len(rows)}: lower it")
    return [pool[row] for row in rows]


def with_pool_rows(file: QuestionFile, pool: Pool) -> QuestionFile:
    """The same questions, each with the first row of the pool that asks it (letter case and spaces set aside)."""
    asked = {_plain(question.example) for question in file.questions}
    first: dict[str, int] = {}
    for row, example in enumerate(pool):
        if (text := _plain(example)) in asked:
            first.setdefault(text, row)
    questions = [replace(question, pool_row=first.get(_plain(question.example))) for question in file.questions]
    hits = [question.row for question in questions if question.pool_row is not None]
    note = [f"{_rows(hits)} whose question is in the pool too: a model may have been trained on it"] if hits else []
    return replace(file, questions=questions, notes=file.notes + note)


def _plain(example: Example) -> str:
    return " ".join(f"{example.instruction} {example.input}".split()).casefold()


def _existing(path: str, setting: str) -> Path:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{setting}: {path} is not a file (current folder: {Path.cwd()}): correct the path")
    return Path(path)


def _json_lines(file: Path, setting: str, limit: int | None) -> Iterable[dict[str, Any]]:
    lines = file.read_bytes().rstrip().splitlines()
    for number, line in enumerate(lines[:limit], start=1):
        try:
            value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{setting}: {file}: line {number} is not JSON in UTF-8 ({error}): repair it") from None
        if type(value) is not dict:
            raise ValueError(f"{setting}: {file}: line {number} holds {type(value).__name__}, expected an object")
        yield value


def _answer_text(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else None
    is_answer = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return str(value) if is_answer else ""


def _repeated(questions: list[Question]) -> list[str]:
    times = Counter((question.example.instruction, question.example.input) for question in questions)
    repeated = [
        question.row for question in questions if times[question.example.instruction, question.example.input] > 1
    ]
    return [f"{_rows(repeated)} whose question occurs more than once: all kept"] if repeated else []


def _rows(rows: Sequence[int] | np.ndarray) -> str:
    return f"{counted(len(rows), 'row')} ({first_of(rows)})"


def _sha256(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
