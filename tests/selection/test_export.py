"""select_s2l.py --write_for: the chosen rows as each stack reads them, whole or not there, never others."""

import datetime
import json
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import yaml
from huggingface_hub import constants

import select_s2l
from tests.conftest import in_one_line, write_jsonl
from utils.artifacts.exports import ExportManifest
from utils.artifacts.paths import RunPaths, export_in, manifest_in
from utils.config.load import load_config
from utils.config.schema import DataConfig
from utils.data.conversations import with_arguments_as_text
from utils.data.export import table as table_module
from utils.data.export import upload
from utils.data.pool import Pool
from utils.data.settings import read_pool
from utils.data.templates import TEMPLATES
from utils.data.tokenization import tokenize_pool
from utils.modeling.loading import load_tokenizer
from utils.selection import export as export_module

NUM_ROWS = 60
ALL = ("trl", "axolotl", "llama_factory", "openai", "parquet")


def pool_row(row: int) -> dict[str, Any]:
    """Among them rows with an input, with words of a format, with line separators and right-to-left text."""
    return {
        "id": row,
        "instruction": f"Question {row}? {{input}} \u2028 \u05e9\u05dc\u05d5\u05dd",
        "input": "" if row % 3 else f"Context {row}",
        "output": f" Answer {row}\n",
        "text": "a column that TRL would read",
        "score": row / 7 if row % 2 else row,
        "tags": {"kind": "a", "number": row} if row % 5 else None,
        "source": f"source {row % 2}",
    }


@pytest.fixture
def config_file(make_target: Any, tokenizer_dir: Path) -> Path:
    losses_NT = np.random.default_rng(0).gamma(2, 1, (NUM_ROWS, 4))
    path = make_target([pool_row(row) for row in range(NUM_ROWS)], losses_NT, budget=20, num_clusters=4)
    values = yaml.safe_load(path.read_text())
    values["model"] = {"name_or_path": str(tokenizer_dir)}
    path.write_text(yaml.safe_dump(values))
    return path


def command(config_file: Path, *words: str) -> int:
    return select_s2l.main(["--config_file", str(config_file), *words])


@pytest.fixture
def chosen(config_file: Path) -> list[int]:
    assert command(config_file) == 0
    return np.load(RunPaths("target").subset / "indices.npy").tolist()


def folder_for(stack: str) -> Path:
    return export_in(RunPaths("target").subset, stack)


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def rows_for(stack: str) -> list[Any]:
    return lines_of(folder_for(stack) / "train.jsonl")


def messages(row: int) -> list[dict[str, str]]:
    values = pool_row(row)
    asked = "\n\n".join(filter(None, [values["instruction"], values["input"]]))
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": values["output"]}]


def test_each_stack_gets_the_chosen_rows_in_the_order_of_the_pool(config_file, chosen, capsys):
    assert command(config_file, "--write_for", *ALL) == 0
    output = capsys.readouterr().out
    expected = [messages(row) for row in chosen]
    assert rows_for("trl") == [{"prompt": turns[:1], "completion": turns[1:]} for turns in expected]
    for stack in ("llama_factory", "openai"):
        assert rows_for(stack) == [{"messages": turns} for turns in expected]
    assert rows_for("axolotl") == [
        {"messages": [{**turn, "train": turn["role"] == "assistant"} for turn in turns]} for turns in expected
    ]
    clusters = np.load(RunPaths("target").subset / "clusters.npy")
    for stack in ALL:
        assert lines_of(folder_for(stack) / "rows.jsonl") == [
            {"row": row, "source": f"source {row % 2}", "cluster": int(clusters[row])} for row in chosen
        ]
        names = {path.name for path in folder_for(stack).iterdir()}
        assert set(ExportManifest.read(manifest_in(folder_for(stack))).checksums or ()) == names - {
            "manifest.json"
        }
        assert all(name in output for name in names)
        assert "20 rows" in (folder_for(stack) / "README.md").read_text(encoding="utf-8")
    assert command(config_file) == 0
    assert "already there" in capsys.readouterr().out


