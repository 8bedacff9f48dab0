"""Two records that differ: every leaf that differs is shown, on both sides, and none before it differs."""

import copy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.artifacts.differences import difference_lines, differing_leaves
from utils.artifacts.manifests import check_inputs

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
