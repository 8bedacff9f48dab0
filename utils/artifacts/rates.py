"""How fast earlier runs went, read from their manifests: what a plan can say of time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .files import read_json
from .paths import results_root

_SAME_PACE = ("name_or_path", "architecture", "dtype", "lora")  # of a model section


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

    Args: model: the config's section; device: as `utils.modeling.devices.device_name` calls it.
    """

    def seconds_per_token(manifest: dict[str, Any]) -> float | None:
        made = manifest["provenance"]
        if (
            made.get("continued_from")
            or not _alike(manifest["inputs"]["model"], model)
            or made["device_name"] != device
        ):
            return None
        num_tokens = made["work"]["tokens"] * manifest["steps"] / made["work"]["steps_per_epoch"]
        return made["seconds"] * made["devices"] / num_tokens

    return _newest("manifest.json", seconds_per_token)


def scoring_pace(model: dict[str, Any], device: str, precision: str) -> Pace | None:
    """Of the newest scoring with this model and precision on such a device."""

    def seconds_per_token(manifest: dict[str, Any]) -> float | None:
        same = manifest["device_name"] == device and manifest["inputs"]["precision"] == precision
        seconds = manifest["device_seconds"].values()
        if not same or not seconds or not _alike(manifest["model"], model):
            return None
        return sum(seconds) / (len(seconds) * manifest["tokens"])

    return _newest("trajectories/manifest.json", seconds_per_token)


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one.get(name) == other.get(name) for name in _SAME_PACE)


def _newest(place: str, seconds_per_token: Callable[[dict[str, Any]], float | None]) -> Pace | None:
    """Args: place: of a manifest in a run's folder. Manifests of other kinds, or without these records, say nothing."""
    newest: tuple[str, Pace] | None = None
    for path in results_root().glob(f"*/{place}"):
        try:
            manifest = read_json(path)
            pace, time = seconds_per_token(manifest), manifest["provenance"]["time"]
        except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
            continue
        if pace is not None and (newest is None or time > newest[0]):
            newest = (time, Pace(pace, _run_of(path, place)))
    return newest[1] if newest else None


def _run_of(path: Path, place: str) -> str:
    return path.parents[place.count("/")].name
