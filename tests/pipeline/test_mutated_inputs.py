"""Good inputs that chance has changed: one clear error, or all that was asked for. Never a traceback."""

import contextlib
import csv
import io
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from .bad_inputs.cases import Case, parquet
from .bad_inputs.good import FILES, NUM_ROWS
from .bad_inputs.running import in_place, limits, run, state_of

PICK = yaml.safe_load(FILES["pick.yml"])
FRESH = yaml.safe_load(FILES["fresh.yml"])

_numbers = st.integers(-(10**30), 10**30) | st.floats() | st.sampled_from([0, 1, -1, 2**31, 2**63, 0.5])
_scalars = st.none() | st.booleans() | _numbers | st.text(max_size=20)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def answer(case: Case, folder: Path) -> tuple[Any, str]:
    """The exit code and the errors of a command that may end in one clear error, and no other way."""
    output = io.StringIO()
    errors = io.StringIO()
    with limits(), contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = run(case)
    said = errors.getvalue()
    assert "Traceback" not in said, said
    assert code in (0, 1, 2), code
    assert code == 0 or "error: " in said, said
    assert all(character.isprintable() or character == "\n" for character in output.getvalue() + said)
    return code, said


@st.composite
def mutated(draw: Callable[[Any], Any], values: dict[str, Any]) -> dict[str, Any]:
    """The same keys with other values, some of them gone or others, at any depth."""
    result = {}
    for key, value in values.items():
        fate = draw(st.integers(0, 9))
        if isinstance(value, dict) and fate > 1:
            result[key] = draw(mutated(value))
        elif fate == 0:
            result[key] = draw(_values)
        elif fate == 1:
            result[draw(st.text(max_size=8))] = value
        else:
            result[key] = value
    return result


@settings(max_examples=150)
@given(values=mutated(PICK))
def test_a_mutated_yaml_of_a_selection_is_an_error_or_a_plan(good, values):
    case = Case("select_s2l.py --config_file bad.yml --dry_run", "", {"bad.yml": yaml.safe_dump(values)})
    with in_place(case, good):
        before = state_of(good)
        answer(case, good)
        assert state_of(good) == before


@settings(max_examples=60)
@given(values=mutated(FRESH))
def test_a_mutated_yaml_of_a_training_is_an_error_or_a_plan(good, values):
    case = Case("train.py --config_file bad.yml --dry_run", "", {"bad.yml": yaml.safe_dump(values)})
    with in_place(case, good):
        before = state_of(good)
        answer(case, good)
        assert state_of(good) == before


@settings(max_examples=150)
@given(data=st.data())
def test_a_yaml_with_other_bytes_is_an_error_or_a_plan(good, data):
    content = data.draw(other_bytes(FILES["pick.yml"].encode()))
    case = Case("select_s2l.py --config_file bad.yml --dry_run", "", {"bad.yml": content})
    with in_place(case, good):
        answer(case, good)


@st.composite
def other_bytes(draw: Callable[[Any], Any], content: bytes) -> bytes:
    """Bytes that are cut out of a content, put into it or both, at one place."""
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + 8)))
    inserted = draw(
        st.binary(max_size=4) | st.sampled_from([b'"', b"{", b"\\", b"\n", b"\r", b"\0", b"\xff"])
    )
    return content[:start] + inserted + content[end:]


_texts = st.text(min_size=1, max_size=12) | st.sampled_from(
    ["\ud800", "\x1b[31m", "a,b", 'a"b', "a\nb", "a\r"]
)
_cells = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | _texts | st.just([]) | st.just({"a": 1})
)
_rows = st.lists(
    st.fixed_dictionaries({"instruction": _texts | _cells, "output": _texts | _cells}), max_size=4
)


def as_jsonl(rows: list[dict[str, Any]]) -> str | bytes:
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_json(rows: list[dict[str, Any]]) -> str | bytes:
    return json.dumps(rows, indent=1)


def as_csv(rows: list[dict[str, Any]]) -> str | bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, ["instruction", "output"])
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode("utf-8", "surrogatepass")


def as_parquet(rows: list[dict[str, Any]]) -> str | bytes:
    columns = {name: [str(row[name]) for row in rows] for name in ("instruction", "output")}
    return parquet(**columns)


