"""TRL's labels of each exported row are ours, except where the README beside the rows says otherwise.

Needs TRL: `make test-stacks`, in an environment of its own.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM

import run_distributed_trajectories
import select_s2l
from tests.conftest import ARCHITECTURES, plain_losses, pool_rows, run_here, write_jsonl
from tests.selection.test_export import CALL, TOOLS
from utils.artifacts.paths import RunPaths, export_in
from utils.config.load import load_config
from utils.config.names import ExportTarget
from utils.data.export.origin import ORIGINS_FILE
from utils.data.settings import read_pool
from utils.data.tokenization import tokenize_pool
from utils.modeling.loading import load_tokenizer

trl: Any = pytest.importorskip("trl")

CHATML = (
    "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if 'tool_calls' in message %}{{ message.tool_calls | tojson }}<|im_end|>"
    "{% elif message.role == 'assistant' %}{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ message.content }}<|im_end|>{% endif %}{{ '\n' }}"  # Jinja drops one behind a tag
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NUM_ROWS = 60
MAX_LENGTH = 256


@pytest.fixture
def config_file(make_target: Any, tokenizer_dir: Path, tmp_path: Path) -> Path:
    """A long row, spaces at both ends, an end token in the text; a tiny model with a chat template."""
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(tmp_path / "model")
    values = dict(ARCHITECTURES["llama"])
    model_config = AutoConfig.for_model(values.pop("model_type"), **{**values, "vocab_size": len(tokenizer)})
    AutoModelForCausalLM.from_config(model_config).save_pretrained(tmp_path / "model")
    rows = pool_rows(NUM_ROWS)
    rows[0]["output"] *= 20
    rows[1]["output"] = f"  {rows[1]['output']} \n"
    rows[2]["output"] += "<|endoftext|>"
    rows[3]["instruction"] *= 30
    losses_NT = np.random.default_rng(0).gamma(2, 1, (NUM_ROWS, 3))
    path = make_target(rows, losses_NT, budget=NUM_ROWS, num_clusters=3)
    settings = yaml.safe_load(path.read_text())
    settings["model"] = {"name_or_path": str(tmp_path / "model")}
    settings["data"]["max_length"] = MAX_LENGTH
    path.write_text(yaml.safe_dump(settings))
    assert select_s2l.main(["--config_file", str(path)]) == 0
    return path


def trained_by_trl(config_file: Path, *words: str, adapter: Any = None) -> list[tuple[list[int], list[int]]]:
    """Write for TRL, train one step as its config says, and return the ids and labels of each row.

    The checkpoint goes to `out`, beside the config.
    """
    assert select_s2l.main(["--config_file", str(config_file), "--write_for", "trl", *words]) == 0
    settings = yaml.safe_load((export_in(RunPaths("target").subset, "trl") / "trl.yml").read_text())
    mixture = trl.DatasetMixtureConfig(
        datasets=[trl.scripts.utils.DatasetConfig(**entry) for entry in settings.pop("datasets")]
    )
    model = settings.pop("model_name_or_path")
    settings["output_dir"] = str(config_file.parent / "out")
    arguments = trl.SFTConfig(
        **settings,
        max_steps=1,
        save_steps=1,
        learning_rate=1e-2,
        per_device_train_batch_size=2,
        report_to="none",
        use_cpu=True,
        bf16=False,
    )
    rows = trl.get_dataset(mixture)["train"]
    trainer = trl.SFTTrainer(model=model, args=arguments, train_dataset=rows, peft_config=adapter)
    assert np.isfinite(trainer.train().training_loss)
    rows = trainer.train_dataset
    return [(row["input_ids"], row["labels"]) for row in rows]


def our_labels(
    config_file: Path, template: str, *words: str, stack: ExportTarget = "trl"
) -> list[tuple[list[int], list[int]]]:
    """The ids and labels of each row written that has a token to train on. TRL drops the others."""
    config, _ = load_config(config_file, words)
    tokenizer: Any = load_tokenizer(config.model_section)
    tokens = tokenize_pool(read_pool(config), tokenizer, template, MAX_LENGTH, False)
    ours = []
    origins = export_in(RunPaths("target").subset, stack) / ORIGINS_FILE
    for origin in map(json.loads, origins.read_text().splitlines()):
        encoded = tokens.row(origin["row"])
        if encoded.is_response.any():
            labels = np.where(encoded.is_response, encoded.ids, -100)
            ours.append((encoded.ids.tolist(), labels.tolist()))
    return ours


def test_rendered_rows_have_our_tokens_and_our_labels(config_file):
    trained = trained_by_trl(config_file, "--rendered")
    assert len(trained) == NUM_ROWS - 1
    assert trained == our_labels(config_file, "alpaca")


def test_messages_are_trained_on_as_the_readme_says(config_file):
    """The answer, the end-of-turn token and the newline behind it, behind the chat template's prompt."""
    config, _ = load_config(config_file)
    pool = read_pool(config)
    tokenizer: Any = load_tokenizer(config.model_section)
    rows = [row for row in range(NUM_ROWS) if row != 3]  # whose prompt leaves no room for its answer
    trained = trained_by_trl(config_file)
    assert len(trained) == len(rows)
    for row, (ids, labels) in zip(rows, trained, strict=True):
        start = next(place for place, label in enumerate(labels) if label != -100)
        assert labels == [-100] * start + ids[start:]
        assert tokenizer.decode(ids[:start]).endswith("<|im_start|>assistant\n")
        answer = f"{pool[row].response}<|im_end|>\n"
        text = tokenizer.decode(ids[start:], clean_up_tokenization_spaces=False)
        assert text == answer or (len(ids) == MAX_LENGTH and answer.startswith(text))


