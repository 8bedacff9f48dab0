"""Losses and training losses of every family of language models equal those of a plain loop."""

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import CONFIG_MAPPING, PretrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from tests.conftest import plain_losses, pool_rows, write_jsonl
from utils.config.schema import DataConfig, ModelConfig
from utils.data.batching import pad_rows
from utils.data.pool import Pool
from utils.data.token_rows import TokenRow
from utils.data.tokenization import TokenizedPool, shared_prefix, tokenize_pool, tokenizer_fingerprint
from utils.modeling import head
from utils.modeling import scorer as scorer_module
from utils.modeling.gradients import leaves_weights_out
from utils.modeling.loading import load_base_model, load_checkpoint, load_checkpoint_tokenizer, load_tokenizer
from utils.modeling.logits import LogitOperations
from utils.modeling.responses import logits_at, model_inputs, response_positions, summed_token_loss
from utils.modeling.scorer import Probe, ResponseScorer

TOLERANCE = 1e-4
LENGTH = 96
NUM_ROWS = 10  # half of them are probed
PROBE_TEXTS = ["It's 12,345.67 + 89 = ?\n\n  naïve 日本語", " \tdef f(x):\r\n\treturn x**2"]

LEFT_OUT = {
    "audioflamingo3": "no auto class builds it from its config",
    "blt": "its patches cannot be made small by its config",
    "cohere_compass_text": "its rotary sections cannot be made small by its config",
    "emu3": "no auto class reads back what it saves",
    "encoder-decoder": "two models of other types, of which an architecture cannot speak",
    "gemma3n": "needs timm",
    "gemma4_assistant": "drafts for another model",
    "gemma4_unified_assistant": "drafts for another model",
    "glmasr": "no auto class builds it from its config",
    "granite_speech": "no auto class builds it from its config",
    "granite_speech_plus": "no auto class builds it from its config",
    "mllama": "no auto class reads back what it saves",
    "musicflamingo": "no auto class builds it from its config",
    "musicgen": "predicts audio in several codebooks",
    "musicgen_melody": "predicts audio in several codebooks",
    "phi4_multimodal": "its audio part cannot be made small by its config",
    "qwen2_audio": "no auto class builds it from its config",
    "qwen3_asr": "no auto class builds it from its config",
    "qwen4_exp": "its nested config needs values that have no defaults",
    "vibevoice_asr": "no auto class builds it from its config",
    "voxtral": "no auto class builds it from its config",
    "voxtral_realtime": "no auto class builds it from its config",
    "whisper": "reads audio",
}
SLOW = {"inkling_text", "led", "pegasus_x", "qwen4_exp_text"}  # seconds each, however small
FAMILIES = sorted(
    {*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES} - LEFT_OUT.keys()
)
# Their own loss is another one than that of the next token: not shifted, smoothed over several streams,
# or of an image.
OTHER_OWN_LOSS = {"cpmant", "fsmt", "git", "prophetnet", "trocr", "xlm", "xlnet"}
ROW_BY_ROW = {
    "cpmant",
    "fsmt",
    "prophetnet",
    "xlnet",
}  # look at tokens to come, or have no head of one stream

