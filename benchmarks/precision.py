r"""What a lower precision does to losses and clusters: the same checkpoints scored twice, once in bfloat16.

    python run_distributed_trajectories.py --config_file C
    python run_distributed_trajectories.py --config_file C --model_path res/RUN run_name=RUN_bf16 \
        trajectories.precision=bfloat16
    python benchmarks/precision.py RUN RUN_bf16 [--num_clusters 100]

Prints the differences of the losses, and how well the clusters of both agree (adjusted Rand index),
beside how well two k-means seeds agree on the float32 losses alone: a precision that disturbs less
than another seed does no harm.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.artifacts.trajectories.read import read_trajectories
from utils.config.names import KMeansInit
from utils.selection.methods.kmeans import KMeansSettings, cluster_rows
from utils.selection.methods.rand_index import adjusted_rand_index

NUM_SEEDS = 5


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reference")
    parser.add_argument("other")
    parser.add_argument("--num_clusters", type=int, default=100)
    arguments = parser.parse_args()
    other = read_trajectories(arguments.other)
    reference = read_trajectories(arguments.reference, other.steps)
    reference_NT = np.stack(reference.columns, axis=1)
    is_scorable_N = np.isfinite(reference_NT).all(axis=1)
    reference_nT = reference_NT[is_scorable_N]
    other_nT = np.stack(other.columns, axis=1)[is_scorable_N]
    error_nT = np.abs(other_nT - reference_nT)
    print(f"{len(reference_nT):,} examples, {len(reference.columns)} checkpoints, losses in nats:")
    most = np.quantile(error_nT, 0.99)
    print(f"  error: mean {error_nT.mean():.2g}, 99 % below {most:.2g}, largest {error_nT.max():.2g}")
    print(f"  standard deviation of the losses over examples: {reference_nT.std(axis=0).mean():.2g}")
    ways: list[tuple[KMeansInit, int]] = [("random", 1), ("kmeans++", 10)]
    for init, num_restarts in ways:
        settings = KMeansSettings(
            num_clusters=arguments.num_clusters,
            max_points_per_centroid=None,
            iterations=20,
            init=init,
            num_restarts=num_restarts,
        )
        clusters = [clusters_of(reference_nT, settings, seed) for seed in range(NUM_SEEDS)]
        others = [clusters_of(other_nT, settings, seed) for seed in range(NUM_SEEDS)]
        between = [agreement(first, second) for first, second in zip(clusters, others, strict=True)]
        by_seed = [agreement(clusters[0], second) for second in clusters[1:]]
        print(
            f"  clusters, K = {arguments.num_clusters}, init {init}, {num_restarts} restart(s): "
            f"adjusted Rand index between the precisions {np.mean(between):.3f} (same seed), "
            f"between seeds {np.mean(by_seed):.3f} (same precision)"
        )
    return 0


def clusters_of(losses_nT: np.ndarray, settings: KMeansSettings, seed: int) -> np.ndarray:
    return cluster_rows(losses_nT.__getitem__, len(losses_nT), settings, seed)[0]


def agreement(first_n: np.ndarray, second_n: np.ndarray) -> float:
    return adjusted_rand_index(np.zeros(len(first_n), np.int64), first_n, second_n)


if __name__ == "__main__":
    sys.exit(main())
