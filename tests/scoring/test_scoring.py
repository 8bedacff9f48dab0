"""Scoring: the loss of an example is what a plain loop says, in any batch, file and arithmetic."""

import contextlib
import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

import get_trajectories
import run_distributed_trajectories
import train
from tests.conftest import ARCHITECTURES, plain_losses, pool_rows, run_here, run_script, write_jsonl
from utils.artifacts.locks import locked
from utils.artifacts.tokens import TokensManifest
from utils.config.load import load_config
from utils.config.schema import DataConfig, ModelConfig, TrajectoriesConfig
from utils.data import tokenization
from utils.data.batching import token_budget_batches
from utils.data.pool import Pool
from utils.data.settings import read_pool
from utils.data.tokenization import TokenizedPool, shared_prefix, tokenize_pool
from utils.modeling import head
from utils.modeling.loading import load_base_model, load_tokenizer
from utils.modeling.scorer import Probe, ResponseScorer
from utils.scoring.checkpoint_scorer import CheckpointScorer
from utils.scoring.launch import Launch, num_workers
from utils.scoring.plan import plan_scoring
from utils.scoring.run import _next_step, run_scoring
from utils.scoring.units import Unit

TOLERANCE = 1e-4
LENGTH = 175  # cuts some responses off whole, some in part
FAMILIES = sorted(ARCHITECTURES)


@pytest.fixture
def tiny(tmp_path, res_dir, tokenizer_dir, request):
    """(model, tokenized pool) of one family; some responses are cut off by the length."""
    family = request.param
    model_config = ModelConfig(architecture=ARCHITECTURES[family], tokenizer=str(tokenizer_dir))
    tokenizer = load_tokenizer(model_config)
    pool = Pool(DataConfig(path=str(write_jsonl(tmp_path / "pool.jsonl", pool_rows(40))), max_length=LENGTH))
    tokens = tokenize_pool(pool, tokenizer, "alpaca", LENGTH, family == "t5")
    assert 20 <= len(scorable(tokens)) < 40 or family == "t5"
    return load_base_model(model_config, tokenizer, seed=0).eval(), tokens


@pytest.fixture
def expected(tiny) -> np.ndarray:
    return plain_losses(*tiny)


def scorable(tokens: TokenizedPool) -> list[int]:
    return np.flatnonzero(tokens.num_response_tokens > 0).tolist()


def scorer_of(model, tokens: TokenizedPool, prefix: bool, **options) -> ResponseScorer:
    rows = [tokens.row(row) for row in scorable(tokens)]
    shared = None
    if prefix and not tokens.is_encoder_decoder:
        shared = shared_prefix(tokens, np.array(scorable(tokens)))
    return ResponseScorer(model, 0, Probe(rows[:3], shared), **options)


def batched_losses(scorer: ResponseScorer, tokens: TokenizedPool, batches: list[np.ndarray]) -> np.ndarray:
    losses = np.full(len(tokens), np.nan)
    for rows in batches:
        losses[rows] = scorer.score([tokens.row(row) for row in rows]).losses_B
    return losses


@pytest.mark.parametrize("tiny", FAMILIES, indirect=True)
@settings(max_examples=6)
@given(data=st.data())
def test_losses_do_not_depend_on_batch_shape_or_prefix(tiny, expected, data):
    model, tokens = tiny
    scorer = scorer_of(model, tokens, prefix=data.draw(st.booleans()))
    rows = np.array(data.draw(st.permutations(scorable(tokens))))
    batches = token_budget_batches(rows, tokens.lengths[rows], data.draw(st.integers(1, 4000)))
    assert sorted(np.concatenate(batches)) == scorable(tokens), "every row is in exactly one batch"
    np.testing.assert_allclose(batched_losses(scorer, tokens, batches), expected, atol=TOLERANCE)


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("has_bos", [False, True])
@settings(max_examples=4)
@given(data=st.data())
def test_losses_do_not_depend_on_padding_side_with_and_without_bos(
    tmp_path_factory, tokenizer_dir, monkeypatch, padding_side, has_bos, data
):
    folder = tmp_path_factory.mktemp("case")
    monkeypatch.setenv("S2L_RES_DIR", str(folder / "res"))
    tokenizer = AutoTokenizer.from_pretrained(
        tokenizer_dir, padding_side=padding_side, pad_token="<|endoftext|>"
    )
    if has_bos:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
        )
    tokenizer.save_pretrained(folder / "tokenizer")
    config = ModelConfig(architecture=ARCHITECTURES["llama"], tokenizer=str(folder / "tokenizer"))
    tokenizer = load_tokenizer(config)
    assert tokenizer.padding_side == padding_side
    pool = Pool(DataConfig(path=str(write_jsonl(folder / "pool.jsonl", pool_rows(20))), max_length=LENGTH))
    tokens = tokenize_pool(pool, tokenizer, data.draw(st.sampled_from(["alpaca", "plain"])), LENGTH, False)
    assert (tokens.row(0).ids[0] == 0) == has_bos
    model = load_base_model(config, tokenizer, seed=0).eval()
    scorer = scorer_of(model, tokens, prefix=data.draw(st.booleans()))
    rows = np.array(data.draw(st.permutations(scorable(tokens))))
    batches = token_budget_batches(rows, tokens.lengths[rows], data.draw(st.integers(1, 4000)))
    np.testing.assert_allclose(
        batched_losses(scorer, tokens, batches), plain_losses(model, tokens), atol=TOLERANCE
    )


