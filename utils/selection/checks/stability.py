"""Whether other seeds or checkpoints would have chosen the same, and clusters say more than the mean loss.

Everything is measured by clustering and spending again: with other k-means seeds, without one of the
checkpoints, with the mean or the last loss instead of the trajectory. The random order of the rows is the
subset's own every time, so what differs is due to the clusters alone. Where clusters are made per source,
rows are compared with rows of their own source.

Legend: n candidates (or a sample of them), T checkpoints, P parts that are clustered by themselves.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...artifacts.files import remove_leftovers, write_json
from ...artifacts.locks import locked
from ...artifacts.paths import RunPaths
from ...artifacts.subsets import read_subset, stability_path
from ...artifacts.trajectories.manifest import TrajectoriesManifest
from ...artifacts.trajectories.read import Trajectories, read_trajectories
from ...config.schema import RunConfig, SubsetConfig
from ...terminal import spread_evenly
from ..candidates import Choice
from ..limits import find_limits, needs_whole_order, order_within
from ..methods.features import OF_LOSSES, fewest_checkpoints, read_features
from ..methods.kmeans import ReadRows
from ..methods.num_clusters import num_clusters_of
from ..methods.rand_index import adjusted_rand_index
from ..methods.random_order import derived_seed, sample_positions
from ..methods.s2l import SourceClusters, choose_from_clusters
from ..methods.table import METHODS
from ..remarks import one_cluster
from ..reopen import SubsetWithCandidates, open_subset

NUM_SEEDS = 3  # other than the subset's own
MAX_ROWS = 300_000  # of a larger pool, as many are drawn at random
_MAX_LEFT_OUT = 12  # checkpoints left out, one at a time
_POOR = 0.65  # adjusted Rand index. Steinley (2004, Psychological Methods 9:386) calls less than that poor
_CLOSE = 0.05  # a difference between two indices that is none


@dataclass(frozen=True)
class StabilityPlan:
    """What measuring the stability of a subset takes.

    Attributes:
        made: the subset, and what it was chosen from.
        settings: of the subset, the number of clusters filled in.
        seed: of the run.
        num_rows: that are clustered each time.
        num_clusterings: how often.
        path: of stability.json.
        target: the losses of the run's own model over the same pool. None where it has not been scored.
    """

    made: SubsetWithCandidates
    settings: SubsetConfig
    seed: int
    num_rows: int
    num_clusterings: int
    path: Path
    target: Trajectories | None = None


@dataclass(frozen=True)
class Agreement:
    """How far a subset that was made again is the same.

    Attributes:
        clusters: adjusted Rand index.
        subset: rows in both over rows in either (Jaccard).
    """

    clusters: float
    subset: float


@dataclass(frozen=True)
class Stability:
    """stability.json: agreement with the subset as it was made, if one thing changes.

    Attributes:
        selectable: rows that it was chosen from.
        rows_measured: of them, those that were clustered again.
        budget_measured: rows that were chosen again.
        share_of_level: see `share_of_level`.
        other_seeds: with other seeds of k-means.
        without_checkpoint: short name of a checkpoint -> without its losses.
        mean_loss_alone: with the mean of the losses in place of the trajectory.
        last_loss_alone: with the last loss in its place.
        no_clusters: of the subset alone, with no clusters and the rows in the same random order.
        warnings: what should keep a user from reading much into the clusters.
        target_losses: with the losses of the target in place of the proxy's. None where it was not scored.
    """

    selectable: int
    rows_measured: int
    budget_measured: int
    share_of_level: float
    other_seeds: list[Agreement]
    without_checkpoint: dict[str, Agreement]
    mean_loss_alone: Agreement
    last_loss_alone: Agreement
    no_clusters: float
    warnings: list[str]
    target_losses: Agreement | None = None

    @property
    def mean_of_seeds(self) -> Agreement:
        """Of `other_seeds`."""
        return Agreement(
            clusters=float(np.mean([agreement.clusters for agreement in self.other_seeds])),
            subset=float(np.mean([agreement.subset for agreement in self.other_seeds])),
        )


def plan_stability(config: RunConfig) -> StabilityPlan:
    """Open the subset of a run.

    Raises:
        FileNotFoundError: there is no subset yet.
        ValueError: it was not made from clusters of losses.
    """
    settings = config.subset_section
    if settings.method != "s2l" or settings.features == "embeddings":
        raise ValueError(
            f"--stability: found subset.method {settings.method} with features {settings.features}, "
            "expected s2l with features of losses: nothing else has clusters of losses to compare"
        )
    if settings.extend is not None:
        raise ValueError(
            f"--stability: found subset.extend {settings.extend}, expected a subset that was chosen at once: "
            "its old rows keep their clusters, whatever the seed. Measure the subset that it extends, or "
            "choose this one anew in a run of its own (subset.extend=null)"
        )
    made = open_subset(config)
    num_left_out = len(_left_out(made.candidates.num_checkpoints, settings))
    target = _target_trajectories(config, made)
    return StabilityPlan(
        made=made,
        settings=settings.model_copy(update={"num_clusters": num_clusters_of(settings, made.candidates)}),
        seed=config.seed,
        num_rows=min(len(made.candidates.rows), MAX_ROWS),
        num_clusterings=NUM_SEEDS + num_left_out + 2 + (target is not None),  # the mean and the last loss
        path=stability_path(made.folder),
        target=target,
    )


def _target_trajectories(config: RunConfig, made: SubsetWithCandidates) -> Trajectories | None:
    """The losses of the run's own model, if it was scored on the pool that the subset was chosen from."""
    path = RunPaths(config.run_name).trajectories_manifest
    if not path.is_file():
        return None
    manifest = TrajectoriesManifest.read(path)
    if not manifest.is_complete or not manifest.is_of(made.pool) or not manifest.steps:
        return None
    target = read_trajectories(config.run_name)
    fewest = fewest_checkpoints(config.subset_section.features)
    if len(target.columns) < fewest:
        raise ValueError(
            f"{target.origin}: found {len(target.columns)} checkpoint of the target, expected at least "
            f"{fewest} with subset.features={config.subset_section.features}: score more of them, or move "
            "that folder away to do without"
        )
    lost = sum(int(np.isnan(column_N[made.candidates.rows]).sum()) for column_N in target.columns)
    if lost:
        raise ValueError(
            f"{target.origin}: found {lost:,} losses that are NaN at rows that could be chosen, "
            "expected none: the target reads other tokens than the proxy, so the two cannot be compared. "
            "Move that folder away to do without"
        )
    return target


