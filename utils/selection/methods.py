"""The table of selection methods: `subset.method` names one of `METHODS`."""

from collections.abc import Callable
from dataclasses import dataclass

from utils.config.schema import SubsetConfig
from utils.selection.baselines import random, random_per_source
from utils.selection.candidates import Candidates, Choice
from utils.selection.s2l import s2l


@dataclass(frozen=True)
class Method:
    """A way to choose rows.

    Attributes:
        choose: (candidates, settings, budget in rows, seed) -> the choice.
        settings: names of the subset settings that its result depends on.
        needs_trajectories: whether it cannot do without; given to others, they only say which rows are unscorable.
        by_source: whether it always shares the budget out over the sources first (S2L: if per_source is set).
    """

    choose: Callable[[Candidates, SubsetConfig, int, int], Choice]
    settings: tuple[str, ...] = ()
    needs_trajectories: bool = False
    by_source: bool = False


METHODS: dict[str, Method] = {
    "s2l": Method(
        s2l,
        settings=(
            "num_clusters",
            "per_source",
            "min_cluster_size",
            "max_points_per_centroid",
            "iterations",
            "init",
            "num_restarts",
        ),
        needs_trajectories=True,
    ),
    "random": Method(random),
    "random_per_source": Method(random_per_source, by_source=True),
}
