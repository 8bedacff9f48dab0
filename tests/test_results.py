"""The study: its data keep what they promise, and the page of its results says what its files say."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from safetensors.torch import load_file
from scipy import stats

import run_distributed_trajectories
import run_experiment
import train
from benchmarks import (
    study_agreement,
    study_clusters,
    study_data,
    study_end_token,
    study_near_copies,
    study_noise,
    study_results,
    study_sizes,
)
from benchmarks.study_runs import pool_of
from docs import make_results
from docs.study import results as study_files
from docs.study.balance import balance_section
from docs.study.comparison_sections import comparison_section
from docs.study.differences import PairedDifference, cell, paired_difference, shown_of_all
from docs.study.figure import difference_chart
from docs.study.kept import KeptComparison, RecordedRun, keep_analysis
from docs.study.overviews import budgets_section, noise_cost_section, pairs_section, weights_section
from docs.study.results import CONTROLS
from tests.artifacts.examples import EVALUATION, SCORING_INPUTS, SUBSET, TRAINING, forget_checksums
from tests.conftest import ARCHITECTURES, plain_losses, pool_rows, write_jsonl
from utils.artifacts.checkpoints import checkpoints_in
from utils.artifacts.checksums import checksum_of_json, checksum_of_rows
from utils.artifacts.comparisons import (
    AVERAGES,
    ComparedArm,
    ComparedRun,
    Comparison,
    ComparisonManifest,
    Measure,
)
from utils.artifacts.evaluations import identity_of_evaluation_of
from utils.artifacts.files import write_json
from utils.artifacts.manifests import Provenance
from utils.artifacts.paths import RunPaths, comparison_path
from utils.artifacts.subsets import SubsetContents, SubsetManifest, read_subset, write_subset
from utils.artifacts.trajectories.read import Trajectories
from utils.artifacts.trajectories.write import ScoringRequest, TrajectoryFolder
from utils.config.load import load_config
from utils.config.schema import DataConfig, RunConfig
from utils.data.pool import Pool
from utils.data.tokenization import tokenize_pool
from utils.modeling.loading import load_checkpoint, load_tokenizer
from utils.reporting.page.figure_files import write_figure_files
from utils.selection.candidates import Candidates
from utils.selection.inputs import DERIVED

SEEDS = [3, 4, 5]
LABELS = ["random_per_source", "random", "s2l_released", "full"]
METHODS = dict(zip(LABELS, ["random_per_source", "random", "s2l", "whole pool"], strict=True))
AGREEMENT = {
    "pairs": ["p:t"],
    "devices": ["cpu"],
    "versions": ["Python 3.12.1, torch 2.13.0"],
    "git_commits": ["c" * 40],
    "sources": {"": {"rows": 1234, "proxy_and_target": [0.5, 0.7], "two_proxies": [0.9]}},
}


@pytest.fixture
def study(tmp_path) -> Path:
    """A folder with the YAML of an experiment of three seeds."""
    methods = {label: {"method": "s2l"} if label == "s2l_released" else {} for label in LABELS}
    (tmp_path / "t.yml").write_text("run_name: target\nsubset: {trajectories_from: proxy, budget: 0.5}\n")
    values = {"name": "small", "proxy": "p.yml", "target": str(tmp_path / "t.yml"), "methods": methods}
    values |= {"budgets": [0.1], "seeds": SEEDS}
    (tmp_path / "experiment_small.yml").write_text(yaml.safe_dump(values, sort_keys=False))
    return tmp_path


def run_of(label: str, seed: int) -> str:
    return f"small_full_seed{seed}" if label == "full" else f"small_{label}_0.1_seed{seed}"


def compared(without: tuple[str, ...] = ()) -> tuple[ComparisonManifest, dict[str, dict[str, float]]]:
    """Returns: a comparison of the arms; average -> run -> value."""
    generator = np.random.default_rng(0)
    arms = {label: [run for seed in SEEDS if (run := run_of(label, seed)) not in without] for label in LABELS}
    runs = [run for of_arm in arms.values() for run in of_arm]
    values = {name: {run: float(generator.normal(3, 0.1)) for run in runs} for name in AVERAGES}
    measures = [Measure("heldout", None, name, False, of_runs) for name, of_runs in values.items()]
    of_sources = {"one": dict.fromkeys(runs, 99.0), "two": {run: float(generator.normal(3)) for run in runs}}
    for source, of_runs in of_sources.items():
        measures.append(Measure("heldout", source, "loss", False, of_runs))
        # None of the page's business.
        measures.append(Measure("heldout", source, "accuracy", False, dict.fromkeys(runs, 0.5)))
    letters = dict(zip(LABELS, "ABCD", strict=True))
    comparison = Comparison(
        name="small_0.1",
        arms=[
            ComparedArm(letters[label], label, METHODS[label], {}, arms[label], 6, 6, 40, None)
            for label in LABELS
        ],
        runs=[
            ComparedRun(run, letters[label], seed, None if label == "full" else seed, "e" * 64)
            for label in LABELS
            for seed in SEEDS
            if (run := run_of(label, seed)) in runs
        ],
        measures=measures,
        differences=[],
        costs=[],
        unlike=[],
        remarks=[],
        cost_remarks=[],
        confidence=0.95,
    )
    provenance = replace(
        Provenance.now(), folder="/home/somebody", command=["/home/somebody/compare_runs.py"]
    )
    inputs = {"runs": runs}
    return ComparisonManifest(
        status="complete", inputs=inputs, comparison=comparison, provenance=provenance
    ), values


def kept_comparison(folder: Path, without: tuple[str, ...] = ()) -> dict[str, dict[str, float]]:
    """Write small_0.1.json. Returns: average -> run -> value."""
    made, values = compared(without)
    record = RecordedRun(
        device="NVIDIA H200", git_commit="c" * 40, python="3.12.1", packages={"torch": "2.13.0"}, planted=0.25
    )
    sources = {"one": {"pool_rows": 9, "selectable": 1}, "two": {"pool_rows": 1, "selectable": 1}}
    recorded = {run.name: record for run in made.comparison.runs}
    KeptComparison.of(made, sources, recorded).write(folder / "small_0.1.json")
    return values


def rewrite(path: Path, values: dict[str, Any]) -> None:
    """Change a file with its checksum, as if it had been written so."""
    others = {name: value for name, value in values.items() if name != "sha256"}
    write_json(path, {**others, "sha256": checksum_of_json(others)})


def test_the_page_is_made_from_the_files():
    written = make_results.PAGE.read_text(encoding="utf-8")
    text = make_results.TEXT.read_text(encoding="utf-8")
    results = study_files.all_results()
    analyses, planned = study_files.all_analyses(), study_files.config_files()
    assert written == make_results.page(text, results, analyses, planned), "run `python docs/make_results.py`"
    for name, result in results.items():
        figure = (study_files.RESULTS / f"{name}.svg").read_text(encoding="utf-8")
        for label in result.arms:
            is_shown = f">{label}</text>" in figure
            assert is_shown == (label != "random_per_source"), "run `python docs/make_results.py`"


def test_every_file_of_results_is_of_an_experiment_of_the_study(study):
    kept_comparison(study)
    for name in ("small_0.2", "other_0.1"):  # a budget and an experiment that no YAML has
        strange = (study / "small_0.1.json").rename(study / f"{name}.json")
        with pytest.raises(ValueError, match=f"{name}.json, which no experiment of"):
            study_files.all_results(study, study)
        strange.rename(study / "small_0.1.json")
    (study / "experiment_twin.yml").write_text((study / "experiment_small.yml").read_text())
    with pytest.raises(ValueError, match="experiment_twin.yml: found small_0.1, which .*small.yml"):
        study_files.all_results(study, study)


def test_a_table_says_what_scipy_says(study):
    values = kept_comparison(study)
    shown = make_results.page("{{small_0.1}}", study_files.all_results(study, study))
    cells = {line.split("|")[1].strip(): [cell.strip(" *") for cell in line.split("|")[2:-1]]
             for line in reversed(shown.splitlines()) if line.startswith("|")}  # fmt: skip
    for label in ("s2l_released", "full", "random"):
        expected = []
        for average in AVERAGES:
            for control in study_files.CONTROLS:
                if control == label:
                    expected.append("")
                    continue
                mine, theirs = ([values[average][run_of(arm, seed)] for seed in SEEDS]
                                for arm in (label, control))  # fmt: skip
                low, high = stats.ttest_rel(mine, theirs).confidence_interval(0.95)
                expected.append(f"{np.mean(mine) - np.mean(theirs):+.3f} ({low:+.3f} to {high:+.3f})")
        assert cells[label] == expected
    # Three arms against the one control, two of them against the other, in two averages.
    assert "10 different comparisons" in shown and "25.0%" in shown
    assert "NVIDIA H200" in shown and "cccccccccccc" in shown and "Seeds 3, 4, 5" in shown


@pytest.mark.parametrize(("label", "control"), [("s2l_fall", "random_per_source"), ("s2l_paper", "random")])
def test_what_one_source_does_is_told_apart(study, label, control):
    kept_comparison(study)
    result = study_files.all_results(study, study)["small_0.1"]
    runs = {each: result.arms["s2l_released" if each == label else each] for each in (label, *CONTROLS)}
    noise = np.random.default_rng(0).normal(3, 0.1, (3, 3, 3)).tolist()
    losses = {
        source: {
            run: loss - (arm == label and source == "most")
            for arm, of_runs in zip(runs, of_arms, strict=True)
            for run, loss in zip(runs[arm], of_runs, strict=True)
        }
        for source, of_arms in zip(["few", "most", "many"], noise, strict=True)
    }
    rows_of = {source: {"selectable": rows} for source, rows in (("few", 1), ("most", 5), ("many", 3))}
    shown = comparison_section(replace(result, arms=runs, losses=losses, rows_of=rows_of))

    def seen(weights: dict[str, int]) -> str:
        mine, theirs = (
            [
                sum(losses[source][run] * weight for source, weight in weights.items())
                / sum(weights.values())
                for run in runs[arm]
            ]
            for arm in (label, control)
        )
        return cell(paired_difference(mine, theirs))

    cells = [seen({"most": 1}), seen({"few": 1, "many": 1}), seen({"few": 1, "many": 3})]
    assert f"| {label} minus {control} | most | {' | '.join(cells)} |" in shown


def test_an_interval_that_leaves_out_0_is_bold(study):
    assert study_files.paired_difference([1.0], [2.0]) is None
    shown = study_files.paired_difference([1.0, 2.0, 3.0], [2.0, 3.1, 3.9])
    assert shown is not None and shown.is_shown and cell(shown).startswith("**-1.000 (")
    hidden = study_files.paired_difference([1.0, 2.0, 3.0], [2.0, 1.0, 3.0])
    assert hidden is not None and not hidden.is_shown and cell(hidden).startswith("+0.000 (")


def test_nothing_is_averaged_over_an_arm_that_is_not_finished(study):
    kept_comparison(study, without=(run_of("s2l_released", 4),))
    shown = make_results.page("{{small_0.1}}", study_files.all_results(study, study))
    assert "Not finished, and in no table: s2l_released (2 of 3)." in shown
    assert "| s2l_released" not in shown and "| full" in shown


def test_runs_that_belong_to_no_arm_are_named(study):
    kept_comparison(study)
    path = study / "small_0.1.json"
    text = path.read_text().replace(run_of("s2l_released", 3), "small_s2l_other_0.1_seed3")
    rewrite(path, json.loads(text))
    shown = make_results.page("{{small_0.1}}", study_files.all_results(study, study))
    assert (
        "Measured, and in no table, since the experiment names no such arm: small_s2l_other_0.1 (1)." in shown
    )


def test_held_out_rows_of_one_source_have_one_average(study):
    """Where a single source is aimed at."""
    kept_comparison(study)
    path = study / "small_0.1.json"
    kept = json.loads(path.read_text())
    for names, is_result in (({"loss_average"}, True), (set(), False)):
        kept["measures"] = [
            measure
            for measure in kept["measures"]
            if measure["name"] in names or measure["source"] is not None
        ]
        rewrite(path, kept)
        if not is_result:
            with pytest.raises(ValueError, match="found no held-out loss"):
                study_files.all_results(study, study)
            continue
        results = study_files.all_results(study, study)
        shown = make_results.page("{{small_0.1}}", results)
        assert "5 different comparisons" in shown and "sources as in the pool" not in shown
        assert "Not finished" not in shown
        write_figure_files([difference_chart(results["small_0.1"])], study, ["svg"])


@given(st.lists(st.floats(0, 0.2), max_size=12))
def test_holm_keeps_what_every_set_of_differences_that_holds_it_rejects(p_values):
    """Closed testing with Bonferroni's test of each set, which is what Holm's steps come to."""
    differences = [PairedDifference(0.0, -1.0, 1.0, p) for p in p_values]
    expected = []
    for one in differences:
        # The hardest set of each size has the largest of the other p.
        others = sorted((other.p for other in differences if other is not one), reverse=True)
        sets = [[one.p, *others[:size]] for size in range(len(differences))]
        if all(min(p_of_set) * len(p_of_set) <= 0.05 for p_of_set in sets):
            expected.append(one.p)
    assert sorted(difference.p for difference in shown_of_all(differences)) == pytest.approx(sorted(expected))


def test_a_p_is_that_of_scipy_and_runs_that_agree_have_none():
    values, others = [3.0, 3.2, 3.1], [3.1, 3.4, 3.15]
    found = paired_difference(values, others)
    assert found is not None and found.p == pytest.approx(stats.ttest_rel(values, others).pvalue)
    for shift, p in ((0.0, 1.0), (1.0, 0.0)):
        same = paired_difference(values, [value - shift for value in values])
        assert same is not None and same.p == p


def test_the_average_as_in_the_pool_is_told_by_both_numbers_of_rows(study):
    kept_comparison(study)
    result = study_files.all_results(study, study)["small_0.1"]
    _, _, *rows = weights_section({"small": result}).splitlines()
    cells = [[cell.strip(" *").split()[0] for cell in row.split("|")[2:-1]] for row in rows]
    assert [row[0] for row in cells] == ["random", "s2l_released"]
    for label, *shown in cells:
        by_source = [
            np.mean([of_runs[run_of(label, seed)] - of_runs[run_of(LABELS[0], seed)] for seed in SEEDS])
            for of_runs in (result.losses["one"], result.losses["two"])
        ]
        expected = [np.average(by_source, weights=weights) for weights in ([1, 1], [9, 1])]
        assert shown == [f"{value:+.3f}" for value in expected]


def test_arms_of_all_budgets_stand_in_one_table_from_few_rows_to_many(study):
    values = kept_comparison(study)
    result = study_files.all_results(study, study)["small_0.1"]
    unlike = replace(result, budget=0.4, arms={label: result.arms[label] for label in LABELS[:3]})
    shown = budgets_section({"study_wide_0.11": result, "study_budgets_0.4": unlike, "other": result})
    heading, _, *rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in shown.splitlines()]
    assert heading == ["minus random_per_source", *(f"{budget} %, {words}" for words in AVERAGES.values()
                                                    for budget in (10, 40))]  # fmt: skip
    assert [row[0] for row in rows] == LABELS[1:3], "`full` is not in both"
    for label, *cells in rows:
        expected = [
            np.mean([of_runs[run_of(label, seed)] - of_runs[run_of(LABELS[0], seed)] for seed in SEEDS])
            for of_runs in values.values()
            for _ in range(2)
        ]
        assert [cell.split()[0] for cell in cells] == [f"{value:+.3f}" for value in expected]


def test_what_noise_costs_is_told_seed_by_seed(study):
    values = kept_comparison(study)
    clean = study_files.all_results(study, study)["small_0.1"]
    costs = [0.1, 0.2, 0.6]
    noisy_values = {
        name: {run: of_run + costs[SEEDS.index(int(run[-1]))] for run, of_run in of_runs.items()}
        for name, of_runs in values.items()
    }
    noisy = replace(
        clean, values=noisy_values, arms={label: clean.arms[label] for label in ("random", "full")}
    )
    shown = noise_cost_section({"study_wide_0.11": clean, "study_noise_0.11": noisy})
    expected = cell(paired_difference(costs, [0, 0, 0]))
    assert shown.splitlines()[2:] == [f"| {each} | {expected} | {expected} |" for each in ("random", "full")]
    assert noise_cost_section({"study_wide_0.11": clean}) == "*Not run yet.*"


def test_pairs_that_the_text_tells_of_stand_in_a_table(study):
    values = kept_comparison(study)
    result = study_files.all_results(study, study)["small_0.1"]
    arms = {"s2l_fall": result.arms["s2l_released"], "random_fall": result.arms["random"]}
    shown = pairs_section({"small": replace(result, arms=arms), "without": result})
    mine, theirs = (
        [[of_runs[run] for run in arms[label]] for of_runs in values.values()]
        for label in ("s2l_fall", "random_fall")
    )
    cells = [cell(paired_difference(*pair)) for pair in zip(mine, theirs, strict=True)]
    assert shown.splitlines()[2:3] == [f"| small | s2l_fall minus random_fall | {' | '.join(cells)} |"]
    assert "2 different comparisons" in shown and "without" not in shown


def test_what_balance_does_to_each_source_stands_in_a_table(study):
    """A doubling of a source's rows takes 0.5 nats off its loss."""
    kept_comparison(study)
    result = study_files.all_results(study, study)["small_0.1"]
    rows_of = {"random_per_source": {"one": 64, "two": 64}, "random": {"one": 256, "two": 1}}
    runs = [(label, seed, run_of(label, seed)) for label in rows_of for seed in SEEDS]
    recorded = {
        run: replace(result.kept.recorded[run], rows_by_source=rows_of[label]) for label, _, run in runs
    }
    losses = {
        source: {run: seed - 0.5 * np.log2(rows_of[label][source]) for label, seed, run in runs}
        for source in ("one", "two")
    }
    selectable = {"one": {"selectable": 1}, "two": {"selectable": 3}}
    kept = replace(result.kept, recorded=recorded)
    result = replace(result, losses=losses, rows_of=selectable, kept=kept)
    shown = balance_section({"study_wide_0.11": result})
    _, _, *rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in shown.splitlines()[:4]]
    assert [[row[0], row[1], row[2].split()[0]] for row in rows] == [
        ["two", "1.0 → 64", "-3.000"],
        ["one", "256 → 64", "+1.000"],
    ]
    assert "At 10 % twice the share of the training is worth 0.50 nats to the median source" in shown
    assert "(0.50 to 0.50), of the 2 whose share" in shown
    assert balance_section({}) == "*Not run yet.*"


