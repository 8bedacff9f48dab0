"""A subset on disk: which rows of the pool, from which cluster, and what made the choice.

Legend: N examples of the pool.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from pydantic import BaseModel, ValidationError

from ..reading import load_npy
from .checksums import check_contents, checksums_of, load_whole_numbers
from .files import atomic_write, folder_beside, read_json, save_array, write_json
from .manifests import PoolManifest, Provenance, check_inputs
from .paths import RunPaths, manifest_in, run_named

COMPOSITION = "composition.json"
FILES = ("manifest.json", "indices.npy", "clusters.npy", COMPOSITION)
TEXTS = "subset.jsonl"
_AGAIN = "choose it again (select_s2l.py --overwrite with the YAML of its run)"
_UNFINISHED = ".parts"  # end of the name of a folder that is being written
CONTAMINATION = "contamination.json"  # the report on rows that contain benchmark questions


# Why a row could not be chosen.
NotSelectable = Literal[
    "no text",
    "benchmark question",
    "excluded",
    "dropped kind",
    "no loss",
    "repeated response",
    "validation row",
]
REASONS = ("selectable", *get_args(NotSelectable))  # position = its number in reasons.npy


@dataclass(frozen=True, kw_only=True)
class SubsetManifest(PoolManifest):
    """How a subset was chosen.

    Attributes:
        budget: its rows.
        num_selectable: rows of the pool that could be chosen.
        num_excluded: rows of the pool without instruction or response.
        dropped: kind -> rows of the pool that `subset.drop` left out, None where it names no kind.
        data: the `pool_record` of the pool, None where the rows have no texts.
        trajectories: `from` which run or file the losses are, and at which `steps` (None where a file does
            not say). None without losses.
        clustering: what computed the clusters, how many there were to be. None where nothing was clustered.
        needs_trajectories: whether the choice looks at losses, by its method or a setting.
            The cost of the proxy is part of its cost then.
        seconds: name -> seconds, by what they were spent on.
    """

    KIND: ClassVar[str] = "subset"
    AGAIN: ClassVar[str] = _AGAIN
    NAMED_INPUTS: ClassVar[Mapping[str, Any]] = {
        **PoolManifest.NAMED_INPUTS,
        "method": str,
        "seed": int,
        "trajectories": str | None,
    }

    budget: int
    num_selectable: int
    num_excluded: int
    dropped: dict[str, int] | None = None
    data: dict[str, Any] | None = None
    trajectories: dict[str, Any] | None
    clustering: dict[str, Any] | None = None
    needs_trajectories: bool = True
    seconds: dict[str, float]
    provenance: Provenance

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Subsets that were made when `features` was called `clusters` are those of today."""
        inputs = values.get("inputs")
        if not isinstance(inputs, dict) or "clusters" not in inputs:
            return values
        others = {name: value for name, value in inputs.items() if name != "clusters"}
        features = {} if inputs["clusters"] == "trajectories" else {"features": inputs["clusters"]}
        return {**values, "inputs": {**others, **features}}

    @property
    def method(self) -> str:
        return self.inputs["method"]

    @property
    def seed(self) -> int:
        return self.inputs["seed"]

    @property
    def per_source(self) -> bool:
        """Whether each source was clustered by itself."""
        return bool(self.inputs.get("per_source"))

    @property
    def trajectories_identity(self) -> str | None:
        """sha256 over what made the losses, None without."""
        return self.inputs["trajectories"]

    @property
    def trajectories_from(self) -> str | None:
        """The run or file that the losses are from."""
        return None if self.trajectories is None else self.trajectories["from"]

    @property
    def steps(self) -> list[int] | None:
        """The checkpoints whose losses were used."""
        return None if self.trajectories is None else self.trajectories["steps"]


@dataclass(frozen=True)
class Subset:
    """A subset as it is read.

    Attributes:
        indices: int64 (budget,), ascending row numbers of the pool.
        manifest: how they were chosen.
    """

    indices: np.ndarray
    manifest: SubsetManifest


