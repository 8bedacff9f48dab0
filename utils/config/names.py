"""Look up a name that came from a YAML in one of the project's tables."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def look_up(table: Mapping[str, T], name: str, setting: str) -> T:
    """Raises: ValueError naming the setting, the nearest known name and all known names."""
    if name in table:
        return table[name]
    nearest = difflib.get_close_matches(name, table, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise ValueError(f"{setting}: unknown name {name!r}; {hint}known: {', '.join(table)}")
