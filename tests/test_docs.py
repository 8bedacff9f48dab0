"""The documents are right: pages made from the code are current, links lead somewhere, commands exist."""

import functools
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import make_docs
from tests.conftest import PROJECT
from utils.config.experiment import ExperimentConfig
from utils.config.problems import known_keys
from utils.config.schema import RunConfig

PAGES = [PROJECT / "README.md", PROJECT / "res/README.md", *sorted((PROJECT / "docs").glob("*.md"))]
BASE = {"run_name": "run", "model": {"name_or_path": "model"}, "data": {"path": "pool.jsonl"}}


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, in lists too."""
    entries = re.findall(
        rf"^( *)```{language}\n(.*?)^\1```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [
        "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))
        for indent, text in entries
    ]


def test_config_page_is_made_from_the_schema():
    assert (PROJECT / "docs/config.md").read_text(encoding="utf-8") == make_docs.config_page(), (
        "run `make docs`"
    )


def test_tree_of_the_readme_is_made_from_the_docstrings():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert text == make_docs.readme_with_tree(text), "run `make docs`"


def test_every_module_says_what_lives_there():
    lines = make_docs.tree().splitlines()
    assert [
        line for line in lines if len(line.split(maxsplit=1)) < 2 or len(line) > make_docs.TREE_WIDTH
    ] == []


@pytest.mark.parametrize("key", make_docs.EXAMPLES)
def test_example_sets_its_key_and_loads(key):
    values: dict[str, Any] = yaml.safe_load(make_docs.EXAMPLES[key])
    assert key in make_docs.dotted_keys(values)
    assert key not in make_docs.used_keys(), "a YAML under configs/ uses it: remove the example"
    RunConfig.model_validate({**BASE, **values})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_yaml_of_a_page_loads(page):
    for block in blocks(page, "yaml"):
        RunConfig.model_validate({**BASE, **yaml.safe_load(block)})


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


@functools.cache
def help_of(script: str) -> str:
    done = subprocess.run(
        [sys.executable, script, "--help"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return done.stdout


def commands(page: Path) -> list[list[str]]:
    """Words of each command in the bash blocks of a page."""
    text = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    word_lists = []
    for line in re.split(r"\n|&&|; ", text):
        words = shlex.split(line, comments=True)
        if words and words != ["do"]:
            word_lists.append(words)
    return word_lists


def check_script(script: str, words: list[str]) -> None:
    """Raises: AssertionError for a script, flag, YAML or setting that does not exist."""
    assert (PROJECT / script).is_file(), script
    known = known_keys(ExperimentConfig if script == "run_experiment.py" else RunConfig)
    for word in words:
        if word.startswith("--"):
            assert re.search(rf"^  {re.escape(word)}\b", help_of(script), re.MULTILINE), (
                f"{script} has no {word}"
            )
        elif word.startswith("configs/"):
            assert (PROJECT / word).is_file(), word
        elif "=" in word:
            assert word.partition("=")[0] in known, f"{script} has no setting {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_commands_name_what_exists(page):
    targets = re.findall(r"^([\w-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in commands(page):
        if words[0] == "make":
            assert words[1] in targets, words
        script = next((word for word in words if word.endswith(".py")), None)
        if script is not None:
            check_script(script.removeprefix("$S2L/"), words[words.index(script) + 1 :])
        elif words[:2] == ["python", "-m"]:
            module = importlib.util.find_spec(words[2])
            assert module is not None, words
            own = (
                Path(module.origin or "").read_text(encoding="utf-8")
                if words[2].startswith("utils.")
                else None
            )
            assert own is None or all(f'"{word}"' in own for word in words if word.startswith("--")), words


def test_the_quickstart_ends_with_what_to_run_next():
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    _, _, rest = makefile.partition("\nquickstart: install\n")
    *_, last = rest.partition("\n\n")[0].splitlines()
    assert last.startswith("\t@echo ") and "make quickstart-experiment" in last