def test_no_result_is_left_out_of_the_page(study):
    kept_comparison(study)
    results = study_files.all_results(study, study)
    analyses = {"agreement": AGREEMENT}
    for text, left_out in (
        ("{{agreement}}", "small_0.1"),
        ("{{small_0.1}}", "agreement"),
        ("", "agreement, s"),
    ):
        with pytest.raises(ValueError, match=f"no place for {left_out}"):
            make_results.page(text, results, analyses)
    with pytest.raises(ValueError, match="found foo, which no table is made of"):
        make_results.page("{{foo}}", {}, {"foo": AGREEMENT})
    shown = make_results.page("{{other}}\n{{clusters}}", {}, {}, ["other"])
    assert "other: not run yet" in shown and "clusters: not run yet" in shown


@pytest.mark.parametrize(
    "place", ["{{agrement}}", "{{../x}}", "{{agreement}} ", "see {{agreement}}", "{{ }}"]
)
def test_a_place_of_nothing_is_refused(place):
    with pytest.raises(
        ValueError, match="found '.*', expected a line {{NAME}} of agreement, balance, budgets, "
    ):
        make_results.page(f"{{{{agreement}}}}\n{place}\n", {}, {"agreement": AGREEMENT})


def test_names_of_sources_and_devices_are_no_markup(study):
    kept_comparison(study)
    path = study / "small_0.1.json"
    text = path.read_text().replace('"two"', json.dumps("a|b\n<script>&")).replace("H200", "<b>H200")
    rewrite(path, json.loads(text))
    shown = make_results.page("{{small_0.1}}", study_files.all_results(study, study))
    assert "| a&#124;b &lt;script&gt;&amp; |" in shown and "NVIDIA &lt;b&gt;H200" in shown
    assert "<script" not in shown and "<b>" not in shown


