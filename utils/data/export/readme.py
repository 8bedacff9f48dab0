"""The README beside rows that were written for another stack."""

from dataclasses import dataclass

from ...config.names import Speaker, is_chat_template
from ...terminal import counted
from .notes import filled
from .origin import ORIGINS_FILE, Origin
from .segments import SpecialTexts
from .stacks import DATA_FILE, Form

_SCORED = "S2L scored {}, in at most {} tokens of prompt and response together."
_NOT_SCORED = (
    "S2L has no scores of its own of these rows. What is said of them here holds for its `train.py`, which\n"
    "trains on {}."
)
_BY_ROLE = """\
- In {} S2L did not score all turns of the assistant and no other (`score_turns`, `score_roles`, weights,
  calls of tools). Here each turn of the assistant is trained on, and no other.
"""
_README = """\
# The subset of run {run_name} for {title}

{num_rows}, in the order of the pool{but_for_the_first}.

- `{data_file}`: a row on each line, with {columns}.
  The rows with all their columns, as they were, are in `../subset.jsonl`.
- `{origins_file}`: of each of these lines its row number in the pool (from 0), its source and its cluster.

{notes}"""


_LEADING = """\
, but for the first with each kind of turn (a call of a tool, say), which
lie in front"""

_TURNS: dict[Speaker, str] = {
    "assistant": "answer",
    "tool_call": "call of a tool",
    "tool": "result of a tool",
    "user": "turn of the user",
    "system": "system text",
}


@dataclass(frozen=True)
class RowFacts:
    """What a README says of the rows besides their form.

    Attributes:
        are_rendered: whether they are exact texts.
        special: the special tokens that are in the text, None where none are.
        num_not_by_role: rows in which S2L scored other turns than all of the assistant.
        have_tools: whether the lines hold the tools of a row.
    """

    are_rendered: bool
    special: SpecialTexts | None
    num_not_by_role: int
    have_tools: bool


def readme(title: str, form: Form, folder: str, origin: Origin, facts: RowFacts) -> str:
    """Markdown: the files, how to use them, and which tokens are trained on.

    Args:
        title: of the stack.
        form: of the rows.
        folder: where they lie.
        origin: of the subset.
        facts: of the rows.
    """
    if origin.scored is None:
        scored = _NOT_SCORED.format(_what_counts(origin, origin.template))
    else:
        template, max_length = origin.scored
        scored = _SCORED.format(_what_counts(origin, template), max_length)
    words = {
        "folder": folder,
        "template": origin.template,
        "scored": scored,
        "special": _special_in_words(facts.special, origin.template),
        "by_role": _BY_ROLE.format(counted(facts.num_not_by_role, "row")) if facts.num_not_by_role else "",
    }
    return _README.format(
        run_name=origin.run_name,
        title=title,
        num_rows=counted(origin.num_rows, "row"),
        but_for_the_first="" if facts.are_rendered else _LEADING,
        data_file=DATA_FILE,
        columns=f"{form.columns}, and `tools`" if facts.have_tools else form.columns,
        origins_file=ORIGINS_FILE,
        notes=filled(form.notes, words),
    )


def _special_in_words(special: SpecialTexts | None, template: str) -> str:
    if special is None:
        return "none"
    if is_chat_template(template):
        return "those that the chat template writes"
    beginning = f"`{special.beginning}` at the beginning and " if special.beginning else ""
    return f"{beginning}`{special.end}` at the end"


def _what_counts(origin: Origin, template: str) -> str:
    if not is_chat_template(template):
        return f"each response and one end-of-sequence token behind\nthe prompt of template `{template}`"
    names = [_TURNS[speaker] for speaker in origin.scored_turns]
    which = " and ".join(f"each {name}" for name in names)
    if origin.scored_last:
        which = f"the last {' or '.join(names)}"
    return f"{which}, with the special token that ends the turn,\nin a chat template"
