"""Comparison: only like is compared, what is called a difference is more than chance, and costs add up."""

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import compare_runs
from tests.artifacts.examples import LAUNCH, PROVENANCE, SUBSET, TRAJECTORIES, manifest_json
from tests.conftest import PROJECT, write_jsonl
from utils.artifacts.comparisons import Comparison, Cost, Difference, Payback, comparison_name
from utils.artifacts.evaluations import (
    EvaluationManifest,
    identity_of_evaluation_of,
    predictions_path,
    result_path,
)
from utils.artifacts.files import write_json
from utils.artifacts.paths import RunPaths, comparison_path, manifest_in
from utils.artifacts.trainings import TrainingManifest
from utils.artifacts.trajectories.identity import identity_of_steps
from utils.artifacts.trajectories.manifest import TrajectoriesManifest
from utils.config.schema import SELECTION_PRESETS
from utils.experiments.compare import compare
from utils.experiments.differences import differences_of
from utils.experiments.labels import ExperimentLabel, label_of, told_apart
from utils.experiments.runs import group_into_arms, read_run
from utils.experiments.statistics import (
    accuracy_interval,
    bootstrap_interval,
    mcnemar_p,
    mean_interval,
    paired_interval,
    welch_interval,
)
from utils.reporting.page.facts import ComparisonFacts
from utils.reporting.page.tiles import headlines
from utils.reporting.text.comparison import comparison_text

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


@given(
    counts=st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)).filter(
        lambda counts: counts[1] + counts[2] > 0
    )
)
def test_mcnemar_is_statsmodels(counts):
    contingency_tables = pytest.importorskip(
        "statsmodels.stats.contingency_tables", reason="pip install '.[test]'"
    )
    both, only_one, only_other, neither = counts
    one = np.repeat([True, True, False, False], counts)
    other = np.repeat([True, False, True, False], counts)
    expected = contingency_tables.mcnemar([[both, only_one], [only_other, neither]], exact=True).pvalue
    assert mcnemar_p(one, other) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_says_nothing_where_two_runs_agree():
    same = np.array([True, False, True])
    assert mcnemar_p(same, same) == 1.0


@settings(max_examples=40)
@given(
    values=st.lists(st.floats(-5, 5), min_size=2, max_size=6),
    others=st.lists(st.floats(-5, 5), min_size=2, max_size=6),
)
def test_welch_is_the_formula_of_its_definition(values, others):
    if max(np.std(values), np.std(others)) < 1e-3:  # what rounding leaves of a variance is none
        return
    parts = [np.var(runs, ddof=1) / len(runs) for runs in (values, others)]
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(runs) - 1) for part, runs in zip(parts, (values, others), strict=True)
    )
    half = stats.t.ppf(0.975, freedom) * np.sqrt(sum(parts))
    difference = np.mean(values) - np.mean(others)
    assert welch_interval(values, others) == pytest.approx(
        (difference - half, difference + half), rel=1e-6, abs=1e-9
    )


@pytest.mark.parametrize("values", [[0.4, 0.5], [0.1, 0.2, 0.4, 0.8], [0.5, 0.5]])
def test_the_interval_of_a_mean_is_student_s(values):
    middle = np.mean(values)
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    assert mean_interval(values) == pytest.approx((middle - half, middle + half))


@pytest.mark.parametrize(("values", "others"), [([0.5, 0.5], [0.25, 0.25]), ([1.0, 1.0], [1.0, 1.0, 1.0])])
def test_runs_that_do_not_vary_have_an_interval_of_a_point(values, others):
    assert welch_interval(values, others) == (values[0] - others[0], values[0] - others[0])


@pytest.mark.parametrize("others", [[0.35, 0.55, 0.8], [0.3, 0.6, 0.9]])
def test_the_interval_of_pairs_is_scipy_s(others):
    values = [0.3, 0.5, 0.9]
    expected = stats.ttest_rel(values, others).confidence_interval(0.95)
    assert paired_interval(values, others) == pytest.approx(tuple(expected))


def test_differences_that_are_alike_but_for_rounding_have_an_interval_of_a_point():
    low, high = paired_interval([0.3, 0.4, 0.7], [0.2, 0.3, 0.6])
    assert low == high == pytest.approx(0.1)
    assert paired_interval([0.1 + 0.2, 0.6], [0.3, 0.6]) == (0, 0)


def test_answers_that_are_all_wrong_do_not_have_an_interval_of_a_point():
    assert accuracy_interval(np.zeros(60)) == pytest.approx((0, 1 - 0.025 ** (1 / 60)))
    assert accuracy_interval(np.ones(60)) == pytest.approx((0.025 ** (1 / 60), 1))
    some = np.repeat([0.0, 1.0], 30)
    assert accuracy_interval(some) == bootstrap_interval([some])


def test_a_single_question_is_drawn_as_it_is():
    assert bootstrap_interval([np.array([1.0])]) == (1.0, 1.0)
    assert bootstrap_interval([np.array([1.0]), np.array([0.0, 0.0])]) == (0.5, 0.5)


@pytest.mark.parametrize(("questions", "shares"), [(150, (0.55, 0.5)), (400, (0.3, 0.3))])
def test_the_interval_covers_the_true_difference_about_95_percent_of_the_time(questions, shares):
    """Answers of two models that often fail at the same questions, drawn again and again."""
    generator = np.random.default_rng(1)
    covered = 0
    tries = 600
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
        welch_interval(list(generator.normal(1.0, 0.3, 3)), list(generator.normal(0.8, 0.1, 3)))
        for _ in range(500)
    ]
    assert 0.92 <= np.mean([low <= 0.2 <= high for low, high in intervals]) <= 0.98


# ---------------------------------------------------------------------------------------------- tables


