"""What a plan says of the machine and the model.

The device goes by its name, the model by its number of parameters.
"""

import torch

from ..config.schema import ModelConfig
from ..terminal import counted
from .loading import empty_model


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """The name that tells whether the pace of two runs can be compared."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {counted(torch.get_num_threads(), 'thread')}"


def model_name(model: ModelConfig) -> str:
    """A folder or hub name, or the kind of architecture that starts from random weights."""
    return model.name_or_path or f"a new {(model.architecture or {}).get('model_type')}"


def model_size(model: ModelConfig) -> str:
    """Such as "70,426,624 parameters", and how many of them are trained where that is not all."""
    parameters = list(empty_model(model).parameters())
    total = sum(parameter.numel() for parameter in parameters)
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    if trained == total:
        return f"{total:,} parameters"
    return f"{total:,} parameters, {trained:,} of them trained"
