"""A dry run says what the real run would say, before a model is loaded; what it passes the run completes."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

import train
from tests.conftest import ARCHITECTURES
from tests.modeling.test_model_families import tiny_architecture
from utils.modeling.positions import check_length, num_positions

SUBSET = ["subset.trajectories_from=LOSSES", "subset.num_clusters=4"]

# Overrides of a run that would start, and what its refusal names.
BROKEN: dict[str, tuple[list[str], str]] = {
    "learning_rate is a word": (["train_args.learning_rate=fast"], "train_args.learning_rate: found 'fast'"),
    "learning_rate in quotes": (["train_args.learning_rate='2e-3'"], "without quotes"),
    "learning_rate below 0": (["train_args.learning_rate=-1"], "of at least 0"),
    "learning_rate is no number": (["train_args.learning_rate=.nan"], "found nan"),
    "adam_beta1": (["train_args.adam_beta1=2"], "from 0 to below 1"),
    "weight_decay": (["train_args.weight_decay=.nan"], "found nan"),
    "scheduler": (["train_args.lr_scheduler_type=cosin"], "cosin"),
    "scheduler's settings": (["train_args.lr_scheduler_kwargs={minimum: 3}"], "train_args"),
    "scheduler without its settings": (["train_args.lr_scheduler_type=cosine_with_min_lr"], "train_args"),
    "optimizer": (["train_args.optim=adam"], "adam"),
    "log level": (["train_args.log_level=loud"], "loud"),
    "loader": (["train_args.dataloader_persistent_workers=true"], "persistent_workers"),
    "wrapped layer": (
        ["train_args.fsdp=true", "train_args.fsdp_config={transformer_layer_cls_to_wrap: GPTLayer}"],
        "GPTNeoXLayer",
    ),
    "architecture's key": (["model.architecture.hidden_layers=3"], "did you mean 'num_hidden_layers'"),
    "architecture's value": (["model.architecture.num_attention_heads=5"], "attention heads"),
    "architecture's kind": (["model.architecture.num_hidden_layers=two"], "num_hidden_layers"),
    "decoder's start": (
        [
            "model.architecture={model_type: t5, d_model: 32, d_kv: 8, d_ff: 64, num_layers: 1, "
            "num_heads: 4, pad_token_id: 0}"
        ],
        "decoder_start_token_id None",
    ),
    "model type": (["model.architecture.model_type=gpt_noex"], "gpt_noex"),
    "attention": (["model.attn_implementation=flash"], "flash"),
    "revision": (["model.revision=main"], "model.revision"),
    "tokenizer": (["model.tokenizer=/nowhere/at/all"], "/nowhere/at/all does not exist"),
    "path": (["data.path=nowhere.jsonl"], "nowhere.jsonl does not exist"),
    "split": (["data.split=test"], "data.split: found 'test'"),
    "name": (["data.name=main"], "data.name: found 'main'"),
    "source column": (["data.source_column=origin"], "data.source_column: found 'origin'"),
    "column": (["data.columns={input: context}"], "no column 'context'"),
    "template": (["data.template=alpacca"], "alpacca"),
    "too few steps": (["checkpoints.count=500"], "at most"),
    "no response left": (["data.max_length=10"], "raise it"),
    "tracker": (["tracking.report_to=trackio"], "trackio is not installed"),
    "budgets": ([*SUBSET, "subset.budget=[10, 20]"], "several subsets"),
    "budget above the pool": ([*SUBSET, "subset.budget=5000"], "5,000 rows"),
    "no losses": (["subset.trajectories_from=nowhere.npy"], "nowhere.npy"),
    "too few steps of a subset": (
        [*SUBSET, "subset.budget=16", "checkpoints.count=3"],
        "training has 1 optimizer step",
    ),
    "a subset's learning_rate": ([*SUBSET, "subset.budget=16", "train_args.learning_rate=fast"], "'fast'"),
    "a subset's optimizer": ([*SUBSET, "subset.budget=30", "train_args.optim=adam"], "adam"),
    "a subset's architecture": (
        [*SUBSET, "subset.budget=30", "model.architecture.hidden_layers=3"],
        "hidden_layers",
    ),
    "a subset of no other run": (["subset.same_as=another"], "another"),
}
GOOD: dict[str, list[str]] = {
    "as it is": [],
    "adafactor": ["train_args.optim=adafactor", "train_args.lr_scheduler_type=constant"],
    "schedule": [
        "train_args.lr_scheduler_type=cosine",
        "train_args.warmup_steps=0.1",
        "train_args.max_steps=3",
    ],
    "clipped": [
        "train_args.max_grad_norm=0.5",
        "train_args.weight_decay=0.1",
        "train_args.neftune_noise_alpha=5",
    ],
    "frugal": ["train_args.gradient_checkpointing=true", "train_args.dataloader_num_workers=1"],
    "subset": [*SUBSET, "subset.budget=32"],
}


@pytest.fixture
def command(make_config, tmp_path) -> Callable[..., list[str]]:
    """The words of a command, with a file of losses for those that choose by them."""
    np.save(tmp_path / "losses.npy", np.random.default_rng(0).random((40, 3), np.float32))
    config = make_config("run", num_rows=40, checkpoints={"count": 2}, train_args={"num_train_epochs": 1})

    def words(*overrides: str) -> list[str]:
        named = [override.replace("LOSSES", str(tmp_path / "losses.npy")) for override in overrides]
        return ["--config_file", str(config), *named]

    return words


@pytest.mark.parametrize(("overrides", "expected"), BROKEN.values(), ids=BROKEN.keys())
def test_dry_run_and_run_are_refused_alike(command, res_dir, capsys, monkeypatch, overrides, expected):
    monkeypatch.setattr("utils.training.run.load_base_model", lambda *_: pytest.fail("a model was loaded"))
    monkeypatch.setitem(sys.modules, "trackio", None)  # as if it were not installed
    said = []
    for words in (command(*overrides, "--dry_run"), command(*overrides)):
        assert train.main(words) == 1
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]
    assert expected in said[0]
    assert not (res_dir / "run").exists(), "nothing is left that keeps the next start away"


@pytest.mark.parametrize("overrides", GOOD.values(), ids=GOOD.keys())
def test_what_a_dry_run_passes_the_run_completes(command, res_dir, overrides):
    assert train.main(command(*overrides, "--dry_run")) == 0
    assert {path.name for path in res_dir.iterdir()} <= {".cache"}, "only what was read of the pool"
    assert train.main(command(*overrides)) == 0
    assert train.main(command(*overrides, "--dry_run")) == 0


def test_a_dry_run_shows_the_training_of_a_subset_that_is_not_made_yet(command, res_dir, capsys):
    assert train.main(command(*SUBSET, "subset.budget=32", "--dry_run")) == 0
    assert "32 of 40 examples" in capsys.readouterr().out


def test_a_dry_run_says_that_a_finished_run_is_another_one(command, res_dir, capsys):
    assert train.main(command()) == 0
    for words in (command("seed=5", "--dry_run"), command("seed=5")):
        assert train.main(words) == 1
        assert "seed" in capsys.readouterr().err
    assert train.main(command("seed=5", "--dry_run", "--overwrite")) == 0


def test_a_start_that_failed_blocks_no_name(command, res_dir, monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("no device")

    with monkeypatch.context() as patched:
        patched.setattr("utils.training.trainer.S2LTrainer.train", fail)
        assert train.main(command()) == 1
    assert (res_dir / "run/manifest.json").is_file()
    assert train.main(command("seed=5")) == 0


_TWO_SIDES = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 24,
    "vocab_size": 300,
}
_GPT = {"vocab_size": 300, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 24}
LIMITED: dict[str, dict[str, Any]] = {
    "gpt2": _GPT,
    "gptj": {**_GPT, "rotary_dim": 4},
    "opt": {
        "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 16,
        "word_embed_proj_dim": 16, "max_position_embeddings": 24,
    },
    "mpt": {"vocab_size": 300, "d_model": 16, "n_layers": 1, "n_heads": 2, "max_seq_len": 24},
    "bart": _TWO_SIDES,
    "pegasus": _TWO_SIDES,
}  # fmt: skip
UNLIMITED = ("llama", "gpt_neox", "gemma2", "t5")


def model_of(model_type: str, architecture: dict[str, Any]) -> Any:
    config = AutoConfig.for_model(model_type, **{k: v for k, v in architecture.items() if k != "model_type"})
    return (
        (AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM)
        .from_config(config)
        .eval()
    )


def can_read(model: Any, num_tokens: int) -> bool:
    ids = torch.arange(3, 3 + num_tokens)[None]
    try:
        with torch.no_grad():
            model(input_ids=ids, labels=ids)
    except (IndexError, RuntimeError):
        return False
    return True


@pytest.mark.parametrize("model_type", LIMITED)
def test_positions_are_as_many_as_a_model_can_read(model_type):
    model = model_of(model_type, LIMITED[model_type])
    assert num_positions(model) == 24
    assert can_read(model, 24) and not can_read(model, 25)
    assert check_length(model, 24) == []
    with pytest.raises(ValueError, match="data.max_length=24"):
        check_length(model, 25)


def test_positions_of_images_do_not_count():
    assert num_positions(model_of("gemma3", tiny_architecture("gemma3"))) is None


@pytest.mark.parametrize("model_type", UNLIMITED)
def test_models_without_a_table_of_positions_read_on(model_type):
    architecture = dict(ARCHITECTURES[model_type])
    if model_type != "t5":
        architecture["max_position_embeddings"] = 24
    model = model_of(model_type, architecture)
    assert can_read(model, 60)
    assert len(check_length(model, 60)) == (model_type != "t5"), "a remark where positions are rotary"


def test_max_length_above_the_positions_is_refused_everywhere(make_config, res_dir, capsys):
    import get_trajectories

    config = make_config("run", family="gpt2", num_rows=20)
    for script, words in ((train, []), (get_trajectories, ["--ckpt", "0"])):
        for mode in ([], ["--dry_run"]):
            assert script.main(["--config_file", str(config), *words, *mode, "data.max_length=600"]) == 1
            assert "data.max_length=512" in capsys.readouterr().err
    assert not (res_dir / "run").exists()


def test_source_column_that_is_the_default_may_be_missing(make_config, tmp_path):
    config = make_config("run", num_rows=20)
    pool = tmp_path / "pool.jsonl"
    pool.write_text(pool.read_text().replace('"source"', '"origin"'))
    assert train.main(["--config_file", str(config), "--dry_run"]) == 0
    values = yaml.safe_load(Path(config).read_text())
    assert "source_column" not in values["data"]
