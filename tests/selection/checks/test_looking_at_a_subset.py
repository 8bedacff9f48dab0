"""select_s2l.py --stability, --explain and --inspect agree with the subset on disk and refuse bad input."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import select_s2l
from utils.artifacts.paths import RunPaths

NUM_ROWS = 400


@pytest.fixture
def config_file(make_target: Callable[..., Path]) -> Path:
    """Rows 0 to 9 are never learnt, row 10 is unscorable."""
    rows = [
        {"source": f"source {row % 2}", "instruction": f"Question {row}?", "output": f"Answer {row // 2}."}
        for row in range(NUM_ROWS)
    ]
    rng = np.random.default_rng(0)
    losses_NT = (
        rng.gamma(2, 1, (NUM_ROWS, 1)) * np.linspace(2, 1, 5) + 0.5 + rng.uniform(0, 0.1, (NUM_ROWS, 5))
    )
    losses_NT[:10] = np.arange(10)[:, None] / 10 + np.linspace(6, 7, 5)
    losses_NT[10, 2] = np.nan
    return make_target(rows, losses_NT, num_clusters=8, budget=80)


def look(config_file: Path, *words: str) -> int:
    return select_s2l.main(["--config_file", str(config_file), *words])


def width_of(text: str) -> int:
    """Columns of the widest line, paths (of which nobody knows how long they are) aside."""
    return max(len(line) for line in text.splitlines() if "/" not in line)


def test_every_row_is_explained_as_the_subset_says(config_file, capsys):
    assert look(config_file) == 0
    chosen = set(np.load(RunPaths("target").subset / "indices.npy").tolist())
    composition = json.loads((RunPaths("target").subset / "composition.json").read_text())
    capsys.readouterr()
    for row in (0, 10, *sorted(chosen)[:3], NUM_ROWS - 1):
        assert look(config_file, "--explain", str(row)) == 0
        text = capsys.readouterr().out
        assert ("is IN the subset" in text) == (row in chosen)
        assert f"Question {row}?" in text and width_of(text) <= 100
        if row != 10:
            source = composition["sources"][f"source {row % 2}"]
            assert f"its source: {source['chosen']} of {source['selectable']}" in text
    assert look(config_file, "--explain", "10") == 0
    assert "not selectable: it has no loss (NaN)" in capsys.readouterr().out


def test_constraints_are_named_as_the_reason(config_file, tmp_path, capsys):
    (tmp_path / "in.txt").write_text("20\n")
    (tmp_path / "out.txt").write_text("21\n")
    (tmp_path / "bench.txt").write_text("Answer 15.\n" * 3)
    settings = [
        f"subset.include={tmp_path}/in.txt",
        f"subset.exclude={tmp_path}/out.txt",
        "subset.deduplicate=exact",
    ]
    assert look(config_file, *settings) == 0
    capsys.readouterr()
    for row, reason in ((20, "it has to be in"), (21, "subset.exclude names it"), (31, "the same response")):
        assert look(config_file, "--explain", str(row), *settings) == 0
        assert reason in capsys.readouterr().out


def test_stability_is_written_beside_the_subset_and_is_the_same_every_time(config_file, capsys):
    assert look(config_file) == 0
    path = RunPaths("target").subset / "stability.json"
    assert look(config_file, "--stability") == 0
    text = capsys.readouterr().out
    bits = path.read_bytes()
    stability = json.loads(bits)
    assert f"{100 * stability['share_of_level']:.1f} %" in text
    assert set(stability["without_checkpoint"]) == {f"col {number}" for number in range(5)}
    assert all(warning[:40] in text for warning in stability["warnings"])
    assert look(config_file, "--stability") == 0
    assert path.read_bytes() == bits
    assert look(config_file) == 0  # the subset stays what it is
    assert path.read_bytes() == bits


def test_inspect_needs_no_subset_and_its_lists_are_filters(config_file, tmp_path, capsys):
    for name in ("rows.txt", "rows.npy"):
        assert look(config_file, "--inspect", "--export", "never_learnt", str(tmp_path / name)) == 0
        text = capsys.readouterr().out
        assert "10 rows never_learnt" in text
        assert width_of(text) <= 100
        exclude = f"subset.exclude={tmp_path / name}"
        assert look(config_file, exclude, f"run_name=without_{name}", "subset.budget=1.0") == 0
        capsys.readouterr()
        left = np.load(RunPaths(f"without_{name}").subset / "indices.npy")
        assert left.tolist() == list(range(11, NUM_ROWS))
    assert {path.name for path in RunPaths("target").root.iterdir()} == {".locks", "inspection.json"}
    inspection = json.loads((RunPaths("target").root / "inspection.json").read_text())
    never = inspection["kinds"]["never_learnt"]
    assert never["rows"] == sum(never["by_source"].values()) == 10 and set(never["clearest"]) <= set(
        range(11)
    )


def test_bad_input_is_refused_in_words(config_file, tmp_path, capsys):
    def refused(*words: str) -> str:
        assert look(config_file, *words) == 1
        return capsys.readouterr().err

    assert "no subset in" in (message := refused("--explain", "3")) and "python select_s2l.py" in message
    assert "no subset in" in refused("--stability")
    assert look(config_file) == 0
    assert f"--explain: found row {NUM_ROWS}, expected 0 to {NUM_ROWS - 1}" in refused(
        "--explain", str(NUM_ROWS)
    )
    assert "found row -1" in refused("--explain=-1")
    assert "made from other inputs" in refused("--explain", "3", "subset.budget=90")
    assert "expected s2l" in refused("--stability", "subset.method=random", "run_name=other")
    assert "give the YAML of that run" in refused("--explain", "3", "run_name=other", "subset.same_as=target")
    assert "subset.budget=40 run_name=" in refused("--explain", "3", "subset.budget=[40, 80]")
    assert "did you mean" in refused("--inspect", "--export", "never_learned", str(tmp_path / "rows.txt"))
    assert ".npy or .txt" in refused("--inspect", "--export", "known", str(tmp_path / "rows"))
    with pytest.raises(SystemExit):
        look(config_file, "--export", "known", str(tmp_path / "rows.txt"))
    with pytest.raises(SystemExit):
        look(config_file, "--inspect", "--stability")
    assert not (tmp_path / "rows.txt").exists()


def test_losses_without_texts_can_be_looked_at(config_file, capsys):
    settings = ["data=null", "run_name=numbers"]
    assert look(config_file, *settings) == 0
    capsys.readouterr()
    for words in (["--inspect"], ["--explain", "3"], ["--stability"]):
        assert look(config_file, *words, *settings) == 0
        assert width_of(capsys.readouterr().out) <= 100