def test_figures_are_the_same_each_time(study, tmp_path):
    kept_comparison(study)
    chart = difference_chart(study_files.all_results(study, study)["small_0.1"])
    files = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        files += write_figure_files([chart], folder, ["svg"])
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_arm_far_beyond_the_others_is_an_arrow_with_its_number(study, tmp_path):
    values = kept_comparison(study)
    path = study / "small_0.1.json"
    kept = json.loads(path.read_text())
    for measure in kept["measures"][:2]:
        for seed in SEEDS:
            values[measure["name"]][run_of("full", seed)] = measure["values"][run_of("full", seed)] = 13.0
    rewrite(path, kept)
    chart = difference_chart(study_files.all_results(study, study)["small_0.1"])
    figure = write_figure_files([chart], tmp_path, ["svg"])[0].read_text()
    controls = [
        np.mean([of_runs[run_of("random_per_source", seed)] for seed in SEEDS]) for of_runs in values.values()
    ]
    assert f">{13 - controls[0]:.4g}, {13 - controls[1]:.4g}</text>" in figure


ROWS_OF = {
    "random_per_source": [0, 1, 2, 3],
    "random": [2, 3, 4, 5],
    "s2l_released": [0, 1, 2, 9],
    "full": None,
}


@pytest.fixture
def on_disk(study, res_dir) -> list[str]:
    """The runs of the arms, compared. Returns: the words that keep the comparison."""
    for label, rows in ROWS_OF.items():
        for seed in SEEDS:
            chosen = None if rows is None else np.array([row + 100 * seed if row else 0 for row in rows])
            finished_run(label, seed, chosen)  # row 0 is of every seed
    made, _ = compared()
    runs = [replace(run, evaluation=identity_of_evaluation_of(run.name)) for run in made.comparison.runs]
    replace(made, comparison=replace(made.comparison, runs=runs)).write(comparison_path("small_0.1"))
    return [str(study / "experiment_small.yml"), "--output_dir", str(study)]


def finished_run(label: str, seed: int, chosen: np.ndarray | None) -> None:
    paths = RunPaths(run_of(label, seed))
    inputs = {**TRAINING["inputs"], "seed": seed, "rows": "d" * 64, "subset": None}
    if chosen is not None:
        inputs |= {"subset": {"method": METHODS[label], "seed": seed}, "rows": checksum_of_rows(chosen)}
        of_source = {"pool_rows": 9, "selectable": 4 + seed, "chosen": len(chosen)}
        manifest = {**SUBSET, "budget": len(chosen), "inputs": {**SUBSET["inputs"], "num_examples": 900}}
        contents = SubsetContents(
            chosen,
            np.zeros(900, np.int32),
            np.zeros(900, np.uint8),
            {"sources": {"one": of_source}},
            None,
            None,
            {},
        )
        write_subset(paths.subset, TypeAdapter(SubsetManifest).validate_python(manifest), contents)
    write_json(paths.manifest, {**TRAINING, "inputs": inputs})
    evaluation = {**EVALUATION["inputs"], "checkpoint": inputs["rows"], "files": {}}
    write_json(paths.evaluation_manifest, {**EVALUATION, "inputs": evaluation})