_SMALL = {
    **dict.fromkeys(("vocab_size", "src_vocab_size", "tgt_vocab_size", "vocab_size_per_layer_input"), 300),
    **dict.fromkeys(
        ("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "word_embed_proj_dim", "embedding_size"), 32
    ),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers", "num_encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_encoder_attention_heads", "num_decoder_attention_heads"), 4),
    **dict.fromkeys(
        ("intermediate_size", "d_ff", "n_inner", "encoder_ffn_dim", "decoder_ffn_dim", "dff", "ffn_dim"), 64
    ),
    **dict.fromkeys(("max_position_embeddings", "n_positions"), 512),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(
        ("moe_intermediate_size", "shared_expert_intermediate_size", "attention_hidden_size"), 32
    ),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "mamba_chunk_size", "chunk_size"), 16),
    **dict.fromkeys(
        ("head_dim", "d_kv", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "index_head_dim"), 8
    ),
    **dict.fromkeys(
        ("mamba_d_head", "mamba_n_heads", "mamba_d_state", "mamba_num_heads", "mamba_head_dim"), 8
    ),
    **dict.fromkeys(("ssm_state_size", "state_size", "linear_key_head_dim", "linear_value_head_dim"), 8),
    **dict.fromkeys(
        ("num_key_value_heads", "num_experts_per_tok", "linear_num_key_heads", "index_n_heads"), 2
    ),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts"), 1),
    "first_k_dense_replace": 1,
    "hidden_size_per_layer_input": 8,
    "num_kv_shared_layers": 0,
    "linear_num_value_heads": 4,
    "index_topk": 600,
    "image_size": 32,
    "is_decoder": True,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "decoder_start_token_id": 1,
}
_ONE_OF_EACH = {"layer_types": ["linear_attention", "full_attention"]}
_ALL_HEADS = {"num_key_value_heads": 4}
_ZAMBA = {
    "num_hidden_layers": 4,
    "layers_block_type": ["linear_attention", "hybrid"] * 2,
    "attention_hidden_size": 64,
    "attention_head_dim": 16,
}
_QWEN4 = {
    **_ONE_OF_EACH,
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": 64,
    "indexer_compress_ratio": 4,
    "hc_lowrank": 8,
    "ngram_vocab_size_base": 100,
    "split_ngram_parts": 1,
    "make_ngram_vocab_size_divisible_by": 8,
    "ple_layer_ids": [],
}
_SPECIAL: dict[str, dict[str, Any]] = {
    "axk1": _ALL_HEADS,
    "axk2": _ALL_HEADS,
    "bamba": {"attn_layer_indices": [1]},
    "codegen": {"rotary_dim": 4},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 1e4},
        "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": _ALL_HEADS,
    "deepseek_v3": _ALL_HEADS,
    "deepseek_v32": _ALL_HEADS,
    "falcon_h1": {"mamba_d_ssm": 64},
    "fsmt": {"langs": ["en", "de"]},
    "gemma3n_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "activation_sparsity_pattern": [0.5, 0.0],
    },
    "glm4_moe_lite": _ALL_HEADS,
    "glm_moe_dsa": _ALL_HEADS,
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 8},
    "gptj": {"rotary_dim": 4},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": {**_ONE_OF_EACH, **_ALL_HEADS, "linear_head_dim": 8, "linear_num_heads": 4},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "longcat_flash": _ALL_HEADS,
    "longt5": {"decoder_start_token_id": 1},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1},
    "minicpm3": _ALL_HEADS,
    "nllb-moe": {"encoder_sparse_step": 1, "decoder_sparse_step": 1},
    "qwen3_5_moe_text": _ONE_OF_EACH,
    "qwen3_5_text": _ONE_OF_EACH,
    "qwen3_next": _ONE_OF_EACH,
    "qwen4_exp_text": _QWEN4,
    "reformer": {  # without its other kind of layer, which hashes at random
        "attn_layers": ["local", "local"],
        "axial_pos_shape": [16, 32],
        "axial_pos_embds_dim": [16, 16],
        "attention_head_size": 8,
        "feed_forward_size": 64,
        "local_attn_chunk_length": 16,
    },
    "roc_bert": {
        "pronunciation_vocab_size": 10,
        "shape_vocab_size": 10,
        "pronunciation_embed_dim": 8,
        "shape_embed_dim": 8,
    },
    "switch_transformers": {
        "decoder_start_token_id": 1,
        "num_sparse_encoder_layers": 1,
        "num_sparse_decoder_layers": 1,
    },
    "t5": {"decoder_start_token_id": 1},
    "xlm": {"causal": True},
    "xlnet": {"d_inner": 64},
    "xlstm": {"hidden_size": 128, "chunk_size": 64},
    "xmod": {"default_language": "en_XX"},
    "youtu": _ALL_HEADS,
    "zamba": {**_ZAMBA, "mamba_dt_rank": 4, "n_mamba_heads": 2},
    "zamba2": {**_ZAMBA, "n_mamba_heads": 8, "mamba_headdim": 8, "num_mem_blocks": 1, "mamba_ngroups": 1},
    "zaya": {"num_experts_per_tok": 1},
}
_NOT_SETTABLE = {
    "prophetnet": {"num_hidden_layers"},
    "xlnet": {"max_position_embeddings"},
    "kimi_linear": {"head_dim"},
}


