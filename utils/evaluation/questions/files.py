"""The questions of an evaluation: held-out rows in the pool's own format, and benchmark files."""

import codecs
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ...artifacts.checksums import checksum, checksum_of_json
from ...artifacts.evaluations import HELDOUT
from ...config.schema import DataConfig
from ...data.formats import Example
from ...data.pool import Pool
from ...reading import is_encodable, parse_json
from ...terminal import rows_in_words
from ..answers.judging import Gold
from ..answers.paper import AnswerKind
from ..answers.strict import bare_answer, given_answer, marked_answer
from .published import answer_in, question_in
from .turns import asked_example

PUBLIC = "public"  # in place of a benchmark's file: its dataset on the hub
# The sets that the paper scores and how it reads their answers. Each is a task of lm-eval in tasks/.
MATH_SETS = {
    "gsm8k": AnswerKind.NUMBER,
    "math": AnswerKind.LATEX,
    "numglue": AnswerKind.LETTER,
    "svamp": AnswerKind.NUMBER,
    "mathematics": AnswerKind.NUMBER,
    "simuleq": AnswerKind.NUMBER,
}


@dataclass(frozen=True, slots=True)
class Question:
    """A question.

    Attributes:
        row: its number in the file, from 0.
        example: what the prompt is made of.
        gold: the right answer.
        pool_row: the first row of the pool that asks the same, if one does.
    """

    row: int
    example: Example
    gold: Gold
    pool_row: int | None = None


@dataclass(frozen=True)
class QuestionSet:
    """Questions, and where they come from.

    Attributes:
        name: "heldout", or the benchmark's name in the YAML.
        path: a file, or "public".
        sha256: of the file's bytes, or of a public set's texts.
        questions: in the order of the file.
        notes: for the user, a sentence each.
        pool: the held-out rows, whose response loss is measured too. None for a benchmark.
    """

    name: str
    path: str
    sha256: str
    questions: list[Question]
    notes: list[str]
    pool: Pool | None = None


def read_heldout(path: str, data: DataConfig, limit: int | None, as_summaries: bool = False) -> QuestionSet:
    """Held-out rows, read as the pool is. The gold answer is the one that the response marks or is.

    Free text has none, and is not asked: only its loss is measured.
    Of a row with turns the last answer that is scored is asked for, after all turns before it.

    Args:
        path: the file.
        data: how the pool is read.
        limit: the first rows only.
        as_summaries: the gold answer is the whole response, to compare texts with.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: for rows that `Pool` refuses.
    """
    file = _existing(path, "evaluation.heldout")
    pool = Pool(data.model_copy(update={"path": path, "limit": limit}))
    asked = {row: asked_example(pool[row]) for row in pool.usable_rows.tolist()}
    golds = {
        row: example.response if as_summaries else marked_answer(example.response)
        for row, example in asked.items()
        if example is not None
    }
    golds |= _bare_answers({row: example for row, example in asked.items() if example and not golds[row]})
    questions = [
        Question(row, example, Gold(golds[row], reference=example.response))
        for row, example in asked.items()
        if example is not None and golds[row]
    ]
    unanswered = [row for row in asked if not golds.get(row)]
    notes = []
    if pool.excluded.any():
        rows = rows_in_words(np.flatnonzero(pool.excluded))
        notes.append(f"{rows} without instruction or response: not used")
    if unanswered:
        notes.append(
            f"{rows_in_words(unanswered)} whose response states no answer that a rule can read: "
            + (
                f"in the loss, not in the accuracy of {len(questions):,}"
                if questions
                else "the loss alone counts"
            )
        )
    return QuestionSet(HELDOUT, path, checksum(file), questions, notes + _repeated(questions), pool=pool)


def _bare_answers(examples: dict[int, Example]) -> dict[int, str]:
    """Row -> the answer that all of its response is, empty for free text.

    Only of a source at least half of whose responses are such: "Yes." in a chat is no answer to judge.
    """
    answers = {row: bare_answer(example.response) for row, example in examples.items()}
    of_source = Counter(example.source for example in examples.values())
    bare = Counter(example.source for row, example in examples.items() if answers[row])
    return {
        row: answers[row] if 2 * bare[example.source] >= of_source[example.source] else ""
        for row, example in examples.items()
    }


