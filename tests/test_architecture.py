"""The house stands as it should: arrows point one way, light rooms stay light, every folder says its use."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

STAGES = {"training", "scoring", "selection", "evaluation", "experiments"}
# A room imports from itself and from the layers before its own.
LAYERS = [
    {"terminal", "reading", "process", "sandbox"},
    {"config"},
    {"artifacts"},
    {"data", "modeling"},
    STAGES,
    {"reporting"},
    {"stage_checks", "stages"},
    {"pipeline"},
    {"doctor", "runs"},
]
LIGHT = [
    "utils/terminal.py",
    "utils/process",
    "utils/config",
    "utils/artifacts",
    "utils/selection",
    "utils/reporting",
    "select_s2l.py",
    "report.py",
]
HEAVY = {"torch", "transformers", "accelerate", "peft", "datasets"}
SCRIPTS = [
    "train",
    "get_trajectories",
    "run_distributed_trajectories",
    "select_s2l",
    "evaluate_run",
    "compare_runs",
    "run_experiment",
    "report",
]
SCRIPT_FILES = [f"{script}.py" for script in SCRIPTS]
OF_A_CONFIG = [script for script in SCRIPTS if script not in ("compare_runs", "report")]
VAGUE = {"misc", "helpers", "common", "consts"}


def imports(path: Path, with_types: bool = True) -> set[str]:
    """Dotted names of all modules that a file imports, inside functions too.

    Args:
        path: the file.
        with_types: also those under `if TYPE_CHECKING`, which are not loaded.
    """
    names = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not with_types:
        tree.body = [
            node
            for node in tree.body
            if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(PROJECT).parts[: -node.level] if node.level else ()
            modules = [node.module] if node.module else [alias.name for alias in node.names]
            names |= {".".join([*package, module]) for module in modules}
    return names


def room_of(path: Path) -> str:
    parts = path.relative_to(PROJECT / "utils").parts
    return parts[0].removesuffix(".py")


def layer_of(room: str) -> int:
    layers = [number for number, rooms in enumerate(LAYERS) if room in rooms]
    assert layers, (
        f"{room} is no room of the house: give it a layer in LAYERS, and a line in the README's tree"
    )
    return layers[0]


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
    # A text may name the type of the plan that it renders.
    for name in imports(path, with_types=room != "reporting"):
        top, _, rest = name.partition(".")
        assert top not in SCRIPTS, f"{path} imports a script"
        if top != "utils":
            continue
        other = rest.split(".")[0]
        assert layer_of(other) <= layer_of(room), f"{path}: {room} must not import {other}"
        assert other == room or room not in STAGES or other not in STAGES, f"{path}: stages meet only on disk"
        assert room != "reporting" or other == room or other not in {"data", "modeling", *STAGES}, (
            f"{path}: {other}"
        )


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_do_not_import_scripts_and_do_nothing_at_import(script):
    path = PROJECT / f"{script}.py"
    assert not imports(path) & set(SCRIPTS)
    tree = ast.parse(path.read_text())
    _, *rest = tree.body
    assert ast.get_docstring(tree) and f"python {script}.py" in (ast.get_docstring(tree) or "")
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.If)
    assert all(isinstance(node, allowed) for node in rest), (
        f"{path}: only imports, functions and the __main__ guard"
    )


NOT_LIGHT = PROJECT / "utils/process/memory.py"  # for those that hold tensors


@pytest.mark.parametrize("path", [path for path in python_files(*LIGHT) if path != NOT_LIGHT], ids=str)
def test_light_rooms_import_nothing_heavy(path):
    assert not {name.split(".")[0] for name in imports(path)} & HEAVY


def test_reading_rows_and_selecting_load_no_torch():
    """The syntax trees say nothing of what is imported indirectly."""
    code = (
        "import sys, select_s2l, utils.selection.run, utils.data.pool, utils.data.synthetic;"
        f"sys.exit(','.join(set(sys.modules) & {HEAVY!r}) or 0)"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert answer.returncode == 0, f"loaded: {answer.stderr}"


def test_imports_inside_the_package_are_relative():
    """So that the same code is the package `s2l` elsewhere."""

    def is_absolute(node: ast.AST) -> bool:
        if isinstance(node, ast.ImportFrom):
            return node.level == 0 and (node.module or "").split(".")[0] == "utils"
        return isinstance(node, ast.Import) and any(name.name.split(".")[0] == "utils" for name in node.names)

    for path in python_files("utils"):
        assert not any(is_absolute(node) for node in ast.walk(ast.parse(path.read_text()))), path


@pytest.mark.parametrize(
    "path", [path for stage in sorted(STAGES) for path in python_files(f"utils/{stage}")], ids=str
)
def test_stages_print_nothing(path):
    """They return what they found, and say how far they are through process.reporter."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    printed = [
        ast.unparse(call) for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"
    ]
    assert not [call for call in printed if "file=answers" not in call], (
        "a worker's answers go through a pipe"
    )


COMPUTING = [f"utils/{room}" for room in sorted({"data", "modeling", *STAGES})]
LAYOUT = {"table", "tables", "labelled", "wrapped"}  # of utils/terminal.py


@pytest.mark.parametrize("path", python_files(*COMPUTING), ids=str)
def test_what_computes_lays_out_no_text(path):
    """It returns data; utils/reporting/text puts that into words, lines and tables."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "terminal":
            assert not {alias.name for alias in node.names} & LAYOUT, f"{path} lays out text"
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    assert not {name for name in functions if name.startswith("describe")}, f"{path} words what it computes"


@pytest.mark.parametrize("path", python_files("utils"), ids=str)
def test_a_section_that_is_needed_is_asked_for_and_not_asserted(path):
    """`config.model_section` names the section that is missing."""
    asserts = [
        ast.unparse(node.test)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert)
    ]
    assert not [test for test in asserts if "config." in test and "None" in test]


@pytest.mark.parametrize("path", python_files("utils"), ids=str)
def test_each_file_and_folder_says_what_lives_there(path):
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert docstring.splitlines() and docstring.splitlines()[0]


def test_no_vague_names():
    files = python_files("utils", "tests", "benchmarks")
    assert not {path.stem for path in files} & VAGUE


MANIFESTS = {"manifest", "provenance", "recorded"}


@pytest.mark.parametrize(
    "path",
    [path for path in python_files("utils", *SCRIPT_FILES) if "artifacts" not in path.parts],
    ids=str,
)
def test_manifests_are_read_by_the_classes_of_artifacts(path):
    """By the field of a class, never by a string; and nothing else knows what the file is called."""
    tree = ast.parse(path.read_text())
    read_by_string = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
        and (node.value.attr if isinstance(node.value, ast.Attribute) else ast.unparse(node.value))
        in MANIFESTS
    ]
    assert not read_by_string
    assert "manifest.json" not in [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
