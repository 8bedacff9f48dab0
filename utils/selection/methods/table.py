"""The table of selection methods: `subset.method` names one of `METHODS`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...artifacts.trajectories.write import BASE_LOSSES, VALIDATION
from ...config.names import SelectionMethod
from ...config.schema import SubsetConfig
from ..candidates import Candidates, Choice, choose_in_order
from .baselines import (
    Score,
    check_slopes,
    check_unpruned,
    high_learnability,
    least_confidence,
    longest,
    lowest_max_probability,
    middle_perplexity,
    prune_then_select,
    random,
    random_per_source,
)
from .embeddings import check_embeddings
from .greedy import facility_location, k_center
from .s2l import check_clusterable, check_movement, s2l
from .targeted import check_cld, cld, minus_share_of_loss_gone
from .turns import check_source_weights

_SHARES = ("source_exponent", "source_weight")
_CLUSTERING = (
    *_SHARES,
    "cluster_exponent",
    "num_clusters",
    "per_source",
    "min_cluster_size",
    "max_points_per_centroid",
    "iterations",
    "init",
    "num_restarts",
    "pick",
)


def _needs_nothing(candidates: Candidates, subset: SubsetConfig) -> None:
    pass


def _takes_any_number(num_checkpoints: int, subset: SubsetConfig) -> None:
    pass


@dataclass(frozen=True)
class Method:
    """A way to choose rows.

    Attributes:
        choose: (candidates, settings, budget in rows, seed) -> the choice.
            A larger budget contains a smaller one.
        check: (candidates, settings): reads what `choose` will read, raises what is wrong with it.
        check_checkpoints: (number of checkpoints, settings): raises for too few, before they are there.
        settings: names of the subset settings that its result depends on.
        needs_losses: whether it cannot do without, or without what lies beside them. Given to other methods,
            they only say which rows are unscorable.
        by_source: whether it always shares the budget out over the sources first (S2L: if per_source is set).
        takes_at_random: whether a group's rows are taken in the seeded random order, not by a score.
        reads: what it needs of the trajectories besides the losses: names of `trajectories.also`,
            or BASE_LOSSES.
        needs_validation: what it needs of `data.validation`: the losses of these rows, or the rows alone, so
            that none of them is chosen. None for methods that are not targeted.
        revision: of its definition. What an earlier one chose is not taken for what this one would choose.
    """

    choose: Callable[[Candidates, SubsetConfig, int, int], Choice]
    check: Callable[[Candidates, SubsetConfig], object] = _needs_nothing
    check_checkpoints: Callable[[int, SubsetConfig], object] = _takes_any_number
    settings: tuple[str, ...] = ()
    needs_losses: bool = True
    by_source: bool = False
    takes_at_random: bool = False
    reads: tuple[str, ...] = ()
    needs_validation: Literal["losses", "rows"] | None = None
    revision: int = 1


def _ranked(
    score: Score,
    reads: tuple[str, ...] = (),
    needs_validation: Literal["rows"] | None = None,
    revision: int = 1,
) -> Method:
    """Rows by ascending score, ties by the lowest row."""

    def choose(candidates: Candidates, subset: SubsetConfig, budget: int, seed: int) -> Choice:
        return choose_in_order(candidates, np.argsort(score(candidates), kind="stable"), budget)

    return Method(
        choose,
        lambda candidates, subset: score(candidates),
        reads=reads,
        needs_validation=needs_validation,
        revision=revision,
    )


METHODS: dict[SelectionMethod, Method] = {
    "s2l": Method(
        s2l, check_clusterable, check_movement, settings=(*_CLUSTERING, "features"), takes_at_random=True
    ),
    "prune_then_select": Method(
        prune_then_select,
        check_unpruned,
        check_slopes,
        settings=(*_CLUSTERING, "min_slope"),
        takes_at_random=True,
    ),
    "random": Method(random, needs_losses=False, takes_at_random=True),
    "random_per_source": Method(
        random_per_source, settings=_SHARES, needs_losses=False, by_source=True, takes_at_random=True
    ),
    "least_confidence": _ranked(least_confidence, reads=("confidence",), revision=2),
    "lowest_max_probability": _ranked(lowest_max_probability, reads=("confidence",)),
    "middle_perplexity": _ranked(middle_perplexity),
    "high_learnability": _ranked(high_learnability, reads=(BASE_LOSSES,)),
    "longest": _ranked(longest),
    "cld": Method(
        cld, check_checkpoints=check_cld, settings=_SHARES, by_source=True, needs_validation="losses"
    ),
    "tacs": _ranked(minus_share_of_loss_gone, reads=(BASE_LOSSES,), needs_validation="rows"),
    "facility_location": Method(facility_location, check_embeddings, reads=("embeddings",), revision=2),
    "k_center": Method(k_center, check_embeddings, reads=("embeddings",), revision=2),
}


def shares_by_source(subset: SubsetConfig, method: Method) -> bool:
    """Whether the budget is shared out over the sources first."""
    return method.by_source or ("per_source" in method.settings and subset.per_source)


def check_num_checkpoints(num_checkpoints: int, subset: SubsetConfig) -> None:
    """Refuse trajectories of too few checkpoints for the method and its settings. Raises: ValueError."""
    method = METHODS[subset.method]
    method.check_checkpoints(num_checkpoints, subset)
    if "source_weight" in method.settings:
        check_source_weights(num_checkpoints, subset)


def needed_besides_losses(subset: SubsetConfig) -> list[str]:
    """What a subset's method needs of the trajectories.

    Returns: names of `trajectories.also`, BASE_LOSSES, or VALIDATION.
    """
    method = METHODS[subset.method]
    needed: list[str] = list(method.reads)
    if "features" in method.settings and subset.features == "embeddings":
        needed.append("embeddings")
    if method.needs_validation == "losses":
        needed.append(VALIDATION)
    return needed
