"""What differs between two records, leaf by leaf."""

from typing import Any

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
        f"  {name}: {there_and_now(there, now)}"
        for name, (there, now) in differing_leaves(recorded, wanted).items()
    ]


def there_and_now(there: Any, now: Any) -> str:
    """Two values that differ, for people."""
    return f"there {_shown(there, now)}, now {_shown(now, there)}"


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