@pytest.fixture
def evaluated(res_dir: Path) -> Callable[..., str]:
    """Writes the records of a trained and evaluated run; what is not said is the same in all of them."""

    def make(name: str, method: str | None, seed: int, loss: float, accuracy: float, **other: Any) -> str:
        num_rows = other.get("num_rows", 50)
        steps = other.get("steps", 30)
        subset = method and {
            "method": method,
            "seed": seed,
            "budget_rows": num_rows,
            **other.get("subset", {}),
        }
        training = {
            "seed": seed,
            "num_rows": num_rows,
            "rows": f"{name}",
            "base_model": other.get("base_model", "weights"),
            "subset": subset,
            "model": {"name_or_path": other.get("model", "m"), "architecture": other.get("architecture")},
            "pool": "p",
            "save_steps": [],
            "global_batch_size": other.get("global_batch_size", 5),
            "train_args": other.get("train_args", {"num_train_epochs": 3}),
        }
        launch = other.get(
            "launch", {"seconds": 2.0 * steps, "devices": 1, "device": "cpu", "continued_from": None}
        )
        work = {
            "tokens": other.get("tokens", 10 * num_rows),
            "response_tokens": 5 * num_rows,
            "forward_operations": 1e6 * num_rows,
            "training_operations": 3e6 * num_rows,
            **other.get("work", {}),
        }
        launch = {**LAUNCH, **launch, "work": {**work, "steps_per_epoch": other.get("steps_per_epoch", 10)}}
        last_step = other.get("last_step", steps)
        manifest = manifest_json("training", "complete", training, steps=last_step, provenance=launch)
        write_json(RunPaths(name).manifest, manifest)
        common = {
            "step": steps,
            "checkpoint": name,
            "base_model": None,
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
        files = {file: files[file] for file in other.get("files", files)}
        limit = {"limit": other.get("limit")}
        inputs = {
            "heldout": {"file": files["heldout"], "pool": "p", "max_length": 9},
            "gsm8k": {"file": "def"},
        }
        folder = RunPaths(name).evaluation
        for file, result in (("heldout", heldout), ("gsm8k", measured)):
            if file not in files:
                continue
            of_file = {**common, **limit, **inputs[file]}
            manifest = manifest_json(
                "evaluation result", "complete", of_file, **result, provenance=PROVENANCE
            )
            write_json(result_path(folder, file), manifest)
            lines = [{"correct": bool(right), "correct_strict": bool(right) and number % 2 == 0}
                     for number, right in enumerate(correct)]  # fmt: skip
            write_jsonl(predictions_path(folder, file), lines)
        write_evaluation(name, {**common, "files": files})
        return name

    return make


def write_evaluation(name: str, inputs: dict[str, Any]) -> None:
    manifest = manifest_json("evaluation", "complete", inputs, provenance=PROVENANCE)
    write_json(RunPaths(name).evaluation_manifest, manifest)


def value_of(
    comparison: Comparison, arm: str, question_set: str, name: str, source: str | None = None
) -> list[float]:
    """The values of an arm's runs."""
    key = (question_set, name, source)
    measures = [
        measure
        for measure in comparison.measures
        if (measure.question_set, measure.name, measure.source) == key
    ]
    return [
        measure.values[run]
        for measure in measures
        for run in comparison.arm(arm).runs
        if run in measure.values
    ]


def difference_of(comparison: Comparison, arm: str, measure: str, *question_sets: str) -> Difference:
    (match,) = [difference for difference in comparison.differences
                if (difference.arm, difference.measure) == (arm, measure)
                and difference.question_sets == list(question_sets)]  # fmt: skip
    return match


def test_proxies_that_differ_in_their_seed_alone_make_one_arm(evaluated):
    """And such as differ in anything else, or in the checkpoints that are used, do not."""
    for seed, size in ((1, "small"), (2, "small"), (3, "large")):
        evaluated(f"proxy_{seed}", None, seed, 9, 0, num_rows=1000, model=size)
        write_json(RunPaths(f"proxy_{seed}").trajectories_manifest, TRAJECTORIES)

    def chosen_by(proxy: int, steps: list[int] | None = None) -> str:
        trajectories = {"trajectories": f"hash of {proxy} {steps}"}
        name = f"s2l_{proxy}_{steps}".replace("[", "").replace("]", "")
        evaluated(name, "s2l", min(proxy, 2), 0.5, 0.6, subset=trajectories)
        subset = {"trajectories_from": f"proxy_{proxy}", "steps": steps}
        RunPaths(name).config.write_text(yaml.safe_dump({"run_name": name, "subset": subset}))
        return name

    comparison = compare([chosen_by(1), chosen_by(2), chosen_by(3), chosen_by(1, [2])])
    assert [arm.runs for arm in comparison.arms] == [
        ["s2l_1_None", "s2l_2_None"], ["s2l_3_None"], ["s2l_1_2"],
    ]  # fmt: skip


def test_seeds_chosen_by_a_proxy_before_and_after_it_was_made_anew_are_no_arm(evaluated):
    evaluated("proxy", None, 1, 9, 0, num_rows=1000)
    scored = {**TRAJECTORIES, "checkpoints": {"5": "five", "9": "nine"}}
    write_json(RunPaths("proxy").trajectories_manifest, scored)
    manifest = TrajectoriesManifest.read(RunPaths("proxy").trajectories_manifest)
    now = identity_of_steps(manifest, [5, 9])
    for seed, identity in enumerate((now, now, "of the proxy before")):
        name = evaluated(f"s2l_{seed}", "s2l", seed, 0.5, 0.6, subset={"trajectories": identity})
        settings = {"run_name": name, "subset": {"trajectories_from": "proxy", "steps": None}}
        RunPaths(name).config.write_text(yaml.safe_dump(settings))
        inputs = {**SUBSET["inputs"], "trajectories": identity}
        subset = {**SUBSET, "inputs": inputs, "trajectories": {"from": "proxy", "steps": [5, 9]}}
        write_json(manifest_in(RunPaths(name).subset), subset)
    comparison = compare(["s2l_0", "s2l_1", "s2l_2"])
    assert [arm.runs for arm in comparison.arms] == [["s2l_0", "s2l_1"], ["s2l_2"]]
    anew = f"That is not known: {RunPaths('proxy').root} was trained or scored anew since."
    assert [remark for remark in comparison.remarks if anew in remark]


def test_what_is_left_of_a_proxy_and_its_choice_keeps_an_arm_together_or_says_why_not(evaluated):
    for seed in (0, 1):
        evaluated(f"proxy_{seed}", None, seed, 9, 0, num_rows=1000)
        scored = {**TRAJECTORIES, "checkpoints": {"5": f"five of {seed}"}}
        write_json(RunPaths(f"proxy_{seed}").trajectories_manifest, scored)
        manifest = TrajectoriesManifest.read(RunPaths(f"proxy_{seed}").trajectories_manifest)
        identity = identity_of_steps(manifest, [5])
        name = evaluated(f"s2l_{seed}", "s2l", seed, 0.5, 0.6, subset={"trajectories": identity})
        inputs = {**SUBSET["inputs"], "trajectories": identity}
        subset = {**SUBSET, "inputs": inputs, "trajectories": {"from": f"proxy_{seed}", "steps": [5]}}
        write_json(manifest_in(RunPaths(name).subset), subset)
        evaluated(f"random_{seed}", "random", seed, 0.5, 0.6)
    names = ["s2l_0", "s2l_1", "random_0", "random_1"]
    assert [arm.runs for arm in compare(names).arms] == [names[:2], names[2:]], "without a config.yml"

    RunPaths("proxy_0").manifest.unlink()
    comparison = compare(names)
    assert [arm.runs for arm in comparison.arms] == [["s2l_0"], ["s2l_1"], names[2:]]
    said = " ".join(comparison.remarks)
    assert "Arms A, B are one if the proxies that chose their rows differ in their seeds alone." in said
    assert f"That is not known: {RunPaths('proxy_0').manifest} is not there." in said


def test_random_first_weights_and_the_rows_of_a_token_budget_follow_from_the_seed(evaluated):
    runs = [
        evaluated(
            f"s2l_{seed}", "s2l", seed, 0.5, 0.6, num_rows=50 + seed, steps=30 + seed, model=None,
            architecture={"model_type": "llama"}, base_model=f"of seed {seed}",
            subset={"budget_tokens": 900, "budget_rows": None},
        )
        for seed in range(3)
    ]  # fmt: skip
    other = evaluated("random", "random", 0, 0.5, 0.6, model=None, architecture={"model_type": "llama"})
    assert [arm.runs for arm in compare([*runs, other]).arms] == [runs, ["random"]]


def test_seeds_whose_losses_drop_another_number_of_rows_are_one_arm(evaluated):
    """As many of the rows that are left as the budget's share of them is."""
    budget = {"budget_fraction": 0.1, "budget_rows": None, "drop": ["never_learnt"]}
    runs = [evaluated(f"s2l_{n}", "s2l", n, 0.5, 0.6, num_rows=50 + n, subset=budget) for n in range(3)]
    less = evaluated("less", "s2l", 0, 0.5, 0.6, num_rows=40, subset={**budget, "budget_fraction": 0.08})
    assert [arm.runs for arm in compare([*runs, less]).arms] == [runs, [less]]


def test_the_seeds_of_an_arm_belong_together(evaluated):
    runs = [
        evaluated("s2l_1", "s2l", 1, 0.5, 0.6),
        evaluated("random_1", "random", 1, 0.7, 0.4),
        evaluated("s2l_2", "s2l", 2, 0.6, 0.8),
    ]
    comparison = compare(runs)
    assert [(arm.letter, arm.label, arm.runs) for arm in comparison.arms] == [
        ("A", "s2l", ["s2l_1", "s2l_2"]), ("B", "random", ["random_1"]),
    ]  # fmt: skip
    assert [(run.name, run.arm, run.seed, run.subset_seed) for run in comparison.runs] == [
        ("s2l_1", "A", 1, 1), ("s2l_2", "A", 2, 2), ("random_1", "B", 1, 1),
    ]  # fmt: skip
    assert {(arm.num_examples, arm.step, arm.last_step, arm.num_tokens) for arm in comparison.arms} == {
        (50, 30, 30, 1500)
    }
    assert value_of(comparison, "A", "heldout", "loss") == [0.5, 0.6] and value_of(
        comparison, "B", "heldout", "loss"
    ) == [0.7]
    assert value_of(comparison, "A", "heldout", "loss", "easy") == [0.4, 0.5]
    assert value_of(comparison, "B", "heldout", "accuracy", "hard") == [], (
        "what was not measured has no value"
    )
    assert value_of(comparison, "A", "gsm8k", "accuracy") == [0.6, 0.8]
    assert value_of(comparison, "A", "gsm8k", "accuracy_strict") == [0.3, 0.4]
    assert {"Equal optimizer steps: 30 in A, B.", "Equal examples: 50 in A, B.",
            "Equal tokens trained on: 1,500 in A, B."} <= set(comparison.remarks)  # fmt: skip
    assert any(
        remark.startswith("Arm B: one run. Differences between single seeds") for remark in comparison.remarks
    )


def test_the_tokens_of_an_arm_are_the_mean_over_its_runs(evaluated):
    """Each seed draws other rows; which seed comes first says nothing."""
    tokens = {"s2l": (500, 560), "random": (560, 500)}
    comparison = compare([
        evaluated(f"{method}_{seed}", method, seed, 0.5, 0.6, tokens=tokens[method][seed])
        for method in tokens for seed in (0, 1)
    ])  # fmt: skip
    assert [arm.num_tokens for arm in comparison.arms] == [1590, 1590]
    assert "Equal tokens trained on: 1,590 in A, B." in comparison.remarks


def test_what_arms_differ_in_by_design_is_said(evaluated):
    full = evaluated("full", None, 1, 0.5, 0.6, num_rows=90, steps=60, train_args={"max_steps": 60})
    comparison = compare([full, evaluated("s2l", "s2l", 1, 0.6, 0.5)])
    assert {"Different optimizer steps: A 60, B 30.", "Different examples: A 90, B 50.",
            "Different tokens trained on: A 5,400, B 1,500."} <= set(comparison.remarks)  # fmt: skip
    assert comparison.arms[0].label == "whole pool" and not comparison.unlike


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"model": "large"}, "training: model"),
        ({"base_model": "weights that were replaced"}, "training: base_model"),
        (
            {"train_args": {"num_train_epochs": 3, "learning_rate": 1e-3}},
            r"training: train_args\.learning_rate",
        ),
        ({"tokenizer": "u"}, "evaluation: tokenizer"),
        ({"last_step": 60}, "b: evaluated at step 30, its training is finished at step 60"),
    ],
)
def test_arms_that_differ_in_more_than_the_data_are_refused_unless_asked_for(evaluated, other, named):
    runs = [evaluated("a", "s2l", 1, 0.5, 0.6), evaluated("b", "random", 1, 0.6, 0.5, **other)]
    with pytest.raises(ValueError, match=f"(?s)differ in more than the data.*{named}.*--allow_differences"):
        compare(runs)
    assert named.replace("\\", "") in compare(runs, allow_differences=True).unlike


