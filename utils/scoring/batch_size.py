"""How many tokens a worker scores at once."""

import torch
from transformers import PretrainedConfig

from ..artifacts.files import read_json, write_json
from ..artifacts.locks import locked
from ..config.schema import RunConfig, TrajectoriesConfig
from ..modeling.loading import base_config
from .plan import ScoringPlan

_CPU_ACTIVATIONS = 2**20  # tokens x hidden size of a batch that stays near the cache
_CPU_TOKENS_PER_BATCH = (2048, 8192)  # least, and where a batch's fixed cost no longer counts
_GPU_TOKENS_PER_BATCH = 65536  # enough to fill the matrix units
_LEAST_TOKENS_PER_BATCH = 1024
_SHARE_OF_FREE_MEMORY = 0.5


def tokens_per_batch(
    settings: TrajectoriesConfig, architecture: PretrainedConfig, device: torch.device
) -> int:
    """What the YAML says, or what a device's free memory and its matrix units suggest."""
    if settings.max_tokens_per_batch is not None:
        return settings.max_tokens_per_batch
    text = architecture.get_text_config()
    if device.type == "cpu":
        least, most = _CPU_TOKENS_PER_BATCH
        return min(most, max(least, _CPU_ACTIVATIONS // text.hidden_size))
    width = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    bytes_per_token = (4 * width + 16 * text.hidden_size) * (2 if settings.precision == "bfloat16" else 4)
    fitting = int(torch.cuda.mem_get_info(device)[0] * _SHARE_OF_FREE_MEMORY / bytes_per_token)
    return max(_LEAST_TOKENS_PER_BATCH, min(_GPU_TOKENS_PER_BATCH, fitting))


def recorded_tokens_per_batch(config: RunConfig, plan: ScoringPlan, device: torch.device) -> int:
    """Written down before the first unit and read again on a restart: other batches give other last bits."""
    path = plan.folder.batching
    with locked(plan.folder.path):
        if path.is_file() and config.trajectories.max_tokens_per_batch is None:
            return read_json(path)["max_tokens_per_batch"]
        max_tokens = tokens_per_batch(config.trajectories, base_config(config.model_section), device)
        write_json(path, {"max_tokens_per_batch": max_tokens})
        return max_tokens
