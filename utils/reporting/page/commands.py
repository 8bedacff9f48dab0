"""Commands to copy: those that made what is there, and those that make what is missing"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from ...artifacts.manifests import Provenance
from .facts import Step

TRAJECTORIES = "python run_distributed_trajectories.py --config_file {}"
SELECT = "python select_s2l.py --config_file {}"
STABILITY = "python select_s2l.py --config_file {} --stability"
INSPECT = "python select_s2l.py --config_file {} --inspect"
TRAIN = "python train.py --config_file {}"
EVALUATE = "python evaluate_run.py --config_file {}"
COMPARE = "python compare_runs.py {} ANOTHER_RUN"


def recorded(title: str, provenance: Provenance, file: Path) -> Step:
    """The command of a manifest."""
    return Step(title, in_a_shell(provenance.command), file, provenance.folder or "")


def in_a_shell(words: Sequence[str]) -> str:
    """The words of a command line as they are typed, the interpreter by its plain name."""
    _, *rest = words or [""]
    return shlex.join(["python", *rest])
