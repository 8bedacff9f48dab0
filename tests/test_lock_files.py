"""The two lock files differ in their faiss alone, and `make install` leaves one module of that name."""

import os
import re
import subprocess

import pytest

from tests.conftest import PROJECT

MAKEFILE = PROJECT / "Makefile"


def pins(name: str) -> dict[str, str]:
    lines = (PROJECT / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_the_lock_files_differ_in_their_faiss_alone():
    cpu = pins("requirements.lock")
    gpu = pins("requirements-gpu.lock")
    assert "faiss-gpu" not in cpu and "faiss-cpu" not in gpu
    both = [cpu.pop("faiss-cpu"), gpu.pop("faiss-gpu")]
    assert cpu == gpu
    assert all(re.match(r"1\.15\.", version) for version in both)


def commands(target: str, venv: os.PathLike, *words: str) -> list[str]:
    """What make would run, in an environment that is said to be installed from some lock file."""
    command = ["make", "--dry-run", "--file", str(MAKEFILE), f"VENV={venv}", *words, target]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # make test
    answer = subprocess.run(command, cwd=PROJECT, env=ours, capture_output=True, text=True, check=True)
    return answer.stdout.splitlines()


def installed_from(lines: list[str]) -> str | None:
    """The lock file that is installed from. The other faiss is gone before."""
    places = [number for number, line in enumerate(lines) if "pip install" in line]
    if not places:
        return None
    (place,) = places
    removed = next(number for number, line in enumerate(lines) if "pip uninstall" in line)
    assert removed < place and {"faiss-cpu", "faiss-gpu"} <= set(lines[removed].split())
    return lines[place].split()[-1]


@pytest.mark.parametrize(
    ("stamp", "words", "lock"),
    [
        (None, (), "requirements.lock"),
        (None, ("GPU=1",), "requirements-gpu.lock"),
        (".installed", (), None),
        (".installed", ("GPU=1",), "requirements-gpu.lock"),
        (".installed-gpu", (), None),
        (".installed-gpu", ("GPU=1",), None),
        (".installed-gpu", ("GPU=0",), "requirements.lock"),
    ],
)
def test_make_install_keeps_to_the_lock_file_it_was_asked_for(tmp_path, stamp, words, lock):
    venv = tmp_path / "venv"
    venv.mkdir()
    if stamp is not None:
        (venv / stamp).touch()
    assert installed_from(commands("install", venv, *words)) == lock