def tiny_architecture(family: str) -> dict[str, Any]:
    """`model.architecture` of a small model of this type, from the fields that its config has."""
    config = CONFIG_MAPPING[family]()
    settings = {**_small_settings(config), **_SPECIAL.get(family, {}), "model_type": family}
    return {name: value for name, value in settings.items() if name not in _NOT_SETTABLE.get(family, ())}


def _small_settings(config: PretrainedConfig) -> dict[str, Any]:
    fields = {*vars(config), *config.attribute_map}
    settings = {name: value for name, value in _SMALL.items() if name in fields}
    for name, part in vars(config).items():
        if isinstance(part, PretrainedConfig):
            settings[name] = {
                **_small_settings(part),
                **_SPECIAL.get(part.model_type, {}),
                "model_type": part.model_type,
            }
    return settings


@pytest.fixture
def make_model(tmp_path, res_dir, tokenizer_dir):
    """A model of an architecture, read back from a checkpoint, and a tokenized pool.

    Its weights set the rows apart. make_model({"model_type": "llama", ...}) -> model, tokens.
    """

    def make(architecture: dict[str, Any], length: int = LENGTH) -> tuple[Any, TokenizedPool]:
        config = ModelConfig(architecture=architecture, tokenizer=str(tokenizer_dir))
        tokenizer = load_tokenizer(config)
        model = load_base_model(config, tokenizer, seed=0)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() > 1:
                    weight += 0.1 * torch.randn(weight.shape, generator=generator)
        folder = tmp_path / "checkpoint-1"
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        rows = [{**row, "instruction": f"Solve this. {row['instruction']}"} for row in pool_rows(NUM_ROWS)]
        pool = Pool(DataConfig(path=str(write_jsonl(tmp_path / "pool.jsonl", rows))))
        read_back = load_checkpoint_tokenizer(folder, config)
        assert tokenizer_fingerprint(read_back) == tokenizer_fingerprint(tokenizer)
        assert all(read_back.encode(text) == tokenizer.encode(text) for text in PROBE_TEXTS)
        tokens = tokenize_pool(pool, read_back, "plain", length, bool(model.config.is_encoder_decoder))
        return load_checkpoint(folder, config), tokens

    return make


def scored_rows(tokens: TokenizedPool) -> np.ndarray:
    return np.flatnonzero(tokens.num_response_tokens > 0)


def scorer_of(model: Any, tokens: TokenizedPool) -> ResponseScorer:
    rows = scored_rows(tokens)
    prefix = None if tokens.is_encoder_decoder else shared_prefix(tokens, rows)
    return ResponseScorer(model, 0, Probe([tokens.row(row) for row in rows[::2]], prefix))


def losses_of(scorer: ResponseScorer, tokens: TokenizedPool, rows: np.ndarray) -> np.ndarray:
    return scorer.score([tokens.row(row) for row in rows]).losses_B.numpy()


def losses_from_logits(model: Any, tokens: TokenizedPool) -> np.ndarray:
    """As `plain_losses`, for a model whose own loss is not that of the next token."""
    losses = []
    for row in scored_rows(tokens):
        encoded = tokens.row(row)
        ids, start = encoded.ids, encoded.start
        ids = torch.tensor(ids)[None]
        with torch.no_grad():
            if tokens.is_encoder_decoder:
                decoder_ids = model.prepare_decoder_input_ids_from_labels(labels=ids[:, start:])
                # FSMT lets the decoder see what is to come unless told to use no cache.
                logits = model(
                    input_ids=ids[:, :start], decoder_input_ids=decoder_ids, use_cache=False
                ).logits[0]
            else:
                logits = model(input_ids=ids).logits[0, start - 1 : -1]
        losses.append(functional.cross_entropy(logits, ids[0, start:]).item())
    return np.array(losses)


def training_loss(model: Any, tokens: TokenizedPool) -> float:
    """Of all rows as one batch, a mean over their response tokens."""
    batch = pad_rows([tokens.row(row) for row in scored_rows(tokens)], 0, tokens.is_encoder_decoder)
    positions = response_positions(batch["labels"], tokens.is_encoder_decoder)
    with torch.no_grad(), logits_at(model, positions.shape, positions.position_R):
        logits = model(**model_inputs(model, batch), use_cache=False).logits
    return (summed_token_loss(logits, positions) / len(positions.labels_R)).item()


