"""The loss of held-out responses, per source: the same loss that trajectories record.

Legend: N rows of the held-out file.
"""

from typing import Any

import numpy as np
from transformers import PreTrainedModel

from ..data.batching import batch_widths, rows_of_all_lengths, token_budget_batches
from ..data.pool import Pool
from ..data.tokenization import TokenizedPool
from ..modeling.precision import float32_products
from ..modeling.scorer import Probe, ResponseScorer
from ..process.reporter import reporter


def heldout_losses(
    model: PreTrainedModel, tokens: TokenizedPool, pad_id: int, max_tokens_per_batch: int
) -> np.ndarray:
    """float32 (N,): mean nats per response token of each row, NaN for a row without one.

    Raises:
        ValueError: if a row with a response token has no finite loss.
    """
    losses_N = np.full(len(tokens), np.nan, np.float32)
    scorable = tokens.scorable_rows
    probed = rows_of_all_lengths(scorable, batch_widths(tokens)[scorable])
    progress = reporter.progress("held-out loss", "row", len(scorable))
    with float32_products(in_tf32=False):
        scorer = ResponseScorer(model, pad_id, Probe([tokens.row(row) for row in probed]))
        for rows in token_budget_batches(scorable, batch_widths(tokens)[scorable], max_tokens_per_batch):
            losses_N[rows] = scorer.score([tokens.row(row) for row in rows]).losses_B.cpu().numpy()
            progress.advance(len(rows))
    progress.close()
    broken = scorable[~np.isfinite(losses_N[scorable])]
    if len(broken):
        raise ValueError(
            f"the loss of {len(broken)} held-out rows is not finite, the first in row {broken[0]} "
            "(broken weights, or an overflow in this model.dtype): "
            "set model.dtype=float32, or evaluate another checkpoint with --ckpt"
        )
    return losses_N


def loss_of_rows(losses: np.ndarray) -> dict[str, Any]:
    """Counts and mean of the losses.

    Returns:
        `examples`: how many have a loss, `without_response_token`: how many have none,
        `loss`: their plain mean, None without any.
    """
    scored = losses[np.isfinite(losses)]
    return {
        "examples": len(scored),
        "loss": float(scored.mean(dtype=np.float64)) if len(scored) else None,
        "without_response_token": len(losses) - len(scored),
    }


def loss_by_source(losses_N: np.ndarray, pool: Pool) -> dict[str, dict[str, Any]]:
    """Source -> `loss_of_rows` of its usable rows."""
    return {
        name: loss_of_rows(losses_N[(pool.source_codes == code) & ~pool.excluded])
        for code, name in enumerate(pool.source_names)
    }
