"""What tells arms apart: the fewest settings by which no two arms of a method are alike."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_MOST_SETTINGS = 3  # that are tried in all combinations; arms that differ in more are told apart by all
_SHA256 = re.compile(r"^[0-9a-f]{64}$")

Settings = Mapping[str, Any]


def told_apart(arms: Sequence[tuple[str, Settings]]) -> list[dict[str, Any]]:
    """Args: arms: of each its method and all its settings, those that say most to a reader first.

    Returns: of each the settings that tell it apart, none if its method does.
    """
    found: list[dict[str, Any]] = [{} for _ in arms]
    for method in dict.fromkeys(method for method, _ in arms):
        places = [place for place, (of_arm, _) in enumerate(arms) if of_arm == method]
        keys = _fewest([arms[place][1] for place in places])
        for place in places:
            found[place] = {key: arms[place][1][key] for key in keys if key in arms[place][1]}
    return found


def label_of(method: str, settings: Settings) -> str:
    return ", ".join([method, *(f"{key} {_shown(value)}" for key, value in settings.items())])


def _fewest(arms: Sequence[Settings]) -> tuple[str, ...]:
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
        return value[:8] if _SHA256.match(value) else value
    return json.dumps(value)
