"""Experiments: each YAML names runs that can be made, what is there is reused, interruptions lose little."""

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import evaluate_run
import run_distributed_trajectories
import run_experiment
import train
from tests.artifacts.examples import EVALUATION, EXPERIMENT
from tests.conftest import PROJECT, pool_rows, processes_with, run_script, write_jsonl
from utils.artifacts.configs import write_config
from utils.artifacts.files import write_json
from utils.artifacts.paths import RunPaths, comparison_path, experiment_path, manifest_in
from utils.artifacts.subsets import SubsetManifest, read_composition
from utils.artifacts.trainings import TrainingManifest
from utils.config.experiment import (
    CONTROLLED,
    load_experiment,
    load_whole,
    of_seed,
    replaced_keys,
    runs_of,
)
from utils.config.load import load_config
from utils.config.schema import SubsetConfig
from utils.experiments.checks import check_comparisons
from utils.experiments.plan import NOT_BEGUN, ExperimentPlan, PlannedRun, RunState, plan_experiment
from utils.experiments.run import Failures
from utils.experiments.run import run_experiment as make_runs
from utils.selection.methods.table import METHODS
from utils.stage_checks import experiment_checks

SHIPPED = sorted((PROJECT / "configs").rglob("experiment*.yml"))
BASELINES = {"random", "random_per_source", "least_confidence", "middle_perplexity", "high_learnability",
             "facility_location", "k_center", "longest", "prune_then_select"}  # fmt: skip


@pytest.fixture
def experiment(make_config, tmp_path, res_dir) -> Callable[..., Path]:
    """The YAML of a tiny experiment: proxy and target on one small pool."""

    def make(**settings: Any) -> Path:
        proxy = make_config("proxy", checkpoints={"count": 2})
        heldout = write_jsonl(tmp_path / "heldout.jsonl", pool_rows(12, seed=1))
        target = make_config(
            "target",
            checkpoints={"count": 1},
            subset={"num_clusters": 4},
            evaluation={"heldout": str(heldout), "max_new_tokens": 8},
        )
        values = {
            "name": "tiny",
            "proxy": str(proxy),
            "target": str(target),
            "methods": {"s2l": None, "random": None},
            "budgets": [30],
            "seeds": [0],
            **settings,
        }
        path = tmp_path / "experiment.yml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return make


# ------------------------------------------------------------------------------------------------- YAMLs


@pytest.mark.parametrize("path", SHIPPED, ids=str)
def test_each_shipped_experiment_names_runs_that_can_be_made(path):
    arms = load_experiment(path)
    runs = runs_of(arms)
    references = {load_config(reference)[0].run_name for reference in (arms.proxy, *arms.references)}
    if arms.proxy_per_seed:
        references = {of_seed(reference, seed) for reference in references for seed in arms.seeds}
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    made_before = set(re.findall(r"run_name=(\w+)", "\n".join(header)))
    for run in runs:
        if run.config.subset is not None:
            assert run.config.subset.trajectories_from in references | made_before, (
                "its trajectories are made by the same list, or by a command of its header"
            )
            assert run.config.subset.method in METHODS and run.config.subset.budget == run.budget
    assert any("Launch:" in line and str(path.relative_to(PROJECT)) in line for line in header)
    assert any("Before:" in line for line in header) and any("..." in line for line in header)


def test_methods_that_a_command_line_names_keep_their_settings(experiment):
    methods = {"random": None, "ours": {"method": "s2l", "init": "kmeans++"}, "longest": None}
    path = experiment(methods=methods)
    named = load_experiment(path, ["methods=[ours, random]"])
    assert named.methods == {"ours": methods["ours"], "random": {}}
    assert runs_of(named) == [
        run for run in reversed(runs_of(load_experiment(path))) if run.label != "longest"
    ]
    with pytest.raises(ValueError, match="ours more than once"):
        load_experiment(path, ["methods=[ours, ours]"])
    with pytest.raises(ValueError, match="orus: found no `method`"):
        load_experiment(path, ["methods=[orus]"])
    for order in (
        ["methods.ours.num_clusters=3", "methods=[ours]"],
        ["methods=[ours]", "methods.ours.num_clusters=3"],
    ):
        assert load_experiment(path, order).methods == {"ours": {**methods["ours"], "num_clusters": 3}}
    others = load_experiment(path, ["methods={ours: {method: s2l, num_clusters: 3}}"])
    assert others.methods == {"ours": {"method": "s2l", "num_clusters": 3}}, "a mapping is taken as it stands"


def test_the_papers_experiments_are_all_there():
    paper = [(arms, runs_of(arms)) for arms in map(load_experiment, SHIPPED) if arms.name.startswith("paper")]
    runs = [run for _, of_one in paper for run in of_one]
    models = {str(run.config.model.name_or_path).split("/")[1] for run in runs if run.config.model}
    assert models == {"pythia-410m-deduped", "phi-2", "Phi-3-mini-4k-instruct"}
    assert {run.budget for run in runs} == {None, 30_000, 50_000, 100_000, 131_020}
    assert {run.config.subset.method for run in runs if run.config.subset} == BASELINES | {"s2l"}
    assert {run.config.train_args.get("max_steps") for run in runs} == {None, 6144}, (
        "equal epochs, and equal steps"
    )
    proxies = {run.config.subset.trajectories_from for run in runs if run.config.subset}
    assert {"paper_proxy_pythia-70m", "paper_proxy_pythia-160m", "paper_proxy_gpt2"} <= proxies


