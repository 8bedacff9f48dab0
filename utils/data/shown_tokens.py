"""Rows of tokens as a person reads them: every token, and whether the loss is taken over it."""

import re
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from ..terminal import counted
from .token_rows import TokenRow
from .tokenization import TokenizedPool

_ROWS_LOOKED_AT = 1000  # for what holds of all rows or of none
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_BYTES = {letter: byte for byte, letter in bytes_to_unicode().items()}  # as byte-level vocabularies have it
_MOST_TOKENS = 800  # of a row that nobody asked for by its number
_AROUND = 100  # tokens before and behind a place that is shown of a longer one


@dataclass(frozen=True)
class Stretch:
    """Tokens of a row that follow one another.

    Attributes:
        is_scored: whether the loss is taken over all of them or over none, None where they are left out.
        texts: of each token, empty where they are left out.
        num_tokens: how many.
        num_scored: of these.
    """

    is_scored: bool | None
    texts: list[str]
    num_tokens: int
    num_scored: int


@dataclass(frozen=True)
class ShownRow:
    """One row.

    Attributes:
        row: its number in the pool.
        stretches: its tokens in order.
        num_tokens: of the row.
        num_scored: those that the loss is taken over.
        num_cut: tokens that max_length takes off.
        num_scored_cut: of these, those that the loss would be taken over.
        end: the special token that is scored last, None where the last is none.
    """

    row: int
    stretches: list[Stretch]
    num_tokens: int
    num_scored: int
    num_cut: int
    num_scored_cut: int
    end: str | None


def shown_rows(
    tokens: TokenizedPool, tokenizer: PreTrainedTokenizerBase, rows: np.ndarray, wanted: int | None
) -> list[ShownRow]:
    """The first of some rows, a middle one and the longest of the others, or the wanted one, shown whole.

    The longest is the one that was before it was cut.

    Args:
        tokens: of the pool.
        tokenizer: that they were made with.
        rows: row numbers, ascending.
        wanted: a row of the pool, by number.

    Raises:
        ValueError: if it has no such row, or that one has no tokens.
    """
    if wanted is None:
        used = rows[tokens.lengths[rows] > 0]
        chosen = np.unique(used[[0, len(used) // 2]]).tolist()
        others = np.setdiff1d(used, chosen)
        if len(others):
            chosen.append(int(others[np.argmax(tokens.whole_lengths[others])]))
    else:
        if not 0 <= wanted < len(tokens):
            raise ValueError(f"--show: found row {wanted}, expected one of the pool's 0 to {len(tokens) - 1}")
        if not tokens.lengths[wanted]:
            raise ValueError(f"--show: row {wanted} is invalid and has no tokens: choose another")
        chosen = [wanted]
    special = _special_ids(tokenizer)
    most = _MOST_TOKENS if wanted is None else int(tokens.lengths[wanted])
    return [_shown(tokens, tokenizer, special, row, most) for row in chosen]


def token_remarks(tokens: TokenizedPool, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """What is odd about the tokens of a pool, judged by its first rows."""
    is_whole = (tokens.num_response_tokens > 0) & (tokens.whole_lengths <= tokens.manifest.max_length)
    rows = [tokens.row(int(row)) for row in np.flatnonzero(is_whole)[:_ROWS_LOOKED_AT]]
    remarks = []
    special = _special_ids(tokenizer)
    num_endless = sum(_last_scored(row) not in special for row in rows)
    if num_endless:
        few = f"{num_endless:,} of the first {len(rows):,} rows do not end their"
        which = "no row ends its" if num_endless == len(rows) else few
        remarks.append(f"{which} response in a special token: a model is not taught where an answer ends")
    is_chat = tokens.manifest.template.startswith("chat:")
    begin = tokenizer.bos_token_id
    if rows and begin is not None and all(row.ids[:2].tolist() == [begin, begin] for row in rows):
        where = "chat template" if is_chat else "rows"
        remarks.append(f"every row begins with {tokenizer.bos_token} twice: take it out of the {where}")
    if is_chat and tokens.left_out is None:
        remarks.append(
            "an earlier version made these tokens and did not look for turns and tools that the chat "
            f"template does not show: delete {tokens.folder} to have them looked at"
        )
    for what, num_rows in sorted((tokens.left_out or {}).items()):
        remarks.append(
            f"the chat template does not show all {what} of {counted(num_rows, 'row')}: "
            "no model is given what is missing"
        )
    return remarks


def _shown(
    tokens: TokenizedPool, tokenizer: PreTrainedTokenizerBase, special: set[Any], number: int, most: int
) -> ShownRow:
    row = tokens.row(number)
    last = _last_scored(row)
    stretches = []
    is_shown = np.ones(len(row), bool) if len(row) <= most else _ends_and_seams(row.is_response)
    kinds = np.where(is_shown, row.is_response, -1).tolist()  # 1 scored, 0 read, -1 left out
    start = 0
    for kind, group in groupby(kinds):
        stop = start + len(list(group))
        ids = row.ids[start:stop] if kind >= 0 else []
        num_scored = int(row.is_response[start:stop].sum())
        texts = [_text(tokenizer, int(token)) for token in ids]
        stretches.append(Stretch(None if kind < 0 else kind == 1, texts, stop - start, num_scored))
        start = stop
    num_scored = int(tokens.num_response_tokens[number])
    whole = int(tokens.whole_lengths[number])
    return ShownRow(
        row=number,
        stretches=stretches,
        num_tokens=len(row),
        num_scored=num_scored,
        num_cut=max(0, whole - tokens.manifest.max_length),
        num_scored_cut=int(tokens.whole_responses[number]) - num_scored,
        end=_text(tokenizer, last) if last in special else None,
    )


def _ends_and_seams(is_response: np.ndarray) -> np.ndarray:
    """Whether each token is near an end of the row, or near where scoring first begins or last ends."""
    seams = np.flatnonzero(np.diff(is_response))
    is_shown = np.zeros(len(is_response), bool)
    for place in (0, *seams[:1], *seams[-1:], len(is_response)):
        is_shown[max(0, place - _AROUND) : place + _AROUND] = True
    return is_shown


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> set[Any]:
    """Of all added tokens but white space, and of the end of a sequence."""
    end: Any = tokenizer.eos_token_id
    added = tokenizer.added_tokens_decoder  # the tokenizer makes it anew when asked
    return {end, *(number for number, token in added.items() if str(token).strip())}


def _last_scored(row: TokenRow) -> int:
    """The last of the scored tokens, -1 without one."""
    scored = row.ids[row.is_response]
    return int(scored[-1]) if len(scored) else -1


def _text(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    """A token as text. A byte that is no character by itself is half a surrogate pair, as Python has it."""
    text = str(tokenizer.decode([token], clean_up_tokenization_spaces=False))
    if text and "\ufffd" not in text:
        return text
    name = str(tokenizer.convert_ids_to_tokens(token))
    if _BYTE.fullmatch(name):  # as SentencePiece has it
        found = bytes([int(name[3:5], 16)])
    elif set(name) <= _BYTES.keys():
        found = bytes(_BYTES[letter] for letter in name)
    else:
        return name
    return found.decode("utf-8", "surrogateescape")
