"""Where something is not there the page says what, and which command makes it."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import report
import select_s2l
from tests.artifacts.examples import EVALUATION_INPUTS, PROVENANCE, TRAINING, manifest_json
from tests.conftest import pool_rows, run_here, write_jsonl
from tests.reporting.page.artifacts import compared, curve, experiment
from tests.reporting.page.conftest import losses_of, write_config
from utils.artifacts.comparisons import write_comparison
from utils.artifacts.evaluations import identity_of_evaluation_of
from utils.artifacts.files import write_json
from utils.artifacts.paths import RunPaths
from utils.config.load import load_config
from utils.reporting.page.gathering.page_facts import gather_runs
from utils.reporting.page.gathering.subjects import OpenedPool, Subject


@pytest.fixture
def made(tmp_path: Path, alone: Path) -> Callable[..., Path]:
    """A run that chose rows: made(sources=.., num_checkpoints=.., method=.., ...) -> its YAML."""

    def make(
        name: str = "run",
        num_rows: int = 60,
        num_checkpoints: int = 3,
        source_of: Callable[[int], str] | None = None,
        choose: bool = True,
        **subset: Any,
    ) -> Path:
        rows = pool_rows(num_rows)
        for place, row in enumerate(rows):
            if source_of is not None:
                row["source"] = source_of(place)
        pool = write_jsonl(tmp_path / "pool.jsonl", rows)
        np.save(tmp_path / "losses.npy", losses_of(num_rows, num_checkpoints))
        config = write_config(tmp_path, name, pool, tmp_path / "losses.npy", **{"budget": 20, **subset})
        if choose:
            assert run_here(select_s2l, "--config_file", config) == 0
        return config

    return make


def page_of(res: Path, *words: str | Path, name: str = "run") -> str:
    """The page, as text without entities."""
    assert run_here(report, *words) == 0
    return html.unescape((res / name / "report.html").read_text(encoding="utf-8"))


def test_without_clusters(made, alone):
    config = made(method="random")
    page = page_of(alone, "--config_file", config)
    assert "chosen by random, which makes no clusters" in page
    assert f"python select_s2l.py --config_file {config} subset.method=s2l" in page
    assert 'id="panels"' not in page and 'data-figure="map"' in page


def test_without_trajectories(made, alone, tmp_path, browser):
    made(method="random")
    (tmp_path / "losses.npy").unlink()
    page = page_of(alone, "--config_file", tmp_path / "run.yml")
    assert "losses.npy" in page and "python run_distributed_trajectories.py --config_file" in page
    assert page.count("<dd>The loss trajectories are not there: see below.</dd>") == 2
    assert "Without loss trajectories there is no map." in page and 'data-figure="map"' not in page
    browser.messages()
    browser.open(alone / "run/report.html", "#q=pebbles")
    assert int(browser.text("#row-count").split()[0]) > 0
    assert browser.messages() == []


def test_without_an_evaluation(made, alone):
    config = made()
    page = page_of(alone, "--config_file", config)
    assert "has not been evaluated" in page
    assert f"python evaluate_run.py --config_file {config}" in page
    assert "python compare_runs.py run ANOTHER_RUN" in page
    assert f"python select_s2l.py --config_file {config} --stability" in page
    assert f"python select_s2l.py --config_file {config} --inspect" in page


def test_commands_are_those_of_the_run_that_was_asked_for(made, alone):
    """With the settings that were given behind the YAML, without which they would make another run."""
    config_file = made("run")
    settings = ["run_name=other", "subset.budget=7"]
    assert run_here(select_s2l, "--config_file", config_file, *settings) == 0
    text = page_of(alone, "--config_file", config_file, *settings, name="other")
    assert f"train.py --config_file {config_file} {' '.join(settings)}" in text


def test_without_a_model_no_command_needs_one(made, alone, tmp_path):
    """A subset for a program of somebody's own."""
    config = made()
    config.write_text(config.read_text().replace("model:\n  name_or_path: owner/model\n", ""))
    assert run_here(select_s2l, "--config_file", config, "--stability") == 0
    page = page_of(alone, "--config_file", config)
    assert "Its YAML names no model to train on the subset." in page
    assert "its own losses have not been measured" in page
    for script in ("train.py", "run_distributed_trajectories.py", "compare_runs.py"):
        assert f"python {script}" not in page


