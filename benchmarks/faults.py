"""Disturb every stage at random moments: does the same command then end in the same results?

    python benchmarks/faults.py --kills 1000 [--seed 0] [--workers 2]
    python benchmarks/faults.py --hours 8 --seed 7
    python benchmarks/faults.py --kills 50 --stages training,scoring
    python benchmarks/faults.py --trial 137 --seed 7           this one once more

Most trials send SIGKILL, SIGTERM or Ctrl-C several times in a row, to the first process, its group, a worker
or all of them: at moments in time, at operations on files, or within a write (where the kernel ends a process
by SIGXFSZ). Others fill the disk, cut writes short, let the clock jump, or start the command twice. Then the
same command runs to its end. Every file must equal that of an undisturbed run, no process and no file may be
left over, and nobody may see a traceback of ours. Everything is tiny and made here.
"""

import argparse
import collections
import functools
import gc
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# A process that computes in one thread can be forked. Set before anything is imported that reads them.
os.environ.update(
    OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES=""
)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# What the commands import, once for all of them.
import faiss  # noqa: F401
import torch
import torch.distributed.run
from transformers.models.gpt_neox import modeling_gpt_neox  # noqa: F401

import utils.evaluation.run
import utils.experiments.compare
import utils.scoring.callback
import utils.selection.checks.explain
import utils.selection.run
import utils.training.run  # noqa: F401
from benchmarks.injection.commands import forked
from benchmarks.injection.reference import Reference, make_reference
from benchmarks.injection.stages import STAGES
from benchmarks.injection.trials import FAULTS, SIGNALS, Outcome, Trial, run_trial
from utils.terminal import counted, duration, table

