"""Wall time and peak memory of select_s2l.py on a pool of MathInstruct's size (262,039 rows, 14 sources, 12 checkpoints).

    python benchmarks/selection.py [--num_examples 262039] [--num_checkpoints 12] [--num_sources 14]

Makes a pool and loss trajectories in a temporary folder and runs the real command on them, once per preset.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_PROJECT_ROOT = Path(__file__).resolve().parents[1]
_NUM_TEXTS = 1000
_MEAN_CHARACTERS = 250  # of instruction and of response, each; MathInstruct's rows have some 560 bytes


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_examples", type=int, default=262_039)
    parser.add_argument("--num_checkpoints", type=int, default=12)
    parser.add_argument("--num_sources", type=int, default=14)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rng = np.random.default_rng(0)
        # The i-th largest source is proportional to 1/i, as uneven as MathInstruct's.
        weights = 1 / np.arange(1, arguments.num_sources + 1)
        source_N = rng.choice(arguments.num_sources, arguments.num_examples, p=weights / weights.sum())
        make_pool(folder / "pool.jsonl", source_N, rng)
        make_trajectories(folder / "losses.npy", source_N, arguments.num_checkpoints, rng)
        size = (folder / "pool.jsonl").stat().st_size
        print(
            f"{arguments.num_examples:,} rows ({size / 1e6:.0f} MB), {arguments.num_sources} sources, "
            f"{arguments.num_checkpoints} checkpoints, {os.cpu_count()} CPUs"
        )
        for preset in ("released", "paper"):
            seconds, peak_bytes, last_line = run_selection(folder, preset)
            print(f"preset {preset:<9} {seconds:6.2f} s, peak {peak_bytes / 1e6:.0f} MB   ({last_line})")
    return 0


def make_pool(path: Path, source_N: np.ndarray, rng: np.random.Generator) -> None:
    words = ["solve", "for", "the", "sum", "of", "\\frac{1}{2}", "x^2", "answer", "is", "42", "then", "\n", "therefore"]
    lengths = rng.gamma(2, _MEAN_CHARACTERS / 10, _NUM_TEXTS).astype(int) + 1  # in words of 5 characters
    texts = [" ".join(rng.choice(words, length)) for length in lengths]
    with open(path, "w", encoding="utf-8") as file:
        for row, source in enumerate(source_N.tolist()):
            instruction, response = texts[row % _NUM_TEXTS], texts[row * 7 // 3 % _NUM_TEXTS]
            example = {
                "source": f"data/source_{source}.json",
                "instruction": f"{row} {instruction}",
                "output": response,
            }
            file.write(json.dumps(example) + "\n")


def make_trajectories(path: Path, source_N: np.ndarray, num_checkpoints: int, rng: np.random.Generator) -> None:
    """Losses that fall at a pace of their own from a start that depends on the source."""
    starts = rng.gamma(4, 0.4, source_N.max() + 1)[source_N] * rng.lognormal(0, 0.4, len(source_N))
    paces = rng.gamma(2, 0.4, len(source_N))
    times = np.linspace(1 / num_checkpoints, 1, num_checkpoints)
    losses_NT = starts[:, None] * np.exp(-paces[:, None] * times)
    np.save(path, (losses_NT + rng.normal(0, 0.02, losses_NT.shape)).astype(np.float32))


def run_selection(folder: Path, preset: str) -> tuple[float, int, str]:
    """Returns: (seconds of wall time, peak resident bytes, the command's own account of its time)."""
    config = folder / "selection.yml"
    data = {"path": str(folder / "pool.jsonl")}
    subset = {"preset": preset, "trajectories_from": str(folder / "losses.npy"), "budget": 0.5}
    config.write_text(json.dumps({"run_name": f"benchmark-{preset}", "data": data, "subset": subset}))
    with open(folder / "output.txt", "w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, _PROJECT_ROOT / "select_s2l.py", "--config_file", config],
            stdout=output,
            env={**os.environ, "S2L_RES_DIR": str(folder / "res")},
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"select_s2l.py ended with exit code {process.returncode}")
        output.seek(0)
        return seconds, usage.ru_maxrss * 1024, output.read().splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