def test_what_a_run_recorded_is_kept_with_its_comparison(study, on_disk):
    """Of the machine neither the folder nor the command."""
    words = [*on_disk, "--planted", str(study / "planted.npy")]
    with pytest.raises(SystemExit):  # which of them are the rows of?
        study_results.main([on_disk[0], *words])
    np.save(study / "planted.npy", [0.5])
    with pytest.raises(SystemExit, match="planted.npy: found float64"):
        study_results.main(words)
    np.save(study / "planted.npy", [0, 301, 302, 409])
    assert study_results.main(words) == 0
    text = (study / "small_0.1.json").read_text()
    assert "somebody" not in text and "differences" not in text
    assert json.loads(text)["sources"] == {"one": {"pool_rows": 9, "selectable": 4 + max(SEEDS)}}
    kept = json.loads(text)["recorded"]
    first = kept[run_of("s2l_released", 3)]
    assert first["shared_with"] == {"random_per_source": 0.75, "random": 0.25}
    assert first["shared_with_other_seeds"] == 0.25
    assert "shared_with_other_seeds" not in kept[run_of("full", 3)]
    assert (first["planted"], kept[run_of("s2l_released", 4)]["planted"]) == (0.75, 0.5)
    assert first["seconds"] == TRAINING["provenance"]["seconds"]
    assert first["pool"] == TRAINING["inputs"]["pool"]
    assert "planted" not in kept[run_of("full", 3)]
    shown = make_results.page("{{small_0.1}}", study_files.all_results(study, study))
    assert "| shared by two seeds |" in shown and "| 75% | 25% | 25% |" in shown
    assert "| s2l_released | 50.0% | 25.0% to 75.0% |" in shown
    assert "| one | 4 | 4 | +0.000 (+0.000 to +0.000) |" in shown


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("comparisons/small_0.1/comparison.json", "", "comparison.json is damaged"),
        ("comparisons/small_0.1/comparison.json", "[1]", "comparison.json is damaged"),
        ("small_random_0.1_seed3/subset/indices.npy", "", "indices.npy: found other contents"),
        ("small_random_0.1_seed3/subset/composition.json", None, "composition.json is gone"),
        ("small_random_0.1_seed3/manifest.json", "{}", "manifest.json is damaged"),
        ("planted.npy", "1 2", "planted.npy: found no readable"),
    ],
)
def test_nothing_is_kept_of_a_damaged_file(study, on_disk, res_dir, file, content, message):
    np.save(res_dir / "planted.npy", [0])
    path = res_dir / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(SystemExit) as ended:
        study_results.main([*on_disk, "--planted", str(res_dir / "planted.npy")])
    assert message in str(ended.value)
    assert not (study / "small_0.1.json").exists()


def test_a_changed_value_is_noticed_before_and_after_it_is_kept(study, on_disk):
    assert study_results.main(on_disk) == 0
    kept, compared_file = study / "small_0.1.json", comparison_path("small_0.1")
    for path in (kept, compared_file):
        path.write_text(path.read_text().replace("99.0", "98.0", 1))
    noticed = r"small_0.1.*other contents than were written \(sha256\)"
    with pytest.raises(ValueError, match=noticed):
        study_files.all_results(study, study)
    with pytest.raises(SystemExit, match=noticed):
        study_results.main(on_disk)


RUN = run_of("random", 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kept: kept.pop("recorded"), "no recorded"),
        (lambda kept: kept["recorded"].pop(RUN), f"no record of {RUN}"),
        (lambda kept: kept["recorded"][RUN].pop("planted"), f"no planted of {RUN}"),
        (lambda kept: kept["recorded"][RUN].update(device=None), f"recorded.{RUN}.device None"),
        (lambda kept: kept["measures"][0]["values"].pop(RUN), f"loss_average of {RUN}"),
        (lambda kept: kept["measures"][0]["values"].update({RUN: "x"}), f"measures.0.values.{RUN} 'x'"),
        (lambda kept: kept["measures"][2]["values"].pop(RUN), f"loss of one of {RUN}"),
        (lambda kept: kept["measures"].append(kept["measures"][0]), "loss_average of all in heldout 2 times"),
        (lambda kept: kept["runs"].append(kept["runs"][0]), "small_random_per_source_0.1_seed3 2 times"),
    ],
)
def test_a_kept_comparison_with_a_gap_is_refused_by_name(study, change, message):
    kept_comparison(study)
    kept = json.loads((study / "small_0.1.json").read_text())
    change(kept)
    rewrite(study / "small_0.1.json", kept)
    with pytest.raises(ValueError, match=message) as refused:
        study_files.all_results(study, study)
    assert "small_0.1.json" in str(refused.value)


def test_a_value_that_is_no_number_is_not_kept(study, on_disk):
    """Of a file of an earlier version, which had no checksum, and of a page's."""
    kept_comparison(study)
    path = comparison_path("small_0.1")
    forget_checksums(path)
    for file in (path, study / "small_0.1.json"):
        file.write_text(file.read_text().replace("99.0", "NaN", 1))
    with pytest.raises(SystemExit, match="comparison.json.*no number for the loss of one in heldout of "):
        study_results.main(on_disk)
    with pytest.raises(ValueError, match="small_0.1.json"):
        study_files.all_results(study, study)


def _another_arm(kept):
    kept["arms"].append({**kept["arms"][2], "letter": "E", "label": "s2l, num_clusters 7"})
    kept["runs"][7]["arm"] = "E"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_another_arm, "the runs of s2l_released are the arms C, E, expected one"),
        (lambda kept: [run.update(arm="A") for run in kept["runs"]], "random_per_source and random are both"),
        (lambda kept: kept["runs"][7].update(seed=9), "small_s2l_released_0.1_seed4 has the seed 9"),
        (lambda kept: kept["runs"][7].update(subset_seed=9), "seed4 has the seed 4 and chose by 9"),
        (lambda kept: kept["runs"][10].update(subset_seed=4), "small_full_seed4 has the seed 4 and chose by"),
        (
            lambda kept: kept["unlike"].append("model.dtype: float32, bfloat16"),
            "more than their data: model",
        ),
        (lambda kept: kept["arms"][2].update(method="random"), "s2l_released is s2l and the arm C"),
        (lambda kept: kept["arms"][3].update(method="s2l"), "full is the arm D"),
        (lambda kept: kept["arms"].pop(2), "no arm C"),
    ],
)
def test_run_names_alone_make_no_arm(study, on_disk, change, message):
    """Neither what run_experiment.py wrote nor what was kept of it."""
    kept_comparison(study)
    for path in (comparison_path("small_0.1"), study / "small_0.1.json"):
        values = json.loads(path.read_text())
        change(values)
        rewrite(path, values)
    with pytest.raises(SystemExit, match=message):
        study_results.main(on_disk)
    with pytest.raises(ValueError, match=message):
        study_files.all_results(study, study)


