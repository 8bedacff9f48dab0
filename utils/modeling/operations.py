"""The floating-point operations that scoring and training need, and how many a device does a second."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..config.counts import TokenOperations

_LEAST_PRODUCT = 512  # rows and columns. A GPU that lacks 3 MiB can do nothing
_PER_WEIGHT = 2  # a multiplication and an addition
# The two halves of a backward pass, in forward passes.
_BACKWARD_TO_INPUTS = 1
_BACKWARD_TO_WEIGHTS = 1  # not done for a frozen weight

_CROSS_ATTENTION = ("EncDecAttention", "encoder_attn", "cross_att")
_KEYS_AND_VALUES = ("k", "v", "k_proj", "v_proj", "key_proj", "value_proj")


def scoring_operations(model: Any) -> TokenOperations:
    """The operations of a forward pass, per token: two for each weight that multiplies it.

    Experts count by the share of tokens that their router sends them.
    Attention's own products and look-ups in tables do not count, so the true number is a little higher.
    """
    return _token_operations(model, lambda weight: 1)


def training_operations(model: Any) -> TokenOperations:
    """The operations of a forward and a backward pass: three times scoring, and twice for a frozen weight."""

    def passes(weight: torch.Tensor) -> int:
        forward_and_back = 1 + _BACKWARD_TO_INPUTS
        return forward_and_back + _BACKWARD_TO_WEIGHTS if weight.requires_grad else forward_and_back

    return _token_operations(model, passes)


def _token_operations(model: Any, passes: Callable[[torch.Tensor], int]) -> TokenOperations:
    """The operations of some passes, for a token of the prompt and a token of the response.

    Args:
        passes: how often a weight multiplies each of its tokens.
    """
    head = model.get_output_embeddings() or model.get_input_embeddings()
    encoder = set(model.get_encoder().parameters()) if model.config.is_encoder_decoder else set()
    tables = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    shares = _shares_of_experts(model)
    of_prompt = of_response = 0.0
    # A layer that stands at several places works at each of them, so its weights are listed as often.
    for name, weight in model.named_parameters(remove_duplicate=False):
        if weight is head.weight or weight in tables or weight.ndim < 2 or name.endswith("bias"):
            continue
        operations = _PER_WEIGHT * passes(weight) * weight.numel() * shares.get(weight, 1.0)
        # The encoder reads the prompt and the decoder the response. A decoder on its own reads both.
        reads_encoder = weight in encoder or _is_cross_attention_key_or_value(name)
        if not encoder or reads_encoder:
            of_prompt += operations
        if not encoder or not reads_encoder:
            of_response += operations
    of_prediction = _PER_WEIGHT * passes(head.weight) * head.weight.numel()
    return TokenOperations(float(of_prompt), float(of_response + of_prediction))


def _is_cross_attention_key_or_value(name: str) -> bool:
    parts = name.split(".")
    is_cross_attention = any(word in part for part in parts for word in _CROSS_ATTENTION)
    return is_cross_attention and any(part in _KEYS_AND_VALUES for part in parts)


def _shares_of_experts(model: Any) -> dict[torch.Tensor, float]:
    """Weight of an expert -> the share of the tokens that its router sends it, all experts alike."""
    shares = {}
    for block in model.modules():
        for name, experts in block.named_children():
            # As transformers names them. Shared experts work on every token.
            if not type(experts).__name__.endswith("Experts") or name.startswith("shared"):
                continue
            weights = list(experts.parameters())
            # All experts of a block lie in one weight, along its first dimension.
            num_experts = getattr(experts, "num_experts", None) or weights[0].shape[0]
            share = min(1.0, _experts_per_token(block, model.config) / num_experts)
            shares |= dict.fromkeys(weights, share)
    return shares


def _experts_per_token(block: nn.Module, config: Any) -> int:
    """The number that the block or its router holds, or the config."""
    for holder in (*block.modules(), config.get_text_config()):
        for name in ("top_k", "num_experts_per_tok"):
            number = getattr(holder, name, None)
            if isinstance(number, int):
                return number
    return 1


def matrix_rate(device: torch.device, dtype: torch.dtype, tries: int = 5) -> float:
    """Floating-point operations a second of a large square matrix product: the median of several tries."""
    # A CPU without bfloat16 of its own takes minutes for a product of size 2048 in it.
    size = 8192 if device.type == "cuda" else 512
    while True:
        try:
            return _rate_of_product(size, device, dtype, tries)
        except torch.OutOfMemoryError:  # the work itself fills the GPU: a smaller product is near enough
            if size <= _LEAST_PRODUCT:
                raise
        size //= 2


def _rate_of_product(size: int, device: torch.device, dtype: torch.dtype, tries: int) -> float:
    generator = torch.Generator(device).manual_seed(0)  # a training's own random numbers are not touched
    left = torch.randn(size, size, device=device, dtype=dtype, generator=generator)
    right = torch.randn(size, size, device=device, dtype=dtype, generator=generator)
    torch.mm(left, right)  # the first product sets the library up
    seconds = []
    for _ in range(tries):
        _wait_for(device)
        start_time = time.perf_counter()
        torch.mm(left, right)
        _wait_for(device)
        seconds.append(time.perf_counter() - start_time)
    return _PER_WEIGHT * size**3 / sorted(seconds)[tries // 2]


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
