"""How fast earlier runs went, read from their manifests: what a plan can say of time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .paths import RunPaths, results_root
from .trainings import TrainingManifest
from .trajectories.manifest import TrajectoriesManifest

_SAME_PACE = ("name_or_path", "architecture", "dtype", "lora")  # of a model section

_Kind = TypeVar("_Kind", TrainingManifest, TrajectoriesManifest)


@dataclass(frozen=True)
class TimeEstimate:
    """How long something will take.

    Attributes:
        seconds: about.
        run_name: whose pace it is reckoned at.
    """

    seconds: float
    run_name: str


@dataclass(frozen=True)
class Pace:
    """How fast a run went.

    Attributes:
        seconds_per_token: of one device.
        run_name: whose pace it is.
    """

    seconds_per_token: float
    run_name: str

    def time_for(self, num_tokens: float, num_devices: int) -> TimeEstimate:
        return TimeEstimate(num_tokens * self.seconds_per_token / num_devices, self.run_name)


def training_pace(model: dict[str, Any], device: str) -> Pace | None:
    """Of the newest whole training of this model on such a device.

    Args:
        model: the config's section.
        device: as `utils.modeling.devices.device_name` calls it.
    """

    def seconds_per_token(manifest: TrainingManifest) -> float | None:
        launch = manifest.provenance
        if launch.continued_from is not None or launch.device_name != device:
            return None
        if launch.seconds is None or launch.work is None or manifest.steps is None:
            return None
        if not _alike(manifest.model, model):
            return None
        num_tokens = launch.work.tokens * manifest.steps / launch.work.steps_per_epoch
        return launch.seconds * launch.devices / num_tokens

    return _newest(TrainingManifest, lambda paths: paths.manifest, seconds_per_token)


def scoring_pace(model: dict[str, Any], device: str, precision: str) -> Pace | None:
    """Of the newest scoring with this model and precision on such a device."""

    def seconds_per_token(manifest: TrajectoriesManifest) -> float | None:
        if manifest.device_name != device or manifest.precision != precision:
            return None
        if manifest.model is None or not _alike(manifest.model, model):
            return None
        seconds = manifest.device_seconds.values()
        if not seconds or not manifest.tokens:
            return None
        return sum(seconds) / (len(seconds) * manifest.tokens)

    return _newest(TrajectoriesManifest, lambda paths: paths.trajectories_manifest, seconds_per_token)


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one.get(name) == other.get(name) for name in _SAME_PACE)


def _newest(
    kind: type[_Kind], place: Callable[[RunPaths], Path], seconds_per_token: Callable[[_Kind], float | None]
) -> Pace | None:
    """The pace of the newest run that says one.

    Args:
        kind: of manifest.
        place: where it lies.
        seconds_per_token: None for one that says nothing.
    """
    newest_time = ""
    newest: Pace | None = None
    for folder in results_root().glob("*/"):
        try:
            manifest = kind.read(place(RunPaths(folder.name)))
        except (OSError, ValueError):  # nothing there, or another version's: no reason to refuse a plan
            continue
        seconds = seconds_per_token(manifest)
        if seconds is not None and manifest.provenance.time > newest_time:
            newest_time = manifest.provenance.time
            newest = Pace(seconds, folder.name)
    return newest
