"""Wall time and peak memory of report.py, the size of its page, and how soon a browser has it ready.

    python benchmarks/page.py                                 262,039 rows, 12 checkpoints, 14 sources
    python benchmarks/page.py --num_examples 4000
    python benchmarks/page.py --num_examples 2e6
    python benchmarks/page.py --num_examples 1e5 --num_sources 5000

Makes a pool and losses in a temporary folder, chooses a tenth of the rows with select_s2l.py, and runs the
real command on it, twice: the second time finds the pool read. Peak memory is what the process holds itself
(anonymous), beside the pages of mapped files. The browser is chromium, where there is one; it opens the page
from disk.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

_PROJECT_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_PROJECT_ROOT))

_WORDS = ["a", "the", "of", "how", "many", "she", "buys", "apples", "train", "leaves", "station", "hours"]
_CHARACTERS = 400  # of a row, prompt and response together


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num_examples", type=lambda text: int(float(text)), default=262_039)
    parser.add_argument("--num_checkpoints", type=int, default=12)
    parser.add_argument("--num_sources", type=int, default=14)
    parser.add_argument("--folder", type=Path, help="where the files go, default: a temporary folder")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        os.environ["S2L_RES_DIR"] = str(folder / "res")
        config = _make(folder, arguments.num_examples, arguments.num_checkpoints, arguments.num_sources)
        _run("select_s2l.py", config)
        for title in ("the first time", "the pool read before"):
            seconds, memory = _run("report.py", config)
            print(f"report.py, {title}: {seconds:.1f} s, {memory / 2**20:,.0f} MiB", flush=True)
        page = folder / "res/target/report.html"
        print(f"page: {page.stat().st_size / 1e6:.1f} MB", flush=True)
        if shutil.which("chromium") and shutil.which("chromedriver"):
            _open(page)
    return 0


def _make(folder: Path, num_rows: int, num_checkpoints: int, num_sources: int) -> Path:
    """A pool of made-up texts, losses that fall, and the YAML of a run. Returns: the YAML."""
    draw = random.Random(0)
    numbers = np.random.default_rng(0)
    source_n = numbers.zipf(1.3, num_rows) % num_sources
    with open(folder / "pool.jsonl", "w", encoding="utf-8") as file:
        for row in range(num_rows):
            words = draw.choices(_WORDS, k=_CHARACTERS // 5)
            half = len(words) // 2
            instruction = " ".join([str(draw.randrange(10**6)), *words[:half]])
            response = " ".join([*words[half:], str(draw.randrange(10**6))])
            values = {"instruction": instruction, "output": response, "source": f"source {source_n[row]}"}
            file.write(json.dumps(values) + "\n")
    level_n = numbers.normal(1.5, 0.5, num_rows).clip(0.1)
    fall_n = numbers.uniform(0.0, 0.9, num_rows)
    place_T = np.arange(num_checkpoints) / max(1, num_checkpoints - 1)
    losses_nT = level_n[:, None] * (1 - fall_n[:, None] * place_T**0.5)
    losses_nT += numbers.normal(0, 0.05, losses_nT.shape)
    tokens_n = numbers.integers(5, 400, num_rows).astype(np.int32)
    np.savez(
        folder / "losses.npz",
        losses=losses_nT.clip(0.01).astype(np.float32),
        steps=100 * (np.arange(num_checkpoints) + 1),
        num_response_tokens=tokens_n,
    )
    values = {
        "run_name": "target",
        "data": {"path": str(folder / "pool.jsonl")},
        "subset": {"trajectories_from": str(folder / "losses.npz"), "budget": 0.1},
    }
    config = folder / "target.yml"
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    return config


def _run(script: str, config: Path) -> tuple[float, int]:
    """Seconds and peak bytes of anonymous memory."""
    started = time.monotonic()
    command = [sys.executable, str(_PROJECT_ROOT / script), "--config_file", str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, _anonymous_bytes(process.pid))
            time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{script} failed")
    return time.monotonic() - started, peak


def _anonymous_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def _open(page: Path) -> None:
    """Say how soon chromium has the page ready, and how long a search over all rows takes."""
    from tests.reporting.page.browser import Browser

    with Browser() as browser:
        browser.open(page)
        print(f"chromium: ready in {browser.measured('readyMs'):,.0f} ms", end="")
        for word in ("station", "12345"):
            browser.go(f"q={word}")
            print(f", a search for {word} in {browser.measured('searchMs'):,.0f} ms", end="")
        print()


if __name__ == "__main__":
    sys.exit(main())
