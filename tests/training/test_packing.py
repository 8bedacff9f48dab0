"""Rows packed one behind the other train as padded ones do."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

import train
from tests.conftest import ARCHITECTURES, LLAMA_LIKE, run_here
from tests.training.test_training import (
    assert_all_end,
    assert_same_weights,
    kill_once_there,
    losses,
    under_torchrun,
)
from utils.config.schema import ModelConfig
from utils.data.batching import IGNORED, pack_rows, pad_rows
from utils.data.token_rows import TokenRow
from utils.modeling import packed
from utils.modeling.packed import has_packed_attention, why_rows_mix
from utils.modeling.responses import model_inputs, response_positions
from utils.training import trainer
from utils.training.order import GlobalBatchOrder, deal_packed

SCRIPT = "tests/training/train_packed.py"
MIXING = {
    "mamba": {"model_type": "mamba", "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2},
    "bloom": {"model_type": "bloom", "vocab_size": 300, "hidden_size": 32, "n_layer": 2, "n_head": 4},
}

rows_of_tokens = st.lists(
    st.integers(1, 30).flatmap(
        lambda length: st.builds(
            TokenRow,
            st.lists(st.integers(1, 299), min_size=length, max_size=length).map(np.array),
            st.lists(st.booleans(), min_size=length, max_size=length).map(np.array),
        )
    ),
    min_size=1,
    max_size=6,
)


def train_both_ways(config):
    """Into the config's own run with attention that takes packed rows, then into the run `padded`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "asks_for_flash_attention", lambda settings: True)
        assert run_here(train, "--config_file", config) == 0
    assert run_here(train, "--config_file", config, "run_name=padded") == 0


def random_model(settings):
    torch.manual_seed(0)
    settings = dict(settings)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))


@given(rows=rows_of_tokens)
def test_flash_attention_is_told_where_each_row_ends(rows):
    """A kernel keeps apart what lies between two of these numbers, and reads no row beyond the longest."""
    batch = pack_rows(rows)
    lengths = [len(row) for row in rows]
    for side in "qk":
        ends = batch[f"cu_seq_lens_{side}"]
        assert ends.dtype == torch.int32 and ends.tolist() == [0, *np.cumsum(lengths).tolist()]
        assert batch[f"max_length_{side}"] == max(lengths)
    starts = [position for position, number in enumerate(batch["position_ids"][0].tolist()) if number == 0]
    assert starts == ends[:-1].tolist()


@pytest.mark.parametrize("family", ["gpt_neox", "llama", "gemma2"])
def test_a_model_is_handed_where_each_row_ends(family):
    config = AutoConfig.for_model(**ARCHITECTURES[family])
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    rows = [TokenRow(np.arange(1, length), np.arange(1, length) > 1) for length in (9, 40)]
    batch = pack_rows(rows)
    inputs = model_inputs(model, batch)
    assert set(inputs) == set(batch) - {"labels"}
    assert all(inputs[name] is batch[name] for name in inputs)


def test_an_epoch_of_packed_rows_is_dealt_as_packed_rows():
    lengths = np.random.default_rng(0).integers(1, 60, 32)
    order = GlobalBatchOrder(lengths, 16, 4, "sequential", seed=0, is_packed=True)
    dealt = [tuple(places.tolist()) for places in deal_packed(lengths[:16], 4)]
    assert list(order)[:4] == dealt