def run_stability(plan: StabilityPlan) -> Stability:
    """Measure, and write the result beside the subset.

    Raises: ValueError if another command is choosing for this run, or has chosen since the subset was opened.
    """
    made = plan.made
    with locked(made.folder, "another command is choosing the rows of this run"):
        if not np.array_equal(read_subset(made.folder).indices, made.indices):
            raise ValueError(f"{made.folder}: found another subset than a moment ago: run the command again")
        remove_leftovers(made.folder, plan.path.name)
        stability = measure_stability(made, plan.settings, plan.seed, plan.target)
        write_json(plan.path, _as_json(stability))
    return stability


def _as_json(stability: Stability) -> dict[str, Any]:
    values = {**asdict(stability), "no_clusters": {"subset": stability.no_clusters}}
    if stability.target_losses is None:
        del values["target_losses"]
    return values


def _left_out(num_checkpoints: int, settings: SubsetConfig) -> list[int]:
    """Columns to do without, one at a time, if enough are left then to make the features of."""
    is_enough = num_checkpoints > fewest_checkpoints(settings.features)
    return spread_evenly(num_checkpoints, _MAX_LEFT_OUT) if is_enough else []


def measure_stability(
    made: SubsetWithCandidates, settings: SubsetConfig, seed: int, target: Trajectories | None = None
) -> Stability:
    """Make the subset again in small variations, and compare.

    Args:
        settings: with a number of clusters.
        target: the losses of the target on the same pool, None without.
    """
    trajectories = made.candidates.needed_trajectories
    variants = SubsetVariants(made, settings, seed)
    losses_nT = variants.candidates.read_losses(slice(None))
    mean_n1 = losses_nT.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
    kmeans_seeds = [derived_seed(seed, "stability", str(number)) for number in range(NUM_SEEDS)]
    without_checkpoint = {}
    for column in _left_out(made.candidates.num_checkpoints, settings):
        name = trajectories.checkpoint_names[column]
        without_checkpoint[name] = variants.from_losses(np.delete(losses_nT, column, axis=1))
    stability = Stability(
        selectable=len(made.candidates.rows),
        rows_measured=len(variants.candidates.rows),
        budget_measured=len(variants.indices),
        share_of_level=share_of_level(variants.part_n, losses_nT),
        other_seeds=[variants.from_losses(losses_nT, kmeans_seed) for kmeans_seed in kmeans_seeds],
        without_checkpoint=without_checkpoint,
        mean_loss_alone=variants.from_numbers(lambda piece: mean_n1[piece]),
        last_loss_alone=variants.from_numbers(lambda piece: losses_nT[piece, -1:]),
        no_clusters=variants.without_clusters(),
        warnings=[],
        target_losses=None if target is None else variants.from_losses(target.rows(variants.candidates.rows)),
    )
    if settings.num_clusters == 1:  # all agree then, for no reason of the losses
        return replace(stability, warnings=[one_cluster(settings.per_source)])
    return replace(stability, warnings=warnings_of(stability))


