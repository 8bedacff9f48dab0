r"""Do proxies of different sizes choose the same rows? What they agree on, pair by pair.

    python benchmarks/study_sizes.py study_proxy_small_seed0 study_proxy_small_seed1 study_proxy_large_seed0

The proxies are runs that scored the same pool. Those of one size differ in their seeds alone, so their pairs
say what chance does. Clusters and rows are made as the presets `released` and `paper` do, with one seed of
k-means and one random order of the pool for all. All is kept in docs/results/analyses/sizes.json, which
`python docs/make_results.py` makes a table of.
"""

import argparse
import itertools
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.study_agreement import by_source
from benchmarks.study_runs import chosen, made_by, pool_of
from docs.study.kept import keep_analysis
from docs.study.results import ANALYSES
from utils.artifacts.checkpoints import checkpoints_in
from utils.artifacts.paths import RunPaths
from utils.artifacts.trajectories.read import read_trajectories
from utils.data.pool import Pool
from utils.selection.candidates import Candidates, Choice, find_candidates
from utils.selection.methods.rand_index import adjusted_rand_index

_BUDGET = 0.11
_SEED, _OTHER_SEED = 0, 1
_PRESETS = ("released", "paper")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("proxies", nargs="+", metavar="PROXY", help="run name")
    parser.add_argument("--output", type=Path, default=ANALYSES / "sizes.json")
    arguments = parser.parse_args(argv)
    try:
        keep(arguments.proxies, arguments.output)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    return 0


def keep(proxies: list[str], output: Path) -> None:
    """Raises: FileNotFoundError, or ValueError for proxies that cannot be set against one another."""
    if len(set(proxies)) < max(2, len(proxies)):
        raise ValueError(f"found {', '.join(proxies)}, expected two proxies or more, each once")
    pool = pool_of(proxies[0])
    found = {proxy: Choices.of(pool, proxy) for proxy in proxies}
    kept = {
        "proxies": {proxy: num_parameters(proxy) for proxy in proxies},
        **made_by(proxies),
        "pool": pool.fingerprint,
        "budget": _BUDGET,
        "num_rows": len(found[proxies[0]].candidates.rows),
        "pairs": [
            {"proxies": list(pair), **agreement(pool, *(found[proxy] for proxy in pair))}
            for pair in itertools.combinations(proxies, 2)
        ],
        "chance": [compared_with_chance(found[proxy]) for proxy in proxies],
    }
    keep_analysis(output, proxies, kept)
    print(output)


@dataclass(frozen=True)
class Choices:
    """What is chosen by the losses of one proxy.

    Attributes:
        candidates: the rows to choose from.
        by_preset: what each preset chooses of them.
    """

    candidates: Candidates
    by_preset: dict[str, Choice]

    @classmethod
    def of(cls, pool: Pool, proxy: str) -> "Choices":
        candidates, _ = find_candidates(pool, read_trajectories(proxy))
        by_preset = {preset: chosen(candidates, _BUDGET, _SEED, preset=preset) for preset in _PRESETS}
        return cls(candidates, by_preset)


def agreement(pool: Pool, one: Choices, other: Choices) -> dict[str, Any]:
    """How far two proxies agree.

    Returns:
        last: Spearman's correlation of the losses of the newest checkpoints over the rows of a source, in the
            median source.
        fall: likewise, of first loss minus last.
        clusters: preset -> adjusted Rand index.
        rows: preset -> share of the rows that one chose and the other as well.

    Raises: ValueError if they have losses of different rows.
    """
    candidates = one.candidates
    if not np.array_equal(candidates.rows, other.candidates.rows):
        raise ValueError("the proxies have losses of different rows: name runs that scored the same pool")
    pairs = {preset: (one.by_preset[preset], other.by_preset[preset]) for preset in _PRESETS}
    losses_nT, others_nT = (each.candidates.read_losses(slice(None)) for each in (one, other))
    falls_n, others_n = (each_nT[:, 0] - each_nT[:, -1] for each_nT in (losses_nT, others_nT))
    return {
        "last": _in_median_source(pool, candidates, losses_nT[:, -1], others_nT[:, -1]),
        "fall": _in_median_source(pool, candidates, falls_n, others_n),
        "clusters": {preset: same_clusters(candidates, preset, *pair) for preset, pair in pairs.items()},
        "rows": {preset: _share_of_rows(*pair) for preset, pair in pairs.items()},
    }


def compared_with_chance(choices: Choices) -> dict[str, Any]:
    """What to set the agreement of two proxies against, of one proxy.

    Returns:
        clusters: preset -> adjusted Rand index with those of another seed of k-means.
        rows: released -> share of its rows that random ones with its shares of the sources hold as well. For
            `paper` there are no such rows: its shares follow from its clusters.
    """
    candidates = choices.candidates
    restarted = {preset: chosen(candidates, _BUDGET, _OTHER_SEED, preset=preset) for preset in _PRESETS}
    random_rows = chosen(candidates, _BUDGET, _SEED, method="random_per_source")
    return {
        "clusters": {
            preset: same_clusters(candidates, preset, choices.by_preset[preset], restarted[preset])
            for preset in _PRESETS
        },
        "rows": {"released": _share_of_rows(choices.by_preset["released"], random_rows)},
    }


def same_clusters(candidates: Candidates, preset: str, one: Choice, other: Choice) -> float:
    """Adjusted Rand index, inside the sources where a preset clusters each by itself."""
    codes_n = candidates.source_codes_n
    part_n = codes_n if preset == "released" else np.zeros_like(codes_n)
    return adjusted_rand_index(part_n, *(choice.clusters_N[candidates.rows] for choice in (one, other)))


def _share_of_rows(one: Choice, other: Choice) -> float:
    return float(np.isin(one.rows, other.rows).mean())


def num_parameters(run: str) -> int:
    """Of the model of a run."""
    from transformers import AutoModelForCausalLM

    newest = max(checkpoints_in(RunPaths(run).root).items())[1]
    return AutoModelForCausalLM.from_pretrained(newest).num_parameters()


def _in_median_source(pool: Pool, candidates: Candidates, *values: np.ndarray) -> float:
    """Spearman's correlation. Args: values: of two proxies, (n,)."""
    of_pool = np.full((len(values), len(pool)), np.nan)
    of_pool[:, candidates.rows] = values
    of_sources = [correlation for name, (_, correlation) in by_source(pool, *of_pool).items() if name]
    known = [correlation for correlation in of_sources if np.isfinite(correlation)]  # constants have none
    if not known:
        raise ValueError(
            "found no source whose rows two proxies rank, expected a pool of several sources, and proxies of "
            "two checkpoints or more"
        )
    return statistics.median(known)


if __name__ == "__main__":
    sys.exit(main())
