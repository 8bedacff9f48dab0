"""What is on disk after a trial, compared with what an undisturbed run left."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.trainer_pt_utils import safe_globals

from utils.artifacts.checkpoints import CHECKSUMS

# Entries of JSON files that say when, by which launch and how fast. They are compared with nothing.
RECORDED = {
    "time",
    "seconds",
    "device_seconds",
    "git_commit",
    "continued_from",
    "sha256",  # of a manifest with all of these in it
}
# The copy of what was printed, which tells of each start.
_LOGS = {"log.txt"}
_LOCKS = ".locks"


def differences(found: Path, expected: Path) -> list[str]:
    """One line for each file or folder that is missing, left over or not the same."""
    found_names = _names(found)
    expected_names = _names(expected)
    lines = [f"missing: {name}" for name in sorted(expected_names - found_names)]
    lines += [f"left over: {name}" for name in sorted(found_names - expected_names)]
    for name in sorted(expected_names & found_names):
        lines += [f"differs: {name}: {what}" for what in _difference(found / name, expected / name)]
    return lines


def torn(found: Path, expected: Path) -> list[str]:
    """One line for each array that has its name and is not whole, in the middle of an interrupted run."""
    lines = []
    for path in sorted(found.rglob("*")):
        name = path.relative_to(found)
        has_its_name = path.suffix in (".npy", ".safetensors") and (expected / name).is_file()
        if has_its_name and path.read_bytes() != (expected / name).read_bytes():
            lines.append(f"torn: {name}")
    return lines


def _names(folder: Path) -> set[str]:
    """Files and folders. Those that are locked stay, held by nobody."""
    names = {path.relative_to(folder) for path in folder.rglob("*")}
    return {str(name) for name in names if _LOCKS not in name.parts and name.name not in _LOGS}


def _difference(found: Path, expected: Path) -> list[str]:
    if expected.is_dir() or found.is_dir():
        return [] if expected.is_dir() and found.is_dir() else ["a folder, and a file"]
    # The files that checksums.json is of are compared themselves. A pickle of the same may have other bytes.
    if found.read_bytes() == expected.read_bytes() or found.name == CHECKSUMS:
        return []
    try:
        contents = _contents(found)
    except (ValueError, OSError, EOFError, RuntimeError) as error:
        return [f"cannot be read ({error})"]
    return _unequal(contents, _contents(expected))


def _contents(path: Path) -> Any:
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".npz":
        return dict(np.load(path))
    if path.suffix in (".pt", ".pth", ".bin"):
        with safe_globals():  # a random state holds numpy's arrays
            return torch.load(path, weights_only=True)
    return path.read_bytes()


def _unequal(one: Any, other: Any, where: str = "") -> list[str]:
    """The innermost entries that differ."""
    if type(one) is not type(other):
        return [f"{where or 'all'}: {type(one).__name__}, expected {type(other).__name__}"]
    if isinstance(one, dict):
        lines = []
        for key in sorted(one.keys() | other.keys(), key=str):
            # Of which steps: they are part of a cost.
            if key == "device_seconds" and isinstance(other.get(key), dict):
                lines += _unequal(sorted(one.get(key, ())), sorted(other[key]), f"{where}.{key}")
            elif key in RECORDED:
                continue
            elif key not in one or key not in other:
                lines.append(f"{where}.{key}: {'missing' if key in other else 'left over'}")
            else:
                lines += _unequal(one[key], other[key], f"{where}.{key}")
        return lines
    if isinstance(one, (list, tuple)) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [line for index, pair in pairs for line in _unequal(*pair, f"{where}[{index}]")]
    if isinstance(one, torch.Tensor):
        is_equal = one.dtype == other.dtype and torch.equal(one, other)
    elif isinstance(one, np.ndarray):
        is_equal = one.dtype == other.dtype and one.tobytes() == other.tobytes()
    else:
        is_equal = one == other
    return [] if is_equal else [f"{where or 'all'}: {str(one)[:60]!r}, expected {str(other)[:60]!r}"]
