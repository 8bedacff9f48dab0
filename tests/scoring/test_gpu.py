"""What only a GPU can break: its arithmetic, copies that overlap with work, memory that runs out."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import get_trajectories
import run_distributed_trajectories
import train
from tests.conftest import (
    ARCHITECTURES,
    LLAMA_LIKE,
    in_one_line,
    plain_losses,
    pool_rows,
    run_here,
    run_script,
    write_jsonl,
)
from tests.scoring.test_scoring import scorable, scorer_of
from utils.config.schema import DataConfig, ModelConfig
from utils.data.pool import Pool
from utils.data.tokenization import TokenizedPool, tokenize_pool
from utils.modeling.loading import load_base_model, load_tokenizer
from utils.modeling.precision import float32_products

pytestmark = pytest.mark.gpu

EXACT = 1e-4  # nats, of float32
MEBIBYTE = 2**20


@pytest.fixture
def make_model(tmp_path, res_dir, tokenizer_dir):
    """make_model(architecture) -> model on the CPU, tokenized pool of 40 rows."""

    def make(architecture: dict) -> tuple[Any, TokenizedPool]:
        config = ModelConfig(architecture=architecture, tokenizer=str(tokenizer_dir))
        tokenizer = load_tokenizer(config)
        pool = Pool(DataConfig(path=str(write_jsonl(tmp_path / "pool.jsonl", pool_rows(40))), max_length=175))
        tokens = tokenize_pool(pool, tokenizer, "alpaca", 175, architecture["model_type"] == "t5")
        return load_base_model(config, tokenizer, seed=0).eval(), tokens

    return make


@pytest.mark.parametrize("family", sorted(ARCHITECTURES))
def test_losses_are_those_of_a_plain_loop_on_the_cpu(make_model, family):
    model, tokens = make_model(ARCHITECTURES[family])
    rows = scorable(tokens)
    expected = plain_losses(model, tokens)
    with float32_products(in_tf32=False):
        scorer = scorer_of(model.cuda(), tokens, prefix=True)
        assert scorer.slow_because is None
        for size in (1, 7, len(rows)):
            for some in np.array_split(rows, max(1, len(rows) // size)):
                losses = scorer.score([tokens.row(row) for row in some]).losses_B
                np.testing.assert_allclose(losses.cpu(), expected[some], atol=EXACT)


def test_convolutions_are_exact_in_a_scoring(make_model):
    """torch lets cuDNN round their inputs to TF32 unless told otherwise."""
    architecture = {"model_type": "mamba", "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 2}
    model, tokens = make_model(architecture)
    rows = scorable(tokens)
    expected = plain_losses(model, tokens)
    with float32_products(in_tf32=False):
        scorer = scorer_of(model.cuda(), tokens, prefix=True)
        losses = scorer.score([tokens.row(row) for row in rows]).losses_B
    np.testing.assert_allclose(losses.cpu(), expected[rows], atol=EXACT)


def test_copies_under_way_bring_each_batch_its_own_rows(make_model):
    """A GPU that is far behind: hundreds of batches are copied to it before it has begun with the first."""
    model, tokens = make_model(ARCHITECTURES["llama"])
    scorer = scorer_of(model.cuda(), tokens, prefix=True)
    batches = [scorable(tokens)[start::7] for start in range(7)] * 40
    one_by_one = []
    for batch in batches:
        one_by_one.append(scorer.score([tokens.row(row) for row in batch]).losses_B.cpu())
    busy = torch.ones((8192, 8192), device="cuda")
    for _ in range(30):
        busy = (busy @ busy).clamp(max=1.0)
    scores = [scorer.score([tokens.row(row) for row in batch]) for batch in batches]
    for score, expected in zip(scores, one_by_one, strict=True):
        np.testing.assert_array_equal(score.losses_B.cpu(), expected)


@contextlib.contextmanager
def memory_limit(mebibytes: int) -> Iterator[None]:
    """Of this process beyond what it holds now."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + mebibytes * MEBIBYTE) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


WIDE = {**LLAMA_LIKE, "model_type": "llama", "hidden_size": 512, "intermediate_size": 4096}


@pytest.fixture
def wide(make_config, tokenizer_dir) -> Path:
    """A model of 60 MiB whose batch of 65,536 tokens needs a GiB and more."""
    model = {"architecture": WIDE, "tokenizer": str(tokenizer_dir)}
    return make_config("wide", num_rows=600, model=model, trajectories={"max_tokens_per_batch": 65536})


