"""What the presets of S2L find where the answer is known: 20 planted clusters of 8 to 400 rows.

    python benchmarks/planted.py [--num_seeds 10]

K = 20, budget 100: five rows of each would be an even choice. The trajectories are those of the tests:
centres at least 20 standard deviations of the noise apart.
A cluster is found if its rows, and no others, are one cluster.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.selection.methods.test_methods import planted
from utils.config.schema import SubsetConfig
from utils.selection.methods.rand_index import adjusted_rand_index
from utils.selection.methods.table import METHODS

_NUM_CLUSTERS = 20
_BUDGET = 100
_WAYS: dict[str, dict[str, Any]] = {
    "preset released": {"preset": "released"},
    "preset paper": {"preset": "paper"},
    "paper, num_restarts 10": {"preset": "paper", "num_restarts": 10},
    "paper, kmeans++": {"preset": "paper", "init": "kmeans++"},
    "paper, kmeans++, num_restarts 10": {"preset": "paper", "init": "kmeans++", "num_restarts": 10},
    "random": {"method": "random"},
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num_seeds", type=int, default=10)
    arguments = parser.parse_args(argv)
    print(
        "means over seeds: clusters found, adjusted Rand index, "
        "rows chosen of the rarest and of the commonest cluster"
    )
    for name, settings in _WAYS.items():
        each = np.mean([recovery(settings, seed) for seed in range(arguments.num_seeds)], axis=0)
        print(f"{name}: {each[0]:.1f} of {_NUM_CLUSTERS}, {each[1]:.3f}, {each[2]:.1f} and {each[3]:.1f}")
    return 0


def recovery(settings: dict[str, Any], seed: int) -> tuple[int, float, int, int]:
    """Clusters found, adjusted Rand index, rows chosen of the cluster with fewest and of that with most."""
    candidates, planted_N = planted(seed, _NUM_CLUSTERS)
    values = {"trajectories_from": "planted", "budget": _BUDGET, "num_clusters": _NUM_CLUSTERS, **settings}
    subset = SubsetConfig.model_validate(values)
    choice = METHODS[subset.method].choose(candidates, subset, _BUDGET, seed)
    as_planted = {
        rows.tobytes() for rows in map(np.flatnonzero, planted_N == np.arange(_NUM_CLUSTERS)[:, None])
    }
    found = {
        np.flatnonzero(choice.clusters_N == cluster).tobytes() for cluster in np.unique(choice.clusters_N)
    }
    agreement = adjusted_rand_index(np.zeros(len(planted_N), np.int32), planted_N, choice.clusters_N)
    chosen = np.bincount(planted_N[choice.rows], minlength=_NUM_CLUSTERS)
    return len(as_planted & found), agreement, int(chosen.min()), int(chosen.max())


if __name__ == "__main__":
    sys.exit(main())
