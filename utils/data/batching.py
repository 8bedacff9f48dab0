"""Rows of tokens -> padded tensors, and which rows go together.

Legend: B rows of a batch, L tokens of its longest row.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from .token_rows import TokenRow
from .tokenization import TokenizedPool

FLASH_ENDS = ("cu_seq_lens_q", "cu_seq_lens_k")
FLASH_LENGTHS = ("max_length_q", "max_length_k")
IGNORED = -100  # the label of a position that no loss is taken over


def pad_rows(rows: Iterable[TokenRow], pad_id: int, is_encoder_decoder: bool) -> dict[str, torch.Tensor]:
    """Right-pad rows into the tensors a model takes.

    Args:
        pad_id: the token to pad with.
        is_encoder_decoder: whether prompts and responses go to two sides.

    Returns:
        input_ids, attention_mask and labels, int64 (B, L). Labels are IGNORED but on response tokens.
        For encoder-decoder models they have the responses' own length.
    """
    rows = list(rows)
    if is_encoder_decoder:
        starts = [row.start for row in rows]
        input_ids_BL, is_token_BL = _pad(
            [row.ids[:start] for row, start in zip(rows, starts, strict=True)], pad_id
        )
        labels_BL, _ = _pad([row.ids[start:] for row, start in zip(rows, starts, strict=True)], IGNORED)
    else:
        input_ids_BL, is_token_BL = _pad([row.ids for row in rows], pad_id)
        labels_BL, _ = _pad([_labels(row) for row in rows], IGNORED)
    return {
        "input_ids": torch.from_numpy(input_ids_BL),
        "attention_mask": torch.from_numpy(is_token_BL.astype(np.int64)),
        "labels": torch.from_numpy(labels_BL),
    }


def pack_rows(rows: Iterable[TokenRow]) -> dict[str, Any]:
    """Rows one behind the other, without padding, for a causal model whose attention goes by positions.

    Returns:
        input_ids, position_ids and labels, int64 (1, sum of lengths). Positions begin anew with each row.
        Labels are IGNORED but on response tokens, and on each row's first token, which nothing predicts.
        Besides, what flash attention would work out of the positions in each layer, and a GPU be waited for:
        cu_seq_lens_q and _k, int32 (rows + 1,), and max_length_q and _k, numbers.
    """
    rows = list(rows)
    lengths = [len(row) for row in rows]
    labels = [_labels(row) for row in rows]
    for of_row in labels:
        of_row[:1] = IGNORED
    packed = {
        "input_ids": [row.ids for row in rows],
        "position_ids": [np.arange(length) for length in lengths],
        "labels": labels,
    }
    ends = torch.from_numpy(np.cumsum([0, *lengths], dtype=np.int32))
    return {
        **{
            name: torch.from_numpy(np.concatenate(parts).astype(np.int64))[None]
            for name, parts in packed.items()
        },
        **dict.fromkeys(FLASH_ENDS, ends),
        **dict.fromkeys(FLASH_LENGTHS, max(lengths)),
    }


def _labels(row: TokenRow) -> np.ndarray:
    return np.where(row.is_response, row.ids, IGNORED)


def _pad(rows: Sequence[np.ndarray], value: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows filled up with `value`, int64 (B, L), and where their own entries are, bool (B, L)."""
    lengths_B = np.array([len(row) for row in rows])
    is_own_BL = np.arange(max(1, lengths_B.max())) < lengths_B[:, None]
    padded_BL = np.full(is_own_BL.shape, value, np.int64)
    padded_BL[is_own_BL] = np.concatenate(rows)
    return padded_BL, is_own_BL


def token_budget_batches(rows: np.ndarray, lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Group rows of similar length, at most `max_tokens` a padded batch. A longer row goes alone.

    Args:
        rows: row numbers.
        lengths: tokens of each of them.
        max_tokens: of a batch, padding included.
    """
    # Longest first, so that a batch too large for the memory shows at once. Ties keep the order of rows.
    order = np.argsort(-lengths, kind="stable")
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        size = max(1, max_tokens // longest)
        batches.append(rows[order[start : start + size]])
        start += size
    return batches


def batch_widths(tokens: TokenizedPool) -> np.ndarray:
    """int64 (N,): how many tokens wide a row makes a batch."""
    if tokens.is_encoder_decoder:
        return np.maximum(tokens.response_starts, tokens.num_response_tokens)
    return tokens.lengths


def rows_of_all_lengths(rows: np.ndarray, lengths: np.ndarray) -> list[int]:
    """Some of the rows for trying something out: one in a hundred, but four at least and eight at most.

    The shortest and the longest are among them. The others lie evenly between in the order of length.

    Args:
        rows: row numbers.
        lengths: of each of them.
    """
    if not len(rows):
        return []
    places = np.linspace(0, len(rows) - 1, min(8, max(4, len(rows) // 100))).round().astype(int)
    return rows[np.argsort(lengths, kind="stable")][np.unique(places)].tolist()
