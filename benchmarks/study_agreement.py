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

import numpy as np
from scipy.stats import rankdata

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.study_runs import made_by, pool_of
from docs.study.results import ANALYSES
from utils.artifacts.files import write_json
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
    losses = {run: read_trajectories(run).columns[-1] for pair in pairs for run in pair}
    pool = pool_of(pairs[0][0])
    proxies = [proxy for proxy, _ in pairs]
    of_targets = [by_source(pool, losses[proxy], losses[target]) for proxy, target in pairs]
    of_proxies = [
        by_source(pool, losses[one], losses[other]) for one, other in itertools.combinations(proxies, 2)
    ]
    made = [made_by(run) for run in losses]
    kept = {
        "pairs": arguments.pairs,
        "devices": sorted({each["device"] for each in made}),
        "git_commits": sorted({str(each["git_commit"]) for each in made}),
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
    write_json(arguments.output, kept)
    print(arguments.output)
    return 0


def by_source(pool: Pool, one_N: np.ndarray, other_N: np.ndarray) -> dict[str, tuple[int, float]]:
    """Source -> its scorable rows, and the rank correlation of two models' losses on them. "" is all rows.

    Raises: ValueError if the models did not score this pool.
    """
    if not len(one_N) == len(other_N) == len(pool):
        raise ValueError(
            f"found losses of {len(one_N)} and {len(other_N)} rows, expected {len(pool)} of both: "
            "name runs that scored the same pool"
        )
    return {
        source: (len(rows), float(np.corrcoef(rankdata(one_N[rows]), rankdata(other_N[rows]))[0, 1]))
        for source, rows in _scorable_rows(pool, np.isfinite(one_N) & np.isfinite(other_N))
    }


def _scorable_rows(pool: Pool, scorable_N: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "", np.flatnonzero(scorable_N)
    for code, source in enumerate(pool.source_names):
        yield source, np.flatnonzero(scorable_N & (pool.source_codes == code))


if __name__ == "__main__":
    sys.exit(main())
