"""Whether every trained weight has a gradient after each batch, as DDP expects unless it is told."""

from typing import Any

import torch

from ..data.batching import pad_rows
from ..data.token_rows import TokenRow
from .responses import logits_at, model_inputs, response_positions, summed_token_loss


def leaves_weights_out(model: Any, rows: list[TokenRow], pad_id: int) -> bool:
    """Whether some weight has none after this batch, as those of gemma3's vision tower.

    Args:
        model: on its device, without gradients, and so it is left.
    """
    is_encoder_decoder = bool(model.config.is_encoder_decoder)
    padded = pad_rows(rows, pad_id, is_encoder_decoder)
    batch = {name: values.to(model.device) for name, values in padded.items()}
    positions = response_positions(batch["labels"], is_encoder_decoder)
    inputs = model_inputs(model, batch)
    devices = [model.device] if model.device.type == "cuda" else []
    # Dropout draws. The training that follows has its numbers all the same.
    with torch.random.fork_rng(devices), logits_at(model, positions.shape, positions.position_R):
        summed_token_loss(model(**inputs, use_cache=False).logits, positions).backward()
    is_left_out = any(weight.requires_grad and weight.grad is None for weight in model.parameters())
    model.zero_grad(set_to_none=True)
    return is_left_out
