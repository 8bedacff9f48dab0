r"""How much of what an arm gains is due to held-out rows that have a near-copy in the pool?

    python benchmarks/study_near_copies.py configs/study/experiment_aim.yml

A near-copy shares more than half of the runs of five words of the question, without the answer choices (the
share is of those of either). The script scores the held-out rows with every finished run of the experiment,
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

from benchmarks.study_runs import made_by, pool_of
from docs.study.kept import keep_analysis
from docs.study.results import ANALYSES
from utils.artifacts.paths import RunPaths
from utils.artifacts.subsets import read_subset
from utils.artifacts.trajectories.read import read_trajectories
from utils.config.experiment import WHOLE_POOL, load_experiment, runs_of
from utils.config.schema import DataConfig
from utils.data.pool import Pool

_WORDS = 5
_CHOICES = "Answer Choices"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", metavar="EXPERIMENT.yml", help="of one budget, and without `full`")
    parser.add_argument("--output", type=Path, default=ANALYSES / "near_copies.json")
    arguments = parser.parse_args(argv)
    experiment = load_experiment(arguments.experiment)
    if WHOLE_POOL in experiment.methods or len(experiment.budgets) != 1:
        raise ValueError(
            f"{arguments.experiment}: found {', '.join(experiment.methods)} at budgets {experiment.budgets}, "
            f"expected one budget and no `{WHOLE_POOL}`: name an experiment of that kind"
        )
    runs = runs_of(experiment)
    assert runs[0].config.evaluation is not None
    heldout = str(runs[0].config.evaluation.heldout)
    pool = pool_of(runs[0].config.run_name)
    copies = near_copies(
        [example.instruction for example in Pool(DataConfig(path=heldout))],
        [example.instruction for example in pool],
    )
    has_copy_H = np.array([bool(rows) for rows in copies])
    if has_copy_H.all() or not has_copy_H.any():
        raise ValueError(
            f"{heldout}: found near-copies in the pool of {has_copy_H.sum()} of {len(copies)} rows, "
            "expected some rows with and some without: there is nothing to tell apart"
        )
    arms: dict[str, dict[str, list[float]]] = {
        label: {part: [] for part in ("all", "with", "without", "chosen")} for label in experiment.methods
    }
    for run in runs:
        name = run.config.run_name
        loss_H = heldout_losses(name, heldout)
        has_loss_H = np.isfinite(loss_H)
        chosen = set(read_subset(RunPaths(name).subset).indices.tolist())
        of_arm = arms[run.label]
        of_arm["all"].append(float(loss_H[has_loss_H].mean()))
        of_arm["with"].append(float(loss_H[has_loss_H & has_copy_H].mean()))
        of_arm["without"].append(float(loss_H[has_loss_H & ~has_copy_H].mean()))
        of_arm["chosen"].append(sum(not chosen.isdisjoint(rows) for rows in copies))
    names = [run.config.run_name for run in runs]
    kept: dict[str, Any] = {
        "experiment": arguments.experiment,
        **made_by(names),
        "pool": pool.fingerprint,
        "seeds": experiment.seeds,
        "num_heldout": len(copies),
        "num_with": int(has_copy_H.sum()),
        "arms": arms,
    }
    keep_analysis(arguments.output, names, kept)
    print(arguments.output)
    return 0


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
    return np.asarray(read_trajectories(own).columns[-1])


if __name__ == "__main__":
    sys.exit(main())