class KilledLaunch(Launch):
    """Ends in the middle of its work, as on Ctrl-C."""

    def __init__(self, num_units: int):
        super().__init__()
        self._num_units = num_units

    def share(self, num_items: int) -> Iterator[int]:
        yield from itertools.islice(super().share(num_items), self._num_units)
        raise KeyboardInterrupt


@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 6))
def test_the_next_checkpoint_is_that_of_a_worker_among_equally_fast_ones(
    num_checkpoints, num_units, num_workers
):
    todo = [Unit(step, number) for step in range(num_checkpoints) for number in range(num_units)]
    for rank in range(num_workers):
        own = todo[rank::num_workers]
        for place, unit in enumerate(own):
            later = [other.step for other in own[place:] if other.step != unit.step]
            assert _next_step(todo, rank + place * num_workers, num_workers) == (later[0] if later else None)


def test_a_checkpoint_that_another_worker_took_is_not_kept(make_config, res_dir):
    config, _ = load_config(make_config("pool", num_rows=10), [])
    plan = plan_scoring(config, read_pool(config), {0: None}, overwrite=False)
    scorer = CheckpointScorer(config, plan, torch.device("cpu"))
    scorer._next = (500, scorer._reader.submit(lambda: "the model of another step"))
    scorer.load(0, None)
    assert scorer._next is None and scorer.model is not None
    scorer.close()


@pytest.mark.parametrize("family", ["gpt_neox", "t5"])
@settings(max_examples=8)
@given(data=st.data())
def test_losses_do_not_depend_on_unit_size_or_interruptions(make_config, res_dir, family, data):
    path = make_config("pool", family, num_rows=40)
    shutil.rmtree(res_dir / "pool", ignore_errors=True)
    size = data.draw(st.integers(1, 50))
    budget = data.draw(st.integers(1, 3000))
    config, _ = load_config(
        path, [f"trajectories.examples_per_unit={size}", f"trajectories.max_tokens_per_batch={budget}"]
    )
    plan = plan_scoring(config, read_pool(config), {0: None}, overwrite=False)
    for num_units in data.draw(st.lists(st.integers(0, 8), max_size=3)):
        with contextlib.suppress(KeyboardInterrupt):
            run_scoring(config, plan, KilledLaunch(num_units), overwrite=False)
    assert run_scoring(config, plan, Launch(), overwrite=False) == {}
    assert config.model is not None
    model = load_base_model(config.model, load_tokenizer(config.model), config.seed).eval()
    losses = np.load(res_dir / "pool/trajectories/checkpoint-0.npy")
    np.testing.assert_allclose(losses, plain_losses(model, plan.tokens), atol=TOLERANCE)


@pytest.mark.parametrize("tiny", FAMILIES, indirect=True)
def test_fast_path_is_taken_where_it_is_right(tiny):
    model, tokens = tiny
    scorer = scorer_of(model, tokens, prefix=True)
    assert scorer.slow_because is None
    assert (scorer._prefix_length > 50) == (model.config.model_type != "t5"), "the Alpaca preamble is shared"


@pytest.mark.parametrize("tiny", ["gpt_neox"], indirect=True)
def test_row_cut_to_its_prompt_scores_nan(tiny):
    model, tokens = tiny
    losses = batched_losses(scorer_of(model, tokens, prefix=False), tokens, [np.arange(len(tokens))])
    assert (tokens.num_response_tokens == 0).any(), "the fixture's length cuts some responses off whole"
    np.testing.assert_array_equal(np.isnan(losses), tokens.num_response_tokens == 0)


