"""Where the rows of a result came from, and why a pool is another one than that."""

import os
from pathlib import Path
from typing import Any

from ..config.schema import DataConfig, PoolPart, path_in_words
from ..reading import matching_paths
from .differences import differing_leaves, there_and_now


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
        return (
            f"the data section is the same: {rows} have changed since, or an earlier version read them "
            "otherwise (calls of tools, thinking, system texts, which turns count)"
        )
    return ", ".join(f"data.{name}: {there_and_now(*values)}" for name, values in differing.items())
