"""Checkpoints that others made, as they lie: each is scored from its own folder as a plain loop scores it."""

import json
import pickle
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import yaml
from huggingface_hub import constants
from safetensors.torch import load_file
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_saver import save
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

import get_trajectories
import run_distributed_trajectories
from tests.conftest import ARCHITECTURES, CHATML, in_one_line, plain_losses, pool_rows, run_here, write_jsonl
from utils.artifacts.checkpoints import checkpoint_fingerprint, find_checkpoints
from utils.config.load import load_config
from utils.config.schema import ModelConfig
from utils.data.settings import read_pool
from utils.data.tokenization import tokenize_pool
from utils.modeling.loading import base_fingerprint, load_tokenizer, seeded
from utils.scoring.checkpoints import CheckpointQuery, sections_of_checkpoints

NUM_ROWS = 50
LENGTH = 400
TOLERANCE = 1e-4
SHARDS = "pytorch_model_fsdp_0"
Layout = Callable[["Bench"], dict[int, Any]]  # writes checkpoints; gives step -> model in memory


class Bench:
    """A base model on disk, a pool, and a YAML that names both."""

    def __init__(self, folder: Path, tokenizer_dir: Path):
        self.folder = folder
        self.base = folder / "base"
        self.tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
        self.new_model(0).save_pretrained(self.base)
        self.tokenizer.save_pretrained(self.base)
        values = {
            "run_name": "proxy",
            "model": {"name_or_path": str(self.base)},
            "data": {
                "path": str(write_jsonl(folder / "pool.jsonl", pool_rows(NUM_ROWS))),
                "max_length": LENGTH,
            },
        }
        self.config = folder / "proxy.yml"
        self.config.write_text(yaml.safe_dump(values))
        config, _ = load_config(self.config)
        tokenizer = load_tokenizer(config.model_section)
        self.tokens = tokenize_pool(read_pool(config), tokenizer, "alpaca", LENGTH, False)
        assert (self.tokens.num_response_tokens > 0).all()

    def new_model(self, seed: int) -> Any:
        """With names on disk that are not its modules' names."""
        settings = dict(ARCHITECTURES["gpt_neox"])
        with seeded(seed):
            return AutoModelForCausalLM.from_config(
                AutoConfig.for_model(settings.pop("model_type"), **settings)
            )

    def base_model(self) -> Any:
        return AutoModelForCausalLM.from_pretrained(self.base)

    def place(self, *names: str) -> Path:
        """A folder that is there."""
        place = self.folder.joinpath(*names)
        place.mkdir(parents=True, exist_ok=True)
        return place

    def losses(self, run_name: str) -> dict[int, np.ndarray]:
        files = (self.folder / "res" / run_name / "trajectories").glob("checkpoint-*.npy")
        return {int(file.stem.partition("-")[2]): np.load(file) for file in files}

    def score(self, run_name: str, model_path: str | Path, *words: str) -> int:
        named = ("--config_file", self.config, f"run_name={run_name}", "--model_path", model_path)
        return run_here(run_distributed_trajectories, *named, *words)


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory, tokenizer_dir) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2L_RES_DIR", str(folder / "res"))
        yield Bench(folder, tokenizer_dir)


@pytest.fixture
def bench(shared_bench, monkeypatch) -> Bench:
    monkeypatch.setenv("S2L_RES_DIR", str(shared_bench.folder / "res"))
    return shared_bench


def from_plain_trainer(bench: Bench) -> dict[int, Any]:
    """transformers' own Trainer, its final model beside the checkpoints."""
    ids = bench.tokenizer("two and two is four")["input_ids"]
    rows = [{"input_ids": ids, "labels": ids, "attention_mask": [1] * len(ids)}] * 4
    place = bench.place("trainer")
    arguments = TrainingArguments(
        output_dir=str(place), max_steps=2, save_steps=1, learning_rate=1e-2, report_to="none", use_cpu=True
    )
    trainer = Trainer(
        bench.base_model(),
        arguments,
        default_data_collator,
        train_dataset=rows,  # pyright: ignore[reportArgumentType]
        processing_class=bench.tokenizer,
    )
    trainer.train()
    trainer.save_model()
    return {step: AutoModelForCausalLM.from_pretrained(place / f"checkpoint-{step}") for step in (1, 2)}