def test_other_budgets_and_steps_are_other_arms(evaluated):
    runs = [
        evaluated("a", "s2l", 1, 0.5, 0.6),
        evaluated("b", "s2l", 2, 0.5, 0.6, num_rows=40),
        evaluated("c", "s2l", 3, 0.5, 0.6, steps=31),
    ]
    assert [arm.runs for arm in compare(runs).arms] == [["a"], ["b"], ["c"]]


def test_arms_are_told_apart_by_the_fewest_settings_that_do(evaluated):
    def run(name: str, method: str, clusters: int, rows: int = 50, **other: Any) -> str:
        return evaluated(name, method, 1, 0.5, 0.6, subset={"num_clusters": clusters}, num_rows=rows, **other)

    few = run("few", "s2l", 2)
    many = run("many", "s2l", 100)
    assert [arm.label for arm in compare([few, many, run("r", "random", 1)]).arms] == [
        "s2l, num_clusters 2", "s2l, num_clusters 100", "random",
    ]  # fmt: skip
    arms = compare([few, many, run("less", "s2l", 2, rows=40)]).arms
    assert [arm.told_apart_by for arm in arms] == [
        {"budget": 50, "num_clusters": 2}, {"budget": 50, "num_clusters": 100},
        {"budget": 40, "num_clusters": 2},
    ]  # fmt: skip
    longer = run("longer", "s2l", 2, train_args={"num_train_epochs": 6})
    assert [arm.told_apart_by for arm in compare([few, longer]).arms] == [
        {"train_args.num_train_epochs": 3}, {"train_args.num_train_epochs": 6},
    ]  # fmt: skip


