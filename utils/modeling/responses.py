"""The loss of responses while a model is trained, with logits computed at their positions only.

Legend: B rows of a batch, L tokens of the longest row, R response tokens of the batch, V vocabulary.
"""

import contextlib
import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from ..data.batching import FLASH_ENDS, FLASH_LENGTHS, IGNORED
from .head import output_head


def model_inputs(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """The inputs of the model's forward, without labels: the losses are ours, the same for every family.

    Args:
        batch: as `pad_rows` or `pack_rows` gives it.
    """
    if "position_ids" in batch:  # packed, with no padding to mask
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        ends = (*FLASH_ENDS, *FLASH_LENGTHS) if _passes_on_to_attention(type(base)) else ()
        return {name: batch[name] for name in ("input_ids", "position_ids", *ends)}
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = _decoder_inputs(model, batch["labels"])
    return inputs


@functools.cache
def _passes_on_to_attention(family: Any) -> bool:
    """Whether the forward of this class of models takes more than the arguments that it names."""
    parameters = inspect.signature(family.forward).parameters.values()
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)


def check_decoder(model: Any) -> None:
    """Whether an encoder-decoder says what its decoder begins with.

    Args:
        model: its weights are not read, so it may be empty.

    Raises:
        ValueError: if its config does not say.
    """
    if model.config.is_encoder_decoder:
        _decoder_inputs(model, torch.tensor([[IGNORED, 0, 0]]))


def _decoder_inputs(model: Any, labels_BL: torch.Tensor) -> torch.Tensor:
    """The tokens that a decoder reads to predict the labels, int64 (B, L).

    That is the family's own rule where the model has a method for it (mBART starts with the last label).
    Else it is the start token and then the labels but the last.

    Raises:
        ValueError: for a config without the start token.
    """
    if labels_BL.shape == (1, 1) and labels_BL.item() == IGNORED:
        return torch.zeros_like(labels_BL)  # a filler, in which mBART's rule would look for a last label
    pad_id = model.config.pad_token_id
    start_id = getattr(model.config, "decoder_start_token_id", None)
    if pad_id is not None:
        labels_BL = labels_BL.masked_fill(labels_BL == IGNORED, pad_id)  # FSMT's rule leaves them in
    has_both = pad_id is not None and start_id is not None
    own_rule = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    if own_rule is None and has_both:
        return functional.pad(labels_BL[:, :-1], (1, 0), value=start_id)
    if own_rule is not None:
        try:
            return own_rule(labels=labels_BL)
        except (AttributeError, TypeError, ValueError):  # each family has its own for a missing token
            if has_both:
                raise
    raise ValueError(
        f"{type(model).__name__}: found pad_token_id {pad_id} and decoder_start_token_id {start_id} "
        "in its config, expected two numbers: set them in config.json or under model.architecture"
    )


@dataclass(frozen=True)
class ResponsePositions:
    """Where a batch predicts response tokens, and which.

    Attributes:
        shape: (B, L).
        position_R: int64, ascending, among the B x L. To be made on the CPU: a boolean index on a GPU would
            wait for all that it still has to do.
        labels_R: int64, the tokens.
    """

    shape: tuple[int, ...]
    position_R: torch.Tensor
    labels_R: torch.Tensor


def response_positions(labels_BL: torch.Tensor, is_encoder_decoder: bool) -> ResponsePositions:
    """A causal model's position t predicts token t + 1. A decoder's position t predicts label t."""
    if not is_encoder_decoder:
        labels_BL = functional.pad(labels_BL[:, 1:], (0, 1), value=IGNORED)
    position_R = (labels_BL != IGNORED).flatten().nonzero().squeeze(1)
    return ResponsePositions(tuple(labels_BL.shape), position_R, labels_BL.flatten()[position_R])


@contextlib.contextmanager
def logits_at(model: Any, shape: tuple[int, ...], position_R: torch.Tensor) -> Iterator[None]:
    """Within this context the model's forward returns logits at these positions only, as (1, R, V).

    The output head is given the gathered hidden states, and a family does to its logits what it always does.
    A model that has no such head computes them all: `gathered` takes either.

    Args:
        shape: (B, L).
        position_R: among the B x L.
    """

    def gather(_module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor] | None:
        if arguments[0].shape[:2] != shape:  # ProphetNet's head reads several streams
            return None
        return (arguments[0].flatten(0, 1)[position_R][None],)

    head = output_head(model)
    hook = None if head is None else head.register_forward_pre_hook(gather)
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()


def gathered(logits: torch.Tensor, shape: tuple[int, ...], position_R: torch.Tensor) -> torch.Tensor:
    """(R, V) of the logits from a forward within `logits_at`."""
    return logits.flatten(0, 1)[position_R] if logits.shape[:2] == shape else logits[0]


def summed_token_loss(logits: torch.Tensor, positions: ResponsePositions) -> torch.Tensor:
    """Sum of -log p over response tokens, in nats, float32. No token at all gives 0 with a gradient of 0.

    Args:
        logits: from a forward within `logits_at`.
    """
    logits_RV = gathered(logits, positions.shape, positions.position_R)
    return functional.cross_entropy(logits_RV.float(), positions.labels_R, reduction="sum")
