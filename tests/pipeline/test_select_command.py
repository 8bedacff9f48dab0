"""The command select_s2l.py: exit codes, messages, and the same bits from every process."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import select_s2l
from tests.conftest import PROJECT, run_script
from utils.artifacts.paths import RunPaths

NUM_ROWS = 4000  # faiss, left to itself, would hand these to BLAS, which rounds as it likes
NUM_CHECKPOINTS = 40


@pytest.fixture
def config_file(make_target: Callable[..., Path]) -> Path:
    rows = [
        {"source": f"source {row % 2}", "instruction": f"Question {row}?", "output": "Yes."}
        for row in range(NUM_ROWS)
    ]
    rng = np.random.default_rng(0)
    losses_NT = rng.gamma(2, 1, (NUM_ROWS, 1)) * rng.uniform(0.9, 1.1, (NUM_ROWS, NUM_CHECKPOINTS))
    return make_target(rows, losses_NT, num_clusters=100, budget=0.25)


LATER_WORK = [f"subset.{key}" for key in ("features=whitened", "pick=stable", "source_exponent=0.3")]


@pytest.mark.parametrize(
    ("preset", "num_checkpoints", "settings"),
    [
        ("released", 40, []),
        ("paper", 40, []),
        ("released", 12, []),
        ("paper", 12, []),
        ("released", 12, LATER_WORK),
    ],
)
def test_same_bits_from_every_process_number_of_threads_and_instruction_set(
    config_file, preset, num_checkpoints, settings, monkeypatch
):
    losses = Path(config_file).with_name("losses.npy")
    np.save(
        losses, np.ascontiguousarray(np.load(losses)[:, :num_checkpoints])
    )  # faiss has kernels for up to 32
    bits = set()
    for run_name, variable, value in (
        ("one", "OMP_NUM_THREADS", "1"),
        ("two", "OMP_NUM_THREADS", "2"),
        ("avx2", "FAISS_SIMD_LEVEL", "AVX2"),
    ):
        monkeypatch.setenv(variable, value)
        overrides = [
            f"run_name={run_name}",
            f"subset.preset={preset}",
            "subset.init=kmeans++",
            "subset.num_restarts=2",
            *settings,
        ]
        run_script("select_s2l.py", "--config_file", config_file, *overrides)
        folder = RunPaths(run_name).subset
        bits.add(
            tuple((folder / name).read_bytes() for name in ("indices.npy", "clusters.npy", "subset.jsonl"))
        )
    assert len(bits) == 1


def test_a_command_succeeds_once_and_then_says_that_all_is_there(config_file, capsys):
    assert select_s2l.main(["--config_file", str(config_file)]) == 0
    output = capsys.readouterr().out
    assert (
        "1,000 rows, 25.0 %" in output and "source 0" in output and str(RunPaths("target").subset) in output
    )
    assert max(map(len, output.split("\n\n")[1].splitlines())) <= 100
    times = {path: path.stat().st_mtime_ns for path in RunPaths("target").subset.iterdir()}
    assert select_s2l.main(["--config_file", str(config_file)]) == 0
    assert "already there" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in RunPaths("target").subset.iterdir()} == times


def test_errors_are_one_message_and_exit_code_1(config_file, capsys):
    command = ["--config_file", str(config_file)]
    assert select_s2l.main([*command, "subset.budget=9999"]) == 1
    assert "error: subset.budget: found 9,999 rows, but only 4,000" in capsys.readouterr().err
    assert select_s2l.main([*command, "subset=null"]) == 1
    assert "subset: missing, and this command needs it" in capsys.readouterr().err
    assert select_s2l.main([*command, "data.path=nowhere.jsonl"]) == 1
    assert "nowhere.jsonl does not exist" in capsys.readouterr().err
    assert not RunPaths("target").root.exists()


def test_flags_and_overrides_may_stand_in_any_order(config_file, capsys):
    assert (
        select_s2l.main(
            ["subset.budget=10", "--dry_run", "subset.method=random", "--config_file", str(config_file)]
        )
        == 0
    )
    assert "random (seed 42)" in capsys.readouterr().out
    assert not RunPaths("target").root.exists()
    for budget in (10, 20):
        words = [
            "--overwrite",
            f"subset.budget={budget}",
            "--config_file",
            str(config_file),
            "subset.method=random",
        ]
        assert select_s2l.main(words) == 0
    assert len(np.load(RunPaths("target").subset / "indices.npy")) == 20


def test_selection_imports_no_torch_transformers_or_datasets(config_file, res_dir):
    program = (
        "import sys, select_s2l; "
        f"assert select_s2l.main(['--config_file', {str(config_file)!r}]) == 0; "
        "assert not {'torch', 'transformers', 'datasets'} & set(sys.modules)"
    )
    run_script("-c", program, S2L_RES_DIR=str(res_dir), PYTHONPATH=str(PROJECT))


def test_the_benchmarks_run():
    answer = run_script(
        "benchmarks/selection.py", "--num_examples", "2000", "--num_checkpoints", "3", "--num_sources", "2"
    )
    for what in ("first", "again", "inspect", "explain", "stability"):
        assert f"preset released, {what}: " in answer.stdout and f"preset paper, {what}: " in answer.stdout
    without = ["--without_texts", "--num_examples", "1e4", "--presets", "released"]
    assert "MB own" in run_script("benchmarks/selection.py", *without).stdout
    planted = run_script("benchmarks/planted.py", "--num_seeds", "1").stdout
    assert "kmeans++, num_restarts 10: 20.0 of 20, 1.000, 5.0 and 5.0" in planted
    greedy = run_script("benchmarks/greedy.py", "--num_examples", "300", "--num_dimensions", "8").stdout
    assert "facility_location" in greedy and "k_center" in greedy