@given(rows=rows_of_tokens)
def test_packed_rows_have_the_labels_of_padded_ones(rows):
    of_packed = pack_rows(rows)
    lengths = [len(row) for row in rows]
    assert of_packed["input_ids"].tolist() == [[token for row in rows for token in row.ids]]
    assert of_packed["position_ids"].tolist() == [[place for length in lengths for place in range(length)]]
    positions = response_positions(of_packed["labels"], False)
    padded = response_positions(pad_rows(rows, 0, False)["labels"], False)
    assert positions.labels_R.tolist() == padded.labels_R.tolist()
    before = np.cumsum([0, *lengths])
    assert positions.position_R.tolist() == [
        before[place // padded.shape[1]] + place % padded.shape[1] for place in padded.position_R.tolist()
    ]
    assert (of_packed["labels"][of_packed["position_ids"] == 0] == IGNORED).all()


@given(lengths=st.lists(st.integers(0, 500), min_size=1, max_size=60), count=st.integers(1, 9))
def test_packed_rows_are_dealt_evenly_and_within_memory(lengths, count):
    dealt = deal_packed(np.array(lengths), count)
    assert len(dealt) == count and sorted(row for rows in dealt for row in rows) == list(range(len(lengths)))
    tokens = [sum(max(1, lengths[row]) for row in rows) for rows in dealt]
    longest = max(1, *lengths)
    assert max(tokens) <= -(-len(lengths) // count) * longest
    assert max(tokens) - min(tokens) <= longest


@pytest.mark.parametrize("family", ["gpt_neox", "gpt2", "llama", "gemma2"])
def test_attention_by_positions_keeps_packed_rows_apart(family):
    rows = [TokenRow(np.arange(1, length), np.arange(1, length) > 1) for length in (9, 40, 23)]
    assert why_rows_mix(random_model(ARCHITECTURES[family]), rows) is None


@pytest.mark.parametrize("family", MIXING)
def test_what_mixes_packed_rows_is_found_out(family):
    rows = [TokenRow(np.arange(1, length), np.arange(1, length) > 1) for length in (9, 40, 23)]
    assert why_rows_mix(random_model(MIXING[family]), rows)


def test_rows_are_packed_for_flash_attention_only():
    config = AutoConfig.for_model(**LLAMA_LIKE, model_type="llama")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    sdpa = ModelConfig(name_or_path="llama", attn_implementation="sdpa")
    flash = ModelConfig(name_or_path="llama", attn_implementation="flash_attention_2")
    assert not has_packed_attention(sdpa, model)
    assert has_packed_attention(flash, model)
    model.config.is_encoder_decoder = True
    assert not has_packed_attention(flash, model)


@pytest.mark.parametrize("family", ["gpt_neox", "gemma2"])
def test_packed_training_is_that_of_padded_rows(make_config, res_dir, capsys, monkeypatch, family):
    packed_batches = []

    def kept(rows):
        packed_batches.append(pack_rows(rows))
        return packed_batches[-1]

    monkeypatch.setattr(trainer, "pack_rows", kept)
    train_both_ways(make_config("packed", family, num_rows=40))
    assert len(packed_batches) >= 6 * 4 and max(len(batch["cu_seq_lens_q"]) for batch in packed_batches) > 3
    packed_says, _ = capsys.readouterr().out.split("run padded:", 1)
    assert "4 micro-batches" in packed_says
    np.testing.assert_allclose(losses(res_dir / "packed"), losses(res_dir / "padded"), atol=1e-5)
    assert_same_weights(res_dir / "packed/checkpoint-6", res_dir / "padded/checkpoint-6", 1e-4)


def test_a_model_that_mixes_packed_rows_is_trained_on_padded_ones(make_config, res_dir, capsys):
    config = make_config("mamba", num_rows=40, model={"architecture": MIXING["mamba"]})
    train_both_ways(config)
    said = capsys.readouterr()
    assert "packed, this model mixes them (what lies before a row changes its logits)" in said.err
    first, second = [line for line in said.out.splitlines() if "micro-batches of at most" in line]
    assert first == second, "it is padded as if it never might have been packed"
    np.testing.assert_allclose(losses(res_dir / "mamba"), losses(res_dir / "padded"), atol=1e-5)


def test_packed_training_by_two_processes_continues_in_one_that_pads(make_config, res_dir):
    config = make_config("whole", train_args={"num_train_epochs": 6}, checkpoints={"count": 9})
    assert run_here(train, "--config_file", config) == 0
    words = ["--config_file", str(config), "run_name=in_parts"]
    kill_once_there(under_torchrun(SCRIPT, *words), res_dir / "in_parts/checkpoint-8")
    assert_all_end(config)
    assert run_here(train, *words) == 0
    np.testing.assert_allclose(losses(res_dir / "whole"), losses(res_dir / "in_parts"), atol=1e-4)
    assert_same_weights(res_dir / "whole/checkpoint-36", res_dir / "in_parts/checkpoint-36", 1e-4)
