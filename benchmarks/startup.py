"""How long each script takes before it has something to say: --help, mistakes, dry runs, work that is done.

    python benchmarks/startup.py [--repeats 3] [--beside ANOTHER_CHECKOUT]

Processor seconds (of all processes, user and system) and wall seconds, medians. Before, it makes the
quickstart's experiment with a few steps a run, in a temporary folder or in --folder, where a later call finds
it. With --beside each command runs by turns here and in the other checkout, on the same runs. Byte code is
cached, and a first run of each command is not counted.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

_PROJECT_ROOT = Path(__file__).resolve().parents[1]
_QUICKSTART = _PROJECT_ROOT / "configs/quickstart"
_OF_A_CONFIG = (
    "train", "run_distributed_trajectories", "get_trajectories", "select_s2l", "evaluate_run",
    "run_experiment",
)  # fmt: skip
_OWN_WORDS = {"get_trajectories": ["--ckpt", "0"]}
# What each script looks for first of what a YAML names.
_NOT_THERE = {
    "select_s2l": "subset.trajectories_from=nowhere.npy",
    "evaluate_run": "evaluation.heldout=nowhere.jsonl",
    "run_experiment": "proxy=nowhere.yml",
}


@dataclass(frozen=True)
class Case:
    """A command line.

    Attributes:
        script: of the project.
        name: of what it is asked.
        words: after the script.
        parts: of the work, by which its time is divided.
        code: its exit code.
    """

    script: str
    name: str
    words: Sequence[str]
    parts: int = 1
    code: int = 0


@dataclass(frozen=True)
class Seconds:
    """Of a command.

    Attributes:
        processor: user and system, of all its processes.
        wall: from its start to its end.
    """

    processor: float
    wall: float


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--beside", type=Path, help="another checkout of the project")
    parser.add_argument("--folder", type=Path, help="where runs are made, or are from before")
    parser.add_argument("--only", help="cases whose script or name contains this")
    arguments = parser.parse_args(argv)
    checkouts = [_PROJECT_ROOT, *([arguments.beside] if arguments.beside else [])]
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(exist_ok=True)
        cases = [case for case in cases_in(folder) if not arguments.only or arguments.only in str(case)]
        make_experiment(folder)
        print(f"| | {' | '.join(str(checkout) for checkout in checkouts)} |\n|---|{'---|' * len(checkouts)}")
        for case in cases:
            seconds: dict[Path, list[Seconds]] = {checkout: [] for checkout in checkouts}
            # That of many parts takes minutes, and its parts have warmed everything.
            for number in range(arguments.repeats + 1) if case.parts == 1 else (1,):
                for checkout in checkouts:
                    one = run(case, checkout, folder)
                    if number > 0:
                        seconds[checkout].append(one)
            cells = [cell(seconds[checkout]) for checkout in checkouts]
            print(f"| `{case.script}.py`, {case.name} | {' | '.join(cells)} |", flush=True)
    return 0


def cases_in(folder: Path) -> list[Case]:
    """Every command that is timed, on what `make_experiment` leaves in this folder."""
    configs = {script: str(folder / "proxy.yml") for script in _OF_A_CONFIG}
    configs |= {"select_s2l": str(folder / "target.yml"), "evaluate_run": str(folder / "target.yml")}
    configs["run_experiment"] = str(folder / "experiment.yml")
    given = {script: ["--config_file", configs[script], *_OWN_WORDS.get(script, [])] for script in configs}
    runs = [f"startup_{method}_1000_seed{seed}" for method in ("s2l", "random") for seed in (0, 1, 2)]
    fresh = [*given["train"], "run_name=fresh", "train_args.max_steps=500", "--dry_run"]
    named = ["run_name=startup_s2l_1000_seed0", "subset.trajectories_from=startup_proxy"]
    target = [*given["evaluate_run"], *named]
    return [
        *(Case(script, "--help", ["--help"]) for script in (*_OF_A_CONFIG, "compare_runs")),
        *(Case(script, "an unknown key", [*words, "seeed=1"], code=1) for script, words in given.items()),
        *(
            Case(
                script,
                "a path that is not there",
                [*words, _NOT_THERE.get(script, "data.path=nowhere.jsonl")],
                code=1,
            )
            for script, words in given.items()
        ),
        Case("compare_runs", "runs that are not there", ["one", "other"], code=1),
        Case("train", "--dry_run of the quickstart's proxy", fresh),
        Case("run_distributed_trajectories", "--dry_run", [*given["train"], "--dry_run"]),
        Case("select_s2l", "--dry_run", [*target, "--dry_run"]),
        Case("evaluate_run", "--dry_run", [*target, "--dry_run"]),
        Case("train", "trained already", given["train"]),
        Case("run_distributed_trajectories", "scored already", given["run_distributed_trajectories"]),
        Case("evaluate_run", "evaluated already", target),
        Case("compare_runs", "6 runs", runs),
        Case("run_experiment", "13 runs that are there, a run", given["run_experiment"], parts=13),
    ]


def make_experiment(folder: Path) -> None:
    """The quickstart's proxy, targets and experiment with a few steps a run, as YAMLs and as runs."""
    data = folder / "data"
    if not (data / "pool.jsonl").is_file():
        check([sys.executable, "-m", "utils.data.synthetic", "--output_dir", str(data)], folder)
    proxy = yaml.safe_load((_QUICKSTART / "proxy.yml").read_text())
    target = yaml.safe_load((_QUICKSTART / "target_s2l.yml").read_text())
    proxy["run_name"] = "startup_proxy"
    for config, steps in ((proxy, 8), (target, 4)):
        config["model"]["tokenizer"] = str(data / "tokenizer")
        config["data"]["path"] = str(data / "pool.jsonl")
        config["train_args"] |= {"max_steps": steps}
    target["evaluation"] = {"heldout": str(data / "heldout.jsonl"), "max_new_tokens": 4, "limit": 40}
    experiment = yaml.safe_load((_QUICKSTART / "experiment.yml").read_text())
    experiment |= {
        "name": "startup",
        "proxy": str(folder / "proxy.yml"),
        "target": str(folder / "target.yml"),
    }
    for name, values in (("proxy", proxy), ("target", target), ("experiment", experiment)):
        (folder / f"{name}.yml").write_text(yaml.safe_dump(values, sort_keys=False))
    check([sys.executable, "run_experiment.py", "--config_file", str(folder / "experiment.yml")], folder)


