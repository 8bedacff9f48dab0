"""What the study's proxies agree on: of a loss trajectory, and of the clusters that are made of it.

    python benchmarks/study_clusters.py study_proxy_seed0 study_proxy_seed1 ...

The proxies are runs that scored the same pool. Their trajectories are taken apart into principal components.
The rows are clustered with the paper's settings (100 clusters over all sources), by trajectories and by what
else can be clustered. Of four proxies or more the means of two and two are set against each other as well.
All is kept in docs/results/analyses/clusters.json, which `python docs/make_results.py` makes tables of.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.study_runs import made_by, pool_of
from docs.study.kept import keep_analysis
from docs.study.results import ANALYSES
from utils.artifacts.trajectories.read import read_trajectories
from utils.config.schema import SubsetConfig
from utils.selection.candidates import Candidates, find_candidates
from utils.selection.methods.rand_index import adjusted_rand_index
from utils.selection.methods.s2l import s2l

_OF_LOSSES = ("losses", "shape", "reductions", "whitened")
_FEATURES = (*_OF_LOSSES, "embeddings")
_SEED, _OTHER_SEED = 0, 1


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("proxies", nargs="+", metavar="PROXY", help="run name")
    parser.add_argument("--output", type=Path, default=ANALYSES / "clusters.json")
    arguments = parser.parse_args(argv)
    pool = pool_of(arguments.proxies[0])
    found = [find_candidates(pool, read_trajectories(name))[0] for name in arguments.proxies]
    sizes = np.bincount(found[0].source_codes_n)
    kept = {
        "proxies": arguments.proxies,
        **made_by(arguments.proxies),
        "pool": pool.fingerprint,
        "num_rows": len(found[0].rows),
        "largest_source": float(sizes.max() / sizes.sum()),
        "components": agreement_of_components([each.read_losses(slice(None)) for each in found]),
        "features": {features: measured(found, features) for features in _FEATURES},
        "means_of_two": agreement_of_means(found),
    }
    keep_analysis(arguments.output, arguments.proxies, kept)
    print(arguments.output)
    return 0


def agreement_of_components(losses_nT: Sequence[np.ndarray]) -> list[dict[str, list[float]]]:
    """How far proxies agree on each principal component of their trajectories.

    Args:
        losses_nT: of each proxy, float32 (n, T), the same rows.

    Returns, for each component, the largest first:
        share: of the variance of a proxy's trajectories, for each proxy.
        correlation: over the rows, of the component of one proxy and the same directions of another, for each
            pair of proxies.
    """
    centred = [each_nT.astype(np.float64) - each_nT.mean(axis=0, dtype=np.float64) for each_nT in losses_nT]
    found = []
    for each_nT in centred:
        variance_T, directions_TT = np.linalg.eigh(each_nT.T @ each_nT)
        found.append((variance_T[::-1] / variance_T.sum(), directions_TT[:, ::-1]))
    pairs = list(itertools.combinations(range(len(centred)), 2))
    components = []
    for place in range(centred[0].shape[1]):
        correlations = []
        for one, other in pairs:
            direction_T = found[one][1][:, place]
            values = (centred[one] @ direction_T, centred[other] @ direction_T)
            correlations.append(float(np.corrcoef(*values)[0, 1]))
        shares = [float(shares_T[place]) for shares_T, _ in found]
        components.append({"share": shares, "correlation": correlations})
    return components


def measured(found: Sequence[Candidates], features: str) -> dict[str, list[float]]:
    """Of one kind of features, a value for each proxy or pair of proxies.

    Returns:
        commonest_source: the share that its commonest source has of a cluster, averaged over rows.
        same_with_another_start: adjusted Rand index with the clusters of another seed of k-means.
        same_with_another_proxy: adjusted Rand index with the clusters of another proxy.
    """
    first = [_clusters(candidates, features, _SEED) for candidates in found]
    restarted = [_clusters(candidates, features, _OTHER_SEED) for candidates in found]
    return {
        "commonest_source": [
            commonest_source(clusters_n, candidates.source_codes_n)
            for clusters_n, candidates in zip(first, found, strict=True)
        ],
        "same_with_another_start": [_agreement(*pair) for pair in zip(first, restarted, strict=True)],
        "same_with_another_proxy": [_agreement(*pair) for pair in itertools.combinations(first, 2)],
    }


def agreement_of_means(found: Sequence[Candidates]) -> dict[str, Any]:
    """How far the mean trajectories of two proxies agree with those of two others.

    Returns, with a value for each way to take two proxies and two others, so with none of fewer than four:
        components: for each the correlations, as `agreement_of_components` has them.
        clusters: for each kind of features the adjusted Rand indices.
    """
    pairs = list(itertools.combinations(range(len(found)), 2))
    apart = [both for both in itertools.combinations(pairs, 2) if not set(both[0]) & set(both[1])]
    means = {pair: mean_of([found[place] for place in pair]) for pair in pairs if apart}
    components = [
        agreement_of_components([means[pair].read_losses(slice(None)) for pair in both]) for both in apart
    ]
    clusters = {
        (pair, features): _clusters(candidates, features, _SEED)
        for pair, candidates in means.items()
        for features in _OF_LOSSES
    }
    return {
        "components": [[each["correlation"][0] for each in same] for same in zip(*components, strict=True)],
        "clusters": {
            features: [_agreement(clusters[one, features], clusters[other, features]) for one, other in apart]
            for features in _OF_LOSSES
        },
    }


def mean_of(found: Sequence[Candidates]) -> Candidates:
    """The same rows with the mean of the proxies' losses at each checkpoint."""
    of_proxies = [candidates.trajectories for candidates in found if candidates.trajectories is not None]
    columns = [
        np.mean(same, axis=0, dtype=np.float64).astype(np.float32)
        for same in zip(*(trajectories.columns for trajectories in of_proxies), strict=True)
    ]
    return replace(found[0], trajectories=replace(of_proxies[0], columns=columns, table_NT=None))


def commonest_source(clusters_n: np.ndarray, source_codes_n: np.ndarray) -> float:
    """The share of the rows that are of the commonest source of their cluster."""
    counts_KS = np.zeros((clusters_n.max() + 1, source_codes_n.max() + 1), np.int64)
    np.add.at(counts_KS, (clusters_n, source_codes_n), 1)
    return float(counts_KS.max(axis=1).sum() / counts_KS.sum())


def _clusters(candidates: Candidates, features: str, seed: int) -> np.ndarray:
    """int32 (n,)."""
    settings: dict[str, Any] = {"trajectories_from": "proxy", "preset": "paper", "features": features}
    choice = s2l(candidates, SubsetConfig.model_validate(settings), budget=1, seed=seed)
    return choice.clusters_N[candidates.rows]


def _agreement(one_n: np.ndarray, other_n: np.ndarray) -> float:
    return adjusted_rand_index(np.zeros(len(one_n), np.int32), one_n, other_n)


if __name__ == "__main__":
    sys.exit(main())
