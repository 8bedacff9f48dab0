"""An architecture that a config spells out"""

import dataclasses
import difflib
import inspect
import re
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig

from ..process.errors import explained

# Read from any config, whether its class declares them or not.
_SPECIAL_TOKENS = {"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"}
_DROPOUT = re.compile(r"dropout|pdrop")
_MOST_LAYERS = 2000


def config_of_architecture(architecture: dict[str, Any]) -> PretrainedConfig:
    """The config of `model.architecture`.

    Raises:
        ValueError: for a model type, a value or a key that the installed transformers does not know.
    """
    settings = dict(architecture)
    model_type = settings.pop("model_type")
    for key, value in settings.items():
        if isinstance(value, (int, float)) and _DROPOUT.search(key) and not 0 <= value < 1:
            raise ValueError(f"model.architecture: {key}: found {value}, expected a number from 0 to below 1")
    with explained(f"model.architecture: transformers cannot build {model_type!r}", "correct its keys"):
        config = AutoConfig.for_model(model_type, **settings)
    known = {field.name for field in dataclasses.fields(config)} | set(config.attribute_map) | _SPECIAL_TOKENS
    # A config class translates old names that it knows (rope_theta, rotary_pct)
    # and keeps any other key as an attribute.
    undeclared = [key for key in settings if key not in known and key in vars(config)]
    # Some models read a key that their config does not declare (head_dim), so their source decides.
    code = _code_of(config) if undeclared else ""
    unknown = [key for key in undeclared if not re.search(rf"\b{re.escape(key)}\b", code)]
    if unknown:
        hints = [f"{key} ({_nearest(key, known)})" for key in unknown]
        raise ValueError(
            f"model.architecture: {model_type!r} has no {', '.join(hints)}: it would be without effect"
        )
    return config


def check_layers(config: PretrainedConfig) -> None:
    """Raises: ValueError for more layers than anybody trains. To list them alone would fill the memory."""
    for key, value in vars(config).items():
        if "layers" in key and isinstance(value, int) and value > _MOST_LAYERS:
            raise ValueError(f"model: {key}: found {value:,}, expected at most {_MOST_LAYERS:,}: correct it")


def _code_of(config: PretrainedConfig) -> str:
    """The source of a model type: its config and its modules."""
    folder = Path(inspect.getfile(type(config))).parent
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))


def _nearest(key: str, known: set[str]) -> str:
    names = sorted(name for name in known if not name.startswith("_"))
    nearest = [name for name in names if name.endswith(f"_{key}")] or difflib.get_close_matches(
        key, names, n=1
    )
    return f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(names)}"
