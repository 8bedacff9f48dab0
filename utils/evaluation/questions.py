"""The questions of an evaluation: held-out rows in the pool's own format, and benchmark files."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.config.schema import DataConfig
from utils.data.formats import Example
from utils.data.pool import Pool
from utils.evaluation.answers import given_answer, gold_answer

HELDOUT = "heldout"
_NUM_SHOWN = 10  # row numbers listed in an error or a note


@dataclass(frozen=True, slots=True)
class Question:
    """Attributes: row: number in the file, from 0; example: what the prompt is made of; gold: the right answer."""

    row: int
    example: Example
    gold: str


@dataclass(frozen=True)
class QuestionFile:
    """Attributes:
    name: "heldout", or the benchmark's name in the YAML.
    sha256: of the file's bytes.
    notes: what the user should know about these questions, a sentence each.
    pool: the held-out rows, whose response loss is measured too; None for a benchmark.
    """

    name: str
    path: Path
    sha256: str
    questions: list[Question]
    notes: list[str]
    pool: Pool | None = None


def read_heldout(path: str, data: DataConfig, limit: int | None) -> QuestionFile:
    """Held-out rows, read as the pool is; the gold answer is the one that the response states.

    Raises: FileNotFoundError; ValueError for what `Pool` refuses.
    """
    file = _existing(path, "evaluation.heldout")
    pool = Pool(data.model_copy(update={"path": path, "limit": limit}))
    questions, unanswered = [], []
    for row in map(int, pool.usable_rows):
        example = pool[row]
        gold = gold_answer(example.response)
        if gold:
            questions.append(Question(row, example, gold))
        else:
            unanswered.append(row)
    notes = []
    if pool.excluded.any():
        notes.append(f"{_rows(np.flatnonzero(pool.excluded))} without instruction or response: not used")
    if unanswered:
        notes.append(f'{_rows(unanswered)} whose response states no "The answer is": in the loss, not in the accuracy')
    return QuestionFile(HELDOUT, file, _sha256(file), questions, notes + _repeated(questions), pool)


def read_benchmark(name: str, path: str, limit: int | None) -> QuestionFile:
    """A benchmark: lines of {"instruction", "answer"}; other fields are not read.

    Raises: FileNotFoundError; ValueError for an empty file, malformed lines (line number) or rows without a question or
    an answer (row numbers).
    """
    setting = f"evaluation.benchmarks.{name}"
    file = _existing(path, setting)
    questions, incomplete = [], []
    for row, value in enumerate(_json_lines(file, setting, limit)):
        instruction, answer = value.get("instruction"), _answer_text(value.get("answer"))
        gold = given_answer(answer)
        if not isinstance(instruction, str) or not instruction.strip() or not gold:
            incomplete.append(row)
        else:
            questions.append(Question(row, Example(instruction, answer), gold))
    if incomplete:
        raise ValueError(
            f"{setting}: {path}: {_rows(incomplete)} (counted from 0) without a text in `instruction` or without an "
            "`answer` (text, a number, or a list that starts with one): repair or remove them"
        )
    if not questions:
        raise ValueError(f'{setting}: {path} is empty: expected lines of {{"instruction": ..., "answer": ...}}')
    return QuestionFile(name, file, _sha256(file), questions, _repeated(questions))


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
    shown = ", ".join(map(str, rows[:_NUM_SHOWN])) + (", ..." if len(rows) > _NUM_SHOWN else "")
    return f"{len(rows)} {'row' if len(rows) == 1 else 'rows'} ({shown})"


def _sha256(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
