"""A comparison of evaluated runs as plain data, and as res/comparisons/<name>/comparison.json."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from .files import remove_leftovers
from .locks import locked
from .manifests import Manifest, Provenance
from .paths import comparison_path, comparisons_root

NEVER: Final = "never"  # selecting does not pay, however large the pool
NOT_TESTED: Final = "not tested"
NO_DIFFERENCE: Final = "no difference shown"
SHOWN_IF = (
    "A difference is called shown if no interval that is there holds 0 and, where an arm has a single run, "
    "every p that is there is below 0.05."
)
# Average of the held-out losses -> how the sources count in it.
AVERAGES = {"loss_average": "sources alike", "loss_as_pool": "sources as in the pool"}
_LONGEST_NAME = 120

Interval = tuple[float, float]
Verdict = Literal["higher", "lower", "no difference shown", "not tested"]


@dataclass(frozen=True)
class ComparedRun:
    """A run of the comparison.

    Attributes:
        name: of its folder.
        arm: letter of its arm.
        seed: of the training, None for the base model.
        subset_seed: of the choice of its rows, None where none were chosen.
        evaluation: `evaluation_identity` of what was compared. None: an earlier version, which wrote none.
    """

    name: str
    arm: str
    seed: int | None
    subset_seed: int | None
    evaluation: str | None = None


@dataclass(frozen=True)
class ComparedArm:
    """Runs that differ in nothing but their seeds.

    Attributes:
        letter: what the rest of the comparison calls it.
        label: what a reader calls it: the experiment's own label, else the method and `told_apart_by`.
        method: how its rows were chosen, "whole pool" or "base model".
        told_apart_by: the fewest settings that tell it from the other arms of its method; where three are not
            enough, those that are unusual among these arms. Settings of a preset stand as its name.
        runs: their names.
        step: that was evaluated, of the first run. With a budget of tokens or a share, those of the others
            may differ a little.
        last_step: of the training of the first run. None: not finished.
        num_examples: rows that each run was trained on, the mean over the runs.
        num_tokens: that each run was trained on, the mean over the runs. None: not recorded.
        description: what the label of an experiment stands for: the method and its settings there, empty
            where the label says it. Earlier versions wrote none.
    """

    letter: str
    label: str
    method: str
    told_apart_by: dict[str, Any]
    runs: list[str]
    step: int
    last_step: int | None
    num_examples: int
    num_tokens: int | None
    description: str = ""

    @property
    def title(self) -> str:
        return f"{self.letter}: {self.label}" + (f" ({self.description})" if self.description else "")


@dataclass(frozen=True)
class Measure:
    """What one number of each run says.

    Attributes:
        question_set: "heldout", or a benchmark's name.
        source: of held-out rows, None for all of the set.
        name: an entry of the results: loss, accuracy (by the paper's rule, or of a task of lm-eval by its
            first metric), accuracy_strict (each also with _average, the plain average over the sources),
            cut_off_share, or a metric.
        is_metric: whether it is one of several metrics that the set has instead of judged answers.
        values: run -> value, without the runs that have none.
    """

    question_set: str
    source: str | None
    name: str
    is_metric: bool
    values: dict[str, float]


@dataclass(frozen=True)
class ArmValue:
    """A measure of all of a set, in an arm: the mean over its runs.

    Attributes:
        arm: letter.
        question_set: as `Measure.question_set`.
        measure: as `Measure.name`.
        mean: over the runs.
        over_questions: interval, None where the measure is no mean of judged answers.
        over_runs: interval, None for a single run.
    """

    arm: str
    question_set: str
    measure: str
    mean: float
    over_questions: Interval | None
    over_runs: Interval | None


@dataclass(frozen=True)
class Difference:
    """The first arm's value minus another's.

    Attributes:
        arm: letter of the other.
        question_sets: one, or several whose plain average it is.
        measure: as `Measure.name`.
        mean: the first arm's minus the other's.
        over_questions: interval, None where there is none.
        over_runs: interval, None where there is none.
        p_values: McNemar's over all questions of the sets, one per pair of runs of one seed, in the order of
            the arms' runs.
        verdict: what a reader may conclude.
    """

    arm: str
    question_sets: list[str]
    measure: str
    mean: float
    over_questions: Interval | None
    over_runs: Interval | None
    p_values: list[float]
    verdict: Verdict


@dataclass(frozen=True)
class Cost:
    """Device-seconds and floating-point operations. None = no record says."""

    device_seconds: float | None
    operations: float | None


@dataclass(frozen=True)
class Payback:
    """Rows of the pool from which on selecting pays, by either cost. None = a cost is not known."""

    device_seconds: int | Literal["never"] | None
    operations: int | Literal["never"] | None


@dataclass(frozen=True)
class ArmCost:
    """Means over the runs of an arm.

    Attributes:
        arm: letter.
        stages: "proxy training", "scoring", "selection", "target": those that the arm has.
        total: of the stages.
        everything: training on the whole pool, measured or reckoned. None for an arm that chooses no rows.
        pays_from: from what pool on choosing pays, None for an arm that chooses no rows.
    """

    arm: str
    stages: dict[str, Cost]
    total: Cost
    everything: Cost | None
    pays_from: Payback | None


@dataclass(frozen=True)
class Comparison:
    """Evaluated runs side by side.

    Attributes:
        name: of its folder.
        arms: the first is set against each of the others.
        runs: of all arms.
        measures: every value of every run.
        differences: between the first arm and the others.
        costs: of each arm, empty where no arm is known to have chosen rows.
        unlike: in what the arms differ besides their data and length, a sentence each.
        remarks: what a reader must know before the numbers.
        cost_remarks: what a reader must know of the costs.
        confidence: of the intervals.
        arm_values: of each arm, with intervals. Earlier versions wrote none.
    """

    name: str
    arms: list[ComparedArm]
    runs: list[ComparedRun]
    measures: list[Measure]
    differences: list[Difference]
    costs: list[ArmCost]
    unlike: list[str]
    remarks: list[str]
    cost_remarks: list[str]
    confidence: float
    arm_values: list[ArmValue] = field(default_factory=list)

    def arm(self, letter: str) -> ComparedArm:
        return next(arm for arm in self.arms if arm.letter == letter)

    def is_judged_by_rules(self, question_set: str) -> bool:
        """False for a task of lm-eval's own, whose accuracy is the mean of the first metric of the task."""
        measured = [
            each for each in self.measures if each.question_set == question_set and not each.is_metric
        ]
        return any(each.name == "accuracy_strict" for each in measured)

    def values(self, measure: Measure, arm: ComparedArm) -> list[float] | None:
        """One value per run of the arm, None unless all have it."""
        values = [measure.values[run] for run in arm.runs if run in measure.values]
        return values if len(values) == len(arm.runs) else None


