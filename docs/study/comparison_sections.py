"""The tables of the study's comparisons in Markdown."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from docs.study.differences import PairedDifference, cell, how_many_are_shown, paired_difference, shown_of_all
from docs.study.figure import has_chart
from docs.study.markdown import mean_and_deviation, plain, short_commit, table, versions_in_words
from docs.study.results import CONTROLS, Result
from utils.artifacts.comparisons import Cost
from utils.experiments.statistics import CONFIDENCE

DEFAULT_PRESET = "s2l_released"
OTHER_PRESETS = ("s2l_paper", "s2l_fall")
NO_SOURCES = ("s2l_paper",)  # presets that choose over all sources at once, as `random` does
_OF_OTHERS = ("alike", "as in the pool")


def comparison_section(result: Result) -> str:
    """The tables of one comparison in Markdown."""
    parts = [_what_was_run(result), _differences(result)]
    if has_chart(result):
        parts.append(f"![differences from random_per_source](results/{result.name}.svg)")
    if result.arms:
        parts.append(_values(result))
    parts += [_by_source(result), _planted(result), _costs(result)]
    return "\n\n".join(part for part in parts if part)


def _what_was_run(result: Result) -> str:
    recorded = result.kept.recorded.values()
    devices = ", ".join(sorted({run.device for run in recorded})) or "not recorded"
    commits = ", ".join(sorted({short_commit(run.git_commit) for run in recorded})) or "not recorded"
    versions = (
        "; or ".join(sorted({versions_in_words(run.python, run.packages) for run in recorded}))
        or "versions not recorded"
    )
    seeds = ", ".join(map(str, result.experiment.seeds))
    lines = [
        f"`python run_experiment.py --config_file {result.config_file}`",
        plain(f"Seeds {seeds}. {devices}; {versions}; commit {commits}."),
    ]
    if result.unfinished:
        whole = len(result.experiment.seeds)
        unfinished = ", ".join(f"{label} ({count} of {whole})" for label, count in result.unfinished.items())
        lines.append(f"Not finished, and in no table: {unfinished}.")
    if result.of_no_arm:
        counts = Counter(run.rsplit("_seed", 1)[0] for run in result.of_no_arm)
        runs = ", ".join(f"{name} ({count})" for name, count in counts.items())
        lines.append(f"Measured, and in no table, since the experiment names no such arm: {plain(runs)}.")
    return "\n\n".join(line for line in lines if line)


def _differences(result: Result) -> str:
    differences = result.differences
    if not differences:
        return ""
    averages = result.averages
    columns = [(measure, control) for measure in averages for control in CONTROLS if control in result.arms]
    heading = ["minus", *(f"{control}, {averages[measure]}" for measure, control in columns)]
    held = shown_of_all(differences)
    held += [replace(each, mean=-each.mean, low=-each.high, high=-each.low) for each in held]  # turned round
    rows = [
        [label, *(cell(result.difference(measure, label, control), held) for measure, control in columns)]
        for label in result.arms
    ]
    note = (
        "Held-out loss in nats a response token, a mean over rows; below 0 is better than the control. In "
        f"brackets the paired {CONFIDENCE:.0%} interval over {len(result.experiment.seeds)} seeds (Student's "
        f"t); bold where it leaves out 0. {how_many_are_shown(differences)}"
    )
    return f"{table(heading, rows)}\n\n{note}"


def _values(result: Result) -> str:
    recorded = result.kept.recorded
    controls = [control for control in CONTROLS if control in result.arms]
    heading = [
        "arm",
        *(f"loss, {words}" for words in result.averages.values()),
        *(f"shared with {control}" for control in controls),
    ]
    between_seeds = {
        label: [share for run in runs if (share := recorded[run].shared_with_other_seeds) is not None]
        for label, runs in result.arms.items()
    }
    are_known = any(between_seeds.values())
    if are_known:
        heading.append("shared by two seeds")
    rows = []
    for label, runs in result.arms.items():
        cells = [mean_and_deviation(result.values_of(measure, label)) for measure in result.averages]
        for control in controls:
            shares = [share for run in runs if (share := recorded[run].shared_with.get(control)) is not None]
            cells.append(_mean_share(shares if control != label else []))
        if are_known:
            cells.append(_mean_share(between_seeds[label]))
        rows.append([label, *cells])
    note = "Mean ± standard deviation over seeds. Shared: rows that both chose, of the arm's."
    return f"{table(heading, rows)}\n\n{note}"


def _mean_share(shares: Sequence[float]) -> str:
    """Their mean, "" of none."""
    return f"{statistics.mean(shares):.0%}" if shares else ""


def _by_source(result: Result) -> str:
    """The presets against random_per_source on each source, and how many rows of it each chose."""
    control = CONTROLS[0]
    labels = [label for label in (DEFAULT_PRESET, *OTHER_PRESETS) if label in result.arms]
    if control not in result.arms or not labels or len(result.losses) < 2:
        return ""
    rows = [
        [
            source,
            *(_mean_rows(result, label, source) for label in (control, *labels)),
            *(cell(_of_sources(result, [source], label, control)) for label in labels),
        ]
        for source in result.losses
    ]
    heading = ["source", *(f"rows of {each}" for each in (control, *labels))]
    heading += [f"{label} minus {control}" for label in labels]
    summary = f"<details><summary>The presets against {control}, source by source</summary>"
    return f"{_without_one_source(result, labels)}{summary}\n\n{table(heading, rows)}\n\n</details>"


def _without_one_source(result: Result, labels: Sequence[str]) -> str:
    """What is left of a preset's difference where the source that it changes most is left out."""
    if len(result.losses) < 2 or len(result.experiment.seeds) < 2:
        return ""
    pairs = [(label, CONTROLS[0]) for label in labels]
    pairs += [(label, CONTROLS[1]) for label in labels if label in NO_SOURCES and CONTROLS[1] in result.arms]
    rows = []
    for label, control in pairs:
        changes = {
            source: difference
            for source in result.losses
            if (difference := _of_sources(result, [source], label, control)) is not None
        }
        largest = max(changes, key=lambda source: abs(changes[source].mean))
        others = [source for source in changes if source != largest]
        rest = [_of_sources(result, others, label, control, weight) for weight in (None, "selectable")]
        rows.append([f"{label} minus {control}", largest, cell(changes[largest]), *map(cell, rest)])
    heading = ["arms", "source that changes most", "there", *(f"all others, {words}" for words in _OF_OTHERS)]
    note = (
        "That source is the one whose own loss changes most, whatever it weighs. It is found by these same "
        "losses, so it is no comparison that was planned."
    )
    return f"{table(heading, rows)}\n\n{note}\n\n"


