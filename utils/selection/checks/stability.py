"""Whether other k-means seeds or checkpoints would have chosen the same subset. And do its clusters say more than the mean
loss does?

Everything is measured by clustering and spending again: with other k-means seeds, without one of the checkpoints, with
the mean or the last loss instead of the trajectory. The random order of the rows is the subset's own every time, so what
differs is due to the clusters alone. Where clusters are made per source, rows are compared with rows of their own source.

Legend: N examples of the pool, n candidates (or a sample of them), T checkpoints, P parts that are clustered by themselves.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from ...artifacts.files import write_json
from ...config.schema import RunConfig, SubsetConfig
from ...process.reporter import reporter
from ...terminal import counted, table, wrapped
from ..candidates import Candidates, Choice
from ..drawing import checkpoint_names, spread_evenly
from ..limits import find_limits, needs_whole_order, order_within
from ..methods.kmeans import ReadRows
from ..methods.random_order import derived_seed, sample_positions
from ..methods.s2l import choose_from_clusters, num_clusters_of
from ..methods.table import METHODS
from ..resolve import open_subset

NUM_SEEDS = 3  # other than the subset's own
MAX_ROWS = 300_000  # of a larger pool, as many are drawn at random
_MAX_LEFT_OUT = 12  # checkpoints left out, one at a time
_POOR = (
    0.65  # adjusted Rand index below which Steinley (2004, Psychological Methods 9:386) calls agreement poor
)
_CLOSE = 0.05  # a difference between two indices that is none


def write_stability(config: RunConfig, dry_run: bool = False) -> str:
    """Measure the stability of a run's subset, write it beside the subset, and put it into words.

    Args: dry_run: check everything, measure and write nothing.

    Raises: FileNotFoundError where there is no subset yet; ValueError for one that was not made from clusters of losses.
    """
    subset = config.subset_section
    if subset.method != "s2l" or subset.clusters != "trajectories":
        raise ValueError(
            f"--stability: found subset.method {subset.method} with clusters {subset.clusters}, expected s2l with clusters "
            "of trajectories: nothing else has clusters of losses to compare"
        )
    made = open_subset(config)
    assert made.candidates.trajectories is not None
    names = checkpoint_names(made.candidates.trajectories)
    # Those without one of the checkpoints are several only where there are several.
    num_clusterings = NUM_SEEDS + (min(len(names), _MAX_LEFT_OUT) if len(names) > 1 else 0) + 2
    task = f"clustering {counted(min(len(made.candidates.rows), MAX_ROWS), 'row')} {num_clusterings} times"
    path = made.folder / "stability.json"
    if dry_run:
        return f"dry run: nothing measured, nothing written; without --dry_run: {task}, into {path}"
    reporter.warn(task)
    subset = subset.model_copy(update={"num_clusters": num_clusters_of(subset, made.candidates)})
    stability = measure_stability(
        made.candidates, subset, len(made.indices), config.seed, made.clusters_N, made.indices, names
    )
    stability["warnings"] = warnings_of(stability)
    write_json(path, stability)
    return f"{report(stability)}\n\n{path}"


def measure_stability(
    candidates: Candidates,
    subset: SubsetConfig,
    budget: int,
    seed: int,
    clusters_N: np.ndarray,
    indices: np.ndarray,
    column_names: list[str],
) -> dict[str, Any]:
    """stability.json: agreement of clusters (adjusted Rand index) and subsets (Jaccard) with the subset as it was made.

    Of more than MAX_ROWS candidates a seeded sample is taken, the subset is made on that sample with the budget in
    proportion and without limits per source, and everything is compared with this; else with the clusters and rows on
    disk.

    Args: clusters_N, indices: the subset on disk; column_names: one per checkpoint.
    """
    num_selectable = len(candidates.rows)
    if num_selectable > MAX_ROWS:
        candidates = candidates.only(
            sample_positions(num_selectable, MAX_ROWS, derived_seed(seed, "stability sample"))
        )
        candidates = replace(candidates, included=np.intersect1d(candidates.included, candidates.rows))
        budget = max(1, len(candidates.included), round(budget * MAX_ROWS / num_selectable))
        subset = subset.model_copy(update={"min_per_source": None, "max_per_source": None})
        made = choose_from_clusters(candidates, candidates.read_losses, subset, budget, seed)
        clusters_N, indices = made.clusters_N, made.rows
    order_length = len(candidates.rows) if needs_whole_order(subset, candidates) else budget
    part_n = candidates.source_codes_n if subset.per_source else np.zeros(len(candidates.rows), np.int32)
    losses_nT = candidates.read_losses(slice(None))

    def agreement(read_rows: ReadRows, kmeans_seed: int = seed) -> dict[str, float]:
        again = choose_from_clusters(candidates, read_rows, subset, order_length, seed, kmeans_seed)
        rows = candidates.rows
        return {
            "clusters": adjusted_rand_index(part_n, clusters_N[rows], again.clusters_N[rows]),
            "subset": overlap(again),
        }

    def overlap(again: Choice) -> float:
        order = again.order
        if order_length > budget:
            order = order_within(find_limits(candidates, subset), order, candidates)
        return jaccard(indices, order[:budget])

    def without(checkpoint: int) -> dict[str, float]:
        fewer_nT = np.delete(losses_nT, checkpoint, axis=1)
        return agreement(lambda piece: fewer_nT[piece])

    mean_n1 = losses_nT.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
    last_n1 = losses_nT[:, -1:]
    seeds = [derived_seed(seed, "stability", str(number)) for number in range(NUM_SEEDS)]
    left_out = spread_evenly(len(column_names), _MAX_LEFT_OUT) if len(column_names) > 1 else []
    no_clusters = METHODS["random_per_source" if subset.per_source else "random"]
    return {
        "selectable": num_selectable,
        "rows_measured": len(candidates.rows),
        "budget_measured": len(indices),
        "share_of_level": share_of_level(part_n, losses_nT),
        "other_seeds": [agreement(lambda piece: losses_nT[piece], kmeans_seed) for kmeans_seed in seeds],
        "without_checkpoint": {column_names[checkpoint]: without(checkpoint) for checkpoint in left_out},
        "mean_loss_alone": agreement(lambda piece: mean_n1[piece]),
        "last_loss_alone": agreement(lambda piece: last_n1[piece]),
        "no_clusters": {"subset": overlap(no_clusters.choose(candidates, subset, order_length, seed))},
    }


def adjusted_rand_index(part_n: np.ndarray, first_n: np.ndarray, second_n: np.ndarray) -> float:
    """Agreement of two clusterings (Hubert and Arabie, 1985): 1 = the same, 0 = no more than chance.

    (index - expected) / (maximum - expected), where index counts the pairs of rows that lie together in both, maximum
    is the mean of the pairs together in either, and expected is what shuffled labels would give. Pairs are counted
    and labels shuffled inside the parts only: with one part, this is the usual index; with several, clusters that
    agree for no other reason than that no cluster crosses a source earn nothing. Two clusterings that no shuffling
    could tell apart (one cluster each, or all rows alone) agree: 1.

    Args: part_n, first_n, second_n: int (n,): the part and the two clusters of each row.
    """
    part_n, first_n, second_n = (
        np.unique(values_n, return_inverse=True)[1] for values_n in (part_n, first_n, second_n)
    )
    num_parts = int(part_n.max()) + 1

    def pairs_P(label_n: np.ndarray) -> np.ndarray:
        labels, sizes = np.unique(part_n * (label_n.max() + 1) + label_n, return_counts=True)
        pairs = sizes * (sizes - 1.0) / 2
        return np.bincount(labels // (label_n.max() + 1), pairs, num_parts)

    both = pairs_P(first_n * (second_n.max() + 1) + second_n).sum()
    first_P, second_P = pairs_P(first_n), pairs_P(second_n)
    all_P = pairs_P(np.zeros_like(part_n))
    expected = np.divide(first_P * second_P, all_P, out=np.zeros(num_parts), where=all_P > 0).sum()
    maximum = (first_P.sum() + second_P.sum()) / 2
    return 1.0 if maximum == expected else float((both - expected) / (maximum - expected))


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """Rows in both over rows in either, of two subsets of distinct row numbers, not both empty."""
    both = len(np.intersect1d(first, second, assume_unique=True))
    return both / (len(first) + len(second) - both)


def share_of_level(part_n: np.ndarray, losses_nT: np.ndarray) -> float:
    """Share of the squared distances that k-means sees which is due to the mean loss of the rows, inside the parts.

    With the mean trajectory of its part taken off, a row splits into its mean over the checkpoints (level) and the
    rest (shape), which are orthogonal: their squares add up. 1 where nothing varies.
    """
    _, part_n = np.unique(part_n, return_inverse=True)
    sizes_P = np.bincount(part_n)
    total = level = 0.0
    level_n = np.zeros(len(losses_nT))
    for losses_n in losses_nT.T.astype(np.float64):
        offset_n = losses_n - (np.bincount(part_n, losses_n) / sizes_P)[part_n]
        total += float(offset_n @ offset_n)
        level_n += offset_n / losses_nT.shape[1]
    level = losses_nT.shape[1] * float(level_n @ level_n)
    return 1.0 if total == 0 else level / total


def warnings_of(stability: dict[str, Any]) -> list[str]:
    """What should keep a user from reading much into the clusters, in plain words; empty where nothing should."""
    seeds, mean_alone = _mean(stability["other_seeds"]), stability["mean_loss_alone"]
    warnings = []
    if seeds["clusters"] < _POOR:
        warnings.append(
            f"the clusters depend on chance: k-means from another seed agrees with them at {seeds['clusters']:.2f} only "
            f"(below {_POOR} is poor). Ways out: fewer clusters (subset.num_clusters), several restarts "
            "(subset.num_restarts=10 subset.init=kmeans++)"
        )
    fragile = [step for step, found in stability["without_checkpoint"].items() if found["clusters"] < _POOR]
    if fragile and seeds["clusters"] >= _POOR:
        warnings.append(f"the clusters hang on single checkpoints: {', '.join(fragile)}")
    if mean_alone["clusters"] >= seeds["clusters"] - _CLOSE:
        warnings.append(
            f"the clusters say no more than the mean loss does: clusters of the mean loss alone agree with them at "
            f"{mean_alone['clusters']:.2f}, those of another k-means seed at {seeds['clusters']:.2f}"
        )
    if stability["no_clusters"]["subset"] >= seeds["subset"] - _CLOSE:
        warnings.append(
            f"the clusters hardly decide what is chosen: without clusters, in the same random order, the subset would be "
            f"as close to this one ({stability['no_clusters']['subset']:.2f}) as that of another k-means seed is "
            f"({seeds['subset']:.2f})"
        )
    return warnings


def report(stability: dict[str, Any]) -> str:
    """The measurements for people."""
    measured, selectable = stability["rows_measured"], stability["selectable"]
    seeds = stability["other_seeds"]
    changes = {f"the k-means seed (mean of {len(seeds)})": _mean(seeds)}
    changes |= {
        f"the checkpoints: without {step}": found for step, found in stability["without_checkpoint"].items()
    }
    changes["trajectories to their mean loss alone"] = stability["mean_loss_alone"]
    changes["trajectories to their last loss alone"] = stability["last_loss_alone"]
    changes["clusters to none, rows in the same random order"] = stability["no_clusters"]
    lines = table(
        ["agreement with this subset, if one changes", "clusters", "subset"],
        [
            (f"  {name}", _share(found.get("clusters")), _share(found["subset"]))
            for name, found in changes.items()
        ],
        widest_name=64,
    )
    words = [
        "clusters: adjusted Rand index, 1 = the same clusters, 0 = no more alike than by chance. "
        "subset: rows in both over rows in either (Jaccard); the random order of the rows is the same throughout.",
        f"{100 * stability['share_of_level']:.1f} % of the differences that k-means sees are the level of a row (its mean "
        f"loss); the shape of the trajectory makes {100 * (1 - stability['share_of_level']):.1f} %.",
    ]
    if measured < selectable:
        words.append(f"Measured on {measured:,} of the {selectable:,} selectable rows, drawn at random.")
    words += [f"warning: {warning}" for warning in warnings_of(stability)] or [
        "No warning: the clusters hold under another seed and say more than the mean loss does."
    ]
    return "\n".join([*lines, "", *(line for text in words for line in wrapped(text, indent=""))])


def _mean(findings: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([found[name] for found in findings])) for name in findings[0]}


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2f}"
