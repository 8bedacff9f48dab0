"""Settings of a model and of its scoring that must not change its losses, or only as much as they say."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import get_trajectories
import train
from tests.conftest import ARCHITECTURES, run_here


@pytest.fixture
def losses(make_config, res_dir):
    """Losses of a small llama's base model: losses("name", "key=value", ...) -> float32 (N,)."""
    config = make_config("pool", "llama", num_rows=30)

    def of(run_name: str, *settings: str) -> np.ndarray:
        assert (
            run_here(
                get_trajectories, "--config_file", config, "--ckpt", "0", f"run_name={run_name}", *settings
            )
            == 0
        )
        return np.load(res_dir / run_name / "trajectories/checkpoint-0.npy")

    return of


def test_bfloat16_is_close_and_no_copy_of_float32(losses):
    exact = losses("exact")
    rounded = losses("rounded", "trajectories.precision=bfloat16")
    np.testing.assert_allclose(rounded, exact, atol=0.05)
    assert rounded.dtype == np.float32 and not np.array_equal(rounded, exact)


def test_tf32_is_float32_where_a_device_has_none(losses):
    np.testing.assert_array_equal(losses("tf32", "trajectories.precision=tf32"), losses("exact"))


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flash_attention_2"])
def test_losses_do_not_depend_on_the_attention_implementation(losses, implementation):
    asked = losses(implementation, f"model.attn_implementation={implementation}")
    np.testing.assert_allclose(asked, losses("default"), atol=1e-4)


def saved_model(make_config, res_dir: Path, seed: int) -> Path:
    config = make_config(f"model{seed}", "llama", num_rows=16, checkpoints={"count": 1})
    assert run_here(train, "--config_file", config, f"seed={seed}", "train_args.max_steps=1") == 0
    return res_dir / f"model{seed}/checkpoint-1"


def test_a_revision_of_a_hub_model_is_the_one_that_is_named(make_config, res_dir, tmp_path):
    """A cache as the hub's library leaves it, of a model with two revisions."""
    cache = tmp_path / "hub/models--org--name"
    weights = {}
    for seed, (branch, commit) in enumerate((("main", "a" * 40), ("old", "b" * 40))):
        folder = saved_model(make_config, res_dir, seed)
        shutil.copytree(folder, cache / "snapshots" / commit)
        (cache / "refs").mkdir(exist_ok=True)
        (cache / "refs" / branch).write_text(commit)
        weights[branch] = load_file(folder / "model.safetensors")
    losses = {}
    for branch in ("main", "old"):
        model = {
            "architecture": None,
            "tokenizer": None,
            "name_or_path": "org/name",
            "cache_dir": str(tmp_path / "hub"),
            "revision": branch,
        }
        config = make_config(f"scored_{branch}", model=model, num_rows=16)
        assert run_here(get_trajectories, "--config_file", config, "--ckpt", "0") == 0
        losses[branch] = np.load(res_dir / f"scored_{branch}/trajectories/checkpoint-0.npy")
    assert not torch.equal(weights["main"]["lm_head.weight"], weights["old"]["lm_head.weight"])
    for seed, branch in enumerate(("main", "old")):
        config = make_config(f"model{seed}", "llama", num_rows=16, checkpoints={"count": 1})
        words = ("--config_file", config, "--ckpt", "1", f"seed={seed}", "train_args.max_steps=1")
        assert run_here(get_trajectories, *words) == 0
        np.testing.assert_array_equal(
            losses[branch], np.load(res_dir / f"model{seed}/trajectories/checkpoint-1.npy")
        )


def test_an_adapter_has_the_settings_of_the_yaml(make_config, res_dir, tmp_path):
    import json

    base = saved_model(make_config, res_dir, 0)
    lora = {"r": 2, "alpha": 6, "dropout": 0.25, "target_modules": ["q_proj", "v_proj"]}
    model = {"architecture": None, "tokenizer": None, "name_or_path": str(base), "lora": lora}
    config = make_config("adapter", model=model, num_rows=16, checkpoints={"count": 1})
    assert run_here(train, "--config_file", config, "train_args.max_steps=1") == 0
    saved = json.loads((res_dir / "adapter/checkpoint-1/adapter_config.json").read_text())
    assert (saved["r"], saved["lora_alpha"], saved["lora_dropout"]) == (2, 6, 0.25)
    assert set(saved["target_modules"]) == {"q_proj", "v_proj"}
    adapted = load_file(res_dir / "adapter/checkpoint-1/adapter_model.safetensors")
    assert len(adapted) == 2 * 2 * ARCHITECTURES["llama"]["num_hidden_layers"], (
        "two matrices of two layers' q and v"
    )
