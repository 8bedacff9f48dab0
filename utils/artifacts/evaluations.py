"""The results of an evaluation on disk: <name>.json beside <name>.predictions.jsonl, for held-out rows and each question set."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .files import atomic_write
from .manifests import check_inputs, read_manifest, write_manifest

KIND = "evaluation"  # of the folder's manifest
RESULT_KIND = "evaluation result"
HELDOUT = "heldout"  # the name of the result on held-out rows
WAYS_OUT = "Ways out: --overwrite evaluates again; another run_name keeps both."


@dataclass(frozen=True)
class EvaluationResults:
    """All results of one checkpoint.

    Attributes:
        run_name: of the run.
        step: of the checkpoint; 0 = the base model.
        folder: where they lie.
        by_name: as on disk.
    """

    run_name: str
    step: int
    folder: Path
    by_name: dict[str, dict[str, Any]]


def result_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def predictions_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.predictions.jsonl"


def write_result(
    folder: Path,
    name: str,
    inputs: dict[str, Any],
    lines: Iterable[dict[str, Any]],
    measured: dict[str, Any],
    made: dict[str, Any],
) -> None:
    """The predictions (one line each) first: where the result is, they are."""
    with atomic_write(predictions_path(folder, name)) as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    write_manifest(result_path(folder, name), RESULT_KIND, "complete", inputs, **measured, provenance=made)


def read_result(folder: Path, name: str) -> dict[str, Any]:
    """Raises: FileNotFoundError; ValueError for a damaged file."""
    return read_manifest(result_path(folder, name), RESULT_KIND)


def result_is_there(folder: Path, name: str, inputs: dict[str, Any]) -> bool:
    """Whether this file's result was made from exactly these inputs. Raises: ValueError if from others."""
    path = result_path(folder, name)
    if not path.is_file():
        return False
    check_inputs(path, read_result(folder, name)["inputs"], inputs, WAYS_OUT)
    return predictions_path(folder, name).is_file()