@dataclass(frozen=True)
class SubsetContents:
    """What lies beside the manifest of a subset.

    Attributes:
        indices: int64, ascending row numbers.
        clusters_N: int32 (N,), -1 where not clustered.
        reasons_N: uint8 (N,), why a row could not be chosen, by number in `REASONS`. 0 where it could.
        composition: what the subset consists of.
        lines: the chosen rows as lines of JSONL without their newline, in pool order. None without texts.
        centroids_KT: float32, row k of cluster k. None where nothing was clustered.
        reports: file name -> JSON to lie beside.
    """

    indices: np.ndarray
    clusters_N: np.ndarray
    reasons_N: np.ndarray
    composition: dict[str, Any]
    lines: Iterable[bytes] | None
    centroids_KT: np.ndarray | None
    reports: Mapping[str, Any]


def write_subset(folder: Path, manifest: SubsetManifest, contents: SubsetContents) -> None:
    """Write the whole folder beside its place, then rename it: it is there complete, or not at all.

    The caller holds the lock of the run's subsets, and has called `remove_unfinished_subsets`.
    """
    assert contents.indices.dtype == np.int64 and np.all(np.diff(contents.indices) > 0)
    assert contents.clusters_N.dtype == np.int32
    assert contents.reasons_N.dtype == np.uint8
    temporary = folder.with_name(f".{folder.name}{_UNFINISHED}")
    with folder_beside(temporary, folder):
        save_array(temporary / "indices.npy", contents.indices)
        save_array(temporary / "clusters.npy", contents.clusters_N)
        save_array(temporary / "reasons.npy", contents.reasons_N)
        write_json(temporary / COMPOSITION, contents.composition)
        if contents.centroids_KT is not None:
            save_array(temporary / "centroids.npy", contents.centroids_KT)
        for name, report in contents.reports.items():
            write_json(temporary / name, report)
        if contents.lines is not None:
            with atomic_write(temporary / TEXTS, "wb") as file:
                file.writelines(line + b"\n" for line in contents.lines)
        checksums = checksums_of(temporary.iterdir())
        replace(manifest, checksums=checksums).write(manifest_in(temporary))


def remove_unfinished_subsets(paths: RunPaths) -> None:
    """Remove what a killed command left half written. The caller holds the lock of the run's subsets."""
    for folder in paths.root.glob(f".{paths.subset.name}*{_UNFINISHED}"):
        shutil.rmtree(folder)


def stability_path(folder: Path) -> Path:
    """How far the clusters of a subset can be trusted."""
    return folder / "stability.json"


def read_subset(folder: Path) -> Subset:
    """Raises: FileNotFoundError, or ValueError for a damaged subset."""
    if not manifest_in(folder).is_file():
        raise FileNotFoundError(
            f"no subset in {folder}: make it with `python select_s2l.py --config_file <this YAML>`"
        )
    manifest = SubsetManifest.read(manifest_in(folder))
    path = folder / "indices.npy"
    check_contents(path, manifest.checksums, _AGAIN)
    indices = np.asarray(load_npy(path))
    is_right = indices.dtype == np.int64 and indices.shape == (manifest.budget,)
    if not is_right or np.any(np.diff(indices) <= 0) or not _are_rows(indices, manifest.num_examples):
        raise ValueError(
            f"{path}: found {indices.dtype} {indices.shape}, expected {manifest.budget} ascending int64 row "
            f"numbers below {manifest.num_examples}: {_AGAIN}"
        )
    return Subset(indices, manifest)


def _are_rows(ascending: np.ndarray, num_examples: int) -> bool:
    return not len(ascending) or bool(ascending[0] >= 0 and ascending[-1] < num_examples)


def how_to_make_subset(run: str) -> str:
    """What to do where a run that is named has no subset of its own name: it may have several."""
    several = sorted(path.name for path in RunPaths(run_named(run)).root.glob("subset-*") if path.is_dir())
    if several:
        return f"name one of its several, {', '.join(f'{run_named(run)}/{name}' for name in several)}"
    return f"make it first with `python select_s2l.py --config_file <the YAML of {run}>`"