def test_equal_steps_are_the_steps_of_three_epochs_of_the_whole_pool():
    config, _ = load_config(PROJECT / "configs/paper/proxy_pythia-70m.yml")
    assert 3 * -(-262_039 // config.global_batch_size) == 6144


def test_an_arm_is_the_target_with_its_own_subset_and_seed(experiment):
    methods = {"s2l": {}, "few": {"method": "s2l", "num_clusters": 2}, "full": None}
    settings = {"train_args.max_steps": 5}
    path = experiment(methods=methods, budgets=[0.2, 30], seeds=[0, 7], settings=settings)
    runs = {run.config.run_name: run.config for run in runs_of(load_experiment(path))}
    assert len(runs) == 2 * (2 * 2 + 1)
    few = runs["tiny_few_0.2_seed7"]
    assert few.subset is not None and few.seed == 7 and few.train_args["max_steps"] == 5
    assert (few.subset.method, few.subset.num_clusters, few.subset.budget) == ("s2l", 2, 0.2)
    assert few.subset.trajectories_from == "proxy"
    assert runs["tiny_full_seed0"].subset is None
    s2l = runs["tiny_s2l_30_seed0"].subset
    assert s2l is not None and s2l.num_clusters == 4, (
        "what the target's YAML says holds where the method says nothing"
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"budgts": [3]}, "budgts: unknown key; did you mean budgets"),
        ({"budgets": [0]}, "found 0, expected a whole number"),
        ({"budgets": [30, 30]}, "budgets: found 30 more than once"),
        ({"budgets": [0.1, 0.10]}, "budgets: found 0.1 more than once"),
        ({"budgets": [0.5, 22]}, "budgets: found the same number twice: 0.5 and 22 (22 rows)"),
        ({"budgets": [True]}, "found True, expected a whole number of rows"),
        ({"budgets": []}, "expected how many rows the methods choose"),
        ({"methods": {"full": None}}, "the only method is full, the whole pool"),
        ({"seeds": [1, 1]}, "seeds: found 1 more than once"),
        ({"seeds": [-1]}, "seeds.0: found -1"),
        ({"seeds": [True]}, "seeds.0: found True"),
        ({"processes": True}, "processes: found True"),
        ({"methods": ["s2l", "s2l"]}, "methods: found s2l more than once"),
        (
            {"methods": {"s2l": {}, "S2L": {"method": "s2l"}}},
            "found s2l, S2L, which some file systems do not tell apart",
        ),
        ({"methods": {"s2l 50": {"method": "s2l"}}}, "methods.s2l 50"),
        ({"methods": {"full": {"num_clusters": 3}}}, "full: found num_clusters, but it is the whole pool"),
        ({"methods": {"random": {"num_clusters": 3}}}, "methods.random: random does not use num_clusters"),
        ({"methods": ["random"], "settings": {"subset.init": "kmeans++"}}, "no method here uses subset.init"),
        (
            {"methods": {"s2l": {}, "fall": {"method": "s2l", "source_weight": "fall"}}},
            "methods.fall: s2l does not use source_weight: remove it, or set source_exponent as well",
        ),
        (
            {"methods": {"one": {"method": "s2l", "per_source": False, "source_exponent": 1}}},
            "methods.one: s2l does not use source_exponent",
        ),
        (
            {"methods": {"s2l": {}}, "settings": {"subset.source_weight": "fall"}},
            "settings: no method here uses subset.source_weight",
        ),
        (
            {"methods": {"s2l": {}}, "settings": {"subset.sources_from": "a.txt"}},
            "settings: no method here uses subset.sources_from",
        ),
        ({"methods": {"a": {"method": "random"}, "random": {}}}, "methods: found a and random, which choose"),
        ({"methods": {"s2l": {}, "same": {"method": "s2l", "num_clusters": 4}}}, "found s2l and same, which"),
        ({"methods": {"s2l": {}, "same": {"method": "s2l", "steps": [12, 6]}}}, "found s2l and same, which"),
        (
            {
                "methods": {
                    "s2l": {"preset": "fall"},
                    "same": {"method": "s2l", "source_exponent": 1.0, "source_weight": "fall"},
                }
            },
            "found s2l and same, which",
        ),
        (
            {"methods": ["full"], "budgets": [], "settings": {"subset.steps": [1]}},
            "no method here uses subset.steps",
        ),
        (
            {"methods": {"s2l": {"num_clusters": 3}}, "settings": {"subset.num_clusters": 2}},
            "keep one of them",
        ),
        (
            {"methods": {"s2l": {"trajectories_from": "nobody"}}},
            "found trajectories_from in methods.s2l: nobody",
        ),
        (
            {"settings": {"train_args.max_steps": 3, "train_args": {"max_steps": 4}}},
            "which set the same twice",
        ),
        ({"settings": {"data.columns": {"a": "b"}, "data.columns.a": "c"}}, "which set the same twice"),
        ({"settings": {"subset": None}}, "settings.subset: found a value for the whole section"),
        (
            {"proxy": "my_proxy", "references": ["other"]},
            "references: other does not exist, and no run of that name",
        ),
        ({"methods": {"s2l": {"num_cluster": 3}}}, "did you mean subset.num_clusters"),
        ({"methods": {"s3l": {}}}, "add `method: s2l`, or did you mean s2l?"),
        ({"methods": {"mine": {"preset": "fall"}}}, "mine: found no `method`, so that the label is taken"),
        ({"budgets": [3000]}, "budgets: found 3,000 rows, but only 43"),
        ({"settings": {"data.limit": 50}}, "read other pools: found data.limit unset there and 50 here"),
        ({"target": "nowhere.yml"}, "does not exist"),
        # What the stages themselves would refuse, after hours.
        ({"settings": {"train_args.learning_rate": "fast"}}, "train_args.learning_rate: found 'fast'"),
        ({"settings": {"data.template": "alpacka"}}, "did you mean 'alpaca'"),
        (
            {"settings": {"train_args.lr_scheduler_type": "polynomial_", "evaluation.max_new_tokens": 4}},
            "polynomial_",
        ),
        (
            {"settings": {"evaluation.benchmarks": {"x": "nowhere.jsonl"}}},
            "evaluation.benchmarks.x: nowhere.jsonl is not a file",
        ),
        ({"settings": {"evaluation.heldout": __file__}}, "test_experiments.py"),
        ({"methods": {"s2l": {"include": "nowhere.txt"}}}, "subset.include"),
        ({"methods": {"s2l": {"max_per_source": 1}}}, "subset.max_per_source are in conflict"),
        ({"methods": ["least_confidence"]}, "needs the confidence of proxy, which will not be scored"),
        (
            {"methods": ["k_center", "facility_location"]},
            "k_center, facility_location: needs the embeddings of proxy",
        ),
        ({"methods": {"s2l": {"features": "embeddings"}}}, "s2l: needs the embeddings of proxy"),
        ({"methods": ["high_learnability"]}, "set score_base_model: true"),
        ({"methods": ["cld"]}, "cld: needs the losses of validation rows of proxy"),
        (
            {"methods": ["tacs"], "score_base_model": True},
            "methods.tacs: data.validation: missing, and method",
        ),
        (
            {"methods": {"s2l": {"steps": [7]}}},
            "subset.steps: found [7], which proxy will not have, expected some of [6, 12]",
        ),
        (
            {"methods": {"s2l": {"steps": [0, 6]}}},
            "subset.steps: found [0], which proxy will not have, expected some of [6, 12]",
        ),
        (
            {"methods": {"s2l": {"preset": "fall", "steps": [6]}}},
            "methods.s2l: subset.source_weight: found fall with 1 checkpoint",
        ),
        (
            {"methods": {"random_per_source": {"source_exponent": 1, "source_weight": "fall", "steps": [6]}}},
            "subset.source_weight: found fall with 1 checkpoint",
        ),
        (
            {"methods": {"s2l": {"features": "reductions", "steps": [6]}}},
            "found reductions with 1 checkpoint",
        ),
        ({"methods": {"s2l": {"pick": "brittle", "steps": [6]}}}, "subset.pick: found brittle with 1 checkp"),
        (
            {"methods": {"prune_then_select": {"steps": [6]}}},
            "prune_then_select: found 1 checkpoint, expected",
        ),
    ],
)
def test_a_wrong_experiment_is_refused_before_anything_runs(experiment, res_dir, capsys, settings, words):
    assert run_experiment.main(["--config_file", str(experiment(**settings))]) == 1
    assert words in capsys.readouterr().err
    assert not (res_dir / "proxy").exists()