@pytest.mark.parametrize(
    "family", [pytest.param(family, marks=pytest.mark.slow if family in SLOW else ()) for family in FAMILIES]
)
def test_family_is_scored_and_trained_on_the_losses_of_a_plain_loop(make_model, family):
    model, tokens = make_model(tiny_architecture(family))
    rows = scored_rows(tokens)
    expected = (
        losses_from_logits(model, tokens) if family in OTHER_OWN_LOSS else plain_losses(model, tokens)[rows]
    )
    scorer = scorer_of(model, tokens)
    np.testing.assert_allclose(losses_of(scorer, tokens, rows), expected, atol=TOLERANCE)
    assert ("one example at a time" in (scorer.slow_because or "")) == (family in ROW_BY_ROW)
    if family not in ROW_BY_ROW:
        mean = np.average(expected, weights=tokens.num_response_tokens[rows])
        assert training_loss(model, tokens) == pytest.approx(mean, abs=TOLERANCE)


# (what it does to its logits, so strongly or so faintly that it shows; setting)
AFTER_HEAD = {
    "cohere": {"logit_scale": 0.3},
    "falcon_h1": {"lm_head_multiplier": 0.4},
    "gemma2": {"final_logit_softcapping": 2.0},
    "granite": {"logits_scaling": 1.0005},
    "recurrent_gemma": {"logits_soft_cap": 3.0},
    "xlstm": {"output_logit_soft_cap": 2.0},
    "bart": {},  # adds a bias that is no parameter, set below
}


@pytest.mark.parametrize("family", AFTER_HEAD)
def test_what_a_family_does_to_its_logits_follows_from_its_own_forward(make_model, monkeypatch, family):
    model, tokens = make_model({**tiny_architecture(family), **AFTER_HEAD[family]})
    if family == "bart":
        model.final_logits_bias += torch.linspace(-0.5, 0.5, 300)
    monkeypatch.setitem(head._TILE, "cpu", (7, 90))
    rows = scored_rows(tokens)
    scorer = scorer_of(model, tokens)
    assert "one example at a time" not in (scorer.slow_because or "")
    np.testing.assert_allclose(
        losses_of(scorer, tokens, rows), plain_losses(model, tokens)[rows], atol=TOLERANCE
    )
    monkeypatch.setattr(LogitOperations, "replay", lambda self, tile_QU, start: tile_QU)
    without = losses_of(scorer, tokens, rows)
    assert np.abs(without - plain_losses(model, tokens)[rows]).max() > TOLERANCE, (
        "the setting makes a difference"
    )


def test_replaced_weights_bring_their_own_logit_operations(make_model):
    model, tokens = make_model(tiny_architecture("bart"))
    scorer = scorer_of(model, tokens)
    rows = scored_rows(tokens)
    model.final_logits_bias.copy_(torch.linspace(-0.5, 0.5, 300)[None])
    scorer.refresh(Probe([tokens.row(row) for row in rows[:3]]))
    assert scorer.slow_because is None
    np.testing.assert_allclose(
        losses_of(scorer, tokens, rows), plain_losses(model, tokens)[rows], atol=TOLERANCE
    )


def test_fast_way_that_is_a_little_off_is_given_up(make_model, monkeypatch):
    model, tokens = make_model(tiny_architecture("llama"))
    replay = LogitOperations.replay
    monkeypatch.setattr(
        LogitOperations, "replay", lambda self, tile, start: replay(self, tile, start) * 1.0005
    )
    scorer = scorer_of(model, tokens)
    rows = scored_rows(tokens)
    assert "one example at a time" in (scorer.slow_because or "")
    np.testing.assert_allclose(
        losses_of(scorer, tokens, rows), plain_losses(model, tokens)[rows], atol=TOLERANCE
    )