@pytest.mark.parametrize("tiny", ["gpt_neox", "t5"], indirect=True)
def test_head_in_small_tiles_gives_the_same_losses(tiny, monkeypatch):
    model, tokens = tiny
    batches = [np.array(scorable(tokens))]
    whole = batched_losses(scorer_of(model, tokens, prefix=True), tokens, batches)
    monkeypatch.setitem(head._TILE, "cpu", (7, 90))
    tiled = batched_losses(scorer_of(model, tokens, prefix=True), tokens, batches)
    np.testing.assert_allclose(tiled, whole, atol=1e-6)


@pytest.mark.parametrize("tiny", ["gpt_neox", "llama", "granite"], indirect=True)
def test_losses_of_any_size_are_those_of_a_plain_loop(tiny):
    """Of more than a hundred nats, which overflow as exp(loss), and of none."""
    model, tokens = tiny
    batches = [np.array(scorable(tokens))]
    with torch.no_grad():
        model.get_output_embeddings().weight *= 2000
    expected = plain_losses(model, tokens)
    assert np.nanmax(expected) > 150
    losses = batched_losses(scorer_of(model, tokens, prefix=True), tokens, batches)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    hidden_RH = torch.eye(32)[:3]
    with torch.no_grad():
        model.get_output_embeddings().weight[:3] = 1000 * torch.eye(32)[:3]
    scorer = scorer_of(model, tokens, prefix=False)
    assert scorer._head is not None
    sure, _ = scorer._head.score(hidden_RH * 1e3, torch.arange(3))
    assert (sure >= 0).all() and (sure < 1e-6).all()


@pytest.mark.parametrize("tiny", ["gpt_neox", "llama", "gemma2"], indirect=True)
def test_probabilities_and_embeddings_are_those_of_a_plain_loop(tiny):
    model, tokens = tiny
    rows = scorable(tokens)
    scorer = scorer_of(model, tokens, prefix=True, max_probability=True, embeddings=True)
    scores = scorer.score([tokens.row(row) for row in rows])
    assert scores.embeddings_BH is not None and scores.embeddings_BH.dtype == torch.float16
    assert scores.max_probability_B is not None
    losses = scorer_of(model, tokens, prefix=True).score([tokens.row(row) for row in rows])
    assert losses.max_probability_B is None and losses.embeddings_BH is None
    np.testing.assert_allclose(losses.losses_B, scores.losses_B, atol=1e-6)
    for position, row in enumerate(rows):
        encoded = tokens.row(row)
        ids, start = encoded.ids, encoded.start
        with torch.no_grad():
            output = model(input_ids=torch.tensor(ids)[None], output_hidden_states=True)
        probability_LV = output.logits[0, start - 1 : -1].softmax(-1)
        of_response = probability_LV.gather(1, torch.tensor(ids[start:])[:, None]).mean()
        embedding = output.hidden_states[-1][0, start - 1 : -1].mean(0)
        assert scores.probability_B[position].item() == pytest.approx(of_response.item(), abs=1e-5)
        assert scores.max_probability_B[position].item() == pytest.approx(
            probability_LV.amax(-1).mean().item(), abs=1e-5
        )
        np.testing.assert_allclose(scores.embeddings_BH[position], embedding, atol=2e-3, rtol=2e-3)


@given(
    rows=st.lists(
        st.tuples(st.lists(st.integers(0, 2), min_size=2, max_size=9), st.integers(1, 8)),
        min_size=1,
        max_size=6,
    ),
    at_once=st.integers(1, 40),
)
def test_shared_prefix_is_shared_and_leaves_a_token_before_each_response(rows, at_once):
    sequences = [(np.array(ids), min(start, len(ids) - 1)) for ids, start in rows]
    tokens = TokenizedPool(
        folder=Path(),
        tokens_S=np.concatenate([ids for ids, _ in sequences]).astype(np.uint16),
        offsets=np.cumsum([0, *(len(ids) for ids, _ in sequences)]),
        is_response_S=np.concatenate([np.arange(len(ids)) >= start for ids, start in sequences]),
        response_starts=np.array([start for _, start in sequences], np.int32),
        num_response_tokens=np.array([len(ids) - start for ids, start in sequences], np.int32),
        whole_lengths=np.array([len(ids) for ids, _ in sequences], np.int32),
        whole_responses=np.array([len(ids) - start for ids, start in sequences], np.int32),
        manifest=TokensManifest(status="complete", inputs={}),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenization, "_TOKENS_COMPARED_AT_ONCE", at_once)
        prefix = shared_prefix(tokens, np.arange(len(sequences)))
    assert all(
        ids[: len(prefix)].tolist() == prefix.tolist() and len(prefix) < start for ids, start in sequences
    )
    longest = min(start for _, start in sequences) - 1
    same = [len({ids[position] for ids, _ in sequences}) == 1 for position in range(longest)]
    assert len(prefix) == (same.index(False) if False in same else longest)


