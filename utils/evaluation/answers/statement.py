"""Where a text states its answer, and what it states: a sentence, a formula, the content of a box."""

import re
import unicodedata

_MARKER = re.compile(r"the (?:final |correct )?answer is|####|\banswer:", re.IGNORECASE)
# A marker with an answer behind it: no heading in Markdown, and no "Answer:" at the end of a line.
_STATED = re.compile(
    r"the (?:final |correct )?answer is|####[ \t]*[^\s#A-Za-z][^\nA-Za-z]*(?=\n|\Z)|\banswer:[ \t]*[^\s*]",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?=[{0-9A-Za-z])")
# Behind a blank line: "Q:", "Question 2.", "### Problem", the Alpaca prompt.
_NEW_QUESTION = re.compile(
    r"\n[ \t]*\n[ \t]*(?:#+[ \t]*)?(?:(?:next|new|another)[ \t]+)?"
    r"(?:(?:q|question|problem|exercise|instruction|user|human)[ \t]*#?[0-9]*[ \t]*[:.)\n]"
    r"|below is an instruction)",
    re.IGNORECASE,
)
_BETWEEN_BOXES = re.compile(r"[\s$.]*(?:,|;|\band\b|\bor\b|\\(?:text|mbox)\{\s*(?:and|or)\s*\})[\s$]*")
_DISPLAYS = (("$$", "$$"), ("\\[", "\\]"))
_END_OF_SENTENCE = re.compile(r"(?<!\.)\.(?=[\s*]|$)")
# Bold text or code, and not the power in 2**3.
_BOLD = re.compile(r"(?<![\w)}*])\*\*(?=[^\s*])([^\n]{0,300}?)(?<=[^\s*])\*\*(?![\w({*])|`([^`\n]+)`")
_EMPHASIS = re.compile(
    "(__|[\"'_\N{LEFT DOUBLE QUOTATION MARK}])(?=\\S)(.+?)(?:\\1|\N{RIGHT DOUBLE QUOTATION MARK})"
)
_LETTERED = re.compile(r"\ba\.\s.*\bb\.\s")  # a. 5 b. 6
_CLOCK = re.compile(r"\b([ap])\.\s?m\b\.?", re.IGNORECASE)
# Between two numbers it is a range.
_MINUS_DASH = re.compile(r"(?<![0-9A-Za-z)\]}])\N{EN DASH}(?=\s?[0-9.\\])")

# Characters that stand for a notation of ASCII or LaTeX.
_CHARACTERS = {
    "\N{MINUS SIGN}": "-", "\N{FULLWIDTH HYPHEN-MINUS}": "-", "\N{MULTIPLICATION SIGN}": r"\times ",
    "\N{DIVISION SIGN}": "/", "\N{FRACTION SLASH}": "/", "\N{DOT OPERATOR}": r"\cdot ",
    "\N{MIDDLE DOT}": r"\cdot ", "\N{PLUS-MINUS SIGN}": r"\pm ", "\N{LESS-THAN OR EQUAL TO}": r"\le ",
    "\N{GREATER-THAN OR EQUAL TO}": r"\ge ", "\N{NOT EQUAL TO}": r"\ne ", "\N{INFINITY}": r"\infty ",
    "\N{DEGREE SIGN}": r"^\circ ", "\N{UNION}": r"\cup ", "\N{INTERSECTION}": r"\cap ",
    "\N{ELEMENT OF}": r"\in ", "\N{EMPTY SET}": r"\emptyset ", "\N{GREEK SMALL LETTER PI}": r"\pi ",
    "\N{GREEK SMALL LETTER THETA}": r"\theta ", "\N{HORIZONTAL ELLIPSIS}": r"\ldots ",
    "\N{ALMOST EQUAL TO}": r"\approx ",
}  # fmt: skip
_ROOT = re.compile("\N{SQUARE ROOT}\\s*(?:\\(([^()]*)\\)|([0-9.]+|[A-Za-z]))")


def stated_by(text: str) -> str | None:
    """The answer that a text states, or None.

    It stands behind the last marker ("The answer is", "####", "Answer:"), or in a box behind that.
    Of several boxes in one list ("$\\boxed{3}$ and $\\boxed{5}$") all count.

    A model that goes on with a question of its own is judged by what it states before that: the text ends
    where, after an answer, a blank line and then the heading of a question follow ("Q:", "Problem 2:").
    Without such a heading it goes on, since a text may check its answer and state another one.
    """
    text = _without_own_questions(_plain(text))
    markers = list(_MARKER.finditer(text))
    begin = markers[-1].end() if markers else 0
    boxes = _last_boxes(text[begin:])
    if boxes:
        return ", ".join(boxes)
    return _first_sentence(text[begin:]) if markers else None


def whole_statement(text: str) -> str:
    """The answer in a text that is an answer and nothing else."""
    text = _plain(text)
    return ", ".join(_last_boxes(text)) or _first_sentence(text)


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{...} of a text, None without a whole one."""
    boxes = _last_boxes(text)
    return boxes[-1] if boxes else None


def _without_own_questions(text: str) -> str:
    answers = [match.end() for match in (_STATED.search(text), _BOX.search(text)) if match]
    question = _NEW_QUESTION.search(text, min(answers)) if answers else None
    return text[: question.start()] if question else text


def _plain(text: str) -> str:
    # The full stops of a.m. end no sentence.
    text = _CLOCK.sub(lambda match: f"{match[1].lower()}m", plain_characters(text))
    return _BOLD.sub(lambda match: match[1] or match[2], text)


def plain_characters(text: str) -> str:
    """The text with its numbers and signs (full-width forms, powers, fractions, roots) in ASCII and LaTeX."""
    if text.isascii():
        return text
    text = _MINUS_DASH.sub("-", "".join(map(_plain_character, text)))
    return _ROOT.sub(lambda match: rf"\sqrt{{{match[1] or match[2]}}}", text)


def _plain_character(character: str) -> str:
    if character.isascii():
        return character
    if character in _CHARACTERS:
        return _CHARACTERS[character]
    decomposed = unicodedata.decomposition(character)
    if decomposed.startswith("<super>") and character.isdigit():
        return f"^{unicodedata.digit(character)}"
    if decomposed.startswith("<fraction>"):
        return " " + unicodedata.normalize("NFKC", character).replace("\N{FRACTION SLASH}", "/")
    if decomposed.startswith(("<wide>", "<narrow>", "<noBreak>")):
        return unicodedata.normalize("NFKC", character)
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)


def _last_boxes(text: str) -> list[str]:
    """The contents of the last box and of those before it in the same list."""
    boxes: list[tuple[int, int, str]] = []
    for match in _BOX.finditer(text):
        if boxes and match.start() < boxes[-1][1]:
            continue  # inside of the one before
        end = closing_brace(text, match.end()) if text[match.end()] == "{" else match.end() + 1
        if end:
            boxes.append((match.start(), end, text[match.end() : end].removeprefix("{").removesuffix("}")))
    if not boxes:
        return []
    first = len(boxes) - 1
    while first > 0 and _BETWEEN_BOXES.fullmatch(text[boxes[first - 1][1] : boxes[first][0]]):
        first -= 1
    return [_without_boxes(content).strip() for _, _, content in boxes[first:]]


def _without_boxes(text: str) -> str:
    """The text with the content of each box in its place."""
    while match := _BOX.search(text):
        end = closing_brace(text, match.end()) if text[match.end()] == "{" else 0
        inside = text[match.end() + 1 : end - 1] + text[end:] if end else text[match.end() :]
        text = text[: match.start()] + inside
    return text


def closing_brace(text: str, begin: int) -> int:
    """The position behind the brace that closes the one at `begin`, 0 without one."""
    depth = 0
    for position in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position + 1
    return 0


def _first_sentence(text: str) -> str:
    text = text.strip(" \t\r\n:*")
    for opening, closing in _DISPLAYS:
        if text.startswith(opening) and closing in text[len(opening) :]:
            return text[len(opening) :].split(closing)[0].strip().rstrip(".")
    lines = text.splitlines() or [""]
    # A matrix or a group in braces may go over several lines.
    count = 1
    while count < len(lines) and _is_open("\n".join(lines[:count])):
        count += 1
    statement = "\n".join(lines[:count])
    if _is_open(statement):  # it never closes
        statement = lines[0]
    if _LETTERED.match(statement):
        return statement.strip(" \t*")
    statement = _END_OF_SENTENCE.split(statement)[0].strip(" \t*")
    emphasis = _EMPHASIS.fullmatch(statement.removesuffix("."))
    return emphasis[2] if emphasis else statement


def _is_open(text: str) -> bool:
    """Whether an environment or a brace begins in a text and does not end in it."""
    return text.count("\\begin{") > text.count("\\end{") or text.count("{") > text.count("}")
