"""Rows of tokens -> padded tensors, and which rows go together.

Legend: B rows of a batch, L tokens of its longest row.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from utils.data.tokenization import TokenizedPool

IGNORED = -100  # the label of a position that no loss is taken over


def pad_rows(rows: Iterable[tuple[np.ndarray, int]], pad_id: int, is_encoder_decoder: bool) -> dict[str, torch.Tensor]:
    """Right-pad rows (token ids, response start) into the tensors a model takes.

    Returns: input_ids_BL, attention_mask_BL and labels_BL (int64; labels are IGNORED on the prompt and on padding;
    for encoder-decoder models the labels have the responses' own length).
    """
    rows = list(rows)
    if is_encoder_decoder:
        inputs = [ids[:start] for ids, start in rows]
        labels = [ids[start:] for ids, start in rows]
    else:
        inputs = [ids for ids, _ in rows]
        labels = [np.concatenate([np.full(start, IGNORED), ids[start:]]) for ids, start in rows]
    return {
        "input_ids": _pad(inputs, pad_id),
        "attention_mask": _pad([np.ones(len(ids), np.int64) for ids in inputs], 0),
        "labels": _pad(labels, IGNORED),
    }


def _pad(rows: Sequence[np.ndarray], value: int) -> torch.Tensor:
    padded = np.full((len(rows), max(1, *(len(row) for row in rows))), value, np.int64)
    for position, row in enumerate(rows):
        padded[position, : len(row)] = row
    return torch.from_numpy(padded)


def token_budget_batches(rows: np.ndarray, lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Group rows of similar length so that a padded batch holds at most max_tokens tokens (a longer row goes alone).

    Args: rows: row numbers; lengths: tokens of each of them. Longest first, so that a batch too large for the memory
    shows at once; ties keep the order of rows.
    """
    order = np.argsort(-lengths, kind="stable")
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        size = max(1, max_tokens // longest)
        batches.append(rows[order[start : start + size]])
        start += size
    return batches


def scoring_lengths(tokens: TokenizedPool) -> np.ndarray:
    """int64 (N,): how many tokens wide a row makes a batch."""
    if tokens.is_encoder_decoder:
        return np.maximum(tokens.response_starts, tokens.num_response_tokens)
    return tokens.lengths


def shortest_middle_longest(rows: np.ndarray, lengths: np.ndarray) -> list[int]:
    """Up to three of the rows, for trying something out. Args: rows: row numbers; lengths: of each of them."""
    if not len(rows):
        return []
    ascending = rows[np.argsort(lengths, kind="stable")]
    return sorted({int(ascending[place]) for place in (0, len(rows) // 2, len(rows) - 1)})