def test_scores_are_the_same_bits_on_one_and_three_workers(make_config, res_dir):
    config = make_config("proxy", trajectories={"examples_per_unit": 20})
    assert run_here(train, "--config_file", config) == 0
    words = ("--config_file", config, "--model_path", res_dir / "proxy")
    assert run_here(run_distributed_trajectories, *words) == 0
    answer = run_script("run_distributed_trajectories.py", *words, "run_name=three", "trajectories.workers=3")
    table = answer.stdout.split("of matrix rate\n")[1].splitlines()[:3]
    trajectories = res_dir / "proxy/trajectories"
    steps = json.loads((trajectories / "manifest.json").read_text())["steps"]
    num_scored = np.count_nonzero(np.load(trajectories / "num_response_tokens.npy"))
    assert len(steps) == 3
    done = [int(line.split()[1]) for line in table if line.startswith("  cpu")]
    assert sum(done) == 3 * num_scored, "the table says what each worker did"
    for step in steps:
        one, three = (
            np.load(res_dir / run / f"trajectories/checkpoint-{step}.npy") for run in ("proxy", "three")
        )
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, three)


def test_one_worker_for_each_visible_gpu_and_as_many_as_asked_for_on_a_cpu(monkeypatch):
    assert num_workers(TrajectoriesConfig()) == 1 and num_workers(TrajectoriesConfig(workers=4)) == 4
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert num_workers(TrajectoriesConfig()) == 3
    with pytest.raises(ValueError, match="CUDA_VISIBLE_DEVICES"):
        num_workers(TrajectoriesConfig(workers=4))


def test_saved_checkpoint_scores_as_the_plain_loop_over_it(make_config, res_dir):
    """The released code overwrites a trained end-of-sequence row on loading. Here the disk decides."""
    from transformers import AutoModelForCausalLM

    config = make_config("proxy")
    assert run_here(train, "--config_file", config) == 0
    assert run_here(get_trajectories, "--config_file", config, "--ckpt", "-1") == 0
    folder = res_dir / "proxy/checkpoint-12"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    pool = Pool(DataConfig(path=str(config.parent / "pool.jsonl"), max_length=160))
    tokens = tokenize_pool(pool, load_tokenizer(ModelConfig(name_or_path=str(folder))), "alpaca", 160, False)
    scored = np.load(res_dir / "proxy/trajectories/checkpoint-12.npy")
    np.testing.assert_allclose(scored, plain_losses(model, tokens), atol=TOLERANCE)


def test_truncated_checkpoint_is_named_and_the_others_are_scored(make_config, res_dir, capsys):
    config = make_config("proxy")
    assert run_here(train, "--config_file", config) == 0
    weights = res_dir / "proxy/checkpoint-8/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert run_here(run_distributed_trajectories, "--config_file", config) == 1
    assert "checkpoint 8 failed" in capsys.readouterr().err
    scored = {path.name for path in (res_dir / "proxy/trajectories").glob("checkpoint-*.npy")}
    assert scored == {"checkpoint-4.npy", "checkpoint-12.npy"}


def test_a_launch_that_scores_nothing_leaves_the_record_of_the_one_that_did(make_config, res_dir):
    config = make_config("proxy", num_rows=20, checkpoints={"count": 1})
    assert run_here(train, "--config_file", config) == 0
    manifest = res_dir / "proxy/trajectories/manifest.json"
    assert run_here(run_distributed_trajectories, "--config_file", config) == 0
    recorded = manifest.read_bytes()
    assert run_here(run_distributed_trajectories, "--config_file", config) == 0
    assert manifest.read_bytes() == recorded


def test_retrained_proxy_in_the_same_folder_is_refused(make_config, res_dir, capsys):
    config = make_config("proxy")
    assert run_here(train, "--config_file", config) == 0
    assert run_here(get_trajectories, "--config_file", config, "--ckpt", "4") == 0
    weights = "model.safetensors"
    shutil.copy(res_dir / "proxy/checkpoint-8" / weights, res_dir / "proxy/checkpoint-4" / weights)
    assert run_here(get_trajectories, "--config_file", config, "--ckpt", "4") == 1
    assert "found other contents than were saved" in capsys.readouterr().err
    (res_dir / "proxy/checkpoint-4/checksums.json").unlink()
    assert run_here(get_trajectories, "--config_file", config, "--ckpt", "4") == 1
    message = capsys.readouterr().err
    assert "checkpoint-4" in message and "--overwrite" in message
    assert run_here(train, "--config_file", config, "--overwrite", "seed=7") == 0
    assert not (res_dir / "proxy/trajectories").exists(), "losses of weights that are no more"