@pytest.mark.parametrize(
    ("settings", "told_apart_by", "is_right"),
    [
        ({"method": "random"}, {}, False),
        ({"method": "s2l"}, {"pick": "not set"}, True),
        ({"method": "s2l", "pick": "brittle"}, {"pick": "brittle"}, True),
        ({"method": "s2l", "pick": "stable"}, {"pick": "brittle"}, False),
        ({"method": "s2l", "pick": "brittle"}, {}, True),  # as far as this file tells
        ({"method": "s2l", "preset": "fall"}, {"source_exponent": 1.0, "source_weight": "fall"}, True),
        ({"method": "s2l"}, {"source_exponent": 1.0}, False),
        ({"method": "s2l", "preset": "fall"}, {"preset": "fall"}, True),
        ({"method": "s2l", "source_exponent": 1.0, "source_weight": "fall"}, {"preset": "fall"}, True),
        ({"method": "s2l"}, {"preset": "fall"}, False),
        ({"method": "s2l"}, {"preset": "released"}, True),
        ({"method": "s2l", "num_restarts": 2}, {"preset": "released"}, False),
        ({"method": "s2l", "preset": "paper"}, {"max_points_per_centroid": None, "num_rows": 9}, True),
        ({"method": "s2l"}, {"num_clusters": DERIVED}, True),
        ({"method": "s2l"}, {"num_clusters": 7}, False),
        ({"method": "s2l", "num_clusters": 7}, {"num_clusters": 7}, True),
        ({"method": "s2l"}, {"drop": ["never_learnt"]}, False),
    ],
)
def test_a_label_is_the_arm_that_its_settings_say(study, settings, told_apart_by, is_right):
    kept_comparison(study)
    path = study / "small_0.1.json"
    kept = json.loads(path.read_text())
    kept["arms"][2]["told_apart_by"] = told_apart_by
    rewrite(path, kept)
    experiment = study / "experiment_small.yml"
    values = yaml.safe_load(experiment.read_text())
    values["methods"]["s2l_released"] = settings
    experiment.write_text(yaml.safe_dump(values, sort_keys=False))
    if is_right:
        assert "s2l_released" in study_files.all_results(study, study)["small_0.1"].arms
        return
    with pytest.raises(ValueError, match="s2l_released (is|has) .* the arm C"):
        study_files.all_results(study, study)


def test_a_label_has_no_setting_that_tells_another_arm_apart(study):
    """But for a default, which a comparison names beside another setting."""
    kept_comparison(study)
    path = study / "small_0.1.json"
    kept = json.loads(path.read_text())
    told = {"pick": "brittle", "source_exponent": 0.25, "source_weight": "rows"}
    kept["arms"].append({**kept["arms"][2], "letter": "E", "runs": [], "told_apart_by": told})
    rewrite(path, kept)
    study_files.all_results(study, study)
    experiment = study / "experiment_small.yml"
    experiment.write_text(experiment.read_text().replace("method: s2l", "method: s2l\n    pick: brittle"))
    with pytest.raises(ValueError, match="s2l_released has pick brittle and is the arm C"):
        study_files.all_results(study, study)


def test_nothing_is_kept_of_runs_that_were_made_anew(study, on_disk):
    rows = np.array(ROWS_OF["random"])
    paths = RunPaths(run_of("random", 4))
    compared_evaluation = json.loads(paths.evaluation_manifest.read_text())
    anew = f"comparison.json: found another evaluation of {paths.root.name} than was compared"
    finished_run("random", 4, rows)  # chosen, trained and evaluated anew
    with pytest.raises(SystemExit, match=anew):
        study_results.main(on_disk)
    paths.evaluation_manifest.unlink()
    with pytest.raises(SystemExit, match=anew):
        study_results.main(on_disk)
    write_json(paths.evaluation_manifest, compared_evaluation)
    manifest = json.loads(paths.manifest.read_text())
    rewrite(paths.manifest, {**manifest, "inputs": {**manifest["inputs"], "rows": "d" * 64}})  # chosen alone
    with pytest.raises(SystemExit, match=f"found other rows than {paths.root.name} was trained on"):
        study_results.main(on_disk)
    assert not (study / "small_0.1.json").exists()
    finished_run("random", 4, np.array([row + 400 if row else 0 for row in rows]))
    assert study_results.main(on_disk) == 0


# ---------------------------------------------------------------------------------------------- clusters


def test_the_commonest_source_is_counted_as_a_loop_counts_it():
    generator = np.random.default_rng(0)
    clusters_n, sources_n = generator.integers(0, 7, 200), generator.integers(0, 4, 200)
    of_commonest = sum(
        max(int(np.sum((clusters_n == cluster) & (sources_n == source))) for source in range(4))
        for cluster in range(7)
    )
    assert study_clusters.commonest_source(clusters_n, sources_n) == of_commonest / 200


def test_proxies_agree_on_the_part_of_a_trajectory_that_they_share():
    """A level and a slope that both see, and noise that each has of its own."""
    generator = np.random.default_rng(0)
    level_n, slope_n = generator.normal(0, 5, 3000), generator.normal(0, 1, 3000)
    shared_nT = level_n[:, None] + slope_n[:, None] * np.linspace(-1, 1, 6)
    proxies = [shared_nT + generator.normal(0, 0.1, shared_nT.shape) + 3 for _ in range(3)]
    components = study_clusters.agreement_of_components(proxies)
    assert all(len(each["share"]) == 3 and len(each["correlation"]) == 3 for each in components)
    assert sum(each["share"][0] for each in components) == pytest.approx(1)
    expected = 6 * level_n.var() / np.cov(proxies[0].T, bias=True).trace()
    assert components[0]["share"][0] == pytest.approx(expected, rel=0.02)
    assert min(components[0]["correlation"] + components[1]["correlation"]) > 0.97
    assert max(abs(value) for each in components[2:] for value in each["correlation"]) < 0.1


def scored_run(name: str, pool: Path, losses_NT: np.ndarray) -> None:
    """A proxy that scored the pool, as its files say."""
    paths = RunPaths(name)
    paths.root.mkdir(parents=True)
    values = {"run_name": name, "data": {"path": str(pool)}}
    paths.config.write_text(yaml.safe_dump(values))
    write_json(paths.manifest, TRAINING)
    data = RunConfig.model_validate(values).data_section
    num_rows = len(losses_NT)
    inputs = {**SCORING_INPUTS, "pool": Pool(data).fingerprint, "num_examples": num_rows}
    steps = range(10, 10 * losses_NT.shape[1] + 1, 10)
    folder = TrajectoryFolder(paths.trajectories)
    request = ScoringRequest(inputs, {step: f"at {step}" for step in steps}, np.full(num_rows, 3, np.int32))
    folder.begin(request)
    for step, losses_N in zip(steps, losses_NT.T, strict=True):
        embeddings = np.stack([losses_N, losses_N**2], axis=1).astype(np.float16)
        kept = {"loss": losses_N, "embeddings": embeddings}
        folder.finish(step, num_rows, [(np.arange(num_rows), kept, 0.0)])


def test_clusters_of_proxies_end_up_in_tables(res_dir, tmp_path):
    rows = [{**row, "source": "ab"[place % 2]} for place, row in enumerate(pool_rows(300))]
    pool = write_jsonl(tmp_path / "pool.jsonl", rows)
    generator = np.random.default_rng(0)
    level_N = generator.uniform(1, 5, 300)
    names = ["one", "two", "three", "four"]
    for name in names:
        losses_NT = level_N[:, None] + generator.normal(0, 0.01, (300, 3))
        scored_run(name, pool, losses_NT.astype(np.float32))
    output = tmp_path / "clusters.json"
    assert study_clusters.main([*names, "--output", str(output)]) == 0
    kept = json.loads(output.read_text())
    assert kept["num_rows"] == 300 and kept["features"].keys() == set(study_clusters._FEATURES)
    shown = make_results.page("{{clusters}}", {}, study_files.all_analyses(tmp_path))
    assert "| 1 | " in shown and "| losses | " in shown and "over 4 proxies" in shown
    of_means = kept["means_of_two"]
    assert len(of_means["components"]) == 3 and len(of_means["components"][0]) == 3
    assert min(of_means["components"][0]) > 0.99 and len(of_means["clusters"]["shape"]) == 3


def test_means_of_two_proxies_agree_better_than_proxies_do():
    """A part that two proxies agree on with r, their means agree on with 2r / (1 + r) (Spearman, Brown)."""
    generator = np.random.default_rng(0)
    shared_nT = generator.normal(0, 1, (4000, 3)) * [4, 1, 0.5]
    found = []
    for _ in range(4):
        losses_nT = (shared_nT + generator.normal(0, 1, shared_nT.shape)).astype(np.float32)
        trajectories = Trajectories([1, 2, 3], list(losses_nT.T), None, Path("made here"))
        rows = np.arange(len(losses_nT))
        found.append(
            Candidates(rows, np.zeros(len(rows), np.int32), ["a"], len(rows), trajectories, rows[:0])
        )
    alone = study_clusters.agreement_of_components([each.read_losses(slice(None)) for each in found])
    together = study_clusters.agreement_of_means(found)["components"]
    for one, both in zip(alone, together, strict=True):
        r = np.mean(one["correlation"])
        assert np.mean(both) == pytest.approx(2 * r / (1 + r), abs=0.03)


