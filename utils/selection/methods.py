"""The table of selection methods: `subset.method` names one of `METHODS`."""

from collections.abc import Callable
from dataclasses import dataclass

from utils.config.schema import SubsetConfig
from utils.selection.baselines import (
    high_learnability,
    least_confidence,
    longest,
    lowest_max_probability,
    middle_perplexity,
    prune_then_select,
    random,
    random_per_source,
)
from utils.selection.candidates import Candidates, Choice
from utils.selection.greedy import facility_location, k_center
from utils.selection.s2l import s2l

_CLUSTERING = (
    "num_clusters",
    "per_source",
    "min_cluster_size",
    "max_points_per_centroid",
    "iterations",
    "init",
    "num_restarts",
)


@dataclass(frozen=True)
class Method:
    """A way to choose rows.

    Attributes:
        choose: (candidates, settings, budget in rows, seed) -> the choice; a larger budget contains a smaller one.
        settings: names of the subset settings that its result depends on.
        needs_trajectories: whether it cannot do without; given to others, they only say which rows are unscorable.
        by_source: whether it always shares the budget out over the sources first (S2L: if per_source is set).
        revision: of its definition; a subset that an earlier one chose is not taken for what this one would choose.
    """

    choose: Callable[[Candidates, SubsetConfig, int, int], Choice]
    settings: tuple[str, ...] = ()
    needs_trajectories: bool = True
    by_source: bool = False
    revision: int = 1


METHODS: dict[str, Method] = {
    "s2l": Method(s2l, settings=(*_CLUSTERING, "clusters")),
    "prune_then_select": Method(prune_then_select, settings=(*_CLUSTERING, "min_slope")),
    "random": Method(random, needs_trajectories=False),
    "random_per_source": Method(random_per_source, needs_trajectories=False, by_source=True),
    "least_confidence": Method(least_confidence, revision=2),
    "lowest_max_probability": Method(lowest_max_probability),
    "middle_perplexity": Method(middle_perplexity),
    "high_learnability": Method(high_learnability),
    "longest": Method(longest),
    "facility_location": Method(facility_location),
    "k_center": Method(k_center),
}
