"""Artifacts made once for all tests of the page, without a model: pool, losses, subsets, a comparison."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import report
import select_s2l
from tests.conftest import pool_rows, run_here, write_jsonl
from tests.reporting.page import browser as browsers
from tests.reporting.page.artifacts import compared, curve

HOSTILE = '</script><img src=x onerror="window.hit=1"><svg onload=window.hit=1>{{7*7}} {% raw %} $x$ <b>&amp;'
DOTTED = "İSTANBUL"  # lower case takes more characters
OVERRIDE = "abc\u202egnp.exe\x00\x01 \x1b[31m"
RIGHT_TO_LEFT = (
    "\u05e9\u05dc\u05d5\u05dd " * 80
    + '\n{"price": 5, "\u05de\u05d7\u05d9\u05e8": "\u05e9\u05dc\u05d5\u05dd"}'
    + '\n{"\u05e1\u05db\u05d5\u05dd": 7}'
)
SOURCE = "<a href='javascript:window.hit=1'>$\\alpha$</a><br>\"'><img src=x onerror=window.hit=1>"


@dataclass(frozen=True)
class Site:
    """Where things are. Attributes: folder: with the YAMLs. res: results. pool: rows as written."""

    folder: Path
    res: Path
    pool: list[dict[str, Any]]

    def config(self, name: str) -> Path:
        return self.folder / f"{name}.yml"

    def page(self, name: str) -> Path:
        return self.res / name / "report.html"


def losses_of(num_rows: int, num_checkpoints: int, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    level_n = draw.uniform(0.5, 3.0, num_rows)[:, None]
    fall_n = draw.uniform(0.0, 0.8, num_rows)[:, None]
    place_T = np.arange(num_checkpoints) / max(1, num_checkpoints - 1)
    return (level_n * (1 - fall_n * place_T)).astype(np.float32)


def write_config(folder: Path, name: str, pool: Path, losses: Path, **subset: Any) -> Path:
    values = {
        "run_name": name,
        "model": {"name_or_path": "owner/model"},
        "data": {"path": str(pool)},
        "subset": {"trajectories_from": str(losses), **subset},
    }
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Runs `chosen` (s2l) and `control` (random) over a pool with hostile rows, compared, and a page."""
    folder = tmp_path_factory.mktemp(
        "page_in_a_folder_whose_name_is_longer_than_a_line_of_a_narrow_window_has_room_for"
    )
    rows = pool_rows(300)
    rows[7] |= {"instruction": HOSTILE, "output": HOSTILE}
    rows[8] |= {"instruction": OVERRIDE, "output": OVERRIDE}
    rows[9] |= {"instruction": DOTTED}
    rows[10] |= {"instruction": RIGHT_TO_LEFT}
    for row in range(20, 50):
        rows[row]["source"] = SOURCE
    rows[60]["output"] = rows[59]["output"]
    (folder / "questions.txt").write_text(rows[70]["instruction"] + "\n", encoding="utf-8")
    pool = write_jsonl(folder / "pool.jsonl", rows)
    losses_NT = losses_of(300, 5)
    losses_NT[[90, 91], 2] = np.nan
    tokens = np.full(300, 12, np.int32)
    np.savez(folder / "losses.npz", losses=losses_NT, steps=np.arange(1, 6) * 10, num_response_tokens=tokens)
    environment = pytest.MonkeyPatch()
    environment.setenv("S2L_RES_DIR", str(folder / "res"))
    site = Site(folder, folder / "res", rows)
    losses = folder / "losses.npz"
    extra = {"deduplicate": "exact", "decontaminate": [str(folder / "questions.txt")]}
    write_config(folder, "chosen", pool, losses, method="s2l", budget=80, num_clusters=4, **extra)
    write_config(folder, "control", pool, losses, method="random", budget=80)
    for name in ("chosen", "control"):
        assert run_here(select_s2l, "--config_file", site.config(name)) == 0
    assert run_here(select_s2l, "--config_file", site.config("chosen"), "--stability") == 0
    assert run_here(select_s2l, "--config_file", site.config("chosen"), "--inspect") == 0
    for name in ("chosen", "control"):
        curve(name)
    compared("chosen", "control")
    assert run_here(report, "--config_file", site.config("chosen")) == 0
    yield site
    environment.undo()


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of results."""
    monkeypatch.setenv("S2L_RES_DIR", str(tmp_path / "res"))
    return tmp_path / "res"


@pytest.fixture(scope="session")
def browser() -> Iterator[browsers.Browser]:
    if missing := browsers.missing():
        message = f"needs {missing} (Debian: apt-get install chromium chromium-driver)"
        if os.environ.get("S2L_TEST_BROWSER") == "required":
            pytest.fail(message)
        pytest.skip(message)
    with browsers.Browser() as browser:
        browser.look()
        yield browser


@pytest.fixture(scope="session")
def elsewhere(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as a colleague has it: alone in a folder."""
    return Path(shutil.copy(site.page("chosen"), tmp_path_factory.mktemp("colleague")))
