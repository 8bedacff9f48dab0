"""The floating-point operations that a model cannot do without."""

from typing import Any

from utils.modeling.responses import output_head


def operations_per_token(model: Any) -> tuple[int, int]:
    """2 x the parameters that multiply every token (all but the embedding and the output head); 2 x hidden size x
    vocabulary for each token that is predicted. Attention's own products are left out, so true work is a little more."""
    embedding, head = model.get_input_embeddings().weight, output_head(model).weight
    outside = {id(embedding), id(head)}
    return 2 * sum(weight.numel() for weight in model.parameters() if id(weight) not in outside), 2 * head.numel()
