"""Make docs/results.md, the study's answer, from docs/results: what people wrote, and what was measured.

    python docs/make_results.py               write the page and its figures
    python docs/make_results.py --no_figures  the page alone, which needs no matplotlib

docs/results/text.md is what people wrote. A line {{NAME}} in it stands for the tables of
docs/results/NAME.json, which benchmarks/study_results.py keeps of a comparison, or of
docs/results/analyses/NAME.json, which a script of benchmarks/ keeps of an analysis. tests/test_results.py
fails where the page is not what these files say.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from docs.analysis_sections import ANALYSIS_SECTIONS  # noqa: E402
from docs.markdown import mean_and_deviation, table  # noqa: E402
from utils.config.experiment import WHOLE_POOL, ExperimentConfig, load_experiment, run_name_of  # noqa: E402

RESULTS = PROJECT / "docs/results"
ANALYSES = RESULTS / "analyses"
PAGE = PROJECT / "docs/results.md"
TEXT = RESULTS / "text.md"
STUDY = PROJECT / "configs/study"
CONTROLS = ("random_per_source", "random")
DEFAULT_PRESET = "s2l_released"
OTHER_PRESETS = ("s2l_paper", "s2l_fall")
AVERAGES = {"loss_average": "sources alike", "loss_as_pool": "sources as in the pool"}
CONFIDENCE = 0.95
_PLACE = re.compile(r"^\{\{(.+)\}\}$", re.MULTILINE)


@dataclass(frozen=True)
class PairedDifference:
    """A measure of an arm minus that of a control, run by run of the same seed.

    Attributes:
        mean: over the seeds.
        low: end of the interval of Student's t over the seeds.
        high: the other one.
    """

    mean: float
    low: float
    high: float

    @property
    def is_shown(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Result:
    """A comparison that was kept, as its experiment names the arms.

    Attributes:
        name: of the comparison.
        config_file: the experiment's, below the project.
        experiment: what that says.
        arms: label -> its runs, by seed, of those arms alone of which every seed is there.
        unfinished: label -> how many of its seeds are there, of the others.
        values: measure of all held-out rows -> run -> value.
        kept: the whole file.
    """

    name: str
    config_file: str
    experiment: ExperimentConfig
    arms: dict[str, list[str]]
    unfinished: dict[str, int]
    values: dict[str, dict[str, float]]
    kept: dict[str, Any]

    def values_of(self, measure: str, label: str) -> list[float]:
        """By seed."""
        return [self.values[measure][run] for run in self.arms[label]]

    def difference(self, measure: str, label: str, control: str) -> PairedDifference | None:
        """None between an arm and itself, and where the control is not there."""
        if label == control or control not in self.arms:
            return None
        return paired_difference(self.values_of(measure, label), self.values_of(measure, control))

    @property
    def differences(self) -> list[PairedDifference]:
        """All that the table shows."""
        found = [
            self.difference(measure, label, control)
            for measure in AVERAGES
            for label in self.arms
            for control in CONTROLS
            if (label, control) != ("random", "random_per_source")  # the same pair, turned round
        ]
        return [difference for difference in found if difference is not None]


def paired_difference(values: Sequence[float], others: Sequence[float]) -> PairedDifference | None:
    """Args: values, others: one per seed, in the same order. Returns: None for fewer than two seeds."""
    from scipy import stats

    differences = [value - other for value, other in zip(values, others, strict=True)]
    if len(differences) < 2:
        return None
    mean = statistics.mean(differences)
    error = statistics.stdev(differences) / len(differences) ** 0.5
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)) * error
    return PairedDifference(mean, mean - reach, mean + reach)


def comparison_names(experiment: ExperimentConfig) -> dict[str, int | float | None]:
    """Name of each comparison that run_experiment.py makes -> its budget."""
    if not experiment.budgets:
        return {experiment.name: None}
    return {f"{experiment.name}_{budget}": budget for budget in experiment.budgets}


def arms_of(experiment: ExperimentConfig, budget: int | float | None) -> dict[str, list[str]]:
    """Label -> the runs that it is to have at a budget, by seed."""
    return {
        label: [
            run_name_of(experiment, label, None if label == WHOLE_POOL else budget, seed)
            for seed in experiment.seeds
        ]
        for label in experiment.methods
    }


def read_result(path: Path, config_file: Path) -> Result:
    """Raises: ValueError for a file that is no comparison of this experiment."""
    experiment = load_experiment(config_file)
    names = comparison_names(experiment)
    if path.stem not in names:
        raise ValueError(f"{path}: found a comparison that {config_file} does not make ({', '.join(names)})")
    kept = json.loads(path.read_text(encoding="utf-8"))
    values = {
        measure["name"]: measure["values"]
        for measure in kept["measures"]
        if measure["question_set"] == "heldout" and measure["source"] is None and not measure["is_metric"]
    }
    arms = arms_of(experiment, names[path.stem])
    there = {label: [run for run in runs if all(run in values.get(measure, {}) for measure in AVERAGES)]
             for label, runs in arms.items()}  # fmt: skip
    is_below = config_file.is_relative_to(PROJECT)
    return Result(
        name=path.stem,
        config_file=str(config_file.relative_to(PROJECT) if is_below else config_file),
        experiment=experiment,
        arms={label: runs for label, runs in there.items() if len(runs) == len(arms[label])},
        unfinished={label: len(runs) for label, runs in there.items() if len(runs) < len(arms[label])},
        values=values,
        kept=kept,
    )


def all_results(results: Path = RESULTS, study: Path = STUDY) -> dict[str, Result]:
    """By name, those of the study's experiments of which a file is there."""
    found = {}
    for config_file in sorted(study.glob("experiment_*.yml")):
        for name in comparison_names(load_experiment(config_file)):
            path = results / f"{name}.json"
            if path.is_file():
                found[name] = read_result(path, config_file)
    return found


