"""Which checkpoints a command scores. Needs no torch, so that a wrong path is said at once."""

from pathlib import Path

from ..artifacts.checkpoints import choose_steps, find_checkpoints
from ..artifacts.manifests import kind_of
from ..artifacts.paths import RunPaths, manifest_in, trajectories_in
from ..artifacts.trainings import TrainingManifest
from ..artifacts.trajectories.write import TrajectoryFolder

BASE_MODEL = 0  # step 0: the model before fine-tuning


def choose_checkpoints(run_name: str, model_path: str | None, checkpoints: str) -> dict[int, Path | None]:
    """Step -> folder, ascending. None for the base model.

    Args:
        model_path: a folder of checkpoint-<step> folders (or with an output/ of them). None = the run's own
            folder.
        checkpoints: as `choose_steps` reads it. "0" is the base model, "-1" the newest.

    Raises: ValueError, FileNotFoundError.
    """
    if checkpoints == str(BASE_MODEL):
        return {BASE_MODEL: None}
    run = RunPaths(run_name).root if model_path is None else Path(model_path)
    found = find_checkpoints(run)
    if checkpoints == "all":
        _check_training_is_complete(run, list(found))
    steps = [max(found)] if checkpoints == "-1" else choose_steps(list(found), checkpoints)
    return {step: None if step == BASE_MODEL else found[step] for step in steps}


def checkpoint_problems(run_name: str, model_path: str | None, checkpoints: str) -> list[str]:
    """What `choose_checkpoints` would raise."""
    try:
        choose_checkpoints(run_name, model_path, checkpoints)
    except (ValueError, FileNotFoundError) as error:
        return [str(error)]
    return []


def _check_training_is_complete(run: Path, found: list[int]) -> None:
    """Trajectories of half a training would be selected from without a word. Raises: ValueError."""
    path = manifest_in(run)
    if not path.is_file() or kind_of(path) != TrainingManifest.KIND:
        return  # checkpoints that were made elsewhere
    manifest = TrainingManifest.read(path)
    # With checkpoints.keep: last, a checkpoint goes once it is scored.
    there = {*found, *TrajectoryFolder(trajectories_in(run)).scored_steps()}
    missing = [step for step in manifest.save_steps if step not in there]
    if not manifest.is_complete:
        raise ValueError(
            f"{run}: found an unfinished training with checkpoints {found} of {manifest.save_steps}: "
            "train it to the end first (the same train.py command continues), "
            "or name the ones to score with --checkpoints"
        )
    if missing:
        raise ValueError(
            f"{run}: found checkpoints {found} of {manifest.save_steps}, expected all that training left: "
            "put back those that are gone, train it again with --overwrite, or name the ones to score with "
            "--checkpoints"
        )