def _of_sources(
    result: Result, sources: Sequence[str], label: str, control: str, weight: str | None = None
) -> PairedDifference | None:
    """Between the losses of two arms on some sources. Args: weight: as `Result.mean_losses`."""
    return paired_difference(*(result.mean_losses(each, sources, weight) for each in (label, control)))


def _mean_rows(result: Result, label: str, source: str) -> str:
    rows = result.mean_rows(label, source)
    return "" if rows is None else f"{rows:,.0f}"


def _planted(result: Result) -> str:
    rows = []
    for label, runs in result.arms.items():
        shares = [share for run in runs if (share := result.kept.recorded[run].planted) is not None]
        if shares:
            rows.append([label, *_percent(shares)])
    if not rows:
        return ""
    return f"{table(['arm', 'planted noise among its rows', 'smallest to largest seed'], rows)}"


def _percent(shares: Sequence[float]) -> list[str]:
    return [f"{statistics.mean(shares):.1%}", f"{min(shares):.1%} to {max(shares):.1%}"]


def _costs(result: Result) -> str:
    arm_of = {run.name: run.arm for run in result.kept.comparison.runs}
    costs = {cost.arm: cost.stages for cost in result.kept.comparison.costs}
    stages = ("proxy training", "scoring", "selection", "target")
    rows = []
    for label, runs in result.arms.items():
        found = costs.get(arm_of[runs[0]])
        if found is not None:
            rows.append([label, *(_seconds(found.get(stage)) for stage in stages)])
    if not rows:
        return ""
    note = "Device-seconds of a run on average; runs made side by side slow each other down."
    heading = ["arm", *stages]
    return f"<details><summary>Costs</summary>\n\n{table(heading, rows)}\n\n{note}\n\n</details>"


def _seconds(cost: Cost | None) -> str:
    """Device-seconds of a stage; "" where there is no record of them."""
    return "" if cost is None or cost.device_seconds is None else f"{cost.device_seconds:,.1f}"
