"""Whether two formulas are equal, by algebra, within limits of processor time and memory.

What a model writes can keep algebra busy for ever (9^{9^{9}}), and a limit of wall-clock time would judge
by how busy the machine is. So algebra runs in a process of its own. The kernel ends it at its limit
of processor time, wherever it is at that moment, and the next question starts another.
`python -m` this module is that process: a line of JSON in, a line of JSON out.
"""

import atexit
import functools
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_SECONDS = 3  # of processor time for one pair. The kernel counts whole seconds
_MEMORY = 2 << 30  # bytes
_OUT_OF_MEMORY = 3  # exit status
# How the process ends at a limit. SIGSEGV is that of the stack.
_AT_A_LIMIT = {-signal.SIGXCPU, -signal.SIGSEGV, -signal.SIGKILL, _OUT_OF_MEMORY}
_MAX_CHARACTERS = 400  # of a formula for algebra

# Only what the parser is known to read right. Anything else is compared as text.
_FUNCTIONS = "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp"
_SYMBOLS = "pi alpha beta gamma delta theta lambda mu phi omega rho sigma"
_COMMANDS = "|".join(f"{_FUNCTIONS} {_SYMBOLS} frac sqrt cdot times div binom".split())
_TOKEN = re.compile(
    rf"\\(?:{_COMMANDS})(?![A-Za-z])|[0-9]+(?:\.[0-9]+)?|\.[0-9]+"
    r"|(?<![A-Za-z])[A-Za-z]{1,2}(?![A-Za-z])|(?<=[A-Za-z])_"  # x, xy and the index of x, but no words
    r"|[-+*/^{}()|!\[\]\s]"
)
# Words of two letters, which are no products. Ranges, dates and telephone numbers,
# which are no differences or quotients.
_NO_FORMULA = re.compile(
    r"(?<![A-Za-z\\])(?:am|as|at|by|go|he|if|in|is|it|me|my|no|of|on|or|so|to|up|us|we)(?![A-Za-z])"
    r"|\s*[0-9][0-9.]*(?:-[0-9][0-9.]*)+\s*\Z|\s*[0-9]+/[0-9]+(?:/[0-9]+)+\s*\Z",
    re.IGNORECASE,
)
_DECIMAL = re.compile(r"([0-9]*)\.([0-9]+)")


def is_formula(text: str) -> bool:
    """Whether algebra can look at a text."""
    if len(text) > _MAX_CHARACTERS or not text.strip() or _NO_FORMULA.search(text):
        return False
    return not _TOKEN.sub("", text)


def equal_formulas(left: str, right: str) -> bool | None:
    """Whether two formulas have the same value everywhere, None at a limit."""
    return _equality("formulas", *sorted((left, right)))


def equal_equations(left: tuple[str, str], right: tuple[str, str]) -> bool | None:
    """Whether two equations, given by their sides, differ in a constant factor alone. None at a limit."""
    return _equality("equations", *sorted((left, right)))


@functools.lru_cache(maxsize=4096)
def _equality(kind: str, left: Any, right: Any) -> bool | None:
    return _ALGEBRA.ask(kind, left, right)


class _Algebra:
    """The process that answers, started at the first question and again after each that ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def ask(self, *question: Any) -> bool | None:
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                self.end()
                process = self._process = subprocess.Popen(
                    [sys.executable, "-m", __name__],
                    cwd=Path(__file__).parents[__name__.count(".")],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    env={**os.environ, "PYTHONHASHSEED": "0"},  # the order in which sympy tries things
                    start_new_session=True,  # Ctrl-C is for this process
                )
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(json.dumps(question) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            except BrokenPipeError:
                answer = ""
            except BaseException:
                # After Ctrl-C the answer to come would be taken for that of the next question.
                self.end()
                raise
            if answer:
                return json.loads(answer)
            status = process.wait()
            self.end()
            if status not in _AT_A_LIMIT:
                raise RuntimeError(
                    f"{__name__}: its process ended with status {status}, and not at one of its limits"
                )
            return None

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


_ALGEBRA = _Algebra()
atexit.register(_ALGEBRA.end)


def _answer_questions() -> None:
    import latex2sympy2_extended  # noqa: F401 (now, and not within the limit of the first question)
    from sympy.core import random

    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, _MEMORY)
    for line in sys.stdin:
        _limit(resource.RLIMIT_CPU, math.ceil(time.process_time()) + _SECONDS)
        kind, left, right = json.loads(line)
        random.seed(0)  # the points at which sympy tries whether formulas differ
        print(json.dumps(_equal(kind, left, right)), file=answers, flush=True)


def _limit(what: int, value: int) -> None:
    _, highest = resource.getrlimit(what)
    resource.setrlimit(what, (value if highest == resource.RLIM_INFINITY else min(value, highest), highest))


def _equal(kind: str, left: Any, right: Any) -> bool:
    import sympy

    try:
        if kind == "formulas":
            return _equal_expressions(_expression(left), _expression(right))
        one = _expression(left[0]) - _expression(left[1])
        other = _expression(right[0]) - _expression(right[1])
        ratio = sympy.simplify(one / other)
        return not ratio.free_symbols and bool(ratio.is_finite) and not ratio.is_zero
    except MemoryError:
        sys.exit(_OUT_OF_MEMORY)
    except Exception:  # noqa: BLE001 (the parser raises bare Exception, among others)
        return False  # a text that it cannot read is no formula


def _equal_expressions(one: Any, other: Any) -> bool:
    if one == other:
        return True
    return not _differ_somewhere(one, other) and bool(one.equals(other))


def _differ_somewhere(one: Any, other: Any) -> bool:
    """Whether two expressions differ at one point of positive numbers, which is quick to find out."""
    import sympy

    symbols = sorted(one.free_symbols | other.free_symbols, key=str)
    point = {symbol: sympy.Rational(7 + 4 * number, 5) for number, symbol in enumerate(symbols)}
    left, right = (sympy.N(expression.subs(point), 30) for expression in (one, other))
    if not (left.is_number and right.is_number and left.is_finite and right.is_finite):
        return False
    return bool(abs(left - right) > sympy.Float("1e-12") * max(abs(left), abs(right)))


def _expression(text: str) -> Any:
    from latex2sympy2_extended import latex2sympy
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig

    settings = ConversionConfig(interpret_as_mixed_fractions=False, lowercase_symbols=False)
    # A decimal becomes the fraction that it is. As a float 0.1 + 0.2 would not be 0.3.
    exact = _DECIMAL.sub(lambda match: rf"\frac{{{match[1]}{match[2]}}}{{{10 ** len(match[2])}}}", text)
    exact = re.sub(r"(?<=[0-9])\s*\(", r"\\cdot (", exact)  # else 2(3) is read as the mixed number 2 + 3
    expression: Any = latex2sympy(exact, normalization_config=None, conversion_config=settings)
    return expression.doit()


if __name__ == "__main__":
    _answer_questions()