def test_half_trained_proxy_is_not_taken_for_a_whole_one(make_config, res_dir, capsys):
    config = make_config("proxy")
    assert run_here(train, "--config_file", config) == 0
    shutil.rmtree(res_dir / "proxy/checkpoint-12")
    assert run_here(run_distributed_trajectories, "--config_file", config) == 1
    assert "[4, 8] of [4, 8, 12], expected all that training left" in capsys.readouterr().err
    elsewhere = ("--config_file", config, "run_name=other", "--model_path", res_dir / "proxy")
    assert run_here(run_distributed_trajectories, *elsewhere) == 1
    assert "[4, 8] of [4, 8, 12], expected all that training left" in capsys.readouterr().err
    manifest = json.loads((res_dir / "proxy/manifest.json").read_text())
    del manifest["sha256"]
    (res_dir / "proxy/manifest.json").write_text(json.dumps({**manifest, "status": "running"}))
    assert run_here(run_distributed_trajectories, *elsewhere) == 1
    assert "unfinished training with checkpoints [4, 8] of [4, 8, 12]" in capsys.readouterr().err
    assert run_here(run_distributed_trajectories, "--config_file", config, "--checkpoints", "4,8") == 0


def test_second_launch_on_a_checkpoint_is_refused_and_on_another_is_not(make_config, res_dir, capsys):
    config = make_config("proxy", num_rows=20)
    assert train.main(["--config_file", str(config)]) == 0
    with locked(res_dir / "proxy/trajectories/checkpoint-1.npy"):
        assert get_trajectories.main(["--config_file", str(config), "--ckpt", "1"]) == 1
        assert "another launch is scoring checkpoint 1" in capsys.readouterr().err
        assert get_trajectories.main(["--config_file", str(config), "--ckpt", "3"]) == 0
    assert get_trajectories.main(["--config_file", str(config), "--ckpt", "1"]) == 0
    losses = {path: path.read_bytes() for path in (res_dir / "proxy/trajectories").glob("*.npy")}
    in_bfloat16 = ["--config_file", str(config), "trajectories.precision=bfloat16", "--overwrite"]
    with locked(res_dir / "proxy/trajectories/checkpoint-1.npy"):
        assert get_trajectories.main([*in_bfloat16, "--ckpt", "3"]) == 1, (
            "it would remove those of checkpoint 1"
        )
        assert "another launch is scoring checkpoint 1" in capsys.readouterr().err
    for thing, refusal in (
        ("manifest.json", "another launch is training this run"),
        ("evaluation", "another command is evaluating this run"),
        ("trajectories/checkpoint-3.npy", "another launch is scoring checkpoint 3"),
    ):
        with locked(res_dir / "proxy" / thing):
            assert train.main(["--config_file", str(config), "--overwrite"]) == 1
        assert refusal in capsys.readouterr().err
        assert (res_dir / "proxy/checkpoint-1").is_dir(), "nothing is removed under another launch"
    assert {path: path.read_bytes() for path in losses} == losses
    assert train.main(["--config_file", str(config), "--overwrite"]) == 0
    assert not (res_dir / "proxy/trajectories").exists()


def test_out_of_memory_halves_the_batches_and_goes_on(make_config, res_dir, capsys, monkeypatch):
    config = make_config("proxy", checkpoints={"count": 1}, trajectories={"max_tokens_per_batch": 2048})
    command = ["--config_file", str(config), "--ckpt", "12"]
    assert train.main(["--config_file", str(config)]) == 0
    assert get_trajectories.main(command) == 0
    path = res_dir / "proxy/trajectories/checkpoint-12.npy"
    expected = np.load(path)
    score = ResponseScorer.score
    room = 600

    def score_in_little_memory(self, rows):
        if len(rows) * max(map(len, rows)) > room:
            raise torch.OutOfMemoryError
        return score(self, rows)

    monkeypatch.setattr(ResponseScorer, "score", score_in_little_memory)
    assert get_trajectories.main([*command, "--overwrite"]) == 0
    assert "from here on 512 tokens a batch" in capsys.readouterr().err
    np.testing.assert_allclose(np.load(path), expected, atol=TOLERANCE)
    room = 100
    assert get_trajectories.main([*command, "--overwrite"]) == 1
    assert "checkpoint 12 failed: out of memory" in capsys.readouterr().err
    assert not path.exists()
