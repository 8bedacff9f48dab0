"""Read what the page shows: runs, or the runs of an experiment, from their artifacts"""

import contextlib
import json
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...artifacts.comparisons import comparisons_of, read_comparison
from ...artifacts.evaluations import EvaluationManifest
from ...artifacts.experiments import ExperimentManifest, read_experiment
from ...artifacts.files import read_json
from ...artifacts.manifests import Manifest, recorded_config
from ...artifacts.metrics import read_losses_of_steps
from ...artifacts.paths import (
    RunPaths,
    comparison_path,
    comparisons_root,
    experiment_path,
    manifest_in,
    named_subset,
    run_named,
)
from ...artifacts.subsets import (
    CONTAMINATION,
    Subset,
    SubsetManifest,
    how_to_make_subset,
    read_clusters,
    read_composition,
    read_reasons,
    read_subset,
    stability_path,
)
from ...artifacts.trainings import TrainingManifest
from ...artifacts.trajectories.manifest import TrajectoriesManifest
from ...artifacts.trajectories.read import read_num_response_tokens, read_trajectories
from ...config.schema import RunConfig
from . import commands
from .facts import (
    MOST_SUBSETS,
    ComparisonFacts,
    LossFacts,
    Missing,
    PageFacts,
    RunState,
    SourceFacts,
    Step,
    SubsetFacts,
    TrainingCurve,
)
from .tiles import TileSources, tiles_of

if TYPE_CHECKING:
    from ...data.rows import Rows

_Kind = TypeVar("_Kind", bound=Manifest)
_MOST_CURVES = 24  # of an experiment; more lines say nothing


