r"""Do a proxy and a target find the same rows hard? Their losses on the pool, source by source.

    python get_trajectories.py --config_file res/study_wide_full_seed0/config.yml --ckpt -1
    python benchmarks/study_agreement.py study_proxy_seed0:study_wide_full_seed0 study_proxy_seed1:...

Each pair is a proxy and a target that scored the same pool. Compared are the losses of their newest
checkpoints, by Spearman's correlation over the rows of a source, and likewise those of two proxies. All is
kept in docs/results/analyses/agreement.json, which `python docs/make_results.py` makes a table of.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.study_runs import made_by, pool_of
from docs.study.kept import keep_analysis
from docs.study.results import ANALYSES
from utils.artifacts.trajectories.read import read_trajectories
from utils.data.pool import Pool


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", nargs="+", metavar="PROXY:TARGET", help="run names")
    parser.add_argument("--output", type=Path, default=ANALYSES / "agreement.json")
    arguments = parser.parse_args(argv)
    pairs = [pair.split(":") for pair in arguments.pairs]
    pool = pool_of(pairs[0][0])
    losses = {run: newest_losses(pool, run) for pair in pairs for run in pair}
    proxies = [proxy for proxy, _ in pairs]
    of_targets = [by_source(pool, losses[proxy], losses[target]) for proxy, target in pairs]
    of_proxies = [
        by_source(pool, losses[one], losses[other]) for one, other in itertools.combinations(proxies, 2)
    ]
    kept = {
        "pairs": arguments.pairs,
        **made_by(list(losses)),
        "pool": pool.fingerprint,
        "sources": {
            source: {
                "rows": of_targets[0][source][0],
                "proxy_and_target": [each[source][1] for each in of_targets],
                "two_proxies": [each[source][1] for each in of_proxies],
            }
            for source in of_targets[0]
        },
    }
    keep_analysis(arguments.output, list(losses), kept)
    print(arguments.output)
    return 0


def newest_losses(pool: Pool, run: str) -> np.ndarray:
    """float32 (N,): of a run's newest checkpoint. Raises: ValueError if it scored another pool."""
    trajectories = read_trajectories(run)
    assert trajectories.manifest is not None
    if trajectories.manifest.pool != pool.fingerprint:
        raise ValueError(
            f"{trajectories.origin}: found losses of the pool {trajectories.manifest.pool[:12]}, expected "
            f"{pool.fingerprint[:12]}: name runs that scored the same pool"
        )
    return trajectories.columns[-1]


def by_source(pool: Pool, one_N: np.ndarray, other_N: np.ndarray) -> dict[str, tuple[int, float]]:
    """Source -> its scorable rows, and the rank correlation of two models' losses on them. "" is all rows.

    Sources of fewer than two such rows are left out.
    """
    return {
        source: (len(rows), float(cast(Any, spearmanr(one_N[rows], other_N[rows])).statistic))
        for source, rows in _scorable_rows(pool, np.isfinite(one_N) & np.isfinite(other_N))
        if len(rows) > 1
    }


def _scorable_rows(pool: Pool, scorable_N: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "", np.flatnonzero(scorable_N)
    for code, source in enumerate(pool.source_names):
        yield source, np.flatnonzero(scorable_N & (pool.source_codes == code))


if __name__ == "__main__":
    sys.exit(main())
