"""What the analyses of the study read of its runs."""

from typing import Any

from utils.artifacts.paths import RunPaths
from utils.artifacts.trainings import TrainingManifest
from utils.config.load import load_config
from utils.data.pool import Pool


def pool_of(run: str) -> Pool:
    """The pool that a run was trained on."""
    config, _ = load_config(str(RunPaths(run).config), (), needs=("data",))
    return Pool(config.data_section)


def made_by(run: str) -> dict[str, Any]:
    """The device and the commit that trained a run."""
    made = TrainingManifest.read(RunPaths(run).manifest).provenance
    return {"device": made.device_name or made.device, "git_commit": made.git_commit}
