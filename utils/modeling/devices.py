"""What a plan says of the machine and the model.

The device goes by its name, the model by its number of parameters.
"""

import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from ..config.schema import ModelConfig
from ..process import torchrun
from ..terminal import counted

_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class ModelSize:
    """A model by name and size.

    Attributes:
        name: a folder or hub name, or the kind of architecture that starts from random weights.
        num_parameters: all of them.
        num_trained: those that training changes, fewer under LoRA.
    """

    name: str
    num_parameters: int
    num_trained: int


def own_device() -> torch.device:
    """The one of this process: the GPU of its place on this machine, or the CPU.

    Raises:
        ValueError: if torchrun started more processes on this machine than it has GPUs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    processes = torchrun.local_world_size()
    gpus = torch.cuda.device_count()
    if processes > gpus:
        raise ValueError(
            f"torchrun started {processes} processes on this machine, found {counted(gpus, 'GPU')}, "
            f"expected one for each process: give torchrun --nproc_per_node={gpus}"
        )
    return torch.device("cuda", torchrun.local_rank())


def device_name(device: torch.device) -> str:
    """The name that tells whether the pace of two runs can be compared."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({_cpu_name()}), {counted(torch.get_num_threads(), 'thread')}"


def _cpu_name() -> str:
    """As Linux tells it on x86, else as far as Python knows it."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []  # no Linux
    told = [
        value.strip()
        for line in lines
        for key, _, value in [line.partition(":")]
        if key.strip() == "model name"
    ]
    return next(filter(None, told), "") or platform.processor() or platform.machine()


def model_size(settings: ModelConfig, model: torch.nn.Module) -> ModelSize:
    """The size of a model with these settings.

    Args:
        settings: of the run.
        model: its weights are not read, so it may be empty.
    """
    parameters = list(model.parameters())
    return ModelSize(
        name=settings.name_or_path or f"a new {(settings.architecture or {}).get('model_type')}",
        num_parameters=sum(parameter.numel() for parameter in parameters),
        num_trained=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
    )
