"""An architecture that a config spells out, and the longest row that a model has positions for."""

import dataclasses
import difflib
import inspect
import re
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from ..process.libraries import explained

# Read from any config, whether its class declares them or not.
_SPECIAL_TOKENS = {"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"}
_DROPOUT = re.compile(r"dropout|pdrop")
_MOST_LAYERS = 2000
_TABLES = (
    "wpe",
    "embed_positions",
    "position_embeddings",
    "position_embedding",
    "positions_embed",
    "pos_encoding",
)


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


def num_positions(model: PreTrainedModel) -> int | None:
    """Tokens that a table of positions has room for.

    Args:
        model: its weights are not read, so it may be empty.

    Returns:
        None for a model whose positions are computed (rotary, relative).
    """
    sizes = [
        # OPT and BART keep their first rows free. RoBERTa counts from behind its padding.
        module.num_embeddings
        - getattr(module, "offset", 0 if module.padding_idx is None else module.padding_idx + 1)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Embedding) and name.split(".")[-1] in _TABLES and not _grows(module)
    ]
    # GPT-J, CodeGen and CTRL compute their table once.
    sizes += [buffer.shape[0] for name, buffer in model.named_buffers() if name.split(".")[-1] in _TABLES]
    # MPT makes its table of distances for this length in each forward pass.
    if model.config.model_type == "mpt":
        sizes.append(model.config.max_seq_len)
    return min(sizes, default=None)


def _grows(table: torch.nn.Embedding) -> bool:
    """Sinusoidal tables are computed, and some make themselves longer where that is needed."""
    return hasattr(table, "make_weights")


def check_length(model: PreTrainedModel, max_length: int) -> list[str]:
    """Whether rows of this many tokens fit the model.

    Returns:
        Remarks for the user.

    Raises:
        ValueError: if a row may have more tokens than there are positions.
    """
    limit = num_positions(model)
    if limit is not None and max_length > limit:
        raise ValueError(
            f"data.max_length: found {max_length}, but this {model.config.model_type} has {limit} positions: "
            f"set data.max_length={limit} or less"
        )
    trained = getattr(model.config, "max_position_embeddings", None)
    is_rotary = limit is None and hasattr(model.config, "rope_parameters")
    if is_rotary and trained is not None and max_length > trained:
        return [
            f"data.max_length is {max_length}, the model's max_position_embeddings {trained}: "
            "tokens beyond that are read at positions that the model has not learnt"
        ]
    return []