def from_lora(bench: Bench) -> dict[int, Any]:
    """An adapter alone, without a tokenizer."""
    settings = peft.LoraConfig(r=2, task_type="CAUSAL_LM", init_lora_weights=False)
    with seeded(3):
        adapted = peft.get_peft_model(bench.base_model(), settings)
    adapted.save_pretrained(str(bench.place("lora", "step-3")))
    return {3: adapted}


def from_pickled_ia3(bench: Bench) -> dict[int, Any]:
    """Another kind of adapter, in the format from before safetensors, in a folder of its own."""
    settings = peft.IA3Config(
        task_type="CAUSAL_LM",
        target_modules=["query_key_value", "dense_4h_to_h"],
        feedforward_modules=["dense_4h_to_h"],
        init_ia3_weights=False,
    )
    with seeded(4):
        adapted = peft.get_peft_model(bench.base_model(), settings)
    adapted.save_pretrained(str(bench.place("ia3", "epoch_4", "policy")))
    weights = bench.place("ia3", "epoch_4", "policy") / "adapter_model.safetensors"
    torch.save(peft.get_peft_model_state_dict(adapted), weights.with_suffix(".bin"))
    weights.unlink()
    return {4: adapted}


def save_shards(model: Any, checkpoint: Path) -> None:
    """As accelerate saves under FSDP's SHARDED_STATE_DICT."""
    (checkpoint / SHARDS).mkdir(parents=True)
    writer = FileSystemWriter(checkpoint / SHARDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it saves in one process
        save({"model": model.state_dict()}, storage_writer=writer, no_dist=True)


def from_fsdp_shards(bench: Bench) -> dict[int, Any]:
    """No config, no tokenizer; optimizer state beside the weights."""
    models = {step: bench.new_model(step) for step in (5, 10)}
    for step, model in models.items():
        checkpoint = bench.place("fsdp", f"checkpoint-{step}")
        save_shards(model, checkpoint)
        (checkpoint / "optimizer_0").mkdir()
        (checkpoint / "trainer_state.json").write_text("{}")
    return models


def from_pickled_weights(bench: Bench) -> dict[int, Any]:
    model = bench.new_model(6)
    checkpoint = bench.place("bin", "iter_0000006")
    model.save_pretrained(checkpoint)
    weights = checkpoint / "model.safetensors"
    torch.save(load_file(weights), checkpoint / "pytorch_model.bin")
    weights.unlink()
    return {6: model}


def from_several_files(bench: Bench) -> dict[int, Any]:
    model = bench.new_model(7)
    checkpoint = bench.place("sharded", "global_step7")
    model.save_pretrained(checkpoint, max_shard_size="40KB")
    assert len(list(checkpoint.glob("model-*.safetensors"))) > 1
    return {7: model}


def from_gathered_zero(bench: Bench) -> dict[int, Any]:
    """ZeRO-3 with its weights gathered, the parts of the ranks beside them."""
    model = bench.new_model(8)
    checkpoint = bench.place("zero", "output", "checkpoint-8")
    model.save_pretrained(checkpoint)
    parts = checkpoint / "global_step8"
    parts.mkdir()
    (parts / "zero_pp_rank_0_mp_rank_00_model_states.pt").touch()
    return {8: model}


LAYOUTS: dict[str, tuple[Layout, tuple[str, ...]]] = {
    "trainer": (from_plain_trainer, ()),
    "lora": (from_lora, ()),
    "ia3": (from_pickled_ia3, ("--subfolder", "policy")),
    "fsdp": (from_fsdp_shards, ()),
    "bin": (from_pickled_weights, ()),
    "sharded": (from_several_files, ()),
    "zero": (from_gathered_zero, ()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_losses_are_those_of_a_plain_loop(bench, layout):
    make, words = LAYOUTS[layout]
    models = make(bench)
    assert bench.score(layout, bench.folder / layout, *words) == 0
    losses = bench.losses(layout)
    assert losses.keys() == models.keys()
    for step, model in models.items():
        expected = plain_losses(model.eval(), bench.tokens)
        np.testing.assert_allclose(losses[step], expected, atol=TOLERANCE)


# ------------------------------------------------------------------------------------- names and layouts


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["checkpoint-20", "checkpoint-3"], [3, 20]),
        (["step-20", "step3"], [3, 20]),
        (["step_20", "iterations"], [20]),
        (["iter_0000020", "iter_0000003"], [3, 20]),
        (["global_step20", "global_step3"], [3, 20]),
        (["epoch_0", "epoch_1", "epoch-last"], [0, 1]),
    ],
)
def test_the_number_in_a_folders_name_is_its_step(tmp_path, names, steps):
    for name in names:
        (tmp_path / name).mkdir()
    assert list(find_checkpoints(tmp_path)) == steps