def read_question_set(name: str, path: str, limit: int | None) -> QuestionSet:
    """A benchmark: rows of {"instruction", "answer"}, or of the fields in which the six sets are published.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: for an empty file, malformed lines, or rows without a question or an answer.
    """
    setting = f"evaluation.benchmarks.{name}"
    file = _existing(path, setting)
    texts = []
    incomplete: list[int] = []
    fields: list[str] = []
    for row, value in enumerate(_rows_of_file(file, setting, limit)):
        question = question_in(value)
        answer = answer_in(value, name)
        if not is_encodable(question + answer):
            raise ValueError(
                f"{setting}: {path}: row {row} holds half a surrogate pair, which is no text: repair it"
            )
        if question and given_answer(answer):
            texts.append((question, answer))
        else:
            incomplete.append(row)
            fields = fields or list(value)
    if incomplete:
        raise ValueError(
            f"{setting}: {path}: found {rows_in_words(incomplete)} without a question or an answer, "
            f"the first of them with the fields {fields}\n"
            "expected `instruction` or `question`, and `answer`, or the fields of a set as published\n"
            "rename the fields, or repair or remove the rows (counted from 0)"
        )
    if not texts:
        raise ValueError(
            f'{setting}: {path} is empty: expected lines of {{"instruction": ..., "answer": ...}}'
        )
    return _benchmark(name, path, checksum(file), texts)


def public_question_set(name: str, rows: Sequence[tuple[str, str]], limit: int | None) -> QuestionSet:
    """A benchmark from the hub.

    Args:
        name: of the set.
        rows: question and answer of each.
        limit: the first rows only.
    """
    digest = checksum_of_json(list(rows))
    return _benchmark(name, PUBLIC, digest, rows[:limit])


def _benchmark(name: str, path: str, sha256: str, texts: Sequence[tuple[str, str]]) -> QuestionSet:
    kind = MATH_SETS.get(name)
    questions = [
        Question(row, Example(question, answer), Gold(answer, kind))
        for row, (question, answer) in enumerate(texts)
    ]
    return QuestionSet(name, path, sha256, questions, _repeated(questions))


def read_shots(path: str, count: int, data: DataConfig) -> list[Example]:
    """The first usable rows of a file like the pool's, as solved examples before each question.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: for too few rows, or rows that `Pool` refuses.
    """
    _existing(path, "evaluation.fewshot")
    pool = Pool(data.model_copy(update={"path": path, "limit": None}))
    asked = (asked_example(pool[row]) for row in pool.usable_rows.tolist())
    shots = list(islice((example for example in asked if example is not None), count))
    if len(shots) < count:
        raise ValueError(
            f"evaluation.num_fewshot: found {count}, usable rows in {path}: {len(shots)}: lower it"
        )
    return shots


def _existing(path: str, setting: str) -> Path:
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{setting}: {path} is not a file (current folder: {Path.cwd()}): correct the path"
        )
    return Path(path)


def _rows_of_file(file: Path, setting: str, limit: int | None) -> Iterable[dict[str, Any]]:
    """The rows of JSON lines, or of one JSON array."""
    content = file.read_bytes().removeprefix(codecs.BOM_UTF8).strip()
    lines = content.splitlines()
    # Where the first of several lines is JSON, each line is an array of its own.
    if content.startswith(b"[") and (len(lines) == 1 or not _is_json(lines[0])):
        values = [("the file", value) for value in _parsed(content, f"{setting}: {file}: the file")[:limit]]
    else:
        named = ((f"line {number}", line) for number, line in enumerate(lines[:limit], start=1))
        values = ((where, _parsed(line, f"{setting}: {file}: {where}")) for where, line in named)
    for where, value in values:
        if type(value) is not dict:
            raise ValueError(f"{setting}: {file}: {where} holds {type(value).__name__}, expected an object")
        yield value


def _parsed(text: bytes, where: str) -> Any:
    try:
        return parse_json(text.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: byte {error.start} is not UTF-8: save the file as UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{where} is {error}: repair it") from None


def _is_json(text: bytes) -> bool:
    try:
        parse_json(text)
    except ValueError:
        return False
    return True


def _repeated(questions: list[Question]) -> list[str]:
    """A note on the questions that occur more than once, if any do."""
    times = Counter((question.example.instruction, question.example.input) for question in questions)
    repeated = [
        question.row
        for question in questions
        if times[question.example.instruction, question.example.input] > 1
    ]
    return [f"{rows_in_words(repeated)} whose question occurs more than once: all kept"] if repeated else []
