"""How long a row a model can read, and how long one it was made for"""

import re
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

_TABLES = (
    "wpe",
    "embed_positions",
    "position_embeddings",
    "position_embedding",
    "positions_embed",
    "pos_encoding",
)

_OF_IMAGES = re.compile(r"vision|image|audio")  # towers that rows of text do not reach


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
        if isinstance(module, torch.nn.Embedding)
        and name.split(".")[-1] in _TABLES
        and not _OF_IMAGES.search(name)
        and not _grows(module)
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


def context_length(config: PretrainedConfig) -> int | None:
    """Tokens that a model was made for, None where its config does not say (T5)."""
    text = config.get_text_config()
    if text.model_type == "mpt":
        return text.max_seq_len
    return getattr(text, "max_position_embeddings", None)


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
    trained = context_length(model.config)
    is_rotary = limit is None and hasattr(model.config.get_text_config(), "rope_parameters")
    if is_rotary and trained is not None and max_length > trained:
        return [
            f"data.max_length is {max_length}, the model's max_position_embeddings {trained}: "
            "tokens beyond that are read at positions that the model has not learnt"
        ]
    return []


def fixed_rotary_length(model: Any) -> int | None:
    """The most tokens a row may have to get the same rotary table beside any other row, None for no limit.

    Some tables depend on the longest row of a batch, or on the longest row so far.
    """
    lengths = []
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        by_layer = kinds if isinstance(kinds, dict) else {None: kinds}
        for layer, kind in by_layer.items():
            if not isinstance(kind, str):
                continue
            if "dynamic" in kind:  # made anew for each row that is longer than all before it
                lengths.append(int(module.original_max_seq_len))
            elif kind == "longrope":  # has a second table for batches with a row above the original length
                parameters = module.config.rope_parameters
                parameters = parameters if layer is None else parameters[layer]
                lengths.append(int(parameters["original_max_position_embeddings"]))
    return min(lengths, default=None)
