"""What the page shows, as data: everything that is read from disk before a word or a figure is made of it

Legend: N rows of the pool, n rows that the page holds, T checkpoints, K clusters, S sources, M subsets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...artifacts.comparisons import Comparison
from ...artifacts.subsets import SubsetManifest


@dataclass(frozen=True)
class Missing:
    """Something that a reader would look for and that is not on disk.

    Attributes:
        what: is missing, and why, in a sentence.
        command: that makes it, empty where no command would.
    """

    what: str
    command: str = ""


@dataclass(frozen=True)
class Fact:
    """A number or text as it stands in an artifact.

    Attributes:
        value: as there.
        text: as a reader sees it.
        file: the artifact.
        key: dotted, of the entry.
    """

    value: Any
    text: str
    file: Path
    key: str


@dataclass(frozen=True)
class Tile:
    """A fact of the first screen.

    Attributes:
        label: what it is.
        fact: the large one, None where it is not known.
        details: what stands below it.
        config: the YAML that decided it, None where none did.
        missing: in place of the fact.
    """

    label: str
    fact: Fact | None
    details: list[Fact | str]
    config: Path | None = None
    missing: Missing | None = None


@dataclass(frozen=True)
class Step:
    """A command that made something.

    Attributes:
        title: what it made.
        command: as it was typed, to copy.
        file: the manifest that recorded it.
        folder: that it ran in, empty where that is not known.
    """

    title: str
    command: str
    file: Path
    folder: str


@dataclass(frozen=True)
class SubsetFacts:
    """A subset of the pool.

    Attributes:
        name: what tells it from the others of the page.
        run: that it belongs to.
        folder: where it lies.
        manifest: how it was chosen.
        method: that chose it.
        seed: of the choice.
        per_source: whether each source was clustered by itself.
        indices: int64, ascending row numbers.
        composition: composition.json.
        clusters_N: int32 (N,), -1 where not clustered.
        reasons_N: uint8 (N,), positions in `subsets.REASONS`. None where an earlier version wrote none.
        clusters_of: what was clustered, as subset.features. Empty where nothing was clustered.
        stability: stability.json, None where it was not measured.
        contamination: row -> the words that it shares with a question.
    """

    name: str
    run: str
    folder: Path
    manifest: SubsetManifest
    method: str
    seed: int
    per_source: bool
    indices: np.ndarray
    composition: dict[str, Any]
    clusters_N: np.ndarray
    reasons_N: np.ndarray | None
    clusters_of: str
    stability: dict[str, Any] | None
    contamination: dict[int, str]

    @property
    def has_clusters(self) -> bool:
        return bool(self.clusters_of)


@dataclass(frozen=True)
class LossFacts:
    """The loss trajectories of the pool.

    Attributes:
        run: whose they are, or the file.
        file: their manifest or file.
        counted_in: file and key that say how many checkpoints there are.
        checkpoints: short names.
        columns: per checkpoint float32 (N,), NaN = unscorable.
        tokens_N: int32 (N,), response tokens. None where they are not known.
        is_of_a_run: whether a run of ours scored them, else they were made elsewhere.
    """

    run: str
    file: Path
    counted_in: tuple[Path, str]
    checkpoints: list[str]
    columns: list[np.ndarray]
    tokens_N: np.ndarray | None
    is_of_a_run: bool

    @property
    def num_examples(self) -> int:
        return len(self.columns[0])


@dataclass(frozen=True)
class SourceFacts:
    """Where the rows of the pool come from. Attributes: names: (S,). codes_N: int32 (N,), into names."""

    names: list[str]
    codes_N: np.ndarray


@dataclass(frozen=True)
class TrainingCurve:
    """The loss of each step of a training.

    Attributes:
        run: whose.
        arm: title of its arm, or the run again.
        steps: of the optimizer.
        losses: nats per response token.
        file: metrics.jsonl.
    """

    run: str
    arm: str
    steps: list[int]
    losses: list[float]
    file: Path


@dataclass(frozen=True)
class RunProgress:
    """How far a run of an experiment is. Attributes: run: name. state: in words. is_done: evaluated."""

    run: str
    state: str
    is_done: bool


@dataclass(frozen=True)
class ComparisonFacts:
    """A comparison. Attributes: comparison: as on disk. file: where. budget: of an experiment, in words."""

    comparison: Comparison
    file: Path
    budget: str = ""

    @property
    def key_end(self) -> str:
        """What tells the keys of its figures from those of another budget."""
        return f"_{self.budget}" if self.budget else ""


@dataclass(frozen=True)
class PageFacts:
    """All of the page.

    Attributes:
        title: of the page.
        folder: that the page will lie in.
        pool_name: where the rows are from.
        num_rows: N, None where nothing says.
        tiles: the first screen.
        steps: the commands that make all of it again.
        subsets: at most `MOST_SUBSETS`, the first explains the clusters.
        losses: None without trajectories.
        sources: None where no pool could be read.
        inspection: inspection.json and its file, None without.
        comparisons: one for each budget of an experiment, or those of a run: the newest.
        curves: of the trainings.
        states: of the runs of an experiment.
        missing: section -> what is not there.
        remarks: section -> sentences to say beside its figures.
    """

    title: str
    folder: Path
    pool_name: str
    num_rows: int | None
    tiles: list[Tile]
    steps: list[Step]
    subsets: list[SubsetFacts]
    losses: LossFacts | None
    sources: SourceFacts | None
    inspection: tuple[dict[str, Any], Path] | None
    comparisons: list[ComparisonFacts]
    curves: list[TrainingCurve]
    states: list[RunProgress] = field(default_factory=list)
    missing: dict[str, list[Missing]] = field(default_factory=dict)
    remarks: dict[str, list[str]] = field(default_factory=dict)

    @property
    def clustered(self) -> SubsetFacts | None:
        """The subset whose clusters the page shows."""
        explained = self.explained
        return explained if explained is not None and explained.has_clusters else None

    @property
    def explained(self) -> SubsetFacts | None:
        return explained_of(self.subsets)


def explained_of(subsets: Sequence[SubsetFacts]) -> SubsetFacts | None:
    """The subset of which the page says why a row is in or not: the first with clusters, else the first."""
    return next((subset for subset in subsets if subset.has_clusters), next(iter(subsets), None))


MOST_SUBSETS = 8  # shown side by side: one for each colour