def test_what_losses_that_are_there_show_to_be_impossible_is_refused(experiment, tmp_path, capsys):
    np.save(tmp_path / "losses.npy", np.ones((5, 3), np.float32))
    methods = {"s2l": {"trajectories_from": str(tmp_path / "losses.npy")}}
    assert run_experiment.main(["--config_file", str(experiment(methods=methods)), "--dry_run"]) == 1
    assert "methods.s2l: " in (shown := capsys.readouterr().err) and "holds losses of 5 examples" in shown


def test_too_few_checkpoints_for_cld_and_rows_of_another_pool_are_refused(
    experiment, make_config, tmp_path, capsys
):
    data = {"validation": str(write_jsonl(tmp_path / "aim.jsonl", pool_rows(10, seed=2)))}
    path = experiment(methods=["cld"])
    for name in ("proxy", "target"):
        values = yaml.safe_load((tmp_path / f"{name}.yml").read_text())
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump({**values, "data": {**values["data"], **data}}))
    assert run_experiment.main(["--config_file", str(path), "--dry_run"]) == 1
    assert "methods.cld: subset.method cld: found 2 checkpoints" in capsys.readouterr().err

    other = make_config("other", data={"limit": 80})
    of_other = {"s2l": {"trajectories_from": "other"}}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "methods": of_other,
                                    "references": [str(other)]}))  # fmt: skip
    assert run_experiment.main(["--config_file", str(path), "--dry_run"]) == 1
    assert "methods.s2l: found other, which reads" in capsys.readouterr().err


