"""A subset on disk: which rows of the pool, from which cluster, and what made the choice.

Legend: N examples of the pool.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from .files import load_array, locked, publish_folder, read_json, save_array, write_json
from .manifests import check_inputs, provenance, read_manifest, write_manifest

KIND = "subset"
FILES = ("manifest.json", "indices.npy", "clusters.npy", "composition.json")
TEXTS = "subset.jsonl"


@dataclass(frozen=True)
class Subset:
    """Attributes: indices: int64 (budget,), ascending row numbers of the pool; manifest: as on disk."""

    indices: np.ndarray
    manifest: dict[str, Any]


def write_subset(
    folder: Path,
    inputs: dict[str, Any],
    indices: np.ndarray,
    clusters_N: np.ndarray,
    composition: dict[str, Any],
    rows: Iterable[bytes] | None,
    centroids_KT: np.ndarray | None = None,
    reports: Mapping[str, Any] = MappingProxyType({}),
    **outcome: Any,
) -> None:
    """Write the whole folder beside its place, then rename it: it is there complete, or not at all.

    Args:
        indices: int64, ascending row numbers; clusters_N: int32 (N,), -1 where not clustered.
        rows: the chosen rows as lines of JSONL without their newline, in pool order; None where there are no texts.
        centroids_KT: float32, row k of cluster k; None where nothing was clustered.
        reports: file name -> JSON to lie beside.
    """
    assert indices.dtype == np.int64 and np.all(np.diff(indices) > 0)
    assert clusters_N.dtype == np.int32
    temporary = folder.with_name(f".{folder.name}.parts")
    with locked(folder.with_name(f".{folder.name}.lock"), "another launch is writing this subset"):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            save_array(temporary / "indices.npy", indices)
            save_array(temporary / "clusters.npy", clusters_N)
            write_json(temporary / "composition.json", composition)
            if centroids_KT is not None:
                save_array(temporary / "centroids.npy", centroids_KT)
            for name, report in reports.items():
                write_json(temporary / name, report)
            if rows is not None:
                with open(temporary / TEXTS, "wb") as file:
                    file.writelines(row + b"\n" for row in rows)
            write_manifest(
                temporary / "manifest.json", KIND, "complete", inputs, **outcome, provenance=provenance()
            )
            publish_folder(temporary, folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def read_subset(folder: Path) -> Subset:
    """Raises: FileNotFoundError; ValueError for a damaged subset."""
    if not (folder / "manifest.json").is_file():
        raise FileNotFoundError(
            f"no subset in {folder}: make it with `python select_s2l.py --config_file <this YAML>`"
        )
    manifest = read_manifest(folder / "manifest.json", KIND)
    indices = load_array(folder / "indices.npy")
    if indices.dtype != np.int64 or indices.ndim != 1 or np.any(np.diff(indices) <= 0):
        raise ValueError(
            f"{folder / 'indices.npy'}: found {indices.dtype} {indices.shape}, expected ascending int64 rows"
        )
    return Subset(np.asarray(indices), manifest)


def read_clusters(folder: Path) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    """clusters.npy, centroids.npy (None where nothing was clustered) and composition.json of a subset."""
    centroids = folder / "centroids.npy"
    centroids_KT = np.asarray(load_array(centroids)) if centroids.is_file() else None
    return load_array(folder / "clusters.npy"), centroids_KT, read_json(folder / "composition.json")


def subset_is_there(folder: Path, inputs: dict[str, Any], with_texts: bool) -> bool:
    """Whether a subset made from exactly these inputs lies in `folder`.

    Raises: ValueError if one made from other inputs does.
    """
    if not all((folder / name).is_file() for name in (*FILES, *([TEXTS] if with_texts else []))):
        return False
    path = folder / "manifest.json"
    ways_out = "Ways out: --overwrite chooses again; another run_name keeps both."
    check_inputs(path, read_manifest(path, KIND)["inputs"], inputs, ways_out)
    return True