class SubsetVariants:
    """A subset made again, from other numbers or with another seed of k-means.

    Each variant is compared with the subset on disk. Of more than MAX_ROWS candidates a seeded sample is
    taken: a subset is made on it, with the budget in proportion and without limits per source, and compared
    with.

    Attributes:
        candidates: that it is chosen from.
        indices: what is compared with, ascending row numbers.
        part_n: which of them are clustered together.
    """

    def __init__(self, made: SubsetWithCandidates, settings: SubsetConfig, seed: int):
        self.candidates = made.candidates
        self.indices = made.indices
        self._clusters_N = made.clusters_N
        self._settings = settings
        self._seed = seed
        self._budget = len(made.indices)
        is_sampled = len(self.candidates.rows) > MAX_ROWS
        if is_sampled:
            self._take_sample()
        num_rows = len(self.candidates.rows)
        needs_all = needs_whole_order(self._settings, self.candidates)
        self._order_length = num_rows if needs_all else self._budget
        per_source = self._settings.per_source
        self.part_n = self.candidates.source_codes_n if per_source else np.zeros(num_rows, np.int32)
        if is_sampled:
            reference = self._choose(read_features(self.candidates, self._settings))
            self.indices = np.sort(self._subset_of(reference))
            self._clusters_N = reference.clusters_N

    def _take_sample(self) -> None:
        num_selectable = len(self.candidates.rows)
        sample = sample_positions(num_selectable, MAX_ROWS, derived_seed(self._seed, "stability sample"))
        candidates = self.candidates.only(sample)
        included = np.intersect1d(candidates.included, candidates.rows)
        self.candidates = replace(candidates, included=included)
        self._budget = max(1, len(included), round(self._budget * MAX_ROWS / num_selectable))
        without_limits = {"min_per_source": None, "max_per_source": None}
        self._settings = self._settings.model_copy(update=without_limits)

    def from_losses(self, losses_nT: np.ndarray, kmeans_seed: int | None = None) -> Agreement:
        """The subset by clusters of these losses, by another k-means seed where one is given."""
        features = OF_LOSSES[self._settings.features]
        return self.from_numbers(features(lambda piece: losses_nT[piece], len(losses_nT)), kmeans_seed)

    def from_numbers(self, read_rows: ReadRows, kmeans_seed: int | None = None) -> Agreement:
        """The subset by clusters of these numbers."""
        rows = self.candidates.rows
        choice = self._choose(read_rows, kmeans_seed)
        clusters = adjusted_rand_index(self.part_n, self._clusters_N[rows], choice.clusters_N[rows])
        return Agreement(clusters, self._overlap(choice))

    def without_clusters(self) -> float:
        method = METHODS["random_per_source" if self._settings.per_source else "random"]
        choice = method.choose(self.candidates, self._settings, self._order_length, self._seed)
        return self._overlap(choice)

    def _choose(self, read_rows: ReadRows, kmeans_seed: int | None = None) -> Choice:
        of_kmeans = self._seed if kmeans_seed is None else kmeans_seed
        clusters = SourceClusters(self.candidates, read_rows, self._settings, of_kmeans)
        return choose_from_clusters(clusters, self._settings, self._order_length, self._seed)

    def _overlap(self, choice: Choice) -> float:
        return jaccard(self.indices, self._subset_of(choice))

    def _subset_of(self, choice: Choice) -> np.ndarray:
        """The rows of the budget, in the order of the choice."""
        order = choice.order
        if self._order_length > self._budget:
            order = order_within(find_limits(self.candidates, self._settings), order, self.candidates)
        return order[: self._budget]


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """Rows in both over rows in either, of two subsets of distinct row numbers, not both empty."""
    both = len(np.intersect1d(first, second, assume_unique=True))
    return both / (len(first) + len(second) - both)