def test_a_preset_is_told_by_its_name_and_an_exponent_with_what_it_is_of(evaluated):
    released = SELECTION_PRESETS["released"]
    variants = {
        "plain": released,
        "fall": SELECTION_PRESETS["fall"],
        "rows": {**released, "source_exponent": 1.0},
        "paper": SELECTION_PRESETS["paper"],
    }
    names = [evaluated(name, "s2l", 1, 0.5, 0.6, subset=subset) for name, subset in variants.items()]
    assert [arm.label for arm in compare(names[:3]).arms] == [
        "s2l", "s2l, preset fall", "s2l, source_exponent 1.0, source_weight rows",
    ]  # fmt: skip
    assert [arm.label for arm in compare(names).arms] == [
        "s2l, preset released", "s2l, preset fall",
        "s2l, preset released, source_exponent 1.0, source_weight rows", "s2l, preset paper",
    ]  # fmt: skip


def test_in_an_experiment_arms_are_called_as_its_yaml_calls_them(evaluated):
    fall = [evaluated(f"f{s}", "s2l", s, 0.5, 0.6, subset=SELECTION_PRESETS["fall"]) for s in (1, 2)]
    clean = [evaluated(f"c{s}", "s2l", s, 0.5, 0.6, subset={"drop": ["identical"]}) for s in (1, 2)]
    names = [*fall, *clean, evaluated("r", "random", 1, 0.5, 0.6)]
    labels = {
        **dict.fromkeys(fall, ExperimentLabel("mine", {"method": "s2l", "preset": "fall"})),
        **dict.fromkeys(clean, ExperimentLabel("clean", {"method": "s2l", "drop": ["identical"]})),
        "r": ExperimentLabel("random", {}),
    }
    comparison = compare(names, labels=labels)
    assert [arm.label for arm in comparison.arms] == ["mine", "clean", "random"]
    assert [arm.title for arm in comparison.arms] == [
        "A: mine (s2l, preset fall)", 'B: clean (s2l, drop ["identical"])', "C: random",
    ]  # fmt: skip
    assert comparison_text(comparison).startswith("A: mine (s2l, preset fall) against B: clean (s2l,")


def test_of_many_variants_each_is_told_by_what_is_unusual_in_it():
    usual = {"init": "random", "pick": "random", "features": "losses"}
    variants = [{}, {"init": "kmeans++"}, {"pick": "stable"}, {"features": "shape"}]
    arms = [("s2l", {**usual, "rows": 50, **variant}) for variant in variants]
    arms.append(("s2l", {**usual, "drop": ["identical"], "rows": 40}))
    assert told_apart(arms) == [
        {}, {"init": "kmeans++"}, {"pick": "stable"}, {"features": "shape"}, {"drop": ["identical"]},
    ]  # fmt: skip


def test_a_setting_that_an_arm_does_not_have_is_not_one_that_is_null():
    usual = dict.fromkeys("xyzwv", 0)
    without_x = dict.fromkeys("yzwv", 0)
    others = [{**usual, name: 1} for name in "yzwv"]
    own = told_apart([("m", settings) for settings in ({**usual, "x": None}, without_x, *others)])
    assert own[:2] == [{"x": None}, {"x": "not set"}]


def test_two_base_models_are_told_apart(evaluated):
    for name in ("one", "two"):
        path = RunPaths(evaluated(name, None, 1, 0.5, 0.6)).evaluation_manifest
        inputs = EvaluationManifest.read(path).inputs
        write_evaluation(name, {**inputs, "step": 0, "base_model": name})
    comparison = compare(["one", "two"])
    assert [arm.label for arm in comparison.arms] == [
        "base model, run one",
        "base model, run two",
    ]
    assert [run.seed for run in comparison.runs] == [None, None] and comparison.arms[0].num_examples == 0


_SETTINGS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([1, 2, None, "x"]), max_size=6)


@given(arms=st.lists(st.tuples(st.sampled_from(["s2l", "random"]), _SETTINGS), min_size=1, max_size=6,
                     unique_by=lambda arm: (arm[0], tuple(sorted(arm[1].items(), key=str)))))  # fmt: skip
def test_no_two_arms_have_one_label_and_no_label_could_be_shorter(arms):
    own = told_apart(arms)
    labels = [label_of(method, settings) for (method, _), settings in zip(arms, own, strict=True)]
    assert len(set(labels)) == len(arms)
    for method in {method for method, _ in arms}:
        group = [settings for (of_arm, settings) in arms if of_arm == method]
        keys = {key for (of_arm, _), mine in zip(arms, own, strict=True) if of_arm == method for key in mine}
        if len(keys) <= 3:
            for key in keys:
                fewer = [{name: arm[name] for name in keys - {key} if name in arm} for arm in group]
                assert len({json.dumps(arm, sort_keys=True) for arm in fewer}) < len(group), (
                    f"{key} is not needed"
                )


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_text_is_readable_at_every_width_and_cuts_no_name(evaluated, width):
    steps = list(range(512, 6145, 512))
    runs = [
        evaluated(
            f"run{number}", "a_method_of_a_long_name", 1, 0.5, 0.6, subset={"steps_used": steps[number:]}
        )
        for number in range(7)
    ]
    comparison = compare(runs)
    lines = comparison_text(comparison, width).splitlines()
    assert all(len(line) <= width or line.strip() in {arm.title for arm in comparison.arms} for line in lines)
    heads = " ".join(" ".join(lines).split())
    assert all(f"{arm.letter}: " in heads for arm in comparison.arms) and "..." not in heads
    assert all(str(steps[number:]).split()[-1] in heads for number in range(7))
    assert lines[0].startswith("A: a_method"), "the verdict is first"


