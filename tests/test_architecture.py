"""The house stands as it should: arrows point one way, light rooms stay light, every folder says what lives there."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

STAGES = {"training", "scoring", "selection", "evaluation", "reporting"}
# A room imports from its own layer or one before it.
LAYERS = [{"terminal", "process", "sandbox"}, {"config", "artifacts"}, {"data", "modeling"}, STAGES]
LIGHT = ["utils/terminal.py", "utils/process", "utils/config", "utils/artifacts", "utils/selection", "select_s2l.py"]
HEAVY = {"torch", "transformers", "accelerate", "peft", "datasets"}
SCRIPTS = ["train", "get_trajectories", "run_distributed_trajectories", "select_s2l", "evaluate"]
VAGUE = {"misc", "helpers", "common", "consts"}


def imports(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(PROJECT).parts[: -node.level] if node.level else ()
            names.add(".".join([*package, *([node.module] if node.module else [])]))
    return names


def room_of(path: Path) -> str:
    parts = path.relative_to(PROJECT / "utils").parts
    return parts[0].removesuffix(".py")


def layer_of(room: str) -> int:
    return next(number for number, rooms in enumerate(LAYERS) if room in rooms)


def python_files(*places: str) -> list[Path]:
    files = []
    for place in places:
        path = PROJECT / place
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return files


@pytest.mark.parametrize("path", python_files("utils"), ids=str)
def test_arrows_point_one_way(path):
    if path == PROJECT / "utils/__init__.py":
        return
    room = room_of(path)
    for name in imports(path):
        top, _, rest = name.partition(".")
        assert top not in SCRIPTS, f"{path} imports a script"
        if top != "utils":
            continue
        other = rest.split(".")[0]
        assert layer_of(other) <= layer_of(room), f"{path}: {room} must not import {other}"
        assert other == room or room not in STAGES or other not in STAGES, f"{path}: stages meet only on disk"


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_do_not_import_scripts_and_do_nothing_at_import(script):
    path = PROJECT / f"{script}.py"
    assert not imports(path) & set(SCRIPTS)
    tree = ast.parse(path.read_text())
    _, *rest = tree.body
    assert ast.get_docstring(tree) and f"python {script}.py" in (ast.get_docstring(tree) or "")
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.If)
    assert all(isinstance(node, allowed) for node in rest), f"{path}: only imports, functions and the __main__ guard"


@pytest.mark.parametrize("path", python_files(*LIGHT), ids=str)
def test_light_rooms_import_nothing_heavy(path):
    assert not {name.split(".")[0] for name in imports(path)} & HEAVY


def test_reading_rows_and_selecting_load_no_torch():
    """The syntax trees say nothing of what is imported indirectly."""
    code = (
        "import sys, select_s2l, utils.selection.stage, utils.data.pool, utils.data.synthetic;"
        f"sys.exit(','.join(set(sys.modules) & {HEAVY!r}) or 0)"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert answer.returncode == 0, f"loaded: {answer.stderr}"


@pytest.mark.parametrize("folder", sorted({path.parent for path in python_files("utils")}), ids=str)
def test_each_folder_says_what_lives_there(folder):
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    assert docstring
    named = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    if folder != PROJECT / "utils":
        assert all(name in docstring for name in named), f"{folder}: {named} are not all in its docstring"


def test_no_vague_names():
    files = python_files("utils", "tests", "benchmarks")
    assert not {path.stem for path in files} & VAGUE
