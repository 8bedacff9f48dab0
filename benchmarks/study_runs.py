"""What the analyses of the study read of its runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from docs.study.markdown import versions_in_words
from utils.artifacts.paths import RunPaths
from utils.artifacts.trainings import TrainingManifest
from utils.config.counts import budget_in_rows
from utils.config.load import load_config
from utils.config.names import SelectionMethod
from utils.config.schema import SubsetConfig
from utils.data.pool import Pool
from utils.reading import load_npy
from utils.selection.candidates import Candidates, Choice
from utils.selection.methods.table import METHODS


def pool_of(run: str) -> Pool:
    """The pool that a run was trained on."""
    config, _ = load_config(str(RunPaths(run).config), (), needs=("data",))
    return Pool(config.data_section)


def chosen(
    candidates: Candidates, budget: float, seed: int, method: SelectionMethod = "s2l", **settings: Any
) -> Choice:
    """Args: budget: a share of the candidates. settings: others of the subset, such as preset."""
    values = {"method": method, "trajectories_from": "proxy", "budget": budget, **settings}
    subset = SubsetConfig.model_validate(values)
    return METHODS[method].choose(candidates, subset, budget_in_rows(budget, len(candidates.rows)), seed)


def row_numbers(path: Path) -> np.ndarray:
    """Raises: FileNotFoundError, or ValueError for a file of something else."""
    rows = load_npy(path)
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise ValueError(f"{path}: found {rows.dtype} {rows.shape}, expected the numbers of rows")
    return rows


def made_by(runs: Sequence[str]) -> dict[str, Any]:
    """The devices, the versions and the commits that trained runs."""
    made = [TrainingManifest.read(RunPaths(run).manifest).provenance for run in runs]
    return {
        "devices": sorted({each.device_name or each.device for each in made}),
        "versions": sorted({versions_in_words(each.python, each.packages) for each in made}),
        "git_commits": sorted({str(each.git_commit) for each in made}),
    }
