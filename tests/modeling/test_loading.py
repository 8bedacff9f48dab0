"""What is loaded is what was saved: exactly the model's weights, and a tokenizer that gives the same ids."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

import evaluate_run
import get_trajectories
import train
from tests.conftest import ARCHITECTURES, pool_rows, write_jsonl
from utils.artifacts.paths import RunPaths
from utils.config.schema import LoraConfig, ModelConfig
from utils.data.tokenization import tokenizer_fingerprint
from utils.modeling import loading
from utils.modeling.loading import (
    add_lora,
    check_saved_tokenizer,
    empty_model,
    load_adapter,
    load_base_model,
    load_checkpoint,
    load_checkpoint_tokenizer,
    load_tokenizer,
    seeded,
)
from utils.scoring.checkpoint_scorer import replace_weights

WEIGHTS = "model.safetensors"


@pytest.fixture
def saved(tmp_path: Path, tokenizer_dir: Path) -> Path:
    """A tiny Llama of two layers with its tokenizer, saved."""
    settings = dict(ARCHITECTURES["llama"])
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    folder = tmp_path / "saved"
    with seeded(0):
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_dir).save_pretrained(folder)
    return folder


def change_config(folder: Path, **settings: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def change_weights(path: Path, add: dict[str, torch.Tensor] | None = None, remove: str = "") -> None:
    weights = {name: weight for name, weight in load_file(path).items() if name != remove}
    save_file({**weights, **(add or {})}, path, metadata={"format": "pt"})


def base_model(folder: Path) -> Any:
    model = ModelConfig(name_or_path=str(folder))
    return load_base_model(model, load_tokenizer(model), seed=0)


def surplus(folder: Path) -> str:
    change_config(folder, num_hidden_layers=1)
    return "model.layers.1."


def missing(folder: Path) -> str:
    change_weights(folder / WEIGHTS, remove="model.norm.weight")
    return "model.norm.weight"


def mismatched(folder: Path) -> str:
    change_config(folder, intermediate_size=32)
    return "model.layers.0.mlp."


# ----------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("spoil", [surplus, missing, mismatched])
def test_a_checkpoint_whose_weights_are_not_its_models_is_refused(saved, spoil):
    load_checkpoint(saved, ModelConfig(name_or_path=str(saved)))
    name = spoil(saved)
    with pytest.raises(ValueError, match=name):
        load_checkpoint(saved, ModelConfig(name_or_path=str(saved)))


def test_a_base_model_with_weights_for_another_task_is_used_and_they_are_named(saved, capsys):
    change_weights(saved / WEIGHTS, {"value_head.weight": torch.zeros(1, 32)})
    base_model(saved)
    assert "value_head.weight" in capsys.readouterr().err


@pytest.mark.parametrize("spoil", [missing, mismatched])
def test_a_base_model_that_lacks_weights_is_refused(saved, spoil):
    name = spoil(saved)
    with pytest.raises(ValueError, match=name):
        base_model(saved)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.layers.0.attn.bias",
        "model.layers.0.attn.masked_bias",
    ],
)
def test_tables_that_are_computed_today_are_no_surplus(saved, capsys, name):
    change_weights(saved / WEIGHTS, {name: torch.ones(4)})
    base_model(saved)
    load_checkpoint(saved, ModelConfig(name_or_path=str(saved)))
    assert name not in capsys.readouterr().err


@pytest.mark.parametrize("change", ["surplus", "missing"])
def test_an_adapter_that_is_not_the_models_is_refused(saved, tmp_path, change):
    folder = tmp_path / "adapter"
    add_lora(base_model(saved), LoraConfig(r=2), seed=0).save_pretrained(folder)
    path = folder / "adapter_model.safetensors"
    name = next(iter(load_file(path)))
    if change == "surplus":
        change_weights(path, {name.replace("layers.0", "layers.7"): torch.zeros(2, 32)})
        name = "layers.7"
    else:
        change_weights(path, remove=name)
        name = name.rsplit(".", 1)[0]
    for is_trainable in (False, True):
        with pytest.raises(ValueError, match=name):
            load_adapter(base_model(saved), folder, is_trainable)


def test_weights_are_not_swapped_into_another_architecture(saved):
    """Of the same shapes, and yet another computation."""
    first = load_checkpoint(saved, ModelConfig(name_or_path=str(saved)))
    replace_weights(first, load_checkpoint(saved, ModelConfig(name_or_path=str(saved))))
    change_config(saved, rms_norm_eps=0.1)
    with pytest.raises(ValueError, match="rms_norm_eps"):
        replace_weights(first, load_checkpoint(saved, ModelConfig(name_or_path=str(saved))))
    surplus(saved)
    change_weights(saved / WEIGHTS, remove="")
    with pytest.raises(ValueError, match=r"model\.layers\.1\."):
        replace_weights(first, AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(saved)))


def test_loading_draws_no_random_number_of_a_training(saved, tmp_path):
    add_lora(base_model(saved), LoraConfig(r=2), seed=0).save_pretrained(tmp_path / "adapter")
    AutoTokenizer.from_pretrained(saved).save_pretrained(tmp_path / "adapter")
    model = ModelConfig(name_or_path=str(saved), lora=LoraConfig(r=2))
    before = torch.random.get_rng_state()
    load_checkpoint(tmp_path / "adapter", model)
    load_checkpoint(saved, model)
    settings = ModelConfig(architecture=ARCHITECTURES["gpt2"], tokenizer=str(saved))
    load_base_model(settings, load_tokenizer(settings), seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_plan_counts_the_vocabulary_as_it_will_be(tokenizer_dir):
    settings = {**ARCHITECTURES["gpt_neox"], "vocab_size": 100}
    model = ModelConfig(architecture=settings, tokenizer=str(tokenizer_dir))
    tokenizer = load_tokenizer(model)
    planned = sum(weight.numel() for weight in empty_model(model, tokenizer).parameters())
    loaded = sum(weight.numel() for weight in load_base_model(model, tokenizer, seed=0).parameters())
    assert planned == loaded


def test_rows_that_the_vocabulary_gains_are_the_same_in_training_and_scoring(saved, tmp_path):
    """A LoRA checkpoint does not hold them: they follow from the seed each time."""
    tokenizer = AutoTokenizer.from_pretrained(saved)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(saved)
    model = ModelConfig(name_or_path=str(saved), lora=LoraConfig(r=2))
    trained: Any = load_base_model(model, load_tokenizer(model), seed=7)
    expected = trained.get_input_embeddings().weight.detach().clone()
    add_lora(trained, LoraConfig(r=2), seed=7).save_pretrained(tmp_path / "adapter")
    load_tokenizer(model).save_pretrained(tmp_path / "adapter")
    scored: Any = load_checkpoint(tmp_path / "adapter", model, seed=7)
    assert len(expected) == 301
    assert torch.equal(scored.get_input_embeddings().weight, expected)


# -------------------------------------------------------------------------------------------- tokenizers


def test_a_checkpoint_of_any_model_type_gives_back_its_tokenizer(tokenizer_dir, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    tokenizer.save_pretrained(tmp_path)
    expected = tokenizer_fingerprint(tokenizer)
    model = ModelConfig(name_or_path="of-no-use")
    for model_type in sorted(TOKENIZER_MAPPING_NAMES):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
        assert tokenizer_fingerprint(load_checkpoint_tokenizer(tmp_path, model)) == expected, model_type


def test_a_model_is_scored_and_evaluated_with_the_tokenizer_that_it_was_trained_with(
    make_config, res_dir, tmp_path, capsys
):
    """transformers reads what is saved beside a Qwen2 as a Qwen2Tokenizer, whatever it is."""
    heldout = write_jsonl(tmp_path / "heldout.jsonl", pool_rows(12, seed=1))
    evaluation = {"heldout": str(heldout), "max_new_tokens": 4}
    config = str(make_config("run", "qwen2", num_rows=20, checkpoints={"count": 1}, evaluation=evaluation))
    assert train.main(["--config_file", config]) == 0
    assert "AutoTokenizer" in capsys.readouterr().out, "others are told"
    assert get_trajectories.main(["--config_file", config, "--ckpt", "4"]) == 0
    assert evaluate_run.main(["--config_file", config]) == 0
    paths = RunPaths("run")
    manifests = [paths.manifest, paths.trajectories / "manifest.json", paths.evaluation / "manifest.json"]
    (fingerprint,) = {json.loads(path.read_text())["inputs"]["tokenizer"] for path in manifests}

    saved = paths.checkpoint(4) / "tokenizer.json"
    definition = json.loads(saved.read_text())
    definition["pre_tokenizer"]["add_prefix_space"] = True
    saved.write_text(json.dumps(definition))
    capsys.readouterr()
    for main, words in ((get_trajectories.main, ["--ckpt", "4"]), (evaluate_run.main, [])):
        assert main(["--config_file", config, *words, "--overwrite"]) == 1
        assert f"tokenizer {fingerprint}" in capsys.readouterr().err


def test_a_tokenizer_that_does_not_survive_saving_is_refused_before_training(
    make_config, res_dir, monkeypatch, capsys
):

    def altered(*arguments: Any) -> Any:
        tokenizer = load_checkpoint_tokenizer(*arguments)
        tokenizer.add_tokens(["<another>"])
        return tokenizer

    monkeypatch.setattr(loading, "load_checkpoint_tokenizer", altered)
    assert train.main(["--config_file", str(make_config("run", num_rows=20))]) == 1
    assert "read back" in capsys.readouterr().err
    assert not (res_dir / "run").exists()


def test_a_tokenizer_of_the_models_own_family_needs_no_word(saved):
    model = ModelConfig(name_or_path=str(saved))
    assert check_saved_tokenizer(load_tokenizer(model), model) is None


def test_training_on_from_a_checkpoint_takes_its_tokenizer(saved):
    expected = tokenizer_fingerprint(load_checkpoint_tokenizer(saved, ModelConfig(name_or_path=str(saved))))
    change_config(saved, model_type="qwen2")
    (saved / "trainer_state.json").write_text("{}")
    assert tokenizer_fingerprint(load_tokenizer(ModelConfig(name_or_path=str(saved)))) == expected


def test_a_checkpoint_without_a_tokenizer_asks_for_one(saved):
    (saved / "trainer_state.json").write_text("{}")
    for file in saved.glob("*token*"):
        file.unlink()
    with pytest.raises((ValueError, FileNotFoundError), match="no tokenizer can be loaded"):
        load_tokenizer(ModelConfig(name_or_path=str(saved)))
