"""What in an experiment would be overruled, without effect, or in the way of its runs: found before any."""

import contextlib
import json
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..artifacts.experiments import other_experiments
from ..artifacts.manifests import is_complete
from ..artifacts.paths import RunPaths, run_named
from ..artifacts.trajectories.manifest import TrajectoriesManifest
from ..artifacts.trajectories.released import released_run
from ..artifacts.trajectories.write import BASE_LOSSES, VALIDATION, TrajectoryFolder
from ..config.experiment import ExperimentConfig, ExperimentRun, reads_other_rows
from ..config.load import Checks
from ..config.schema import RunConfig, SubsetConfig


@dataclass(frozen=True)
class StageChecks:
    """What the stages that make the runs would refuse or find done.

    They are handed in because stages do not import each other.

    Attributes:
        sections: of every run's config, as for `load_config`.
        target_sections: of a target's, besides.
        is_trained: (config, rows that it trains on) -> whether train.py would find nothing to do.
            Raises what it would.
        is_scored: (config of a trained run, checkpoints) -> the same of run_distributed_trajectories.py.
        is_evaluated: (config of a trained run) -> the same of evaluate_run.py.
        selection: (config of a target, rows that will have a loss, steps that will be scored, None where
            they are) raises what select_s2l.py would, as far as that shows before they are there.
        questions: (config of a target) raises what is wrong with what it will be asked.
        unused_settings: (config of a target) -> the settings of its subset that change nothing.
        needed_besides_losses: subset -> what its method needs of the trajectories:
            names of `trajectories.also`, BASE_LOSSES or VALIDATION.
    """

    sections: Checks
    target_sections: Checks
    is_trained: Callable[[RunConfig, int], bool]
    is_scored: Callable[[RunConfig, str], bool]
    is_evaluated: Callable[[RunConfig], bool]
    selection: Callable[[RunConfig, int, Collection[int] | None], object]
    questions: Callable[[RunConfig], object]
    unused_settings: Callable[[RunConfig], set[str]]
    needed_besides_losses: Callable[[SubsetConfig], Collection[str]]


class MadeOtherwise(ValueError):
    """A result of a run is there, and was made from something else. Attributes: command: that replaces it."""

    def __init__(self, message: str, command: str):
        super().__init__(message)
        self.command = command


@contextlib.contextmanager
def refusing_to_reuse(script: str, words: Sequence[str]) -> Iterator[None]:
    """Turn what a script would say of an earlier result of its own into `MadeOtherwise`.

    Args:
        script: that would say it.
        words: what would stand behind the script.
    """
    try:
        yield
    except ValueError as error:
        message = str(error)
        if "--overwrite" not in message:
            raise
        if "select_s2l.py" in message:  # train.py says it of the rows that it finds
            script = "select_s2l.py"
        raise MadeOtherwise(message, shlex.join(["python", script, *words, "--overwrite"])) from None


def check_none_was_made_otherwise(found: Sequence[MadeOtherwise]) -> None:
    """Raises: ValueError with the first, and the commands that replace all of them."""
    if found:
        commands = "\n".join(f"  {error.command}" for error in found)
        raise ValueError(
            f"{found[0]}\nIn an experiment another `name` keeps both. "
            f"To replace what is in the way, then start the experiment again:\n{commands}"
        )


def with_yamls(experiment: ExperimentConfig) -> ExperimentConfig:
    """Each file that it names. A run's name stands for the config.yml in its folder.

    Raises: FileNotFoundError naming all that are neither.
    """
    missing = []

    def file_of(key: str, text: str) -> str:
        if Path(text).is_file():
            return text
        config = RunPaths(run_named(text)).config
        if not config.is_file():
            missing.append(f"{key}: {text} does not exist, and no run of that name has left a {config}")
        return str(config)

    named = {"proxy": file_of("proxy", experiment.proxy), "target": file_of("target", experiment.target)}
    references = [file_of("references", text) for text in experiment.references]
    if missing:
        missing.append("Expected the path of each run's YAML, or the name of a run that was trained before")
        raise FileNotFoundError("\n".join(missing))
    return experiment.model_copy(update={**named, "references": references})


