"""Several evaluated runs side by side: one column per arm, the seeds of one arm together; which differences from the first
arm are more than chance; and what each arm cost.

Two runs are the same arm if their training and evaluation had the same inputs apart from the seeds and the rows that
follow from them.
"""

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from utils.artifacts.paths import run_named
from utils.evaluation.differences import difference_lines
from utils.evaluation.evaluated_runs import NOT_OF_THE_ARM, RULES, Arm, EvaluatedRun, group_into_arms, read_run
from utils.evaluation.ledger import ledger_rows
from utils.evaluation.questions import HELDOUT

_WIDTH = 100
_LABEL_WIDTH, _CELL_WIDTH = 32, 17
_HELDOUT_MEASURES = {
    "loss": "held-out loss",
    "accuracy": "held-out accuracy, paper",
    "accuracy_strict": "held-out accuracy, strict",
}
_AMOUNT_OF_TRAINING = ("max_steps", "num_train_epochs")  # differ between arms by design, and are stated
_ABOUT_LOSSES = ("tokenizer", "template", "max_length")  # inputs of a held-out result that another loss follows from

Row = tuple[str, tuple[str, ...]]  # a label, and the keys under which its value lies in a run's results


def comparison(run_names: Sequence[str], allow_differences: bool = False) -> str:
    """The table of these runs, their differences, their costs and what it all rests on, 100 columns wide.

    Args:
        run_names: names, or the runs' folders.
        allow_differences: compare arms that differ in more than the data, and say in what.

    Raises:
        FileNotFoundError: a run without an evaluation, or without the record of its training.
        ValueError: fewer than two runs, a run given twice, an unfinished evaluation, runs that were asked different
            questions under one name, or arms that differ in more than the data and the amount of training.
    """
    run_names = [run_named(name) for name in run_names]
    if len(run_names) < 2 or len(set(run_names)) < len(run_names):
        raise ValueError(f"--compare: found {' '.join(run_names)}, expected at least two runs and each of them once")
    runs = [read_run(name) for name in run_names]
    _refuse_different_questions(runs)
    arms = group_into_arms(runs)
    unlike = _unlike(arms)
    if unlike and not allow_differences:
        raise ValueError(
            "these runs differ in more than the data they were trained on and how long, expected the same of all:\n"
            + "\n".join(f"  {line}" for line in unlike)
            + "\nCompare runs that agree, or add --allow_differences to see the table with these differences named"
        )
    remarks = [*(f"Not alike: {line}" for line in unlike), *_remarks(arms)]
    remarks.append("Cells: the run's value, or mean ± sample standard deviation over the runs of the arm.")
    differences, notes = difference_lines(arms, _files(runs)) if len(arms) > 1 else ([], [])
    cost_rows, cost_notes = ledger_rows(arms)
    tables = [line for start in range(0, len(arms), _AT_ONCE) for line in _table(arms, start)]
    costs = [line for start in range(0, len(arms), _AT_ONCE) for line in _cost_table(arms, cost_rows, start)]
    return "\n".join(
        [
            *(_wrapped(arm.describe(), indent="   ") for arm in arms),
            "",
            *map(_wrapped, remarks),
            *tables,
            *differences,
            *(["", *map(_wrapped, notes)] if notes else []),
            *costs,
            *(["", *map(_wrapped, cost_notes)] if cost_notes else []),
        ]
    )


_AT_ONCE = (_WIDTH - _LABEL_WIDTH) // _CELL_WIDTH  # as many arms side by side as the width holds, the rest below


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


def _unlike(arms: list[Arm]) -> list[str]:
    """What differs that a comparison of subsets takes to be the same, a line each."""
    runs = [run for arm in arms for run in arm.runs]
    lines = []
    if differing := _differing([_beside_the_data(run.training) for run in runs if run.training is not None]):
        lines.append(f"training: {', '.join(differing)}")
    if differing := _differing([run.measurement for run in runs]):
        lines.append(f"evaluation: {', '.join(differing)}")
    heldout = [run.results[HELDOUT]["inputs"] for run in runs if HELDOUT in run.results]
    if differing := [name for name in _differing(heldout) if name in _ABOUT_LOSSES]:
        lines.append(f"held-out losses, which do not compare: taken with another {', '.join(differing)}")
    for run in runs:
        if run.training is not None and run.last_step != run.step:
            last = "not finished" if run.last_step is None else f"finished at step {run.last_step:,}"
            lines.append(f"{run.name}: evaluated at step {run.step:,}, its training is {last}")
    return lines


