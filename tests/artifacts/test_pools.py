"""Why a pool is another one is told from what is recorded of it."""

import pytest

from utils.artifacts.pools import pool_record, why_another_pool
from utils.config.schema import DataConfig


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source_column": "origin"}, "data.source_column: there 'source', now 'origin'"),
        ({"columns": {"output": "answer"}}, "data.columns.output: there nothing, now 'answer'"),
        ({"format": "prompt_completion"}, "data.format: there 'alpaca', now 'prompt_completion'"),
        ({"limit": 5}, "data.limit: there nothing, now 5"),
        ({"max_length": 9}, "the data section is the same: the rows"),
        ({}, "the data section is the same: the rows"),
    ],
)
def test_another_pool_is_told_from_which_setting_it_comes(tmp_path, change, words):
    (tmp_path / "pool.jsonl").touch()
    there = DataConfig(path=str(tmp_path / "pool.jsonl"))
    assert words in why_another_pool(pool_record(there), pool_record(there.model_copy(update=change)))


def test_one_file_by_two_paths_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "pool.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    by_name = pool_record(DataConfig(path="pool.jsonl"))
    by_path = pool_record(DataConfig(path=f"{tmp_path}/pool.jsonl"))
    assert by_name is not None and (by_name["path"], by_name["absolute_path"]) == (
        "pool.jsonl",
        f"{tmp_path}/pool.jsonl",
    )
    assert "have changed since, or an earlier version read them" in why_another_pool(by_name, by_path)
    hub = pool_record(DataConfig(path="TIGER-Lab/MathInstruct"))
    assert hub is not None and hub["absolute_path"] is None
    assert "data.path: there 'pool.jsonl', now 'TIGER-Lab/MathInstruct'" in why_another_pool(by_name, hub)
    assert why_another_pool(None, hub) == "no record says which setting of the data section differs"


def test_files_of_a_list_and_of_a_pattern_are_known_by_their_places_and_sources(tmp_path, monkeypatch):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)

    def record(path):
        return pool_record(DataConfig.model_validate({"path": path}))

    of_list = record(["a.jsonl", {"path": "b.jsonl", "source": "b"}, "owner/name"])
    assert of_list is not None
    assert of_list["absolute_path"] == [
        f"{tmp_path}/a.jsonl",
        {"path": f"{tmp_path}/b.jsonl", "source": "b"},
        "owner/name",
    ]
    elsewhere = record([f"{tmp_path}/a.jsonl", {"path": "./b.jsonl", "source": "b"}, "owner/name"])
    assert "the rows of a.jsonl, b.jsonl, owner/name have changed" in why_another_pool(elsewhere, of_list)
    for other in (
        ["a.jsonl", "b.jsonl", "owner/name"],
        ["a.jsonl", {"path": "b.jsonl", "source": "c"}, "owner/name"],
        ["a.jsonl", {"path": "b.jsonl", "source": "b"}, "owner/other"],
        "a.jsonl",
    ):
        assert why_another_pool(of_list, record(other)).startswith("data.path: there"), other
    pattern = record("*.jsonl")
    assert "the rows of *.jsonl have changed" in why_another_pool(pattern, record("*.jsonl"))
    (tmp_path / "b.jsonl").unlink()
    assert why_another_pool(pattern, record("*.jsonl")).startswith("data.path: there 2 entries")
