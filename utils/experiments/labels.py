"""The labels of arms: the fewest settings by which no two arms of a method are alike."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_MOST_SETTINGS = 3  # tried in all combinations, whose number grows fast; arms that need more show all
_SHA256 = re.compile(r"^[0-9a-f]{64}$")

Settings = Mapping[str, Any]


def told_apart(arms: Sequence[tuple[str, Settings]]) -> list[dict[str, Any]]:
    """The settings that tell each arm apart, none if its method does.

    Args:
        arms: method and settings of each, with the settings that say most to a reader first.
    """
    settings_of_method: dict[str, list[Settings]] = {}
    for method, settings in arms:
        settings_of_method.setdefault(method, []).append(settings)
    keys_of_method = {method: _fewest(settings) for method, settings in settings_of_method.items()}
    return [
        {key: settings[key] for key in keys_of_method[method] if key in settings} for method, settings in arms
    ]


def label_of(method: str, settings: Settings) -> str:
    return ", ".join([method, *(f"{key} {_shown(value)}" for key, value in settings.items())])


def _fewest(arms: Sequence[Settings]) -> tuple[str, ...]:
    """The fewest settings by which all these arms differ from one another."""
    texts = [{key: _shown(value) for key, value in settings.items()} for settings in arms]
    keys = dict.fromkeys(key for settings in texts for key in settings)
    differing = [key for key in keys if len({settings.get(key) for settings in texts}) > 1]
    for number in range(min(_MOST_SETTINGS, len(differing)) + 1):
        for some in itertools.combinations(differing, number):
            if len({tuple(settings.get(key) for key in some) for settings in texts}) == len(texts):
                return some
    return tuple(differing)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value[:8] if _SHA256.match(value) else value  # enough of a hash to tell two apart
    return json.dumps(value)
