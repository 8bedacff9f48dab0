"""Losses of the released code, read where they lie: checkpoint-<step>/losses.pt of one of its runs.

Each is a list that torch.save wrote. Selection does without torch, so a process of its own reads them
(`scoring.released_losses`) into a file of the cache, once for the same losses.
"""

import subprocess
import sys
from pathlib import Path

from ..checksums import checksum, checksum_of_json
from ..paths import RunPaths, cached_losses, run_named

_PACKAGE = Path(__file__).resolve().parents[2]
_PLACES = (".", "output")  # the released code saves under output/


def released_run(trajectories_from: str) -> Path | None:
    """The folder that a path or the name of a run means, if the released code's losses lie in it."""
    for folder in (Path(trajectories_from), RunPaths(run_named(trajectories_from)).root):
        if any(any((folder / place).glob("checkpoint-*/losses.pt")) for place in _PLACES):
            return folder
    return None


def released_identity(folder: Path) -> str:
    """sha256 over the losses of all checkpoints of a run, and over the names of those without."""
    checkpoints = [path for place in _PLACES for path in (folder / place).glob("checkpoint-*/")]
    files = {path.relative_to(folder).as_posix(): path / "losses.pt" for path in checkpoints}
    return checksum_of_json(
        {name: checksum(file) if file.is_file() else None for name, file in files.items()}
    )


def read_released(folder: Path) -> Path:
    """The losses of a run as a .npz file (`imported`).

    Raises: ValueError, FileNotFoundError for losses of several runs, of some checkpoints only, or damaged.
    """
    target = cached_losses(released_identity(folder))
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    module = f"{_PACKAGE.name}.scoring.released_losses"
    words = [sys.executable, "-m", module, str(folder.absolute()), str(target.absolute())]
    answer = subprocess.run(words, cwd=_PACKAGE.parent, capture_output=True, text=True)
    if answer.returncode != 0:
        warnings, is_said, error = answer.stderr.partition("error: ")
        raise ValueError((error if is_said else warnings).strip())
    return target
