"""Program-of-thought: the model is asked for a program, and the output of the program is the answer.

It follows the evaluation that the paper's lab ships with its later work. " Let's write a program." stands
behind the question, and a response that prints something is run. Where there is no answer, the question is
asked again in words (chain-of-thought).

Deviations: a fenced block is taken out of its fence, the indent of a whole program goes, and nothing that the
model wrote is evaluated in this process.
"""

import os
import re
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ..data.formats import Example
from ..sandbox.run import Outcome, run_program
from .answers.judging import has_paper_answer
from .predictions import Response
from .questions.files import Question

PROMPT_SUFFIX = " Let's write a program."
# Programs of the pool use these without importing them.
_IMPORTS = "import math\nimport numpy\nimport numpy as np\nimport hashlib\n"
_FENCED = re.compile(r"```([^\n`]*)\n(.*?)(?:```|\Z)", re.DOTALL)
_LANGUAGES = ("", "python", "python3", "py")  # of a fence that may hold a program


def asking_for_a_program(render: Callable[[Example], str]) -> Callable[[Example], str]:
    """The same prompt with the suffix after the question."""
    return lambda example: render(replace(example, instruction=example.instruction + PROMPT_SUFFIX))


def answered_by_programs(
    questions: Sequence[Question],
    responses: Sequence[Response],
    ask_in_words: Callable[[list[Question]], list[Response]],
) -> tuple[list[Response], str]:
    """Run the programs among the responses, and ask again where there is no answer yet.

    Args:
        questions: all of them.
        responses: one per question.
        ask_in_words: asks some of the questions for an answer in words.

    Returns:
        One response per question, and a note on how many came from where.
    """
    final = _with_output(responses)
    unanswered = [
        index
        for index, (question, response) in enumerate(zip(questions, final, strict=True))
        if not has_paper_answer(response.judged, question.gold)
    ]
    if unanswered:
        again = _with_output(ask_in_words([questions[index] for index in unanswered]))
        for index, response in zip(unanswered, again, strict=True):
            final[index] = replace(response, too_long=final[index].too_long)
    programs = sum(program_in(response.text) is not None for response in responses)
    return final, (
        f"{programs} responses were programs; "
        f"{len(unanswered)} gave no answer and were asked for again in words"
    )


def _with_output(responses: Sequence[Response]) -> list[Response]:
    """The responses, each program among them with its output."""
    asked = [(place, program_in(response.text)) for place, response in enumerate(responses)]
    programs = {place: program for place, program in asked if program is not None}
    # Each thread waits for a process of its own.
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as threads:
        outcomes = list(threads.map(_run, programs.values()))
    final = list(responses)
    for (place, program), outcome in zip(programs.items(), outcomes, strict=True):
        # Alone, with the cores to itself, one that had no time beside others may end.
        output = text_of_program(program) if outcome.ending == "wall" else _text_of(outcome)
        final[place] = replace(final[place], output=output)
    return final


def program_in(response: str) -> str | None:
    """The program that a response is: whatever prints is a program. None for a response in words.

    Of several fenced blocks it is the first that prints.
    """
    text = response.split("### Instruction")[0]  # a model may go on with a question of its own
    text = text.replace("\r\n", "\n")
    fences = _FENCED.findall(text)
    blocks = [block for language, block in fences if language.strip().lower() in _LANGUAGES] or [text]
    program = next((block for block in blocks if "print(" in block), None)
    # A model often puts a space between the prompt and the first line.
    return None if program is None else textwrap.dedent(program.strip("\n")).strip()


def text_of_program(program: str) -> str:
    """The output of a program, as a sentence that states an answer. Empty if it failed or printed nothing.

    Raises:
        ValueError: where this machine cannot run programs safely.
    """
    return _text_of(_run(program))


def _run(program: str) -> Outcome:
    return run_program(_IMPORTS + program)


def _text_of(outcome: Outcome) -> str:
    printed = outcome.output.strip()
    return f"The answer is {printed}" if outcome.ended_well and printed else ""
