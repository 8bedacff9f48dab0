"""FSDP, on the CPU: what is trained and scored is what it is without shards."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import train
from tests.conftest import ARCHITECTURES, run_here, run_script
from tests.training.test_training import assert_all_end, kill_once_there, under_torchrun
from utils.config.load import load_config
from utils.modeling.loading import load_base_model, load_tokenizer
from utils.training import settings
from utils.training.settings import check_sharding, training_arguments

SHARDED = "tests/training/train_sharded.py"
FSDP = {"fsdp": True, "fsdp_config": {"transformer_layer_cls_to_wrap": "GPTNeoXLayer"}}


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_shards_change_neither_losses_nor_trajectories(make_config, res_dir):
    """Also where each process but the first is given empty weights to load."""
    scored = {"during_training": True, "examples_per_unit": 10}
    one = make_config("one", trajectories=scored)
    assert run_here(train, "--config_file", one) == 0
    layers = {**FSDP["fsdp_config"], "cpu_ram_efficient_loading": True}
    two = make_config("two", trajectories=scored, train_args={"fsdp": True, "fsdp_config": layers})
    run_script(SHARDED, "--config_file", two, torchrun=2)
    assert (res_dir / "two/checkpoint-12/optimizer.bin").is_file(), "not sharded"
    np.testing.assert_allclose(losses(res_dir / "one"), losses(res_dir / "two"), rtol=1e-5)
    files = sorted((res_dir / "one/trajectories").glob("checkpoint-*.npy"))
    assert len(files) == 3
    for path in files:
        np.testing.assert_allclose(
            np.load(path), np.load(res_dir / "two/trajectories" / path.name), rtol=1e-4, err_msg=path.name
        )


@pytest.mark.parametrize("first", ["sharded", "unsharded"])
def test_a_training_goes_on_with_shards_or_without(make_config, res_dir, first):
    config = make_config("whole", train_args={"num_train_epochs": 6, **FSDP}, checkpoints={"count": 9})
    assert run_here(train, "--config_file", config) == 0
    words = ["--config_file", str(config), "run_name=killed"]
    if first == "sharded":
        kill_once_there(under_torchrun(SHARDED, *words), res_dir / "killed/checkpoint-8")
        assert_all_end(config)
        assert run_here(train, *words) == 0
    else:
        kill_once_there([sys.executable, "train.py", *words], res_dir / "killed/checkpoint-8")
        run_script(SHARDED, *words, torchrun=2)
    assert len(losses(res_dir / "killed")) == 36
    np.testing.assert_allclose(losses(res_dir / "killed"), losses(res_dir / "whole"), atol=1e-4)


def test_mixed_precision_keeps_trained_weights_in_float32_as_shards_do(make_config, res_dir):
    model = {"architecture": ARCHITECTURES["gpt_neox"], "dtype": "bfloat16"}
    arguments = {"bf16": True, "num_train_epochs": 1, "learning_rate": 2e-5}
    config = make_config("half", model=model, train_args=arguments, checkpoints={"count": 1})
    assert run_here(train, "--config_file", config) == 0
    saved = load_file(res_dir / "half/checkpoint-6/model.safetensors")
    assert {weight.dtype for weight in saved.values()} == {torch.float32}


def test_shards_add_up_gradients_in_float32(make_config, monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "_why_not_fsdp", lambda devices: None)
    config, _ = load_config(make_config("run", train_args={**FSDP, "bf16": True}))
    arguments, _ = training_arguments(config, tmp_path)
    assert arguments.fsdp_plugin_args is not None
    policy: Any = arguments.fsdp_plugin_args["mixed_precision_policy"]
    assert (policy.param_dtype, policy.reduce_dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize("family", ["t5", "gpt_neox"])
def test_what_cannot_be_sharded_is_refused_before_training(make_config, family, monkeypatch):
    config, _ = load_config(make_config("run", family=family))
    model = load_base_model(config.model_section, load_tokenizer(config.model_section), 0)
    check_sharding({}, model)
    if family == "t5":
        with pytest.raises(
            ValueError, match=r"train_args\.fsdp: found a t5, whose encoder and decoder share"
        ):
            check_sharding({"fsdp": True}, model)
        return
    check_sharding({"fsdp": True}, model)
    monkeypatch.setattr(model, "_no_split_modules", ["VisionLayer"])
    with pytest.raises(ValueError, match="not set, and transformers would shard by VisionLayer"):
        check_sharding({"fsdp": True}, model)