def test_names_that_count_different_things_are_refused(tmp_path):
    for name in ("checkpoint-20", "epoch_1"):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="found checkpoint-20 and epoch_1, which count different things"):
        find_checkpoints(tmp_path)


def test_one_checkpoint_may_be_named_itself(tmp_path):
    for name in ("run/checkpoint-20/global_step20", "run/final"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("run/config.json", "run/checkpoint-20/config.json", "run/final/config.json"):
        (tmp_path / name).write_text("{}")
    checkpoint = tmp_path / "run/checkpoint-20"
    assert find_checkpoints(checkpoint) == find_checkpoints(tmp_path / "run") == {20: checkpoint}
    with pytest.raises(FileNotFoundError, match="it is a model itself, so let its name say its step"):
        find_checkpoints(tmp_path / "run/final")


def test_a_folder_of_step_0_is_scored_in_place_of_the_base_model(bench, capsys):
    model = bench.new_model(11)
    model.save_pretrained(bench.place("zeroth", "step0"))
    assert bench.score("zeroth", bench.folder / "zeroth", "--checkpoints", "0") == 0
    assert "step0 is scored as step 0, which selection leaves out" in in_one_line(capsys.readouterr().out)
    np.testing.assert_allclose(bench.losses("zeroth")[0], plain_losses(model, bench.tokens), atol=TOLERANCE)


WITH_COLONS = CHATML.replace("{{ m.role }}\n", "{{ m.role }}:\n")


def in_chat(bench: Bench, run_name: str, templates: Mapping[int, str | dict[str, str]]) -> Path:
    """Checkpoints, each with a chat template of its own. The base model has none."""
    marks = ["<|im_start|>", "<|im_end|>"]
    tokenizer = AutoTokenizer.from_pretrained(bench.base)
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    for step, template in templates.items():
        place = bench.place(run_name, f"checkpoint-{step}")
        model = bench.new_model(step)
        model.resize_token_embeddings(len(tokenizer))
        model.save_pretrained(place)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(place)
    return bench.folder / run_name


def test_a_checkpoint_in_another_chat_template_is_named_and_the_others_are_scored(bench, capsys):
    folder = in_chat(bench, "templates", {1: CHATML, 2: WITH_COLONS, 3: CHATML})
    assert bench.score("templates", folder, "data.template=chat") == 1
    assert "checkpoint 2 failed: its chat template differs" in in_one_line(capsys.readouterr().err)
    assert sorted(bench.losses("templates")) == [1, 3]


def test_a_template_for_rows_with_tools_is_a_part_of_the_tokenizer(bench, capsys):
    """It lies in a folder of its own beside the other files, which are the same."""
    of_tools = {1: CHATML, 2: WITH_COLONS, 3: CHATML}
    templates = {step: {"default": CHATML, "tool_use": template} for step, template in of_tools.items()}
    folder = in_chat(bench, "tool_templates", templates)
    assert bench.score("tool_templates", folder, "data.template=chat") == 1
    assert "checkpoint 2 failed: its chat template differs" in in_one_line(capsys.readouterr().err)


def test_a_checkpoint_that_cannot_be_scored_does_not_say_whose_tokenizer_is_taken(bench, capsys):
    folder = in_chat(bench, "with_empty", {1: CHATML})
    bench.place("with_empty", "checkpoint-2")
    assert bench.score("with_empty", folder, "data.template=chat") == 1
    assert "the one in their folders" in in_one_line(capsys.readouterr().out)


def test_the_base_model_is_read_in_the_chat_template_of_the_checkpoints(bench, capsys):
    folder = in_chat(bench, "with_base", {1: CHATML})
    base = in_chat(bench, "base_in_chat", {0: WITH_COLONS}) / "checkpoint-0"
    asked = ("data.template=chat", f"model.name_or_path={base}", "--dry_run", "--show", "0")
    assert bench.score("with_base", folder, *asked) == 0
    alone = capsys.readouterr().out
    assert bench.score("with_base", folder, "--checkpoints", "0,1", *asked) == 0
    together = capsys.readouterr().out
    assert alone.partition("row 0:")[2] == together.partition("row 0:")[2] != ""


def test_revisions_of_a_folder_are_refused(bench, tmp_path, capsys):
    (tmp_path / "made").mkdir()
    assert bench.score("at", f"{tmp_path}/made@checkpoint-*") == 1
    assert "name a folder of checkpoints alone, and its steps with --checkpoints" in capsys.readouterr().err


def test_zero_parts_without_weights_name_the_command_that_merges_them(bench, capsys):
    checkpoint = bench.place("ungathered", "checkpoint-8")
    shutil.copy(bench.base / "config.json", checkpoint)
    parts = bench.place("ungathered", "checkpoint-8", "global_step8")
    (parts / "zero_pp_rank_0_mp_rank_00_model_states.pt").touch()
    (checkpoint / "zero_to_fp32.py").touch()
    bare = bench.place("deepspeed", "global_step9")
    (bare / "mp_rank_00_model_states.pt").touch()
    for folder, command in (
        (checkpoint, f"`python {checkpoint}/zero_to_fp32.py {checkpoint} {checkpoint} --tag global_step8 "),
        (bare, f"`python -m deepspeed.utils.zero_to_fp32 {bare.parent} {bare} --tag global_step9 "),
    ):
        assert bench.score("ungathered", folder.parent) == 1
        assert command in capsys.readouterr().err


def test_several_adapters_are_named(bench, capsys):
    for name in ("policy", "reference"):
        (bench.place("several", "checkpoint-1", name) / "adapter_config.json").write_text("{}")
    assert bench.score("several", bench.folder / "several") == 1
    assert "(policy, reference), expected one: name the one to score, such as --subfolder policy" in (
        capsys.readouterr().err
    )


def test_an_adapter_that_cannot_be_merged_is_refused(bench, capsys):
    settings = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    adapted = peft.get_peft_model(bench.base_model(), settings)
    adapted.save_pretrained(str(bench.place("prompt", "checkpoint-1")))
    assert bench.score("prompt", bench.folder / "prompt") == 1
    assert "found an adapter of type PROMPT_TUNING, which has no weights to merge" in capsys.readouterr().err


def test_an_adapter_of_another_base_model_is_said(bench, capsys):
    from_lora(bench)
    copied = bench.place("of_another", "step-3")
    shutil.copytree(bench.folder / "lora/step-3", copied, dirs_exist_ok=True)
    path = copied / "adapter_config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": "org/other-model"})
    )
    assert bench.score("of_another", copied.parent) == 0
    assert "adapters say that they were trained on org/other-model, and are scored on" in (
        in_one_line(capsys.readouterr().out)
    )