def losses_at(config: Path, res_dir: Path, *words: str) -> np.ndarray:
    assert run_here(get_trajectories, "--config_file", config, "--ckpt", "0", *words, "--overwrite") == 0
    return np.load(res_dir / config.stem / "trajectories/checkpoint-0.npy")


def test_memory_that_runs_out_halves_the_batches_and_changes_no_loss(wide, res_dir, capsys):
    expected = losses_at(wide, res_dir)
    assert "out of memory" not in capsys.readouterr().err
    with memory_limit(250):
        halved = losses_at(wide, res_dir)
    assert "out of memory: from here on" in capsys.readouterr().err
    np.testing.assert_allclose(halved, expected, atol=EXACT)


def test_a_model_that_does_not_fit_is_one_error(wide, res_dir, capsys):
    with memory_limit(20):
        assert run_here(get_trajectories, "--config_file", wide, "--ckpt", "0") == 1
    error = capsys.readouterr().err
    assert "checkpoint 0 failed: out of memory before the first batch" in error
    assert "Traceback" not in error
    assert len(losses_at(wide, res_dir)) == 600, "with memory for it the same command scores it"


def test_batches_that_are_chosen_by_free_memory_fit(wide, res_dir, capsys):
    losses_at(wide, res_dir, "trajectories.max_tokens_per_batch=null")
    assert "out of memory" not in capsys.readouterr().err


def test_tf32_and_bfloat16_are_what_their_names_say(make_config, res_dir):
    config = make_config("precise", "llama", num_rows=40)
    exact = losses_at(config, res_dir)
    for precision, tolerance in (("tf32", 0.02), ("bfloat16", 0.1)):
        rounded = losses_at(config, res_dir, f"trajectories.precision={precision}")
        assert not np.array_equal(rounded, exact)
        np.testing.assert_allclose(rounded, exact, atol=tolerance)
    np.testing.assert_array_equal(losses_at(config, res_dir), exact, "TF32 ends with its scoring")


@pytest.mark.parametrize("settings", [["train_args.tf32=true"], ["trajectories.precision=tf32"]])
def test_a_training_and_its_scoring_keep_their_own_precision(make_config, res_dir, capsys, settings):
    """Losses written during a training are those of scoring its checkpoints afterwards."""
    config = make_config("proxy", "llama", trajectories={"during_training": True})
    assert run_here(train, "--config_file", config, *settings) == 0
    assert "one example at a time" not in capsys.readouterr().err
    during = {path.name: np.load(path) for path in (res_dir / "proxy/trajectories").glob("*.npy")}
    words = ("--config_file", config, *settings, "--overwrite")
    assert run_here(run_distributed_trajectories, *words) == 0
    assert len(during) == 4
    for name, losses in during.items():
        np.testing.assert_allclose(np.load(res_dir / "proxy/trajectories" / name), losses, atol=1e-6)


def test_more_processes_than_gpus_are_one_error_of_training_and_scoring(make_config):
    config = make_config("proxy", num_rows=20)
    too_many = torch.cuda.device_count() + 1
    for script, *words in (["train.py"], ["run_distributed_trajectories.py", "--checkpoints", "0"]):
        answer = run_script(script, "--config_file", config, *words, torchrun=too_many, check=False)
        assert answer.returncode != 0
        assert f"give torchrun --nproc_per_node={too_many - 1}" in in_one_line(answer.stderr)
        assert f'{script}", line' not in answer.stderr, "no traceback of ours"


def test_quantities_for_the_baselines_are_those_of_the_cpu(make_model):
    model, tokens = make_model(ARCHITECTURES["gpt_neox"])
    rows = [tokens.row(row) for row in scorable(tokens)]
    expected = scorer_of(model, tokens, prefix=True, max_probability=True, embeddings=True).score(rows)
    found = scorer_of(model.cuda(), tokens, prefix=True, max_probability=True, embeddings=True).score(rows)
    for name in ("losses_B", "probability_B", "max_probability_B", "embeddings_BH"):
        np.testing.assert_allclose(
            getattr(found, name).cpu(), getattr(expected, name), atol=2e-3 if "emb" in name else EXACT
        )
