"""Scoring: the loss of an example is what a plain loop says, whatever it is batched, stored or computed with."""

import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import ARCHITECTURES, plain_losses, pool_rows, run_script, write_jsonl
from utils.config.schema import DataConfig, ModelConfig
from utils.data.batching import pad_rows, token_budget_batches
from utils.data.pool import Pool
from utils.data.tokenization import TokenizedPool, tokenize_pool
from utils.modeling import load_base_model, load_tokenizer, response_losses

TOLERANCE = 1e-4


@pytest.fixture
def tiny(tmp_path, res_dir, tokenizer_dir, request):
    """(model, tokenized pool) of one family; some responses are cut off by the length."""
    family = request.param
    model_config = ModelConfig(architecture=ARCHITECTURES[family], tokenizer=str(tokenizer_dir))
    tokenizer = load_tokenizer(model_config)
    pool = Pool(DataConfig(path=str(write_jsonl(tmp_path / "pool.jsonl", pool_rows(40))), max_length=110))
    tokens = tokenize_pool(pool, tokenizer, "alpaca", 110, family == "t5")
    return load_base_model(model_config, tokenizer, seed=0).eval(), tokens


def batched_losses(model, tokens: TokenizedPool, batches: list[np.ndarray]) -> np.ndarray:
    losses = np.full(len(tokens), np.inf)
    for rows in batches:
        batch = pad_rows((tokens.row(row) for row in rows), 0, tokens.is_encoder_decoder)
        losses[rows] = response_losses(model, batch).numpy()
    return losses


@pytest.mark.parametrize("tiny", ["gpt_neox", "t5"], indirect=True)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_losses_do_not_depend_on_batch_shape(tiny, data):
    model, tokens = tiny
    rows = np.array(data.draw(st.permutations(range(len(tokens)))))
    batches = token_budget_batches(rows, tokens.lengths[rows], data.draw(st.integers(1, 4000)))
    assert sorted(np.concatenate(batches)) == list(range(len(tokens))), "every row is in exactly one batch"
    np.testing.assert_allclose(batched_losses(model, tokens, batches), plain_losses(model, tokens), atol=TOLERANCE)


@pytest.mark.parametrize("tiny", ["gpt_neox"], indirect=True)
def test_row_cut_to_its_prompt_scores_nan(tiny):
    model, tokens = tiny
    losses = batched_losses(model, tokens, [np.arange(len(tokens))])
    assert (tokens.num_response_tokens == 0).any(), "the fixture's length cuts some responses off whole"
    np.testing.assert_array_equal(np.isnan(losses), tokens.num_response_tokens == 0)


@pytest.mark.parametrize("tiny", ["gpt_neox", "t5"], indirect=True)
def test_head_in_small_chunks_gives_the_same_losses(tiny, monkeypatch):
    model, tokens = tiny
    whole = batched_losses(model, tokens, [np.arange(len(tokens))])
    monkeypatch.setattr("utils.modeling._LOGITS_AT_ONCE", 300 * 7)
    np.testing.assert_allclose(batched_losses(model, tokens, [np.arange(len(tokens))]), whole, atol=1e-6)


def test_scores_are_the_same_bits_on_one_and_two_workers(make_config, res_dir):
    config = make_config("proxy", trajectories={"examples_per_unit": 20})
    run_script("train.py", "--config_file", config)
    run_script("run_distributed_trajectories.py", "--config_file", config)
    script = (
        "run_distributed_trajectories.py",
        "--model_path",
        res_dir / "proxy",
        "--config_file",
        config,
        "run_name=two",
    )
    run_script(*script, torchrun=2)
    steps = json.loads((res_dir / "proxy/trajectories/manifest.json").read_text())["steps"]
    assert len(steps) == 3
    for step in steps:
        one, two = (np.load(res_dir / run / f"trajectories/checkpoint-{step}.npy") for run in ("proxy", "two"))
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, two)


def test_saved_checkpoint_scores_as_the_plain_loop_over_it(make_config, res_dir):
    """The released code overwrites a trained end-of-sequence row on loading; whatever is on disk is what must be scored."""
    from transformers import AutoModelForCausalLM

    config = make_config("proxy")
    run_script("train.py", "--config_file", config)
    run_script("get_trajectories.py", "--config_file", config, "--ckpt", "-1")
    folder = res_dir / "proxy/checkpoint-12"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    pool = Pool(DataConfig(path=str(config.parent / "pool.jsonl"), max_length=160))
    tokens = tokenize_pool(pool, load_tokenizer(ModelConfig(name_or_path=str(folder))), "alpaca", 160, False)
    scored = np.load(res_dir / "proxy/trajectories/checkpoint-12.npy")
    np.testing.assert_allclose(scored, plain_losses(model, tokens), atol=TOLERANCE)


def test_truncated_checkpoint_is_named_and_the_others_are_scored(make_config, res_dir):
    config = make_config("proxy")
    run_script("train.py", "--config_file", config)
    weights = res_dir / "proxy/checkpoint-8/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    answer = run_script("run_distributed_trajectories.py", "--config_file", config, check=False)
    assert answer.returncode == 1
    assert "checkpoint 8 failed" in answer.stderr
    scored = {path.name for path in (res_dir / "proxy/trajectories").glob("*.npy")}
    assert scored == {"checkpoint-4.npy", "checkpoint-12.npy"}


def test_retrained_proxy_in_the_same_folder_is_refused(make_config, res_dir):
    config = make_config("proxy")
    run_script("train.py", "--config_file", config)
    run_script("get_trajectories.py", "--config_file", config, "--ckpt", "4")
    run_script("train.py", "--config_file", config, "--overwrite", "seed=7")
    answer = run_script("get_trajectories.py", "--config_file", config, "--ckpt", "4", "seed=7", check=False)
    assert answer.returncode == 1
    assert "checkpoint-4" in answer.stderr and "--overwrite" in answer.stderr