def page(text: str, results: Mapping[str, Result]) -> str:
    """What people wrote, with the tables in their places.

    Raises: ValueError for a result that has no place in the text: none may be left out.
    """
    places = _PLACE.findall(text)
    if left_out := sorted(results.keys() - set(places)):
        raise ValueError(f"{TEXT}: found no place for {', '.join(left_out)}: add a line {{{{NAME}}}} of each")

    def filled(place: re.Match[str]) -> str:
        name = place[1]
        if name == "presets":
            return presets_section(results)
        if (analysis := ANALYSES / f"{name}.json").is_file():
            return ANALYSIS_SECTIONS[name](json.loads(analysis.read_text(encoding="utf-8")))
        return section(results[name]) if name in results else f"*{name}: not run yet.*"

    note = "<!-- Made by `python docs/make_results.py` from docs/results. Edit docs/results/text.md. -->\n\n"
    return note + _PLACE.sub(filled, text)


def section(result: Result) -> str:
    """The tables of one comparison in Markdown."""
    parts = [_what_was_run(result), _differences(result)]
    if result.arms:
        parts += [f"![differences from random_per_source](results/{result.name}.svg)", _values(result)]
    parts += [_by_source(result), _planted(result), _costs(result)]
    return "\n\n".join(part for part in parts if part)


def presets_section(results: Mapping[str, Result]) -> str:
    """The presets against the default one, in every comparison that has both."""
    heading = [
        "comparison",
        *(
            f"{label} minus {DEFAULT_PRESET}, {words}"
            for label in OTHER_PRESETS
            for words in AVERAGES.values()
        ),
    ]
    rows, differences = [], []
    for name, result in results.items():
        if DEFAULT_PRESET not in result.arms:
            continue
        found = [
            result.difference(measure, label, DEFAULT_PRESET) if label in result.arms else None
            for label in OTHER_PRESETS
            for measure in AVERAGES
        ]
        differences += [difference for difference in found if difference is not None]
        rows.append([name, *map(_cell, found)])
    return f"{table(heading, rows)}\n\n{_how_many_are_shown(differences)}"


