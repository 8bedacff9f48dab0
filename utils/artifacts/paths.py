"""Where the results of a run lie."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

_CHECKPOINT_NAME = re.compile(r"^checkpoint-(\d+)$")


def results_root() -> Path:
    """`res/` under the current folder, or $S2L_RES_DIR."""
    return Path(os.environ.get("S2L_RES_DIR") or "res")


def checkpoint_name(step: int) -> str:
    return f"checkpoint-{step}"


def step_of(path: Path) -> int | None:
    """The step in a `checkpoint-<step>` name (a suffix such as .npy is ignored), or None."""
    match = _CHECKPOINT_NAME.match(path.name.removesuffix(".npy"))
    return int(match.group(1)) if match else None


@dataclass(frozen=True)
class RunPaths:
    """Every path of one run; nothing else in the project joins path names."""

    run_name: str

    @property
    def root(self) -> Path:
        return results_root() / self.run_name

    @property
    def config(self) -> Path:
        return self.root / "config.yml"

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def log(self) -> Path:
        return self.root / "log.txt"

    @property
    def training_parts(self) -> Path:
        """Checkpoints being written; renamed into place when whole."""
        return self.root / "parts"

    @property
    def trajectories(self) -> Path:
        return self.root / "trajectories"

    @property
    def subset(self) -> Path:
        return self.root / "subset"

    def subset_of(self, budget: int) -> Path:
        """Where one of several subsets of a run lies."""
        return self.root / f"subset-{budget}"

    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation"

    def checkpoint(self, step: int) -> Path:
        return self.root / checkpoint_name(step)


def named_subset(name: str) -> Path:
    """The folder of `RUN` (its one subset) or `RUN/subset-<rows>` (one of several)."""
    run_name, _, folder = name.partition("/")
    return RunPaths(run_name).root / (folder or "subset")


def cache_root() -> Path:
    """What was read of pools and their tokens, shared by all runs; safe to delete."""
    return results_root() / ".cache"
