"""Program-of-thought: which responses are programs, and what their answers are."""

import pytest

from utils.data.formats import Example
from utils.evaluation import programs
from utils.evaluation.answers.judging import Gold
from utils.evaluation.predictions import Response, judge_all, prediction_line
from utils.evaluation.programs import answered_by_programs, asking_for_a_program, program_in, text_of_program
from utils.evaluation.questions.files import Question
from utils.sandbox.run import Outcome


@pytest.mark.parametrize(
    ("response", "program"),
    [
        ("a = 3\nprint(a * 4)", "a = 3\nprint(a * 4)"),
        ("```python\nprint(5)\n```\nThis prints 5.", "print(5)"),
        ("print(1)\n\n### Instruction:\nprint(2)", "print(1)"),
        (" x = 3\nprint(x)", "x = 3\nprint(x)"),
        ("\n  if True:\n    print(3)\n", "if True:\n  print(3)"),
        ("```Python\nprint(5)\n```", "print(5)"),
        ("```python\r\nx = 5\r\nprint(x)\r\n```", "x = 5\nprint(x)"),
        ("``` python3\nprint(5)", "print(5)"),
        ("```python\nx = 3\n```\nand then\n```python\nprint(3)\n```", "print(3)"),
        ("```output\n5\n```\n```python\nprint(5)\n```", "print(5)"),
        ("In words:\n```python\nx = 3\n```", None),
        ("3 + 4 = 7. The answer is 7", None),
        ("", None),
    ],
)
def test_whatever_prints_is_a_program(response, program):
    assert program_in(response) == program


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("print(math.sqrt(16) + np.sum([1, 2]))", "The answer is 7.0"),
        ("x = 1 / 0\nprint(x)", ""),
        ("if False: print(3)", ""),
        ("print(3)\nraise SystemExit(2)", ""),
    ],
)
@pytest.mark.usefixtures("sandbox")
def test_what_a_program_prints_is_the_answer(program, text):
    assert text_of_program(program) == text


@pytest.mark.usefixtures("sandbox")
def test_what_gives_no_answer_is_asked_for_again_in_words():
    golds = [Gold(text) for text in ("7", "8", "9", "B", "5")]
    questions = [Question(row, Example(f"question {row}", gold.text), gold) for row, gold in enumerate(golds)]
    texts = ["print(3 + 4)  # The answer is 4", "print(1 / 0)", "The answer is 9", "I do not know.", ""]
    asked_rows = []

    def in_words(unanswered: list[Question]) -> list[Response]:
        asked_rows.extend(question.row for question in unanswered)
        again = [Response(question.gold.stating) for question in unanswered[:-1]]
        return [*again, Response("print(2 + 3)")]  # run, though words were asked for

    responses, note = answered_by_programs(questions, [Response(text) for text in texts], in_words)
    assert asked_rows == [1, 3, 4]
    predictions = judge_all(questions, responses)
    assert all(prediction.verdicts.paper.correct for prediction in predictions)
    assert prediction_line(predictions[0])["text"] == f"{texts[0]}\n\nThe answer is 7", (
        "the program can be read"
    )
    assert note == "2 responses were programs; 3 gave no answer and were asked for again in words"


def test_the_question_is_asked_for_a_program():
    render = asking_for_a_program(lambda example: f"Q: {example.instruction}\nA:")
    assert render(Example("How many?", "3")) == "Q: How many? Let's write a program.\nA:"


def test_a_program_that_had_no_time_beside_others_runs_once_more_alone(monkeypatch):
    endings = {"print(1)": ["wall", "exit 0"], "print(2)": ["exit 0"], "print(3)": ["wall", "wall"]}

    def run_program(source: str) -> Outcome:
        program = source.splitlines()[-1]
        return Outcome(program[6], endings[program].pop(0), "")

    monkeypatch.setattr(programs, "run_program", run_program)
    responses = [Response(program, False) for program in endings]
    outputs = [response.output for response in programs._with_output(responses)]
    assert outputs == ["The answer is 1", "The answer is 2", ""] and not any(endings.values())
