"""Where flash attention cannot compute: its kernels are a GPU's, and of 16 bits."""

import torch
from transformers.utils.generic import is_flash_attention_requested

from ..config.schema import ModelConfig
from ..process.reporter import reporter


def check_attention(settings: ModelConfig, device: torch.device, dtype: torch.dtype) -> None:
    """Whether a training can compute with the attention that is asked for.

    Raises:
        ValueError: if it cannot.
    """
    problem = _problem(settings, device, dtype)
    if problem is not None:
        raise ValueError(
            f"model.attn_implementation: {settings.attn_implementation} {problem}: "
            "set train_args.bf16 to true on a GPU, or attn_implementation to sdpa"
        )


def with_possible_attention(settings: ModelConfig, device: torch.device, dtype: torch.dtype) -> ModelConfig:
    """These settings, with transformers' own choice of attention where the one asked for cannot compute.

    For losses and responses, which are the same with either but for rounding.
    """
    problem = _problem(settings, device, dtype)
    if problem is None:
        return settings
    reporter.warn(f"attention is not {settings.attn_implementation}, which {problem}")
    return settings.model_copy(update={"attn_implementation": None})


def _problem(settings: ModelConfig, device: torch.device, dtype: torch.dtype) -> str | None:
    implementation = settings.attn_implementation
    if not is_flash_attention_requested(requested_attention_implementation=implementation):
        return None
    if device.type == "cpu":
        return "needs a GPU"
    return "computes in 16 bits, not in float32" if dtype == torch.float32 else None
