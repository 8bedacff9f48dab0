"""Rows of the pool that contain benchmark questions.

A question is contained if ten of its words in a row also stand in a row in the prompt or in the response.
A question of fewer words is contained only if it is the whole instruction, or a whole turn of a conversation.
Words are runs of letters, their marks and digits, without case and in one Unicode form. In scripts that are
written without spaces (Chinese, Japanese, Thai, ...) a character is half a word. Ten is fewer than the 13 of
GPT-3 (Brown et al., 2020) and also finds questions that were shortened or lightly edited. A phrase of ten
words that questions share with much else is found too, so the report says which words matched.
"""

import bisect
import contextlib
import itertools
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data.formats import Example
from ..data.rows import Rows
from ..reading import check_kind, parse_json, read_text
from ..terminal import one_line

_WORDS = 10


def _of_category(kinds: str, *blocks: tuple[int, int]) -> str:
    """The characters of these blocks whose Unicode category begins with one of these letters."""
    characters = (chr(code) for first, last in blocks for code in range(first, last + 1))
    return "".join(re.escape(c) for c in characters if unicodedata.category(c)[0] in kinds)


# Thai, Lao, Burmese, Khmer and kana, letters and marks. Then the characters of Chinese.
_SMALL_BLOCKS = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF))
_UNSPACED = (
    _of_category("LM", *_SMALL_BLOCKS) + r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_MARKS = _of_category("M", (0x0300, 0x0DFF))  # to Python's \w they are no letters
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+(?:[{_MARKS}]+[^\W{_UNSPACED}]*)*")
_IS_UNSPACED = re.compile(rf"[{_UNSPACED}]")


def find_contamination(pool: Rows, files: list[str]) -> list[dict[str, Any]]:
    """One entry per contaminated row, ascending: its row, the question's file and number (from 0), the words.

    Raises: FileNotFoundError, or ValueError for a file that is not made of questions.
    """
    windows: dict[str, tuple[str, int]] = {}  # to the question they come from
    short_questions: dict[str, tuple[str, int]] = {}
    for file in files:
        for number, question in enumerate(_read_questions(Path(file))):
            words = _words(question)
            if _size(words) < _WORDS:
                short_questions.setdefault(" ".join(words), (file, number))
            for window in _windows(words):
                windows.setdefault(window, (file, number))
    first_words = {window.partition(" ")[0] for window in windows}

    hits = []
    for row, example in enumerate(pool):
        questions, answers = _texts_of(example)
        found = [text for text in map(" ".join, questions) if text in short_questions]
        for words in (*questions, *answers):
            found += [window for window in _windows(words, first_words) if window in windows]
        if found:
            file, number = windows.get(found[0]) or short_questions[found[0]]
            hits.append({"row": row, "file": file, "question": number, "words": found[0]})
    return hits


def _texts_of(example: Example) -> tuple[list[list[str]], list[list[str]]]:
    """The words of each text that may be a question, and of each other."""
    if example.conversation is None:
        return [_words(example.instruction)], [_words(example.input), _words(example.response)]
    return [_words(message["content"]) for message in example.conversation.messages], []


def _windows(words: list[str], first_words: set[str] | None = None) -> Iterator[str]:
    """The shortest runs of ten words, joined. Where first_words is given, those that begin with one."""
    ends = list(itertools.accumulate(map(_size_of_word, words), initial=0.0))
    for start, word in enumerate(words):
        if first_words is None or word in first_words:
            stop = bisect.bisect_left(ends, ends[start] + _WORDS)
            if stop == len(ends):
                return
            yield " ".join(words[start:stop])


def _size(words: list[str]) -> float:
    return sum(map(_size_of_word, words))


def _size_of_word(word: str) -> float:
    return 0.5 if len(word) == 1 and _IS_UNSPACED.match(word) else 1.0


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _read_questions(path: Path) -> list[str]:
    """Lines of a .txt, or the field `instruction` (or `question`) of a .jsonl."""
    check_kind(path, "subset.decontaminate")
    questions = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        question = _question_of(line) if path.suffix == ".jsonl" else line
        if not _words(question):
            raise ValueError(
                f"subset.decontaminate: {path}, line {number}: found {one_line(line, 60)}, "
                "expected an object with a field `instruction` or `question` on each line, "
                "or a question on each line of a .txt"
            )
        questions.append(question)
    if not questions:
        raise ValueError(f"subset.decontaminate: {path}: found no question, expected one on each line")
    return questions


def _question_of(line: str) -> str:
    """The question of a row of JSON, empty where there is none."""
    with contextlib.suppress(ValueError):
        row = parse_json(line)
        if isinstance(row, dict):
            question = row.get("instruction", row.get("question"))
            return question if isinstance(question, str) else ""
    return ""
