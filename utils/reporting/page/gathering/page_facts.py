"""All that the page shows, of runs or of an experiment, from their artifacts"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ....artifacts.comparisons import comparisons_of
from ....artifacts.experiments import ExperimentManifest
from ....artifacts.paths import RunPaths, comparison_path, manifest_in
from ....artifacts.subsets import SubsetManifest
from .. import commands
from ..facts import ComparisonFacts, LossFacts, PageFacts, RunProgress, SourceFacts
from ..tiles import TileSources, tiles_of
from .comparisons import of_these_evaluations
from .losses import read_losses
from .notes import Notes
from .steps import read_steps
from .subjects import ExperimentSubjects, OpenedPool, Subject
from .subsets import note_trust, read_inspection, read_subsets
from .trainings import read_curves, state_of

_MOST_NAMES = 3  # in a title


def gather_runs(subjects: Sequence[Subject], pool: OpenedPool) -> PageFacts:
    """The page of one run, or of several subsets of one pool.

    Raises: ValueError for damaged artifacts, or for subsets of different pools.
    """
    main = subjects[0]
    name = main.config.run_name
    paths = RunPaths(name)
    notes = Notes()
    newest = [ComparisonFacts(each, comparison_path(each.name)) for each in comparisons_of(name)[-1:]]
    comparisons = of_these_evaluations(newest, notes)
    if not comparisons:
        if main.config.subset is not None and not paths.evaluation_manifest.is_file():
            what = f"Run {name} has not been evaluated, so nothing says what the subset bought."
            if main.config.model is None:
                notes.miss("comparison", f"{what} Its YAML names no model to train on the subset.")
            else:
                again = f"{commands.TRAIN.format(main.words)}\n{commands.EVALUATE.format(main.words)}"
                notes.miss("comparison", what, again)
        if main.config.model is not None and not newest:
            notes.miss("comparison", f"No comparison names run {name}.", commands.COMPARE.format(name))
    title = _title(list(dict.fromkeys(subject.config.run_name for subject in subjects)))
    return _gather(_Scope(title, paths.root, subjects, pool, comparisons), notes)


def _title(names: Sequence[str]) -> str:
    shown = names if len(names) <= _MOST_NAMES else [names[0], f"{len(names) - 1} others"]
    return " and ".join(shown)


def gather_experiment(found: ExperimentSubjects, pool: OpenedPool) -> PageFacts:
    """The page of an experiment, or of a comparison, finished or not.

    Raises: ValueError for damaged artifacts.
    """
    notes = Notes()
    command = "" if found.record is None else commands.in_a_shell(found.record.provenance.command)
    comparisons = of_these_evaluations(found.comparisons, notes, command)
    states: list[RunProgress] = []
    if found.record is not None:
        states = [state_of(member.run) for member in found.record.members]
        left = [state for state in states if not state.is_done]
        if left:
            what = f"The experiment is not finished: {len(left)} of {len(states)} runs are to do."
            notes.miss("comparison", what, command)
        elif not found.comparisons:
            notes.miss("comparison", "Its runs are not compared yet.", command)
    folder = comparison_path(found.name).parent
    scope = _Scope(found.name, folder, found.subjects, pool, comparisons, found.record, states)
    return _gather(scope, notes)


@dataclass(frozen=True)
class _Scope:
    """What a page is about, of runs or of an experiment alike. Attributes as in `PageFacts`.

    Attributes:
        record: of an experiment, None for runs that were named one by one.
    """

    title: str
    folder: Path
    subjects: Sequence[Subject]
    pool: OpenedPool
    comparisons: list[ComparisonFacts]
    record: ExperimentManifest | None = None
    states: list[RunProgress] = field(default_factory=list)


def _gather(scope: _Scope, notes: Notes) -> PageFacts:
    subjects = scope.subjects
    subsets = read_subsets(subjects, notes)
    manifest = subsets[0].manifest if subsets else None
    losses = read_losses(subjects, subsets, notes)
    num_rows = _num_rows(scope.pool, manifest, losses)
    sources = _read_sources(scope.pool, num_rows, None if manifest is None else manifest.pool, notes)
    curves = read_curves(subjects, scope.comparisons, notes)
    inspection = read_inspection(subjects, notes)
    note_trust(subjects, subsets, notes)
    tiles = tiles_of(
        TileSources(
            config_file=Path(subjects[0].config_file) if subjects else None,
            manifest=manifest,
            subset_file=manifest_in(subsets[0].folder) if subsets else None,
            composition=subsets[0].composition if subsets else None,
            losses=losses,
            comparisons=scope.comparisons,
            missing=notes.missing,
        )
    )
    return PageFacts(
        title=scope.title,
        folder=scope.folder,
        pool_name=_pool_name(scope, sources),
        num_rows=num_rows,
        tiles=tiles,
        steps=read_steps(subjects, scope.record, losses, scope.comparisons),
        subsets=subsets,
        losses=losses,
        sources=sources,
        inspection=inspection,
        comparisons=scope.comparisons,
        curves=curves,
        states=scope.states,
        missing=notes.missing,
        remarks=notes.remarks,
    )


def _num_rows(pool: OpenedPool, manifest: SubsetManifest | None, losses: LossFacts | None) -> int | None:
    if manifest is not None:
        return manifest.num_examples
    if losses is not None:
        return losses.num_examples
    return None if pool.rows is None else len(pool.rows)


def _read_sources(
    pool: OpenedPool, num_rows: int | None, fingerprint: str | None, notes: Notes
) -> SourceFacts | None:
    """The sources of the rows, None where the pool cannot be read or is another one now."""
    rows = pool.rows
    if rows is None:
        if pool.problem:
            notes.miss("rows", f"The texts are left out: {pool.problem}")
        return None
    is_of_same_size = num_rows is None or len(rows) == num_rows
    is_same = fingerprint is None or rows.fingerprint == fingerprint
    if not (is_of_same_size and is_same):
        notes.miss(
            "rows",
            f"The texts are left out: {rows.name} is another pool than the subset was chosen from "
            f"(found {len(rows):,} rows, fingerprint {rows.fingerprint[:12]}).",
        )
        return None
    return SourceFacts(rows.source_names, rows.source_codes)


def _pool_name(scope: _Scope, sources: SourceFacts | None) -> str:
    if scope.pool.rows is not None and sources is not None:
        return scope.pool.rows.name
    config = scope.subjects[0].config if scope.subjects else None
    return config.data.origin if config is not None and config.data is not None else ""
