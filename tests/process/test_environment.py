"""Outside the environment a script says in one line what to run, instead of a traceback."""

import ast
import os
import sys

import pytest

from tests.conftest import PROJECT, run_script
from tests.test_architecture import SCRIPTS
from utils.process import environment

READ_BEFORE_THE_CHECK = ["utils/__init__.py", "utils/process/__init__.py", "utils/process/environment.py"]
WAY_OUT = "run `make install && source .venv/bin/activate`"


def first_import_of_ours(tree: ast.Module) -> str:
    """The first module of ours that is imported when the file is, and nothing of others before it."""
    for node in tree.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names.append(
                f"utils.{node.module}.{node.names[0].name}" if node.level == 2 else node.module or ""
            )
        for name in names:
            if name.split(".")[0] not in sys.stdlib_module_names:
                return name
    return ""


@pytest.mark.parametrize("script", [*SCRIPTS, "utils/data/synthetic"])
def test_each_script_checks_before_it_imports_anything_else(script):
    source = (PROJECT / f"{script}.py").read_text()
    assert first_import_of_ours(ast.parse(source)) == "utils.process.environment"
    ast.parse(source, feature_version=(3, 7))


@pytest.mark.parametrize("path", READ_BEFORE_THE_CHECK)
def test_what_is_read_before_the_check_is_old_syntax(path):
    ast.parse((PROJECT / path).read_text(), feature_version=(3, 7))


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_the_packages_one_line_says_what_to_run(script):
    """-S and -I leave this Python without its site-packages."""
    program = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); import runpy; runpy.run_path('{script}.py')"
    answer = run_script("-I", "-S", "-c", program, check=False)
    assert answer.returncode == 1 and answer.stdout == ""
    assert (
        answer.stderr.startswith("error: found no package faiss, numpy, pydantic, yaml: ")
        and WAY_OUT in answer.stderr
    )
    assert answer.stderr.count("\n") == 1


def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(monkeypatch):
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    environment.let_waiting_threads_sleep()
    assert [os.environ.get(name) for name in names] == ["passive", "0", None]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")
    environment.let_waiting_threads_sleep()
    assert [os.environ.get(name) for name in names] == [None, "1000", None]


def test_a_package_that_is_missed_later_is_one_line_too(capsys):
    from utils.config.command_line import run_command

    def command() -> int:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    assert run_command(command) == 1
    assert capsys.readouterr().err.startswith("error: found no package torch: run `make install")


@pytest.mark.parametrize("script", SCRIPTS)
def test_under_an_old_python_one_line_says_what_is_expected(script):
    program = f"import sys; sys.version_info = (3, 9, 18); import {script}"
    answer = run_script("-c", program, check=False)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: found Python 3.9, expected 3.11 or newer: run `make install")
    assert answer.stderr.count("\n") == 1