# --------------------------------------------------------------------------------------- proxies of sizes


def test_sizes_of_proxies_end_up_in_a_table(res_dir, tmp_path, monkeypatch):
    """Two small ones that see the same but for a little noise, and a large one that sees the level alone."""
    rows = [{**row, "source": "ab"[place % 2]} for place, row in enumerate(pool_rows(600))]
    pool = write_jsonl(tmp_path / "pool.jsonl", rows)
    generator = np.random.default_rng(0)
    level_N, fall_N = generator.uniform(3, 9, 600), generator.uniform(0, 2, 600)
    other_fall_N = generator.permutation(fall_N)
    for name, falls_N in {"small_0": fall_N, "small_1": fall_N, "large": other_fall_N}.items():
        losses_NT = level_N[:, None] - falls_N[:, None] * [0, 0.5, 1]
        losses_NT += generator.normal(0, 0.01, losses_NT.shape)
        scored_run(name, pool, losses_NT.astype(np.float32))
    monkeypatch.setattr(study_sizes, "num_parameters", lambda run: 2_200_000 if run == "large" else 210_000)
    output = tmp_path / "sizes.json"
    assert study_sizes.main(["small_0", "small_1", "large", "--output", str(output)]) == 0
    kept = json.loads(output.read_text())
    of_pair = {tuple(pair["proxies"]): pair for pair in kept["pairs"]}
    alike, apart = of_pair["small_0", "small_1"], of_pair["small_0", "large"]
    assert alike["last"] > 0.99 and alike["fall"] > 0.99 and abs(apart["fall"]) < 0.2 < apart["last"]
    for preset in ("released", "paper"):
        assert alike["clusters"][preset] > apart["clusters"][preset]
        assert alike["rows"][preset] > apart["rows"][preset]
    shown = make_results.page("{{sizes}}", {}, study_files.all_analyses(tmp_path))
    means = [
        np.mean([of_pair[name, "large"][key] for name in ("small_0", "small_1")]) for key in ("last", "fall")
    ]
    assert f"| 0.21 and 0.21 | 1 | {alike['last']:.2f} | {alike['fall']:.2f} | " in shown
    assert f"| 0.21 and 2.2 | 2 | {means[0]:.2f} | {means[1]:.2f} | " in shown
    random_rows = np.mean([each["rows"]["released"] for each in kept["chance"]])
    assert f"| one proxy, random rows | 3 |  |  |  | {random_rows:.2f} |  |  |" in shown


def test_the_share_of_rows_that_two_choices_share_is_counted(res_dir, tmp_path):
    rows = [{**row, "source": "ab"[place % 2]} for place, row in enumerate(pool_rows(300))]
    losses_NT = np.random.default_rng(0).uniform(1, 5, (300, 3)).astype(np.float32)
    scored_run("proxy", write_jsonl(tmp_path / "pool.jsonl", rows), losses_NT)
    pool = pool_of("proxy")
    one, same = (study_sizes.Choices.of(pool, "proxy") for _ in range(2))
    found = study_sizes.agreement(pool, one, same)
    assert found["last"] == found["fall"] == pytest.approx(1)
    assert set(found["rows"].values()) == set(found["clusters"].values()) == {1.0}
    chance = study_sizes.compared_with_chance(one)
    random_rows = study_sizes.chosen(one.candidates, 0.11, 0, method="random_per_source").rows
    both = len(set(one.by_preset["released"].rows) & set(random_rows))
    assert chance["rows"]["released"] == pytest.approx(both / len(random_rows))
    with pytest.raises(SystemExit, match="found proxy, proxy, expected two proxies or more, each once"):
        study_sizes.main(["proxy", "proxy"])
    fewer = replace(one.candidates, rows=one.candidates.rows[:-1])
    with pytest.raises(ValueError, match="losses of different rows"):
        study_sizes.agreement(pool, one, study_sizes.Choices(fewer, {}))


# -------------------------------------------------------------------------------------------- near-copies


@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=9).map(" ".join), min_size=1, max_size=12), st.data()
)
def test_near_copies_are_those_of_two_loops(of_pool, data):
    questions = data.draw(st.lists(st.sampled_from(of_pool), min_size=1, max_size=4))
    found = study_near_copies.near_copies(questions, of_pool)
    for question, rows in zip(questions, found, strict=True):
        own = study_near_copies.runs_of_words(question)
        expected = [
            row
            for row, text in enumerate(of_pool)
            if len(own & (other := study_near_copies.runs_of_words(text))) / len(own | other) > 0.5
        ]
        assert rows == expected and of_pool.index(question) in rows


def test_runs_of_words_leave_out_the_choices():
    runs = study_near_copies.runs_of_words("Find 14^7 - 16^4 now!\nAnswer Choices: (A) 1 (B) 2")
    assert runs == {("find", "14", "7", "16", "4"), ("14", "7", "16", "4", "now")}
    assert study_near_copies.runs_of_words("Why?") == {("why",)}


def test_losses_are_averaged_over_rows_with_near_copies_and_those_without(make_config, res_dir, tmp_path):
    """Three of the held-out rows are rows of the pool. The losses are those of a loop."""
    proxy, pool = make_config("proxy", data={"max_length": 300}), pool_rows(90)
    others = [
        {**row, "instruction": f"What is said of animal {k}?"} for k, row in enumerate(pool_rows(10, 1))
    ]
    heldout = write_jsonl(tmp_path / "heldout.jsonl", [*pool[:3], *others])
    target = make_config(
        "target", data={"max_length": 300}, checkpoints={"count": 1}, evaluation={"heldout": str(heldout)}
    )
    values = {"name": "e", "proxy": str(proxy), "target": str(target), "budgets": [30], "seeds": [0]}
    path = tmp_path / "e.yml"
    path.write_text(yaml.safe_dump({**values, "methods": ["longest", "random"]}))
    assert run_experiment.main(["--config_file", str(path)]) == 0
    assert study_near_copies.main([str(path), "--output", str(tmp_path / "near_copies.json")]) == 0
    kept = json.loads((tmp_path / "near_copies.json").read_text())
    assert (kept["num_heldout"], kept["num_with"]) == (13, 3)
    config, _ = load_config(target)
    tokenizer: Any = load_tokenizer(config.model_section)
    rows = tokenize_pool(
        Pool(DataConfig(path=str(heldout))), tokenizer, config.data_section.template, 300, False
    )
    copies = study_near_copies.near_copies(
        [row["instruction"] for row in pool[:3]], [row["instruction"] for row in pool]
    )
    of_arm, run = kept["arms"]["longest"], RunPaths("e_longest_30_seed0")
    (checkpoint,) = checkpoints_in(run.root).values()
    losses = plain_losses(load_checkpoint(checkpoint, config.model_section), rows)
    expected = {"all": losses.mean(), "with": losses[:3].mean(), "without": losses[3:].mean()}
    for part, loss in expected.items():
        assert of_arm[part] == [pytest.approx(loss, rel=1e-5)]
    assert of_arm["chosen"] == [sum(np.isin(each, read_subset(run.subset).indices).any() for each in copies)]


def test_near_copies_are_measured_at_one_budget_of_runs_that_were_compared(make_config, res_dir, tmp_path):
    target = make_config("target", evaluation={"heldout": str(tmp_path / "pool.jsonl")})
    values = {"name": "e", "proxy": str(make_config("proxy")), "target": str(target), "seeds": [0]}
    for budgets, message in (([20, 30], "expected one: name one alone"), ([30], "does not exist")):
        path = tmp_path / "e.yml"
        path.write_text(yaml.safe_dump({**values, "methods": ["random"], "budgets": budgets}))
        with pytest.raises(SystemExit, match=f"error: .*{message}"):
            study_near_copies.main([str(path)])


