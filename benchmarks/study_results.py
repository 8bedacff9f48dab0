r"""Keep what finished experiments of the study (configs/study) showed, in docs/results, a file a comparison.

    python benchmarks/study_results.py configs/study/experiment_wide.yml configs/study/experiment_budgets.yml
    python benchmarks/study_results.py configs/study/experiment_noise.yml \
        --planted res/study_data/noisy_rows.npy

A file is the comparison.json that run_experiment.py wrote, with every run's values, how many rows there are
of each source, and what the runs themselves record: their device, commit and seconds, how many rows an arm
shares with the random controls and with its own other seeds, how many of the --planted rows it chose.
`python docs/make_results.py` makes docs/results.md of these files.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from docs.study.results import CONTROLS, RESULTS, arms_of, comparison_names
from utils.artifacts.files import write_json
from utils.artifacts.paths import RunPaths, comparison_path
from utils.artifacts.subsets import COMPOSITION
from utils.artifacts.trainings import TrainingManifest
from utils.config.experiment import load_experiment

# The page takes its differences from the values, and the checksum is of a file that had them.
_LEFT_OUT = ("sha256", "differences")
_OF_ONE_MACHINE = ("folder", "command")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiments", nargs="+", metavar="EXPERIMENT.yml")
    parser.add_argument("--planted", type=Path, metavar="ROWS.npy", help="rows of the pool that are noise")
    parser.add_argument("--output_dir", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    if arguments.planted is not None and len(arguments.experiments) > 1:
        parser.error("--planted: found several experiments, expected the one whose pool these rows are of")
    planted = None if arguments.planted is None else np.load(arguments.planted)
    for path in arguments.experiments:
        experiment = load_experiment(path)
        for name, budget in comparison_names(experiment).items():
            if not comparison_path(name).is_file():
                print(f"{name}: not compared yet, nothing is kept")
                continue
            comparison = json.loads(comparison_path(name).read_text(encoding="utf-8"))
            known = {run["name"] for run in comparison["runs"]}
            arms = {label: [run for run in runs if run in known]
                    for label, runs in arms_of(experiment, budget).items()}  # fmt: skip
            kept = {key: value for key, value in comparison.items() if key not in _LEFT_OUT}
            kept["provenance"] = {
                key: value for key, value in comparison["provenance"].items() if key not in _OF_ONE_MACHINE
            }
            kept["sources"] = rows_of_sources(arms)
            kept["recorded"] = recorded(arms, planted)
            write_json(arguments.output_dir / f"{name}.json", kept)
            print(f"{arguments.output_dir / name}.json: {len(known)} runs")
    return 0


def recorded(arms: dict[str, list[str]], planted: np.ndarray | None) -> dict[str, dict[str, Any]]:
    """What each run records that a comparison does not say.

    Args:
        arms: label -> its runs, by seed.
        planted: numbers of the rows that are noise.

    Returns: run -> its device, commit, versions and seconds, and the fingerprint of its pool. Where it chose
        rows, too: how many of each source, the share of them that the run of each control with its seed
        chose, the share that another seed of its arm chose, on average over these, and the share that is
        noise.
    """
    rows_of = {run: rows for runs in arms.values() for run in runs if (rows := _rows(run)) is not None}
    of_runs = {}
    for runs in arms.values():
        for run in runs:
            manifest = TrainingManifest.read(RunPaths(run).manifest)
            made = manifest.provenance
            of_runs[run] = {
                "device": made.device_name or made.device,
                "git_commit": made.git_commit,
                "python": made.python,
                "packages": made.packages,
                "seconds": made.seconds,
                "pool": manifest.inputs["pool"],
            }
            if run not in rows_of:
                continue
            rows = rows_of[run]
            of_runs[run]["rows_by_source"] = _rows_by_source(run)
            seed = run.rsplit("_", 1)[1]
            of_runs[run]["shared_with"] = {
                control: float(np.isin(rows, rows_of[other]).mean())
                for control in CONTROLS
                for other in arms.get(control, [])
                if other.endswith(f"_{seed}")
            }
            others = [rows_of[other] for other in runs if other != run and other in rows_of]
            if others:
                shares = [float(np.isin(rows, other).mean()) for other in others]
                of_runs[run]["shared_with_other_seeds"] = statistics.mean(shares)
            if planted is not None:
                of_runs[run]["planted"] = float(np.isin(rows, planted).mean())
    return of_runs


def _rows(run: str) -> np.ndarray | None:
    path = RunPaths(run).subset / "indices.npy"
    return np.load(path) if path.is_file() else None


def rows_of_sources(arms: dict[str, list[str]]) -> dict[str, dict[str, int]]:
    """Source -> its rows of the pool, and the most of them that one of the runs chose from."""
    rows_of: dict[str, dict[str, int]] = {}
    for run in (run for runs in arms.values() for run in runs if _rows(run) is not None):
        for source, each in _sources(run).items():
            rows = rows_of.setdefault(source, {"pool_rows": each["pool_rows"], "selectable": 0})
            rows["selectable"] = max(rows["selectable"], each["selectable"])
    return rows_of


def _rows_by_source(run: str) -> dict[str, int]:
    return {source: each["chosen"] for source, each in _sources(run).items()}


def _sources(run: str) -> dict[str, Any]:
    return json.loads((RunPaths(run).subset / COMPOSITION).read_text(encoding="utf-8"))["sources"]


if __name__ == "__main__":
    sys.exit(main())
