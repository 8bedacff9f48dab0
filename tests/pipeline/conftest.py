"""The folder in which the commands of bad inputs run: good files, and the results of good commands."""

import contextlib
from pathlib import Path

import pytest

from .bad_inputs.cases import Case
from .bad_inputs.good import COMMANDS, write_good_files
from .bad_inputs.running import run


@pytest.fixture(scope="session")
def good_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patched, contextlib.chdir(folder):
        patched.delenv("S2L_RES_DIR", raising=False)
        write_good_files(folder, tokenizer_dir)
        for command in COMMANDS:
            assert run(Case(command, "")) == 0, command
        # lm-eval looks through all its tasks once, which takes longer than a case may.
        run(Case("evaluate_run.py --config_file target.yml evaluation.tasks=[nothing]", ""))
    return folder


@pytest.fixture
def good(good_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test is that runs these commands."""
    monkeypatch.delenv("S2L_RES_DIR", raising=False)
    monkeypatch.chdir(good_folder)
    return good_folder
