"""What S2L is compared with, each by the definition of its own paper.

They see the whole pool and are blind to sources (the settings min_per_source and max_per_source balance any
of them). Ties go to the lowest row. Rows taken at random come in the same seeded order as in S2L,
so that a comparison at one seed is about how the budget is shared out and about nothing else.

Legend: n candidates, T checkpoints.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...artifacts.trajectories.read import read_num_response_tokens, read_quantity
from ...artifacts.trajectories.write import LOSS
from ...config.schema import SubsetConfig
from ..candidates import Candidates, Choice, choose_in_order
from ..unscorable import row_numbers_text
from .kmeans import ReadRows
from .pick import check_pick
from .random_order import in_key_order, put_in_key_order
from .s2l import SourceClusters, check_fit, choose_from_clusters
from .turns import source_weights, take_turns


def random(candidates: Candidates, subset: SubsetConfig, budget: int, seed: int) -> Choice:
    """Rows at random, whatever their source: S2L over the whole pool with a single cluster."""
    return choose_in_order(
        candidates, in_key_order(_positions(candidates), candidates.random_keys(seed)), budget
    )


def random_per_source(candidates: Candidates, subset: SubsetConfig, budget: int, seed: int) -> Choice:
    """The budget shared out over the sources as S2L does, rows at random inside each.

    It is S2L per source with a single cluster: the control that tells how much of S2L is the balance
    of sources.
    """
    key_n = candidates.random_keys(seed)
    sources = candidates.by_source()
    put_in_key_order(sources, key_n)
    order = take_turns(sources, key_n, budget, weight_G=source_weights(candidates, subset))
    return choose_in_order(candidates, order, budget)


# Scores: float or integer (n,). The rows of the lowest are taken first.
Score = Callable[[Candidates], np.ndarray]


def least_confidence(candidates: Candidates) -> np.ndarray:
    """Lowest mean probability of the response tokens under the last checkpoint.

    The baseline of this name in the S2L paper, after Bhatt et al., 2024, "An Experimental Design Framework
    for Label-Efficient Supervised Finetuning", arXiv:2401.06692.
    """
    return last(candidates, "probability")


def lowest_max_probability(candidates: Candidates) -> np.ndarray:
    """Lowest mean probability of the likeliest token at each place of the response, at the last checkpoint.

    It says how sure the model is of whatever it would say, not of the response.
    Least confidence as active learning has it (Settles, 2009), averaged over tokens as in DiverseEvol
    (Wu et al., 2023, arXiv:2311.08182).
    """
    return last(candidates, "max_probability")


def middle_perplexity(candidates: Candidates) -> np.ndarray:
    """Perplexity nearest to the middle of the pool's ranking, under the last checkpoint.

    Marion et al., 2023, "When Less is More", arXiv:2309.04564, keep the middle of the distribution.
    The ranking by perplexity is the ranking by mean loss.
    """
    rank_n = np.empty(len(candidates.rows))
    rank_n[np.argsort(last(candidates, LOSS), kind="stable")] = np.arange(len(rank_n))
    from_middle_n = rank_n - (len(rank_n) - 1) / 2
    # Distances differ by a half or more: of rows equally far from the middle the more perplexing
    # comes second.
    return np.abs(from_middle_n) + 0.25 * (from_middle_n > 0)


def high_learnability(candidates: Candidates) -> np.ndarray:
    """Largest loss of the base model (step 0) minus loss at the last checkpoint.

    Zhou et al., 2023, "LoBaSS: Gauging Learnability in Supervised Fine-tuning Data", arXiv:2310.13008,
    without that paper's further normalisation.
    """
    return last(candidates, LOSS) - at_step(candidates, LOSS, 0)


def longest(candidates: Candidates) -> np.ndarray:
    """Most response tokens (Zhao et al., 2024, "Long Is More for Alignment", arXiv:2402.04833)."""
    return -read_num_response_tokens(candidates.needed_trajectories)[candidates.rows].astype(np.int64)


def prune_then_select(candidates: Candidates, subset: SubsetConfig, budget: int, seed: int) -> Choice:
    """S2L on the falls of the loss from checkpoint to checkpoint, without rows whose loss does not fall.

    After "Prune, Then Select" (submitted to ICLR 2026, withdrawn). A straight line is fitted to a trajectory
    by least squares, and the row is pruned if its slope is above -`min_slope` nats per checkpoint.
    How that paper measures a slope and a reduction is known from its description only.
    Pruned rows are taken, at random, once all others are spent.
    """
    falls_n = _falls(candidates, subset.min_slope)
    pruned = in_key_order(np.flatnonzero(~falls_n), candidates.random_keys(seed))
    if not falls_n.any():
        words = (
            f"no loss falls by subset.min_slope ({subset.min_slope:g}) nats per checkpoint: "
            f"all {len(pruned):,} rows are pruned, and the subset is taken at random: lower it"
        )
        return replace(choose_in_order(candidates, pruned, budget), warnings=(words,))
    kept = candidates.only(np.flatnonzero(falls_n))
    clusters = SourceClusters(kept, _read_falls(kept), subset, seed)
    choice = choose_from_clusters(clusters, subset, len(kept.rows), seed)
    words = (
        f"{len(pruned):,} of {len(falls_n):,} rows are pruned: their loss falls by less than subset.min_slope"
    )
    order = np.concatenate([choice.order, candidates.rows[pruned]])[:budget]
    return replace(choice, order=order, remarks=(*choice.remarks, words))


def check_slopes(num_checkpoints: int, subset: SubsetConfig) -> None:
    """Refuse trajectories without a slope. Raises: ValueError."""
    check_pick(num_checkpoints, subset)
    if num_checkpoints < 2:
        raise ValueError(
            "subset.method prune_then_select: found 1 checkpoint, expected at least 2 to fit a slope to"
        )


def check_unpruned(candidates: Candidates, subset: SubsetConfig) -> None:
    """Refuse an extension that `check_fit` refuses. Raises: ValueError."""
    falls_n = _falls(candidates, subset.min_slope)
    if falls_n.any():
        kept = candidates.only(np.flatnonzero(falls_n))
        check_fit(kept, _read_falls(kept), subset)


def _falls(candidates: Candidates, min_slope: float) -> np.ndarray:
    """bool (n,): whether a row's loss falls by this much per checkpoint."""
    num_checkpoints = candidates.num_checkpoints
    weight_T = np.arange(num_checkpoints) - (num_checkpoints - 1) / 2
    weight_T /= (weight_T**2).sum()
    slope_n = np.zeros(len(candidates.rows))
    for weight, loss_n in zip(weight_T, candidates.loss_columns(), strict=True):
        slope_n += weight * loss_n
    return slope_n <= -min_slope


