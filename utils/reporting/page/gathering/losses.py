"""The loss trajectories that a page shows: whose they are, and their values"""

import contextlib
from collections.abc import Sequence

from ....artifacts.paths import RunPaths, manifest_in, run_named
from ....artifacts.subsets import SubsetManifest
from ....artifacts.trajectories.identity import trajectories_identity
from ....artifacts.trajectories.read import Trajectories, read_num_response_tokens, read_trajectories
from .. import commands
from ..facts import LossFacts, SubsetFacts, explained_of
from .notes import Notes
from .subjects import Subject


def read_losses(
    subjects: Sequence[Subject], subsets: Sequence[SubsetFacts], notes: Notes
) -> LossFacts | None:
    """Those that the explained subset was chosen by, so that its clusters are drawn with their own losses.

    Returns: None, and a note, where they are not there, are damaged or were made anew.
    """
    explained = explained_of(subsets)
    manifest = None if explained is None else explained.manifest
    origin, steps = _origin_of_losses(subjects, manifest)
    if origin is None:
        notes.miss("losses", "No loss trajectories: nothing names a proxy model.", "")
        return None
    num_examples = None if manifest is None else manifest.num_examples
    try:
        trajectories = read_trajectories(origin, steps, num_examples)
    except (FileNotFoundError, ValueError) as error:
        notes.miss("losses", f"{error}.", commands.TRAJECTORIES.format(_config_of(origin)))
        return None
    others = _chosen_by_others(subsets, trajectories)
    if explained is not None and explained.name in others:
        notes.miss(
            "losses",
            f"The losses in {trajectories.origin} were made anew since the rows were chosen by them.",
            f"{commands.SELECT.format(_words_of(subjects, explained))} --overwrite",
        )
        return None
    if others:
        notes.say(
            "losses",
            f"This page draws the losses in {trajectories.origin}. These subsets were chosen by other losses "
            f"(another proxy, other checkpoints, or scored again since): {', '.join(others)}.",
        )
    tokens_N = None
    with contextlib.suppress(FileNotFoundError):  # losses made elsewhere need not say
        tokens_N = read_num_response_tokens(trajectories)
    file = manifest_in(trajectories.origin) if trajectories.manifest else trajectories.origin
    if len(trajectories.columns) == 1:
        notes.say(
            "losses",
            "There is one checkpoint, so a trajectory is a point: no slope, no fall of the loss.",
        )
    counted_in = (file, "")
    if explained is not None and explained.manifest.steps:
        counted_in = (manifest_in(explained.folder), "trajectories.steps.length")
    return LossFacts(
        run=origin,
        file=file,
        counted_in=counted_in,
        checkpoints=trajectories.checkpoint_names,
        columns=trajectories.columns,
        tokens_N=tokens_N,
        is_of_a_run=trajectories.manifest is not None,
    )


def _chosen_by_others(subsets: Sequence[SubsetFacts], trajectories: Trajectories) -> list[str]:
    """Names of the subsets that other losses than these chose."""
    chosen_by = {subset.name: subset.manifest.trajectories_identity for subset in subsets}
    if not any(chosen_by.values()):
        return []
    identity = trajectories_identity(trajectories)
    return [name for name, chosen in chosen_by.items() if chosen not in (None, identity)]


def _words_of(subjects: Sequence[Subject], subset: SubsetFacts | None) -> str:
    """What follows --config_file in a command of the run that chose the rows."""
    run = None if subset is None else subset.run
    return next((subject.words for subject in subjects if subject.config.run_name == run), "<its YAML>")


def _origin_of_losses(
    subjects: Sequence[Subject], manifest: SubsetManifest | None
) -> tuple[str | None, list[int] | None]:
    if manifest is not None and manifest.trajectories_from is not None:
        return manifest.trajectories_from, manifest.steps
    for subject in subjects:
        subset = subject.config.subset
        if subset is not None and subset.trajectories_from is not None:
            return subset.trajectories_from, subset.steps
        if subset is None and RunPaths(subject.config.run_name).trajectories_manifest.is_file():
            return subject.config.run_name, None
    return None, None


def _config_of(run: str) -> str:
    path = RunPaths(run_named(run)).config
    return str(path) if path.is_file() else "<the proxy's YAML>"
