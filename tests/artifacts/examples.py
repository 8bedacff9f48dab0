"""A manifest of each kind as it lies on disk, by this version and by the first one of format 1."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from utils.artifacts.files import write_json
from utils.artifacts.subsets import Subset, SubsetManifest

PROVENANCE: dict[str, Any] = {
    "command": ["python", "train.py", "--config_file", "c.yml"],
    "folder": "/work",
    "time": "2026-01-01T10:00:00+00:00",
    "python": "3.11.7",
    "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
    "machine": "x86_64",
    "git_commit": None,
}
DATA: dict[str, Any] = {
    "path": "pool.jsonl",
    "split": "train",
    "name": None,
    "format": "alpaca",
    "columns": {},
    "source_column": "source",
    "limit": None,
    "invalid_rows": "error",
    "absolute_path": "/data/pool.jsonl",
}
MODEL: dict[str, Any] = {"name_or_path": "m", "architecture": None, "dtype": "float32", "lora": None}

TRAINING_INPUTS: dict[str, Any] = {
    "pool": "a" * 64,
    "template": "alpaca",
    "tokenizer": "b" * 64,
    "max_length": 160,
    "model": MODEL,
    "base_model": "c" * 64,
    "seed": 5,
    "global_batch_size": 16,
    "train_args": {"learning_rate": 0.001, "num_train_epochs": 2},
    "save_steps": [2, 6],
    "num_rows": 40,
    "rows": "d" * 64,
    "subset": {"pool": "a" * 64, "method": "random", "seed": 7, "budget_rows": 40},
}
LAUNCH: dict[str, Any] = {
    **PROVENANCE,
    "devices": 2,
    "device": "cuda",
    "device_name": "NVIDIA H100",
    "per_device_batch": 8,
    "seconds": None,
    "continued_from": None,
    "work": None,
}
WORK: dict[str, Any] = {
    "tokens": 4000,
    "response_tokens": 1000,
    "forward_operations": 1e9,
    "training_operations": 3e9,
    "pool_training_operations": 6000000000,
    "steps_per_epoch": 3,
}
SCORING_INPUTS: dict[str, Any] = {
    "pool": "a" * 64,
    "num_examples": 90,
    "template": "alpaca",
    "tokenizer": "b" * 64,
    "max_length": 160,
    "precision": "float32",
}
EVALUATION_INPUTS: dict[str, Any] = {
    "step": 6,
    "checkpoint": "e" * 64,
    "base_model": None,
    "dtype": "float32",
    "template": "alpaca",
    "tokenizer": "b" * 64,
    "max_new_tokens": 40,
    "answer_rules": 3,
}


def forget_checksums(manifest: Path) -> None:
    """Make a manifest one of an earlier version, for tests that change what lies beside it or in it."""
    values = json.loads(manifest.read_text(encoding="utf-8"))
    known = {name: value for name, value in values.items() if name not in ("sha256", "checksums")}
    write_json(manifest, known)


def manifest_json(
    kind: str, status: str, inputs: dict[str, Any], checksums: tuple[str, ...] = (), **rest: Any
) -> dict[str, Any]:
    """Args: checksums: names of files that the manifest has them of."""
    of_files = dict.fromkeys(checksums, "8" * 64) or None
    return {
        "kind": kind, "format_version": 1, "status": status, "inputs": inputs, "checksums": of_files, **rest,
    }  # fmt: skip


RUNNING_TRAINING = manifest_json(
    "training", "running", TRAINING_INPUTS, steps=None, data=DATA, provenance=LAUNCH
)
TRAINING = manifest_json(
    "training",
    "complete",
    TRAINING_INPUTS,
    steps=6,
    data=DATA,
    provenance={**LAUNCH, "seconds": 12.5, "continued_from": None, "work": WORK},
)
CONTINUED_TRAINING = manifest_json(
    "training",
    "complete",
    TRAINING_INPUTS,
    steps=6,
    data=DATA,
    provenance={**LAUNCH, "seconds": 8.0, "continued_from": "checkpoint-2", "work": WORK},
)
TRAJECTORIES = manifest_json(
    "trajectories",
    "running",
    SCORING_INPUTS,
    ("checkpoint-10.npy", "checkpoint-2.npy", "num_response_tokens.npy"),
    data=DATA,
    texts=None,
    model=MODEL,
    tokens=9000,
    device_name="NVIDIA H100",
    trained_on="a" * 64,
    base_model="b" * 64,
    checkpoints={"2": "f" * 64, "6": "unreadable", "10": "e" * 64},
    steps=[2, 10],
    provenance=PROVENANCE,
    device_seconds={"2": 1.5, "10": 2.0},
)
SUBSET = manifest_json(
    "subset",
    "complete",
    {
        "pool": "a" * 64,
        "num_examples": 90,
        "method": "s2l",
        "seed": 5,
        "num_clusters": 3,
        "per_source": True,
        "trajectories": "9" * 64,
        "budget_rows": 30,
    },
    ("clusters.npy", "composition.json", "indices.npy"),
    budget=30,
    num_selectable=87,
    num_excluded=1,
    dropped=None,
    data=DATA,
    trajectories={"from": "proxy", "steps": [2, 10]},
    clustering={"library": "faiss", "num_clusters": 3, "num_clusters_is": "given"},
    needs_trajectories=True,
    seconds={"reading the pool": 0.1, "choosing": 0.2},
    provenance=PROVENANCE,
)
SUBSET_OF_NUMBERS = manifest_json(
    "subset",
    "complete",
    {"pool": "90 rows", "num_examples": 90, "method": "random", "seed": 5, "trajectories": None},
    budget=30,
    num_selectable=90,
    num_excluded=0,
    dropped=None,
    data=None,
    trajectories=None,
    clustering=None,
    needs_trajectories=False,
    seconds={"choosing": 0.2},
    provenance=PROVENANCE,
)
EVALUATION = manifest_json(
    "evaluation",
    "complete",
    {**EVALUATION_INPUTS, "files": {"heldout": "1" * 64, "known": "2" * 64}},
    provenance={**PROVENANCE, "device": None, "seconds": None},
)
RESULT = manifest_json(
    "evaluation result",
    "complete",
    {**EVALUATION_INPUTS, "limit": None, "file": "1" * 64, "pool": "3" * 64, "max_length": 160},
    ("heldout.predictions.jsonl",),
    questions=5,
    correct=4,
    accuracy=0.8,
    loss=1.25,
    by_source={"easy": {"loss": 1.0, "accuracy": None}},
    notes=["a note"],
    provenance={**PROVENANCE, "device": "cpu", "seconds": 1.0},
)
TOKENS = manifest_json(
    "tokens",
    "complete",
    {
        "pool": "a" * 64,
        "num_examples": 90,
        "num_excluded": 0,
        "template": "alpaca",
        "tokenizer": "b" * 64,
        "max_length": 160,
        "is_encoder_decoder": False,
    },
    ("offsets.npy", "tokens.bin"),
)
COMPARISON = manifest_json(
    "comparison",
    "complete",
    {"runs": ["one", "other"]},
    name="one_vs_other",
    arms=[
        {
            "letter": letter,
            "label": label,
            "method": label,
            "told_apart_by": {},
            "runs": [run],
            "step": 6,
            "last_step": 6,
            "num_examples": 40,
            "num_tokens": None,
            "description": "",
        }
        for letter, label, run in (("A", "s2l", "one"), ("B", "random", "other"))
    ],
    runs=[
        {"name": "one", "arm": "A", "seed": 1, "subset_seed": 1, "evaluation": "f" * 64},
        {"name": "other", "arm": "B", "seed": 1, "subset_seed": None, "evaluation": "e" * 64},
    ],
    measures=[
        {
            "question_set": "heldout",
            "source": None,
            "name": "loss",
            "is_metric": False,
            "values": {"one": 0.5, "other": 0.75},
        }
    ],
    differences=[
        {
            "arm": "B",
            "question_sets": ["heldout"],
            "measure": "loss",
            "mean": -0.25,
            "over_questions": [-0.5, 0.0],
            "over_runs": None,
            "p_values": [],
            "verdict": "not tested",
        }
    ],
    costs=[
        {
            "arm": "A",
            "stages": {"target": {"device_seconds": 1.0, "operations": None}},
            "total": {"device_seconds": 1.0, "operations": None},
            "everything": {"device_seconds": 8.0, "operations": None},
            "pays_from": {"device_seconds": "never", "operations": None},
        },
        {
            "arm": "B",
            "stages": {"target": {"device_seconds": None, "operations": None}},
            "total": {"device_seconds": None, "operations": None},
            "everything": None,
            "pays_from": None,
        },
    ],
    unlike=[],
    remarks=["a remark"],
    cost_remarks=[],
    confidence=0.95,
    arm_values=[
        {
            "arm": "A",
            "question_set": "heldout",
            "measure": "loss",
            "mean": 0.5,
            "over_questions": None,
            "over_runs": [0.25, 0.75],
        }
    ],
    provenance=PROVENANCE,
)
EXPERIMENT = manifest_json(
    "experiment",
    "running",
    {"name": "exp", "references": ["proxy"]},
    members=[
        {"run": "exp_s2l_10_seed0", "label": "s2l", "budget": 10, "seed": 0},
        {"run": "exp_full_seed0", "label": "full", "budget": None, "seed": 0},
    ],
    comparisons=["exp_10"],
    config_file="experiment.yml",
    provenance=PROVENANCE,
)


def subset_of(rows: np.ndarray) -> Subset:
    """A subset of these rows, with a manifest that says nothing of them."""
    return Subset(rows, TypeAdapter(SubsetManifest).validate_python(SUBSET_OF_NUMBERS))


# As it was before there were intervals of each arm, and before it said which evaluations it is of.
EARLIER_COMPARISON = {name: value for name, value in COMPARISON.items() if name != "arm_values"}
EARLIER_COMPARISON["runs"] = [
    {name: value for name, value in run.items() if name != "evaluation"} for run in COMPARISON["runs"]
]

# What the first version of format 1 wrote.
_FIRST_PROVENANCE = {name: value for name, value in PROVENANCE.items() if name != "folder"}


def _first_manifest_json(kind: str, status: str, inputs: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"kind": kind, "format_version": 1, "status": status, "inputs": inputs, **rest}


FIRST_TRAINING = _first_manifest_json(
    "training",
    "complete",
    TRAINING_INPUTS,
    steps=6,
    provenance={
        **_FIRST_PROVENANCE,
        "devices": 1,
        "device": "cpu",
        "per_device_batch": 16,
        "seconds": 3.0,
        "continued_from": None,
    },
)
FIRST_TRAJECTORIES = _first_manifest_json(
    "trajectories",
    "complete",
    SCORING_INPUTS,
    checkpoints={"2": "f" * 64},
    steps=[2],
    unscorable_rows=[],
    provenance=_FIRST_PROVENANCE,
)
FIRST_SUBSET = _first_manifest_json(
    "subset",
    "complete",
    {
        "pool": "a" * 64,
        "num_examples": 90,
        "method": "s2l",
        "seed": 5,
        "trajectories": "9" * 64,
        "budget": 30,
    },
    budget=30,
    num_selectable=90,
    num_excluded=0,
    num_unscorable=0,
    unscorable_rows=[],
    trajectories={"from": "proxy", "steps": [2]},
    seconds={"choosing": 0.2},
    provenance=_FIRST_PROVENANCE,
)
FIRST_EVALUATION = _first_manifest_json(
    "evaluation",
    "complete",
    {**EVALUATION_INPUTS, "files": {"heldout": "1" * 64}},
    provenance={**_FIRST_PROVENANCE, "device": "cpu", "seconds": 3.0},
)
FIRST_RESULT = _first_manifest_json(
    "evaluation result",
    "complete",
    {**EVALUATION_INPUTS, "file": "1" * 64},
    questions=5,
    accuracy=0.8,
    provenance=_FIRST_PROVENANCE,
)
