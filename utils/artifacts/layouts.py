"""How trainers lay out a checkpoint: where its architecture and weights lie, and what cannot be loaded."""

import json
from pathlib import Path

from ..process.errors import explained
from ..terminal import first_of
from .paths import numbered_name

OPTIMIZER = "optimizer*"
# What resuming needs and scoring does not.
TRAINING_STATE_PATTERNS = (OPTIMIZER, "scheduler.pt", "scaler.pt", "rng_state*.pth", "pytorch_model_fsdp*")
_WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin", "adapter_model.bin")
_ADAPTER_CONFIG = "adapter_config.json"
_CONFIGS = ("config.json", _ADAPTER_CONFIG)
_SHARDS = "pytorch_model_fsdp_0"  # the folder of FSDP's SHARDED_STATE_DICT, as accelerate names it
_SHARDS_INDEX = ".metadata"
_ZERO_PARTS = "*_states.pt"  # what DeepSpeed's ZeRO leaves of each rank


def files_of_the_model(checkpoint: Path) -> list[Path]:
    """Architecture and weights. Raises: ValueError if there are no weights."""
    weights = _weight_files(checkpoint)
    if not weights and (shards := shards_of(checkpoint)) is not None:
        weights = [shards / _SHARDS_INDEX, *sorted(shards.glob("*.distcp"))]
    if not weights:
        raise ValueError(f"{checkpoint} holds no weight files ({', '.join(_WEIGHT_PATTERNS)})")
    configs = [checkpoint / name for name in _CONFIGS]
    return [*filter(Path.is_file, configs), *weights]


def _weight_files(checkpoint: Path) -> list[Path]:
    """In Hugging Face form."""
    state = {path for pattern in TRAINING_STATE_PATTERNS for path in checkpoint.glob(pattern)}
    return sorted({path for pattern in _WEIGHT_PATTERNS for path in checkpoint.glob(pattern)} - state)


def shards_of(checkpoint: Path) -> Path | None:
    """The folder of FSDP's shards where the weights of a checkpoint lie in them, None where they do not."""
    shards = checkpoint / _SHARDS
    return shards if (shards / _SHARDS_INDEX).is_file() and not _weight_files(checkpoint) else None


def is_adapter(checkpoint: Path) -> bool:
    return (checkpoint / _ADAPTER_CONFIG).is_file()


def recorded_base_model(checkpoint: Path) -> str | None:
    """The folder or hub name of the model that an adapter says it was trained on, None where it says none.

    Raises: ValueError for a config that is damaged.
    """
    with explained(f"{checkpoint}: the adapter cannot be loaded", "copy it again"):
        values = json.loads((checkpoint / _ADAPTER_CONFIG).read_bytes())
    name = values.get("base_model_name_or_path") if isinstance(values, dict) else None
    return name if isinstance(name, str) and name else None


def is_model(folder: Path) -> bool:
    """Whether a folder holds a model and no checkpoints. The final model of a training lies above them."""
    is_there = any((folder / name).exists() for name in (*_CONFIGS, _SHARDS))
    kinds = {name[0] for path in folder.glob("*/") if (name := numbered_name(path)) is not None}
    return is_there and kinds <= {"global_step"}  # the parts of ZeRO lie in such a folder of a checkpoint


def check_layout(checkpoint: Path) -> None:
    """Refuse a folder whose weights are there, but not as a model that can be loaded.

    Raises: ValueError with what to do.
    """
    if _weight_files(checkpoint) or shards_of(checkpoint) is not None:
        return
    adapters = sorted(path.parent.name for path in checkpoint.glob(f"*/{_ADAPTER_CONFIG}"))
    if adapters:
        raise ValueError(
            f"{checkpoint} holds adapters in folders of their own ({first_of(adapters)}), expected one: "
            f"name the one to score, such as --subfolder {adapters[0]}"
        )
    parts = next((path for path in sorted(checkpoint.glob("global_step*/")) if _has_zero_parts(path)), None)
    if parts is None and not _has_zero_parts(checkpoint):
        return
    # The tag folder lies in a Trainer's checkpoint. DeepSpeed's own checkpoint is a tag folder.
    above = checkpoint if parts is not None else checkpoint.parent
    tag = (parts or checkpoint).name
    script = above / "zero_to_fp32.py"
    command = f"python {script}" if script.is_file() else "python -m deepspeed.utils.zero_to_fp32"
    raise ValueError(
        f"{checkpoint} holds weights in the parts of DeepSpeed's ZeRO, expected them gathered: merge them "
        f"with `{command} {above} {checkpoint} --tag {tag} --safe_serialization`, and put the model's "
        "config.json there if it is not"
    )


def _has_zero_parts(folder: Path) -> bool:
    return any(folder.glob(_ZERO_PARTS))
