"""Whether a model keeps rows apart that lie one behind the other in one long row.

A padding-free kernel of attention takes each row's own tokens alone, by the positions that begin anew. What
else mixes tokens, such as a state-space layer or a convolution, may not: so it is tried out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..config.schema import ModelConfig
from ..data.batching import pack_rows
from ..data.token_rows import TokenRow
from .attention import asks_for_flash_attention
from .responses import gathered, logits_at, model_inputs

_COMPARED_TOKENS = 32  # of each row, the last: all logits of a large vocabulary would not fit
_TOLERANCE = 0.05  # root mean square of the difference over that of the logits, bfloat16's rounding included


def has_packed_attention(settings: ModelConfig, model: Any) -> bool:
    """Whether it is a causal model with a kernel of attention for packed rows. Its weights are not read."""
    return asks_for_flash_attention(settings) and not model.config.is_encoder_decoder


@torch.no_grad()
def why_rows_mix(model: Any, rows: Sequence[TokenRow]) -> str | None:
    """Why packed rows do not get the logits that each gets alone, within rounding. None if they do.

    What a row gets must also be the same bits whatever lies before it: random weights, and a state that fades
    away, let through less than rounding hides.

    Args:
        model: on its device, in whatever precision is entered.
        rows: some that it will be given. The ends of them are compared.

    Raises:
        torch.OutOfMemoryError: no fault of the packing.
    """
    was_training = model.training
    model.eval()
    *before, last = rows
    try:
        together = _logits(model, rows)
        after_others = _logits(model, [*(TokenRow(row.ids[::-1], row.is_response) for row in before), last])
        alone = torch.cat([_logits(model, [row]) for row in rows])
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:  # a family that takes no positions
        return f"{type(error).__name__}: {error}"
    finally:
        model.train(was_training)
    difference = (together - alone).square().mean().sqrt()
    own = slice(-min(len(last), _COMPARED_TOKENS), None)
    if not torch.equal(together[own], after_others[own]):
        return "what lies before a row changes its logits"
    if difference > _TOLERANCE * alone.square().mean().sqrt():
        return f"logits of packed rows and of rows alone differ by {difference.item():.2g}"
    return None


def _logits(model: Any, rows: Sequence[TokenRow]) -> torch.Tensor:
    """float32 (R, V), of the last tokens of each row."""
    ends = np.cumsum([len(row) for row in rows])
    compared = [
        np.arange(end - min(len(row), _COMPARED_TOKENS), end) for end, row in zip(ends, rows, strict=True)
    ]
    position_R = torch.from_numpy(np.concatenate(compared)).to(model.device)
    batch = {
        name: value.to(model.device) if isinstance(value, torch.Tensor) else value
        for name, value in pack_rows(rows).items()
    }
    shape = tuple(batch["input_ids"].shape)
    with logits_at(model, shape, position_R):
        logits = model(**model_inputs(model, batch), use_cache=False).logits
    return gathered(logits, shape, position_R).float()
