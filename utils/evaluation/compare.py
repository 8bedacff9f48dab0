"""Several evaluated runs side by side: one column per arm, the seeds of one arm together.

Two runs are the same arm if their training and evaluation had the same inputs apart from the seeds and the rows that
follow from them.
"""

import json
import statistics
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from utils.artifacts.manifests import read_manifest
from utils.artifacts.paths import RunPaths
from utils.evaluation.questions import HELDOUT
from utils.evaluation.results import read_result

_WIDTH = 100
_LABEL_WIDTH, _CELL_WIDTH = 32, 17
_NOT_OF_THE_ARM = ("seed", "rows", "base_model", "save_steps")  # what runs of one arm may differ in
_MODEL_INPUTS = ("step", "checkpoint", "base_model")  # of an evaluation: what is measured, not how


@dataclass(frozen=True)
class EvaluatedRun:
    """Attributes:
    results: file name -> result as on disk.
    evaluation: inputs of the evaluation; training: inputs of the training, None for the base model.
    last_step: of the finished training, None if it is not finished or there was none.
    """

    name: str
    results: dict[str, dict[str, Any]]
    evaluation: dict[str, Any]
    training: dict[str, Any] | None
    last_step: int | None

    @property
    def step(self) -> int:
        return self.evaluation["step"]

    @property
    def num_examples(self) -> int:
        return self.training["num_rows"] if self.training else 0

    def value(self, *keys: str) -> float | None:
        """The entry under these keys of the results, None if it was not measured."""
        entry: Any = self.results
        for key in keys:
            entry = (entry or {}).get(key)
        return entry

    @property
    def measurement(self) -> dict[str, Any]:
        """How it was measured: the evaluation's inputs without the model's."""
        return {name: value for name, value in self.evaluation.items() if name not in (*_MODEL_INPUTS, "files")}

    @property
    def arm_key(self) -> str:
        training = self.training or {"untrained": self.evaluation["base_model"]}
        key = {name: value for name, value in training.items() if name not in _NOT_OF_THE_ARM}
        if key.get("subset"):
            key["subset"] = {name: value for name, value in key["subset"].items() if name != "seed"}
        return json.dumps([self.step, self.measurement, key], sort_keys=True)

    @property
    def seeds(self) -> str:
        if self.training is None:
            return "untrained"
        subset_seed = (self.training["subset"] or {}).get("seed", self.training["seed"])
        seed = f"seed {self.training['seed']}"
        return seed if subset_seed == self.training["seed"] else f"{seed}, subset seed {subset_seed}"


@dataclass(frozen=True)
class Arm:
    """The runs that differ in nothing but their seeds."""

    letter: str
    runs: list[EvaluatedRun]

    @property
    def method(self) -> str:
        training = self.runs[0].training
        if training is None:
            return "base model"
        return training["subset"]["method"] if training["subset"] else "whole pool"

    def describe(self) -> str:
        first = self.runs[0]
        step = f"step {first.step:,}"
        if first.training is not None and first.last_step != first.step:
            step += " of an unfinished training" if first.last_step is None else f" of {first.last_step:,}"
        runs = "; ".join(f"{run.name} ({run.seeds})" for run in self.runs)
        counts = f"{first.num_examples:,} examples, {step}; {len(self.runs)} {'run' if len(self.runs) == 1 else 'runs'}"
        text = f"{self.letter}  {self.method}: {counts}: {runs}"
        return textwrap.fill(text, _WIDTH, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False)

    def cell(self, *keys: str) -> str:
        """Mean and sample standard deviation over the runs of a value in their results; "-" unless all have it."""
        values = [value for run in self.runs if (value := run.value(*keys)) is not None]
        if len(values) < len(self.runs):
            return "-"
        mean = f"{statistics.mean(values):.4f}"
        return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.4f}"