def _beside_the_data(training: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a training that arms of one experiment share; of train_args, each by its own name."""
    not_shared = (*NOT_OF_THE_ARM, "subset", "num_rows", "train_args")
    shared = {name: value for name, value in training.items() if name not in not_shared}
    arguments = training.get("train_args", {})
    named = {f"train_args.{name}": value for name, value in arguments.items() if name not in _AMOUNT_OF_TRAINING}
    return {**shared, **named}


def _differing(settings: list[dict[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for values in settings for name in values)
    return [name for name in names if any(values.get(name) != settings[0].get(name) for values in settings)]


def _remarks(arms: list[Arm]) -> list[str]:
    """What a reader must know before the numbers."""
    trained = [arm for arm in arms if arm.runs[0].training is not None]
    remarks = []
    if len(trained) > 1:
        remarks.append(_equality(trained, "optimizer steps", lambda run: run.step))
        remarks.append(_equality(trained, "examples", lambda run: run.num_examples))
        remarks.append(_equality(trained, "tokens trained on", lambda run: run.num_tokens, tolerance=0.01))
    single = [arm.letter for arm in trained if len(arm.runs) == 1]
    if single:
        remarks.append(
            f"{'Arm' if len(single) == 1 else 'Arms'} {', '.join(single)}: one run. Differences between single seeds "
            "say little; train more seeds before concluding anything."
        )
    return remarks


def _equality(
    arms: list[Arm], noun: str, value_of: Callable[[EvaluatedRun], int | None], tolerance: float = 0.0
) -> str:
    """Args: tolerance: relative difference up to which values count as equal. An arm's first run speaks for it."""
    values = {arm.letter: value_of(arm.runs[0]) for arm in arms}
    known = [value for value in values.values() if value is not None]
    if len(known) < len(values):
        unknown = [letter for letter, value in values.items() if value is None]
        return f"Whether the {noun} are equal is not known: {', '.join(unknown)} did not record them."
    if max(known) - min(known) <= tolerance * max(known):
        about = "" if len(set(known)) == 1 else "about "
        return f"Equal {noun}: {about}{max(known):,} in {', '.join(values)}."
    return f"Different {noun}: {', '.join(f'{letter} {value:,}' for letter, value in values.items())}."


def _table(all_arms: list[Arm], start: int) -> list[str]:
    arms = all_arms[start : start + _AT_ONCE]
    runs = [run for arm in all_arms for run in arm.runs]
    lines = ["", _row("", [arm.title for arm in arms])]
    lines.append(_row("runs", [str(len(arm.runs)) for arm in arms]))
    heldouts = [run.results[HELDOUT] for run in runs if HELDOUT in run.results]
    if heldouts:
        sources = sorted({source for heldout in heldouts for source in heldout["by_source"]})
        for measure, title in _HELDOUT_MEASURES.items():
            rows: list[Row] = [(source or "(no source)", (HELDOUT, "by_source", source, measure)) for source in sources]
            rows.append(("average over sources", (HELDOUT, f"{measure}_average")))
            lines += _section(title, arms, [*rows, ("all rows", (HELDOUT, measure))])
    files = _files(runs)
    benchmarks = [file for file in files if file != HELDOUT]
    for rule, ending in RULES.items():
        lines += _section(
            f"benchmark accuracy, {rule}", arms, [(file, (file, f"accuracy{ending}")) for file in benchmarks]
        )
    metrics = dict.fromkeys((file, metric) for run in runs for file in files for metric in _metrics(run, file))
    lines += _section("metrics", arms, [(f"{file}, {name}", (file, "metrics", name)) for file, name in metrics])
    lines += _section(
        "share of responses cut off by the token limit", arms, [(file, (file, "cut_off_share")) for file in files]
    )
    return lines


def _section(title: str, arms: list[Arm], rows: list[Row]) -> list[str]:
    """Rows that no arm has are left out."""
    lines = [(label, [arm.cell(*keys) for arm in arms]) for label, keys in rows]
    known = [_row(f"  {label}", cells) for label, cells in lines if set(cells) != {"-"}]
    return ["", title, *known] if known else []


def _metrics(run: EvaluatedRun, file: str) -> list[str]:
    """Names of the metrics, each one number, that a result has instead of judged answers."""
    found = run.results.get(file, {}).get("metrics", {})
    return [name for name, value in found.items() if isinstance(value, float)]


def _cost_table(all_arms: list[Arm], rows: list[tuple[str, list[str]]], start: int) -> list[str]:
    if not rows:
        return []
    arms = all_arms[start : start + _AT_ONCE]
    lines = ["", _row("", [arm.title for arm in arms])]
    for label, cells in rows:
        lines += [_row(label, cells[start : start + _AT_ONCE])] if cells else ["", label]
    return lines


def _row(label: str, cells: list[str]) -> str:
    if len(label) >= _LABEL_WIDTH:
        label = f"  ...{label[-(_LABEL_WIDTH - 6) :]}"
    return (
        f"{label:<{_LABEL_WIDTH}}" + "".join(f"{cell[: _CELL_WIDTH - 1]:>{_CELL_WIDTH}}" for cell in cells)
    ).rstrip()


def _wrapped(text: str, indent: str = "  ") -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _files(runs: list[EvaluatedRun]) -> list[str]:
    """Names of all files that some run was evaluated on, held-out first."""
    return list(dict.fromkeys(file for run in runs for file in run.results))
