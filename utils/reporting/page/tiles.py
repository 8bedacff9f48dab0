"""The first screen: pool, proxy, checkpoints, subset, cost and result, each with where it comes from"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...artifacts.comparisons import AVERAGES, NO_DIFFERENCE, NOT_TESTED, ArmCost, Comparison, Difference
from ...artifacts.evaluations import HELDOUT, RULES
from ...artifacts.manifests import is_complete
from ...artifacts.paths import RunPaths, run_named
from ...artifacts.subsets import COMPOSITION, SubsetManifest
from ...artifacts.trainings import TrainingManifest
from ...terminal import counted, duration
from .facts import ComparisonFacts, Fact, LossFacts, Missing, Tile

_NO_LOSSES = "The loss trajectories are not there: see below."


@dataclass(frozen=True)
class TileSources:
    """What the tiles are made from, as in `PageFacts`."""

    config_file: Path | None
    manifest: SubsetManifest | None
    subset_file: Path | None
    composition: dict[str, Any] | None
    losses: LossFacts | None
    comparisons: list[ComparisonFacts]
    missing: dict[str, list[Missing]]


def tiles_of(sources: TileSources) -> list[Tile]:
    return [_pool(sources), _proxy(sources), _checkpoints(sources), _subset(sources), _cost(sources)]


def _missing_subset(sources: TileSources, what: str) -> Missing:
    found = sources.missing.get("subset")
    return found[0] if found else Missing(what)


def _pool(sources: TileSources) -> Tile:
    manifest = sources.manifest
    if manifest is None or sources.subset_file is None or sources.composition is None:
        losses = sources.losses
        if losses is not None and losses.is_of_a_run:
            fact = Fact(losses.num_examples, f"{losses.num_examples:,}", losses.file, "inputs.num_examples")
            return Tile("Pool", fact, ["rows"], sources.config_file)
        return Tile("Pool", None, [], sources.config_file, _missing_subset(sources, "No count."))
    file = sources.subset_file
    num_sources = len(sources.composition["sources"])
    return Tile(
        "Pool",
        Fact(manifest.num_examples, f"{manifest.num_examples:,}", file, "inputs.num_examples"),
        [
            f"rows of {counted(num_sources, 'source')}",
            Fact(manifest.num_selectable, f"{manifest.num_selectable:,} selectable", file, "num_selectable"),
        ],
        sources.config_file,
    )


def _proxy(sources: TileSources) -> Tile:
    losses = sources.losses
    if losses is None:
        return Tile("Proxy", None, [], None, Missing(_NO_LOSSES))
    paths = RunPaths(run_named(losses.run))
    if not losses.is_of_a_run or not is_complete(paths.manifest, TrainingManifest):
        made = Fact(losses.run, Path(losses.run).name, losses.file, "")
        return Tile("Proxy", made, ["losses made elsewhere"], None)
    training = TrainingManifest.read(paths.manifest)
    name, key = _model_name(training.model)
    details: list[Fact | str] = [
        f"run {paths.run_name}",
        Fact(training.steps, f"{training.steps:,} steps", paths.manifest, "steps"),
    ]
    if training.provenance.seconds is not None:
        text = f"{duration(training.provenance.seconds)} of training"
        details.append(Fact(training.provenance.seconds, text, paths.manifest, "provenance.seconds"))
    return Tile("Proxy", Fact(name, name, paths.manifest, f"inputs.model.{key}"), details, paths.config)


def _model_name(model: dict[str, Any]) -> tuple[str, str]:
    """The name of a model and the key that says it."""
    if model.get("name_or_path"):
        return str(model["name_or_path"]), "name_or_path"
    return str((model.get("architecture") or {}).get("model_type")), "architecture.model_type"


def _checkpoints(sources: TileSources) -> Tile:
    losses = sources.losses
    if losses is None:
        return Tile("Checkpoints", None, [], None, Missing(_NO_LOSSES))
    names = losses.checkpoints
    span = f"steps {names[0]} to {names[-1]}" if len(names) > 1 else f"step {names[0]}"
    if not names[0].isdigit():
        span = "columns of a file"
    paths = RunPaths(run_named(losses.run))
    config = paths.config if paths.config.is_file() else None
    return Tile("Checkpoints", Fact(len(names), str(len(names)), *losses.counted_in), [span], config)


def _subset(sources: TileSources) -> Tile:
    manifest = sources.manifest
    if manifest is None or sources.subset_file is None or sources.composition is None:
        return Tile(
            "Subset", None, [], sources.config_file, _missing_subset(sources, "No subset was chosen.")
        )
    share = manifest.budget / manifest.num_selectable
    file = sources.subset_file
    details: list[Fact | str] = [
        f"{share:.1%} of the selectable rows",
        Fact(manifest.method, f"by {manifest.method}, seed {manifest.seed}", file, "inputs.method"),
    ]
    if num_clusters := sources.composition["num_clusters"]:
        composition = file.with_name(COMPOSITION)
        details.append(Fact(num_clusters, f"{num_clusters:,} clusters", composition, "num_clusters"))
    return Tile(
        "Subset", Fact(manifest.budget, f"{manifest.budget:,}", file, "budget"), details, sources.config_file
    )


def _cost(sources: TileSources) -> Tile:
    label = "Cost of the first arm"
    facts = next((each for each in sources.comparisons if each.comparison.costs), None)
    if facts is None:
        return Tile("Cost", None, [], None, Missing("What it cost is not known: no comparison says it."))
    comparison = facts.comparison
    number, cost = next(
        (
            (number, cost)
            for number, cost in enumerate(comparison.costs)
            if cost.everything is not None and cost.arm == comparison.arms[0].letter
        ),
        (0, comparison.costs[0]),
    )
    label = f"Cost of {comparison.arm(cost.arm).title}"
    details: list[Fact | str] = []
    main: Fact | None = None
    for unit, words in (("operations", "operations"), ("device_seconds", "device-seconds")):
        total = getattr(cost.total, unit)
        everything = None if cost.everything is None else getattr(cost.everything, unit)
        if total is None:
            continue
        key = f"costs.{number}.total.{unit}"
        if main is None and everything:
            main = Fact(total, f"{total / everything:.0%}", facts.file, key)
            details.append(f"of the {words} of training on everything")
        elif everything:
            details.append(Fact(total, f"{total / everything:.0%} of its {words}", facts.file, key))
        elif main is None:
            main = Fact(total, f"{total:,.3g}", facts.file, key)
            details.append(words)
    details += _payback(cost, facts, number)
    return Tile(label, main, details, None, None if main else Missing("No record says what it cost."))


def _payback(cost: ArmCost, facts: ComparisonFacts, number: int) -> Iterator[Fact | str]:
    rows = None if cost.pays_from is None else cost.pays_from.operations
    if rows is None:
        return
    text = f"pays from a pool of {rows:,} rows" if isinstance(rows, int) else "pays for no pool"
    yield Fact(rows, text, facts.file, f"costs.{number}.pays_from.operations")


@dataclass(frozen=True)
class Headline:
    """A difference of the first screen.

    Attributes:
        verdict: in a few large words, as large for no difference as for one.
        against: which arms, and on what.
        mean: the difference.
        intervals: each with its name.
        tone: higher, lower, none or untested, for the mark beside it.
    """

    verdict: str
    against: str
    mean: Fact
    intervals: list[tuple[str, Fact]]
    tone: str


def headlines(facts: ComparisonFacts) -> list[Headline]:
    """Of the first arm against each other one: the difference that says most, accuracy before loss."""
    comparison = facts.comparison
    lines = []
    for other in comparison.arms[1:]:
        of_arm = [
            (number, each) for number, each in enumerate(comparison.differences) if each.arm == other.letter
        ]
        if of_arm:
            number, difference = min(of_arm, key=lambda pair: _rank(pair[1]))
            lines.append(_headline(comparison, facts, number, difference))
    return lines


def signed(value: float) -> str:
    """With its sign, a minus that is as wide as a plus."""
    return f"{value:+.4f}".replace("-", "−")


def _rank(difference: Difference) -> tuple[int, int]:
    """Strict accuracy over the most sets first, then other accuracies, losses, metrics."""
    kinds = ["accuracy_strict", "accuracy", "loss_average", "loss_as_pool"]
    kind = kinds.index(difference.measure) if difference.measure in kinds else len(kinds)
    return kind, -len(difference.question_sets)


def measure_name(comparison: Comparison, question_sets: list[str], measure: str) -> str:
    """What was measured, in words."""
    asked = question_sets[0] if len(question_sets) == 1 else f"mean of {len(question_sets)} question sets"
    asked = "held-out rows" if asked == HELDOUT else asked
    endings = {average.removeprefix("loss"): f", {words}" for average, words in AVERAGES.items()}
    ending = next((ending for ending in endings if measure.endswith(ending)), "")
    name = measure.removesuffix(ending)
    rule = next((rule for rule, of_rule in RULES.items() if name == f"accuracy{of_rule}"), None)
    by_rules = all(map(comparison.is_judged_by_rules, question_sets))
    judged = f"{rule} rule" if by_rules else "by the task's first metric"
    words = name if rule is None else f"accuracy ({judged})"
    return f"{words} on {asked}{endings.get(ending, '')}"


def _headline(
    comparison: Comparison, facts: ComparisonFacts, number: int, difference: Difference
) -> Headline:
    other = comparison.arm(difference.arm)
    words = {
        NO_DIFFERENCE: "No difference shown",
        NOT_TESTED: "Not tested",
        "higher": "Higher",
        "lower": "Lower",
    }
    tone = {NO_DIFFERENCE: "none", NOT_TESTED: "untested"}.get(difference.verdict, difference.verdict)
    key = f"differences.{number}"
    intervals = []
    for name, interval in (
        ("over questions", difference.over_questions),
        ("over runs", difference.over_runs),
    ):
        if interval is not None:
            text = signed(interval[0]) + " to " + signed(interval[1])
            intervals.append(
                (name, Fact(list(interval), text, facts.file, f"{key}.{name.replace(' ', '_')}"))
            )
    budget = f" (budget {facts.budget})" if facts.budget else ""
    asked = measure_name(comparison, difference.question_sets, difference.measure)
    return Headline(
        verdict=words[difference.verdict],
        against=f"{comparison.arms[0].title} minus {other.title}{budget}: {asked}",
        mean=Fact(difference.mean, signed(difference.mean), facts.file, f"{key}.mean"),
        intervals=intervals,
        tone=tone,
    )