def _read_falls(candidates: Candidates) -> ReadRows:
    """Reads float32 (m, T - 1): the falls of the loss from checkpoint to checkpoint."""
    return lambda position_m: np.ascontiguousarray(-np.diff(candidates.read_losses(position_m), axis=1))


def _positions(candidates: Candidates) -> np.ndarray:
    return np.arange(len(candidates.rows), dtype=np.int32)


def last(candidates: Candidates, quantity: str) -> np.ndarray:
    """(n,): a quantity of the candidates at the last of the checkpoints used."""
    if quantity == LOSS:
        return candidates.needed_trajectories.columns[-1][candidates.rows]
    return at_step(candidates, quantity, candidates.needed_trajectories.last_step)


def at_step(candidates: Candidates, quantity: str, step: int) -> np.ndarray:
    """(n,): a quantity of the candidates at one step.

    Raises:
        FileNotFoundError: naming the command that makes it.
        ValueError: for rows without.
    """
    value_n = read_quantity(candidates.needed_trajectories, quantity, step)[candidates.rows]
    without = candidates.rows[np.isnan(value_n)]
    if len(without):
        raise ValueError(
            f"{candidates.needed_trajectories.origin}: {len(without):,} rows with losses have no {quantity} "
            f"at step {step}: {row_numbers_text(without)}: "
            f"score that checkpoint again (--overwrite --checkpoints {step})"
        )
    return value_n
