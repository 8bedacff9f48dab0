"""What made a result: inputs and provenance. Inputs are compared before anything is reused; provenance is recorded only."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from ..config.load import ConfigDumper
from ..config.schema import RunConfig
from .differences import difference_lines, why_another_pool
from .files import atomic_write, read_json, write_json
from .paths import RunPaths

FORMAT_VERSION = 1
_RECORDED_PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "tokenizers",
    "datasets",
    "faiss-cpu",
    "numpy",
    "peft",
)


def provenance(**extra: Any) -> dict[str, Any]:
    """Command and its folder, versions, machine, commit and time.

    The command never holds a key: it is taken out of sys.argv first.
    """
    return {
        "command": [Path(sys.executable).name, *sys.argv],
        "folder": os.getcwd(),  # relative paths of the command and its YAML count from here
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: version for name in _RECORDED_PACKAGES if (version := _version(name))},
        "machine": platform.machine(),
        "git_commit": _git_commit(),
        **extra,
    }


def write_manifest(path: Path, kind: str, status: str, inputs: dict[str, Any], **rest: Any) -> None:
    """Args: status: "running" or "complete"; inputs: what `check_inputs` compares; rest: outcomes and provenance."""
    write_json(
        path, {"kind": kind, "format_version": FORMAT_VERSION, "status": status, "inputs": inputs, **rest}
    )


def read_manifest(path: Path, kind: str) -> dict[str, Any]:
    """Raises: FileNotFoundError; ValueError for another kind or a newer format."""
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("kind") != kind:
        raise ValueError(f"{path}: expected a manifest of kind {kind!r}, found {str(manifest)[:80]}")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{path}: format version {manifest.get('format_version')}, this code reads {FORMAT_VERSION}: make it again"
        )
    return manifest


def is_complete(path: Path, kind: str) -> bool:
    """Whether what this manifest is of is finished; False where there is none."""
    return path.is_file() and read_manifest(path, kind)["status"] == "complete"


def check_inputs(
    path: Path,
    recorded: dict[str, Any],
    wanted: dict[str, Any],
    ways_out: str,
    data: dict[str, Any] | None = None,
) -> None:
    """Refuse to reuse a result made from other inputs, showing the innermost entries that differ.

    Args: data: the `pool_record` of now, to say why the pool is another one.
    Raises: ValueError.
    """
    differing = difference_lines(recorded, wanted)
    if recorded.get("pool") != wanted.get("pool") and data is not None:
        differing.append(f"  the pool is another one: {why_another_pool(read_json(path).get('data'), data)}")
    if differing:
        raise ValueError(
            f"{path.parent} was made from other inputs:\n" + "\n".join(differing) + f"\n{ways_out}"
        )


def keep_config(paths: RunPaths, config: RunConfig) -> None:
    """Write the config of a run that is scored, selected for or evaluated; a trained run keeps that of its training."""
    if not paths.manifest.is_file():
        write_config(paths, config)


def write_config(paths: RunPaths, config: RunConfig) -> None:
    """The resolved config, every default written out: the first file of a run."""
    with atomic_write(paths.config) as file:
        yaml.dump(config.model_dump(mode="json"), file, ConfigDumper, sort_keys=False, allow_unicode=True)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The project's commit, with -dirty where the tree differs from it; None outside a checkout."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
