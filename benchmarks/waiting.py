"""Trainings side by side on the cores of one machine, with threads that sleep while they wait or spin.

    python benchmarks/waiting.py [--steps 100] [--at_once 2]

The quickstart's target is trained alone, then several at once; the seconds are those of its record. Sleeping
is what our scripts set, spinning what OpenMP does by itself.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[1]
WAYS = {
    "sleeping": {},
    "spinning": {"KMP_BLOCKTIME": "default"},
}  # which our scripts take for a user's choice


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--at_once", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = prepare(Path(folder), arguments.steps)
        for way in WAYS:
            (alone,) = seconds_per_step(config, way, 1)
            beside = seconds_per_step(config, way, arguments.at_once)
            slower = ", ".join(f"{seconds / alone:.2f} x" for seconds in beside)
            print(
                f"{way}: alone {alone:.3f} s/step, {arguments.at_once} at once {slower} as long", flush=True
            )
    return 0


def prepare(folder: Path, steps: int) -> Path:
    """A pool and the YAML of a short training on it."""
    data = folder / "data"
    words = ["-m", "utils.data.synthetic", "--output_dir", str(data)]
    subprocess.run([sys.executable, *words], cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    values = yaml.safe_load((PROJECT / "configs/quickstart/target_random.yml").read_text())
    del values["subset"]
    values["model"]["tokenizer"] = str(data / "tokenizer")
    values["data"]["path"] = str(data / "pool.jsonl")
    values["checkpoints"] = {"count": 1}
    values["train_args"] |= {"max_steps": steps}
    config = folder / "target.yml"
    config.write_text(yaml.safe_dump(values))
    return config


def seconds_per_step(config: Path, way: str, count: int) -> list[float]:
    """Of each of so many runs at once."""
    folders = [config.parent / f"{way}-{count}-{number}" for number in range(count)]
    command = [sys.executable, str(PROJECT / "train.py"), "--config_file", str(config)]
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, **WAYS[way], "S2L_RES_DIR": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    for process in processes:
        _, said = process.communicate()
        if process.returncode:
            raise SystemExit(said)
    return [_pace(folder) for folder in folders]


def _pace(folder: Path) -> float:
    (manifest,) = folder.glob("*/manifest.json")
    values = json.loads(manifest.read_text())
    return values["provenance"]["seconds"] / values["steps"]


if __name__ == "__main__":
    sys.exit(main())
