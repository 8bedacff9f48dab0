"""A subset as another stack reads it: res/<run_name>/subset/for_<stack>/."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from .checksums import checksums_of
from .files import folder_beside
from .manifests import Manifest, Provenance
from .paths import manifest_in

README = "README.md"


@dataclass(frozen=True, kw_only=True)
class ExportManifest(Manifest):
    """What the files for a stack were written from: the subset, the form of the rows, their settings."""

    KIND: ClassVar[str] = "export"
    AGAIN: ClassVar[str] = "write it again (select_s2l.py --write_for)"

    provenance: Provenance


def write_export(folder: Path, manifest: ExportManifest, write_files: Callable[[Path], None]) -> None:
    """Write the whole folder beside its place, then rename it, over what an earlier command wrote.

    The caller holds the lock of the subset that the folder lies in.
    """
    temporary = folder.with_name(f".{folder.name}.parts")
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed command
    with folder_beside(temporary, folder):
        write_files(temporary)
        checksums = checksums_of(temporary.iterdir())
        replace(manifest, checksums=checksums).write(manifest_in(temporary))
