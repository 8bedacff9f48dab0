"""The labels of arms: the fewest settings by which no two arms of a method are alike.

Where three settings do not do, as in a study of many variants, each arm is told by what is unusual in it.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.schema import SELECTION_PRESETS

_MOST_SETTINGS = 3  # tried in all combinations, whose number grows fast
_SHA256 = re.compile(r"^[0-9a-f]{64}$")

Settings = Mapping[str, Any]


def told_apart(arms: Sequence[tuple[str, Settings]]) -> list[dict[str, Any]]:
    """The settings that tell each arm apart, none if its method does.

    Args:
        arms: method and settings of each, with the settings that say most to a reader first.

    Returns: empty for an arm that is told by its method alone, or is usual in everything.
    """
    places_of_method: dict[str, list[int]] = {}
    for place, (method, _) in enumerate(arms):
        places_of_method.setdefault(method, []).append(place)
    own: list[dict[str, Any]] = [{} for _ in arms]
    for places in places_of_method.values():
        group = [arms[place][1] for place in places]
        keys = _fewest(group)
        if len(keys) > _MOST_SETTINGS:
            told = _unusual(group, keys)
        else:
            told = [{key: settings[key] for key in keys if key in settings} for settings in group]
        for place, settings in zip(places, told, strict=True):
            own[place] = settings
    return own


def with_presets(told: Settings, settings: Settings) -> dict[str, Any]:
    """What tells an arm apart, with the name of its preset in place of settings that come from it.

    An exponent of the sources says nothing without what it is an exponent of.

    Args:
        told: of `told_apart`.
        settings: all of the arm.
    """
    # The one with most keys first: `fall` says all that `released` does.
    for preset, values in sorted(SELECTION_PRESETS.items(), key=lambda each: -len(each[1])):
        is_of_it = all(key in settings and settings[key] == value for key, value in values.items())
        if is_of_it and not told.keys().isdisjoint(values):
            told = {"preset": preset, **{key: value for key, value in told.items() if key not in values}}
            break
    shown: dict[str, Any] = {}
    for key, value in told.items():
        shown[key] = value
        if key == "source_exponent" and key in settings:
            shown["source_weight"] = settings.get("source_weight", "rows")
    return shown


@dataclass(frozen=True)
class ExperimentLabel:
    """What an experiment says of the method of a run.

    Attributes:
        text: its label.
        settings: of its subset, as the YAML has them.
    """

    text: str
    settings: Settings

    def description(self, method: str) -> str:
        """What the label stands for, empty where it says that itself."""
        words = label_of(method, {key: value for key, value in self.settings.items() if key != "method"})
        return "" if words == self.text else words


def label_of(method: str, settings: Settings) -> str:
    return ", ".join([method, *(f"{key} {_shown(value)}" for key, value in settings.items())])


def _fewest(arms: Sequence[Settings]) -> tuple[str, ...]:
    """The fewest settings by which all these arms differ from one another."""
    differing = tuple(key for key in _keys(arms) if len({_text(settings, key) for settings in arms}) > 1)
    for number in range(min(_MOST_SETTINGS, len(differing)) + 1):
        for some in itertools.combinations(differing, number):
            if _tell_apart(some, arms):
                return some
    needed = differing
    for key in reversed(differing):  # the last ones say least to a reader
        others = tuple(each for each in needed if each != key)
        if _tell_apart(others, arms):
            needed = others
    return needed


def _keys(arms: Sequence[Settings]) -> list[str]:
    """The names of all settings. One that only some arms have is placed behind its predecessor there."""
    keys: list[str] = []
    for settings in arms:
        place = 0
        for key in settings:
            if key not in keys:
                keys.insert(place, key)
            place = keys.index(key) + 1
    return keys


def _tell_apart(keys: tuple[str, ...], arms: Sequence[Settings]) -> bool:
    return len({tuple(_text(settings, key) for key in keys) for settings in arms}) == len(arms)


def _unusual(arms: Sequence[Settings], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """In what each arm differs from what most have of a setting (of several, from what comes first)."""
    usual = {key: Counter(_text(settings, key) for settings in arms).most_common(1)[0][0] for key in keys}
    return [
        {key: settings.get(key, "not set") for key in keys if _text(settings, key) != usual[key]}
        for settings in arms
    ]


def _text(settings: Settings, key: str) -> str | None:
    """None for a setting that an arm does not have."""
    return _shown(settings[key]) if key in settings else None


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value[:8] if _SHA256.match(value) else value  # enough of a hash to tell two apart
    return json.dumps(value)
