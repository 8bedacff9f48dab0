"""Continue with FSDP from an optimizer's state that was saved without, and the other way round.

Where FSDP shards, Trainer saves `optimizer.bin`, whose entries are named by weight. Else it saves
`optimizer.pt`, whose entries are numbered. It reads its own kind alone.
"""

from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

_BY_NAME = "optimizer.bin"
_BY_NUMBER = "optimizer.pt"


def needs_conversion(checkpoint: Path, is_sharded: bool) -> bool:
    """Whether Trainer would not find the state that is there."""
    kind, other = (_BY_NAME, _BY_NUMBER) if is_sharded else (_BY_NUMBER, _BY_NAME)
    return not (checkpoint / kind).is_file() and (checkpoint / other).is_file()


def load_converted(
    checkpoint: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    is_sharded: bool,
    is_first: bool,
) -> None:
    """Every process of the launch calls this.

    Args:
        model: as it is trained.
        optimizer: over its weights.
        is_first: whether this process is the one that reads for all, where they are sharded.
    """
    if not is_sharded:
        state = torch.load(checkpoint / _BY_NAME, map_location="cpu", weights_only=True)
        set_optimizer_state_dict(model, optimizer, state, options=StateDictOptions(full_state_dict=True))
        return
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    state = _by_name(checkpoint / _BY_NUMBER, model, optimizer) if is_first else {}
    set_optimizer_state_dict(model, optimizer, state, options=options)


def _by_name(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The numbered entries under the names of their weights. Numbers follow the order in the groups."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    groups = [[names[id(weight)] for weight in group["params"]] for group in optimizer.param_groups]
    saved = torch.load(path, map_location="cpu", weights_only=True)
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    name_of = dict(zip(numbers, [name for group in groups for name in group], strict=True))
    return {
        "state": {name_of[number]: values for number, values in saved["state"].items()},
        "param_groups": [
            {**group, "params": own} for group, own in zip(saved["param_groups"], groups, strict=True)
        ],
    }