def test_losses_on_another_base_model_are_not_reused(bench, tmp_path, capsys):
    from_lora(bench)
    other = tmp_path / "base"
    bench.new_model(99).save_pretrained(other)
    bench.tokenizer.save_pretrained(other)
    assert bench.score("based", bench.folder / "lora") == 0
    assert bench.score("based", bench.folder / "lora", f"model.name_or_path={other}") == 1
    assert "was made from other" in capsys.readouterr().err


def test_a_model_section_may_be_left_to_the_checkpoints(bench):
    from_lora(bench)
    values = yaml.safe_load(bench.config.read_text())
    del values["model"]
    config = bench.folder / "no_model.yml"
    config.write_text(yaml.safe_dump({**values, "run_name": "no_model"}))
    words = ("--config_file", config, "--model_path", bench.folder / "lora")
    assert run_here(get_trajectories, *words, "--ckpt", "3") == 0
    assert bench.score("with_model", bench.folder / "lora") == 0
    np.testing.assert_array_equal(bench.losses("no_model")[3], bench.losses("with_model")[3])


def test_the_newest_checkpoint_is_not_taken_for_the_base_model(bench, tmp_path, capsys):
    values = yaml.safe_load(bench.config.read_text())
    del values["model"]
    config = tmp_path / "no_model.yml"
    config.write_text(yaml.safe_dump({**values, "run_name": "no_base"}))
    whole = tmp_path / "whole/step-5"
    bench.new_model(5).save_pretrained(whole)
    bench.tokenizer.save_pretrained(whole)
    words = ("--config_file", config, "--model_path", whole.parent, "--dry_run")
    assert run_here(run_distributed_trajectories, *words) == 0
    for steps in ("0", "0,5", "0:5:5"):
        assert run_here(run_distributed_trajectories, *words, "--checkpoints", steps) == 1
        assert "model: missing, and this command needs it" in capsys.readouterr().err
    bench.new_model(0).save_pretrained(whole.parent / "step-0")
    assert run_here(run_distributed_trajectories, *words, "--checkpoints", "0") == 0
    from_lora(bench)
    words = ("--config_file", config, "--model_path", bench.folder / "lora", "--checkpoints", "0,3")
    assert run_here(run_distributed_trajectories, *words, "run_name=begun") == 0
    plain = plain_losses(bench.base_model().eval(), bench.tokens)
    np.testing.assert_allclose(bench.losses("begun")[0], plain, atol=TOLERANCE)


