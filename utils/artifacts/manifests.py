"""What made a result: inputs, compared before any reuse, and provenance, only recorded."""

import datetime
import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, NonNegativeInt, TypeAdapter, ValidationError, create_model
from pydantic_core import ErrorDetails

from ..terminal import one_line
from .checksums import checksum_of_json
from .differences import difference_lines
from .files import read_json, write_json
from .pools import why_another_pool

FORMAT_VERSION = 1
_CHECKSUM = "sha256"  # of all else in a manifest
_INPUTS = "inputs"
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


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a result comes from. It is recorded, and compared with nothing.

    Attributes:
        command: words of the command line. It never holds a key: that is taken out of sys.argv first.
        folder: where the command ran. Relative paths in it and in its YAML count from here.
        time: when this was written, ISO 8601 in UTC.
        python: its version.
        packages: name -> version, of those that are installed.
        machine: its architecture.
        git_commit: the project's commit, with -dirty where the tree differs. None outside a checkout.
    """

    command: list[str]
    folder: str | None = None
    time: str
    python: str
    packages: dict[str, str]
    machine: str
    git_commit: str | None

    @classmethod
    def now(cls, **more: Any) -> Self:
        """The provenance of this process, and the fields that the class has besides."""
        return cls(
            command=[Path(sys.executable).name, *sys.argv],
            folder=os.getcwd(),
            time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            python=platform.python_version(),
            packages={name: version for name in _RECORDED_PACKAGES if (version := _version(name))},
            machine=platform.machine(),
            git_commit=_git_commit(),
            **more,
        )


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a result was made from, and what became of it. Each kind of result has a class of its own.

    Its fields are named as on disk and lie there in this order. Earlier versions did not write all that have
    a default.

    Attributes:
        status: whether the result is whole.
        inputs: what the result depends on. `check_inputs` compares them entry by entry before anything
            is reused. The properties of each kind read those that have a meaning elsewhere.
        checksums: of the files beside it, as `checksums` takes them. None where there are none, or where
            an earlier version wrote them.
    """

    KIND: ClassVar[str]
    AGAIN: ClassVar[str]  # how a damaged one is made again
    NAMED_INPUTS: ClassVar[Mapping[str, Any]] = {}  # those that every manifest of the kind has -> their types

    status: Literal["running", "complete"]
    inputs: dict[str, Any]
    checksums: dict[str, str] | None = None

    def as_json(self) -> dict[str, Any]:
        """The manifest as it lies on disk."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The fields by name, of a manifest as it lies on disk."""
        return values

    def check_parts(self) -> None:
        """Look at the types inside dictionaries. Raises: ValidationError."""
        _reader_of_inputs(type(self)).model_validate(self.inputs)

    @property
    def is_complete(self) -> bool:
        return self.status == "complete"

    def write(self, path: Path) -> None:
        values = {"kind": self.KIND, "format_version": FORMAT_VERSION, **self.as_json()}
        write_json(path, {**values, _CHECKSUM: checksum_of_json(values)})

    @classmethod
    def read(cls, path: Path) -> Self:
        """The manifest in this file.

        Raises:
            FileNotFoundError: there is none.
            ValueError: another kind, another format, other contents than were written, or a field that is
                missing or of another type.
        """
        values = read_json(path)
        if not isinstance(values, dict) or values.get("kind") != cls.KIND:
            raise cls._damaged(path, [one_line(repr(values), 80)])
        if values.get("format_version") != FORMAT_VERSION:
            raise ValueError(
                f"{path}: found format version {values.get('format_version')}, expected {FORMAT_VERSION}: "
                f"{cls.AGAIN}"
            )
        written = values.pop(_CHECKSUM, None)  # earlier versions wrote none
        if written is not None and written != checksum_of_json(values):
            raise cls._damaged(path, ["other contents than were written (sha256)"])
        try:
            manifest = _reader(cls).validate_python(cls.from_json(values))
            manifest.check_parts()
        except ValidationError as error:
            section = ["inputs"] if error.title == _INPUTS else []
            raise cls._damaged(path, [_problem(section, details) for details in error.errors()]) from None
        return manifest

    @classmethod
    def _damaged(cls, path: Path, problems: list[str]) -> ValueError:
        return ValueError(
            f"{path} is damaged or edited: found {', '.join(problems)}, expected a whole manifest of kind "
            f"{cls.KIND!r}: put back a copy of it, or {cls.AGAIN}"
        )


def kind_of(path: Path) -> str | None:
    """The kind that a JSON file says it is, None where it is no manifest.

    Raises: FileNotFoundError, or ValueError for a damaged file.
    """
    values = read_json(path)
    return values.get("kind") if isinstance(values, dict) else None


class PoolManifest(Manifest):
    """Of what was made from a whole pool: its tokens, trajectories or a subset."""

    NAMED_INPUTS: ClassVar[Mapping[str, Any]] = {"pool": str, "num_examples": NonNegativeInt}

    @property
    def pool(self) -> str:
        """Fingerprint."""
        return self.inputs["pool"]

    @property
    def num_examples(self) -> int:
        """Rows of the pool."""
        return self.inputs["num_examples"]


@functools.cache
def _reader(kind: type[Manifest]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@functools.cache
def _reader_of_inputs(kind: type[Manifest]) -> type[BaseModel]:
    """Of the named ones. Strict: what a record would take for a number is handed out as it is."""
    types: Any = {name: (entry, ...) for name, entry in kind.NAMED_INPUTS.items()}
    return create_model(_INPUTS, __config__=ConfigDict(strict=True), **types)


def _problem(section: list[str], details: ErrorDetails) -> str:
    name = ".".join(map(str, [*section, *details["loc"]]))
    if details["type"] == "missing":
        return f"no {name}"
    return f"{name} {one_line(repr(details['input']), 60)} ({details['msg']})"


def is_complete(path: Path, kind: type[Manifest]) -> bool:
    """Whether what this manifest is of is whole, False where there is none."""
    return path.is_file() and kind.read(path).is_complete


def check_inputs(
    path: Path,
    recorded: dict[str, Any],
    wanted: dict[str, Any],
    ways_out: str,
    data: dict[str, Any] | None = None,
) -> None:
    """Refuse to reuse a result made from other inputs, showing the innermost entries that differ.

    Args:
        data: the `pool_record` of now, to say why the pool is another one.

    Raises: ValueError.
    """
    differing = difference_lines(recorded, wanted)
    if recorded.get("pool") != wanted.get("pool") and data is not None:
        differing.append(f"  the pool is another one: {why_another_pool(read_json(path).get('data'), data)}")
    if differing:
        raise ValueError(
            f"{path.parent} was made from other inputs:\n" + "\n".join(differing) + f"\n{ways_out}"
        )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """As `Provenance.git_commit`."""
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
