"""The output head and the log-sum-exp behind it, a tile of the logits at a time.

Legend: R response tokens, H hidden size, V vocabulary, Q rows of a tile, U columns of a tile,
K tiles side by side.
"""

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
        max_probability: whether to look for the likeliest token.
    """

    def __init__(self, head: torch.nn.Linear, operations: LogitOperations, max_probability: bool = False):
        self._head = head
        self._operations = operations
        self._max_probability = max_probability

    def score(
        self, hidden_RH: torch.Tensor, labels_R: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """float32 (R,) -log p of each label in nats, and float32 (R,) the likeliest token's probability.

        The latter is None unless asked for.
        """
        losses_R = torch.empty(len(labels_R), dtype=torch.float32, device=labels_R.device)
        max_probability_R = torch.empty_like(losses_R)
        size, _ = _TILE.get(labels_R.device.type, _GPU_TILE)
        # In float32 a label's own logit is the same to rounding wherever it is computed.
        losses_only = not self._max_probability and hidden_RH.is_cpu and hidden_RH.dtype == torch.float32
        for start in range(0, len(labels_R), size):
            part = slice(start, start + size)
            if losses_only:
                losses_R[part] = self._losses(hidden_RH[part], labels_R[part])
            else:
                losses_R[part], max_probability_R[part] = self._score_rows(hidden_RH[part], labels_R[part])
        return losses_R, max_probability_R if self._max_probability else None

    def _losses(self, hidden_QH: torch.Tensor, labels_Q: torch.Tensor) -> torch.Tensor:
        """float32 (Q,): by sums relative to each label's own logit, so that no largest logit is looked for.

        That saves a tenth of the time of a small model. Where a sum overflows, which takes a loss of 88 nats,
        the row is scored the other way.
        """
        weight_VH = self._head.weight
        bias_V = self._head.bias
        of_label_Q = (hidden_QH * weight_VH[labels_Q]).sum(dim=1)
        if bias_V is not None:
            of_label_Q += bias_V[labels_Q]
        of_label_Q = self._operations.replay(of_label_Q[None], labels_Q)[0]
        sums_Q = torch.zeros_like(of_label_Q)
        _, size = _TILE["cpu"]
        for start in range(0, len(weight_VH), size):
            part = slice(start, start + size)
            bias_U = None if bias_V is None else bias_V[part]
            logits_QU = functional.linear(hidden_QH, weight_VH[part], bias_U)
            logits_QU = self._operations.replay(logits_QU, part)
            sums_Q += logits_QU.sub_(of_label_Q[:, None]).exp_().sum(dim=1)
        losses_Q = sums_Q.log().clamp(min=0)  # rounding can make a sum of just under one
        overflown = losses_Q.isfinite().logical_not().nonzero().squeeze(1)
        if len(overflown):
            losses_Q[overflown], _ = self._score_rows(hidden_QH[overflown], labels_Q[overflown])
        return losses_Q

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
        largest_KQ, log_sum_KQ, of_label_KQ = (torch.stack(values) for values in zip(*tiles, strict=True))
        log_sum_Q = torch.logsumexp(log_sum_KQ, dim=0)
        return log_sum_Q - of_label_KQ.sum(dim=0), torch.exp(largest_KQ.amax(dim=0) - log_sum_Q)

    def _reduce_tile(
        self,
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
            float32 (Q,) each: the largest logit, the logarithm of the sum of exp(logit),
            and the label's logit (0 if it lies outside).
        """
        columns = slice(start, start + len(weight_UH))
        logits_QU = self._operations.replay(functional.linear(hidden_QH, weight_UH, bias_U), columns)
        inside_Q = (labels_Q >= 0) & (labels_Q < logits_QU.shape[1])
        column_Q = labels_Q.clamp(0, logits_QU.shape[1] - 1)
        of_label_Q = logits_QU.gather(1, column_Q[:, None]).squeeze(1).float().where(inside_Q, 0.0)
        largest_Q, at_largest_Q = logits_QU.max(dim=1)
        # One kernel that rounds nothing to 16 bits. Counted from the largest logit no exponential overflows.
        log_p_QU = functional.log_softmax(logits_QU, dim=1, dtype=torch.float32)
        log_sum_Q = largest_Q.float() - log_p_QU.gather(1, at_largest_Q[:, None]).squeeze(1)
        return largest_Q.float(), log_sum_Q, of_label_Q
