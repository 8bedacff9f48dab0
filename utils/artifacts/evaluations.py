"""The results of an evaluation on disk, of held-out rows and each question set.

<name>.json lies beside <name>.predictions.jsonl.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, FiniteFloat, NonNegativeInt

from .checksums import check_contents, checksum_of_json, checksums_of
from .files import atomic_write
from .manifests import Manifest, Provenance, check_inputs, is_complete
from .paths import RunPaths

HELDOUT = "heldout"  # the name of the result on held-out rows
# Rule of answers -> ending of its entries in results and predictions.
RULES = {"paper": "", "strict": "_strict"}
WAYS_OUT = "Ways out: --overwrite evaluates again; another run_name keeps both."


@dataclass(frozen=True, kw_only=True)
class EvaluationProvenance(Provenance):
    """How a result was measured. The manifest of the whole evaluation leaves both empty.

    Attributes:
        device: that the model was on.
        seconds: that it took.
    """

    device: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationManifest(Manifest):
    """The evaluation of one checkpoint: which results lie beside it, or will."""

    KIND: ClassVar[str] = "evaluation"
    AGAIN: ClassVar[str] = "evaluate its run again with --overwrite"
    NAMED_INPUTS: ClassVar[Mapping[str, Any]] = {
        "step": NonNegativeInt,
        "base_model": str | None,
        "files": dict[str, str],
    }

    provenance: EvaluationProvenance

    @property
    def step(self) -> int:
        """Of the checkpoint. 0 is the base model."""
        return self.inputs["step"]

    @property
    def base_model(self) -> str | None:
        """Fingerprint, None where the results do not depend on it."""
        return self.inputs["base_model"]

    @property
    def files(self) -> dict[str, str]:
        """Name of each result -> sha256 of what was asked."""
        return self.inputs["files"]


class _MeasuredOfSource(BaseModel, strict=True):
    loss: FiniteFloat | None


class _Measured(BaseModel, strict=True):
    """Entries of a result that others are read by."""

    questions: NonNegativeInt = 0
    by_source: dict[str, _MeasuredOfSource] = {}
    metrics: dict[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class EvaluationResult(Manifest):
    """What was measured on held-out rows, on a question set or by a task of lm-eval.

    Attributes:
        measured: name -> number or text. On disk its entries lie between inputs and provenance.
    """

    KIND: ClassVar[str] = "evaluation result"
    AGAIN: ClassVar[str] = "evaluate its run again with --overwrite"
    NAMED_INPUTS: ClassVar[Mapping[str, Any]] = {"file": str}

    measured: dict[str, Any]
    provenance: EvaluationProvenance

    @property
    def file(self) -> str:
        """sha256 of what was asked."""
        return self.inputs["file"]

    @property
    def pool(self) -> str | None:
        """Fingerprint of held-out rows, None for questions."""
        return self.inputs.get("pool")

    @property
    def num_questions(self) -> int:
        """Answers that were judged, or responses that were compared."""
        return self.measured.get("questions", 0)

    @property
    def by_source(self) -> dict[str, dict[str, Any]]:
        """Of held-out rows: source -> what was measured on its rows."""
        return self.measured.get("by_source", {})

    @property
    def metrics(self) -> dict[str, Any]:
        """Name -> value, where the result has metrics instead of judged answers."""
        return self.measured.get("metrics", {})

    def check_parts(self) -> None:
        super().check_parts()
        _Measured.model_validate(self.measured)

    def as_json(self) -> dict[str, Any]:
        values = super().as_json()
        measured = values.pop("measured")
        made = values.pop("provenance")
        return {**values, **measured, "provenance": made}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> dict[str, Any]:
        of_all = {"kind", "format_version", "status", "inputs", "checksums", "provenance"}
        measured = {name: value for name, value in values.items() if name not in of_all}
        return {**values, "measured": measured}


@dataclass(frozen=True)
class EvaluationResults:
    """All results of one checkpoint.

    Attributes:
        run_name: of the run.
        step: of the checkpoint. 0 = the base model.
        folder: where they lie.
        by_name: as on disk.
    """

    run_name: str
    step: int
    folder: Path
    by_name: dict[str, EvaluationResult]


def result_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def predictions_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.predictions.jsonl"


def write_result(folder: Path, name: str, result: EvaluationResult, lines: Iterable[dict[str, Any]]) -> None:
    """The predictions (one line each) first: where the result is, they are."""
    path = predictions_path(folder, name)
    with atomic_write(path) as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    replace(result, checksums=checksums_of([path])).write(result_path(folder, name))


def read_result(folder: Path, name: str) -> EvaluationResult:
    """Raises: FileNotFoundError, or ValueError for a damaged file."""
    return EvaluationResult.read(result_path(folder, name))


def evaluation_identity(manifest: EvaluationManifest, results: Mapping[str, EvaluationResult]) -> str:
    """sha256 over what an evaluation was made from: weights, questions, settings, and no time or place."""
    return checksum_of_json([manifest.inputs, {name: result.inputs for name, result in results.items()}])


def identity_of_evaluation_of(run_name: str) -> str | None:
    """The same of what is on disk, None where that run has no finished evaluation."""
    paths = RunPaths(run_name)
    if not is_complete(paths.evaluation_manifest, EvaluationManifest):
        return None
    manifest = EvaluationManifest.read(paths.evaluation_manifest)
    results = {name: read_result(paths.evaluation, name) for name in manifest.files}
    return evaluation_identity(manifest, results)


def result_is_there(folder: Path, name: str, inputs: dict[str, Any]) -> bool:
    """Whether this file's result was made from exactly these inputs.

    Raises: ValueError if from others, or if it or its predictions have changed since.
    """
    path = result_path(folder, name)
    if not path.is_file():
        return False
    result = read_result(folder, name)
    check_inputs(path, _in_words(name, result.inputs), _in_words(name, inputs), WAYS_OUT)
    predictions = predictions_path(folder, name)
    if not predictions.is_file():
        return False
    check_contents(predictions, result.checksums, WAYS_OUT)
    return True


def _in_words(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a result for people: its `pool` is not the pool that was trained on."""
    words = {"file": f"the file of {name}", "pool": f"the rows of {name}"}
    return {words.get(key, key): value for key, value in inputs.items()}
