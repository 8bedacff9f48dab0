"""Program-of-thought: a question asked for a program, and the answer that the program gives.

After the evaluation that the paper's lab ships with its later work: " Let's write a program." follows the question; a
response that prints something is run; what it prints is the answer; a response that gives none is asked for again in words
(chain-of-thought). Deviations: a fenced block is taken out of its fence, and nothing that the model wrote is evaluated in
this process.
"""

import re

from utils.evaluation.program_sandbox import Limits, run_program

PROMPT_SUFFIX = " Let's write a program."
_IMPORTS = "import math\nimport numpy\nimport numpy as np\nimport hashlib\n"  # which programs of the pool take as given
_FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


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
