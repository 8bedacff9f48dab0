"""Program-of-thought: a question asked for a program, and the answer that the program gives.

After the evaluation that the paper's lab ships with its later work: " Let's write a program." follows the question; a
response that prints something is run; what it prints is the answer; a response that gives none is asked for again in words
(chain-of-thought). Deviations: a fenced block is taken out of its fence, and nothing that the model wrote is evaluated in
this process.
"""

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ..data.formats import Example
from ..sandbox.run import Limits, run_program
from .answers.judging import has_paper_answer
from .predictions import Response
from .questions.files import Question

PROMPT_SUFFIX = " Let's write a program."
_IMPORTS = "import math\nimport numpy\nimport numpy as np\nimport hashlib\n"  # which programs of the pool take as given
_FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


def asking_for_a_program(render: Callable[[Example], str]) -> Callable[[Example], str]:
    """The same prompt with the suffix after the question."""
    return lambda example: render(replace(example, instruction=example.instruction + PROMPT_SUFFIX))


def answered_by_programs(
    questions: Sequence[Question],
    responses: Sequence[Response],
    ask_in_words: Callable[[list[Question]], list[Response]],
) -> tuple[list[Response], str]:
    """Run the programs among the responses and let what they print be judged; ask again where there is no answer yet.

    Args: ask_in_words: for the fall-back.
    Returns: one response per question, and a note on how many came from where.
    """
    answered = _with_output(responses)
    unanswered = [
        place
        for place, (question, response) in enumerate(zip(questions, answered, strict=True))
        if not has_paper_answer(response.judged, question.gold)
    ]
    if unanswered:
        again = _with_output(ask_in_words([questions[place] for place in unanswered]))
        for place, response in zip(unanswered, again, strict=True):
            answered[place] = replace(response, too_long=answered[place].too_long)
    programs = sum(program_in(response.text) is not None for response in responses)
    note = f"{programs} responses were programs; {len(unanswered)} gave no answer and were asked for again in words"
    return answered, note


def _with_output(responses: Sequence[Response]) -> list[Response]:
    """The same responses, those that are programs with what they print."""
    answered = list(responses)
    programs = {
        place: program for place, response in enumerate(responses) if (program := program_in(response.text))
    }
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as at_once:  # each waits for a process of its own
        for place, text in zip(programs, at_once.map(text_of_program, programs.values()), strict=True):
            answered[place] = replace(responses[place], output=text)
    return answered


def program_in(response: str) -> str | None:
    """The program that a response is, None for one in words: whatever prints is a program."""
    text = response.split("### Instruction")[0]
    fenced = _FENCED.search(text)
    program = fenced.group(1) if fenced else text
    return program.strip("\n") if "print(" in program else None


def text_of_program(program: str, limits: Limits = Limits()) -> str:  # noqa: B008 (frozen)
    """What a program prints, as the sentence that answers are read from; empty if it failed or printed nothing.

    Raises: ValueError where this machine cannot run programs safely.
    """
    outcome = run_program(_IMPORTS + program, limits)
    printed = outcome.output.strip()
    return f"The answer is {printed}" if outcome.ended_well and printed else ""
