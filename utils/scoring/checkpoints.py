"""Which checkpoints a command scores. Needs no torch, so that a wrong path is said at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..artifacts.checkpoints import find_checkpoints
from ..artifacts.layouts import is_adapter, recorded_base_model
from ..artifacts.manifests import kind_of
from ..artifacts.paths import RunPaths, manifest_in, trajectories_in
from ..artifacts.trainings import TrainingManifest
from ..artifacts.trajectories.write import TrajectoryFolder
from ..terminal import first_of
from .revisions import fetch_revision, find_revisions, revisions_named

BASE_STEP = 0  # step 0: the model before fine-tuning


@dataclass(frozen=True)
class CheckpointQuery:
    """What a command line says of the checkpoints to score.

    Attributes:
        checkpoints: all, a comma list, or start:end:step (end included). "0" is the base model, "-1" the
            newest.
        model_path: a folder of checkpoints (or with an output/ of them), or a model on the hub with its
            revisions, `NAME@step1000,step2000`. None = the run's own folder.
        subfolder: of each checkpoint or revision, in which the model lies. Of a revision it may be a pattern.
    """

    checkpoints: str
    model_path: str | None = None
    subfolder: str | None = None


def choose_checkpoints(
    run_name: str, query: CheckpointQuery, cache_dir: str | None = None
) -> dict[int, Path | None]:
    """Step -> folder, ascending. None for the base model. Revisions of the hub are fetched.

    Args:
        cache_dir: where files of the hub are kept. None = the hub library's own folder.

    Raises: ValueError, FileNotFoundError.
    """
    model_path, wanted = query.model_path, query.checkpoints
    if wanted == str(BASE_STEP) and model_path is None:
        return {BASE_STEP: None}
    revisions = revisions_named(model_path, query.subfolder, cache_dir)
    if revisions is not None:
        found = find_revisions(revisions)
        steps = _chosen_steps(list(found), wanted)
        return {step: fetch_revision(revisions, found[step]) if step in found else None for step in steps}
    run = RunPaths(run_name).root if model_path is None else Path(model_path)
    folders = find_checkpoints(run)
    if wanted == "all":
        _check_training_is_complete(run, list(folders))
    chosen = {step: folders.get(step) for step in _chosen_steps(list(folders), wanted)}
    return {step: folder and folder / (query.subfolder or "") for step, folder in chosen.items()}


def sections_of_checkpoints(query: CheckpointQuery) -> dict[str, Any]:
    """The `model` section of a YAML that has none: what the checkpoints of --model_path say themselves.

    It is the base model of an adapter, else the newest checkpoint, or the public model whose revisions they
    are. Empty where nothing is said, as of the base model (step 0) by any but adapters.
    """
    if query.model_path is None:
        return {}
    try:
        revisions = revisions_named(query.model_path)
        if revisions is not None:
            needs_base = query.checkpoints != "all" and _needs_base(find_revisions(revisions), query)
            return {} if needs_base else {"model": {"name_or_path": revisions.model}}
        folders = find_checkpoints(Path(query.model_path))
        newest = list(folders.values())[-1] / (query.subfolder or "")
        if is_adapter(newest):
            name = recorded_base_model(newest)
        elif _needs_base(folders, query):
            name = None
        else:
            name = str(newest) if (newest / "config.json").is_file() else None
    except (ValueError, FileNotFoundError):  # `checkpoint_problems` says it
        return {}
    return {} if name is None else {"model": {"name_or_path": name}}


def _needs_base(found: Mapping[int, Any], query: CheckpointQuery) -> bool:
    """Whether step 0 is asked for and is not among the checkpoints."""
    return BASE_STEP not in found and BASE_STEP in _chosen_steps(list(found), query.checkpoints)


def _chosen_steps(found: list[int], wanted: str) -> list[int]:
    """What `CheckpointQuery.checkpoints` asks for, ascending, each once.

    Step 0 may be chosen where it is not found: it is the base model then.

    Raises: ValueError for a malformed list, or naming every step that is not there.
    """
    if wanted == "-1":
        return [max(found)]
    if wanted == "all":
        return sorted(found)
    try:
        if ":" in wanted:
            start, end, stride = (int(part) for part in wanted.split(":"))
            if stride < 1 or end < start:
                raise ValueError
            steps: Sequence[int] = range(start, end + 1, stride)
        else:
            steps = [int(part) for part in wanted.split(",")]
    except ValueError:
        raise ValueError(
            f"--checkpoints: found {wanted!r}, expected all, a list like 1000,2000, or a range start:end:step"
        ) from None
    there = {BASE_STEP, *found}
    # One by one: of a range that somebody mistyped there may be more steps than memory holds.
    absent = first_of(step for step in steps if step not in there)
    if absent:
        raise ValueError(
            f"--checkpoints: found no checkpoint of step {absent}, "
            f"expected some of {first_of(sorted(found))}, which are there"
        )
    return sorted(set(steps))


def checkpoint_problems(run_name: str, query: CheckpointQuery) -> list[str]:
    """What `choose_checkpoints` would raise, as far as it is known without asking the hub."""
    try:
        if revisions_named(query.model_path) is None:
            choose_checkpoints(run_name, query)
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