def test_the_verdict_comes_first_and_the_data_is_on_disk(evaluated, capsys):
    evaluated("s2l", "s2l", 1, 0.5, 0.9, correct=right(36))
    evaluated("random", "random", 1, 0.7, 0.3, correct=right(12))
    assert compare_runs.main(["s2l", "random"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("A: s2l against B: random: higher heldout, paper (+0.6000)")
    written = json.loads(comparison_path("s2l_vs_random").read_text())
    assert written["kind"] == "comparison" and "provenance" in written
    shown = dataclasses.asdict(compare(["s2l", "random"]))
    assert {name: written[name] for name in shown} == json.loads(json.dumps(shown))


def test_a_comparison_says_which_evaluations_it_is_of(evaluated):
    """By their weights, questions and settings, so that a reader sees whether they are those of now."""
    first, second = (evaluated(f"s2l_{number}", "s2l", number, 0.5, 0.9) for number in (1, 2))
    before, other = compare([first, second]).runs
    assert before.evaluation == identity_of_evaluation_of(first) != other.evaluation
    inputs = EvaluationManifest.read(RunPaths(first).evaluation_manifest).inputs
    write_evaluation(first, {**inputs, "checkpoint": "trained anew"})
    assert before.evaluation != identity_of_evaluation_of(first)


def test_a_name_of_a_comparison_fits_a_file_system_and_follows_from_the_runs():
    many = [f"a_rather_long_name_of_a_run_seed{number}" for number in range(40)]
    assert comparison_name(["a", "b"]) == "a_vs_b" != comparison_name(["b", "a"])
    assert len(comparison_name(many)) < 200 and comparison_name(many) == comparison_name(list(many))
    assert comparison_name(many) != comparison_name([*many[:-1], "other"])
    assert len(comparison_name(["x" * 255, "y" * 255])) < 200


def test_a_limit_that_leaves_the_same_questions_is_no_difference(evaluated):
    runs = [evaluated("a", "s2l", 1, 0.5, 0.6), evaluated("b", "random", 1, 0.5, 0.6, limit=1000)]
    assert len(compare(runs).arms) == 2


def test_a_question_set_that_a_run_was_not_asked_is_named(evaluated):
    runs = [evaluated("a", "s2l", 1, 0.5, 0.6), evaluated("b", "random", 1, 0.5, 0.6),
            evaluated("c", "random", 2, 0.5, 0.6, files=["heldout"])]  # fmt: skip
    comparison = compare(runs)
    assert "gsm8k was not measured in c: arm B has no value there." in comparison.remarks
    assert not [difference for difference in comparison.differences if "gsm8k" in difference.question_sets]
    assert value_of(comparison, "B", "gsm8k", "accuracy") == [0.6], "the data keeps what one of its runs has"


def test_different_questions_are_refused_by_name(evaluated):
    runs = [evaluated("a", "s2l", 1, 0.5, 0.6), evaluated("b", "random", 1, 0.5, 0.6, heldout="xyz")]
    with pytest.raises(ValueError, match=r"(?s)heldout: .*different questions.*  a: file abc.*  b: file xyz"):
        compare(runs, allow_differences=True)


def test_what_is_not_there_or_counts_twice_is_refused(evaluated, res_dir):
    one = evaluated("one", "s2l", 1, 0.5, 0.6)
    with pytest.raises(ValueError, match="at least two runs"):
        compare([one])
    with pytest.raises(ValueError, match="each of them once"):
        compare([one, one])
    with pytest.raises(FileNotFoundError, match="run 'nobody' has no evaluation"):
        compare([one, "nobody"])
    twin = evaluated("twin", "s2l", 1, 0.5, 0.6)
    training = TrainingManifest.read(RunPaths(twin).manifest)
    replace(training, inputs={**training.inputs, "rows": "one"}).write(RunPaths(twin).manifest)
    with pytest.raises(ValueError, match="would count twice"):
        compare([one, twin])
    evaluation = EvaluationManifest.read(RunPaths(twin).evaluation_manifest)
    replace(evaluation, status="running").write(RunPaths(twin).evaluation_manifest)
    with pytest.raises(ValueError, match="not finished"):
        compare([one, twin])


def test_a_run_may_be_named_by_its_folder(evaluated):
    runs = [evaluated("a", "s2l", 1, 0.5, 0.6), evaluated("b", "random", 1, 0.5, 0.6)]
    folders = [f"{RunPaths(run).root}/" for run in runs]
    assert compare(folders) == compare(runs)
    with pytest.raises(ValueError, match="each of them once"):
        compare([runs[0], folders[0]])


def test_predictions_of_another_result_are_refused(evaluated):
    runs = [evaluated("a", "s2l", 1, 0.5, 0.6), evaluated("b", "random", 1, 0.5, 0.6)]
    write_jsonl(
        predictions_path(RunPaths("b").evaluation, "gsm8k"), [{"correct": True, "correct_strict": True}]
    )
    with pytest.raises(ValueError, match="found 1 predictions, expected 40"):
        compare(runs)


def test_a_damaged_evaluation_is_one_error(evaluated, capsys):
    """Of the command: none of its files may end it in a traceback."""
    runs = [evaluated("a", "s2l", 1, 0.5, 0.6), evaluated("b", "random", 1, 0.5, 0.6)]
    predictions = predictions_path(RunPaths("b").evaluation, "gsm8k")
    whole = predictions.read_text()
    for damaged in (whole[:-9], whole.replace("correct", "right"), None):
        if damaged is None:
            predictions.unlink()
        else:
            predictions.write_text(damaged)
        assert compare_runs.main(runs) == 1
        assert "gsm8k.predictions.jsonl" in capsys.readouterr().err
    predictions.write_text(whole)
    (RunPaths("b").evaluation / "gsm8k.json").unlink()
    assert compare_runs.main(runs) == 1
    assert "gsm8k.json does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("by_source", {"a": {}}, "no by_source.a.loss"),
        ("by_source", {"a": {"loss": "low"}}, "by_source.a.loss 'low'"),
        ("by_source", {"a": {"loss": True}}, "by_source.a.loss True"),
        ("by_source", {"a": {"loss": float("nan")}}, "by_source.a.loss nan"),
        ("loss", float("nan"), "loss: found nan, expected a finite number"),
        ("loss", True, "loss: found True, expected a finite number"),
        ("accuracy", "high", "accuracy: found 'high', expected a finite number"),
    ],
)
def test_an_edited_result_is_an_error_that_names_its_file(evaluated, entry, value, words):
    for seed in (0, 1):
        evaluated(f"run{seed}", "s2l", seed, 0.5, 0.6)
    path = result_path(RunPaths("run1").evaluation, "heldout")
    values = {**json.loads(path.read_text()), entry: value}
    values.pop("sha256", None)
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError) as raised:
        compare(["run0", "run1"])
    assert str(path) in str(raised.value) and words in str(raised.value)