# Where an experiment can contradict itself: its settings, as `section.key` and as a section, and its methods.
_VALUES = {
    "run_name": "x",
    "seed": 5,
    "subset.method": "random",
    "subset.budget": 3,
    "subset.budget_tokens": 9,
    "subset.same_as": "other",
    "subset.trajectories_from": "other",
}


@pytest.mark.parametrize("key", sorted(CONTROLLED))
def test_what_the_experiment_sets_is_refused_wherever_else_it_is_given(experiment, key, capsys):
    section, _, name = key.rpartition(".")
    value = _VALUES[key]
    ways = [{"settings": {key: value}}]
    if section:
        ways.append({"settings": {section: {name: value, "num_clusters": 3}}})
    if section and name not in ("method", "trajectories_from"):
        ways.append({"methods": {"s2l": {name: value}}})
    for settings in ways:
        assert run_experiment.main(["--config_file", str(experiment(**settings)), "--dry_run"]) == 1
        place = f"settings.{key}" if "settings" in settings else f"methods.s2l.{name}"
        assert f"{place}: found here, but the experiment sets it" in capsys.readouterr().err
    assert (
        run_experiment.main(["--config_file", str(experiment()), "--dry_run", f"settings.{key}={value}"]) == 1
    )
    assert key in capsys.readouterr().err, "on the command line too"


def test_all_that_contradicts_itself_is_said_at_once(experiment, capsys):
    path = experiment(
        settings={"seed": 5, "run_name": "x"}, methods={"s2l": {"budget": 3}, "full": {"init": "random"}},
        budgets=[True], seeds=[0, 0],
    )  # fmt: skip
    assert run_experiment.main(["--config_file", str(path)]) == 1
    shown = capsys.readouterr().err
    for key in ("settings.seed", "settings.run_name", "methods.s2l.budget", "budgets.0", "seeds"):
        assert f"  - {key}: " in shown


