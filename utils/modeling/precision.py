"""Float32 products as a training or a scoring asks for them, whatever the process around it has set."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

_BACKENDS: Any = torch.backends  # whose type hints lack the newer switches


def products_are_in_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and _BACKENDS.cuda.matmul.fp32_precision == "tf32"


@contextlib.contextmanager
def float32_products(in_tf32: bool) -> Iterator[None]:
    """Products of float32 matrices and convolutions are exact inside, or of TF32's ten bits on such a GPU.

    A scoring during a training wants its own. torch sets TF32 for convolutions by default, and what Trainer
    once set stays set in the process. What was set before is set again at the end. Only torch's newer
    switches are used: reading an older one (`allow_tf32`) after Trainer has set a newer one is an error.
    """
    switches = (_BACKENDS.cuda.matmul, _BACKENDS.cudnn.conv, _BACKENDS.cudnn.rnn)
    before = [switch.fp32_precision for switch in switches]
    for switch in switches:
        switch.fp32_precision = "tf32" if in_tf32 else "ieee"
    try:
        yield
    finally:
        for switch, precision in zip(switches, before, strict=True):
            switch.fp32_precision = precision
