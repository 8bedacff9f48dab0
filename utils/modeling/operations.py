"""The floating-point operations that scoring and training cannot do without, and how many a device does a second."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..config.counts import TokenOperations

_PER_WEIGHT = 2  # a multiplication and an addition
_BACKWARD_TO_INPUTS = 1  # of a backward pass, in forward passes
_BACKWARD_TO_WEIGHTS = 1  # not done for a frozen weight

_CROSS_ATTENTION = ("EncDecAttention", "encoder_attn", "cross_att")
_KEYS_AND_VALUES = ("k", "v", "k_proj", "v_proj", "key_proj", "value_proj")


def scoring_operations(model: Any) -> TokenOperations:
    """Of a forward pass, per token: two per weight that multiplies it. A router's experts count as far as it chooses
    them; tables that are looked up and attention's own products do not, so true work is a little more."""
    return _token_operations(model, lambda weight: 1)


def training_operations(model: Any) -> TokenOperations:
    """Of a forward and a backward pass: three times scoring, and twice for a frozen weight, whose gradient nobody needs."""
    forward = 1 + _BACKWARD_TO_INPUTS
    return _token_operations(model, lambda weight: forward + weight.requires_grad * _BACKWARD_TO_WEIGHTS)


def _token_operations(model: Any, passes: Callable[[torch.Tensor], int]) -> TokenOperations:
    """Args: passes: how often a weight multiplies each of its tokens."""
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
        # The encoder reads the prompt and the decoder the response; a decoder on its own reads both.
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
            if type(experts).__name__.endswith("Experts") and not name.startswith("shared"):
                weights = list(experts.parameters())
                num_experts = (
                    getattr(experts, "num_experts", None) or weights[0].shape[0]
                )  # side by side in a weight
                shares |= dict.fromkeys(
                    weights, min(1.0, _experts_per_token(block, model.config) / num_experts)
                )
    return shares


def _experts_per_token(block: nn.Module, config: Any) -> int:
    """What the block or its router says, or the config."""
    for place in (*block.modules(), config.get_text_config()):
        for name in ("top_k", "num_experts_per_tok"):
            if isinstance(chosen := getattr(place, name, None), int):
                return chosen
    return 1


def matrix_rate(device: torch.device, dtype: torch.dtype, tries: int = 5) -> float:
    """Floating-point operations a second of a large square matrix product: the median of several tries."""
    size = (
        8192 if device.type == "cuda" else 512
    )  # a CPU without bfloat16 of its own takes minutes for 2048 in it
    generator = torch.Generator(device).manual_seed(0)  # a training's own random numbers are not touched
    left, right = (torch.randn(size, size, device=device, dtype=dtype, generator=generator) for _ in range(2))
    torch.mm(left, right)
    seconds = []
    for _ in range(tries):
        _wait_for(device)
        begun = time.perf_counter()
        torch.mm(left, right)
        _wait_for(device)
        seconds.append(time.perf_counter() - begun)
    return 2 * size**3 / sorted(seconds)[tries // 2]


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
