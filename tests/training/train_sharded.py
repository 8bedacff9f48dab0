"""train.py with FSDP on the CPU: accelerate, which shards on GPUs only, is told that processes have one."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import accelerate.state

import train
from utils.training import settings

join = accelerate.state.AcceleratorState.__init__


def join_as_gpus(state: Any, *words: Any, **options: Any) -> None:
    shared = accelerate.state.PartialState._shared_state
    if shared.get("distributed_type") == accelerate.state.DistributedType.MULTI_CPU:
        shared["distributed_type"] = accelerate.state.DistributedType.MULTI_GPU
    join(state, *words, **{**options, "cpu": False})


accelerate.state.AcceleratorState.__init__ = join_as_gpus  # type: ignore
settings._why_not_fsdp = lambda devices: None if devices > 1 else "one device"

if __name__ == "__main__":
    sys.exit(train.main(sys.argv[1:]))
