"""Whether a model keeps rows apart that lie one behind the other in one long row.

A padding-free kernel of attention takes each row's own tokens alone, by the positions that begin anew. What
else mixes tokens, such as a state-space layer or a convolution, may not: so it is tried out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers.utils.generic import is_flash_attention_requested

from ..data.batching import pack_rows
from .responses import model_inputs

_TOLERANCE = 0.05  # root mean square of the difference over that of the logits, bfloat16's rounding included


def has_packed_attention(model: Any) -> bool:
    """Whether it is a causal model with a kernel of attention for packed rows. Its weights are not read."""
    return not model.config.is_encoder_decoder and is_flash_attention_requested(model.config)


@torch.no_grad()
def keeps_rows_apart(model: Any, rows: Sequence[tuple[np.ndarray, int]]) -> bool:
    """Whether packed rows get the logits that each gets alone, within rounding.

    What a row gets must also be the same bits whatever lies before it: random weights, and a state that fades
    away, let through less than rounding hides.

    Args:
        model: on its device, in whatever precision is entered.
        rows: some that it will be given.
    """
    was_training = model.training
    model.eval()
    *before, last = rows
    try:
        together = _logits(model, rows)
        after_others = _logits(model, [*((ids[::-1], start) for ids, start in before), last])
        alone = torch.cat([_logits(model, [row]) for row in rows])
    except (TypeError, ValueError, RuntimeError):  # a family that takes no positions
        return False
    finally:
        model.train(was_training)
    own = slice(-len(last[0]), None)
    difference = (together - alone).square().mean().sqrt()
    return bool(
        torch.equal(together[own], after_others[own])
        and difference <= _TOLERANCE * alone.square().mean().sqrt()
    )


def _logits(model: Any, rows: Sequence[tuple[np.ndarray, int]]) -> torch.Tensor:
    """float32 (sum of lengths, V)."""
    batch = {name: tensor.to(model.device) for name, tensor in pack_rows(rows).items()}
    return model(**model_inputs(model, batch), use_cache=False).logits[0].float()