@dataclass(frozen=True)
class Subject:
    """A run that the page is about.

    Attributes:
        config: its YAML as read, with the overrides.
        config_file: where the YAML lies.
        overrides: `key.sub=value`, as they were given behind it.
    """

    config: RunConfig
    config_file: str
    overrides: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What follows --config_file in a command of this run."""
        return shlex.join([self.config_file, *self.overrides])


@dataclass(frozen=True)
class OpenedPool:
    """The rows with their texts. Attributes: rows: None where they cannot be read. problem: why not."""

    rows: "Rows | None"
    problem: str = ""


@dataclass(frozen=True)
class ExperimentSubjects:
    """What an experiment left.

    Attributes:
        name: of the experiment, or of a comparison.
        record: of its runs, None where only the comparison is there.
        comparisons: one for each budget, those that are there.
        subjects: the first run of each arm that chose rows.
    """

    name: str
    record: ExperimentManifest | None
    comparisons: list[ComparisonFacts]
    subjects: list[Subject]


def find_experiment(name: str) -> ExperimentSubjects:
    """Raises: FileNotFoundError for a name of which nothing is there, ValueError for damaged files."""
    record = read_experiment(name) if experiment_path(name).is_file() else None
    names = [name] if record is None else record.comparisons
    there = [each for each in names if comparison_path(each).is_file()]
    if record is None and not there:
        known = sorted({path.parent.name for path in comparisons_root().glob("*/*.json")})
        raise FileNotFoundError(
            f"found no experiment and no comparison {name!r} in {comparisons_root()}, expected one of "
            f"{', '.join(known) or '(none is there)'}: begin it with "
            "`python run_experiment.py --config_file <its YAML>`"
        )
    comparisons = []
    for each in there:
        budget = each.removeprefix(f"{name}_") if each != name else ""
        comparisons.append(ComparisonFacts(read_comparison(each), comparison_path(each), budget))
    runs = [arm.runs[0] for facts in comparisons for arm in facts.comparison.arms]
    if not runs and record is not None:
        first_of_each = {(member.label, member.budget): member.run for member in reversed(record.members)}
        runs = [*reversed(first_of_each.values())]
    subjects = [_subject_on_disk(run) for run in dict.fromkeys(runs)]
    return ExperimentSubjects(
        name, record, comparisons, [subject for subject in subjects if subject is not None]
    )


def _subject_on_disk(run: str) -> Subject | None:
    """A run by what it recorded, None where it has not begun."""
    paths = RunPaths(run)
    values = recorded_config(paths)
    return Subject(RunConfig.model_validate(values), str(paths.config)) if values else None


def gather_runs(subjects: Sequence[Subject], pool: OpenedPool) -> PageFacts:
    """The page of one run, or of several subsets of one pool.

    Raises: ValueError for damaged artifacts, or for subsets of different pools.
    """
    names = [subject.config.run_name for subject in subjects]
    comparisons = comparisons_of(names[0])
    facts = [ComparisonFacts(each, comparison_path(each.name)) for each in comparisons[-1:]]
    gathering = _Gathering(subjects, pool, facts)
    missing_comparison = []
    if not facts:
        main = subjects[0]
        if main.config.subset is not None and not RunPaths(names[0]).evaluation_manifest.is_file():
            what = f"Run {names[0]} has not been evaluated, so nothing says what the subset bought."
            if main.config.model is None:
                missing_comparison.append(Missing(f"{what} Its YAML names no model to train on the subset."))
            else:
                again = f"{commands.TRAIN.format(main.words)}\n{commands.EVALUATE.format(main.words)}"
                missing_comparison.append(Missing(what, again))
        if main.config.model is not None:
            missing_comparison.append(
                Missing(f"No comparison names run {names[0]}.", commands.COMPARE.format(names[0]))
            )
    return gathering.facts(" and ".join(names), RunPaths(names[0]).root, [], missing_comparison)


def gather_experiment(found: ExperimentSubjects, pool: OpenedPool) -> PageFacts:
    """The page of an experiment, or of a comparison, finished or not.

    Raises: ValueError for damaged artifacts.
    """
    gathering = _Gathering(found.subjects, pool, found.comparisons)
    states: list[RunState] = []
    missing: list[Missing] = []
    if found.record is not None:
        gathering.record = found.record
        states = [_state_of(member.run) for member in found.record.members]
        command = commands.in_a_shell(found.record.provenance.command)
        if left := [state.run for state in states if not state.is_done]:
            missing.append(
                Missing(
                    f"The experiment is not finished: {len(left)} of {len(states)} runs are to do.",
                    command,
                )
            )
        elif not found.comparisons:
            missing.append(Missing("Its runs are not compared yet.", command))
    return gathering.facts(found.name, comparison_path(found.name).parent, states, missing)


def _state_of(run: str) -> RunState:
    paths = RunPaths(run)
    works = (
        (paths.evaluation_manifest, EvaluationManifest, "evaluat"),
        (paths.manifest, TrainingManifest, "train"),
        (manifest_in(paths.subset), SubsetManifest, "chos"),
    )
    for path, kind, word in works:
        manifest = _read(kind, path)
        if manifest is not None:
            ending = {"train": "ed", "evaluat": "ed", "chos": "en"}[word] if manifest.is_complete else "ing"
            word = word if manifest.is_complete or word != "chos" else "choos"
            return RunState(run, word + ending, word == "evaluat" and manifest.is_complete)
    return RunState(run, "to do", False)


def _read(kind: type[_Kind], path: Path) -> _Kind | None:
    return kind.read(path) if path.is_file() else None


class _Gathering:
    """What is read once for all parts of a page."""

    def __init__(self, subjects: Sequence[Subject], pool: OpenedPool, comparisons: list[ComparisonFacts]):
        self.subjects = subjects
        self.pool = pool
        self.comparisons = comparisons
        self.record: ExperimentManifest | None = None
        self.missing: dict[str, list[Missing]] = {}
        self.remarks: dict[str, list[str]] = {}

    def facts(
        self, title: str, folder: Path, states: list[RunState], missing_comparison: list[Missing]
    ) -> PageFacts:
        if missing_comparison:
            self.missing["comparison"] = missing_comparison
        read = self._read_subsets()
        manifest = read[0][1].manifest if read else None
        subsets = [facts for facts, _ in read]
        losses = self._read_losses(manifest)
        num_rows = self._num_rows(manifest, losses)
        sources = self._read_sources(num_rows, None if manifest is None else manifest.pool)
        curves = self._curves()
        inspection = self._inspection()
        self._note_trust(subsets)
        subset_file = manifest_in(subsets[0].folder) if subsets else None
        tiles = tiles_of(
            TileSources(
                config_file=Path(self.subjects[0].config_file) if self.subjects else None,
                manifest=manifest,
                subset_file=subset_file,
                composition=subsets[0].composition if subsets else None,
                losses=losses,
                comparisons=self.comparisons,
                missing=self.missing,
            )
        )
        return PageFacts(
            title=title,
            folder=folder,
            pool_name=self._pool_name(),
            num_rows=num_rows,
            tiles=tiles,
            steps=self._steps(losses, subsets),
            subsets=subsets,
            losses=losses,
            sources=sources,
            inspection=inspection,
            comparisons=self.comparisons,
            curves=curves,
            states=states,
            missing=self.missing,
            remarks=self.remarks,
        )

    def _miss(self, section: str, what: str, command: str = "") -> None:
        self.missing.setdefault(section, []).append(Missing(what, command))

    def _say(self, section: str, sentence: str) -> None:
        self.remarks.setdefault(section, []).append(sentence)

    def _pool_name(self) -> str:
        if self.pool.rows is not None:
            return self.pool.rows.name
        config = self.subjects[0].config if self.subjects else None
        return config.data.origin if config is not None and config.data is not None else ""

    # Subsets

    def _read_subsets(self) -> list[tuple[SubsetFacts, Subset]]:
        found: dict[Path, Subject] = {}
        for subject in self.subjects:
            config = subject.config
            if config.subset is None:
                continue
            paths = RunPaths(config.run_name)
            if config.subset.same_as is not None:
                folders = [named_subset(config.subset.same_as)]
            else:
                several = sorted(paths.root.glob(f"{paths.subset.name}-*"))
                folders = [folder for folder in (paths.subset, *several) if manifest_in(folder).is_file()]
            if not folders or not manifest_in(folders[0]).is_file():
                self._miss(
                    "subset",
                    f"Run {config.run_name} has no subset yet: {how_to_make_subset(config.run_name)}.",
                    commands.SELECT.format(subject.words),
                )
                continue
            found |= {folder: subject for folder in folders if folder not in found}
        if not found and not self.missing.get("subset"):
            self._miss(
                "subset",
                "No subset was chosen: the configuration has no `subset` section, "
                "so the whole pool is trained on.",
                commands.SELECT.format("<the YAML of a target>"),
            )
        if len(found) > MOST_SUBSETS:
            self._say(
                "subset", f"{len(found)} subsets are on disk. The first {MOST_SUBSETS} of them are shown."
            )
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
        names = _names([(subset.manifest, folder) for _, folder, subset in read])
        return [
            (_subset_facts(name, subject, folder, subset), subset)
            for name, (subject, folder, subset) in zip(names, read, strict=True)
        ]

    def _note_trust(self, subsets: Sequence[SubsetFacts]) -> None:
        main = next((subset for subset in subsets if subset.has_clusters), None)
        subject = self.subjects[0] if self.subjects else None
        if main is None:
            if subsets:
                self._miss(
                    "clusters",
                    f"The rows were chosen by {subsets[0].method}, which makes no clusters.",
                    f"{commands.SELECT.format(subject.words if subject else '...')} "
                    f"subset.method=s2l run_name={subsets[0].run}_s2l",
                )
            return
        chooser = next((each for each in self.subjects if each.config.run_name == main.run), None)
        words = "<its YAML>" if chooser is None else chooser.words
        if main.stability is None and main.clusters_of != "embeddings":
            self._miss(
                "trust",
                f"How far the clusters of {main.name} can be trusted was not measured.",
                commands.STABILITY.format(words),
            )
        elif main.stability is not None and "target_losses" not in main.stability:
            has_model = chooser is not None and chooser.config.model is not None
            again = [commands.TRAIN, commands.TRAJECTORIES, commands.STABILITY] if has_model else []
            self._miss(
                "target",
                f"Whether the target of {main.run} would give the same clusters is not known: "
                "its own losses have not been measured.",
                "\n".join(command.format(words) for command in again),
            )

    # Losses and rows

    def _read_losses(self, manifest: SubsetManifest | None) -> LossFacts | None:
        origin, steps = self._origin_of_losses(manifest)
        if origin is None:
            self._miss("losses", "No loss trajectories: nothing names a proxy model.", "")
            return None
        num_examples = None if manifest is None else manifest.num_examples
        try:
            trajectories = read_trajectories(origin, steps, num_examples)
        except FileNotFoundError as error:
            self._miss("losses", f"{error}.", commands.TRAJECTORIES.format(_config_of(origin)))
            return None
        except ValueError as error:
            self._miss("losses", f"{error}.", commands.TRAJECTORIES.format(_config_of(origin)))
            return None
        tokens_N = None
        with contextlib.suppress(FileNotFoundError):  # losses made elsewhere need not say
            tokens_N = read_num_response_tokens(trajectories)
        file = manifest_in(trajectories.origin) if trajectories.manifest else trajectories.origin
        if len(trajectories.columns) == 1:
            self._say(
                "losses",
                "There is one checkpoint, so a trajectory is a point: no slope, no fall of the loss.",
            )
        return LossFacts(
            run=origin,
            file=file,
            checkpoints=trajectories.checkpoint_names,
            columns=trajectories.columns,
            tokens_N=tokens_N,
            is_of_a_run=trajectories.manifest is not None,
        )

    def _origin_of_losses(self, manifest: SubsetManifest | None) -> tuple[str | None, list[int] | None]:
        if manifest is not None and manifest.trajectories_from is not None:
            return manifest.trajectories_from, manifest.steps
        for subject in self.subjects:
            subset = subject.config.subset
            if subset is not None and subset.trajectories_from is not None:
                return subset.trajectories_from, subset.steps
            if subset is None and RunPaths(subject.config.run_name).trajectories_manifest.is_file():
                return subject.config.run_name, None
        return None, None

    def _num_rows(self, manifest: SubsetManifest | None, losses: LossFacts | None) -> int | None:
        if manifest is not None:
            return manifest.num_examples
        if losses is not None:
            return losses.num_examples
        return None if self.pool.rows is None else len(self.pool.rows)

    def _read_sources(self, num_rows: int | None, fingerprint: str | None) -> SourceFacts | None:
        """The sources of the rows. A pool that is another one now is not used."""
        rows = self.pool.rows
        if rows is not None and (
            (num_rows is not None and len(rows) != num_rows)
            or (fingerprint is not None and rows.fingerprint != fingerprint)
        ):
            self._miss(
                "rows",
                f"The texts are left out: {rows.name} is another pool than the subset was chosen from "
                f"(found {len(rows):,} rows, fingerprint {rows.fingerprint[:12]}).",
            )
            self.pool = OpenedPool(None)
            return None
        if rows is None:
            if self.pool.problem:
                self._miss("rows", f"The texts are left out: {self.pool.problem}")
            return None
        return SourceFacts(rows.source_names, rows.source_codes)

    def _inspection(self) -> tuple[dict[str, Any], Path] | None:
        for subject in self.subjects:
            path = RunPaths(subject.config.run_name).inspection
            if path.is_file():
                return read_json(path), path
        choosers = [each for each in self.subjects if each.config.subset is not None]
        choosers.sort(key=lambda each: each.config.subset_section.method != "s2l")
        for chooser in choosers[:1]:
            self._miss(
                "inspection",
                "Which rows were never learnt, forgotten or known was not asked.",
                commands.INSPECT.format(chooser.words),
            )
        return None

    # Trainings and commands

    def _curves(self) -> list[TrainingCurve]:
        arms: dict[str, str] = {}
        for facts in self.comparisons:
            for arm in facts.comparison.arms:
                label = arm.label + (f", {facts.budget}" if facts.budget else "")
                arms |= {run: label for run in arm.runs if run not in arms}
        for subject in self.subjects:
            arms.setdefault(subject.config.run_name, subject.config.run_name)
        curves = []
        for run, arm in arms.items():
            path = RunPaths(run).metrics
            if path.is_file():
                steps, losses = read_losses_of_steps(path)
                curves.append(TrainingCurve(run, arm, steps, losses, path))
        if len(curves) > _MOST_CURVES:
            self._say("comparison", f"{len(curves)} runs were trained. {_MOST_CURVES} curves are shown.")
        return curves[:_MOST_CURVES]

    def _steps(self, losses: LossFacts | None, subsets: Sequence[SubsetFacts]) -> list[Step]:
        steps: list[Step] = []

        def add(title: str, kind: type[Any], path: Path) -> None:
            manifest = _read(kind, path)
            if manifest is not None:
                steps.append(commands.recorded(title, manifest.provenance, path))

        if losses is not None and losses.is_of_a_run:
            proxy = RunPaths(run_named(losses.run))
            add("Train the proxy", TrainingManifest, proxy.manifest)
            add("Score the pool", TrajectoriesManifest, proxy.trajectories_manifest)
        if self.record is not None:
            path = experiment_path(self.record.name)
            steps.append(commands.recorded("Make and compare all runs", self.record.provenance, path))
            return _each_once(steps)
        for subset in subsets:
            add(f"Choose the rows of {subset.run}", SubsetManifest, manifest_in(subset.folder))
        of_subjects = [each.config.run_name for each in self.subjects if each.config.subset is not None]
        compared = [run.name for facts in self.comparisons for run in facts.comparison.runs]
        for run in dict.fromkeys([*of_subjects, *compared]):
            paths = RunPaths(run)
            if run not in of_subjects:
                add(f"Choose the rows of {run}", SubsetManifest, manifest_in(paths.subset))
            add(f"Train {run}", TrainingManifest, paths.manifest)
            add(f"Evaluate {run}", EvaluationManifest, paths.evaluation_manifest)
        for facts in self.comparisons:
            runs = [run.name for run in facts.comparison.runs]
            command = commands.in_a_shell(["python", "compare_runs.py", *runs])
            steps.append(Step("Compare", command, facts.file, ""))
        return _each_once(steps)


def _each_once(steps: Iterable[Step]) -> list[Step]:
    """One command may make several things: train.py chooses the rows first. Their titles are joined."""
    by_command: dict[str, Step] = {}
    for step in steps:
        earlier = by_command.get(step.command)
        if earlier is None:
            by_command[step.command] = step
        elif step.title not in earlier.title:
            joined = f"{earlier.title}; {step.title[0].lower()}{step.title[1:]}"
            by_command[step.command] = replace(earlier, title=joined)
    return list(by_command.values())


def _config_of(run: str) -> str:
    path = RunPaths(run_named(run)).config
    return str(path) if path.is_file() else "<the proxy's YAML>"


def _names(read: Sequence[tuple[SubsetManifest, Path]]) -> list[str]:
    """The fewest words that tell the subsets apart: the method, its size, its seed, its folder."""
    ways: list[Callable[[SubsetManifest, Path], str]] = [
        lambda manifest, _: manifest.method,
        lambda manifest, _: f"{manifest.method} {manifest.budget:,}",
        lambda manifest, _: f"{manifest.method} {manifest.budget:,}, seed {manifest.seed}",
    ]
    for way in ways:
        names = [way(manifest, folder) for manifest, folder in read]
        if len(set(names)) == len(names):
            return names
    return [
        folder.parent.name if folder.name == "subset" else str(Path(*folder.parts[-2:])) for _, folder in read
    ]


def _subset_facts(name: str, subject: Subject, folder: Path, subset: Subset) -> SubsetFacts:
    manifest = subset.manifest
    clusters_N = read_clusters(folder, manifest)
    stability = stability_path(folder)
    contamination = folder / CONTAMINATION
    clusters_of = ""
    if bool(np.any(clusters_N >= 0)):
        clusters_of = str(manifest.inputs.get("features", "trajectories"))
    hits = json.loads(contamination.read_text(encoding="utf-8")) if contamination.is_file() else []
    return SubsetFacts(
        name=name,
        run=subject.config.run_name,
        folder=folder,
        method=manifest.method,
        seed=manifest.seed,
        per_source=manifest.per_source,
        indices=subset.indices,
        composition=read_composition(folder, manifest),
        clusters_N=clusters_N,
        reasons_N=read_reasons(folder, manifest),
        clusters_of=clusters_of,
        stability=read_json(stability) if stability.is_file() else None,
        contamination={hit["row"]: hit["words"] for hit in hits},
    )