def test_the_columns_of_a_table_are_as_they_were(config_file, chosen):
    assert command(config_file, "--write_for", "parquet") == 0
    table = pyarrow.parquet.read_table(folder_for("parquet") / "train.parquet")
    assert table.to_pylist() == [pool_row(row) for row in chosen]
    assert (
        table.schema.field("id").type == pyarrow.int64()
        and table.schema.field("score").type == pyarrow.float64()
    )


def test_types_of_a_parquet_pool_stay(config_file, tmp_path):
    table = pyarrow.table(
        {
            "instruction": [f"Question {row}?" for row in range(NUM_ROWS)],
            "output": [f"Answer {row}" for row in range(NUM_ROWS)],
            "day": [datetime.date(2024, 1, 1 + row % 28) for row in range(NUM_ROWS)],
            "weight": pyarrow.array([0.1] * NUM_ROWS, pyarrow.float32()),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "pool.parquet")
    settings = [f"data.path={tmp_path}/pool.parquet", "run_name=typed"]
    assert command(config_file, *settings) == 0
    assert command(config_file, "--write_for", "parquet", *settings) == 0
    subset = RunPaths("typed").subset
    written = pyarrow.parquet.read_table(export_in(subset, "parquet") / "train.parquet")
    assert written.schema.equals(table.schema)
    assert written.equals(table.take(np.load(subset / "indices.npy")))


@pytest.mark.parametrize("rows_at_once", [10_000, 1])
def test_a_column_of_several_types_is_one_of_texts(config_file, tmp_path, monkeypatch, rows_at_once):
    monkeypatch.setattr(table_module, "_ROWS_AT_ONCE", rows_at_once)
    kinds: list[Any] = [{"é": [1]}, "text", 2, None, [{"x": None}]]
    rows = [
        {"instruction": "Q", "output": f"A{row}", "mixed": kinds[row % 5], "huge": 10**30, "n": row}
        for row in range(NUM_ROWS)
    ]
    write_jsonl(tmp_path / "pool.jsonl", rows)
    assert command(config_file) == 0
    assert command(config_file, "--write_for", "parquet") == 0
    table = pyarrow.parquet.read_table(folder_for("parquet") / "train.parquet")
    assert table.schema.field("n").type == pyarrow.int64()
    texts = ['{"é": [1]}', "text", "2", None, '[{"x": null}]']
    for row in table.to_pylist():
        assert row == {**rows[row["n"]], "mixed": texts[row["n"] % 5], "huge": str(10**30)}


def test_turns_of_several_types_are_the_same_pool_in_a_table(tmp_path, res_dir):
    """A content is a text here and a list of parts there, and of one file the turns are JSON."""
    parts = [{"type": "text", "text": "a"}]
    answer = {"role": "assistant", "content": "b", "weight": 1}
    turns = [{"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]
    cell = json.dumps(turns).replace('"', '""')
    (tmp_path / "as_json.csv").write_text(f'messages\n"{cell}"\n')
    rows = [{"messages": [{"role": "user", "content": content}, answer]} for content in ("a", parts)]
    path = [str(write_jsonl(tmp_path / "talk.jsonl", rows)), str(tmp_path / "as_json.csv")]
    settings = {"format": "messages", "template": "chat"}
    pool = Pool(DataConfig.model_validate({"path": path, **settings}))
    table_module.write_table(tmp_path / "rows.parquet", pool, np.arange(3))
    again = Pool(DataConfig.model_validate({"path": str(tmp_path / "rows.parquet"), **settings}))
    assert again.fingerprint == pool.fingerprint


def test_rows_load_as_trl_and_llama_factory_load_them(config_file, chosen, tmp_path):
    """Both go through `datasets`, with the file that the config names."""
    import datasets

    assert command(config_file, "--write_for", "trl", "llama_factory") == 0
    config = yaml.safe_load((folder_for("trl") / "trl.yml").read_text())
    (entry,) = config["datasets"]
    read = datasets.load_dataset(**entry, split="train", cache_dir=str(tmp_path / "cache"))
    assert read.to_list() == rows_for("trl")
    assert config["max_length"] == 512 and config["completion_only_loss"] is True
    settings = yaml.safe_load((folder_for("llama_factory") / "llama_factory.yml").read_text())
    entries = json.loads((Path(settings["dataset_dir"]) / "dataset_info.json").read_text())
    file = Path(settings["dataset_dir"]) / entries[settings["dataset"]]["file_name"]
    read = datasets.load_dataset(
        "json", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert read.to_list() == rows_for("llama_factory")


def test_llama_factory_skips_no_row(config_file, chosen):
    """By the rules of its reader of `sharegpt`: the system may begin, then user and assistant by turns."""
    assert command(config_file, "--write_for", "llama_factory") == 0
    (entry,) = json.loads((folder_for("llama_factory") / "dataset_info.json").read_text()).values()
    assert set(entry) == {"file_name", "formatting", "columns", "tags"} and entry["formatting"] == "sharegpt"
    tags = entry["tags"]
    for row in rows_for("llama_factory"):
        turns = row[entry["columns"]["messages"]]
        turns = turns[1:] if turns[0][tags["role_tag"]] == tags["system_tag"] else turns
        assert turns and len(turns) % 2 == 0
        for number, turn in enumerate(turns):
            assert turn[tags["role_tag"]] == (tags["assistant_tag"] if number % 2 else tags["user_tag"])
            assert isinstance(turn[tags["content_tag"]], str)


def test_configs_of_axolotl_say_how_its_rows_are_read(config_file, chosen):
    assert command(config_file, "--write_for", "axolotl") == 0
    config = yaml.safe_load((folder_for("axolotl") / "axolotl.yml").read_text())
    data_file = str(folder_for("axolotl") / "train.jsonl")
    assert config["datasets"] == [
        {"path": data_file, "ds_type": "json", "type": "chat_template", "message_field_training": "train"}
    ]
    assert config["train_on_inputs"] is False and config["sequence_len"] == 512
    assert command(config_file, "--write_for", "axolotl", "--rendered", "data.max_length=99") == 0
    config = yaml.safe_load((folder_for("axolotl") / "axolotl.yml").read_text())
    assert config["datasets"][0]["type"] == "input_output" and config["sequence_len"] == 99


@pytest.mark.parametrize("template", ["alpaca", "plain", "radiology"])
def test_rendered_rows_are_the_texts_and_tokens_that_we_train_on(config_file, template):
    settings = [f"data.template={template}", f"run_name={template}"]
    assert command(config_file, *settings) == 0
    assert command(config_file, "--write_for", "trl", "axolotl", *settings, "--rendered") == 0
    config, _ = load_config(config_file, settings)
    pool = read_pool(config)
    tokenizer = load_tokenizer(config.model_section)
    tokens = tokenize_pool(pool, tokenizer, template, 512, False)
    subset = RunPaths(template).subset
    texts = lines_of(export_in(subset, "trl") / "train.jsonl")
    segmented = lines_of(export_in(subset, "axolotl") / "train.jsonl")
    for row, text, segments in zip(np.load(subset / "indices.npy").tolist(), texts, segmented, strict=True):
        assert text == {"prompt": TEMPLATES[template](pool[row]), "completion": pool[row].response}
        prompt, response = segments["segments"]
        assert prompt == {"label": False, "text": text["prompt"]}
        assert response == {"label": True, "text": f"{text['completion']}<|endoftext|>"}
        ids = tokenizer(prompt["text"] + response["text"], add_special_tokens=False)["input_ids"]
        assert ids == tokens.row(row).ids.tolist()


CALL = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


def message(role: str, content: str, **more: str) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def chat_row(row: int) -> dict[str, Any]:
    """Two answers. Every third row has a call of a tool too, and in every fifth the first does not count."""
    first = {"role": "assistant", "content": f"First {row}", **({} if row % 5 else {"weight": 0})}
    turns = [{"role": "user", "content": f"Question {row}"}, first, {"role": "user", "content": "And?"}]
    if row % 3 == 0:
        turns.append({"role": "assistant", "content": "", "tool_calls": [CALL]})
        turns.append({"role": "tool", "tool_call_id": "c", "content": "2"})
    turns.append({"role": "assistant", "content": f"Last {row}"})
    return {"messages": turns, **({} if row % 3 else {"tools": TOOLS})}


def chat_config(make_target: Any, rows: list[dict[str, Any]], folder: Path, *settings: str) -> Path:
    losses_NT = np.random.default_rng(0).gamma(2, 1, (len(rows), 4))
    path = make_target(rows, losses_NT, budget=20, num_clusters=4)
    values = yaml.safe_load(path.read_text())
    values["data"] |= {"format": "messages", "template": "chat"}
    values["model"] = {"name_or_path": str(folder)}
    path.write_text(yaml.safe_dump(values))
    assert command(path, *settings) == 0
    return path


@pytest.fixture
def chat_file(make_target: Any, chat_tokenizer_dir: Path) -> Path:
    return chat_config(make_target, [chat_row(row) for row in range(NUM_ROWS)], chat_tokenizer_dir)


def chosen_chat_rows() -> list[dict[str, Any]]:
    """In the order in which they are written."""
    return [chat_row(origin["row"]) for origin in lines_of(folder_for("trl") / "rows.jsonl")]


def test_turns_and_what_is_scored_of_them_go_to_each_stack(chat_file):
    assert command(chat_file, "--write_for", *ALL) == 0
    rows = chosen_chat_rows()
    assert {"tools" in row for row in rows} == {True, False}
    for row, trl, axolotl, openai, factory in zip(
        rows, *(rows_for(stack) for stack in ("trl", "axolotl", "openai", "llama_factory")), strict=True
    ):
        plain = [{key: value for key, value in turn.items() if key != "weight"} for turn in row["messages"]]
        assert [{**turn, "train": None} for turn in axolotl["messages"]] == [
            {**turn, "train": None} for turn in plain
        ]
        assert [with_arguments_as_text(turn) for turn in trl["messages"]] == plain
        called = [call["function"] for turn in trl["messages"] for call in turn.get("tool_calls", ())]
        assert all(function["arguments"] == {"a": 1} for function in called), "as templates take them"
        assert json.loads(trl["tools"]) == row.get("tools")
        assert json.loads(axolotl["tools"]) == row.get("tools", [])
        assert json.loads(factory["tools"] or "null") == row.get("tools")
        counts = [
            turn["role"] == "assistant" and turn.get("weight", 1) > 0 and "tool_calls" not in turn
            for turn in row["messages"]
        ]
        assert [turn["train"] for turn in axolotl["messages"]] == counts
        weights = [turn.get("weight", 1) for turn in openai["messages"]]
        spoken = [turn["role"] == "assistant" for turn in row["messages"]]
        assert [bool(weight and said) for weight, said in zip(weights, spoken, strict=True)] == counts
        assert openai.get("tools") == row.get("tools") and openai.keys() <= {"messages", "tools"}
        roles = ["tool_call" if "tool_calls" in turn else turn["role"] for turn in row["messages"]]
        assert [turn["role"] for turn in factory["messages"]] == roles
    config = yaml.safe_load((folder_for("trl") / "trl.yml").read_text())
    assert config["assistant_only_loss"] is True and "completion_only_loss" not in config
    other = sum(any("weight" in turn or "tool_calls" in turn for turn in row["messages"]) for row in rows)
    assert "`parallel_tool_calls`" in (folder_for("openai") / "README.md").read_text(encoding="utf-8")
    for stack, is_said in {"trl": True, "llama_factory": True, "axolotl": False, "openai": False}.items():
        text = (folder_for(stack) / "README.md").read_text(encoding="utf-8")
        assert (f"In {other} rows S2L did not score all turns" in text) == is_said
        assert "template `alpaca`" not in text and ", and `tools`." in text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([], "trains on each answer, with"),
        (["data.score_roles=[assistant, tool_call]"], "trains on each answer and each call of a tool, with"),
        (["data.score_turns=last"], "trains on the last answer, with"),
    ],
)
def test_readmes_say_which_turns_were_scored(make_target, chat_tokenizer_dir, settings, words):
    rows = [chat_row(row) for row in range(20)]
    config_file = chat_config(make_target, rows, chat_tokenizer_dir, *settings)
    assert command(config_file, *settings, "--write_for", "axolotl") == 0
    text = in_one_line((folder_for("axolotl") / "README.md").read_text(encoding="utf-8"))
    assert f"{words} the special token that ends the turn" in text


@pytest.mark.parametrize("turns", ["all", "last"])
def test_what_comes_late_in_a_file_is_read_by_datasets_too(make_target, chat_tokenizer_dir, tmp_path, turns):
    """It takes the types of all rows from a file's beginning, and this stands for its 10 MB."""
    import datasets

    rows = [
        {"messages": [message("user", f"Question {row}"), message("assistant", "A")]} for row in range(20)
    ]
    rows[17] = chat_row(0)
    rows[18]["messages"][1]["name"] = "Ann"
    rows[19] = json.loads(json.dumps(chat_row(0)).replace(r"{\"a\": 1}", r"{\"b\": \"c\"}"))
    assert rows[19] != rows[17], "calls with other arguments, too"
    settings = [f"data.score_turns={turns}", "--overwrite"]
    config_file = chat_config(make_target, rows, chat_tokenizer_dir)
    assert command(config_file, *settings) == 0
    assert command(config_file, settings[0], "--write_for", *ALL[:3]) == 0
    for stack in ALL[:3]:
        read: Any = datasets.load_dataset(
            "json",
            data_files=str(folder_for(stack) / "train.jsonl"),
            split="train",
            cache_dir=str(tmp_path / "cache"),
            chunksize=1600,
        )
        assert list(read) == rows_for(stack)
    numbers = [origin["row"] for origin in lines_of(folder_for("trl") / "rows.jsonl")]
    assert sorted(numbers) == list(range(20)) and numbers[4:] == list(range(1, 17))


def test_a_late_call_with_other_arguments_is_read_by_datasets_too(make_target, chat_tokenizer_dir, tmp_path):
    """As where each completion is a call, so that all have the same fields."""
    import datasets

    calls = [{**CALL, "function": {"name": "add", "arguments": {"a": 1}}} for _ in range(20)]
    calls[-1]["function"]["arguments"] = {"b": "c"}
    rows = [
        {"messages": [message("user", f"Question {row}"), {**message("assistant", ""), "tool_calls": [call]}]}
        for row, call in enumerate(calls)
    ]
    settings = ["data.score_roles=[tool_call]", "--overwrite"]
    config_file = chat_config(make_target, rows, chat_tokenizer_dir, *settings)
    assert command(config_file, settings[0], "--write_for", "trl") == 0
    file = str(folder_for("trl") / "train.jsonl")
    cache: Any = {"cache_dir": str(tmp_path / "cache"), "chunksize": 600}
    read: Any = datasets.load_dataset("json", data_files=file, split="train", **cache)
    assert list(read) == rows_for("trl") and "completion" in read.column_names


@pytest.mark.parametrize(
    ("rows", "columns"), [(range(1, 61, 3), {"messages"}), (range(20), {"messages", "tools"})]
)
def test_llama_factory_is_told_of_tools_only_where_there_are_some(
    make_target, chat_tokenizer_dir, rows, columns
):
    """It ends where a column that is named is not there."""
    config_file = chat_config(make_target, [chat_row(number) for number in rows], chat_tokenizer_dir)
    assert command(config_file, "--write_for", "llama_factory") == 0
    (entry,) = json.loads((folder_for("llama_factory") / "dataset_info.json").read_text()).values()
    assert set(entry["columns"].values()) == columns == set(rows_for("llama_factory")[0])


def test_rows_of_which_the_last_answer_counts_are_a_prompt_and_a_completion(chat_file):
    last = ["data.score_turns=last", "--overwrite"]
    assert command(chat_file, *last) == 0
    assert command(chat_file, last[0], "--write_for", "trl") == 0
    for row, written in zip(chosen_chat_rows(), rows_for("trl"), strict=True):
        assert written["completion"] == row["messages"][-1:]
        assert len(written["prompt"]) == len(row["messages"]) - 1


def test_rendered_turns_are_the_tokens_that_we_train_on(chat_file):
    assert command(chat_file, "--write_for", "axolotl", "--rendered") == 0
    config, _ = load_config(chat_file)
    pool = read_pool(config)
    tokenizer: Any = load_tokenizer(config.model_section)
    tokens = tokenize_pool(pool, tokenizer, "chat", config.data_section.max_length, False)
    indices = np.load(RunPaths("target").subset / "indices.npy")
    for row, written in zip(indices.tolist(), rows_for("axolotl"), strict=True):
        ids: list[int] = []
        is_scored: list[bool] = []
        for segment in written["segments"]:
            own = tokenizer(segment["text"], add_special_tokens=False)["input_ids"]
            ids += own
            is_scored += [segment["label"]] * len(own)
        assert ids == tokens.row(row).ids.tolist()
        assert is_scored == tokens.row(row).is_response.tolist()
    text = (folder_for("axolotl") / "README.md").read_text(encoding="utf-8")
    assert "those that the chat template writes" in text and "<|endoftext|>" not in text
    assert "in the order of the pool.\n" in text and lines_of(folder_for("axolotl") / "rows.jsonl") == sorted(
        lines_of(folder_for("axolotl") / "rows.jsonl"), key=lambda origin: origin["row"]
    )


def test_a_text_and_its_completion_need_one_answer_at_the_end(chat_file, capsys):
    assert command(chat_file, "--write_for", "trl", "--rendered") == 1
    assert "what is scored is not one text at the end" in in_one_line(capsys.readouterr().err)
    last = ["data.score_turns=last", "--overwrite"]
    assert command(chat_file, *last) == 0
    assert command(chat_file, last[0], "--write_for", "trl", "--rendered") == 0
    for row, written in zip(chosen_chat_rows(), rows_for("trl"), strict=True):
        assert written["completion"] == f"{row['messages'][-1]['content']}<|im_end|>"
        assert written["prompt"].endswith("<|im_start|>assistant\n")
    text = (folder_for("trl") / "README.md").read_text(encoding="utf-8")
    assert "the tokens are the same" not in text and "TRL puts that, too, and trains on it" in text


def test_a_stack_that_would_skip_rows_is_refused_and_the_others_are_written(
    make_target, chat_tokenizer_dir, capsys
):
    """All rows of the pool that it cannot take are in a file: without them the next choice can be written."""
    rows = [chat_row(row) for row in range(40)]
    bad = [7, *range(13, 25)]
    for row in bad:
        rows[row]["messages"].insert(0, {"role": "user", "content": "Hello"})
    config_file = chat_config(make_target, rows, chat_tokenizer_dir)
    words = ["--write_for", *ALL[:3], "parquet"]
    listed = RunPaths("target").not_for(["llama_factory"])
    capsys.readouterr()
    assert command(config_file, *words, "--dry_run") == 1
    assert f"are listed without --dry_run in {listed}" in in_one_line(capsys.readouterr().err)
    assert not listed.exists() and not folder_for("trl").exists()

    assert command(config_file, *words) == 1
    num_bad = len({*np.load(RunPaths("target").subset / "indices.npy").tolist()} & {*bad})
    output = capsys.readouterr()
    message = in_one_line(output.err)
    assert f"--write_for llama_factory: not written, since {num_bad} of 20 rows" in message
    assert "turn 2 is of user, expected assistant or tool_call" in message
    assert f"subset.exclude={listed}" in message and str(folder_for("trl")) in output.out
    assert not folder_for("llama_factory").exists()
    for stack in ("trl", "axolotl", "parquet"):
        assert len(lines_of(folder_for(stack) / "rows.jsonl")) == 20
    assert [int(line) for line in listed.read_text().split()] == bad

    again = [f"subset.exclude={listed}", "run_name=other"]
    assert command(config_file, *again) == 0
    assert command(config_file, *again, "--write_for", "llama_factory") == 0


def test_rows_to_leave_out_are_listed_with_those_that_are_left_out_already(
    make_target, chat_tokenizer_dir, tmp_path, capsys
):
    rows = [chat_row(row) for row in range(24)]
    for row in range(0, 24, 3):
        del rows[row]["messages"][4]["tool_call_id"]
    out = tmp_path / "out.txt"
    out.write_text("1\n2\n")
    words = [f"subset.exclude={out}"]
    config_file = chat_config(make_target, rows, chat_tokenizer_dir, *words)
    assert command(config_file, *words, "--write_for", "openai") == 1
    listed = RunPaths("target").not_for(["openai"])
    assert [int(line) for line in listed.read_text().split()] == sorted([1, 2, *range(0, 24, 3)])
    assert "(10 rows, with those that subset.exclude names already)" in in_one_line(capsys.readouterr().err)


def test_a_write_that_fails_leaves_what_was_there(config_file, chosen, monkeypatch):
    assert command(config_file, "--write_for", "trl") == 0
    before = {path.name: path.read_bytes() for path in folder_for("trl").iterdir()}

    def full_disk(path, rows):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module, "_write_lines", full_disk)
    assert command(config_file, "--write_for", "trl", "--rendered") == 1
    assert {path.name: path.read_bytes() for path in folder_for("trl").iterdir()} == before
    assert not list(RunPaths("target").subset.glob(".for_*"))


@pytest.mark.parametrize("is_link", [False, True])
def test_what_lies_in_the_place_of_an_export_and_is_no_folder_stays(
    config_file, chosen, capsys, tmp_path, is_link
):
    place = folder_for("openai")
    place.symlink_to(tmp_path) if is_link else place.write_text("mine")
    assert command(config_file, "--write_for", "trl", "openai") == 1
    assert f"{place}: found a link or a file, expected a folder" in capsys.readouterr().err
    assert place.is_symlink() == is_link and not folder_for("trl").exists()


def test_choosing_again_removes_what_was_written_of_the_old_choice(config_file, chosen):
    assert command(config_file, "--write_for", "trl") == 0
    assert command(config_file, "--overwrite", "subset.budget=10") == 0
    assert not folder_for("trl").exists()
    assert command(config_file, "--write_for", "trl", "subset.budget=10") == 0
    assert len(rows_for("trl")) == 10


def test_what_cannot_be_written_is_refused_in_words(config_file, capsys, monkeypatch):
    def refused(*words: str) -> str:
        assert command(config_file, *words) == 1
        return in_one_line(capsys.readouterr().err)

    assert "no subset in" in refused("--write_for", "trl")
    assert command(config_file) == 0
    assert "made from other inputs" in refused("--write_for", "trl", "subset.budget=19")
    assert "made from other inputs" in refused("--write_for", "trl", "data.limit=40")
    assert "did you mean 'llama_factory'?" in refused("--write_for", "llama-factory")
    assert "found openai, expected trl or axolotl" in refused("--write_for", "trl", "openai", "--rendered")
    assert "model: missing" in refused("--write_for", "axolotl", "--rendered", "model=null")
    assert "several subsets, expected one" in refused("--write_for", "trl", "subset.budget=[10,20]")
    assert "give the YAML of that run" in refused(
        "--write_for", "trl", "subset.same_as=target", "run_name=other"
    )
    numbers = ["data=null", "run_name=numbers"]
    assert command(config_file, *numbers) == 0
    assert "found row numbers alone" in refused("--write_for", "trl", *numbers)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert "found no HF_TOKEN" in refused("--push_to_hub", "me/mine")
    monkeypatch.setenv("HF_TOKEN", "a-secret")
    assert "expected OWNER/NAME" in refused("--push_to_hub", "mine")
    offline = refused("--push_to_hub", "me/mine")
    assert "HF_HUB_OFFLINE is set" in offline and "a-secret" not in offline
    for words in (["--rendered"], ["--write_for", "seed=3"], ["--push_to_hub", "me/mine", "--inspect"]):
        with pytest.raises(SystemExit):
            command(config_file, *words)
    assert not folder_for("trl").exists()


def test_a_dry_run_checks_and_writes_nothing(config_file, chosen, capsys):
    assert command(config_file, "--write_for", "trl", "--dry_run", "--rendered") == 0
    assert "nothing written" in capsys.readouterr().out
    assert not folder_for("trl").exists()
    assert command(config_file, "--write_for", "lama_factory", "--dry_run") == 1


def test_readmes_say_what_s2l_did(config_file, chosen):
    """These losses were made elsewhere, so nobody knows what was scored."""
    assert command(config_file, "--write_for", *ALL) == 0
    for stack in ("trl", "axolotl", "llama_factory"):
        text = (folder_for(stack) / "README.md").read_text(encoding="utf-8")
        assert (
            "## Which tokens are trained on" in text and "S2L has no scores of its own of these rows" in text
        )
        assert "template `alpaca`" in text and "{" not in text


class Hub:
    """A hub in memory, with the methods of huggingface_hub.HfApi that are called."""

    datasets: dict[str, dict[str, bytes]]
    is_private: dict[str, bool]
    tokens: set[str]

    def __init__(self, token: str):
        self.tokens.add(token)

    def repo_exists(self, repo_id: str, *, repo_type: str) -> bool:
        assert repo_type == "dataset"
        return repo_id in self.datasets

    def list_repo_files(self, repo_id: str, *, repo_type: str) -> list[str]:
        return list(self.datasets[repo_id])

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> None:
        self.datasets.setdefault(repo_id, {".gitattributes": b""})
        self.is_private[repo_id] = private

    def upload_folder(
        self,
        *,
        repo_id: str,
        repo_type: str,
        folder_path: Path,
        allow_patterns: list[str],
        commit_message: str,
    ) -> None:
        self.datasets[repo_id] |= {name: (folder_path / name).read_bytes() for name in allow_patterns}


@pytest.fixture
def memory_hub(monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    Hub.datasets, Hub.is_private, Hub.tokens = {}, {}, set()
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(upload, "why_no_hub", lambda: None)
    monkeypatch.setenv("HF_TOKEN", "a-secret")
    return Hub


def test_a_dataset_on_the_hub_has_the_rows_and_a_card_and_nothing_of_this_machine(
    config_file, chosen, memory_hub, tmp_path, capsys
):
    assert command(config_file, "--push_to_hub", "me/mine", "--dry_run") == 0
    assert memory_hub.datasets == {} and not folder_for("parquet").exists()
    assert command(config_file, "--push_to_hub", "me/mine", "--write_for", "trl") == 0
    output = capsys.readouterr().out
    assert f"{constants.ENDPOINT}/datasets/me/mine" in output and "without a licence" in output
    files = memory_hub.datasets["me/mine"]
    assert set(files) == {".gitattributes", "README.md", "train.parquet", "rows.jsonl"}
    assert memory_hub.is_private["me/mine"] and memory_hub.tokens == {"a-secret"}
    card = files["README.md"].decode()
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["configs"] == [{"config_name": "default", "data_files": "train.parquet"}]
    assert "license" not in header
    fingerprint = read_pool(load_config(config_file)[0]).fingerprint
    for words in ("s2l, seed 42", fingerprint, "20 rows of 60 selectable ones", "pool.jsonl", "losses.npy"):
        assert words in card
    assert "| source 0 | 30 | 10 | 50.0 |" in card and "Not stated." in card
    assert not any(str(tmp_path).encode() in content or b"a-secret" in content for content in files.values())
    assert rows_for("trl")


def test_a_dataset_that_is_there_is_not_touched(config_file, chosen, memory_hub, capsys):
    memory_hub.datasets["me/mine"] = {"README.md": b"license: mit"}
    assert command(config_file, "--push_to_hub", "me/mine") == 1
    assert "expected a new name" in capsys.readouterr().err
    assert memory_hub.datasets["me/mine"] == {"README.md": b"license: mit"}


def test_the_hubs_own_words_are_told(config_file, chosen, memory_hub, monkeypatch, capsys):
    def forbidden(self, repo_id, **options):
        raise RuntimeError("403 Forbidden: you may not write here")

    monkeypatch.setattr(memory_hub, "create_repo", forbidden)
    assert command(config_file, "--push_to_hub", "me/mine") == 1
    message = in_one_line(capsys.readouterr().err)
    assert "you may not write here" in message and str(folder_for("parquet")) in message
    assert (folder_for("parquet") / "train.parquet").is_file()