def comparison(run_names: Sequence[str]) -> str:
    """The table of these runs and what it rests on, 100 columns wide.

    Raises:
        FileNotFoundError: a run without an evaluation, or without the record of its training.
        ValueError: fewer than two runs, a run given twice, an unfinished evaluation, or runs that were asked different
            questions under one name.
    """
    if len(run_names) < 2 or len(set(run_names)) < len(run_names):
        raise ValueError(f"--compare: found {' '.join(run_names)}, expected at least two runs and each of them once")
    runs = [_read_run(name) for name in run_names]
    _refuse_different_questions(runs)
    arms = _group(runs)
    remarks = [*_remarks(arms), "Cells: the run's value, or mean ± sample standard deviation over the runs of the arm."]
    return "\n".join(
        [
            *(arm.describe() for arm in arms),
            "",
            *(textwrap.fill(remark, _WIDTH, subsequent_indent="  ") for remark in remarks),
            *_tables(arms),
        ]
    )


def _read_run(name: str) -> EvaluatedRun:
    paths = RunPaths(name)
    how = f"`python evaluate.py --config_file <the YAML of {name}>`"
    if not (paths.evaluation / "manifest.json").is_file():
        raise FileNotFoundError(f"run {name!r} has no evaluation in {paths.evaluation}: make it with {how}")
    manifest = read_manifest(paths.evaluation / "manifest.json", "evaluation")
    if manifest["status"] != "complete":
        raise ValueError(f"the evaluation of run {name!r} is not finished: continue it with {how}")
    results = {file: read_result(paths.evaluation, file) for file in manifest["inputs"]["files"]}
    if manifest["inputs"]["step"] == 0:
        return EvaluatedRun(name, results, manifest["inputs"], None, None)
    if not paths.manifest.is_file():
        raise FileNotFoundError(
            f"run {name!r} has no {paths.manifest}, which says what it was trained on: compare runs of train.py"
        )
    training = read_manifest(paths.manifest, "training")
    return EvaluatedRun(name, results, manifest["inputs"], training["inputs"], training.get("steps"))


def _refuse_different_questions(runs: list[EvaluatedRun]) -> None:
    for file in _files(runs):
        asked: dict[str, list[str]] = {}
        for run in runs:
            if file in run.results:
                inputs = run.results[file]["inputs"]
                what = f"file {inputs['file'][:12]}, limit {inputs['limit']}"
                if file == HELDOUT:
                    what += f", texts {inputs['pool'][:12]}"
                asked.setdefault(what, []).append(run.name)
        if len(asked) > 1:
            found = "\n".join(f"  {', '.join(names)}: {what}" for what, names in asked.items())
            raise ValueError(
                f"{file}: these runs were asked different questions, expected the same of all:\n{found}\n"
                "Evaluate them again on one file (evaluate.py --overwrite), or compare those that agree"
            )


def _group(runs: list[EvaluatedRun]) -> list[Arm]:
    groups: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        group = groups.setdefault(run.arm_key, [])
        for other in group:
            if run.training is None or other.training is None or _drawn(run.training) == _drawn(other.training):
                raise ValueError(
                    f"{other.name} and {run.name} are the same arm with the same seed, which would count twice: name "
                    "one of them"
                )
        group.append(run)
    return [Arm(_letter(number), group) for number, group in enumerate(groups.values())]


def _drawn(training: dict[str, Any]) -> tuple[Any, ...]:
    """What chance decided in a run."""
    return training["seed"], training["rows"]


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"A{number}"