def share_of_level(part_n: np.ndarray, losses_nT: np.ndarray) -> float:
    """The share of k-means's squared distances that is due to the mean loss of the rows, inside the parts.

    With the mean trajectory of its part taken off, a row splits into its mean over the checkpoints (level)
    and the rest (shape). These are orthogonal, so their squares add up. 1 where nothing varies.
    """
    _, part_n = np.unique(part_n, return_inverse=True)
    sizes_P = np.bincount(part_n)
    total = 0.0
    level_n = np.zeros(len(losses_nT))
    for losses_n in losses_nT.T.astype(np.float64):
        offset_n = losses_n - (np.bincount(part_n, losses_n) / sizes_P)[part_n]
        total += float(offset_n @ offset_n)
        level_n += offset_n / losses_nT.shape[1]
    level = losses_nT.shape[1] * float(level_n @ level_n)
    return 1.0 if total == 0 else level / total


def warnings_of(stability: Stability) -> list[str]:
    """What should keep a user from reading much into the clusters, empty where nothing should."""
    seeds = stability.mean_of_seeds
    mean_alone = stability.mean_loss_alone.clusters
    no_clusters = stability.no_clusters
    fragile = [step for step, agreement in stability.without_checkpoint.items() if agreement.clusters < _POOR]
    warnings = []
    if seeds.clusters < _POOR:
        warnings.append(
            "the clusters depend on chance: "
            f"k-means from another seed agrees with them at {seeds.clusters:.2f} only "
            f"(below {_POOR} is poor). "
            "Ways out: fewer clusters (subset.num_clusters), several restarts "
            "(subset.num_restarts=10 subset.init=kmeans++)"
        )
    elif fragile:
        warnings.append(f"the clusters hang on single checkpoints: {', '.join(fragile)}")
    if mean_alone >= seeds.clusters - _CLOSE:
        warnings.append(
            "the clusters say no more than the mean loss does: "
            f"clusters of the mean loss alone agree with them at {mean_alone:.2f}, "
            f"those of another k-means seed at {seeds.clusters:.2f}"
        )
    if no_clusters >= seeds.subset - _CLOSE:
        warnings.append(
            "the clusters hardly decide what is chosen: without clusters, in the same random order, "
            f"the subset would be as close to this one ({no_clusters:.2f}) "
            f"as that of another k-means seed is ({seeds.subset:.2f})"
        )
    return warnings
