"""Commands to copy: those that made what is there, and those that make what is missing"""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from ...artifacts.manifests import Provenance
from ...artifacts.trajectories.manifest import TrajectoriesManifest
from .facts import Step

TRAJECTORIES = "python run_distributed_trajectories.py --config_file {}"
SELECT = "python select_s2l.py --config_file {}"
STABILITY = "python select_s2l.py --config_file {} --stability"
INSPECT = "python select_s2l.py --config_file {} --inspect"
TRAIN = "python train.py --config_file {}"
EVALUATE = "python evaluate_run.py --config_file {}"
COMPARE = "python compare_runs.py {} ANOTHER_RUN"
_SCORING_SCRIPTS = ("get_trajectories.py", "run_distributed_trajectories.py")


def recorded(title: str, provenance: Provenance, file: Path) -> Step:
    """The command of a manifest."""
    return Step(title, in_a_shell(provenance.command), file, provenance.folder or "")


def in_a_shell(words: Sequence[str]) -> str:
    """The words of a command line as they are typed, the interpreter by its plain name."""
    _, *rest = words or [""]
    return shlex.join(["python", *rest])


def model_path_of(provenance: Provenance) -> str | None:
    """The folder whose checkpoints a recorded command scored, None where they are the run's own."""
    return _scoring_words(provenance)[0].model_path if _is_of_scoring(provenance) else None


def scoring(title: str, manifest: TrajectoriesManifest, save_steps: Sequence[int], file: Path) -> Step:
    """One command for all checkpoints that are scored. The manifest has the last of those that did it.

    Args:
        save_steps: the checkpoints that the training left, empty where that is not known.
    """
    made = manifest.provenance
    if not _is_of_scoring(made):  # a training may score its own checkpoints
        return recorded(title, made, file)
    options, rest = _scoring_words(made)
    script = Path(made.command[1]).with_name("run_distributed_trajectories.py")
    words = ["python", str(script), *rest]
    if options.model_path is not None:
        words += ["--model_path", options.model_path]
    if manifest.steps != list(save_steps):
        words += ["--checkpoints", ",".join(map(str, manifest.steps))]
    return Step(title, in_a_shell(words), file, made.folder or "")


def _is_of_scoring(provenance: Provenance) -> bool:
    _, *rest = provenance.command or [""]
    return bool(rest) and Path(rest[0]).name in _SCORING_SCRIPTS


def _scoring_words(provenance: Provenance) -> tuple[argparse.Namespace, list[str]]:
    """The options of a command that say which checkpoints it scores, and its other words."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in ("--ckpt", "--checkpoints", "--model_path", "--show"):
        parser.add_argument(option)
    parser.add_argument("--overwrite", action="store_true")
    return parser.parse_known_args(provenance.command[2:])