CONTAINERS = {".jsonl": as_jsonl, ".json": as_json, ".csv": as_csv, ".parquet": as_parquet}


@pytest.mark.parametrize("suffix", CONTAINERS)
@settings(max_examples=60)
@given(rows=_rows)
def test_of_a_pool_of_any_rows_none_is_lost(good, suffix, rows):
    try:
        content = CONTAINERS[suffix](rows)
    except UnicodeEncodeError:
        return  # no such file can be written
    chosen = all_rows_of(good, f"bad{suffix}", content)
    assert chosen is None or len(chosen) == len(rows)


@pytest.mark.parametrize("suffix", CONTAINERS)
@settings(max_examples=60)
@given(data=st.data())
def test_a_pool_with_other_bytes_is_an_error_or_wholly_read(good, suffix, data):
    rows = [{"instruction": f"Question {number}?", "output": f"Answer, {number}."} for number in range(3)]
    content = CONTAINERS[suffix](rows)
    content = content.encode() if isinstance(content, str) else content
    chosen = all_rows_of(good, f"bad{suffix}", data.draw(other_bytes(content)))
    assert chosen is None or all(set(row) >= {"instruction", "output"} for row in chosen)


def all_rows_of(folder: Path, name: str, content: str | bytes) -> list[dict[str, Any]] | None:
    """The rows that a selection of all of a pool writes, None where it refuses the pool."""
    words = ["select_s2l.py", "--config_file", "pick.yml", f"data.path={name}", "subset={method: random}"]
    case = Case(shlex.join(words), "", {name: content}, leaves="res/pick")
    with in_place(case, folder):
        code, _ = answer(case, folder)
        if code != 0:
            return None
        subset = folder / "res/pick/subset"
        rows = [json.loads(line) for line in (subset / "subset.jsonl").read_bytes().split(b"\n") if line]
        assert np.load(subset / "indices.npy").tolist() == list(range(len(rows)))
        return rows


_WORDS = [
    "--config_file", "pick.yml", "--dry_run", "--overwrite", "--explain", "--stability", "--inspect",
    "--export", "--ckpt", "--model_path", "--checkpoints", "--wandb_key", "--", "-1", "0", "2", "all",
    "2:3:1", "seed=1",
    "subset.budget=5", "data.limit=30", "subset.steps=[1]", "=", "seed=", "a.b.c=1", "run_name=new",
]  # fmt: skip
_SCRIPTS = [
    "select_s2l.py",
    "train.py",
    "get_trajectories.py",
    "run_distributed_trajectories.py",
    "evaluate_run.py",
]


@pytest.mark.parametrize("script", _SCRIPTS)
@settings(max_examples=60)
@given(words=st.lists(st.sampled_from(_WORDS) | st.text(max_size=12), max_size=6))
def test_any_command_line_is_an_error_or_a_plan(good, script, words):
    yaml_of = {"select_s2l.py": "pick.yml", "train.py": "fresh.yml", "evaluate_run.py": "target.yml"}
    line = [script, "--config_file", yaml_of.get(script, "proxy.yml"), "--dry_run", *words]
    case = Case(shlex.join(line), "")
    before = state_of(good)
    answer(case, good)
    assert state_of(good) == before


@settings(max_examples=60)
@given(
    losses_NT=st.lists(st.lists(st.floats(), min_size=2, max_size=2), min_size=NUM_ROWS, max_size=NUM_ROWS)
)
def test_losses_of_any_numbers_are_an_error_or_all_chosen_by(good, losses_NT):
    file = io.BytesIO()
    np.save(file, np.array(losses_NT, np.float64))
    words = "select_s2l.py --config_file pick.yml subset.budget=1.0"
    case = Case(words, "", {"losses.npy": file.getvalue()}, leaves="res/pick")
    with in_place(case, good):
        code, _ = answer(case, good)
        if code == 0:
            chosen = np.load(good / "res/pick/subset/indices.npy")
            with_losses = np.flatnonzero(~np.isnan(np.array(losses_NT)).any(1))
            assert chosen.tolist() == with_losses.tolist()
