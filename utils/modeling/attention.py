"""Where a kind of attention cannot compute: kernels for a GPU, for 16 bits, or in packages of their own."""

import torch
from transformers.utils.generic import is_flash_attention_requested
from transformers.utils.import_utils import is_flash_attn_2_available, is_flash_attn_3_available

from ..config.schema import ModelConfig
from ..process.reporter import reporter

# Flash attention that is a package. Other names are kernels that transformers fetches from the hub.
_IS_INSTALLED = {
    "flash_attention_2": is_flash_attn_2_available,
    "flash_attention_3": is_flash_attn_3_available,
}


def asks_for_flash_attention(settings: ModelConfig) -> bool:
    """False for a name that transformers does not know, such as `flash`, which no model is built with."""
    name = settings.attn_implementation
    is_known = name in (*_IS_INSTALLED, "flash_attention_4") or "/" in str(name)
    return is_known and is_flash_attention_requested(requested_attention_implementation=name)


def check_attention(settings: ModelConfig, device: torch.device, dtype: torch.dtype) -> None:
    """Whether a training can compute with the attention that is asked for.

    Raises:
        ValueError: if it cannot.
    """
    problem = _problem(settings, device, dtype)
    if settings.attn_implementation == "flex_attention" and device.type == "cpu":
        problem = "trains on a GPU alone, found none: run on one"
    if problem is not None:
        raise ValueError(
            f"model.attn_implementation: {settings.attn_implementation} {problem}, "
            "or add model.attn_implementation=sdpa to the command"
        )


def with_possible_attention(settings: ModelConfig, device: torch.device, dtype: torch.dtype) -> ModelConfig:
    """These settings, with transformers' own choice of attention where the one asked for cannot compute.

    For losses and responses, which are the same with either but for rounding.
    """
    problem = _problem(settings, device, dtype)
    if problem is None:
        return settings
    reporter.warn(f"attention is not by {settings.attn_implementation}, which {problem}")
    return settings.model_copy(update={"attn_implementation": None})


def _problem(settings: ModelConfig, device: torch.device, dtype: torch.dtype) -> str | None:
    if not asks_for_flash_attention(settings):
        return None
    if device.type == "cpu":
        return "needs a GPU, found none: run on one"
    if dtype == torch.float32:
        return "computes in 16 bits, found float32: set train_args.bf16 or trajectories.precision to bfloat16"
    is_installed = _IS_INSTALLED.get(str(settings.attn_implementation))
    if is_installed is not None and not is_installed():
        return "is a package of its own, found none: install flash-attn"
    return None