def test_a_target_is_trained_before_it_scores(made, alone):
    config = made()
    assert run_here(select_s2l, "--config_file", config, "--stability") == 0
    page = page_of(alone, "--config_file", config)
    again = ("train.py", "run_distributed_trajectories.py", "select_s2l.py")
    assert "\n".join(f"python {script} --config_file {config}" for script in again) + " --stability" in page


def test_the_commands_make_the_other_runs_of_the_comparison_too(made, alone):
    first = made("run")
    made("other", method="random")
    compared("run", "other")
    page = page_of(alone, "--config_file", first)
    titles = re.findall(r"<li><p><bdi>(.*?)</bdi>", page)
    assert titles == ["Choose the rows of run; choose the rows of other", "Compare"]  # by one command here
    assert "<code>python compare_runs.py run other</code>" in page
    assert f"They were typed in <bdi>{Path.cwd()}</bdi>," in page


def test_with_one_checkpoint(made, alone, browser):
    page = page_of(alone, "--config_file", made(num_checkpoints=1))
    assert "columns of a file" in page and "step col" not in page
    assert "There is one checkpoint, so a trajectory is a point" in page
    assert 'data-figure="first_loss"' not in page and 'data-figure="last_loss"' in page
    browser.messages()
    browser.open(alone / "run/report.html", "#row=3&cluster=0")
    assert browser.messages() == []
    for figure in ("[data-figure=one_cluster]", "[data-figure=different_clusters]", "#cluster-plot"):
        assert browser.run("return document.querySelectorAll(arguments[0]).length", f"{figure} .point") > 1


def test_columns_of_a_file_are_no_optimizer_steps(made, alone):
    page = page_of(alone, "--config_file", made())
    assert '"ticktext":["col 0","col 1","col 2"]' in page and "optimizer step" not in page


def test_one_row_is_no_rows(made, alone, browser):
    made(num_rows=10, source_of=str, budget=2)
    page_of(alone, "--config_file", alone.parent / "run.yml")
    browser.open(alone / "run/report.html", "#cluster=0")
    assert "1 row, " in browser.text(".panel") and "1 row, " in browser.text("#cluster-title")


def test_with_one_source(made, alone):
    page = page_of(alone, "--config_file", made(source_of=lambda _: ""))
    assert "(no source)" in page


def test_with_thousands_of_sources(made, alone, browser):
    page = page_of(alone, "--config_file", made(num_rows=10_000, source_of=lambda row: f"s{row % 5000}"))
    assert "4,980 other sources" in page
    assert "smallest clusters are left out of this page" in page
    browser.messages()
    browser.open(alone / "run/report.html")
    assert browser.text("#cluster-page").endswith("of 2,000")
    assert browser.messages() == []


def test_before_anything_was_chosen(made, alone):
    config = made(choose=False)
    page = page_of(alone, "--config_file", config)
    assert "<p>Run run has no subset yet.</p>" in page
    assert f"python select_s2l.py --config_file {config}" in page
    assert 'data-figure="map"' in page
    assert "Clusters are made when a subset is chosen." in page


def test_with_another_pool_than_was_chosen_from(made, alone, tmp_path):
    config = made()
    write_jsonl(tmp_path / "pool.jsonl", pool_rows(60, seed=5))
    page = page_of(alone, "--config_file", config)
    assert "is another pool than the subset was chosen from" in page and "rows-text" not in page


def test_without_the_pool(made, alone, tmp_path):
    config = made()
    (tmp_path / "pool.jsonl").unlink()
    page = page_of(alone, "--config_file", config)
    assert "The texts are left out" in page and "rows-text" not in page


def test_of_an_interrupted_experiment(made, alone):
    for budget in (10, 20):
        made(f"exp_{budget}", budget=budget)
    experiment("exp", ["exp_10", "exp_20", "exp_30"], ["exp_10", "exp_20", "exp_30"])
    page = page_of(alone, "--experiment", "exp", name="comparisons/exp")
    assert "The experiment is not finished: 3 of 3 runs are to do." in page
    assert "python run_experiment.py --config_file experiment.yml 'seeds=[0]'" in page
    assert page.count('class="word">chosen<') == 2 and page.count('class="word">to do<') == 1