@pytest.mark.parametrize("subset", [{"trajectories_from": 5}, {"steps": 3}, {"same_as": [1]}, 7])
def test_an_edited_config_is_an_error_that_names_its_file(evaluated, subset):
    evaluated("one", "s2l", 0, 0.5, 0.6)
    evaluated("other", "random", 0, 0.5, 0.6)
    RunPaths("one").config.write_text(yaml.safe_dump({"run_name": "one", "subset": subset}))
    with pytest.raises(ValueError, match=r"one/config.yml is damaged \(subset.*: copy the run's YAML there"):
        compare(["one", "other"])


def test_what_else_was_edited_is_said_of_the_run(evaluated):
    evaluated("one", "s2l", 0, 0.5, 0.6)
    evaluated("other", "random", 0, 0.5, 0.6)
    write_json(manifest_in(RunPaths("other").subset), {**SUBSET, "trajectories": {"steps": [5]}})
    with pytest.raises(
        ValueError, match=r"run 'other' cannot be read \(KeyError: 'from'\): put back what was"
    ):
        compare(["one", "other"])


def test_comparing_loads_no_torch(evaluated):
    evaluated("a", "s2l", 1, 0.5, 0.6)
    evaluated("b", "random", 1, 0.5, 0.6)
    code = (
        "import sys, compare_runs\n"
        "assert compare_runs.main(['a', 'b']) == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)


def test_the_command_takes_the_flag_and_nothing_else(evaluated, capsys):
    evaluated("a", "s2l", 1, 0.5, 0.6)
    evaluated("b", "random", 1, 0.5, 0.6, model="large")
    assert compare_runs.main(["a", "b"]) == 1
    assert "differ in more than the data" in capsys.readouterr().err
    assert compare_runs.main(["--allow_differences", "a", "b"]) == 0
    assert "Not alike: training: model" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        compare_runs.main(["a", "b", "--overwrite"])


# ----------------------------------------------------------------------------------------- differences


def right(number: int, shift: int = 0) -> list[bool]:
    return [(question - shift) % NUM_QUESTIONS < number for question in range(NUM_QUESTIONS)]


def test_a_large_difference_is_shown_and_a_small_one_is_not(evaluated):
    runs = [
        evaluated("s2l", "s2l", 1, 0.5, 0.9, correct=right(36)),
        evaluated("random", "random", 1, 0.7, 0.3, correct=right(12)),
        evaluated("longest", "longest", 1, 0.7, 0.85, correct=right(34)),
    ]
    comparison = compare(runs)
    from_random, from_longest = (difference_of(comparison, arm, "accuracy", "gsm8k") for arm in "BC")
    assert (from_random.mean, from_random.verdict) == (pytest.approx(0.6), "higher") and from_random.p_values[
        0
    ] < 1e-3
    assert (from_longest.mean, from_longest.verdict) == (pytest.approx(0.05), "no difference shown")
    assert difference_of(comparison, "B", "loss_average", "heldout").verdict == "not tested", (
        "one run on both sides"
    )


def test_a_few_questions_of_single_runs_show_nothing(evaluated):
    """All four that tell the runs apart speak for one of them, which happens by chance one time in eight."""
    runs = [evaluated("s2l", "s2l", 1, 0.5, 0.5, correct=right(20)),
            evaluated("random", "random", 1, 0.5, 0.4, correct=right(16))]  # fmt: skip
    difference = difference_of(compare(runs), "B", "accuracy", "gsm8k")
    assert difference.over_questions is not None and difference.over_questions[0] > 0
    assert (difference.p_values, difference.verdict) == ([0.125], "no difference shown")


def test_a_few_questions_of_several_benchmarks_show_nothing_either(evaluated):
    """Two of each, which speak for one of the runs: four in all."""
    runs = [evaluated("s2l", "s2l", 1, 0.5, 0.5, correct=right(18)),
            evaluated("random", "random", 1, 0.5, 0.4, correct=right(16))]  # fmt: skip
    first, other = group_into_arms([read_run(run) for run in runs])
    for run in (*first.runs, *other.runs):
        run.results["svamp"] = run.results["gsm8k"]
        folder = RunPaths(run.name).evaluation
        shutil.copyfile(predictions_path(folder, "gsm8k"), predictions_path(folder, "svamp"))
    average = [
        each for each in differences_of([first, other], ["gsm8k", "svamp"]) if len(each.question_sets) == 2
    ]
    assert average[0].over_questions is not None and average[0].over_questions[0] > 0
    assert (average[0].p_values, average[0].verdict) == ([0.125], "no difference shown")


def test_differences_that_happen_to_be_equal_have_welch_s_interval(evaluated):
    """As those of two seeds of a coarse score may be."""
    losses = {"s2l": [0.60, 0.64], "random": [0.58, 0.62]}
    runs = [evaluated(f"{method}_{seed}", method, seed, loss, 0.5)
            for method, of_seeds in losses.items() for seed, loss in enumerate(of_seeds)]  # fmt: skip
    difference = difference_of(compare(runs), "B", "loss_average", "heldout")
    assert difference.over_runs == pytest.approx(welch_interval(losses["s2l"], losses["random"]))
    assert difference.verdict == "no difference shown"


def test_runs_of_one_seed_are_paired_where_both_arms_have_the_same_seeds(evaluated):
    losses = {"s2l": [0.5, 0.7, 0.9], "random": [0.51, 0.712, 0.91], "longest": [0.51, 0.712]}
    runs = [evaluated(f"{method}_{seed}", method, seed, loss, 0.5)
            for method, of_seeds in losses.items() for seed, loss in enumerate(of_seeds)]  # fmt: skip
    comparison = compare(runs)
    paired, unpaired = (difference_of(comparison, arm, "loss_average", "heldout") for arm in "BC")
    assert paired.over_runs == pytest.approx(paired_interval(losses["s2l"], losses["random"]))
    assert paired.verdict == "lower"
    assert unpaired.over_runs == pytest.approx(welch_interval(losses["s2l"], losses["longest"]))


def test_runs_of_one_seed_are_set_against_each_other_also_on_the_whole_pool(evaluated):
    runs = [
        evaluated(f"{name}_{seed}", method, seed, 0.5, 0.5, correct=right(20, seed))
        for name, method in (("s2l", "s2l"), ("random", "random"), ("full", None))
        for seed in range(3)
    ]
    comparison = compare(runs)
    assert [difference_of(comparison, arm, "accuracy", "gsm8k").p_values for arm in "BC"] == [[1.0] * 3] * 2


def test_runs_that_agree_in_every_digit_show_nothing(evaluated):
    """A coarse score does so by accident."""
    losses = {"s2l": 0.5, "random": 0.6}
    runs = [evaluated(f"{m}_{seed}", m, seed, loss, 0.5) for m, loss in losses.items() for seed in range(2)]
    difference = difference_of(compare(runs), "B", "loss_average", "heldout")
    assert (difference.over_runs, difference.verdict) == (None, "not tested")


def test_no_average_as_the_pool_where_a_tenth_of_it_was_not_held_out(evaluated):
    for hard, has_average in ((4, True), (10, False)):
        name = evaluated(f"run_{hard}", "s2l", hard, 0.5, 0.6)
        folder = RunPaths(name).subset
        write_json(manifest_in(folder), {**SUBSET, "checksums": {}})
        rows = {"easy": 90, "hard": 6, "not held out": hard}
        sources = {
            source: {"pool_rows": 500, "selectable": number, "chosen": 1} for source, number in rows.items()
        }
        write_json(folder / "composition.json", {"sources": sources})
        runs = [name, evaluated("other", "random", 1, 0.5, 0.6)]
        values = {measure.name: measure.values for measure in compare(runs).measures}
        assert values.get("loss_as_pool") == (
            dict.fromkeys((name, "other"), pytest.approx((90 * 0.4 + 6 * 0.6) / 96)) if has_average else None
        )


def test_a_comparison_without_any_difference_says_so(evaluated):
    runs = [
        evaluated("s2l", "s2l", 1, 0.5, 0.5, correct=right(20)),
        evaluated("random", "random", 1, 0.5, 0.5, correct=right(20, shift=3)),
    ]
    comparison = compare(runs)
    assert {difference.verdict for difference in comparison.differences} == {
        "no difference shown",
        "not tested",
    }
    assert "In all: no difference shown between A and B." in comparison_text(comparison)


def test_accuracies_that_are_alike_in_every_run_are_no_ground_for_a_verdict(evaluated):
    """Where no model answers anything, the loss alone tells the arms apart."""
    runs = [
        evaluated(f"{method}_{seed}", method, seed, loss + seed / 100, 0.0)
        for method, loss in (("s2l", 0.5), ("random", 3.3))
        for seed in range(3)
    ]
    comparison = compare(runs)
    assert [difference.measure for difference in comparison.differences] == ["loss_average"]
    (headline,) = headlines(ComparisonFacts(comparison, comparison_path("any")))
    assert headline.verdict == "Lower" and "loss on held-out rows" in headline.against
    text = " ".join(comparison_text(comparison).split())
    first = text.split(". ")[0]
    assert first == "A: s2l against B: random: lower held-out loss, sources alike (-2.8000)"
    assert "differences were tested" not in text
    assert text.count("heldout (accuracy, accuracy strict): no run got any answer right") == 1
    assert text.count("gsm8k (accuracy, accuracy strict): no run got any answer right") == 1


def test_held_out_rows_of_other_kinds_than_are_aimed_at_are_named(evaluated, tmp_path):
    rows = [{"instruction": "1 + 1", "output": "2", "source": "hard"}]
    validation = write_jsonl(tmp_path / "validation.jsonl", rows)
    runs = [evaluated("tacs", "tacs", 1, 0.5, 0.6), evaluated("random", "random", 1, 0.5, 0.5)]

    def remarks() -> list[str]:
        for run in runs:
            data = {"path": "pool.jsonl", "validation": str(validation)}
            RunPaths(run).config.write_text(yaml.safe_dump({"run_name": run, "data": data}))
        return [remark for remark in compare(runs).remarks if "data.validation" in remark]

    (remark,) = remarks()
    assert "aims at 1 source (hard). The held-out rows are also of 1 source (easy)" in remark
    assert "go by the loss of each source" in remark and "evaluation.heldout that holds rows" in remark
    write_jsonl(validation, [*rows, {**rows[0], "source": "easy"}])
    assert remarks() == []
    write_jsonl(validation, [{"instruction": "1 + 1", "output": "2"}])
    assert remarks() == [], "rows without a source do not say of what kind they are"
    validation.unlink()
    (remark,) = remarks()
    assert "is not known" in remark and str(validation) in remark


def test_an_arm_whose_rows_are_the_same_in_every_seed_is_named(evaluated):
    runs = [
        evaluated(f"{name}_{seed}", method, seed, 0.5, 0.5)
        for name, method in (("tacs", "tacs"), ("random", "random"), ("full", None))
        for seed in (0, 1)
    ]
    for run in (*runs[:2], *runs[4:]):
        training = TrainingManifest.read(RunPaths(run).manifest)
        same = {**training.inputs, "rows": run.split("_")[0]}
        replace(training, inputs=same).write(RunPaths(run).manifest)
    (remark,) = [remark for remark in compare(runs).remarks if "all seeds" in remark]
    assert remark.startswith("One choice of rows for all seeds: A (tacs). ")


def test_one_run_that_answers_anything_else_makes_an_accuracy_tell_arms_apart(evaluated):
    runs = [
        evaluated("s2l", "s2l", 1, 0.5, 0.0),
        evaluated("random", "random", 1, 0.5, 0.0),
        evaluated("longest", "longest", 1, 0.5, 0.0, correct=right(2)),
    ]
    comparison = compare(runs)
    assert difference_of(comparison, "B", "accuracy", "gsm8k").verdict == "no difference shown"
    assert not any("not tested" in remark for remark in comparison.remarks)


def test_a_difference_that_other_seeds_would_undo_is_not_shown(evaluated):
    """Over questions it is far from 0, over runs it is not."""
    runs = [evaluated(f"s2l_{seed}", "s2l", seed, 0.5, 0, correct=right(count))
            for seed, count in enumerate((40, 12))]  # fmt: skip
    runs += [evaluated(f"random_{seed}", "random", seed, 0.5, 0, correct=right(10)) for seed in range(2)]
    difference = difference_of(compare(runs), "B", "accuracy", "gsm8k")
    assert difference.over_questions is not None and difference.over_questions[0] > 0
    assert (
        difference.over_runs is not None
        and difference.over_runs[0] < 0
        and difference.verdict == "no difference shown"
    )


# ---------------------------------------------------------------------------------------------- ledger


@pytest.fixture
def with_proxy(evaluated) -> Callable[..., str]:
    """A pool of 1,000 rows, its proxy, scored at two checkpoints, and a target on 100 rows, 3 epochs each."""

    def make(needs_trajectories: bool = True, **target: Any) -> str:
        evaluated("proxy", None, 0, 9, 0, num_rows=1000, steps=300, steps_per_epoch=100, model="small")
        scoring = {**TRAJECTORIES, "device_seconds": {"5": 20.0, "9": 30.0}}
        write_json(RunPaths("proxy").trajectories_manifest, scoring)
        settings = {"num_rows": 100, "steps": 30, "launch": {"seconds": 400.0, "devices": 2, "device": "cuda",
                    "continued_from": None}, **target}  # fmt: skip
        name = evaluated("s2l", "s2l", 1, 0.5, 0.6, **settings)
        subset = {
            **SUBSET,
            "inputs": {**SUBSET["inputs"], "num_examples": 1007},
            "num_excluded": 7,  # without text
            "num_selectable": 690,  # others are excluded or repeated, and trained on with everything
            "needs_trajectories": needs_trajectories,
            "trajectories": {"from": "proxy", "steps": [5, 9]},
            "seconds": {"choosing": 5.0},
        }
        write_json(manifest_in(RunPaths(name).subset), subset)
        return name

    return make


def test_costs_add_up_and_are_set_against_training_on_everything(evaluated, with_proxy):
    comparison = compare([with_proxy(), evaluated("random", "random", 1, 0.5, 0.6)])
    cost = comparison.costs[0]
    assert {stage: of_stage.device_seconds for stage, of_stage in cost.stages.items()} == {
        "proxy training": 600.0, "scoring": 50.0, "selection": 5.0, "target": 800.0,
    }  # fmt: skip
    # Three epochs of 1,000 rows at 1e6 forward, three times that for training; two checkpoints;
    # three epochs of 100 rows.
    assert {stage: of_stage.operations for stage, of_stage in cost.stages.items()} == {
        "proxy training": 9e9, "scoring": 2e9, "selection": 0.0, "target": 9e8,
    }  # fmt: skip
    assert cost.total == Cost(1455.0, 9e9 + 2e9 + 9e8)
    # Ten times the rows, equal epochs.
    assert cost.everything is not None and cost.everything.device_seconds == 8000.0
    # 8 - 0.655 seconds are saved per row of the pool, and the target costs 800.
    assert cost.pays_from == Payback(109, "never")
    assert any("Training on everything was not run beside A" in remark for remark in comparison.cost_remarks)
    assert "18%" in comparison_text(comparison)


def test_training_on_everything_is_charged_for_the_rows_of_the_pool(evaluated, with_proxy):
    """A method that prefers long rows: those of the pool are half as long."""
    costs = {}
    for name, train_args in (("epochs", {"num_train_epochs": 3}), ("steps", {"max_steps": 30})):
        settings = {"train_args": train_args, "global_batch_size": 10}
        run = with_proxy(**settings, work={"pool_training_operations": 3e6 * 1000 / 2})
        cost = compare([run, evaluated("random", "random", 1, 0.5, 0.6, **settings)]).costs[0]
        assert cost.everything is not None and cost.everything.operations is not None
        costs[name] = cost.everything.operations / (cost.stages["target"].operations or 0)
    assert costs == {"epochs": pytest.approx(5), "steps": pytest.approx(0.5)}


def test_as_many_steps_on_everything_take_as_many_batches(evaluated, with_proxy):
    """100 rows in batches of 60: every second batch is filled up. On the pool of 1,000 rows one in 17 is."""
    settings = {"train_args": {"max_steps": 30}, "global_batch_size": 60, "steps_per_epoch": 2}
    run = with_proxy(**settings, work={"pool_training_operations": 3e6 * 1000})
    cost = compare([run, evaluated("random", "random", 1, 0.5, 0.6, **settings)]).costs[0]
    assert cost.everything is not None and cost.everything.operations is not None
    ratio = cost.everything.operations / (cost.stages["target"].operations or 0)
    assert ratio == pytest.approx((30 / 17 * 1000) / (30 / 2 * 100))


def test_training_on_everything_is_measured_where_it_was_run(evaluated, with_proxy):
    launch = {"seconds": 5000.0, "devices": 2, "device": "cuda", "continued_from": None}
    full = evaluated("full", None, 1, 0.5, 0.6, num_rows=1000, steps=300, launch=launch)
    comparison = compare([with_proxy(), full])
    (first, whole) = comparison.costs
    assert first.everything is not None and first.everything.device_seconds == 10_000
    assert (
        whole.everything is None and whole.total.device_seconds == 10_000 and list(whole.stages) == ["target"]
    )
    assert not any("was not run" in remark for remark in comparison.cost_remarks)


def test_a_method_that_reads_the_base_model_s_losses_is_charged_for_them(evaluated, with_proxy):
    runs = [with_proxy(), evaluated("random", "random", 1, 0.5, 0.6)]
    without = compare(runs).costs[0].stages["scoring"]
    paths = RunPaths("proxy")
    scored = {**TRAJECTORIES, "device_seconds": {"0": 10.0, "5": 20.0, "9": 30.0}}
    write_json(paths.trajectories_manifest, scored)
    path = manifest_in(RunPaths("s2l").subset)
    subset = json.loads(path.read_text())
    subset["inputs"]["losses of the base model"] = "9" * 64
    write_json(path, subset)
    with_base = compare(runs).costs[0].stages["scoring"]
    assert (without.device_seconds, with_base.device_seconds) == (50.0, 60.0)
    assert with_base.operations == pytest.approx(1.5 * (without.operations or 0))


def test_a_method_that_looks_at_no_losses_is_not_charged_for_them(evaluated, with_proxy):
    cost = compare([with_proxy(needs_trajectories=False), evaluated("random", "random", 1, 0.5, 0.6)]).costs[
        0
    ]
    assert cost.stages["proxy training"] == Cost(0, 0) and cost.total.device_seconds == 805


def test_a_fixed_number_of_steps_never_pays(evaluated, with_proxy):
    comparison = compare(
        [with_proxy(train_args={"max_steps": 30}), evaluated("random", "random", 1, 0.5, 0.6)], True
    )
    assert comparison.costs[0].pays_from == Payback("never", "never")
    assert any("selecting cannot save cost there" in remark for remark in comparison.cost_remarks)


def test_a_continued_training_is_charged_for_the_steps_before(evaluated, with_proxy):
    launch = {"seconds": 100.0, "devices": 2, "device": "cuda", "continued_from": "checkpoint-20"}
    cost = compare([with_proxy(launch=launch), evaluated("random", "random", 1, 0.5, 0.6)]).costs[0]
    assert cost.stages["target"].device_seconds == 600  # 100 s x 2 devices were for 10 of 30 steps


def test_costs_that_no_record_holds_are_not_made_up(evaluated, with_proxy):
    runs = [with_proxy(), evaluated("random", "random", 1, 0.5, 0.6)]
    RunPaths("proxy").manifest.unlink()
    cost = compare(runs).costs[0]
    assert cost.stages["proxy training"] == Cost(None, None) == cost.total
    assert cost.pays_from == Payback(None, None)
