"""What differs between two records, leaf by leaf, and between the rows that two results were made of."""

import os
from pathlib import Path
from typing import Any

from ..config.schema import DataConfig, PoolPart, path_in_words
from ..reading import matching_paths
from ..terminal import one_line

_CELL = 70  # characters shown of a value
_DIGEST = 64  # characters of a sha256


def differing_leaves(recorded: dict[str, Any], wanted: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The innermost entries that differ.

    Returns: dotted key -> (there, now), in the order of the keys. None = not there.
    """
    leaves: dict[str, tuple[Any, Any]] = {}
    for name in sorted(recorded.keys() | wanted.keys()):
        there = recorded.get(name)
        now = wanted.get(name)
        if isinstance(there, dict) and isinstance(now, dict):
            leaves |= {f"{name}.{leaf}": values for leaf, values in differing_leaves(there, now).items()}
        elif there != now:
            leaves[name] = (there, now)
    return leaves


def difference_lines(recorded: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """The differing leaves for people, one a line. No value is cut before it differs."""
    return [
        f"  {name}: there {_shown(there, now)}, now {_shown(now, there)}"
        for name, (there, now) in differing_leaves(recorded, wanted).items()
    ]


def _shown(value: Any, other: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str) and len(value) == _DIGEST and value.isalnum():
        return f"{value[:12]}..."  # a digest says nothing but that it differs
    if isinstance(value, dict):
        return f"a section ({one_line(', '.join(value), _CELL)})"
    if isinstance(value, list) and isinstance(other, list):
        return _list_shown(value, other)
    text = repr(value)
    pairs = zip(text, repr(other), strict=False)
    same = next((place for place, (one, two) in enumerate(pairs) if one != two), len(text))
    if len(text) <= _CELL or same < _CELL // 2:
        return one_line(text, _CELL)
    return f"...{one_line(text[same - 20 :], _CELL)}"  # begins a little before the difference


def _list_shown(value: list[Any], other: list[Any]) -> str:
    if len(repr(value)) <= _CELL:
        return repr(value)
    first = next(
        (n for n, (one, two) in enumerate(zip(value, other, strict=False)) if one != two), len(other)
    )
    entries = f"{len(value)} entries"
    if first >= len(value):  # the other goes on
        return entries
    return f"{entries}, entry {first} is {one_line(repr(value[first]), _CELL)}"


def pool_record(data: DataConfig | None) -> dict[str, Any] | None:
    """Where the rows came from: what their fingerprint follows from, and the file's absolute path.

    Of a list or a pattern, `absolute_path` is a list of what is read for it, with the settings of its own.
    """
    if data is None:
        return None
    record = data.model_dump(mode="json", exclude={"template", "max_length", "validation"})
    if isinstance(data.path, str) and matching_paths(data.path) == [data.path]:
        return {**record, "absolute_path": os.path.abspath(data.path) if Path(data.path).exists() else None}
    places = [_place(path, part) for part in data.parts for path in matching_paths(part.path)]
    return {**record, "absolute_path": places}


def _place(path: str, part: PoolPart) -> str | dict[str, Any]:
    place = os.path.abspath(path) if Path(path).exists() else path  # a name on the hub
    own = part.model_dump(mode="json", exclude={"path"}, exclude_none=True)
    return {"path": place, **own} if own else place


def why_another_pool(recorded: dict[str, Any] | None, now: dict[str, Any] | None) -> str:
    """Why a pool has another fingerprint: which settings of the data section differ, or that the rows do.

    Args:
        recorded: the `pool_record` of then, None where there is none.
        now: the `pool_record` of now, likewise.
    """
    if recorded is None or now is None:
        return "no record says which setting of the data section differs"
    # A record of before a setting was there means its default.
    defaults = {
        name: field.get_default(call_default_factory=True) for name, field in DataConfig.model_fields.items()
    }
    earlier = {name: defaults[name] for name in now if name in defaults and name not in recorded}
    differing = differing_leaves({**earlier, **recorded}, now)
    places = differing.pop("absolute_path", None)
    if places is None and now["absolute_path"] is not None:
        differing.pop("path", None)  # the same file by another path
    elif places is not None and "path" not in differing and list in map(type, places):
        differing["path"] = places  # a pattern matches other files
    if not differing:
        rows = f"the rows of {path_in_words(now['path'])}"
        return f"the data section is the same, so {rows} have changed since"
    return ", ".join(
        f"data.{name}: there {_shown(one, other)}, now {_shown(other, one)}"
        for name, (one, other) in differing.items()
    )
