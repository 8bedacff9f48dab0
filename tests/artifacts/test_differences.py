"""Two records that differ: every leaf that differs is shown, on both sides, and none before it differs."""

import copy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.artifacts.differences import difference_lines, differing_leaves, pool_record, why_another_pool
from utils.artifacts.manifests import check_inputs
from utils.config.schema import DataConfig

KEYS = st.sampled_from(["a", "b", "c", "long_name"])
LEAVES = st.one_of(st.none(), st.integers(), st.text(max_size=90), st.lists(st.integers(), max_size=40))
RECORDS = st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)


@given(there=st.dictionaries(KEYS, RECORDS, max_size=4), now=st.dictionaries(KEYS, RECORDS, max_size=4))
def test_a_record_with_its_differing_leaves_changed_is_the_other(there, now):
    changed = copy.deepcopy(there)
    for key, (was, is_now) in differing_leaves(there, now).items():
        assert was != is_now
        *sections, leaf = key.split(".")
        section = changed
        for name in sections:
            section = section[name]
        assert section.get(leaf) == was
        section[leaf] = is_now

    def without_nothing(record):
        pairs = record.items() if isinstance(record, dict) else ()
        return (
            {name: without_nothing(value) for name, value in pairs if value is not None} if pairs else record
        )

    assert without_nothing(changed) == without_nothing(now)


@given(
    common=st.text("abc/ ", max_size=200),
    one=st.text("xyz", min_size=1, max_size=9),
    other=st.text("mno", min_size=1),
)
def test_the_first_difference_of_two_long_values_is_shown(common, one, other):
    (line,) = difference_lines({"path": common + one}, {"path": common + other})
    assert one in line and other[:30] in line


def test_dictionaries_are_compared_leaf_by_leaf():
    there = {
        "train_args": {"learning_rate": 1e-3, "padding": "x" * 300},
        "save_steps": list(range(100)),
        "subset": None,
    }
    now = {
        "train_args": {"learning_rate": 1e-4, "padding": "x" * 300},
        "save_steps": list(range(99)),
        "subset": {"k": 3},
    }
    assert difference_lines(there, now) == [
        "  save_steps: there 100 entries, entry 99 is 99, now 99 entries",
        "  subset: there nothing, now a section (k)",
        "  train_args.learning_rate: there 0.001, now 0.0001",
    ]
    with pytest.raises(ValueError, match=r"train_args.learning_rate: there 0.001, now 0.0001"):
        check_inputs(Path("run/manifest.json"), there, now, "Ways out: none.")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source_column": "origin"}, "data.source_column: there 'source', now 'origin'"),
        ({"columns": {"output": "answer"}}, "data.columns.output: there nothing, now 'answer'"),
        ({"format": "prompt_completion"}, "data.format: there 'alpaca', now 'prompt_completion'"),
        ({"limit": 5}, "data.limit: there nothing, now 5"),
        ({"max_length": 9}, "the data section is the same, so the rows"),
        ({}, "the data section is the same, so the rows"),
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
    assert "have changed since" in why_another_pool(by_name, by_path)
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