def _remarks(arms: list[Arm]) -> list[str]:
    """What a reader must know before the numbers."""
    runs = [run for arm in arms for run in arm.runs]
    trained = [arm for arm in arms if arm.runs[0].training is not None]
    remarks = []
    if len(trained) > 1:
        remarks.append(_equality(trained, "optimizer steps", lambda run: run.step))
        remarks.append(_equality(trained, "examples", lambda run: run.num_examples))
    training = [
        {name: value for name, value in run.training.items() if name not in (*_NOT_OF_THE_ARM, "subset", "num_rows")}
        for run in runs
        if run.training is not None
    ]
    if differing := _differing(training):
        remarks.append(f"Training differs in more than the data: {', '.join(differing)}.")
    if differing := _differing([run.measurement for run in runs]):
        remarks.append(f"Evaluation differs in: {', '.join(differing)}.")
    heldout_inputs = [run.results[HELDOUT]["inputs"] for run in runs if HELDOUT in run.results]
    unlike = [name for name in _differing(heldout_inputs) if name in ("tokenizer", "template", "max_length")]
    if unlike:
        remarks.append(
            f"The held-out losses of the arms do not compare: they were taken with another {', '.join(unlike)}."
        )
    single = [arm.letter for arm in trained if len(arm.runs) == 1]
    if single:
        remarks.append(
            f"{'Arm' if len(single) == 1 else 'Arms'} {', '.join(single)}: one run. Differences between single seeds "
            "say little; train more seeds before concluding anything."
        )
    return remarks


def _equality(arms: list[Arm], noun: str, value_of: Callable[[EvaluatedRun], int]) -> str:
    values = {arm.letter: value_of(arm.runs[0]) for arm in arms}
    if len(set(values.values())) == 1:
        return f"Equal {noun}: {next(iter(values.values())):,} in {', '.join(values)}."
    return f"Different {noun}: {', '.join(f'{letter} {value:,}' for letter, value in values.items())}."


def _differing(settings: list[dict[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for values in settings for name in values)
    return [name for name in names if any(values.get(name) != settings[0].get(name) for values in settings)]


def _tables(arms: list[Arm]) -> list[str]:
    """As many arms side by side as the width holds, the rest below."""
    at_once = (_WIDTH - _LABEL_WIDTH) // _CELL_WIDTH
    return [line for start in range(0, len(arms), at_once) for line in _table(arms, arms[start : start + at_once])]


def _table(all_arms: list[Arm], arms: list[Arm]) -> list[str]:
    runs = [run for arm in all_arms for run in arm.runs]
    lines = ["", _row("", [f"{arm.letter}: {arm.method}" for arm in arms])]
    lines.append(_row("runs", [str(len(arm.runs)) for arm in arms]))
    heldouts = [run.results[HELDOUT] for run in runs if HELDOUT in run.results]
    if heldouts:
        sources = sorted({source for heldout in heldouts for source in heldout["by_source"]})
        for title, measure in (("held-out loss", "loss"), ("held-out accuracy", "accuracy")):
            lines += ["", title]
            for source in sources:
                cells = [arm.cell(HELDOUT, "by_source", source, measure) for arm in arms]
                lines.append(_row(f"  {source or '(no source)'}", cells))
            average = [arm.cell(HELDOUT, f"{measure}_average") for arm in arms]
            lines.append(_row("  average over sources", average))
            lines.append(_row("  all rows", [arm.cell(HELDOUT, measure) for arm in arms]))
    benchmarks = [file for file in _files(runs) if file != HELDOUT]
    if benchmarks:
        lines += ["", "benchmark accuracy"]
        lines += [_row(f"  {name}", [arm.cell(name, "accuracy") for arm in arms]) for name in benchmarks]
    lines += ["", "share of responses cut off by the token limit"]
    lines += [_row(f"  {name}", [arm.cell(name, "cut_off_share") for arm in arms]) for name in _files(runs)]
    return lines


def _row(label: str, cells: list[str]) -> str:
    if len(label) >= _LABEL_WIDTH:
        label = f"  ...{label[-(_LABEL_WIDTH - 6) :]}"
    return (
        f"{label:<{_LABEL_WIDTH}}" + "".join(f"{cell[: _CELL_WIDTH - 1]:>{_CELL_WIDTH}}" for cell in cells)
    ).rstrip()


def _files(runs: list[EvaluatedRun]) -> list[str]:
    """Names of all files that some run was evaluated on, held-out first."""
    return list(dict.fromkeys(file for run in runs for file in run.results))