def check_settings_have_an_effect(
    config_file: str,
    experiment: ExperimentConfig,
    runs: Sequence[ExperimentRun],
    checks: StageChecks,
) -> None:
    """Raises: ValueError with all settings of subsets that change nothing of what their method chooses."""
    configs = {run.label: run.config for run in runs if run.config.subset is not None}
    unused_of = {label: checks.unused_settings(config) for label, config in configs.items()}
    problems = []
    for label, unused in unused_of.items():
        if keys := [key for key in experiment.methods[label] if key.split(".")[0] in unused]:
            method = configs[label].subset_section.method
            problems.append(f"methods.{label}: {method} does not use {_without_effect(keys)}")
    of_subset = {key: key.split(".")[1] for key in experiment.settings if key.startswith("subset.")}
    if keys := [
        key for key, name in of_subset.items() if all(name in unused for unused in unused_of.values())
    ]:
        problems.append(f"settings: no method here uses {_without_effect(keys)}")
    if problems:
        raise ValueError("\n".join(f"{config_file}: {problem}" for problem in problems))


def _without_effect(keys: Sequence[str]) -> str:
    also = ", or set source_exponent as well" if any(key.endswith("source_weight") for key in keys) else ""
    return f"{', '.join(keys)}: remove {'it' if len(keys) == 1 else 'them'}{also}"


def check_arms_differ(
    config_file: str, runs: Sequence[ExperimentRun], saved: Mapping[str, Sequence[int]], checks: StageChecks
) -> None:
    """Refuse methods that would choose the same rows in the same way.

    Args:
        saved: run name of a reference -> the steps that will be scored, ascending.

    Raises: ValueError with the labels of each.
    """
    labels: dict[str, list[str]] = {}
    for run in runs:
        if run.config.subset is not None:
            alike = labels.setdefault(_choice_of(run.config, saved, checks), [])
            alike += [run.label] * (run.label not in alike)
    # Each seed and budget finds them again.
    same = dict.fromkeys(" and ".join(alike) for alike in labels.values() if len(alike) > 1)
    if same:
        raise ValueError(
            f"{config_file}: methods: found {'; '.join(same)}, which choose the same rows in the same way, "
            "expected each way once: remove one, or change what it is to differ in"
        )


def _choice_of(config: RunConfig, saved: Mapping[str, Sequence[int]], checks: StageChecks) -> str:
    """All of a config that the rows and their number follow from."""
    subset = config.subset_section.model_dump()
    values = {name: subset[name] for name in subset.keys() - checks.unused_settings(config) - {"preset"}}
    values["drop"] = sorted(set(values["drop"]))
    if subset["trajectories_from"] is not None:
        origin = values["trajectories_from"] = run_named(subset["trajectories_from"])
        values["steps"] = sorted(subset["steps"] or [step for step in saved.get(origin, []) if step > 0])
    return json.dumps([config.seed, values], sort_keys=True)


def check_trajectories(config_file: str, runs: Sequence[ExperimentRun], references: Collection[str]) -> None:
    """Raises: ValueError for trajectories that are not there and that no run of the experiment leaves."""
    problems = {}
    for run in runs:
        origin = run.config.subset and run.config.subset.trajectories_from
        if origin is None or run_named(origin) in references or Path(origin).is_file():
            continue
        is_scored = is_complete(RunPaths(run_named(origin)).trajectories_manifest, TrajectoriesManifest)
        if not is_scored and released_run(origin) is None:
            problems[f"methods.{run.label}"] = origin
    if problems:
        found = ", ".join(f"{label}: {origin}" for label, origin in problems.items())
        raise ValueError(
            f"{config_file}: found trajectories_from in {found}, which is there neither as scored run "
            f"nor as file, expected those of {', '.join(references)}, which the experiment makes: "
            "add the YAML of the run to `references`"
        )


