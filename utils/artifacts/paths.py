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

    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation"

    def checkpoint(self, step: int) -> Path:
        return self.root / checkpoint_name(step)


def cache_root() -> Path:
    """Tokenized pools, shared by all runs; safe to delete."""
    return results_root() / ".cache"