def test_near_copies_end_up_in_a_table(tmp_path):
    made = {"devices": ["cpu"], "versions": ["Python 3.12.1"], "git_commits": ["c" * 40], "pool": "p"}
    losses = {
        "random_per_source": {
            "all": [2.0, 3.0],
            "with": [1.0, 2.0],
            "without": [3.0, 4.0],
            "chosen": [9, 11],
        },
        "tacs": {"all": [1.5, 2.5], "with": [0.25, 1.25], "without": [2.75, 3.75], "chosen": [20, 20]},
    }
    kept = {**made, "experiment": "e.yml", "seeds": [0, 1], "num_heldout": 40, "num_with": 24, "arms": losses}
    keep_analysis(tmp_path / "near_copies.json", ["r"], kept)
    shown = make_results.page("{{near_copies}}", {}, study_files.all_analyses(tmp_path))
    assert "| random_per_source | 10 |  |  |  |" in shown
    assert "| tacs | 20 | **-0.500 (-0.500 to -0.500)** | **-0.250 (-0.250 to -0.250)** | **-0.750 " in shown


# ---------------------------------------------------------------------------------------- who chooses noise


def test_noise_is_counted_in_the_subsets_of_an_experiment(res_dir, tmp_path):
    """Rows of noise never fall, so the method that takes the largest falls takes none."""
    pool = write_jsonl(tmp_path / "pool.jsonl", pool_rows(200))
    generator = np.random.default_rng(0)
    planted = generator.permutation(200)[:40]
    losses_NT = np.linspace(4, 1, 3) + generator.uniform(0, 1, (200, 1))
    losses_NT[planted] = generator.uniform(4, 5, (40, 1))
    model = {"architecture": ARCHITECTURES["llama"], "tokenizer": "made here"}
    for name, more in (("proxy", {}), ("target", {"evaluation": {"heldout": str(pool)}})):
        values = {"run_name": name, "model": model, "data": {"path": str(pool)}, **more}
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump(values))
    for seed in SEEDS:
        scored_run(f"proxy_seed{seed}", pool, losses_NT.astype(np.float32))
    methods = {"random_per_source": None, "s2l_brittle": {"method": "s2l", "pick": "brittle"}, "full": None}
    paths = {"proxy": str(tmp_path / "proxy.yml"), "target": str(tmp_path / "target.yml")}
    values = {"name": "e", **paths, "methods": methods, "budgets": [0.1], "seeds": SEEDS}
    (tmp_path / "e.yml").write_text(yaml.safe_dump({**values, "proxy_per_seed": True}, sort_keys=False))
    np.save(tmp_path / "planted.npy", planted)
    words = [str(tmp_path / "e.yml"), str(tmp_path / "planted.npy"), "--output", str(tmp_path / "noise.json")]
    for _ in range(2):  # the second time finds the subsets
        assert study_noise.main(words) == 0
    kept = json.loads((tmp_path / "noise.json").read_text())
    assert kept["share_of_pool"] == 0.2 and list(kept["shares"]) == ["random_per_source", "s2l_brittle"]
    for label, of_seeds in kept["shares"].items():
        for seed in SEEDS:
            indices = np.load(RunPaths(f"e_{label}_0.1_seed{seed}").subset / "indices.npy")
            assert of_seeds[str(seed)] == sum(row in planted for row in indices) / 20
    assert sum(kept["shares"]["s2l_brittle"].values()) < sum(kept["shares"]["random_per_source"].values())
    shown = make_results.page("{{noise}}", {}, study_files.all_analyses(tmp_path))
    of_control = [100 * share for share in kept["shares"]["random_per_source"].values()]
    assert f"| random_per_source | {np.mean(of_control):.1f} | {min(of_control):.1f} to " in shown


# ----------------------------------------------------------------------------------- the end of a sequence


def test_the_fault_of_the_released_code_costs_each_row_with_an_end(make_config, res_dir, tmp_path, capfd):
    config_file = make_config("proxy", num_rows=600, data={"max_length": 300})
    assert train.main(["--config_file", str(config_file)]) == 0
    assert run_distributed_trajectories.main(["--config_file", str(config_file)]) == 0
    for _ in range(2):  # the second time finds all that it needs
        assert study_end_token.main(["proxy", "--output", str(tmp_path / "end_token.json")]) == 0
    checkpoints = checkpoints_in(RunPaths("proxy").root)
    copies = checkpoints_in(RunPaths("proxy_end_token").root / "copies")
    assert checkpoints.keys() == copies.keys()
    for step, checkpoint in checkpoints.items():
        sound, faulty = (load_file(folder / "model.safetensors") for folder in (checkpoint, copies[step]))
        changed = [name for name, weight in sound.items() if not torch.equal(weight, faulty[name])]
        assert len(changed) == 2
        for name in changed:  # 0 is the end-of-sequence token of the tests' tokenizer
            assert torch.equal(sound[name][1:], faulty[name][1:])
            torch.testing.assert_close(faulty[name][0], sound[name][1:].mean(dim=0))
    kept = json.loads((tmp_path / "end_token.json").read_text())
    (measured,) = kept["measured"]
    assert sum(rows for _, _, rows, _ in measured["added_loss"]) == 600
    assert min(nats for *_, nats in measured["added_loss"]) > 0
    assert measured["same_clusters"]["faulty"] < 1


def test_the_share_between_clusters_is_that_of_a_loop():
    generator = np.random.default_rng(0)
    sources_n = generator.integers(0, 3, 300)
    clusters_n = sources_n * 10 + generator.integers(0, 4, 300)
    value_n = generator.normal(sources_n + clusters_n % 10)
    of_sources, of_clusters = (
        sum(
            ((value_n[groups_n == group] - value_n[groups_n == group].mean()) ** 2).sum()
            for group in set(groups_n)
        )
        for groups_n in (sources_n, clusters_n)
    )
    found = study_end_token.share_between(clusters_n, sources_n, value_n)
    assert found == pytest.approx(1 - of_clusters / of_sources)
    assert study_end_token.share_between(sources_n, sources_n, value_n) == pytest.approx(0)


def test_what_is_added_is_averaged_over_rows_of_like_length():
    length_n = np.repeat(np.arange(1, 11), 7)
    tenths = study_end_token.added_by_length(8 / length_n, length_n)
    assert tenths == [[length, length, 7, pytest.approx(8 / length)] for length in range(1, 11)]


def test_rank_correlations_by_source_are_those_of_scipy(tmp_path):
    rows = [{**row, "source": "ab"[place % 2]} for place, row in enumerate(pool_rows(60))]
    values = {"run_name": "x", "data": {"path": str(write_jsonl(tmp_path / "pool.jsonl", rows))}}
    pool = Pool(RunConfig.model_validate(values).data_section)
    generator = np.random.default_rng(0)
    one_N = generator.normal(size=60)
    other_N = one_N + generator.normal(size=60)
    other_N[4] = np.nan
    found = study_agreement.by_source(pool, one_N, other_N)
    assert {source: num_rows for source, (num_rows, _) in found.items()} == {"": 59, "a": 29, "b": 30}
    assert found["b"][1] == pytest.approx(stats.spearmanr(one_N[1::2], other_N[1::2])[0])
    other_N[np.arange(0, 58, 2)] = np.nan  # of source a one row is left, which has no order
    assert study_agreement.by_source(pool, one_N, other_N).keys() == {"", "b"}


def test_losses_of_another_pool_are_not_compared(res_dir, tmp_path):
    """Of as many rows, as the study's noisy pool is."""
    rows = pool_rows(40)
    scored_run("proxy", write_jsonl(tmp_path / "pool.jsonl", rows), np.ones((40, 2), np.float32))
    scored_run("target", write_jsonl(tmp_path / "other.jsonl", rows[::-1]), np.ones((40, 2), np.float32))
    assert len(study_agreement.newest_losses(pool_of("proxy"), "proxy")) == 40
    with pytest.raises(ValueError, match="target.*name runs that scored the same pool"):
        study_agreement.newest_losses(pool_of("proxy"), "target")