def read_clusters(folder: Path, manifest: SubsetManifest) -> np.ndarray:
    """int32 (N,): the cluster of each row, -1 where not clustered. Raises: ValueError for a damaged file."""
    return load_whole_numbers(folder / "clusters.npy", manifest.checksums, manifest.num_examples, _AGAIN)


def read_reasons(folder: Path, manifest: SubsetManifest) -> np.ndarray | None:
    """uint8 (N,): why each row could not be chosen, by number in `REASONS`.

    None where an earlier version wrote none. Raises: ValueError for a damaged file.
    """
    path = folder / "reasons.npy"
    if path.name not in (manifest.checksums or {}) and not path.is_file():
        return None
    check_contents(path, manifest.checksums, _AGAIN)
    reasons_N = load_npy(path)
    if reasons_N.dtype != np.uint8 or reasons_N.shape != (manifest.num_examples,):
        raise ValueError(
            f"{path}: found {reasons_N.dtype} {reasons_N.shape}, "
            f"expected uint8 ({manifest.num_examples},): {_AGAIN}"
        )
    return reasons_N


def read_centroids(folder: Path, manifest: SubsetManifest) -> np.ndarray | None:
    """float32 (K, T): row k of cluster k. None where nothing was clustered.

    Raises: FileNotFoundError, or ValueError for a damaged file.
    """
    path = folder / "centroids.npy"
    if manifest.clustering is None and not path.is_file():
        return None
    check_contents(path, manifest.checksums, _AGAIN)
    centroids_KT = np.asarray(load_npy(path))
    if centroids_KT.dtype != np.float32 or centroids_KT.ndim != 2:
        raise ValueError(
            f"{path}: found {centroids_KT.dtype} {centroids_KT.shape}, expected float32 (K, T): {_AGAIN}"
        )
    return centroids_KT


def most_selectable(sources_of_runs: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Source -> its rows that can be chosen: the most that one of the runs had, as some leave rows out.

    Args:
        sources_of_runs: of the composition of each.
    """
    rows_of: dict[str, int] = {}
    for sources in sources_of_runs:
        for source, entry in sources.items():
            rows_of[source] = max(rows_of.get(source, 0), entry["selectable"])
    return rows_of


def read_composition(folder: Path, manifest: SubsetManifest) -> dict[str, Any]:
    """What the subset consists of. Raises: FileNotFoundError, or ValueError for a damaged file."""
    path = folder / COMPOSITION
    check_contents(path, manifest.checksums, _AGAIN)
    return read_json(path)


def clusters_of_sources(folder: Path, manifest: SubsetManifest) -> dict[str, list[int]]:
    """Source -> the numbers of its clusters, ascending, as composition.json says.

    Raises: FileNotFoundError, or ValueError for a damaged file.
    """
    composition = read_composition(folder, manifest)
    try:
        sources = _Composition.model_validate(composition).sources
    except ValidationError:
        path = folder / COMPOSITION
        raise ValueError(f"{path}: found no clusters of each source, expected them: {_AGAIN}") from None
    return {name: sorted(source.clusters) for name, source in sources.items()}


class _Source(BaseModel):
    clusters: dict[int, Any]


class _Composition(BaseModel):
    """What is read of composition.json."""

    sources: dict[str, _Source]


def subset_is_there(folder: Path, inputs: dict[str, Any], with_texts: bool) -> bool:
    """Whether a subset made from exactly these inputs lies in `folder`.

    Raises: ValueError if one made from other inputs does, or one that has changed since.
    """
    if not all((folder / name).is_file() for name in (*FILES, *([TEXTS] if with_texts else []))):
        return False
    path = manifest_in(folder)
    ways_out = "Ways out: --overwrite chooses again; another run_name keeps both."
    manifest = SubsetManifest.read(path)
    check_inputs(path, manifest.inputs, inputs, ways_out)
    for name in manifest.checksums or ():
        check_contents(folder / name, manifest.checksums, _AGAIN)
    return True
