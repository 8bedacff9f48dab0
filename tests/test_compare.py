"""Comparison: what is compared is alike, what is called a difference is more than chance, and costs add up."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import evaluate
from tests.conftest import PROJECT, write_jsonl
from utils.artifacts.manifests import write_manifest
from utils.artifacts.paths import RunPaths
from utils.evaluation.compare import comparison
from utils.evaluation.paired import _student_quantile, bootstrap_interval, mcnemar_p, welch_interval
from utils.evaluation.results import predictions_path, result_path

NUM_QUESTIONS = 40


# ------------------------------------------------------------------------------------------ statistics


@pytest.mark.parametrize(("questions", "shares"), [(7, (0.5, 0.5)), (83, (0.6, 0.5)), (400, (0.3, 0.42))])
def test_the_bootstrap_is_scipys(questions, shares):
    generator = np.random.default_rng(questions)
    ours, theirs = ((generator.random(questions) < share).astype(float) for share in shares)
    expected = stats.bootstrap(
        (ours, theirs),
        lambda one, two, axis: one.mean(axis) - two.mean(axis),
        paired=True,
        vectorized=True,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert bootstrap_interval([ours - theirs], 2000, seed=3) == pytest.approx(tuple(expected), abs=1e-12)


@settings(deadline=None)
@given(
    counts=st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)).filter(
        lambda counts: counts[1] + counts[2] > 0
    )
)
def test_mcnemar_is_statsmodels(counts):
    contingency_tables = pytest.importorskip("statsmodels.stats.contingency_tables", reason="pip install '.[test]'")
    both, only_one, only_other, neither = counts
    one = np.repeat([True, True, False, False], counts)
    other = np.repeat([True, False, True, False], counts)
    expected = contingency_tables.mcnemar([[both, only_one], [only_other, neither]], exact=True).pvalue
    assert mcnemar_p(one, other) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_says_nothing_where_two_runs_agree():
    same = np.array([True, False, True])
    assert mcnemar_p(same, same) == 1.0


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.floats(-5, 5), min_size=2, max_size=6), others=st.lists(st.floats(-5, 5), min_size=2, max_size=6)
)
@pytest.mark.filterwarnings("ignore:Precision loss")
def test_welch_is_scipys(values, others):
    interval = welch_interval(values, others)
    assert interval[0] <= np.mean(values) - np.mean(others) + 1e-9 and interval[1] >= interval[0]
    if max(np.std(values), np.std(others)) < 1e-3:  # scipy divides by what rounding leaves
        return
    expected = stats.ttest_ind(values, others, equal_var=False).confidence_interval(0.95)
    assert interval == pytest.approx(tuple(expected), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 3.7, 10, 200])
def test_students_quantile_is_scipys(freedom):
    assert _student_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-6)


@pytest.mark.parametrize(("questions", "shares"), [(150, (0.55, 0.5)), (400, (0.3, 0.3))])
def test_the_interval_covers_the_true_difference_about_95_percent_of_the_time(questions, shares):
    """Answers of two models that often fail at the same questions, drawn again and again."""
    generator, covered, tries = np.random.default_rng(1), 0, 600
    for seed in range(tries):
        hardness_Q = generator.random(questions)  # shared: the outcomes are correlated, as a benchmark's are
        ours, theirs = ((0.7 * hardness_Q + 0.3 * generator.random(questions)) < share for share in shares)
        low, high = bootstrap_interval([ours.astype(float) - theirs], 400, seed)
        many = 0.7 * np.linspace(0, 1, 20_001)
        true = np.mean(np.clip((shares[0] - many) / 0.3, 0, 1) - np.clip((shares[1] - many) / 0.3, 0, 1))
        covered += low <= true <= high
    assert 0.92 <= covered / tries <= 0.975


def test_the_interval_over_runs_covers_the_true_difference_about_95_percent_of_the_time():
    generator = np.random.default_rng(2)
    intervals = [
        welch_interval(list(generator.normal(1.0, 0.3, 3)), list(generator.normal(0.8, 0.1, 3))) for _ in range(500)
    ]
    assert 0.92 <= np.mean([low <= 0.2 <= high for low, high in intervals]) <= 0.98


# ---------------------------------------------------------------------------------------------- tables


@pytest.fixture
def evaluated(res_dir: Path) -> Callable[..., str]:
    """Writes the records of a trained and evaluated run; what is not said is the same in all of them."""

    def make(name: str, method: str | None, seed: int, loss: float, accuracy: float, **other: Any) -> str:
        num_rows, steps = other.get("num_rows", 50), other.get("steps", 30)
        subset = method and {"method": method, "seed": seed, "budget_rows": num_rows}
        training = {
            "seed": seed,
            "num_rows": num_rows,
            "rows": f"{name}",
            "base_model": f"random weights of seed {seed}",
            "subset": subset,
            "model": other.get("model", "m"),
            "pool": "p",
            "save_steps": [],
            "train_args": other.get("train_args", {"num_train_epochs": 3}),
        }
        made = other.get("made", {"seconds": 2.0 * steps, "devices": 1, "device": "cpu", "continued_from": None})
        work = {"tokens": 10 * num_rows, "response_tokens": 5 * num_rows, "forward_operations": 1e6 * num_rows}
        work["training_operations"] = 3 * work["forward_operations"]
        made = {**made, "work": {**work, "steps_per_epoch": other.get("steps_per_epoch", 10)}}
        last_step = other.get("last_step", steps)
        write_manifest(RunPaths(name).manifest, "training", "complete", training, steps=last_step, provenance=made)
        common = {
            "step": steps,
            "checkpoint": name,
            "base_model": None,
            "limit": None,
            "tokenizer": other.get("tokenizer", "t"),
            "dtype": "float32",
        }
        correct = other.get("correct", [number < accuracy * NUM_QUESTIONS for number in range(NUM_QUESTIONS)])
        measured = {
            "questions": NUM_QUESTIONS,
            "accuracy": accuracy,
            "accuracy_strict": accuracy / 2,
            "cut_off_share": 0.0,
            "loss": loss,
        }
        heldout = {
            **measured,
            "loss_average": loss,
            "accuracy_average": accuracy,
            "by_source": {
                "easy": {"loss": loss - 0.1, "accuracy": 1.0},
                "hard": {"loss": loss + 0.1, "accuracy": None},
            },
        }
        files = {"heldout": other.get("heldout", "abc"), "gsm8k": "def"}
        inputs = {"heldout": {"file": files["heldout"], "pool": "p", "max_length": 9}, "gsm8k": {"file": "def"}}
        folder = RunPaths(name).evaluation
        for file, result in (("heldout", heldout), ("gsm8k", measured)):
            write_manifest(
                result_path(folder, file), "evaluation result", "complete", {**common, **inputs[file]}, **result
            )
            lines = [{"correct": bool(right), "correct_strict": bool(right) and number % 2 == 0}
                     for number, right in enumerate(correct)]  # fmt: skip
            write_jsonl(predictions_path(folder, file), lines)
        write_manifest(folder / "manifest.json", "evaluation", "complete", {**common, "files": files})
        return name

    return make


def row_of(table: str, label: str) -> list[str]:
    """The cells of the first line that begins with this label."""
    (line,) = [line for line in table.splitlines() if line.strip().startswith(label)][:1]
    return line.split(label, 1)[1].replace(" ± ", "±").split()


def words(table: str) -> str:
    return " ".join(table.split())


def test_the_seeds_of_an_arm_are_one_column(evaluated):
    runs = [
        evaluated("s2l_1", "s2l", 1, 0.5, 0.6),
        evaluated("random_1", "random", 1, 0.7, 0.4),
        evaluated("s2l_2", "s2l", 2, 0.6, 0.8),
    ]
    table = comparison(runs)
    assert "A  s2l: 50 examples, step 30; 2 runs: s2l_1 (seed 1); s2l_2 (seed 2)" in table
    assert "B  random: 50 examples, step 30; 1 run: random_1 (seed 1)" in table
    assert row_of(table, "all rows") == ["0.5500±0.0707", "0.7000"]
    assert row_of(table, "easy") == ["0.4500±0.0707", "0.6000"]
    accuracies = words(table).split("benchmark accuracy, paper")[1]
    assert accuracies.startswith(
        " gsm8k 0.7000 ± 0.1414 0.4000 benchmark accuracy, strict gsm8k 0.3500 ± 0.0707 0.2000"
    )
    assert "Equal optimizer steps: 30" in table and "Equal examples: 50" in table
    assert "Equal tokens trained on: 1,500 in A, B" in table
    assert "Arm B: one run. Differences between single seeds say little" in words(table)
    assert all(len(line) <= 100 for line in table.splitlines())


def test_what_arms_differ_in_by_design_is_said(evaluated):
    full = evaluated("full", None, 1, 0.5, 0.6, num_rows=90, steps=60, train_args={"max_steps": 60})
    table = comparison([full, evaluated("s2l", "s2l", 1, 0.6, 0.5)])
    assert "Different optimizer steps: A 60, B 30." in table
    assert "Different examples: A 90, B 50." in table
    assert "Different tokens trained on: A 5,400, B 1,500." in table
    assert "whole pool" in table and "Not alike" not in table


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"model": "large"}, "training: model"),
        ({"train_args": {"num_train_epochs": 3, "learning_rate": 1e-3}}, r"training: train_args\.learning_rate"),
        ({"tokenizer": "u"}, "evaluation: tokenizer"),
        ({"last_step": 60}, "b: evaluated at step 30, its training is finished at step 60"),
    ],
)
def test_arms_that_differ_in_more_than_the_data_are_refused_unless_asked_for(evaluated, other, named):
    runs = [evaluated("a", "s2l", 1, 0.5, 0.6), evaluated("b", "random", 1, 0.6, 0.5, **other)]
    with pytest.raises(ValueError, match=f"(?s)differ in more than the data.*{named}.*--allow_differences"):
        comparison(runs)
    assert f"Not alike: {named}".replace("\\", "") in words(comparison(runs, allow_differences=True))


def test_other_budgets_and_steps_are_other_arms(evaluated):
    runs = [
        evaluated("a", "s2l", 1, 0.5, 0.6),
        evaluated("b", "s2l", 2, 0.5, 0.6, num_rows=40),
        evaluated("c", "s2l", 3, 0.5, 0.6, steps=31),
    ]
    assert row_of(comparison(runs), "runs") == ["1", "1", "1"]


def test_every_arm_is_shown_however_many(evaluated):
    runs = [evaluated(f"run{number}", f"method{number}", 1, 0.5, 0.6) for number in range(6)]
    table = comparison(runs)
    assert all(f": method{number}" in table for number in range(6))
    assert all(len(line) <= 100 for line in table.splitlines())


def test_different_questions_are_refused_by_name(evaluated):
    runs = [evaluated("a", "s2l", 1, 0.5, 0.6), evaluated("b", "random", 1, 0.5, 0.6, heldout="xyz")]
    with pytest.raises(ValueError, match=r"(?s)heldout: .*different questions.*  a: file abc.*  b: file xyz"):
        comparison(runs, allow_differences=True)


def test_what_is_not_there_or_counts_twice_is_refused(evaluated, res_dir):
    one = evaluated("one", "s2l", 1, 0.5, 0.6)
    with pytest.raises(ValueError, match="at least two runs"):
        comparison([one])
    with pytest.raises(ValueError, match="each of them once"):
        comparison([one, one])
    with pytest.raises(FileNotFoundError, match="run 'nobody' has no evaluation"):
        comparison([one, "nobody"])
    twin = evaluated("twin", "s2l", 1, 0.5, 0.6)
    manifest = json.loads(RunPaths(twin).manifest.read_text())
    training = {**manifest["inputs"], "rows": "one"}
    write_manifest(RunPaths(twin).manifest, "training", "complete", training, steps=30, provenance={})
    with pytest.raises(ValueError, match="would count twice"):
        comparison([one, twin])
    write_manifest(RunPaths(twin).evaluation / "manifest.json", "evaluation", "running", {"files": {}})
    with pytest.raises(ValueError, match="not finished"):
        comparison([one, twin])


def test_a_run_may_be_named_by_its_folder(evaluated):
    runs = [evaluated("a", "s2l", 1, 0.5, 0.6), evaluated("b", "random", 1, 0.5, 0.6)]
    folders = [f"{RunPaths(run).root}/" for run in runs]
    assert comparison(folders) == comparison(runs)
    with pytest.raises(ValueError, match="each of them once"):
        comparison([runs[0], folders[0]])


def test_predictions_of_another_result_are_refused(evaluated):
    runs = [evaluated("a", "s2l", 1, 0.5, 0.6), evaluated("b", "random", 1, 0.5, 0.6)]
    write_jsonl(predictions_path(RunPaths("b").evaluation, "gsm8k"), [{"correct": True, "correct_strict": True}])
    with pytest.raises(ValueError, match="found 1 predictions, expected 40"):
        comparison(runs)


def test_comparing_loads_no_torch(evaluated):
    evaluated("a", "s2l", 1, 0.5, 0.6)
    evaluated("b", "random", 1, 0.5, 0.6)
    code = "import sys, evaluate; assert evaluate.main(['--compare', 'a', 'b']) == 0; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)


def test_the_command_takes_the_flag_and_nothing_else(evaluated, capsys):
    evaluated("a", "s2l", 1, 0.5, 0.6)
    evaluated("b", "random", 1, 0.5, 0.6, model="large")
    assert evaluate.main(["--compare", "a", "b"]) == 1
    assert "differ in more than the data" in capsys.readouterr().err
    assert evaluate.main(["--allow_differences", "--compare", "a", "b"]) == 0
    assert "Not alike: training: model" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        evaluate.main(["--compare", "a", "b", "--overwrite"])


# ----------------------------------------------------------------------------------------- differences


def right(number: int, shift: int = 0) -> list[bool]:
    return [(question - shift) % NUM_QUESTIONS < number for question in range(NUM_QUESTIONS)]


def test_a_large_difference_is_shown_and_a_small_one_is_not(evaluated):
    runs = [
        evaluated("s2l", "s2l", 1, 0.5, 0.9, correct=right(36)),
        evaluated("random", "random", 1, 0.7, 0.3, correct=right(12)),
        evaluated("longest", "longest", 1, 0.7, 0.85, correct=right(34)),
    ]
    lines = comparison(runs).split("A minus the others")[1].split("B: random")[1]
    from_random, from_longest = (next(line for line in part.splitlines() if "gsm8k, paper" in line)
                                 for part in lines.split("C: longest")[:2])  # fmt: skip
    assert "+0.6000" in from_random and "<.001" in from_random and from_random.endswith("higher")
    assert "+0.0500" in from_longest and from_longest.endswith("no difference shown")


def test_a_comparison_without_any_difference_says_so(evaluated):
    runs = [
        evaluated("s2l", "s2l", 1, 0.5, 0.5, correct=right(20)),
        evaluated("random", "random", 1, 0.5, 0.5, correct=right(20, shift=3)),
    ]
    assert "In all: no difference shown between A and B." in words(comparison(runs))


def test_a_difference_that_other_seeds_would_undo_is_not_shown(evaluated):
    """Over questions it is far from 0, over runs it is not."""
    runs = [evaluated(f"s2l_{seed}", "s2l", seed, 0.5, 0, correct=right(count))
            for seed, count in enumerate((40, 12))]  # fmt: skip
    runs += [evaluated(f"random_{seed}", "random", seed, 0.5, 0, correct=right(10)) for seed in range(2)]
    line = next(line for line in comparison(runs).splitlines() if "gsm8k, paper" in line)
    _, low_high, over_runs, *_ = line.split("paper")[1].split()
    assert float(low_high.split("..")[0]) > 0 and float(over_runs.split("..")[0]) < 0
    assert line.endswith("no difference shown")


# ---------------------------------------------------------------------------------------------- ledger


@pytest.fixture
def with_proxy(evaluated) -> Callable[..., str]:
    """A pool of 1,000 rows: its proxy, scored at two checkpoints, and a target on 100 of them, three epochs each."""

    def make(needs_trajectories: bool = True, **target: Any) -> str:
        evaluated("proxy", None, 0, 9, 0, num_rows=1000, steps=300, steps_per_epoch=100, model="small")
        folder = RunPaths("proxy").trajectories
        write_manifest(folder / "manifest.json", "trajectories", "complete", {}, device_seconds={"5": 20.0, "9": 30.0})
        settings = {"num_rows": 100, "steps": 30, "made": {"seconds": 400.0, "devices": 2, "device": "cuda",
                    "continued_from": None}, **target}  # fmt: skip
        name = evaluated("s2l", "s2l", 1, 0.5, 0.6, **settings)
        write_manifest(
            RunPaths(name).subset / "manifest.json", "subset", "complete", {},
            num_selectable=990, num_unscorable=10, needs_trajectories=needs_trajectories,
            trajectories={"from": "proxy", "steps": [5, 9]}, seconds={"choosing": 5.0},
        )  # fmt: skip
        return name

    return make


def test_costs_add_up_and_are_set_against_training_on_everything(evaluated, with_proxy):
    other = evaluated("random", "random", 1, 0.5, 0.6)
    table = comparison([with_proxy(), other]).split("cost in ")
    seconds, operations = table[1], table[2]
    assert [row_of(seconds, stage)[0] for stage in ("proxy training", "scoring", "selection", "target")] == [
        "600.0", "50.0", "5.0", "800.0",
    ]  # fmt: skip
    assert row_of(seconds, "in all")[0] == "1,455.0"
    assert row_of(seconds, "training on everything")[0] == "8,000.0"  # ten times the rows at equal epochs
    assert row_of(seconds, "share of that")[0] == "18%"
    # 8 - 0.655 seconds are saved per row of the pool, and the target costs 800.
    assert row_of(seconds, "pays from a pool of (rows)")[0] == "109"
    assert row_of(operations, "proxy training")[0] == "9e+09"  # 3 x forward x 3 epochs of 1,000 rows at 1e6
    assert row_of(operations, "scoring")[0] == "2e+09"
    assert row_of(operations, "target")[0] == "9e+08"
    assert "Training on everything was not run beside A" in words(table[2])


def test_training_on_everything_is_measured_where_it_was_run(evaluated, with_proxy):
    full = evaluated("full", None, 1, 0.5, 0.6, num_rows=1000, steps=300, made={"seconds": 5000.0, "devices": 2,
                     "device": "cuda", "continued_from": None})  # fmt: skip
    table = comparison([with_proxy(), full])
    assert row_of(table, "training on everything") == ["10,000.0", "-"]
    assert "was not run" not in table


def test_a_method_that_looks_at_no_losses_is_not_charged_for_them(evaluated, with_proxy):
    table = comparison([with_proxy(needs_trajectories=False), evaluated("random", "random", 1, 0.5, 0.6)])
    assert row_of(table, "proxy training")[0] == "0.0" and row_of(table, "in all")[0] == "805.0"


def test_a_fixed_number_of_steps_never_pays(evaluated, with_proxy):
    table = comparison([with_proxy(train_args={"max_steps": 30}), evaluated("random", "random", 1, 0.5, 0.6)], True)
    assert row_of(table, "pays from a pool of (rows)")[0] == "none"
    assert "selecting cannot save cost there" in words(table)


def test_a_continued_training_is_charged_for_the_steps_before(evaluated, with_proxy):
    made = {"seconds": 100.0, "devices": 2, "device": "cuda", "continued_from": "checkpoint-20"}
    table = comparison([with_proxy(made=made), evaluated("random", "random", 1, 0.5, 0.6)])
    assert row_of(table, "target")[0] == "600.0"  # 100 s x 2 devices were for 10 of 30 steps


def test_costs_that_no_record_holds_are_not_made_up(evaluated, with_proxy):
    runs = [with_proxy(), evaluated("random", "random", 1, 0.5, 0.6)]
    RunPaths("proxy").manifest.unlink()
    table = comparison(runs)
    assert row_of(table, "proxy training")[0] == "-" and row_of(table, "in all")[0] == "-"
    assert row_of(table, "pays from a pool of (rows)")[0] == "-"
