"""What the analyses of the study read of its runs."""

from collections.abc import Sequence
from typing import Any

from utils.artifacts.paths import RunPaths
from utils.artifacts.trainings import TrainingManifest
from utils.config.load import load_config
from utils.data.pool import Pool


def pool_of(run: str) -> Pool:
    """The pool that a run was trained on."""
    config, _ = load_config(str(RunPaths(run).config), (), needs=("data",))
    return Pool(config.data_section)


def made_by(runs: Sequence[str]) -> dict[str, Any]:
    """The devices and the commits that trained runs."""
    made = [TrainingManifest.read(RunPaths(run).manifest).provenance for run in runs]
    return {
        "devices": sorted({each.device_name or each.device for each in made}),
        "git_commits": sorted({str(each.git_commit) for each in made}),
    }