@pytest.fixture
def talk_file(config_file: Path, tmp_path: Path) -> Path:
    """The same model on rows of one to three answers, some of them after a call of a tool."""
    rows = []
    for number, row in enumerate(pool_rows(NUM_ROWS)):
        calls = [
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c", "content": "2"},
        ]
        has_calls = number % 7 == 5
        turns = [
            {"role": "user", "content": row["instruction"]},
            *(calls if has_calls else []),
            {"role": "assistant", "content": row["output"]},
            *[{"role": "user", "content": "Again."}, {"role": "assistant", "content": f"{number}"}]
            * (number % 3),
        ]
        tools = {"tools": TOOLS} if has_calls else {}
        rows.append({"source": row["source"], "messages": turns, **tools})
    settings = yaml.safe_load(config_file.read_text())
    settings["data"] |= {
        "path": str(write_jsonl(tmp_path / "talk.jsonl", rows)),
        "format": "messages",
        "template": "chat",
    }
    path = tmp_path / "talk.yml"
    path.write_text(yaml.safe_dump(settings))
    assert select_s2l.main(["--config_file", str(path), "--overwrite"]) == 0
    return path


def test_turns_are_our_tokens_and_each_answer_is_trained_on_up_to_its_end(talk_file):
    """The marks of this template end with the end-of-turn token, so that no newline is trained on."""
    assert trained_by_trl(talk_file) == our_labels(talk_file, "chat")


def test_the_last_answer_of_several_is_trained_on_alone_where_it_alone_is_scored(talk_file):
    """In prompt and completion TRL trains on the newline behind the last answer too, as the README says."""
    words = ["data.score_turns=last"]
    assert select_s2l.main(["--config_file", str(talk_file), *words, "--overwrite"]) == 0
    trained = trained_by_trl(talk_file, *words)
    ours = our_labels(talk_file, "chat", *words)
    for (ids, labels), (own_ids, own_labels) in zip(trained, ours, strict=True):
        assert ids == own_ids
        if len(ids) < MAX_LENGTH:
            assert labels == [*own_labels[:-1], own_ids[-1]] and own_labels[-1] == -100


@pytest.mark.parametrize("kind", ["texts", "turns", "adapter"])
def test_losses_of_trls_checkpoints_are_those_of_a_plain_loop(request, kind):
    file: Path = request.getfixturevalue("config_file" if kind == "texts" else "talk_file")
    adapter = LoraConfig(r=4, target_modules=["q_proj", "v_proj"]) if kind == "adapter" else None
    trained_by_trl(file, *(["--rendered"] if kind == "texts" else []), adapter=adapter)
    words = [f"--model_path={file.parent / 'out'}", f"run_name={kind}"]
    assert run_here(run_distributed_trajectories, "--config_file", file, *words) == 0
    losses = np.load(RunPaths(kind).trajectories / "checkpoint-1.npy")
    config, _ = load_config(file)
    tokenizer: Any = load_tokenizer(config.model_section)
    tokens = tokenize_pool(read_pool(config), tokenizer, config.data_section.template, MAX_LENGTH, False)
    folder = file.parent / "out/checkpoint-1"
    if kind == "adapter":
        base: Any = AutoModelForCausalLM.from_pretrained(config.model_section.name_or_path or "")
        model: Any = PeftModel.from_pretrained(base, folder)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder)
    plain = plain_losses(model.eval(), tokens)
    assert np.isfinite(plain).sum() >= 50
    np.testing.assert_allclose(losses, plain, atol=1e-4)