def _how_many_are_shown(differences: Sequence[PairedDifference]) -> str:
    shown = sum(difference.is_shown for difference in differences)
    chance = len(differences) * (1 - CONFIDENCE)
    return (
        f"{len(differences)} different comparisons, {shown} of them bold; were there no difference at all, "
        f"about {chance:.0f} would be."
    )


def _versions_of(run: dict[str, Any]) -> str:
    packages = run["packages"]
    shown = [f"{name} {packages[name]}" for name in ("torch", "transformers", "numpy") if name in packages]
    return ", ".join([f"Python {run['python']}", *shown])


def _what_was_run(result: Result) -> str:
    kept = result.kept
    recorded = kept["recorded"].values()
    devices = ", ".join(sorted({run["device"] for run in recorded})) or "not recorded"
    commits = ", ".join(sorted({str(run["git_commit"])[:12] for run in recorded})) or "not recorded"
    versions = "; or ".join(sorted({_versions_of(run) for run in recorded})) or "versions not recorded"
    seeds = ", ".join(map(str, result.experiment.seeds))
    lines = [
        f"`python run_experiment.py --config_file {result.config_file}`",
        f"Seeds {seeds}. {devices}; {versions}; commit {commits}.",
    ]
    if result.unfinished:
        whole = len(result.experiment.seeds)
        unfinished = ", ".join(f"{label} ({count} of {whole})" for label, count in result.unfinished.items())
        lines.append(f"Not finished, and in no table: {unfinished}.")
    return "\n\n".join(line for line in lines if line)


def _differences(result: Result) -> str:
    differences = result.differences
    if not differences:
        return ""
    columns = [(measure, control) for measure in AVERAGES for control in CONTROLS if control in result.arms]
    heading = ["minus", *(f"{control}, {AVERAGES[measure]}" for measure, control in columns)]
    rows = [
        [label, *(_cell(result.difference(measure, label, control)) for measure, control in columns)]
        for label in result.arms
    ]
    note = (
        "Held-out loss in nats a response token; below 0 is better than the control. In brackets the paired "
        f"{CONFIDENCE:.0%} interval over {len(result.experiment.seeds)} seeds (Student's t); bold where it "
        f"leaves out 0. {_how_many_are_shown(differences)}"
    )
    return f"{table(heading, rows)}\n\n{note}"


def _cell(difference: PairedDifference | None) -> str:
    if difference is None:
        return ""
    text = f"{difference.mean:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
    return f"**{text}**" if difference.is_shown else text


def _values(result: Result) -> str:
    recorded = result.kept["recorded"]
    heading = [
        "arm",
        *(f"loss, {words}" for words in AVERAGES.values()),
        *(f"shared with {c}" for c in CONTROLS),
    ]
    between_seeds = {
        label: [recorded.get(run, {}).get("shared_with_other_seeds") for run in runs]
        for label, runs in result.arms.items()
    }
    are_known = any(None not in shares for shares in between_seeds.values())
    if are_known:
        heading.append("shared by two seeds")
    rows = []
    for label, runs in result.arms.items():
        cells = [mean_and_deviation(result.values_of(measure, label)) for measure in AVERAGES]
        for control in CONTROLS:
            shares = [recorded.get(run, {}).get("shared_with", {}).get(control) for run in runs]
            is_known = control != label and all(share is not None for share in shares)
            cells.append(f"{statistics.mean(shares):.0%}" if is_known else "")
        if are_known:
            shares = between_seeds[label]
            cells.append("" if None in shares else f"{statistics.mean(shares):.0%}")
        rows.append([label, *cells])
    note = "Mean ± standard deviation over seeds. Shared: rows that both chose, of the arm's."
    return f"{table(heading, rows)}\n\n{note}"


