"""Training on a GPU is the training of a CPU, in the precision that is asked for."""

import sys
from typing import Any

import numpy as np
import pytest

import run_distributed_trajectories
import train
from tests.conftest import run_here, run_script
from tests.training.test_training import kill_once_there, losses
from utils.config.load import load_config
from utils.data.token_rows import TokenRow
from utils.modeling.gradients import leaves_weights_out
from utils.modeling.loading import load_base_model, load_tokenizer

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("family", ["gpt_neox", "t5"])
def test_a_gpu_trains_as_a_cpu_does(make_config, res_dir, family):
    config = make_config("proxy", family)
    run_script("train.py", "--config_file", config, "run_name=cpu", CUDA_VISIBLE_DEVICES="")
    assert run_here(train, "--config_file", config, "run_name=gpu") == 0
    np.testing.assert_allclose(losses(res_dir / "gpu"), losses(res_dir / "cpu"), atol=2e-3)


@pytest.mark.parametrize(
    "settings",
    [["train_args.bf16=true"], ["train_args.tf32=true"], ["train_args.bf16=true", "train_args.tf32=true"]],
)
def test_low_precision_is_taken_and_stays_near(make_config, res_dir, settings):
    config = make_config("proxy")
    assert run_here(train, "--config_file", config, "run_name=exact") == 0
    assert run_here(train, "--config_file", config, "run_name=low", *settings) == 0
    low = losses(res_dir / "low")
    exact = losses(res_dir / "exact")
    assert low != exact
    np.testing.assert_allclose(low, exact, atol=0.05)


@pytest.mark.parametrize("family", ["gpt_neox", "t5"])
def test_every_weight_has_a_gradient_after_a_token_without_label(make_config, family):
    config, _ = load_config(make_config("run", family))
    model: Any = load_base_model(config.model_section, load_tokenizer(config.model_section), 0).train()
    model.cuda()
    filler = [TokenRow(np.ones(1, np.int64), np.zeros(1, bool))]
    assert not leaves_weights_out(model, filler, 0)


def test_a_killed_training_continues_to_the_same_losses(make_config, res_dir):
    config = make_config("proxy", checkpoints={"count": 6}, train_args={"num_train_epochs": 4})
    assert run_here(train, "--config_file", config, "run_name=whole") == 0
    command = [sys.executable, "train.py", "--config_file", str(config), "run_name=killed"]
    kill_once_there(command, res_dir / "killed/checkpoint-8")
    run_script(*command[1:])
    assert len(losses(res_dir / "whole")) == 24
    np.testing.assert_allclose(losses(res_dir / "killed"), losses(res_dir / "whole"), atol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_flash_attention_packs_rows_and_trains_as_padded_ones(make_config, res_dir, capsys, family):
    pytest.importorskip("flash_attn")
    config = make_config("padded", family, train_args={"bf16": True})
    assert run_here(train, "--config_file", config) == 0
    flash = "model.attn_implementation=flash_attention_2"
    capsys.readouterr()
    assert run_here(train, "--config_file", config, "run_name=packed", flash) == 0
    said = capsys.readouterr()
    assert "4 micro-batches" in said.out and "not packed" not in said.err
    assert losses(res_dir / "packed") != losses(res_dir / "padded"), "another kernel"
    np.testing.assert_allclose(losses(res_dir / "packed"), losses(res_dir / "padded"), atol=0.02)
    words = ("--config_file", config, "run_name=packed", flash)
    of_scoring = {}
    for precision in ("float32", "bfloat16"):
        setting = f"trajectories.precision={precision}"
        assert run_here(run_distributed_trajectories, *words, setting, "--overwrite") == 0
        was_left_out = "attention is not by flash_attention_2" in capsys.readouterr().err
        assert was_left_out == (precision == "float32")
        of_scoring[precision] = np.load(res_dir / "packed/trajectories/checkpoint-12.npy")
    np.testing.assert_allclose(of_scoring["bfloat16"], of_scoring["float32"], atol=0.1)


def test_flash_attention_in_float32_is_one_error(make_config, capsys):
    pytest.importorskip("flash_attn")
    config = make_config("proxy", "llama", model={"attn_implementation": "flash_attention_2"})
    assert run_here(train, "--config_file", config) == 1
    assert "flash_attention_2 computes in 16 bits, found float32" in capsys.readouterr().err
