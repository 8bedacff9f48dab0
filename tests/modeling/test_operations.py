"""The operations that we charge a model are those that torch counts while it runs."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from tests.conftest import ARCHITECTURES, LLAMA_LIKE
from utils.config.schema import LoraConfig
from utils.modeling.loading import add_lora
from utils.modeling.operations import scoring_operations, training_operations

aten = torch.ops.aten
NUM_PROMPT = 24
NUM_RESPONSE = 8
MODELS = {
    **{name: ARCHITECTURES[name] for name in ("llama", "gpt_neox", "gpt2", "t5")},
    "mixtral": {**LLAMA_LIKE, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2},
    "qwen2_moe": {
        **LLAMA_LIKE,
        "model_type": "qwen2_moe",
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
        "shared_expert_intermediate_size": 40,
    },
    "opt": {
        "model_type": "opt",
        "vocab_size": 300,
        "hidden_size": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 32,
        "max_position_embeddings": 512,
    },
    "bart": {
        "model_type": "bart",
        "vocab_size": 300,
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": 512,
    },
}


def build(name: str) -> Any:
    torch.manual_seed(0)
    settings = dict(MODELS[name])
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    return kind.from_config(config, experts_implementation="eager")


def logits_of_response(model: Any) -> torch.Tensor:
    """A prompt and a response, the head at the response's tokens alone, as our losses take it."""
    ids = torch.arange(3, 3 + NUM_PROMPT + NUM_RESPONSE)[None]
    if model.config.is_encoder_decoder:
        prompt = ids[:, :NUM_PROMPT]
        response = ids[:, NUM_PROMPT:]
        return model(input_ids=prompt, decoder_input_ids=response, use_cache=False).logits
    return model(input_ids=ids, use_cache=False, logits_to_keep=NUM_RESPONSE).logits


def counted(model: Any, backward: bool) -> int:
    with FlopCounterMode(display=False) as counter:
        loss = logits_of_response(model).sum()
        if backward:
            loss.backward()
    counts = counter.get_flop_counts()
    of_head = next(numbers for module, numbers in counts.items() if module.endswith("lm_head"))
    # Attention multiplies by bmm, which torch also takes for a frozen head without a bias.
    return sum(counts["Global"].get(product, 0) for product in (aten.mm, aten.addmm)) + of_head.get(
        aten.bmm, 0
    )


@pytest.mark.parametrize("name", MODELS)
def test_operations_are_those_that_torch_counts(name):
    model = build(name).eval()
    num_tokens = NUM_PROMPT + NUM_RESPONSE
    assert scoring_operations(model).of(num_tokens, NUM_RESPONSE) == counted(model, backward=False)
    assert training_operations(model).of(num_tokens, NUM_RESPONSE) == counted(model, backward=True)


@pytest.mark.parametrize(("name", "first_layer"), [("llama", (64, 3)), ("gpt2", (96, 1)), ("t5", (96, 3))])
def test_frozen_weights_take_no_gradient_of_their_own(name, first_layer):
    """The backward pass ends at the first layers, which read the embedding: there the charge is too high."""
    model = add_lora(build(name), LoraConfig(r=4), seed=0)
    num_tokens = NUM_PROMPT + NUM_RESPONSE
    assert scoring_operations(model).of(num_tokens, NUM_RESPONSE) == counted(model, backward=False)
    outputs, num_adapters = first_layer
    to_the_embedding = 2 * num_tokens * 32 * (outputs + 4 * num_adapters)
    charged = training_operations(model).of(num_tokens, NUM_RESPONSE)
    done = counted(model, backward=True)
    assert charged - done == to_the_embedding