def test_experts_with_room_for_part_of_a_batch_are_scored_row_by_row(make_model):
    model, tokens = make_model({**tiny_architecture("nllb-moe"), "moe_eval_capacity_token_fraction": 0.3})
    scorer = scorer_of(model, tokens)
    rows = scored_rows(tokens)
    assert "one example at a time" in (scorer.slow_because or "")
    np.testing.assert_allclose(
        losses_of(scorer, tokens, rows), plain_losses(model, tokens)[rows], atol=TOLERANCE
    )


def test_attention_that_a_short_row_would_change_for_good_is_full_from_the_start(make_model):
    """The long row before and after a short one: block-sparse attention would be gone the second time."""
    sparse = {"attention_type": "block_sparse", "block_size": 8, "num_random_blocks": 1}
    model, tokens = make_model({**tiny_architecture("bigbird_pegasus"), **sparse})
    rows = scored_rows(tokens)
    assert model.config.attention_type == "original_full"
    long, short = (rows[place(tokens.response_starts[rows])] for place in (np.argmax, np.argmin))
    assert tokens.response_starts[short] < 7 * 8 < tokens.response_starts[long], (
        "one on each side of where it gives way"
    )
    scorer = ResponseScorer(model, 0, Probe([tokens.row(long)]))
    before = losses_of(scorer, tokens, np.array([long]))
    losses_of(scorer, tokens, np.array([short]))
    np.testing.assert_array_equal(losses_of(scorer, tokens, np.array([long])), before)


_SHORT = 60  # tokens; some rows are longer
_ROTARY = {
    "llama, dynamic": {
        **tiny_architecture("llama"),
        "max_position_embeddings": _SHORT,
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0},
    },
    "phi3, longrope": {
        **tiny_architecture("phi3"),
        "original_max_position_embeddings": _SHORT,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "original_max_position_embeddings": _SHORT,
            "short_factor": [1.0] * 4,
            "long_factor": [4.0] * 4,
        },
    },
}


@pytest.mark.parametrize("splits_head", [True, False])
@pytest.mark.parametrize("kind", _ROTARY)
def test_losses_do_not_depend_on_the_longest_row(make_model, monkeypatch, kind, splits_head):
    model, tokens = make_model(_ROTARY[kind], length=120)
    rows = scored_rows(tokens)
    assert {True, False} == set((tokens.lengths[rows] > _SHORT).tolist())
    fresh = [plain_losses(copy.deepcopy(model), _only(tokens, row))[0] for row in rows]
    if not splits_head:
        monkeypatch.setattr(scorer_module, "output_head", lambda model: None)
    scorer = scorer_of(model, tokens)
    assert ("one example at a time" in (scorer.slow_because or "")) != splits_head
    for order in (np.argsort(-tokens.lengths[rows]), np.argsort(tokens.lengths[rows]), np.arange(len(rows))):
        together = losses_of(scorer, tokens, rows[order])
        one_by_one = np.concatenate(
            [losses_of(scorer, tokens, rows[order][[place]]) for place in range(len(rows))]
        )
        np.testing.assert_allclose(together, np.array(fresh)[order], atol=TOLERANCE)
        np.testing.assert_allclose(one_by_one, np.array(fresh)[order], atol=TOLERANCE)


def _only(tokens: TokenizedPool, row: int) -> TokenizedPool:
    encoded = tokens.row(row)
    ids, start = encoded.ids, encoded.start
    return dataclasses.replace(
        tokens,
        tokens_S=ids,
        offsets=np.array([0, len(ids)]),
        is_response_S=encoded.is_response,
        response_starts=np.array([start], np.int32),
        num_response_tokens=tokens.num_response_tokens[[row]],
    )


@pytest.mark.parametrize(
    ("family", "are_left_out"),
    [("llama", False), ("mbart", False), ("gemma3", True), ("switch_transformers", True)],
)
def test_a_token_without_label_says_which_weights_a_batch_may_leave_out(family, are_left_out, tokenizer_dir):
    """And mBART, whose decoder begins with the last label, reads it."""
    config = ModelConfig(architecture=tiny_architecture(family), tokenizer=str(tokenizer_dir))
    model = load_base_model(config, load_tokenizer(config), 0).train()
    filler = [TokenRow(np.zeros(1, np.int64), np.zeros(1, bool))]
    assert leaves_weights_out(model, filler, 0) == are_left_out
    assert all(weight.grad is None for weight in model.parameters())
