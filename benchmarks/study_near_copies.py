r"""How much of what an arm gains is due to held-out rows that have a near-copy in the pool?

    python benchmarks/study_near_copies.py configs/study/experiment_aim.yml

A near-copy shares more than half of the runs of five words of the question, without the answer choices (the
share is of those of either). The script scores the held-out rows with every run that was compared, each
as res/<run>_heldout_rows, and averages their losses over rows with a near-copy and over those without. All is
kept in docs/results/analyses/near_copies.json, which `python docs/make_results.py` makes a table of.
"""

import argparse
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.study_results import Run, read_runs
from benchmarks.study_runs import made_by, pool_of
from docs.study.checks import check_arms
from docs.study.kept import keep_analysis
from docs.study.results import ANALYSES, arms_of, comparison_names
from utils.artifacts.checkpoints import checkpoints_in
from utils.artifacts.comparisons import ComparisonManifest
from utils.artifacts.paths import RunPaths, comparison_path
from utils.artifacts.trajectories.read import read_trajectories
from utils.config.experiment import ExperimentConfig, load_experiment, runs_of
from utils.config.schema import DataConfig
from utils.data.pool import Pool
from utils.terminal import first_of

_WORDS = 5
_CHOICES = "Answer Choices"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", metavar="EXPERIMENT.yml", help="of one budget")
    parser.add_argument("--output", type=Path, default=ANALYSES / "near_copies.json")
    arguments = parser.parse_args(argv)
    try:
        keep(arguments.experiment, arguments.output)
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
    return 0


def keep(config_file: str, output: Path) -> None:
    """Raises: FileNotFoundError, or ValueError for runs that are not those that were compared."""
    experiment = load_experiment(config_file)
    arms, runs = runs_compared(config_file, experiment)
    pool = pool_of(next(iter(runs)))
    heldout = heldout_of(experiment)
    copies = near_copies(questions_of(Pool(DataConfig(path=heldout))), questions_of(pool))
    has_copy_H = np.array([bool(rows) for rows in copies])
    if has_copy_H.all() or not has_copy_H.any():
        raise ValueError(
            f"{heldout}: found near-copies in the pool of {has_copy_H.sum()} of {len(copies)} rows, "
            "expected some rows with and some without: there is nothing to tell apart"
        )
    measured: dict[str, dict[str, list[float]]] = {
        label: {part: [] for part in ("all", "with", "without", "chosen")} for label in arms
    }
    for label, of_seeds in arms.items():
        for run in of_seeds:
            loss_H = heldout_losses(run, heldout)
            has_loss_H = np.isfinite(loss_H)
            measured[label]["all"].append(float(loss_H[has_loss_H].mean()))
            measured[label]["with"].append(float(loss_H[has_loss_H & has_copy_H].mean()))
            measured[label]["without"].append(float(loss_H[has_loss_H & ~has_copy_H].mean()))
            rows = runs[run].rows
            chosen = np.arange(len(pool)) if rows is None else rows
            measured[label]["chosen"].append(sum(bool(np.isin(each, chosen).any()) for each in copies))
    names = [run for of_seeds in arms.values() for run in of_seeds]
    kept: dict[str, Any] = {
        "experiment": config_file,
        **made_by(names),
        "pool": pool.fingerprint,
        "seeds": experiment.seeds,
        "num_heldout": len(copies),
        "num_with": int(has_copy_H.sum()),
        "arms": measured,
    }
    keep_analysis(output, names, kept)
    print(output)


def runs_compared(
    config_file: str, experiment: ExperimentConfig
) -> tuple[dict[str, list[str]], dict[str, Run]]:
    """Label -> its runs by seed, and the runs by name.

    Raises: FileNotFoundError, or ValueError for several budgets, an arm that is not finished, or runs that
        are not those that were compared.
    """
    names = comparison_names(experiment)
    if len(names) > 1:
        raise ValueError(f"{config_file}: found budgets {experiment.budgets}, expected one: name one alone")
    ((name, budget),) = names.items()
    path = comparison_path(name)
    comparison = ComparisonManifest.read(path).comparison
    check_arms(comparison, experiment, budget, path)
    runs = read_runs(comparison, path)
    arms = arms_of(experiment, budget)
    if missing := [run for of_seeds in arms.values() for run in of_seeds if run not in runs]:
        raise ValueError(
            f"{path}: found no {first_of(missing)}, expected every run of {config_file}: make them, and "
            "compare all (run_experiment.py)"
        )
    return arms, runs


def heldout_of(experiment: ExperimentConfig) -> str:
    """The file of rows that all its runs are evaluated on. Raises: ValueError where there is none."""
    evaluation = runs_of(experiment)[0].config.evaluation
    if evaluation is None or not isinstance(evaluation.heldout, str):
        raise ValueError("evaluation.heldout: found no file, expected one: there are no rows to measure on")
    return evaluation.heldout


def questions_of(pool: Pool) -> list[str]:
    """What each row asks, with its input where it has one."""
    return [f"{example.instruction}\n{example.input}" for example in pool]


def near_copies(questions: Sequence[str], of_pool: Sequence[str]) -> list[list[int]]:
    """For each question the rows of the pool that are near-copies of it, ascending."""
    runs_of_pool = [runs_of_words(text) for text in of_pool]
    rows_of: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, runs in enumerate(runs_of_pool):
        for each in runs:
            rows_of[each].append(row)
    found = []
    for question in questions:
        own = runs_of_words(question)
        shared = Counter(row for each in own for row in rows_of.get(each, []))
        found.append(
            sorted(
                row for row, count in shared.items() if 2 * count > len(own) + len(runs_of_pool[row]) - count
            )
        )
    return found


def runs_of_words(question: str) -> set[tuple[str, ...]]:
    """Those of five words in a row, in lower case; all words of a shorter question."""
    words = re.findall(r"\w+", question.split(_CHOICES)[0].lower())
    return {tuple(words[start : start + _WORDS]) for start in range(max(1, len(words) - _WORDS + 1))}


def heldout_losses(run: str, heldout: str) -> np.ndarray:
    """float32 (H,): of each held-out row, by the run's newest checkpoint; NaN without a response token."""
    paths = RunPaths(run)
    script = Path(__file__).resolve().parents[1] / "get_trajectories.py"
    own = f"{run}_heldout_rows"
    words = ["--config_file", str(paths.config), "--model_path", str(paths.root), "--ckpt", "-1"]
    settings = [f"run_name={own}", f"data.path={heldout}", "data.validation=null", "trajectories.also=[]"]
    subprocess.run([sys.executable, str(script), *words, *settings], check=True)
    newest = max(checkpoints_in(paths.root))
    return np.asarray(read_trajectories(own, steps=[newest]).columns[0])


if __name__ == "__main__":
    sys.exit(main())
