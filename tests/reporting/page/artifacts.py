"""Artifacts of runs that no model was trained for: a curve, a comparison, an experiment."""

import json
import shlex
from dataclasses import replace

from utils.artifacts.comparisons import (
    ArmCost,
    ArmValue,
    ComparedArm,
    ComparedRun,
    Comparison,
    Cost,
    Difference,
    Measure,
    Payback,
    write_comparison,
)
from utils.artifacts.experiments import ExperimentManifest, ExperimentMember, write_experiment
from utils.artifacts.manifests import Provenance
from utils.artifacts.paths import RunPaths

_EXPERIMENT = "python3 run_experiment.py --config_file experiment.yml 'seeds=[0]'"


def curve(run: str, num_steps: int = 30) -> None:
    """metrics.jsonl, one step of it logged twice, as by a training that was continued."""
    lines = [{"step": step, "loss": 3 / step, "epoch": step / 10} for step in [*range(1, num_steps + 1), 5]]
    path = RunPaths(run).metrics
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def compared(first: str, second: str, name: str = "both", num_examples: int = 80) -> Comparison:
    """Two arms of one run each, on disk."""
    runs = {"A": first, "B": second}
    methods = {"A": "s2l", "B": "random"}
    arms = [
        ComparedArm(letter, methods[letter], methods[letter], {}, [run], 30, 30, num_examples, 1000)
        for letter, run in runs.items()
    ]
    values = {
        "accuracy": {"A": 0.52, "B": 0.5},
        "accuracy_strict": {"A": 0.42, "B": 0.4},
        "loss_average": {"A": 1.1, "B": 1.2},
    }
    stages = {"proxy training": Cost(10.0, 1e9), "scoring": Cost(5.0, 5e8), "target": Cost(20.0, 2e9)}
    chosen = ArmCost("A", stages, Cost(35.0, 3.5e9), Cost(100.0, 1e10), Payback(150, 120))
    target = {"target": Cost(20.0, 2e9)}
    comparison = Comparison(
        name=name,
        arms=arms,
        runs=[ComparedRun(run, letter, 0, 0) for letter, run in runs.items()],
        measures=[
            Measure("heldout", None, measure, False, {runs[arm]: value for arm, value in of_arms.items()})
            for measure, of_arms in values.items()
        ],
        differences=[
            Difference("B", ["heldout"], "loss_average", -0.1, None, None, [], "not tested"),
            Difference("B", ["heldout"], "accuracy", 0.02, (0.01, 0.03), None, [0.03], "higher"),
            Difference(
                "B", ["heldout"], "accuracy_strict", 0.02, (-0.01, 0.05), (-0.02, 0.06), [0.2],
                "no difference shown",
            ),
        ],
        costs=[chosen, ArmCost("B", target, Cost(20.0, 2e9), Cost(100.0, 1e10), None)],
        unlike=[],
        remarks=["Equal examples: 80 in A, B."],
        cost_remarks=["Costs: means over the runs of an arm."],
        confidence=0.95,
        arm_values=[
            ArmValue(
                arm,
                "heldout",
                measure,
                value,
                (value - 0.02, value + 0.02) if measure.startswith("accuracy") else None,
                (value - 0.03, value + 0.03),
            )
            for measure, of_arms in values.items()
            for arm, value in of_arms.items()
        ],
    )  # fmt: skip
    write_comparison(comparison)
    return comparison


def experiment(name: str, runs: list[str], comparisons: list[str], labels: list[str] | None = None) -> None:
    """The record of an experiment whose runs choose by s2l, or are of methods with these labels."""
    labels = labels or ["s2l"] * len(runs)
    pairs = zip(runs, labels, strict=True)
    write_experiment(
        ExperimentManifest(
            status="running",
            inputs={"name": name, "references": []},
            members=[
                ExperimentMember(run, label, 10 * (place + 1), 0) for place, (run, label) in enumerate(pairs)
            ],
            comparisons=comparisons,
            config_file="experiment.yml",
            provenance=replace(Provenance.now(), command=shlex.split(_EXPERIMENT)),
        )
    )