def _by_source(result: Result) -> str:
    """The presets against random_per_source on each source, and how many rows of it each chose."""
    control = CONTROLS[0]
    labels = [label for label in (DEFAULT_PRESET, *OTHER_PRESETS) if label in result.arms]
    of_sources = {
        measure["source"]: measure["values"]
        for measure in result.kept["measures"]
        if measure["source"] is not None and measure["question_set"] == "heldout" and not measure["is_metric"]
    }
    if control not in result.arms or not labels or not of_sources:
        return ""
    rows = []
    for source, values in of_sources.items():
        cells = [source, *(_mean_rows(result, label, source) for label in (control, *labels))]
        for label in labels:
            losses, of_control = ([values[run] for run in result.arms[each]] for each in (label, control))
            cells.append(_cell(paired_difference(losses, of_control)))
        rows.append(cells)
    heading = ["source", *(f"rows of {each}" for each in (control, *labels))]
    heading += [f"{label} minus {control}" for label in labels]
    summary = f"<details><summary>The presets against {control}, source by source</summary>"
    return f"{summary}\n\n{table(heading, rows)}\n\n</details>"


def _mean_rows(result: Result, label: str, source: str) -> str:
    """How many rows of a source a run of this arm chose, "" where that is not recorded."""
    recorded = [result.kept["recorded"].get(run, {}).get("rows_by_source") for run in result.arms[label]]
    if None in recorded:
        return ""
    return f"{statistics.mean(of_run.get(source, 0) for of_run in recorded):,.0f}"


def _planted(result: Result) -> str:
    recorded = result.kept["recorded"]
    rows = []
    for label, runs in result.arms.items():
        shares = [recorded.get(run, {}).get("planted") for run in runs]
        if shares and all(share is not None for share in shares):
            rows.append([label, *_percent(shares)])
    if not rows:
        return ""
    return f"{table(['arm', 'planted noise among its rows', 'smallest to largest seed'], rows)}"


def _percent(shares: Sequence[float]) -> list[str]:
    return [f"{statistics.mean(shares):.1%}", f"{min(shares):.1%} to {max(shares):.1%}"]


def _costs(result: Result) -> str:
    of_letter = {run["name"]: run["arm"] for run in result.kept["runs"]}
    costs = {cost["arm"]: cost for cost in result.kept["costs"]}
    stages = ("proxy training", "scoring", "selection", "target")
    rows = []
    for label, runs in result.arms.items():
        cost = costs.get(of_letter[runs[0]])
        if cost is not None:
            seconds = [(cost["stages"].get(stage) or {}).get("device_seconds") for stage in stages]
            rows.append([label, *("" if value is None else f"{value:,.1f}" for value in seconds)])
    if not rows:
        return ""
    note = "Device-seconds of a run on average; runs made side by side slow each other down."
    heading = ["arm", *stages]
    return f"<details><summary>Costs</summary>\n\n{table(heading, rows)}\n\n{note}\n\n</details>"


def draw(result: Result, path: Path) -> None:
    """A dot for each arm and average, with its interval: what it differs from random_per_source."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"svg.hashsalt": "s2l", "svg.fonttype": "none"})  # the same small file each time
    labels = [label for label in result.arms if label != CONTROLS[0]]
    figure, axes = pyplot.subplots(figsize=(7, 0.9 + 0.28 * len(labels)), layout="constrained")
    for offset, marker, (measure, words) in zip((-0.14, 0.14), "os", AVERAGES.items(), strict=True):
        found = [result.difference(measure, label, CONTROLS[0]) for label in labels]
        points = [(place, one) for place, one in enumerate(found) if one is not None]
        axes.errorbar(
            [one.mean for _, one in points],
            [place + offset for place, _ in points],
            xerr=[[one.mean - one.low for _, one in points], [one.high - one.mean for _, one in points]],
            fmt=marker,
            markersize=4,
            linewidth=1,
            label=words,
        )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("held-out loss minus that of random_per_source, nats (left: better)")
    axes.legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no_figures", action="store_true")
    arguments = parser.parse_args(argv)
    results = all_results()
    PAGE.write_text(page(TEXT.read_text(encoding="utf-8"), results), encoding="utf-8")
    for result in () if arguments.no_figures else results.values():
        draw(result, RESULTS / f"{result.name}.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
