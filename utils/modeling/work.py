"""The floating-point operations that scoring cannot do without, and how many a device does a second."""

import time
from typing import Any

import torch

from utils.modeling.head import output_head


def operations_per_token(model: Any) -> tuple[int, int]:
    """2 x the parameters that multiply every token (all but the embedding and the output head); 2 x hidden size x
    vocabulary for each token that is predicted. Attention's own products are left out, so true work is a little more."""
    embedding, head = model.get_input_embeddings().weight, output_head(model).weight
    outside = {id(embedding), id(head)}
    return 2 * sum(weight.numel() for weight in model.parameters() if id(weight) not in outside), 2 * head.numel()


def matrix_rate(device: torch.device, dtype: torch.dtype, tries: int = 5) -> float:
    """Floating-point operations a second of a large square matrix product: the median of several tries."""
    size = 8192 if device.type == "cuda" else 2048
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