def check(command: list[str], folder: Path) -> None:
    """Raises: subprocess.CalledProcessError with what the command said."""
    answer = subprocess.run(
        command, cwd=_PROJECT_ROOT, env=environment(folder), capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{answer.stdout}{answer.stderr}")


def run(case: Case, checkout: Path, folder: Path) -> Seconds:
    """One run of a command with the scripts of a checkout."""
    command = [sys.executable, str(checkout.resolve() / f"{case.script}.py"), *case.words]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    answer = subprocess.run(
        command, cwd=_PROJECT_ROOT, env=environment(folder), capture_output=True, text=True, check=False
    )
    wall = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if answer.returncode != case.code:
        sys.exit(f"{' '.join(command)} gave {answer.returncode}:\n{answer.stdout}{answer.stderr}")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Seconds(processor / case.parts, wall / case.parts)


def environment(folder: Path) -> dict[str, str]:
    """Results go below this folder. Byte code is cached, whatever this process was told."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "S2L_RES_DIR": str(folder / "res")}


def cell(seconds: Sequence[Seconds]) -> str:
    processor = statistics.median(one.processor for one in seconds)
    wall = statistics.median(one.wall for one in seconds)
    return f"{processor:.2f} s ({wall:.2f} s)"


if __name__ == "__main__":
    sys.exit(main())
