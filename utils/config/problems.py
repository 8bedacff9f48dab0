"""What pydantic found wrong with a YAML: key, found, expected, and the key that was probably meant."""

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ..terminal import counted, one_line, visible
from .names import SYNONYMS, meant_key, nearest
from .train_arg_names import train_arg_names

_EXPECTED = {
    "string_type": "a text",
    "string_unicode": "a text without half a surrogate pair",
    "string_too_short": "a text that is not empty",
    "string_too_long": "at most {max_length} characters",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping of names to values",
    "model_type": "a section of keys",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "too_short": "at least {min_length} of them",
    "literal_error": "{expected}",
    # The names of runs and experiments are the only texts with a pattern: they are folder names.
    "string_pattern_mismatch": (
        "a folder name of letters, digits and . _ + = -, beginning with a letter or digit"
    ),
}
_NUM_SHOWN = 50  # problems of one YAML
# pydantic names the branch of a union, and that a key itself is wrong, as if that were a key.
_UNION_BRANCH = re.compile(
    r"(PoolPart|int|float|str|bool|constrained-\w+|(list|dict|literal|function-[\w-]+|nullable)\[.*|\[key\])"
)


def problems_of(error: ValidationError, schema: type[BaseModel]) -> list[str]:
    """One line a key, in the order of the schema's checks."""
    items = [(_key(item["loc"]), item) for item in error.errors()]
    by_key: dict[str, list[Any]] = {}
    for key, item in items:
        # Each branch of a union complains. The one that got further into the value says more.
        is_outdone = any(other.startswith(f"{key}.") for other, _ in items)
        if not is_outdone:
            by_key.setdefault(key, []).append(item)
    return [_described(key, found, schema) for key, found in by_key.items()]


def listing(origin: Any, problems: list[str]) -> str:
    lines = [f"  - {problem}" for problem in problems[:_NUM_SHOWN]]
    if more := len(problems) - len(lines):
        lines.append(f"  - and {more:,} more")
    return "\n".join([f"{origin}: {counted(len(problems), 'problem')}", *lines])


def known_keys(schema: type[BaseModel]) -> list[str]:
    """All dotted keys, sections included, and under train_args the names of the installed transformers."""
    keys = list(_keys(schema))
    return [*keys, *(f"train_args.{name}" for name in train_arg_names())] if "train_args" in keys else keys


def hint_for(key: str, schema: type[BaseModel]) -> str:
    """For a key that is unknown: the one that was probably meant, or those that its section has."""
    meant = meant_key(key, known_keys(schema))
    if meant is not None:
        return f"did you mean {meant}?"
    section = key.rpartition(".")[0]
    names = [other.rpartition(".")[2] for other in _keys(schema) if other.rpartition(".")[0] == section]
    return f"known: {', '.join(names)}" if names else "leave it out"


def _key(location: tuple[int | str, ...]) -> str:
    names = [visible(str(part)) for part in location if not _UNION_BRANCH.fullmatch(str(part))]
    return ".".join(name if name.strip() else repr(name) for name in names)


def _described(key: str, items: list[Any], schema: type[BaseModel]) -> str:
    first = items[0]
    if first["type"] in ("extra_forbidden", "invalid_key"):
        return f"{key}: unknown key; {hint_for(key, schema)}"
    if first["type"] == "missing":
        return f"{key}: missing, and it has no default"
    if first["type"] == "value_error":
        return f"{key or 'the whole file'}: {first['ctx']['error']}"
    expected = list(dict.fromkeys(_expected(item) for item in items))
    text = f"{key}: found {one_line(repr(first['input']), 80)}, expected {' or '.join(expected)}"
    if first["type"] == "literal_error" and isinstance(first["input"], str):
        near = nearest(first["input"], re.findall(r"'([^']*)'", first["ctx"]["expected"]))
        return f"{text}; did you mean {near!r}?" if near else text
    if first["input"] is None and ":" in key:
        return f"{text}; YAML wants a space behind a colon"
    meant = [other for other in SYNONYMS.get(key.rpartition(".")[2], ()) if other != key]
    return f"{text}; did you mean {' or '.join(meant)}?" if meant else text


def _expected(item: Any) -> str:
    """pydantic's own words only for what no key of ours can be refused for today."""
    if item["type"] not in _EXPECTED:
        return str(item["msg"])
    return _EXPECTED[item["type"]].format(**item.get("ctx", {}))


def _keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield prefix + name
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _keys(part, f"{prefix}{name}.")