def comparison_name(run_names: Sequence[str]) -> str:
    """`a_vs_b_vs_c`. Of many runs the first, their number and a few characters that follow from all."""
    name = "_vs_".join(run_names)
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256("\n".join(run_names).encode()).hexdigest()[:8]
    return f"{run_names[0][: _LONGEST_NAME - 40]}_vs_{len(run_names) - 1}_others_{digest}"


@dataclass(frozen=True, kw_only=True)
class ComparisonManifest(Manifest):
    """A comparison on disk.

    Attributes:
        comparison: its fields lie between inputs and provenance.
    """

    KIND: ClassVar[str] = "comparison"
    AGAIN: ClassVar[str] = "compare the runs again"
    NAMED_INPUTS: ClassVar[Mapping[str, Any]] = {"runs": list[str]}

    comparison: Comparison
    provenance: Provenance

    def as_json(self) -> dict[str, Any]:
        values = super().as_json()
        comparison = values.pop("comparison")
        made = values.pop("provenance")
        return {**values, **comparison, "provenance": made}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {**values, "comparison": values}


def read_comparison(name: str) -> Comparison:
    """Raises: FileNotFoundError, or ValueError for a damaged file."""
    return ComparisonManifest.read(comparison_path(name)).comparison


def comparisons_of(run_name: str) -> list[Comparison]:
    """The comparisons that this run is part of, the newest last."""
    manifests = [
        ComparisonManifest.read(path) for path in sorted(comparisons_root().glob("*/comparison.json"))
    ]
    of_run = [manifest for manifest in manifests if run_name in manifest.inputs["runs"]]
    of_run.sort(key=lambda manifest: manifest.provenance.time)
    return [manifest.comparison for manifest in of_run]


def write_comparison(comparison: Comparison) -> Path:
    """Returns: the file, which replaces that of an earlier comparison of this name."""
    path = comparison_path(comparison.name)
    manifest = ComparisonManifest(
        status="complete",
        inputs={"runs": [run.name for run in comparison.runs]},
        comparison=comparison,
        provenance=Provenance.now(),
    )
    with locked(path.parent):
        remove_leftovers(path.parent, path.name)
        manifest.write(path)
    return path
