"""Each kind of manifest is read and written by one class, bit for bit, and refused if an entry is missing."""

import copy
import json
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts import examples
from utils.artifacts.checksums import checksum_of_json
from utils.artifacts.comparisons import ComparisonManifest
from utils.artifacts.evaluations import EvaluationManifest, EvaluationResult
from utils.artifacts.experiments import ExperimentManifest
from utils.artifacts.files import write_json
from utils.artifacts.manifests import Manifest, Provenance, is_complete
from utils.artifacts.subsets import SubsetManifest
from utils.artifacts.tokens import TokensManifest
from utils.artifacts.trainings import TrainingManifest, TrainingProvenance, TrainingWork
from utils.artifacts.trajectories.manifest import TrajectoriesManifest

WRITTEN_NOW: dict[str, tuple[type[Manifest], dict[str, Any]]] = {
    "running training": (TrainingManifest, examples.RUNNING_TRAINING),
    "training": (TrainingManifest, examples.TRAINING),
    "continued training": (TrainingManifest, examples.CONTINUED_TRAINING),
    "trajectories": (TrajectoriesManifest, examples.TRAJECTORIES),
    "subset": (SubsetManifest, examples.SUBSET),
    "subset of row numbers": (SubsetManifest, examples.SUBSET_OF_NUMBERS),
    "evaluation": (EvaluationManifest, examples.EVALUATION),
    "result": (EvaluationResult, examples.RESULT),
    "tokens": (TokensManifest, examples.TOKENS),
    "comparison": (ComparisonManifest, examples.COMPARISON),
    "experiment": (ExperimentManifest, examples.EXPERIMENT),
}
FULL = ("training", "trajectories", "subset", "evaluation", "result", "tokens", "comparison")


@pytest.mark.parametrize("name", WRITTEN_NOW)
def test_what_is_read_is_written_bit_for_bit(name, tmp_path):
    kind, values = WRITTEN_NOW[name]
    write_json(tmp_path / "there.json", {**values, "sha256": checksum_of_json(values)})
    kind.read(tmp_path / "there.json").write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "there.json").read_bytes()


