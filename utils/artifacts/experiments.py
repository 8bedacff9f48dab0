"""Which runs an experiment is made of: res/comparisons/<name>/experiment.json"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .files import remove_leftovers
from .locks import locked
from .manifests import Manifest, Provenance
from .paths import comparisons_root, experiment_path


@dataclass(frozen=True)
class ExperimentMember:
    """A run of an experiment.

    Attributes:
        run: its name.
        label: the experiment's name for its method.
        budget: as in the YAML, None for the whole pool.
        seed: of the run.
    """

    run: str
    label: str
    budget: int | float | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class ExperimentManifest(Manifest):
    """An experiment, begun or finished.

    Attributes:
        members: its runs, in the order in which they are made.
        comparisons: names of the comparisons of its runs, one for each budget.
        config_file: its YAML, as the command named it.
        provenance: of the last command, as one that makes all members.
    """

    KIND: ClassVar[str] = "experiment"
    AGAIN: ClassVar[str] = "run the experiment again, which makes nothing twice"
    NAMED_INPUTS: ClassVar[Mapping[str, Any]] = {"name": str, "references": list[str]}

    members: list[ExperimentMember]
    comparisons: list[str]
    config_file: str
    provenance: Provenance

    @property
    def name(self) -> str:
        return self.inputs["name"]

    @property
    def references(self) -> list[str]:
        """The proxy, and further runs whose trajectories are used."""
        return self.inputs["references"]


def write_experiment(manifest: ExperimentManifest) -> None:
    """Replaces the record of an earlier command."""
    path = experiment_path(manifest.name)
    with locked(path.parent):
        remove_leftovers(path.parent, path.name)
        manifest.write(path)


def read_experiment(name: str) -> ExperimentManifest:
    """Raises: FileNotFoundError naming the command that makes it, or ValueError for a damaged file."""
    path = experiment_path(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"no record of an experiment {name!r} in {path}: begin or continue it with "
            "`python run_experiment.py --config_file <its YAML>`"
        )
    return ExperimentManifest.read(path)


def other_experiments(name: str) -> list[ExperimentManifest]:
    """All that are recorded but this one. Raises: ValueError for a damaged file."""
    paths = sorted(comparisons_root().glob("*/experiment.json"))
    return [ExperimentManifest.read(path) for path in paths if path.parent.name != name]