def test_what_the_targets_yaml_says_instead_is_named_and_not_used(experiment, make_config, capsys):
    path = experiment(methods=["s2l", "full"])
    make_config(
        "target",
        seed=9,
        subset={"method": "random", "budget_tokens": 70, "same_as": "a", "trajectories_from": "b"},
        evaluation={"heldout": str(path.with_name("heldout.jsonl"))},
    )
    loaded = load_experiment(path)
    given = {
        "seed": 9,
        "subset.method": "random",
        "subset.budget_tokens": 70,
        "subset.same_as": "a",
        "subset.trajectories_from": "b",
    }
    assert replaced_keys(loaded) == given
    s2l, full = (run.config for run in runs_of(loaded))
    assert s2l.seed == full.seed == 0 and s2l.subset is not None and full.subset is None
    assert (s2l.subset.method, s2l.subset.budget, s2l.subset.budget_tokens) == ("s2l", 30, None)
    assert (s2l.subset.same_as, s2l.subset.trajectories_from) == (None, "proxy")
    assert run_experiment.main(["--config_file", str(path), "--dry_run"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f"{key} {value}" in shown for key, value in given.items())


_TARGET_VALUES = {
    "global_batch_size": st.integers(1, 9),
    "train_args.max_steps": st.integers(1, 9),
    "train_args.learning_rate": st.floats(1e-9, 1),
    "train_args.optim": st.sampled_from(["adamw_torch", "a: b"]),
    "subset.num_clusters": st.integers(1, 9),
    "subset.min_slope": st.floats(0, 1),
    "subset.include": st.just("rows.txt"),
    "evaluation.limit": st.integers(1, 9),
    "evaluation.stop": st.lists(st.text("a#:'\n\\", min_size=1), max_size=3),
    "evaluation.benchmarks": st.just({"gsm8k": "public"}),
    "tracking.project": st.text("xy: ", min_size=1),
}


@given(
    settings=st.fixed_dictionaries({}, optional=_TARGET_VALUES),
    as_sections=st.booleans(),
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3, unique=True),
)
@hypothesis.settings(
    max_examples=10,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_every_setting_reaches_every_run_and_every_run_is_what_its_name_says(
    experiment, settings, as_sections, seeds
):
    written: dict[str, Any] = {}
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        if section and as_sections:
            written.setdefault(section, {})[name] = value
        else:
            written[key] = value
    path = experiment(settings=written, seeds=seeds, budgets=[20, 0.5], methods=["s2l", "random", "full"])
    runs = runs_of(load_experiment(path))
    assert len({run.config.run_name for run in runs}) == len(runs) == 5 * len(seeds)
    for run in runs:
        config = run.config.model_dump()
        subset = config["subset"] or {}
        parts = [
            "tiny",
            run.label,
            *([] if run.budget is None else [str(subset["budget"])]),
            f"seed{config['seed']}",
        ]
        assert config["run_name"] == "_".join(parts) and subset.get("method", "full") == run.label
        assert config["train_args"]["num_train_epochs"] == 2, "the target's other settings stay"
        for key, value in settings.items():
            section, _, name = key.rpartition(".")
            if section != "subset" or subset:
                assert (config[section] if section else config)[name] == value, key


def test_a_list_of_methods_is_read_as_their_names(experiment):
    assert runs_of(load_experiment(experiment(methods=["s2l", "random"]))) == runs_of(
        load_experiment(experiment(methods={"s2l": None, "random": None}))
    )


def test_a_run_that_was_made_before_may_be_named_instead_of_its_yaml(experiment, res_dir, capsys):
    path = experiment()
    config, _ = load_config(yaml.safe_load(path.read_text())["proxy"])
    write_config(RunPaths("proxy"), config)
    for name in ("proxy", str(RunPaths("proxy").root)):
        values = {**yaml.safe_load(path.read_text()), "proxy": name}
        path.with_name("named.yml").write_text(yaml.safe_dump(values))
        assert run_experiment.main(["--config_file", str(path.with_name("named.yml")), "--dry_run"]) == 0
        assert "proxy " in capsys.readouterr().out
    assert load_config(RunPaths("proxy").config)[0] == config


def test_the_command_takes_settings_of_the_experiment_and_no_other_mode(experiment):
    path = str(experiment())
    for words in (
        ["--config_file", path, "--overwrite"],
        ["--config_file", path, "--compare", "a", "b"],
        ["--config_file", path, "--ckpt", "0"],
    ):
        with pytest.raises(SystemExit):
            run_experiment.main(words)


# -------------------------------------------------------------------------------------------------- runs


def test_a_dry_run_lists_runs_and_costs_and_makes_none(experiment, res_dir, capsys):
    assert (
        run_experiment.main(
            ["--config_file", str(experiment()), "--dry_run", "seeds=[0, 1]", "budgets=[30, 40]"]
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert "experiment tiny: 8 runs, after 1" in shown
    lines = [line.split() for line in shown.splitlines()[2:-2]]
    for run in ("proxy", "tiny_s2l_30_seed0", "tiny_random_40_seed1"):
        assert any(line[0] == run and line[-2:] == ["to", "do"] for line in lines), shown
    # 90 rows in batches of 16 for two epochs, and 30.
    assert {"90 12", "30 4", "40 6"} == {" ".join(line[1:3]) for line in lines}
    assert "floating-point operations" in shown and "not known before the first run" in shown
    assert {path.name for path in res_dir.iterdir()} <= {".cache"}


def test_one_row_and_all_rows_are_two_budgets(experiment, make_config):
    arms = load_experiment(experiment(budgets=[1, 1.0], settings={"train_args.max_steps": 2}))
    plan = plan_experiment("experiment.yml", arms, experiment_checks())
    assert [run.num_examples for run in plan.runs] == [1, 43, 1, 43]
    assert plan.record("experiment.yml").comparisons == ["tiny_1", "tiny_1.0"]
    assert plan.planned_comparisons() == {
        title: [f"{title.replace('tiny', f'tiny_{method}')}_seed0" for method in ("s2l", "random")]
        for title in ("tiny_1", "tiny_1.0")
    }


def test_some_runs_of_an_experiment_are_recorded_and_compared_with_the_others(
    experiment, res_dir, monkeypatch
):
    path = experiment(seeds=[0, 1], budgets=[20, 30], methods=["s2l", "random", "full"], proxy_per_seed=True)
    words = ["seeds=[1]", "methods=[random]", "budgets=[30]"]
    some = load_experiment(path, words)
    plan = plan_experiment(str(path), some, experiment_checks(), load_whole(path, some))
    assert [run.config.run_name for run in plan.runs] == ["tiny_random_30_seed1"]
    of_30 = [f"tiny_{method}_30_seed{seed}" for method in ("s2l", "random") for seed in (0, 1)]
    whole_pool = ["tiny_full_seed0", "tiny_full_seed1"]
    for run in plan.all_runs:
        run.check_is_as_planned()
    assert plan.planned_comparisons()["tiny_30"] == [*of_30, *whole_pool]
    monkeypatch.setattr(sys, "argv", ["run_experiment.py", "--config_file", str(path), *words, "at_once=1"])
    record = plan.record(str(path), is_made=True)
    assert record.status == "running" and len(record.members) == 10
    assert sorted(record.references) == ["proxy_seed0", "proxy_seed1"]
    assert record.provenance.command[1:] == [*sys.argv[:3], "at_once=1"]
    for name in (of_30[1], of_30[3]):
        write_json(RunPaths(name).evaluation_manifest, EVALUATION)
    assert plan.comparisons() == {"tiny_30": [of_30[1], of_30[3]]}

    more = load_experiment(path, ["seeds=[7]"])
    assert len(plan_experiment(str(path), more, experiment_checks(), load_whole(path, more)).members) == 15
    renamed = load_experiment(path, ["name=other"])
    assert load_whole(path, renamed) == renamed, "the YAML is another experiment"


def test_a_comparison_of_another_experiment_is_not_replaced(res_dir):
    write_json(experiment_path("exp"), EXPERIMENT)
    check_comparisons("experiment.yml", "exp", ["exp_10"])
    check_comparisons("experiment.yml", "exp_10", ["exp_10_5"])
    with pytest.raises(
        ValueError, match="found exp_10, by which the comparison exp_10 of experiment exp would"
    ):
        check_comparisons("experiment.yml", "exp_10", ["exp_10"])


def test_a_plan_counts_every_checkpoint_that_training_will_leave(experiment, make_config):
    """The last step is saved whether it is listed or not."""

    def cost(checkpoints: dict[str, Any]) -> float:
        proxy = make_config(f"proxy_{len(str(checkpoints))}", checkpoints=checkpoints)
        arms = load_experiment(experiment(proxy=str(proxy)))
        return plan_experiment("experiment.yml", arms, experiment_checks()).references[0].operations

    listed = {"count": None, "steps": [1, 6, 12]}
    assert cost({"count": None, "steps": [1, 6]}) == cost(listed) == cost({"count": 3})
    assert cost({"count": None, "every": 5}) == cost(listed)


def test_costs_of_a_plan_are_what_the_runs_then_record(experiment, res_dir, capsys):
    """One run made by hand: the plan's operations are its manifest's, and its pace prices the rest."""
    path = experiment(methods=["full"], budgets=[], seeds=[0, 1])
    target = yaml.safe_load(path.read_text())["target"]
    run_script("train.py", "--config_file", target, "run_name=tiny_full_seed0", "subset=null", "seed=0")
    work = json.loads(RunPaths("tiny_full_seed0").manifest.read_text())["provenance"]["work"]
    expected = work["training_operations"] * 2
    assert work["training_operations"] == 3 * work["forward_operations"]
    assert run_experiment.main(["--config_file", str(path), "--dry_run"]) == 0
    shown = capsys.readouterr().out
    line = next(line for line in shown.splitlines() if "tiny_full_seed0" in line).split()
    assert float(line[3]) == pytest.approx(expected, rel=0.05) and line[4] == "trained"
    assert "device time: about" in shown
    totals = re.search(r"in all (\S+) floating-point operations, (\S+) of them to do", shown)
    assert totals and float(totals[1]) - float(totals[2]) == pytest.approx(expected, rel=0.05), (
        "one of the two is trained"
    )


class Ended:
    """A process that has ended."""

    def __init__(self, code: int):
        self.code = code

    def poll(self) -> int:
        return self.code


def in_this_process(command: list[str], *_: Any) -> Ended:
    """What an experiment runs, without a start of Python for each script."""
    script, *words = command
    scripts = {
        "train": train,
        "run_distributed_trajectories": run_distributed_trajectories,
        "evaluate_run": evaluate_run,
    }
    return Ended(scripts[Path(script).stem].main(words))


def test_an_interrupted_experiment_goes_on_where_it_stopped(experiment, res_dir, capsys, monkeypatch):
    path = experiment()
    with open(path.with_suffix(".log"), "w") as log:
        command = [sys.executable, "run_experiment.py", "--config_file", str(path)]
        process = subprocess.Popen(command, cwd=PROJECT, start_new_session=True, stdout=log, stderr=log)
    deadline = time.monotonic() + 240
    first = RunPaths("tiny_s2l_30_seed0")
    second = RunPaths("tiny_random_30_seed0")
    while not (first.manifest.exists() and TrainingManifest.read(first.manifest).status == "complete"):
        assert process.poll() is None and time.monotonic() < deadline, path.with_suffix(".log").read_text()
        time.sleep(0.01)
    process.kill()
    process.wait()
    while processes_with(path) or processes_with(path.with_name("target.yml")):
        assert time.monotonic() < deadline, "a script of the experiment outlives it"
        time.sleep(0.01)
    modified_ns = {
        file: file.stat().st_mtime_ns
        for paths in (RunPaths("proxy"), first)
        for file in paths.root.rglob("*.safetensors")
    }
    assert len(modified_ns) == 3 and not (second.evaluation / "manifest.json").exists()

    monkeypatch.setattr("utils.experiments.run._started", in_this_process)
    assert run_experiment.main(["--config_file", str(path)]) == 0
    shown = capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in modified_ns} == modified_ns, (
        "what was there is not made again"
    )
    written = json.loads(comparison_path("tiny_30").read_text())
    assert [(arm["label"], arm["num_examples"]) for arm in written["arms"]] == [("s2l", 30), ("random", 30)]
    assert [cost["arm"] for cost in written["costs"]] == ["A", "B"] and str(
        comparison_path("tiny_30")
    ) in shown
    assert run_experiment.main(["--config_file", str(path), "--dry_run"]) == 0
    again = capsys.readouterr().out
    assert (
        "trained, scored" in again and again.count("trained, evaluated") == 2 and " 0 of them to do" in again
    )

    monkeypatch.setattr("utils.experiments.run._started", lambda *words: pytest.fail(f"{words} was started"))
    comparison_path("tiny_30").unlink()
    assert run_experiment.main(["--config_file", str(path)]) == 0, "what is there starts no process"
    assert json.loads(comparison_path("tiny_30").read_text())["measures"] == written["measures"]
    # What somebody changed or removed is not there.
    (first.evaluation / "heldout.predictions.jsonl").unlink()
    capsys.readouterr()
    assert run_experiment.main(["--config_file", str(path), "--dry_run"]) == 0
    shown = capsys.readouterr().out
    assert "trained, scored" in shown and shown.count("trained, evaluated") == 1
    proxy, _ = load_config(yaml.safe_load(path.read_text())["proxy"])
    is_scored = experiment_checks().is_scored
    assert is_scored(proxy, "all") and not is_scored(proxy, "0")
    losses = RunPaths("proxy").trajectories / "checkpoint-6.npy"
    np.save(losses, np.load(losses) + 1)
    assert not is_scored(proxy, "all")


def test_what_was_made_from_other_settings_is_refused_before_a_run_starts(experiment, make_config, capsys):
    """A proxy trained again in its folder, and an arm's subset of losses that were made again."""
    path = experiment()
    proxy = yaml.safe_load(path.read_text())["proxy"]
    assert train.main(["--config_file", proxy]) == 0
    assert run_distributed_trajectories.main(["--config_file", proxy]) == 0
    (arm, _) = runs_of(load_experiment(path))
    target = ["--config_file", yaml.safe_load(path.read_text())["target"], *arm.overrides]
    assert train.main(target) == 0
    assert evaluate_run.main(target) == 0
    assert run_experiment.main(["--config_file", str(path), "--dry_run"]) == 0
    capsys.readouterr()
    shorter = "settings.evaluation.max_new_tokens=4"
    assert run_experiment.main(["--config_file", str(path), "--dry_run", shorter]) == 1
    assert "max_new_tokens" in capsys.readouterr().err
    other = write_jsonl(path.with_name("other.jsonl"), pool_rows(10, seed=2))
    asked = ["--config_file", str(path), "--dry_run", f"settings.evaluation.heldout={other}"]
    assert run_experiment.main(asked) == 1
    said = capsys.readouterr().err
    assert "the file of heldout: there" in said and "the rows of heldout: there" in said
    (again,) = [line for line in said.splitlines() if line.startswith("  python evaluate_run.py")]
    assert evaluate_run.main(shlex.split(again)[2:]) == 0
    assert run_experiment.main(asked) == 0, "the way out that was named is one"
    assert train.main(["--config_file", proxy, "--overwrite", "train_args.num_train_epochs=3"]) == 0
    capsys.readouterr()
    assert run_experiment.main(["--config_file", str(path), "--dry_run"]) == 1
    assert "num_train_epochs" in capsys.readouterr().err
    again = make_config("proxy", checkpoints={"count": 2}, train_args={"num_train_epochs": 3})
    assert run_distributed_trajectories.main(["--config_file", str(again)]) == 0
    assert run_experiment.main(["--config_file", str(path), "--dry_run", f"proxy={again}"]) == 1
    said = capsys.readouterr().err
    assert "subset was made from other inputs" in said and "  python select_s2l.py --config_file" in said


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_run_that_fails_does_not_keep_the_others_from_being_made(
    experiment, tmp_path, capfd, make_config, at_once
):
    config, _ = load_config(make_config("any"))

    chosen = SubsetConfig.model_validate({"trajectories_from": "proxy"})

    def planned(name: str, code: str, state: RunState = NOT_BEGUN) -> PlannedRun:
        subset = None if name in ("proxy", "whole") else chosen
        own = config.model_copy(update={"run_name": name, "subset": subset})
        return PlannedRun(own, [["-c", code]], 1, 1, 1.0, 1.0, is_reference=False, state=state)

    def made(proxy: PlannedRun, *runs: PlannedRun) -> Failures:
        experiment_config = load_experiment(experiment(at_once=at_once))
        return make_runs(ExperimentPlan(experiment_config, {}, [proxy], list(runs), [], {}))

    proxy = planned("proxy", "print('proxy')")
    bad = planned("bad", "raise SystemExit('no')")
    assert made(proxy, bad, planned("good", "print('made')")) == Failures(["bad"], [])
    shown = capfd.readouterr()
    assert "no" in shown.err and ("run good: there after" if at_once > 1 else "made") in shown.out
    if at_once == 1:
        printed = [line for line in shown.out.splitlines() if line.startswith("$ ")]
        words = ["$", "python", "-c"]
        assert [shlex.split(line) for line in printed] == [
            [*words, code] for code in ("print('proxy')", "raise SystemExit('no')", "print('made')")
        ], "they can be pasted as they are"

    # Where a reference was made just now, the scripts look again at what was done before.
    done = RunState(is_begun=True, is_trained=True, is_measured=True)
    looked = tmp_path / "looked"
    good = planned("good", f"open({str(looked)!r}, 'w')", done)
    assert made(proxy, good) == Failures() and looked.exists()
    looked.unlink()
    assert made(planned("proxy", "print('proxy')", done), good) == Failures() and not looked.exists()

    whole = planned("whole", f"open({str(looked)!r}, 'w')")
    assert made(planned("proxy", "raise SystemExit(1)"), good, whole) == Failures(["proxy"], ["good"])
    assert looked.exists()


def test_no_script_runs_by_a_yaml_that_was_changed_after_the_plan(
    experiment, make_config, tmp_path, capfd, res_dir
):
    yaml_file = make_config("any")
    code = (
        f"import pathlib; file = pathlib.Path({str(yaml_file)!r})\n"
        "file.write_text(file.read_text().replace('0.001', '0.01'))"
    )

    def planned(name: str, *commands: str) -> PlannedRun:
        overrides = (f"run_name={name}", "seed=3")
        config, _ = load_config(yaml_file, overrides)
        return PlannedRun(
            config,
            [["-c", command] for command in commands],
            1,
            1,
            1.0,
            1.0,
            is_reference=False,
            state=NOT_BEGUN,
            yaml=str(yaml_file),
            overrides=overrides,
        )

    late = tmp_path / "late"
    runs = [
        planned("first", code, f"open({str(late)!r}, 'w')"),
        planned("second", f"open({str(late)!r}, 'w')"),
    ]
    plan = ExperimentPlan(load_experiment(experiment()), {}, [], runs, [], {})
    assert make_runs(plan) == Failures(["first", "second"]) and not late.exists()
    said = capfd.readouterr().err
    assert f"run second: {yaml_file} was changed since the experiment was planned" in said
    assert "train_args.learning_rate: there 0.001, now 0.01" in said


def test_runs_made_at_once_share_the_cores(experiment, make_config, tmp_path):
    """Each waits for a file that the other writes."""
    config, _ = load_config(make_config("any"))

    def waiting(name: str, other: str) -> PlannedRun:
        code = (
            "import os, pathlib, time\n"
            f"pathlib.Path({str(tmp_path / name)!r}).write_text(os.environ['OMP_NUM_THREADS'])\n"
            f"while not pathlib.Path({str(tmp_path / other)!r}).exists(): time.sleep(0.01)"
        )
        own = config.model_copy(update={"run_name": name, "subset": None})
        return PlannedRun(own, [["-c", code]], 1, 1, 1.0, 1.0, is_reference=False, state=NOT_BEGUN)

    two = load_experiment(experiment(at_once=2))
    runs = [waiting("a", "b"), waiting("b", "a")]
    assert make_runs(ExperimentPlan(two, {}, [], runs, [], {})) == Failures()
    assert int((tmp_path / "a").read_text()) >= 1


def test_a_proxy_of_each_seed_is_one_arm(experiment, res_dir, capsys):
    """Seeds of target, proxy and selection vary together, so that the interval holds the chance of all."""
    path = experiment(seeds=[0, 1], proxy_per_seed=True, at_once=2, methods={"s2l": None, "full": None})
    assert run_experiment.main(["--config_file", str(path)]) == 0
    written = json.loads(comparison_path("tiny_30").read_text())
    assert [arm["runs"] for arm in written["arms"]] == [
        ["tiny_s2l_30_seed0", "tiny_s2l_30_seed1"],
        ["tiny_full_seed0", "tiny_full_seed1"],
    ]
    proxies = [RunPaths(f"proxy_seed{seed}") for seed in (0, 1)]
    one, other = (np.load(next(paths.trajectories.glob("checkpoint-*.npy"))) for paths in proxies)
    assert not np.array_equal(one, other)
    for seed, paths in enumerate(proxies):
        subset = SubsetManifest.read(manifest_in(RunPaths(f"tiny_s2l_30_seed{seed}").subset))
        assert subset.trajectories_from == paths.root.name
    names = {measure["name"] for measure in written["measures"]}
    assert "loss_average" in names and "loss_as_pool" not in names, "most sources are cut off before a loss"
    assert run_experiment.main(["--config_file", str(path), "--dry_run"]) == 0
    assert " 0 of them to do" in capsys.readouterr().out


def composition_of(run: str) -> dict[str, Any]:
    folder = RunPaths(run).subset
    return read_composition(folder, SubsetManifest.read(manifest_in(folder)))["sources"]


def test_the_methods_of_the_quickstart_exist():
    runs = runs_of(load_experiment(PROJECT / "configs/quickstart/experiment.yml"))
    assert {run.config.subset.method for run in runs if run.config.subset} <= METHODS.keys()