def test_analyses_end_up_in_tables(tmp_path):
    sides = {"sound": 0.25, "faulty": 0.75, "other_seed": 0.5, "no_clusters": 0.875}
    names = ("level_and_length", "length_by_cluster", "same_clusters", "same_rows", "response_tokens")
    measured = {"added_loss": [[1, 2, 30, 4.0], [3, 3, 31, 2.5]], **dict.fromkeys(names, sides)}
    made = {"devices": ["cpu"], "versions": ["Python 3.12.1"], "git_commits": ["c" * 40], "pool": "p"}
    kept = {**made, "proxies": ["one"], "budget": 0.11, "measured": [measured]}
    keep_analysis(tmp_path / "end_token.json", ["one"], kept)
    keep_analysis(tmp_path / "agreement.json", ["p", "t"], AGREEMENT)
    shown = make_results.page("{{end_token}}\n\n{{agreement}}", {}, study_files.all_analyses(tmp_path))
    assert "| 1 to 2 | 30 | 4.000 |\n| 3 | 31 | 2.500 |" in shown
    assert "| response tokens of a chosen row | 0.25 | 0.75 |" in shown
    assert "| clusters (adjusted Rand index) | 0.75 | 0.50 (another seed of k-means) |" in shown
    assert "| chosen rows, of 11% of the pool | 0.75 | 0.88 (without clusters) |" in shown
    assert "| all | 1,234 | 0.600 ± 0.141 | 0.900 |" in shown


# ------------------------------------------------------------------------------------------------- data


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[list[dict[str, Any]], list[Path]]:
    """A pool with a copy of every tenth row, and the study's data of it, made twice."""
    rows = [{**row, "source": f"source {number % 3}"} for number, row in enumerate(pool_rows(3900))]
    rows += rows[::10]
    folder = tmp_path_factory.mktemp("study")
    pool = write_jsonl(folder / "all.jsonl", rows)
    made = [folder / "one", folder / "two"]
    for output in made:
        assert study_data.main(words_of(pool, output)) == 0
    return rows, made


def words_of(pool: Path, output: Path) -> list[str]:
    return [str(pool), "--output_dir", str(output), "--aim_at", "source 1"]


def files_in(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_replaced_that_the_script_did_not_make(folders, tmp_path):
    made = folders[1][0]
    pool = made.parent / "all.jsonl"
    others = shutil.copytree(made, tmp_path / "others")
    (others / "tokenizer/notes.txt").write_text("mine")
    result, part = tmp_path / "result", tmp_path / "part"
    result.mkdir()
    (result / "result.json").write_text("{}")
    shutil.copytree(made, part)
    (part / "noisy_rows.npy").unlink()
    (tmp_path / "file").write_text("mine")
    refused = {
        others: "found tokenizer/notes.txt in",
        result: "found result.json in",
        part: "found a part in",
        tmp_path / "file": "found a file",
        pool.parent: "which is replaced",
    }
    before = files_in(tmp_path)
    for output, words in refused.items():
        with pytest.raises(SystemExit, match=words):
            study_data.main(words_of(pool, output))
    after = {path: content for path, content in files_in(tmp_path).items() if ".locks" not in path.parts}
    assert after == before and pool.is_file()


def test_an_error_leaves_the_data_as_they_were(folders, tmp_path, monkeypatch):
    made = folders[1][0]
    pool = made.parent / "all.jsonl"
    output = shutil.copytree(made, tmp_path / "data")
    (output / "pool.jsonl").write_text("as it was\n")
    before = files_in(output)
    with monkeypatch.context() as patch:
        patch.setattr(study_data, "train_tokenizer", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            study_data.main(words_of(pool, output))
    assert files_in(output) == before
    (tmp_path / ".data.parts").mkdir()  # as a kill leaves it
    (tmp_path / ".data.parts/pool.jsonl").write_text("half")
    assert study_data.main(words_of(pool, output)) == 0
    assert files_in(output) == files_in(made) and not (tmp_path / ".data.parts").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"instruction": "a", "output": "b"}', "row 1: source: found None, expected a text"),
        ('{"source": null, "instruction": "a", "output": "b"}', "row 1: source: found None"),
        ('{"source": "s", "instruction": "a"}', "row 1: output: found None"),
        ('{"source": "s", "instruction": "a", "output": NaN}', "row 1: output: found nan"),
        ('{"source": "s", "instruction": "a", "output": "b"', "line 1 is not JSON"),
        ('{"source": "s", "instruction": "a", "output": "b"}', "--aim_at: source 1 has too few rows"),
        ("", "found no rows"),
    ],
)
def test_a_pool_that_does_not_serve_is_refused_by_name(tmp_path, line, message):
    pool = tmp_path / "pool.jsonl"
    for mark in ("", "\ufeff"):
        pool.write_text(mark + line + "\n" * bool(line), encoding="utf-8")
        with pytest.raises(SystemExit, match=message) as refused:
            study_data.main(words_of(pool, tmp_path / "data"))
        assert "pool.jsonl" in str(refused.value)
    assert not (tmp_path / "data").exists()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def texts(rows: list[dict[str, Any]]) -> set[str]:
    return {study_data.text_of(row) for row in rows}


def test_the_same_pool_gives_the_same_data(folders):
    one, two = folders[1]
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    assert len(files) > 10 and all((one / file).read_bytes() == (two / file).read_bytes() for file in files)


def test_nothing_that_is_measured_on_is_trained_on(folders):
    folder = folders[1][0]
    pairs = [("pool", "heldout"), ("pool_a", "heldout_a"), ("pool_b", "heldout_b")]
    pairs += [("pool_aim", "aim_test"), ("pool_aim", "aim_validation"), ("aim_validation", "aim_test")]
    for pool, measured in pairs:
        rows = read(folder / f"{measured}.jsonl")
        assert rows and not texts(read(folder / f"{pool}.jsonl")) & texts(rows), (pool, measured)


def test_halves_share_no_source_and_leave_out_none(folders):
    folder = folders[1][0]
    for name in ("pool", "heldout"):
        whole, a, b = (read(folder / f"{name}{half}.jsonl") for half in ("", "_a", "_b"))
        assert len(a) + len(b) == len(whole) and texts(a) | texts(b) == texts(whole)
        assert not {row["source"] for row in a} & {row["source"] for row in b}


def test_noise_is_a_fifth_of_each_source_and_stays_within_it(folders):
    folder = folders[1][0]
    pool, noisy = (read(folder / f"{name}.jsonl") for name in ("pool", "pool_noisy"))
    rows = np.load(folder / "noisy_rows.npy")
    assert [row for row in range(len(pool)) if pool[row] != noisy[row]] == rows.tolist()
    for source in {row["source"] for row in pool}:
        of_source = [row for row in range(len(pool)) if pool[row]["source"] == source]
        # The few that were handed the response that they had are none.
        assert 0.19 * len(of_source) < np.isin(of_source, rows).sum() <= round(0.2 * len(of_source))
        outputs = [sorted(some[row]["output"] for row in of_source) for some in (pool, noisy)]
        assert outputs[0] == outputs[1]


def test_a_row_that_is_handed_its_own_response_is_no_noise(tmp_path):
    """As of answers of one letter."""
    rows = [
        {"source": "source 1", "instruction": f"question {number}", "output": "ab"[number % 2]}
        for number in range(1500)
    ]
    folder = tmp_path / "data"
    assert study_data.main(words_of(write_jsonl(tmp_path / "pool.jsonl", rows), folder)) == 0
    pool, noisy = (read(folder / f"{name}.jsonl") for name in ("pool", "pool_noisy"))
    changed = [row for row in range(len(pool)) if pool[row] != noisy[row]]
    assert np.load(folder / "noisy_rows.npy").tolist() == changed and 100 < len(changed) < 200
