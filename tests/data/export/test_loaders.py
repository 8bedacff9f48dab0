"""axolotl's and LLaMA-Factory's own loaders read what is written for them, and count what we score.

Needs both: `make test-stacks`, in an environment of its own.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pytest
import yaml

from tests.conftest import write_jsonl
from tests.data.export.test_trl import our_labels
from tests.selection.test_export import NUM_ROWS, chat_config, chat_row, command, folder_for, rows_for

axolotl_turns: Any = pytest.importorskip("axolotl.prompt_strategies.chat_template")
axolotl_texts: Any = pytest.importorskip("axolotl.prompt_strategies.input_output")
axolotl_settings: Any = pytest.importorskip("axolotl.utils.dict")
factory_parser: Any = pytest.importorskip("llamafactory.data.parser")
factory_loader: Any = pytest.importorskip("llamafactory.data.loader")
factory_template: Any = pytest.importorskip("llamafactory.data.template")
factory_labels: Any = pytest.importorskip("llamafactory.data.processor.supervised")

Labels = list[tuple[list[int], list[int]]]


@pytest.fixture
def chat_file(make_target: Any, chat_tokenizer_dir: Path) -> Path:
    return chat_config(make_target, [chat_row(row) for row in range(NUM_ROWS)], chat_tokenizer_dir)


def read_by_axolotl(module: Any, tokenizer_dir: Path, *more: Any, **settings: Any) -> Labels:
    from transformers import AutoTokenizer

    config = yaml.safe_load((folder_for("axolotl") / "axolotl.yml").read_text())
    (dataset,) = config.pop("datasets")
    # It calls this with the `ds_type` of the config.
    rows: Any = datasets.load_dataset(dataset["ds_type"], data_files=dataset["path"], split="train")
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    values = axolotl_settings.DictDefault({**config, **settings})
    strategy = module.load(tokenizer, values, *([dataset] if more else []))
    read = [strategy.tokenize_prompt(row) for row in rows]
    return [(row["input_ids"], row["labels"]) for row in read]


def test_turns_are_our_tokens_and_those_that_we_score(chat_file, chat_tokenizer_dir):
    assert command(chat_file, "--write_for", "axolotl") == 0
    ends = {"eot_tokens": ["<|im_end|>"]}  # the README: else the end is not trained on
    ours = our_labels(chat_file, "chat", stack="axolotl")
    assert read_by_axolotl(axolotl_turns, chat_tokenizer_dir, True, **ends) == ours


def test_segments_are_our_tokens_and_those_that_we_score(chat_file, chat_tokenizer_dir):
    assert command(chat_file, "--write_for", "axolotl", "--rendered") == 0
    assert read_by_axolotl(axolotl_texts, chat_tokenizer_dir) == our_labels(
        chat_file, "chat", stack="axolotl"
    )


def read_by_llama_factory(dataset: str, folder: Path | str) -> list[dict[str, Any]]:
    (attributes,) = factory_parser.get_dataset_list([dataset], str(folder))
    model = SimpleNamespace(cache_dir=None, hf_hub_token=None)
    training = SimpleNamespace(local_process_index=0)
    data = {"streaming": False, "max_samples": None, "preprocessing_num_workers": None, "media_dir": None}
    settings = SimpleNamespace(dataset_dir=str(folder), overwrite_cache=True, **data)
    return list(factory_loader._load_single_dataset(attributes, model, settings, training))


def written_for_llama_factory() -> list[dict[str, Any]]:
    settings = yaml.safe_load((folder_for("llama_factory") / "llama_factory.yml").read_text())
    return read_by_llama_factory(settings["dataset"], settings["dataset_dir"])


def test_llama_factory_skips_no_row_and_knows_who_speaks(chat_file):
    assert command(chat_file, "--write_for", "llama_factory") == 0
    for row, read in zip(rows_for("llama_factory"), written_for_llama_factory(), strict=True):
        *asked, answer = row["messages"]
        roles = {"tool_call": "function", "tool": "observation"}
        expected = [{**turn, "role": roles.get(turn["role"], turn["role"])} for turn in asked]
        assert read["_prompt"] == expected and read["_response"] == [answer]
        assert read["_tools"] == row["tools"]


def test_llama_factory_trains_on_our_tokens_and_the_line_break_behind_each_end(
    make_target, chat_tokenizer_dir
):
    from transformers import AutoTokenizer

    plain = [row for row in range(NUM_ROWS) if row % 3 and row % 5]  # no tools, and all answers count
    config_file = chat_config(make_target, [chat_row(row) for row in plain], chat_tokenizer_dir)
    assert command(config_file, "--write_for", "llama_factory") == 0
    tokenizer = AutoTokenizer.from_pretrained(chat_tokenizer_dir)
    settings = SimpleNamespace(cutoff_len=512, mask_history=False, train_on_prompt=False)
    processor = factory_labels.SupervisedDatasetProcessor(
        factory_template.TEMPLATES["chatml"], tokenizer, None, settings
    )
    ours = our_labels(config_file, "chat", stack="llama_factory")
    for read, (ids, labels) in zip(written_for_llama_factory(), ours, strict=True):
        columns = {name[1:]: value for name, value in read.items()}
        media = {name: columns[name] or [] for name in ("images", "videos", "audios")}
        turns = {name: columns[name] for name in ("prompt", "response", "system", "tools")}
        factory_ids, factory_trained = processor._encode_data_example(**turns, **media)
        assert factory_ids == ids
        scored = [label != -100 for label in labels]
        behind = [after and not now for after, now in zip([False, *scored], scored, strict=False)]
        assert [label != -100 for label in factory_trained] == [
            a or b for a, b in zip(scored, behind, strict=True)
        ]


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
    (read,) = read_by_llama_factory("bad", tmp_path)
    assert read["_prompt"] == [] and read["_response"] == []
