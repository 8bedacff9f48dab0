"""Questions and held-out rows that a model may have seen: in the pool, in data.validation, in its prompt."""

from collections.abc import Sequence
from dataclasses import replace

from ...data.formats import Example
from ...data.pool import Pool
from ...terminal import rows_in_words
from .files import QuestionSet
from .turns import asked_example


def with_shots(question_set: QuestionSet, shots: Sequence[Example]) -> QuestionSet:
    """The same questions, with a note on those that are solved examples too."""
    solved = {_plain(shot.instruction, shot.input) for shot in shots}
    given = [
        question.row
        for question in question_set.questions
        if _plain(question.example.instruction, question.example.input) in solved
    ]
    if not given:
        return question_set
    rows = rows_in_words(given)
    note = f"{rows} with a question that is a solved example too: the answer stands in the prompt"
    return replace(question_set, notes=[*question_set.notes, note])


def with_pool_rows(question_set: QuestionSet, pool: Pool) -> QuestionSet:
    """The same questions, each with the first row of the pool that asks it in any letter case and spacing.

    A note counts them, and held-out rows that are in the loss alone.
    """
    asked = _asked_by(question_set)
    first_row, note = _found_in(pool, "the pool", asked)
    questions = [
        replace(question, pool_row=first_row.get(asked[question.row][0]))
        for question in question_set.questions
    ]
    notes = [f"{note}: a model may have been trained on it"] if note else []
    return replace(question_set, questions=questions, notes=[*question_set.notes, *notes])


def with_validation_rows(question_set: QuestionSet, pool: Pool) -> QuestionSet:
    """The same questions, with a note on those that rows of `data.validation`, this pool, ask."""
    _, note = _found_in(pool, "data.validation", _asked_by(question_set))
    if note is None:
        return question_set
    notes = [*question_set.notes, f"{note}: the subset may have been chosen by it"]
    return replace(question_set, notes=notes)


def _asked_by(question_set: QuestionSet) -> dict[int, tuple[str, str | None]]:
    """Row -> what it asks and answers, of all rows that are measured. A benchmark has no whole responses."""
    if question_set.pool is None:
        examples = {question.row: question.example for question in question_set.questions}
        return {row: (_plain(example.instruction, example.input), None) for row, example in examples.items()}
    return {row: _asked(question_set.pool[row]) for row in question_set.pool.usable_rows.tolist()}


def _found_in(
    pool: Pool, name: str, asked: dict[int, tuple[str, str | None]]
) -> tuple[dict[str, int], str | None]:
    """What is asked -> the first row of a pool that asks it, and the beginning of a note if there are any."""
    texts = {text for text, _ in asked.values()}
    first_row: dict[str, int] = {}
    answered: set[tuple[str, str | None]] = set()
    for row, example in enumerate(pool):
        text_and_answer = _asked(example)
        for text in texts.intersection([text_and_answer[0], *_turns_of_user(example)]):
            first_row.setdefault(text, row)
        if text_and_answer[0] in texts:
            answered.add(text_and_answer)
    found = [row for row, (text, _) in asked.items() if text in first_row]
    if not found:
        return first_row, None
    alike = sum(asked[row] in answered for row in found)
    answers = f" ({alike:,} with the same answer)" if alike else ""
    return first_row, f"{rows_in_words(found)} whose question is in {name} too{answers}"


def _asked(example: Example) -> tuple[str, str]:
    """What a row asks and answers: of one with turns, all before the last scored answer, and that."""
    asked = asked_example(example)
    if asked is None:  # turns that ask for no answer are told by all that they say
        return _plain(example.instruction, example.response), ""
    return _plain(asked.instruction, asked.input), _plain(asked.response)


def _turns_of_user(example: Example) -> list[str]:
    turns = example.conversation.messages if example.conversation else ()
    return [_plain(turn["content"]) for turn in turns if turn["role"] == "user"]


def _plain(*texts: str) -> str:
    return " ".join(" ".join(texts).split()).casefold()
