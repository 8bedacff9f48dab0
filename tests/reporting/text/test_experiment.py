"""A planned experiment in words, from data made by hand."""

from dataclasses import replace

import pytest

from tests.artifacts.examples import COMPARISON, TRAINING
from utils.artifacts.experiments import ExperimentMember
from utils.artifacts.files import write_json
from utils.artifacts.paths import RunPaths, comparison_path
from utils.config.experiment import ExperimentConfig
from utils.config.schema import RunConfig
from utils.experiments.plan import ExperimentPlan, PlannedRun, RunState
from utils.reporting.text.experiment import experiment_text

EXPERIMENT = ExperimentConfig.model_validate(
    {
        "name": "exp",
        "proxy": "proxy.yml",
        "target": "target.yml",
        "methods": ["s2l"],
        "budgets": [10],
        "seeds": [0],
    }
)


def run_of(name: str, is_reference: bool, is_begun: bool, is_trained: bool, is_measured: bool) -> PlannedRun:
    return PlannedRun(
        config=RunConfig.model_validate({"run_name": name}),
        commands=[],
        num_examples=1000,
        steps=20,
        operations=3e9,
        training_operations=2e9,
        is_reference=is_reference,
        state=RunState(is_begun, is_trained, is_measured),
    )


@pytest.mark.parametrize(
    ("is_reference", "state", "words"),
    [
        (True, (False, False, False), "to do"),
        (True, (True, False, False), "begun"),
        (True, (True, True, False), "trained"),
        (True, (True, True, True), "trained, scored"),
        (False, (True, True, True), "trained, evaluated"),
    ],
)
def test_the_state_of_each_run_is_said(res_dir, is_reference, state, words):
    run = run_of("one", is_reference, *state)
    plan = ExperimentPlan(EXPERIMENT, {}, [run], [], [], {})
    text = experiment_text(plan)
    assert f"3e+09  {words}\n" in text
    assert ("device time: none to do" in text) == run.state.is_measured


def test_what_is_done_is_not_counted_as_left(res_dir):
    references = [run_of("proxy", True, True, True, False)]
    runs = [run_of("first", False, True, True, True), run_of("second", False, True, False, False)]
    plan = ExperimentPlan(EXPERIMENT, {"seed": 9}, references, runs, [], {})
    text = experiment_text(plan)
    assert text.startswith("experiment exp: 2 runs, after 1 whose trajectories they use\n")
    assert "of target.yml not used, as the experiment sets it in every run: seed 9" in text
    assert "in all 9e+09 floating-point operations, 4e+09 of them to do" in text
    assert "device time: not known before the first run of each model is trained" in text


def test_runs_that_a_command_leaves_out_tell_the_pace_too(res_dir):
    """`methods=[random]` once s2l is trained: 2e10 operations to do at 6e9 operations in 12.5 seconds."""
    random = replace(run_of("random", False, False, False, False), operations=2e10)
    members = [ExperimentMember(name, name, 10, 0) for name in ("s2l", "random")]
    plan = ExperimentPlan(EXPERIMENT, {}, [], [random], members, {})
    assert plan.seconds_left is None
    made = {**TRAINING["provenance"], "devices": 1}
    write_json(RunPaths("s2l").manifest, {**TRAINING, "provenance": made})
    assert plan.seconds_left == pytest.approx(2e10 / 6e9 * 12.5)


def test_runs_that_a_comparison_loses_are_named(res_dir):
    write_json(comparison_path("exp_10"), {**COMPARISON, "name": "exp_10"})
    member = ExperimentMember("one", "s2l", 10, 0)
    plan = ExperimentPlan(EXPERIMENT, {}, [], [], [member], {})
    text = " ".join(experiment_text(plan).split())
    assert "comparison exp_10 will be replaced by one without other, which the YAML does not name" in text
    again = replace(plan, members=[member, replace(member, run="other")])
    assert "replaced" not in experiment_text(again)