def check_kept_quantities(
    config_file: str,
    runs: Sequence[ExperimentRun],
    references: Mapping[str, RunConfig],
    checks: StageChecks,
    score_base_model: bool,
) -> None:
    """Refuse methods that read what no run leaves.

    Args:
        references: by run name.
        score_base_model: whether step 0 of them is scored.

    Raises: ValueError for methods that need more of the trajectories than scoring a reference will leave,
        or those of other rows.
    """
    lacking: dict[str, list[str]] = {}
    for run in runs:
        subset = run.config.subset
        reference = (
            references.get(run_named(subset.trajectories_from))
            if subset and subset.trajectories_from
            else None
        )
        if subset is None or reference is None:
            continue
        if reads_other_rows(reference, run.config):
            raise ValueError(
                f"{config_file}: methods.{run.label}: found {reference.run_name}, which reads "
                f"{reference.data}, expected the rows of the target, {run.config.data}"
            )
        left = [*reference.trajectories.also, *([BASE_LOSSES] if score_base_model else [])]
        if reference.data_section.validation == run.config.data_section.validation is not None:
            left.append(VALIDATION)
        folder = TrajectoryFolder(RunPaths(reference.run_name).trajectories)
        for name in checks.needed_besides_losses(subset):
            if name not in left and not folder.holds(name):
                way_out = {
                    BASE_LOSSES: "set score_base_model: true",
                    VALIDATION: f"set data.validation in the target and in {reference.run_name}",
                }.get(name, f"add {name} to trajectories.also in the YAML of {reference.run_name}")
                labels = lacking.setdefault(
                    f"{name} of {reference.run_name}, which will not be scored: {way_out}", []
                )
                labels += [run.label] * (run.label not in labels)
    if lacking:
        raise ValueError(
            "\n".join(
                f"{config_file}: {', '.join(labels)}: needs the {what}" for what, labels in lacking.items()
            )
        )


def check_choices(
    config_file: str,
    runs: Sequence[ExperimentRun],
    steps_of: Mapping[str, Sequence[int] | None],
    num_selectable: int,
    checks: StageChecks,
) -> None:
    """Refuse what selection would refuse.

    Args:
        runs: whose rows are to be chosen.
        steps_of: run name of a reference -> the steps that will be scored, None where they are.
        num_selectable: rows that will have a loss.

    Raises: ValueError with the problems of all of them.
    """
    problems: dict[str, str] = {}  # what is wrong -> where first
    for run in runs:
        if run.config.subset is not None:
            steps = steps_of.get(run_named(run.config.subset.trajectories_from or ""))
            try:
                checks.selection(run.config, num_selectable, steps)
            except (FileNotFoundError, ValueError) as error:
                problems.setdefault(str(error), f"methods.{run.label}")
    if problems:
        raise ValueError(
            "\n".join(f"{config_file}: {where}: {problem}" for problem, where in problems.items())
        )


def check_comparisons(config_file: str, name: str, titles: Collection[str]) -> None:
    """Refuse to replace the comparison of another experiment.

    Args:
        name: of the experiment.
        titles: names of its comparisons.

    Raises: ValueError.
    """
    for other in other_experiments(name):
        if both := [title for title in titles if title in other.comparisons]:
            raise ValueError(
                f"{config_file}: name: found {name}, by which the comparison {', '.join(both)} of experiment "
                f"{other.name} would be replaced: give one of them another name"
            )


def check_names(run_names: Sequence[str]) -> None:
    """Raises: ValueError for runs that would lie in one folder."""
    times = Counter(name.casefold() for name in run_names)
    if repeated := sorted({name for name in run_names if times[name.casefold()] > 1}):
        raise ValueError(
            f"found more than one run named {', '.join(repeated)}, expected each name once: "
            "give the experiment another name, and name the proxy's and each reference's YAML once"
        )


def check_budgets(rows_of: Mapping[str, int]) -> None:
    """Refuse budgets (each with its rows) that come to the same rows. Raises: ValueError."""
    budgets: dict[int, list[str]] = {}
    for budget, rows in rows_of.items():
        budgets.setdefault(rows, []).append(budget)
    if equal := [f"{' and '.join(same)} ({rows:,} rows)" for rows, same in budgets.items() if len(same) > 1]:
        raise ValueError(f"budgets: found the same number twice: {'; '.join(equal)}: keep one of them")
