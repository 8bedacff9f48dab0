"""The subsets of a page: which rows were chosen, from which clusters, and how far these can be trusted"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....artifacts.files import read_json
from ....artifacts.paths import RunPaths, manifest_in, named_subset
from ....artifacts.subsets import (
    CONTAMINATION,
    Subset,
    SubsetManifest,
    read_clusters,
    read_composition,
    read_reasons,
    read_subset,
    stability_path,
)
from ....artifacts.trajectories.identity import trajectories_identity
from ....artifacts.trajectories.read import read_trajectories
from .. import commands
from ..facts import MOST_SUBSETS, SubsetFacts
from .notes import Notes
from .subjects import Subject

_KEYS_OF_STABILITY = (
    "share_of_level",
    "other_seeds",
    "without_checkpoint",
    "mean_loss_alone",
    "last_loss_alone",
    "no_clusters",
    "warnings",
)


def read_subsets(subjects: Sequence[Subject], notes: Notes) -> list[SubsetFacts]:
    """Those of the runs, at most `MOST_SUBSETS`.

    Raises: ValueError for subsets of different pools, and for damaged ones.
    """
    found: dict[Path, Subject] = {}
    for subject in subjects:
        config = subject.config
        if config.subset is None:
            continue
        paths = RunPaths(config.run_name)
        if config.subset.same_as is not None:
            folders = [named_subset(config.subset.same_as)]
        else:
            folders = [paths.subset, *paths.subsets_of_budgets()]
            folders = [folder for folder in folders if manifest_in(folder).is_file()]
        if not folders or not manifest_in(folders[0]).is_file():
            notes.miss(
                "subset",
                f"Run {config.run_name} has no subset yet.",
                commands.SELECT.format(subject.words),
            )
            continue
        found |= {folder: subject for folder in folders if folder not in found}
    if not found and not notes.missing.get("subset"):
        notes.miss(
            "subset",
            "No subset was chosen: the configuration has no `subset` section, "
            "so the whole pool is trained on.",
            commands.SELECT.format("<the YAML of a target>"),
        )
    if len(found) > MOST_SUBSETS:
        notes.say("subset", f"{len(found)} subsets are on disk. The first {MOST_SUBSETS} of them are shown.")
        found = dict(list(found.items())[:MOST_SUBSETS])
    read = [(subject, folder, read_subset(folder)) for folder, subject in found.items()]
    for subject, folder, subset in read[1:]:
        first = read[0][2].manifest
        if subset.manifest.pool != first.pool:
            raise ValueError(
                f"{folder} was chosen from another pool than {read[0][1]}: found fingerprint "
                f"{subset.manifest.pool[:12]}, expected {first.pool[:12]}: a page is about one pool, "
                f"so make one for each, without {subject.config_file} here"
            )
    names = _names([(subject.label, folder, subset.manifest) for subject, folder, subset in read])
    return [
        _subset_facts(name, subject, folder, subset)
        for name, (subject, folder, subset) in zip(names, read, strict=True)
    ]


def _names(read: Sequence[tuple[str, Path, SubsetManifest]]) -> list[str]:
    """The fewest words that tell the subsets apart: the method, its size, its seed, its folder.

    Args:
        read: label of its experiment, folder and manifest of each.
    """
    ways: list[Callable[[str, SubsetManifest], str]] = [
        lambda method, _: method,
        lambda method, manifest: f"{method} {manifest.budget:,}",
        lambda method, manifest: f"{method} {manifest.budget:,}, seed {manifest.seed}",
    ]
    for way in ways:
        names = [way(label or manifest.method, manifest) for label, _, manifest in read]
        if len(set(names)) == len(names):
            return names
    return [
        folder.parent.name if folder.name == "subset" else str(Path(*folder.parts[-2:]))
        for _, folder, _ in read
    ]


def _subset_facts(name: str, subject: Subject, folder: Path, subset: Subset) -> SubsetFacts:
    manifest = subset.manifest
    clusters_N = read_clusters(folder, manifest)
    stability = stability_path(folder)
    contamination = folder / CONTAMINATION
    clusters_of = ""
    if bool(np.any(clusters_N >= 0)):
        clusters_of = str(manifest.inputs.get("features", "losses"))
    hits = json.loads(contamination.read_text(encoding="utf-8")) if contamination.is_file() else []
    return SubsetFacts(
        name=name,
        run=subject.config.run_name,
        folder=folder,
        manifest=manifest,
        method=manifest.method,
        seed=manifest.seed,
        per_source=manifest.per_source,
        indices=subset.indices,
        composition=read_composition(folder, manifest),
        clusters_N=clusters_N,
        reasons_N=read_reasons(folder, manifest),
        clusters_of=clusters_of,
        stability=_read_object(stability, _KEYS_OF_STABILITY) if stability.is_file() else None,
        contamination={hit["row"]: hit["words"] for hit in hits},
    )


def note_trust(subjects: Sequence[Subject], subsets: Sequence[SubsetFacts], notes: Notes) -> None:
    """Say what was not measured of the clusters that the page shows."""
    main = next((subset for subset in subsets if subset.has_clusters), None)
    subject = subjects[0] if subjects else None
    if main is None:
        if subsets:
            notes.miss(
                "clusters",
                f"The rows were chosen by {subsets[0].method}, which makes no clusters.",
                f"{commands.SELECT.format(subject.words if subject else '...')} "
                f"subset.method=s2l run_name={subsets[0].run}_s2l",
            )
        return
    chooser = next((each for each in subjects if each.config.run_name == main.run), None)
    words = "<its YAML>" if chooser is None else chooser.words
    extended = None if chooser is None or chooser.config.subset is None else chooser.config.subset.extend
    if main.stability is None and extended is not None:
        words = f"The clusters of {main.name} are those of {extended}: measure how far these can be trusted."
        notes.miss("trust", words, "")
    elif main.stability is None and main.method == "s2l" and main.clusters_of != "embeddings":
        notes.miss(
            "trust",
            f"How far the clusters of {main.name} can be trusted was not measured.",
            commands.STABILITY.format(words),
        )
    elif main.stability is not None and "target_losses" not in main.stability:
        has_model = chooser is not None and chooser.config.model is not None
        again = [commands.TRAIN, commands.TRAJECTORIES, commands.STABILITY] if has_model else []
        notes.miss(
            "target",
            f"Whether the target of {main.run} would give the same clusters is not known: "
            "its own losses have not been measured.",
            "\n".join(command.format(words) for command in again),
        )


def read_inspection(subjects: Sequence[Subject], notes: Notes) -> tuple[dict[str, Any], Path] | None:
    """inspection.json of the first run that has one, and where it lies."""
    for subject in subjects:
        path = RunPaths(subject.config.run_name).inspection
        if path.is_file():
            values = _read_object(path, ("kinds",))
            if _is_of_these_losses(values, subject):
                return values, path
            notes.miss(
                "inspection",
                f"{path} is of other losses than those that are there now.",
                commands.INSPECT.format(subject.words),
            )
            return None
    choosers = [each for each in subjects if each.config.subset is not None]
    choosers.sort(key=lambda each: each.config.subset_section.method != "s2l")
    for chooser in choosers[:1]:
        notes.miss(
            "inspection",
            "Which rows were never learnt, forgotten or known was not asked.",
            commands.INSPECT.format(chooser.words),
        )
    return None


def _is_of_these_losses(inspection: dict[str, Any], subject: Subject) -> bool:
    """False where the losses have been made anew since. One of an earlier version does not say."""
    subset = subject.config.subset
    recorded = inspection.get("trajectories")
    if recorded is None or subset is None or subset.trajectories_from is None:
        return True
    try:
        trajectories = read_trajectories(subset.trajectories_from, subset.steps)
    except (FileNotFoundError, ValueError):  # gone or damaged, which the page says of the losses
        return True
    return trajectories_identity(trajectories) == recorded


def _read_object(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Raises: ValueError for a file that is damaged or lacks one of the keys."""
    values = read_json(path)
    missing = [key for key in keys if not isinstance(values, dict) or key not in values]
    if missing:
        raise ValueError(
            f"{path} is damaged: found no {missing[0]!r}: remove it and run the command that makes it again"
        )
    return values
