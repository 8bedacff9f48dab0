"""Preference pairs: rows with a good and a bad response. S2L reads one response of each row."""

from collections.abc import Mapping
from typing import Any

from .conversations import begins_with

PAIR = {"chosen", "rejected"}  # columns
_QUESTIONS = ("prompt", "instruction", "question", "input")


def refusal_of_pairs(row: Mapping[str, Any]) -> str | None:
    """What to say of a row that is a pair, with the setting that reads its good response; else None."""
    if not row.keys() >= PAIR:
        return None
    found = "found preference pairs ('chosen' and 'rejected'), expected one response in each row"
    return f"{found}: {_way_out(row)}"


def _way_out(row: Mapping[str, Any]) -> str:
    chosen = row["chosen"]
    question = next((name for name in _QUESTIONS if name in row), None)
    again = "write the rows again, with 'chosen' as the last turn of the conversation"
    if isinstance(chosen, dict):  # one turn, which follows those in another column
        return again
    if isinstance(chosen, list) and _is_whole(chosen, row.get(question) if question else None):
        form, field = ("sharegpt", "conversations") if "from" in _first(chosen) else ("messages", "messages")
        return f"set data.format={form} data.columns.{field}=chosen"
    if question is None:
        return "write the rows again, with the question and 'chosen' in two columns"
    if isinstance(chosen, list) and not isinstance(row[question], list):
        return again
    named = "" if question == "prompt" else f" data.columns.prompt={question}"
    return f"set data.format=prompt_completion{named} data.columns.completion=chosen"


def _is_whole(chosen: list[Any], question: Any) -> bool:
    """Whether the turns are a whole conversation, and not only what follows the question."""
    if isinstance(question, list):
        return begins_with(chosen, question)
    first = _first(chosen)
    return question is None or first.get("role", first.get("from")) not in ("assistant", "gpt", "model")


def _first(turns: list[Any]) -> dict[str, Any]:
    return turns[0] if turns and isinstance(turns[0], dict) else {}
