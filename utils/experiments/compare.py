"""Compare evaluated runs: arms, every run's value of every measure, differences beyond chance, costs.

Differences are from the first arm.

Two runs are the same arm if their training and evaluation had the same inputs apart from the seeds
and the rows that follow from them.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..artifacts.comparisons import ComparedArm, ComparedRun, Comparison, Measure, comparison_name
from ..artifacts.evaluations import HELDOUT, RULES, evaluation_identity
from ..artifacts.paths import RunPaths, run_named
from ..artifacts.trainings import TrainingManifest
from ..process.errors import explained
from ..terminal import counted, one_line
from .aim import remarks_on_aim
from .costs import costs_of
from .differences import alike_in_all, arm_values_of, differences_of
from .labels import ExperimentLabel, label_of, told_apart, with_presets
from .runs import Arm, EvaluatedRun, group_into_arms, read_run, with_average_as_pool, without_seed
from .statistics import CONFIDENCE

# Entries of a held-out result, over all rows and by source.
_OF_A_SOURCE = ("loss", *(f"accuracy{ending}" for ending in RULES.values()))
# Arms differ in these by design, and the comparison says so.
_AMOUNT_OF_TRAINING = ("max_steps", "num_train_epochs")
# With another one of these inputs a held-out loss is another quantity.
_ABOUT_LOSSES = ("tokenizer", "template", "max_length")


def compare(
    run_names: Sequence[str],
    allow_differences: bool = False,
    name: str | None = None,
    labels: Mapping[str, ExperimentLabel] | None = None,
) -> Comparison:
    """Compare finished evaluations.

    Args:
        run_names: names, or the runs' folders. The other arms are compared with that of the first run.
        allow_differences: compare arms that differ in more than the data, and name these differences.
        name: of the comparison; default: it follows from the runs' names.
        labels: run -> what an experiment says of its method.

    Raises:
        FileNotFoundError: for a run without an evaluation, or without the record of its training.
        ValueError: for fewer than two runs, a run given twice, an unfinished evaluation, different questions
            under one name, or arms that differ in more than the data and the amount of training.
    """
    run_names = [run_named(name) for name in run_names]
    if len(run_names) < 2 or len(set(run_names)) < len(run_names):
        raise ValueError(f"found {' '.join(run_names)}, expected at least two runs and each of them once")
    runs = with_average_as_pool([_read(name) for name in run_names])
    _refuse_different_questions(runs)
    arms = group_into_arms(runs)
    unlike = _unlike(arms)
    if unlike and not allow_differences:
        raise ValueError(
            "these runs differ in more than the data and the amount of training, expected the same of all:\n"
            + "\n".join(f"  {line}" for line in unlike)
            + "\nCompare runs that agree, or add --allow_differences to name these beside the table"
        )
    costs, cost_remarks = costs_of(arms)
    measures = list(_measures(runs))
    return Comparison(
        name=name or comparison_name(run_names),
        arms=_compared_arms(arms, labels or {}),
        runs=[
            ComparedRun(
                run.name, arm.letter, *run.seeds, evaluation=evaluation_identity(run.evaluation, run.results)
            )
            for arm in arms
            for run in arm.runs
        ],
        measures=measures,
        differences=differences_of(arms, _question_sets(runs)),
        costs=costs,
        unlike=unlike,
        remarks=_remarks(arms),
        cost_remarks=cost_remarks,
        confidence=CONFIDENCE,
        arm_values=arm_values_of(arms, measures),
    )


def _read(name: str) -> EvaluatedRun:
    """As `read_run`. Whatever else a file that was edited by hand leads to is said of the run."""
    with explained(
        f"run {one_line(repr(name), 80)} cannot be read", f"put back what was edited in {RunPaths(name).root}"
    ):
        return read_run(name)


def _compared_arms(arms: Sequence[Arm], labels: Mapping[str, ExperimentLabel]) -> list[ComparedArm]:
    """The arms as data. The first run speaks for its arm, except for how much it was trained on."""
    firsts = [arm.runs[0] for arm in arms]
    told = told_apart([(run.method, run.settings) for run in firsts])
    settings = [with_presets(own, run.settings) for own, run in zip(told, firsts, strict=True)]
    words = [label_of(run.method, own) for run, own in zip(firsts, settings, strict=True)]
    named = [labels.get(run.name) for run in firsts]
    # Where one label is that of two arms, it tells nothing.
    named = [label if label is not None and named.count(label) == 1 else None for label in named]
    return [
        ComparedArm(
            letter=arm.letter,
            label=own_words if label is None else label.text,
            method=run.method,
            told_apart_by=own,
            runs=[run.name for run in arm.runs],
            step=run.step,
            last_step=run.last_step,
            num_examples=_mean_of(arm, lambda run: run.num_examples) or 0,
            num_tokens=_mean_of(arm, lambda run: run.num_tokens),
            description="" if label is None else label.description(run.method),
        )
        for arm, run, own, own_words, label in zip(arms, firsts, settings, words, named, strict=True)
    ]


def _measures(runs: Sequence[EvaluatedRun]) -> Iterator[Measure]:
    """Every measure that some run has a value of."""
    for question_set in _question_sets(runs):
        results = [run.results[question_set] for run in runs if question_set in run.results]
        sources = sorted({source for result in results for source in result.by_source})
        keys = [
            *(("by_source", source, name) for source in sources for name in _OF_A_SOURCE),
            *((f"{name}_average",) for name in _OF_A_SOURCE),
            ("loss_as_pool",),
            *((name,) for name in (*_OF_A_SOURCE, "cut_off_share")),
            *dict.fromkeys(("metrics", name) for result in results for name in result.metrics),
        ]
        for path in keys:
            values = {run.name: run.value(question_set, *path) for run in runs}
            known = {run: float(value) for run, value in values.items() if isinstance(value, (int, float))}
            if known:
                yield Measure(
                    question_set=question_set,
                    source=path[1] if path[0] == "by_source" else None,
                    name=path[-1],
                    is_metric=path[0] == "metrics",
                    values=known,
                )


def _refuse_different_questions(runs: Sequence[EvaluatedRun]) -> None:
    for question_set in _question_sets(runs):
        runs_by_questions: dict[str, list[str]] = {}
        for run in runs:
            if question_set in run.results:
                result = run.results[question_set]
                # Without the limit: another one may leave the same questions.
                what = f"file {result.file[:12]}, {counted(result.num_questions, 'question')}"
                if result.pool is not None:
                    what += f", texts {result.pool[:12]}"
                runs_by_questions.setdefault(what, []).append(run.name)
        if len(runs_by_questions) > 1:
            found = "\n".join(f"  {', '.join(names)}: {what}" for what, names in runs_by_questions.items())
            raise ValueError(
                f"{question_set}: these runs were asked different questions, expected the same of all:\n"
                f"{found}\n"
                "Evaluate them again on one file (--overwrite), or compare those that agree"
            )


def _unlike(arms: list[Arm]) -> list[str]:
    """The settings that should be the same in a comparison of subsets and are not, a line each."""
    runs = [run for arm in arms for run in arm.runs]
    lines = []
    if differing := _differing([_beside_the_data(run.training) for run in runs if run.training]):
        lines.append(f"training: {', '.join(differing)}")
    if differing := _differing([run.measurement for run in runs]):
        lines.append(f"evaluation: {', '.join(differing)}")
    heldout = [run.results[HELDOUT].inputs for run in runs if HELDOUT in run.results]
    if differing := [name for name in _differing(heldout) if name in _ABOUT_LOSSES]:
        lines.append(f"held-out losses, which do not compare: taken with another {', '.join(differing)}")
    for run in runs:
        if run.training is not None and run.last_step != run.step:
            last = "not finished" if run.last_step is None else f"finished at step {run.last_step:,}"
            lines.append(f"{run.name}: evaluated at step {run.step:,}, its training is {last}")
    return lines


def _beside_the_data(training: TrainingManifest) -> dict[str, Any]:
    """The inputs of a training that arms of one experiment share, with each of train_args by its own name."""
    of_arm = without_seed(training.inputs)
    shared = {name: of_arm[name] for name in of_arm.keys() - {"subset", "num_rows", "train_args"}}
    arguments = {
        f"train_args.{name}": value
        for name, value in training.train_args.items()
        if name not in _AMOUNT_OF_TRAINING
    }
    return {**shared, **arguments}


def _differing(settings: list[dict[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for values in settings for name in values)
    return [name for name in names if any(values.get(name) != settings[0].get(name) for values in settings)]


def _remarks(arms: list[Arm]) -> list[str]:
    """Sentences that a reader must know before the numbers."""
    trained = [arm for arm in arms if arm.runs[0].training is not None]
    remarks = []
    if len(trained) > 1:
        remarks.append(_equality(trained, "optimizer steps", lambda run: run.step))
        remarks.append(_equality(trained, "examples", lambda run: run.num_examples))
        remarks.append(_equality(trained, "tokens trained on", lambda run: run.num_tokens, tolerance=0.01))
    for arm in arms:
        for question_set in _question_sets([run for other in arms for run in other.runs]):
            without = [run.name for run in arm.runs if question_set not in run.results]
            if without:
                which = "its runs" if len(without) == len(arm.runs) else ", ".join(without)
                remarks.append(
                    f"{question_set} was not measured in {which}: arm {arm.letter} has no value there."
                )
    remarks += _single_choices(arms)
    remarks += _alike(arms)
    remarks += remarks_on_aim([run for arm in arms for run in arm.runs])
    remarks += _unknown_proxies(arms)
    single = [arm.letter for arm in trained if len(arm.runs) == 1]
    if single:
        remarks.append(
            f"{'Arm' if len(single) == 1 else 'Arms'} {', '.join(single)}: one run. "
            "Differences between single seeds say little; train more seeds before concluding anything."
        )
    return remarks


def _single_choices(arms: list[Arm]) -> list[str]:
    """The arms whose subset is the same rows in every seed."""
    single = [
        f"{arm.letter} ({arm.runs[0].method})"
        for arm in arms
        if len(arm.runs) > 1
        and all(run.training is not None and run.training.subset is not None for run in arm.runs)
        and len({run.training.rows for run in arm.runs if run.training is not None}) == 1
    ]
    if not single:
        return []
    return [
        f"One choice of rows for all seeds: {', '.join(single)}. "
        "An interval over runs says nothing there of what another choice would have been."
    ]


def _alike(arms: list[Arm]) -> Iterator[str]:
    """What is not tested, as it is the same in all runs."""
    runs = [run for arm in arms for run in arm.runs]
    by_value: dict[tuple[str, float], list[str]] = {}
    for (question_set, measure), value in alike_in_all(arms, _question_sets(runs)).items():
        by_value.setdefault((question_set, value), []).append(measure.replace("_", " "))
    for (question_set, value), measures in by_value.items():
        is_none_right = value == 0 and measures[0].startswith("accuracy")
        words = "no run got any answer right" if is_none_right else f"{value:.4f} in every run"
        yield f"{question_set} ({', '.join(measures)}): {words}, which tells no arm from another: not tested."


def _unknown_proxies(arms: list[Arm]) -> list[str]:
    """Which arms may be one, and what would have to be on disk to tell."""
    groups: dict[str, list[Arm]] = {}
    for arm in arms:
        groups.setdefault(arm.runs[0].key_but_for_the_proxy, []).append(arm)
    remarks = []
    for group in groups.values():
        why = dict.fromkeys(run.why_no_proxy for arm in group for run in arm.runs if run.why_no_proxy)
        if len(group) > 1 and why:
            remarks.append(
                f"Arms {', '.join(arm.letter for arm in group)} are one if the proxies that chose their rows "
                f"differ in their seeds alone. That is not known: {'; '.join(why)}."
            )
    return remarks


def _mean_of(arm: Arm, value_of: Callable[[EvaluatedRun], int | None]) -> int | None:
    """The mean over the runs of an arm; None where one did not record it."""
    values = [value for run in arm.runs if (value := value_of(run)) is not None]
    return round(statistics.mean(values)) if len(values) == len(arm.runs) else None


def _equality(
    arms: list[Arm], noun: str, value_of: Callable[[EvaluatedRun], int | None], tolerance: float = 0.0
) -> str:
    """A sentence on whether the arms have the same of something.

    Args:
        arms: at least two.
        noun: the thing, in the plural.
        value_of: its amount in a run.
        tolerance: relative difference of the arms' means up to which they count as equal.
    """
    values = {arm.letter: _mean_of(arm, value_of) for arm in arms}
    known = [value for value in values.values() if value is not None]
    if len(known) < len(values):
        unknown = [letter for letter, value in values.items() if value is None]
        return f"Whether the {noun} are equal is not known: {', '.join(unknown)} did not record them."
    if max(known) - min(known) <= tolerance * max(known):
        about = "" if len(set(known)) == 1 else "about "
        return f"Equal {noun}: {about}{max(known):,} in {', '.join(values)}."
    return f"Different {noun}: {', '.join(f'{letter} {value:,}' for letter, value in values.items())}."


def _question_sets(runs: Sequence[EvaluatedRun]) -> list[str]:
    """Names of all question sets that some run was evaluated on, held-out first."""
    return list(dict.fromkeys(question_set for run in runs for question_set in run.results))