def required(kind: type, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where the fields without a default lie, in records inside it too."""
    inner = {
        "provenance": TrainingProvenance if kind is TrainingManifest else Provenance,
        "work": TrainingWork,
    }
    for field in fields(kind):
        if field.default is MISSING and field.default_factory is MISSING and field.name not in _FLAT:
            yield (*place, field.name)
        if field.name in inner:
            yield from required(inner[field.name], (*place, field.name))


_FLAT = {"measured", "comparison"}  # whose entries lie in the manifest itself


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (name, place)
        for name in FULL
        for kind in [WRITTEN_NOW[name][0]]
        for place in [*required(kind), *(("inputs", entry) for entry in kind.NAMED_INPUTS)]
    ],
    ids=lambda value: value if isinstance(value, str) else ".".join(value),
)
def test_a_manifest_that_lacks_a_field_is_refused_by_name(name, place, tmp_path):
    kind, values = WRITTEN_NOW[name]
    values = copy.deepcopy(values)
    section = values
    for key in place[:-1]:
        section = section[key]
    del section[place[-1]]
    path = tmp_path / "manifest.json"
    write_json(path, values)
    with pytest.raises(ValueError) as refusal:
        kind.read(path)
    assert f"{path} is damaged or edited: found no {'.'.join(place)}, expected " in str(refusal.value)
    assert str(refusal.value).endswith(f": put back a copy of it, or {kind.AGAIN}")


def test_a_manifest_of_another_kind_format_or_type_is_refused(tmp_path):
    path = tmp_path / "manifest.json"
    write_json(path, examples.TRAINING)
    with pytest.raises(
        ValueError, match="found .*training.*, expected a whole manifest of kind 'subset': put back"
    ):
        SubsetManifest.read(path)
    write_json(path, {**examples.TRAINING, "format_version": 2})
    with pytest.raises(ValueError, match="found format version 2, expected 1: train"):
        TrainingManifest.read(path)
    write_json(path, {**examples.TRAINING, "steps": "many"})
    with pytest.raises(ValueError, match="found steps 'many'"):
        TrainingManifest.read(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        TrainingManifest.read(path)
    with pytest.raises(FileNotFoundError):
        TrainingManifest.read(tmp_path / "nowhere.json")


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the innermost entries of a JSON value lie."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, entry in entries:
        yield from leaves(entry, (*place, key))
    if not entries:
        yield place


@pytest.mark.parametrize("name", FULL)
def test_a_manifest_is_refused_if_anything_in_it_has_changed(name, tmp_path):
    kind, values = WRITTEN_NOW[name]
    path = tmp_path / "manifest.json"
    write_json(path, values)
    kind.read(path).write(path)
    written = json.loads(path.read_text())
    for place in leaves(written):
        changed = copy.deepcopy(written)
        section = changed
        for key in place[:-1]:
            section = section[key]
        section[place[-1]] = 7 if section[place[-1]] != 7 else 8
        write_json(path, changed)
        with pytest.raises(ValueError, match=str(path)):
            kind.read(path)


@pytest.mark.parametrize("name", FULL)
def test_named_inputs_of_another_type_are_refused_by_name(name, tmp_path):
    kind, values = WRITTEN_NOW[name]
    path = tmp_path / "manifest.json"
    for entry in kind.NAMED_INPUTS:
        write_json(path, {**values, "inputs": {**values["inputs"], entry: [[1.5]]}})
        with pytest.raises(ValueError, match=rf"found .*\binputs\.{entry}\b.*\[\[?1\.5"):
            kind.read(path)


def test_whether_something_is_whole_is_asked_of_its_manifest(tmp_path):
    path = tmp_path / "manifest.json"
    assert not is_complete(path, TrainingManifest)
    write_json(path, examples.RUNNING_TRAINING)
    assert not is_complete(path, TrainingManifest)
    write_json(path, examples.TRAINING)
    assert is_complete(path, TrainingManifest)


def read_first(kind: type[Manifest], values: dict[str, Any], tmp_path: Path) -> Any:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(values))
    return kind.read(path)


def test_a_training_of_the_first_version_is_read(tmp_path):
    found = read_first(TrainingManifest, examples.FIRST_TRAINING, tmp_path)
    assert found.steps == 6 and found.data is None and found.num_rows == 40 and found.subset_seed == 7
    assert found.provenance.seconds == 3.0 and found.provenance.first_step == 0
    assert found.provenance.work is None and found.provenance.folder is None


def test_trajectories_of_the_first_version_are_read(tmp_path):
    found = read_first(TrajectoriesManifest, examples.FIRST_TRAJECTORIES, tmp_path)
    assert found.checkpoints == {2: "f" * 64} and found.steps == [2] and found.num_examples == 90
    assert found.device_seconds == {} and found.model is None


def test_a_subset_of_the_first_version_is_read(tmp_path):
    found = read_first(SubsetManifest, examples.FIRST_SUBSET, tmp_path)
    assert found.trajectories_from == "proxy" and found.steps == [2] and not found.per_source
    assert found.needs_trajectories and found.data is None and found.clustering is None


def test_an_evaluation_of_the_first_version_is_read(tmp_path):
    found = read_first(EvaluationManifest, examples.FIRST_EVALUATION, tmp_path)
    assert found.step == 6 and list(found.files) == ["heldout"] and found.provenance.seconds == 3.0
    result = read_first(EvaluationResult, examples.FIRST_RESULT, tmp_path)
    assert result.num_questions == 5 and result.measured == {"questions": 5, "accuracy": 0.8}
    assert result.provenance.device is None and result.metrics == {}


def test_a_launch_that_continued_knows_its_first_step(tmp_path):
    found = read_first(TrainingManifest, examples.CONTINUED_TRAINING, tmp_path)
    assert found.provenance.first_step == 2


@pytest.mark.parametrize(
    "kind", list(dict.fromkeys(kind for kind, _ in WRITTEN_NOW.values())), ids=lambda kind: kind.__name__
)
def test_each_field_is_described(kind):
    assert is_dataclass(kind)
    own = kind.__annotations__.keys() - {"KIND", "AGAIN", "NAMED_INPUTS", "provenance"}
    description = kind.__doc__ or ""
    assert not [name for name in own if f"{name}:" not in description and f"{name}," not in description]


def test_a_comparison_of_an_earlier_version_is_read(tmp_path):
    found = read_first(ComparisonManifest, examples.EARLIER_COMPARISON, tmp_path)
    assert found.comparison.arm_values == []
    assert [run.evaluation for run in found.comparison.runs] == [None, None]
