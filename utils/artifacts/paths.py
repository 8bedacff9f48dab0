"""Where the results of a run lie."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_CHECKPOINT_NAME = re.compile(r"^checkpoint-(\d+)$")
_NUMBERED_NAME = re.compile(r"^(checkpoint|step|iter|global_step|epoch)[-_]?(\d+)$")


def results_root() -> Path:
    """`res/` under the current folder, or $S2L_RES_DIR."""
    return Path(os.environ.get("S2L_RES_DIR") or "res")


def manifest_in(folder: Path) -> Path:
    return folder / "manifest.json"


def trajectories_in(run: Path) -> Path:
    return run / "trajectories"


def validation_in(trajectories: Path) -> Path:
    """Where the losses of validation rows lie, beside those of the pool."""
    return trajectories / "validation"


def export_in(subset: Path, stack: str) -> Path:
    """Where a subset lies as another stack reads it."""
    return subset / f"for_{stack}"


def lock_of(thing: Path) -> Path:
    """The file that is locked by whoever writes a file or folder."""
    return thing.parent / ".locks" / f"{thing.name}.lock"


def checkpoint_name(step: int) -> str:
    return f"checkpoint-{step}"


def step_of(path: Path) -> int | None:
    """The step in a `checkpoint-<step>` name (a suffix such as .npy is ignored), or None."""
    match = _CHECKPOINT_NAME.match(path.name.removesuffix(".npy"))
    return int(match.group(1)) if match else None


def numbered_name(path: Path) -> tuple[str, int] | None:
    """What is counted, and how many: ("step", 500) of a folder `step-500`, as trainers name checkpoints.

    None of another name.
    """
    match = _NUMBERED_NAME.match(path.name)
    return (match.group(1), int(match.group(2))) if match else None


@dataclass(frozen=True)
class RunPaths:
    """Every path of one run. The files in a result's folder are named where that folder is written."""

    run_name: str

    def check_place(self) -> None:
        """Raises: ValueError where something else than a folder has the run's name."""
        if self.root.exists() and not self.root.is_dir():
            raise ValueError(
                f"run_name: found {self.run_name!r}, but {self.root} is no folder, expected one or nothing "
                "there: choose another name, or move the file away"
            )

    @property
    def root(self) -> Path:
        return results_root() / self.run_name

    @property
    def config(self) -> Path:
        return self.root / "config.yml"

    @property
    def manifest(self) -> Path:
        """Of the training."""
        return manifest_in(self.root)

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def log(self) -> Path:
        return self.root / "log.txt"

    @property
    def training_parts(self) -> Path:
        """Checkpoints being written, renamed into place when whole."""
        return self.root / "parts"

    @property
    def trajectories(self) -> Path:
        return trajectories_in(self.root)

    @property
    def validation_trajectories(self) -> Path:
        return validation_in(self.trajectories)

    @property
    def trajectories_manifest(self) -> Path:
        return manifest_in(self.trajectories)

    @property
    def subset(self) -> Path:
        return self.root / "subset"

    def subset_of(self, budget: int) -> Path:
        """Where one of several subsets of a run lies."""
        return self.root / f"subset-{budget}"

    def subsets_of_budgets(self) -> list[Path]:
        """Those of several subsets that are there, the smallest first."""
        rows = [path.name.removeprefix("subset-") for path in self.root.glob("subset-*")]
        return [self.subset_of(budget) for budget in sorted(int(each) for each in rows if each.isdecimal())]

    @property
    def inspection(self) -> Path:
        """What the trajectories of the run's pool are like."""
        return self.root / "inspection.json"

    def not_for(self, stacks: Sequence[str]) -> Path:
        """Rows of the run's pool that cannot be written for these stacks, as `subset.exclude` reads them."""
        return self.root / f"not_for_{'_'.join(stacks)}.txt"

    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation"

    @property
    def evaluation_manifest(self) -> Path:
        return manifest_in(self.evaluation)

    @property
    def evaluation_parts(self) -> Path:
        """A model as vLLM reads it, while that starts."""
        return self.evaluation / "parts"

    def checkpoint(self, step: int) -> Path:
        return self.root / checkpoint_name(step)


def run_named(text: str) -> str:
    """The run that a person means by its name or its folder's path (`res/NAME`). Other text as it is."""
    parts = _below_results(text)
    return parts[0] if len(parts) == 1 else text


def named_subset(name: str) -> Path:
    """The folder of `RUN` (its one subset) or `RUN/subset-<rows>` (one of several).

    Paths below res/ mean the same.
    """
    run_name, *folder = _below_results(name) or name.rstrip("/").split("/")
    return RunPaths(run_name).root.joinpath(*(folder or ["subset"]))


def _below_results(text: str) -> tuple[str, ...]:
    """The parts of a path below the folder of results, none for a plain name, which is no path."""
    path = Path(os.path.abspath(text))
    root = Path(os.path.abspath(results_root()))
    return path.relative_to(root).parts if "/" in text and path.is_relative_to(root) else ()


def comparisons_root() -> Path:
    """Where the comparisons of runs and the records of experiments lie, a folder for each name."""
    return results_root() / "comparisons"


def comparison_path(name: str) -> Path:
    """Where the comparison of several runs lies."""
    return comparisons_root() / name / "comparison.json"


def experiment_path(name: str) -> Path:
    """Where the runs that an experiment is made of are recorded."""
    return comparisons_root() / name / "experiment.json"


def report_path(folder: Path) -> Path:
    """The page about what lies in a folder."""
    return folder / "report.html"


def figures_in(folder: Path) -> Path:
    """Where the figures of a page lie as files."""
    return folder / "figures"


def cached_pool(key: str) -> Path:
    """Where what was read of a large file is kept."""
    return cache_root() / "pools" / f"{key}.npz"


def unpacked_file(packed: str, suffix: str) -> Path:
    """Where a compressed file lies unpacked.

    Args:
        packed: sha256 of the compressed file.
        suffix: of the unpacked one.
    """
    return cache_root() / "pools" / f"{packed}{suffix}"


def cached_losses(key: str) -> Path:
    """Where losses of the released code are kept in a form that is read without torch."""
    return cache_root() / "released" / f"{key}.npz"


def scratch_root() -> Path:
    """Where files lie that are needed for a moment."""
    return cache_root() / "scratch"


def cache_root() -> Path:
    """What was read of pools and their tokens, shared by all runs. Safe to delete."""
    return results_root() / ".cache"