def test_checkpoints_of_another_chat_template_are_left_out_and_the_base_model_takes_theirs(
    bench, tmp_path, chat_tokenizer_dir, capsys
):
    tokenizer = AutoTokenizer.from_pretrained(chat_tokenizer_dir)
    template = tokenizer.chat_template
    for step, text in ((0, "of the base model"), (1, template), (2, template), (3, f"{template} ")):
        tokenizer.chat_template = text
        place = tmp_path / (f"models/step-{step}" if step else "base")
        tokenizer.save_pretrained(place)
        model = bench.new_model(step)
        model.resize_token_embeddings(len(tokenizer))
        model.save_pretrained(place)
    settings = (f"model.name_or_path={tmp_path / 'base'}", "data.template=chat")
    assert bench.score("other_template", tmp_path / "models", *settings) == 1
    said = capsys.readouterr().err
    assert "checkpoint 3 failed: its chat template differs from the other checkpoints'" in in_one_line(said)
    assert bench.losses("other_template").keys() == {1, 2}
    assert bench.score("beside_base", tmp_path / "models", "--checkpoints", "0,1,2", *settings) == 0
    np.testing.assert_array_equal(bench.losses("beside_base")[1], bench.losses("other_template")[1])
    named = tmp_path / "named.jinja"
    named.write_text(template)
    settings = (settings[0], f"data.template={named}")
    assert bench.score("one_for_all", tmp_path / "models", *settings) == 0
    assert bench.losses("one_for_all").keys() == {1, 2, 3}


# ------------------------------------------------------------------------------------------ FSDP's shards


def test_the_fingerprint_sees_the_shards(bench, tmp_path):
    prints = set()
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        save_shards(bench.new_model(seed), tmp_path / name)
        index = tmp_path / name / SHARDS / ".metadata"
        index.write_bytes(b"as in all")  # it holds a name drawn anew on each save
        prints.add(checkpoint_fingerprint(tmp_path / name))
    assert len(prints) == 2


def test_shards_of_another_model_are_refused(bench, capsys):
    settings = {**ARCHITECTURES["gpt_neox"], "intermediate_size": 32}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))
    save_shards(model, bench.folder / "other_shards/checkpoint-1")
    assert bench.score("other_shards", bench.folder / "other_shards") == 1
    assert "has in another shape" in capsys.readouterr().err


class _Harm:
    def __init__(self, trace: Path):
        self._trace = trace

    def __reduce__(self) -> tuple:
        return Path.touch, (self._trace,)


def test_the_index_of_shards_cannot_run_code(bench, capsys):
    checkpoint = bench.place("harm", "checkpoint-1")
    save_shards(bench.new_model(1), checkpoint)
    trace = checkpoint / "executed"
    (checkpoint / SHARDS / ".metadata").write_bytes(pickle.dumps(_Harm(trace)))
    assert bench.score("harm", checkpoint.parent) == 1
    assert "the shards cannot be read" in capsys.readouterr().err and not trace.exists()


# ------------------------------------------------------------------------------------ revisions of the hub


@pytest.fixture
def hub_cache(bench, tmp_path) -> Path:
    """A cache as the hub's library leaves it, of a model with a checkpoint in each branch."""
    cache = tmp_path / "hub"
    repository = cache / "models--org--public"
    (repository / "refs").mkdir(parents=True)
    for number, branch in enumerate(("main", "step1", "step12", "step2", "stage2-step1-tokens2B")):
        commit = f"{number:x}" * 40
        folder = repository / "snapshots" / commit
        bench.new_model(20 + number).save_pretrained(folder)
        bench.tokenizer.save_pretrained(folder)
        (repository / "refs" / branch).write_text(commit)
    return cache


def test_revisions_of_a_public_model_are_its_trajectory(bench, hub_cache, capsys):
    words = (f"model.cache_dir={hub_cache}",)
    assert bench.score("public", "org/public@step*,stage2-*", *words) == 0
    assert "only revisions of org/public that lie here are seen" in capsys.readouterr().err
    losses = bench.losses("public")
    expected = {1: 21, 2: 23, 12: 22, 1_000_000_001: 24}  # by stage, then by step
    assert losses.keys() == expected.keys()
    for step, seed in expected.items():
        plain = plain_losses(bench.new_model(seed).eval(), bench.tokens)
        np.testing.assert_allclose(losses[step], plain, atol=TOLERANCE)
    assert bench.score("public", "org/public@step*,stage2-*", *words, "--checkpoints", "2,12") == 0