_SECONDS_BETWEEN_LINES = 60.0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=1000, help="until so many signals met a living process")
    parser.add_argument("--hours", type=float, help="instead: as long as this")
    parser.add_argument("--stages", default="", help=f"some of {', '.join(STAGES)}")
    parser.add_argument("--faults", default="", help=f"some of {', '.join(FAULTS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="trials at a time, of one thread each")
    parser.add_argument("--trial", type=int, help="this trial alone")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    gc.freeze()  # else each fork copies all of this process's memory as it looks through it
    folder = Path(tempfile.mkdtemp(prefix="s2l-faults-"))
    print(f"in {folder}; process {os.getpid()}", flush=True)
    stages = arguments.stages.split(",") if arguments.stages else [*STAGES]
    faults = arguments.faults.split(",") if arguments.faults else [*FAULTS]
    begun = time.monotonic()
    reference = make_reference(stages, folder)
    lines = [f"{name} {seconds:.1f} s" for name, seconds in reference.seconds.items()]
    print(f"undisturbed: {', '.join(lines)}", flush=True)
    hours = arguments.hours
    goal = Goal(arguments.kills if hours is None else None, None if hours is None else begun + 3600 * hours)
    if arguments.trial is None:
        trials = (Trial.drawn(arguments.seed, number, stages, faults) for number in itertools.count())
    else:
        trials = iter([Trial.drawn(arguments.seed, arguments.trial, stages, faults)])
    results = run_trials(trials, goal, arguments.workers, reference)
    print("\n".join(summary(results, time.monotonic() - begun)))
    found = any(outcome.problems for _, outcome in results)
    if not found:
        shutil.rmtree(folder)
    return int(found)


@dataclass(frozen=True)
class Goal:
    """When to stop: after so many kills or at a time of the monotonic clock."""

    kills: int | None
    time: float | None

    def is_reached(self, kills: int) -> bool:
        if self.kills is not None:
            return kills >= self.kills
        return self.time is not None and time.monotonic() >= self.time


def run_trials(
    trials: Iterator[Trial], goal: Goal, workers: int, reference: Reference
) -> list[tuple[Trial, Outcome]]:
    """Run trials until the goal is reached, none is left or Ctrl-C. Says what each finds."""
    folder = reference.inputs.parent
    running: dict[int, Trial] = {}
    results: list[tuple[Trial, Outcome]] = []
    line_time = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            kills = sum(len(outcome.signals) for _, outcome in results)
            while len(running) < workers and not goal.is_reached(kills):
                trial = next(trials, None)
                if trial is None:
                    break
                place = folder / f"trial-{trial.number}"
                place.mkdir()
                work = functools.partial(_outcome, trial, reference, place)
                running[forked(work, place / "outcome.json")] = trial
            if not running:
                return results
            pid, _ = os.wait()
            trial = running.pop(pid)
            place = folder / f"trial-{trial.number}"
            outcome = _read(place / "outcome.json")
            results.append((trial, outcome))
            if outcome.undisturbed_seconds is not None:  # the machine may be busier than before, or less
                reference.seconds[trial.stage] += outcome.undisturbed_seconds
                reference.seconds[trial.stage] /= 2
            if outcome.problems:
                print(finding(trial, outcome, place), flush=True)
            else:
                shutil.rmtree(place)
            if time.monotonic() - line_time > _SECONDS_BETWEEN_LINES:
                line_time = time.monotonic()
                print(f"{counted(len(results), 'trial')}, {counted(kills, 'kill')}", flush=True)
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a summary of what there was is still to come
        for pid in running:
            os.kill(pid, signal.SIGINT)
        for pid in running:
            os.waitpid(pid, 0)
        return results


def _read(path: Path) -> Outcome:
    if not path.is_file():
        return Outcome(problems=["the trial itself broke, see above"])
    return Outcome(**json.loads(path.read_text(encoding="utf-8")))


def _outcome(trial: Trial, reference: Reference, place: Path) -> dict[str, Any]:
    return asdict(run_trial(trial, reference, place))


def finding(trial: Trial, outcome: Outcome, place: Path) -> str:
    """What a trial found, for people."""
    sent = [f"{name} to {target} at {moment}" for name, target, moment, _ in outcome.signals]
    heading = f"FOUND by trial {trial.number} (seed {trial.seed}): {trial.stage}, {trial.fault}"
    fresh = ", Python started anew" if trial.is_fresh else ""
    lines = [f"{heading}{fresh}; {'; '.join(sent) or 'no signals'}", *outcome.problems, f"kept in {place}"]
    return "\n  ".join(lines)


def summary(results: list[tuple[Trial, Outcome]], seconds: float) -> list[str]:
    """Kills by stage and signal, trials by fault, and what was found."""
    names = [number.name for number in (*SIGNALS, signal.SIGXFSZ)]
    rows = []
    for stage in STAGES:
        of_stage = [outcome for trial, outcome in results if trial.stage == stage]
        sent = collections.Counter(name for outcome in of_stage for name, *_ in outcome.signals)
        found = sum(bool(outcome.problems) for outcome in of_stage)
        if of_stage:
            cells = [len(of_stage), sent.total(), *(sent[name] for name in names), found]
            rows.append([stage, *map(str, cells)])
    rows.append(["all", *(str(sum(int(row[column]) for row in rows)) for column in range(1, len(rows[0])))])
    lines = table(["stage", "trials", "kills", *names, "found"], rows)
    rows = []
    for fault in FAULTS:
        of_fault = [outcome for trial, outcome in results if trial.fault == fault]
        skipped = [outcome.skipped for outcome in of_fault if outcome.skipped]
        found = sum(bool(outcome.problems) for outcome in of_fault)
        reason = f"{len(skipped)} ({skipped[0]})" if skipped else "0"
        rows.append([fault, str(len(of_fault)), str(found), reason])
    lines += ["", *table(["fault", "trials", "found", "skipped"], rows)]
    targets = collections.Counter(
        f"{name} to {target}" for _, outcome in results for name, target, *_ in outcome.signals
    )
    lines += ["", ", ".join(f"{what} {count}" for what, count in sorted(targets.items()))]
    fresh = sum(trial.is_fresh for trial, _ in results)
    lines.append(
        f"{counted(len(results), 'trial')} ({fresh} of a Python started anew) in {duration(seconds)}"
    )
    return lines


if __name__ == "__main__":
    sys.exit(main())
