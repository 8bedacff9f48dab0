"""Who chooses planted noise? Its share among the rows of each arm of an experiment, before any is trained on.

    python benchmarks/study_noise.py configs/study/experiment_noise.yml res/study_data/noisy_rows.npy

Takes the proxies that the experiment has trained and scored, and chooses the subsets that are not there yet;
run_experiment.py goes on from them. All is kept in docs/results/analyses/noise.json, which
`python docs/make_results.py` makes a table of.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.study_runs import made_by, pool_of, row_numbers
from docs.study.kept import keep_analysis
from docs.study.results import ANALYSES
from utils import stages
from utils.artifacts.subsets import read_subset
from utils.config.experiment import WHOLE_POOL, ExperimentRun, load_experiment, runs_of


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", metavar="EXPERIMENT.yml")
    parser.add_argument("planted", type=Path, metavar="ROWS.npy", help="rows of the pool that are noise")
    parser.add_argument("--output", type=Path, default=ANALYSES / "noise.json")
    arguments = parser.parse_args(argv)
    planted = row_numbers(arguments.planted)
    runs = [run for run in runs_of(load_experiment(arguments.experiment)) if run.label != WHOLE_POOL]
    shares: dict[str, dict[int, float]] = {}
    for run in runs:
        shares.setdefault(run.label, {})[run.seed] = share_of_noise(run, planted)
    proxies = list(dict.fromkeys(str(run.config.subset_section.trajectories_from) for run in runs))
    pool = pool_of(proxies[0])
    kept = {
        "experiment": arguments.experiment,
        "planted": str(arguments.planted),
        "proxies": proxies,
        **made_by(proxies),
        "pool": pool.fingerprint,
        "share_of_pool": float(np.isin(pool.usable_rows, planted).mean()),
        "budgets": sorted({str(run.budget) for run in runs}),
        "shares": shares,
    }
    keep_analysis(arguments.output, proxies, kept)
    print(arguments.output)
    return 0


def share_of_noise(run: ExperimentRun, planted: np.ndarray) -> float:
    """Of the rows that a run chooses. Raises: ValueError, FileNotFoundError: as select_s2l.py."""
    (folder,) = stages.select(run.config)
    return float(np.isin(read_subset(folder).indices, planted).mean())


if __name__ == "__main__":
    sys.exit(main())
