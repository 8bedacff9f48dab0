"""Rotary position tables that depend on the longest row of a batch, or on the longest row so far."""

from typing import Any


def fixed_rotary_length(model: Any) -> int | None:
    """The most tokens a row may have to get the same rotary table beside any other row, None for no limit."""
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