def test_of_an_experiment_with_several_budgets(made, alone):
    runs = []
    for budget in (10, 20):
        made(f"s2l_{budget}", budget=budget)
        made(f"random_{budget}", budget=budget, method="random")
        pair = (f"s2l_{budget}", f"random_{budget}")
        compared(*pair, name=f"exp_{budget}", num_examples=budget)
        for run in pair:
            curve(run)
        runs += pair
    experiment("exp", runs, ["exp_10", "exp_20"])
    page = page_of(alone, "--experiment", "exp", name="comparisons/exp")
    assert 'data-figure="score_against_budget"' in page
    assert page.count('data-figure="differences_accuracy_10"') == page.count('data-figure="costs_20"') == 1
    assert "Rows that two subsets share" in page


def test_where_no_arm_answers_anything_right_the_page_goes_by_the_loss(made, alone):
    runs = []
    for budget in (10, 20):
        made(f"s2l_{budget}", budget=budget)
        made(f"random_{budget}", budget=budget, method="random")
        pair = (f"s2l_{budget}", f"random_{budget}")
        comparison = compared(*pair, name=f"exp_{budget}", num_examples=budget)
        values = [
            replace(each, mean=0.0) if each.measure.startswith("accuracy") else each
            for each in comparison.arm_values
        ]
        write_comparison(replace(comparison, arm_values=values, differences=[]))
        runs += pair
    experiment("exp", runs, ["exp_10", "exp_20"])
    page = page_of(alone, "--experiment", "exp", name="comparisons/exp")
    assert "<h3>Loss on held-out rows, sources alike, by budget</h3>" in page
    assert "Nothing that was measured tells its arms apart" in page


def test_subsets_of_an_experiment_have_its_names(made, alone):
    """Two ways of one method, at one budget and seed."""
    made("one")
    made("two", preset="paper")
    experiment("exp", ["one", "two"], ["exp_10"], labels=["released", "as_in_the_paper"])
    page = page_of(alone, "--experiment", "exp", name="comparisons/exp")
    assert "20 of 60 rows, chosen by released, beside as_in_the_paper" in page


def test_several_subsets_of_one_pool_side_by_side(made, alone):
    first = made("run")
    second = made("other", method="random")
    page = page_of(alone, "--config_file", first, second)
    assert "<title>run and other: what was selected</title>" in page
    assert "Rows that two subsets share" in page


def test_many_subsets_have_a_short_title_and_one_run_is_named_once(made, alone):
    configs = [made(f"run_{number}", method="random", budget=number) for number in range(5, 10)]
    page = page_of(alone, "--config_file", *configs, name="run_5")
    assert "<title>run_5 and 4 others: what was selected</title>" in page
    page = page_of(alone, "--config_file", configs[0], configs[0], name="run_5")
    assert "<title>run_5: what was selected</title>" in page


def test_the_first_screen_says_of_each_tile_what_is_its_own(made, alone):
    page = page_of(alone, "--config_file", made())
    assert ">losses.npy</a>" in page
    assert "<dd>What it cost is not known: no comparison says it.</dd>" in page


def test_figures_as_files(made, alone):
    assert run_here(report, "--config_file", made(), "--figures", "png") == 0
    names = {path.stem for path in (alone / "run/figures").glob("*.png")}
    assert {"map", "one_cluster", "different_clusters", "source_mix", "last_loss"} <= names


def test_figures_of_an_earlier_page_are_named(made, alone, capsys):
    """They may be older than the page, or somebody's own: none is removed."""
    config = made()
    folder = alone / "run/figures"
    folder.mkdir()
    for name in ("costs_20.png", "map.pdf", "map.svg", "notes.txt"):
        (folder / name).write_text("of an earlier page")
    assert run_here(report, "--config_file", config, "--figures", "svg") == 0
    assert "not of this page, but there: costs_20.png, map.pdf" in capsys.readouterr().out
    for name in ("costs_20.png", "map.pdf", "notes.txt"):
        assert (folder / name).read_text() == "of an earlier page"
    assert (folder / "map.svg").read_text() != "of an earlier page"


def test_a_dry_run_writes_nothing(made, alone, capsys):
    assert run_here(report, "--config_file", made(), "--dry_run") == 0
    assert "not there:" in capsys.readouterr().out
    assert not (alone / "run/report.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--experiment", "nothing"], "found no experiment and no comparison 'nothing'"),
        (["--config_file", "nowhere.yml"], "nowhere.yml"),
        (["--config_file", "seed=1"], "found no YAML beside seed=1"),
    ],
)
def test_names_of_nothing_are_refused(alone, capsys, words, message):
    assert run_here(report, *words) == 1
    assert message in capsys.readouterr().err


