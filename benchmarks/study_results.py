r"""Keep what finished experiments of the study (configs/study) showed, in docs/results, a file a comparison.

    python benchmarks/study_results.py configs/study/experiment_wide.yml configs/study/experiment_budgets.yml
    python benchmarks/study_results.py configs/study/experiment_noise.yml \
        --planted res/study_data/noisy_rows.npy

A file is the comparison.json that run_experiment.py wrote, with every run's values, how many rows there are
of each source, and what the runs themselves record: their device, commit and seconds, how many rows an arm
shares with the random controls and with its own other seeds, how many of the --planted rows it chose. It is
refused where a run was made anew since, or is not what the experiment says of its arm.
`python docs/make_results.py` makes docs/results.md of these files.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.study_runs import row_numbers
from docs.study.checks import check_arms, check_numbers
from docs.study.kept import KeptComparison, RecordedRun
from docs.study.results import CONTROLS, RESULTS, arms_of, comparison_names
from utils.artifacts.checksums import checksum_of_rows
from utils.artifacts.comparisons import Comparison, ComparisonManifest
from utils.artifacts.evaluations import identity_of_evaluation_of
from utils.artifacts.paths import RunPaths, comparison_path
from utils.artifacts.subsets import most_selectable, read_composition, read_subset
from utils.artifacts.trainings import TrainingManifest
from utils.config.experiment import load_experiment


@dataclass(frozen=True)
class Run:
    """A run as it is on disk.

    Attributes:
        training: its manifest.
        rows: that it chose, None for the whole pool.
        sources: source -> `pool_rows`, `selectable` and `chosen`. Empty for the whole pool.
    """

    training: TrainingManifest
    rows: np.ndarray | None
    sources: dict[str, dict[str, int]]


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
    try:
        planted = None if arguments.planted is None else row_numbers(arguments.planted)
        for path in arguments.experiments:
            keep(path, planted, arguments.output_dir)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    return 0


def keep(config_file: str, planted: np.ndarray | None, output_dir: Path) -> None:
    """Raises: FileNotFoundError, or ValueError for runs that are not those that were compared."""
    experiment = load_experiment(config_file)
    for name, budget in comparison_names(experiment).items():
        path = comparison_path(name)
        if not path.is_file():
            print(f"{name}: not compared yet, nothing is kept")
            continue
        made = ComparisonManifest.read(path)
        check_numbers(made.comparison, path)
        check_arms(made.comparison, experiment, budget, path)
        runs = read_runs(made.comparison, path)
        arms = {label: {run: runs[run] for run in names if run in runs}
                for label, names in arms_of(experiment, budget).items()}  # fmt: skip
        kept = KeptComparison.of(made, rows_of_sources(runs), recorded(arms, planted))
        kept.write(output_dir / f"{name}.json")
        print(f"{output_dir / name}.json: {len(runs)} runs")


def read_runs(comparison: Comparison, path: Path) -> dict[str, Run]:
    """The runs of a comparison by name.

    Args:
        path: of the comparison, for messages.

    Raises: ValueError for a run that was chosen, trained or evaluated anew since it was compared.
    """
    runs = {}
    for compared in comparison.runs:
        if compared.evaluation is None or identity_of_evaluation_of(compared.name) != compared.evaluation:
            raise ValueError(
                f"{path}: found another evaluation of {compared.name} than was compared: compare the runs "
                "again (run_experiment.py)"
            )
        folder = RunPaths(compared.name).subset
        training = TrainingManifest.read(RunPaths(compared.name).manifest)
        if training.subset is None:
            runs[compared.name] = Run(training, None, {})
            continue
        subset = read_subset(folder)
        if checksum_of_rows(subset.indices) != training.rows:
            raise ValueError(
                f"{folder}: found other rows than {compared.name} was trained on: choose them again as they "
                "were, or train and compare it again (run_experiment.py)"
            )
        sources = read_composition(folder, subset.manifest)["sources"]
        runs[compared.name] = Run(training, subset.indices, sources)
    return runs


def recorded(arms: Mapping[str, Mapping[str, Run]], planted: np.ndarray | None) -> dict[str, RecordedRun]:
    """What each run records that a comparison does not say.

    Args:
        arms: label -> its runs by name, by seed.
        planted: numbers of the rows that are noise.
    """
    rows_of = {name: run.rows for runs in arms.values() for name, run in runs.items() if run.rows is not None}
    of_runs = {}
    for runs in arms.values():
        for name, run in runs.items():
            made = run.training.provenance
            of_runs[name] = RecordedRun(
                device=made.device_name or made.device,
                git_commit=made.git_commit,
                python=made.python,
                packages=made.packages,
                seconds=made.seconds,
                pool=run.training.inputs["pool"],
            )
            if name not in rows_of:
                continue
            rows = rows_of[name]
            seed = name.rsplit("_", 1)[1]
            shared_with = {
                control: float(np.isin(rows, rows_of[other]).mean())
                for control in CONTROLS
                for other in arms.get(control, {})
                if other.endswith(f"_{seed}")
            }
            of_others = [float(np.isin(rows, rows_of[other]).mean()) for other in runs if other != name]
            of_runs[name] = replace(
                of_runs[name],
                rows_by_source={source: each["chosen"] for source, each in run.sources.items()},
                shared_with=shared_with,
                shared_with_other_seeds=statistics.mean(of_others) if of_others else None,
                planted=None if planted is None else float(np.isin(rows, planted).mean()),
            )
    return of_runs


def rows_of_sources(runs: Mapping[str, Run]) -> dict[str, dict[str, int]]:
    """Source -> its rows of the pool, and the most of them that one of the runs chose from."""
    of_pool = {source: each["pool_rows"] for run in runs.values() for source, each in run.sources.items()}
    selectable = most_selectable(run.sources for run in runs.values())
    return {source: {"pool_rows": of_pool[source], "selectable": selectable[source]} for source in of_pool}


if __name__ == "__main__":
    sys.exit(main())
