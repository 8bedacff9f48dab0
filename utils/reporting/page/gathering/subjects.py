"""What a page is about: runs, or what an experiment left"""

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....artifacts.comparisons import read_comparison
from ....artifacts.configs import recorded_config
from ....artifacts.experiments import ExperimentManifest, read_experiment
from ....artifacts.paths import RunPaths, comparison_path, comparisons_root, experiment_path
from ....config.schema import RunConfig
from ..facts import ComparisonFacts

if TYPE_CHECKING:
    from ....data.rows import Rows


@dataclass(frozen=True)
class Subject:
    """A run that the page is about.

    Attributes:
        config: its YAML as read, with the overrides.
        config_file: where the YAML lies.
        overrides: `key.sub=value`, as they were given behind it.
        label: its experiment's name for the method, empty where it is of none.
    """

    config: RunConfig
    config_file: str
    overrides: tuple[str, ...] = ()
    label: str = ""

    @property
    def words(self) -> str:
        """What follows --config_file in a command of this run."""
        return shlex.join([self.config_file, *self.overrides])


@dataclass(frozen=True)
class OpenedPool:
    """The rows with their texts. Attributes: rows: None where they cannot be read. problem: why not."""

    rows: "Rows | None"
    problem: str = ""


@dataclass(frozen=True)
class ExperimentSubjects:
    """What an experiment left.

    Attributes:
        name: of the experiment, or of a comparison.
        record: of its runs, None where only the comparison is there.
        comparisons: one for each budget, those that are there.
        subjects: the first run of each arm, at each budget.
    """

    name: str
    record: ExperimentManifest | None
    comparisons: list[ComparisonFacts]
    subjects: list[Subject]


def find_experiment(name: str) -> ExperimentSubjects:
    """Raises: FileNotFoundError for a name of which nothing is there, ValueError for damaged files."""
    record = read_experiment(name) if experiment_path(name).is_file() else None
    names = [name] if record is None else record.comparisons
    there = [each for each in names if comparison_path(each).is_file()]
    if record is None and not there:
        known = sorted({path.parent.name for path in comparisons_root().glob("*/*.json")})
        raise FileNotFoundError(
            f"found no experiment and no comparison {name!r} in {comparisons_root()}, expected one of "
            f"{', '.join(known) or '(none is there)'}: begin it with "
            "`python run_experiment.py --config_file <its YAML>`"
        )
    comparisons = []
    for each in there:
        budget = each.removeprefix(f"{name}_") if each != name else ""
        comparisons.append(ComparisonFacts(read_comparison(each), comparison_path(each), budget))
    if record is None:
        runs = [arm.runs[0] for facts in comparisons for arm in facts.comparison.arms]
    else:
        first_of_each: dict[tuple[str, str], str] = {}
        for member in record.members:  # a budget by its text: 1 (a row) is equal to 1.0 (all of them)
            first_of_each.setdefault((member.label, str(member.budget)), member.run)
        runs = list(first_of_each.values())
    labels = {} if record is None else {member.run: member.label for member in record.members}
    subjects = [_subject_on_disk(run, labels.get(run, "")) for run in dict.fromkeys(runs)]
    return ExperimentSubjects(
        name, record, comparisons, [subject for subject in subjects if subject is not None]
    )


def _subject_on_disk(run: str, label: str) -> Subject | None:
    """A run by what it recorded, None where it has not begun."""
    paths = RunPaths(run)
    values = recorded_config(paths)
    return Subject(RunConfig.model_validate(values), str(paths.config), label=label) if values else None