def test_a_base_model_of_the_hub_is_identified_by_its_commit(hub_cache):
    main = ModelConfig(name_or_path="org/public", cache_dir=str(hub_cache))
    of_main = base_fingerprint(main, 0)
    assert base_fingerprint(main.model_copy(update={"revision": "0" * 40}), 0) == of_main
    assert base_fingerprint(main.model_copy(update={"revision": "step1"}), 0) != of_main
    (hub_cache / "models--org--public/refs/main").write_text("1" * 40)  # main moves on to the commit of step1
    assert base_fingerprint(main, 0) == base_fingerprint(main.model_copy(update={"revision": "step1"}), 0)


def test_the_published_model_is_not_taken_for_the_one_before_its_revisions(hub_cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub_cache))
    sections = [
        sections_of_checkpoints(CheckpointQuery(steps, "org/public@step*")) for steps in ("all", "1,2", "0,1")
    ]
    assert sections == [{"model": {"name_or_path": "org/public"}}] * 2 + [{}]


def test_checkpoints_in_the_folders_of_one_revision_are_a_trajectory(bench, hub_cache, capsys):
    snapshot = hub_cache / "models--org--public/snapshots" / ("0" * 40)
    for step in (5, 30):
        bench.new_model(step).save_pretrained(snapshot / f"steps/step-{step}")
    words = (f"model.cache_dir={hub_cache}", "--subfolder")
    assert bench.score("folders", "org/public@main", *words, "steps/step-*") == 0
    losses = bench.losses("folders")
    assert losses.keys() == {5, 30}
    expected = plain_losses(bench.new_model(30).eval(), bench.tokens)
    np.testing.assert_allclose(losses[30], expected, atol=TOLERANCE)
    assert bench.score("folders", "org/public@main", *words, "parts") == 1
    assert "has no folder 'parts', expected some of steps, steps/step-30, steps/step-5" in (
        in_one_line(capsys.readouterr().err)
    )


@pytest.mark.parametrize(
    ("model_path", "words"),
    [
        ("org/public@step3", "has no revision 'step3', expected some of step1, step2, step12, stage2-step1"),
        ("org/public@main", "org/public@main has no step in its name"),
        ("org/public@", "expected a folder, or a model on the hub with its revisions"),
        ("org/private@step1", "no revision of org/private lies in"),
        ("./nowhere@step1", "found no folder ./nowhere"),
    ],
)
def test_revisions_that_are_not_there_say_what_is(bench, hub_cache, capsys, model_path, words):
    assert bench.score("absent", model_path, f"model.cache_dir={hub_cache}") == 1
    assert words in capsys.readouterr().err


def test_revisions_are_listed_and_fetched_where_the_hub_answers(bench, hub_cache, monkeypatch):
    """A client of the hub that answers from the cache, and serves only the files that it is asked for."""
    from types import SimpleNamespace as Answer

    import huggingface_hub

    from utils.scoring import revisions

    snapshots = hub_cache / "models--org--public/snapshots"
    commits = {ref.name: snapshots / ref.read_text() for ref in (snapshots.parent / "refs").iterdir()}
    fetched = bench.place("fetched")

    class Hub:
        def list_repo_refs(self, model: str) -> Answer:
            return Answer(branches=[Answer(name=name) for name in commits], tags=[Answer(name="v1.0")])

        def list_repo_files(self, model: str, revision: str) -> list[str]:
            return [path.name for path in commits[revision].iterdir()] + ["pytorch_model.bin", "onnx/a.onnx"]

    def snapshot(model: str, revision: str, cache_dir: str, allow_patterns: list[str]) -> str:
        for name in allow_patterns:
            (fetched / revision).mkdir(exist_ok=True)
            shutil.copy(commits[revision] / name, fetched / revision)
        return str(fetched / revision)

    monkeypatch.setattr(revisions, "why_no_hub", lambda: None)
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert bench.score("listed", "org/public@step1*") == 0
    assert bench.losses("listed").keys() == {1, 12}
    assert {path.name for path in fetched.iterdir()} == {"step1", "step12"}
