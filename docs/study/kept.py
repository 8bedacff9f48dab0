"""The files that docs/results keeps of comparisons and analyses, each with a checksum of its own."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from utils.artifacts.comparisons import Comparison, ComparisonManifest
from utils.artifacts.manifests import Manifest

# The page takes its differences from the values.
_LEFT_OUT = ("differences",)
_OF_ONE_MACHINE = ("folder", "command")


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """What a run records that a comparison does not say. Earlier versions did not keep all of it.

    Attributes:
        device: that trained it.
        git_commit: of the project.
        python: its version.
        packages: name -> version.
        seconds: that its training took.
        pool: fingerprint.
        rows_by_source: source -> rows that it chose.
        shared_with: control -> share of its rows that the control's run of this seed chose.
        shared_with_other_seeds: share of its rows that another seed of its arm chose, on average.
        planted: share of its rows that are noise.
    """

    device: str
    git_commit: str | None = None
    python: str
    packages: dict[str, str]
    seconds: float | None = None
    pool: str | None = None
    rows_by_source: dict[str, int] | None = None
    shared_with: dict[str, float] = field(default_factory=dict)
    shared_with_other_seeds: float | None = None
    planted: float | None = None

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value not in (None, {})}


@dataclass(frozen=True, kw_only=True)
class KeptComparison(Manifest):
    """A comparison without its differences, and what its runs record.

    Attributes:
        comparison: its fields lie between inputs and provenance.
        provenance: of the comparison, without what names a machine.
        sources: source -> `pool_rows`, and `selectable`: the most of them that one of the runs chose from.
        recorded: run -> what it records.
    """

    KIND: ClassVar[str] = "comparison of the study"
    AGAIN: ClassVar[str] = "keep it again (python benchmarks/study_results.py, then docs/make_results.py)"
    NAMED_INPUTS: ClassVar[Mapping[str, Any]] = ComparisonManifest.NAMED_INPUTS

    comparison: Comparison
    provenance: dict[str, Any]
    sources: dict[str, dict[str, int]]
    recorded: dict[str, RecordedRun]

    @classmethod
    def of(
        cls,
        made: ComparisonManifest,
        sources: dict[str, dict[str, int]],
        recorded: dict[str, RecordedRun],
    ) -> "KeptComparison":
        provenance = {k: value for k, value in asdict(made.provenance).items() if k not in _OF_ONE_MACHINE}
        return cls(
            status=made.status,
            inputs=made.inputs,
            comparison=made.comparison,
            provenance=provenance,
            sources=sources,
            recorded=recorded,
        )

    def as_json(self) -> dict[str, Any]:
        values = super().as_json()
        comparison = {key: value for key, value in values.pop("comparison").items() if key not in _LEFT_OUT}
        beside = {name: values.pop(name) for name in ("provenance", "sources", "recorded")}
        beside["recorded"] = {run: record.as_json() for run, record in self.recorded.items()}
        return {**values, **comparison, **beside}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {**values, "comparison": {**values, **{name: [] for name in _LEFT_OUT}}}


@dataclass(frozen=True, kw_only=True)
class KeptAnalysis(Manifest):
    """What a script of benchmarks/ measured.

    Attributes:
        measured: name -> what was found, as the script says. On disk its entries lie behind `inputs`.
    """

    KIND: ClassVar[str] = "analysis of the study"
    AGAIN: ClassVar[str] = "make it again with its script (benchmarks/study_*.py)"

    measured: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        values = super().as_json()
        measured = values.pop("measured")
        return {**values, **measured}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> dict[str, Any]:
        own = ("kind", "format_version", "status", "inputs", "checksums")
        measured = {name: value for name, value in values.items() if name not in own}
        return {**values, "measured": measured}


def keep_analysis(path: Path, runs: list[str], measured: dict[str, Any]) -> None:
    """Args: runs: that it is of."""
    KeptAnalysis(status="complete", inputs={"runs": runs}, measured=measured).write(path)