def test_subsets_of_different_pools_are_refused(made, alone, tmp_path, capsys):
    first = made("run")
    second = made("other", num_rows=50)
    assert run_here(report, "--config_file", first, second) == 1
    assert "was chosen from another pool" in capsys.readouterr().err


def test_the_same_page_from_the_same_files(made, alone):
    config = made()
    assert page_of(alone, "--config_file", config) == page_of(alone, "--config_file", config)


def test_an_inspection_of_other_losses_is_not_shown(made, alone):
    config = made()
    assert run_here(select_s2l, "--config_file", config, "--inspect") == 0
    path = alone / "run/inspection.json"
    shown = page_of(alone, "--config_file", config)
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "trajectories": "0" * 64}))
    assert "is of other losses than those that are there now" not in shown
    assert "is of other losses than those that are there now" in page_of(alone, "--config_file", config)


def test_losses_that_were_made_anew_are_not_drawn(made, alone, tmp_path):
    config = made()
    words = "were made anew since the rows were chosen by them"
    assert words not in page_of(alone, "--config_file", config)
    np.save(tmp_path / "losses.npy", losses_of(60, 3) + 1)
    page = page_of(alone, "--config_file", config)
    assert words in page and 'data-figure="last_loss"' not in page


def evaluated(run: str, checkpoint: str) -> str:
    """The record of an evaluation of these weights. Returns: its identity."""
    inputs = {**EVALUATION_INPUTS, "checkpoint": checkpoint * 64, "files": {}}
    manifest = manifest_json("evaluation", "complete", inputs, provenance=PROVENANCE)
    write_json(RunPaths(run).evaluation_manifest, manifest)
    identity = identity_of_evaluation_of(run)
    assert identity is not None
    return identity


def test_a_comparison_of_other_weights_is_not_shown(made, alone):
    config = made("run")
    made("other", method="random")
    comparison = compared("run", "other", name="exp")
    runs = [replace(run, evaluation=evaluated(run.name, "a")) for run in comparison.runs]
    write_comparison(replace(comparison, runs=runs))
    experiment("exp", ["run", "other"], ["exp"])
    shown, gone = 'data-figure="differences_accuracy"', "Comparison exp is not shown."
    page = page_of(alone, "--config_file", config)
    assert shown in page and gone not in page
    evaluated("other", "b")
    page = page_of(alone, "--config_file", config)
    assert shown not in page and gone in page and "these runs have now: other." in page
    assert "python compare_runs.py run other" in page and "No comparison names run" not in page
    page = page_of(alone, "--experiment", "exp", name="comparisons/exp")
    assert shown not in page and gone in page and "python run_experiment.py" in page
    evaluated("other", "a")
    RunPaths("run").evaluation_manifest.unlink()
    assert shown in page_of(alone, "--config_file", config), "a folder without its runs says nothing"
    write_json(RunPaths("run").manifest, TRAINING)
    page = page_of(alone, "--config_file", config)
    assert shown not in page and gone in page and "has not been evaluated" in page


def test_clusters_are_drawn_with_the_losses_that_made_them(made, alone, tmp_path):
    """And not with those of a run beside them, whose proxy was another one."""
    first = made("control", method="random_per_source")
    np.save(tmp_path / "others.npy", losses_of(60, 4, seed=1) + 7)
    second = made("run", trajectories_from=str(tmp_path / "others.npy"))
    subjects = [Subject(load_config(path)[0], str(path)) for path in (first, second)]
    facts = gather_runs(subjects, OpenedPool(None))
    assert facts.clustered is not None and facts.clustered.run == "run" and facts.losses is not None
    assert min(column_N.min() for column_N in facts.losses.columns) > 7
    page = page_of(alone, "--config_file", first, second, name="control")
    assert f"This page draws the losses in {tmp_path / 'others.npy'}." in page
    assert "or scored again since): random_per_source." in page
    assert "chosen by other losses" not in page_of(alone, "--config_file", second)


@pytest.mark.parametrize("name", ["subset/stability.json", "inspection.json"])
def test_a_damaged_file_is_named(made, alone, capsys, name):
    config = made()
    (alone / "run" / name).write_text("{}")
    assert run_here(report, "--config_file", config) == 1
    message = capsys.readouterr().err
    assert f"{name} is damaged: found no" in message and "remove it" in message
