"""axolotl's and LLaMA-Factory's own loaders read what is written for them, and count what we score.

Needs both: `make test-stacks`, in an environment of its own.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import write_jsonl
from tests.data.export.test_trl import our_labels
from tests.selection.test_export import NUM_ROWS, chat_config, chat_row, command, folder_for, rows_for

axolotl_turns: Any = pytest.importorskip("axolotl.prompt_strategies.chat_template")
axolotl_texts: Any = pytest.importorskip("axolotl.prompt_strategies.input_output")
axolotl_settings: Any = pytest.importorskip("axolotl.utils.dict")
factory_parser: Any = pytest.importorskip("llamafactory.data.parser")
factory_converter: Any = pytest.importorskip("llamafactory.data.converter")

Labels = list[tuple[list[int], list[int]]]


@pytest.fixture
def chat_file(make_target: Any, chat_tokenizer_dir: Path) -> Path:
    return chat_config(make_target, [chat_row(row) for row in range(NUM_ROWS)], chat_tokenizer_dir)


def read_by_axolotl(module: Any, tokenizer_dir: Path, *more: Any, **settings: Any) -> Labels:
    from transformers import AutoTokenizer

    config = yaml.safe_load((folder_for("axolotl") / "axolotl.yml").read_text())
    (dataset,) = config.pop("datasets")
    rows = [json.loads(line) for line in Path(dataset["path"]).read_text(encoding="utf-8").splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    values = axolotl_settings.DictDefault({**config, **settings})
    strategy = module.load(tokenizer, values, *([dataset] if more else []))
    read = [strategy.tokenize_prompt(row) for row in rows]
    return [(row["input_ids"], row["labels"]) for row in read]


def test_turns_are_our_tokens_and_those_that_we_score(chat_file, chat_tokenizer_dir):
    assert command(chat_file, "--write_for", "axolotl") == 0
    ends = {"eot_tokens": ["<|im_end|>"]}  # the README: else the end is not trained on
    ours = our_labels(chat_file, "chat")
    assert read_by_axolotl(axolotl_turns, chat_tokenizer_dir, True, **ends) == ours


def test_segments_are_our_tokens_and_those_that_we_score(chat_file, chat_tokenizer_dir):
    assert command(chat_file, "--write_for", "axolotl", "--rendered") == 0
    assert read_by_axolotl(axolotl_texts, chat_tokenizer_dir) == our_labels(chat_file, "chat")


def test_llama_factory_skips_no_row_and_knows_who_speaks(chat_file):
    assert command(chat_file, "--write_for", "llama_factory") == 0
    settings = yaml.safe_load((folder_for("llama_factory") / "llama_factory.yml").read_text())
    (attributes,) = factory_parser.get_dataset_list([settings["dataset"]], settings["dataset_dir"])
    arguments = type("Arguments", (), {"media_dir": None})()
    convert = factory_converter.get_dataset_converter("sharegpt", attributes, arguments)
    for row in rows_for("llama_factory"):
        read = convert({"tools": None, **row})  # `datasets` fills what a row lacks
        *asked, answer = row["messages"]
        assert [turn["content"] for turn in read["_prompt"]] == [turn["content"] for turn in asked]
        assert read["_response"] == [{"role": "assistant", "content": answer["content"]}]
        roles = {"tool_call": "function", "tool": "observation"}
        assert [turn["role"] for turn in read["_prompt"]] == [
            roles.get(turn["role"], turn["role"]) for turn in asked
        ]
        assert read["_tools"] == row.get("tools")


def test_a_row_that_llama_factory_skips_is_one_that_we_refuse(make_target, chat_tokenizer_dir, tmp_path):
    rows = [chat_row(row) for row in range(20)]
    rows[0]["messages"].insert(0, {"role": "user", "content": "Hello"})
    config_file = chat_config(make_target, rows, chat_tokenizer_dir)
    assert command(config_file, "--write_for", "llama_factory") == 1
    info = {"bad": {"file_name": "bad.jsonl", "formatting": "sharegpt", "columns": {"messages": "messages"}}}
    info["bad"]["tags"] = {"role_tag": "role", "content_tag": "content", "user_tag": "user"}
    info["bad"]["tags"] |= {"assistant_tag": "assistant", "observation_tag": "tool"}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    write_jsonl(tmp_path / "bad.jsonl", rows[:1])
    (attributes,) = factory_parser.get_dataset_list(["bad"], str(tmp_path))
    arguments = type("Arguments", (), {"media_dir": None})()
    read = factory_converter.get_dataset_converter("sharegpt", attributes, arguments)(rows[0])
    assert read["_prompt"] == [] and read["_response"] == []
