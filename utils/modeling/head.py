"""The output head and the log-sum-exp behind it, a tile of the logits at a time.

Legend: R response tokens, H hidden size, V vocabulary, Q rows of a tile, U columns of a tile,
K tiles side by side.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from .logits import LogitOperations

# (rows, vocabulary entries) of a tile.
_TILE = {"cpu": (1024, 1024)}  # 4 MiB as float32, which stays in the cache
_GPU_TILE = (8192, 16384)  # fills the matrix units. 512 MiB as float32


def output_head(model: Any) -> torch.nn.Linear | None:
    """The linear layer that turns hidden states into logits, None where no module of its own does that."""
    head = model.get_output_embeddings()
    # FSMT multiplies by its embedding's weight, without a module for it.
    return None if isinstance(head, torch.nn.Embedding) else head


class TiledHead:
    """Scores tokens without ever holding the (R, V) logits.

    Args:
        head: the model's own. Its weights are read at each call, so they may change in place.
        operations: what the model does to the head's output.
        compiled: fuse what is done to a tile with torch.compile.
    """

    def __init__(self, head: torch.nn.Linear, operations: LogitOperations, compiled: bool = False):
        self._head = head
        reduce_tile = _tile_reduction(operations)
        self._reduce_tile = torch.compile(reduce_tile, dynamic=True) if compiled else reduce_tile

    def score(self, hidden_RH: torch.Tensor, labels_R: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 (R,) -log p of each label in nats, float32 (R,) probability of the likeliest token."""
        losses_R = torch.empty(len(labels_R), dtype=torch.float32, device=labels_R.device)
        max_probability_R = torch.empty_like(losses_R)
        size, _ = _TILE.get(labels_R.device.type, _GPU_TILE)
        for start in range(0, len(labels_R), size):
            part = slice(start, start + size)
            losses_R[part], max_probability_R[part] = self._score_rows(hidden_RH[part], labels_R[part])
        return losses_R, max_probability_R

    def _score_rows(
        self, hidden_QH: torch.Tensor, labels_Q: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        weight_VH = self._head.weight
        bias_V = self._head.bias
        _, size = _TILE.get(labels_Q.device.type, _GPU_TILE)
        tiles = []
        for start in range(0, len(weight_VH), size):
            part = slice(start, start + size)
            bias_U = None if bias_V is None else bias_V[part]
            tiles.append(self._reduce_tile(hidden_QH, weight_VH[part], bias_U, labels_Q - start, start))
        largest_KQ, sums_KQ, of_label_KQ = (torch.stack(values) for values in zip(*tiles, strict=True))
        # Each tile's sum is relative to its own largest logit, so that no exponential overflows.
        log_sum_Q = torch.logsumexp(largest_KQ + sums_KQ.log(), dim=0)
        return log_sum_Q - of_label_KQ.sum(dim=0), torch.exp(largest_KQ.amax(dim=0) - log_sum_Q)


def _tile_reduction(operations: LogitOperations) -> Callable[..., tuple[torch.Tensor, ...]]:
    """What is done to a tile of logits: a function of tensors, so that torch.compile fuses all of it."""

    def reduce_tile(
        hidden_QH: torch.Tensor,
        weight_UH: torch.Tensor,
        bias_U: torch.Tensor | None,
        labels_Q: torch.Tensor,
        start: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The tile with this first column, reduced.

        Args:
            hidden_QH: what the head reads.
            weight_UH: of the tile's columns.
            bias_U: of the tile's columns.
            labels_Q: counted from the tile's first column. A label may lie outside the tile.
            start: the tile's first column.

        Returns:
            float32 (Q,) each: the largest logit m, the sum of exp(logit - m),
            and the label's logit (0 if it lies outside).
        """
        logits_QU = operations.replay(functional.linear(hidden_QH, weight_UH, bias_U), start).float()
        inside_Q = (labels_Q >= 0) & (labels_Q < logits_QU.shape[1])
        column_Q = labels_Q.clamp(0, logits_QU.shape[1] - 1)
        of_label_Q = logits_QU.gather(1, column_Q[:, None]).squeeze(1).where(inside_Q, 0.0)
        largest_Q = logits_QU.amax(dim=1)
        return largest_Q, logits_QU.sub_(largest_Q[:, None]).exp_().sum(dim=1), of_label_Q

    return reduce_tile
