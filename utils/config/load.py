"""Read a YAML into a `RunConfig`: defaults < YAML < command line, every error at once.

The reader is the safe one of PyYAML with two repairs. A key given twice is an error: PyYAML keeps the last.
Numbers are those of YAML 1.2: `2e-5` is one, which PyYAML takes for a text unless it has a dot,
and `1:30` and `010` are none, which PyYAML takes for 90 and 8.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from ..reading import YamlReader, parse_yaml, read_text
from .problems import listing, problems_of
from .released import is_released_config, translate_released_config
from .schema import RunConfig, missing_section
from .wandb_key import is_key_name

Schema = TypeVar("Schema", bound=BaseModel)
Checks = Mapping[str, Callable[[Any], Iterable[str]]]  # name of a section -> what is wrong with its value
NO_CHECKS: Checks = MappingProxyType({})
NO_DEFAULTS: Mapping[str, Any] = MappingProxyType({})

_NUMBERS = {
    "tag:yaml.org,2002:int": r"^[-+]?(0|[1-9][0-9_]*)$|^0x[0-9a-fA-F]+$",
    "tag:yaml.org,2002:float": (
        r"^[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?$"
        r"|^[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
    ),
}


class ConfigLoader(YamlReader):
    """YamlReader that refuses duplicate keys and reads the numbers of YAML 1.2."""


class ConfigDumper(yaml.SafeDumper):
    """SafeDumper that quotes the texts that our loader would read as numbers."""


# Both: what the dumper writes, the loader must read as the same kind of value.
for _side in (ConfigLoader, ConfigDumper):
    _side.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NUMBERS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for _tag, _pattern in _NUMBERS.items():
        _side.add_implicit_resolver(_tag, re.compile(_pattern), list("-+.0123456789"))


def _mapping_without_duplicates(loader: YamlReader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, int] = {}  # key -> its line
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, (str, int, float, bool)) and key is not None:
            kind = type(key).__name__
            raise ValueError(f"line {line}: found a key of kind {kind}, expected a plain name")
        if key in seen:
            raise ValueError(
                f"line {line}: key {key!r} was given on line {seen[key]} already: keep one of them"
            )
        seen[key] = line
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


ConfigLoader.add_constructor("tag:yaml.org,2002:map", _mapping_without_duplicates)


def load_config(
    config_file: str | Path,
    overrides: Iterable[str] = (),
    needs: Iterable[str] = (),
    checks: Checks = NO_CHECKS,
    defaults: Mapping[str, Any] = NO_DEFAULTS,
) -> tuple[RunConfig, list[str]]:
    """Read, translate, override and check one YAML.

    Args:
        config_file: path of the YAML. The released code's flat keys are understood too.
        overrides: `key.sub=value` strings, each value read as YAML.
        needs: names of sections the calling stage cannot do without, such as "model".
        checks: what the stage knows of a section's values; made of every section as far as it is right.
        defaults: sections for a YAML that lacks them.

    Returns:
        The frozen config, and one line per translated key for the user to read (none for our own YAMLs).

    Raises:
        FileNotFoundError: no such file.
        ValueError: everything else, all problems in one message.
    """
    path = Path(config_file)
    values, translations = read_translated(path)
    if "proxy" in values and "run_name" not in values:
        raise ValueError(
            f"{path}: found the YAML of an experiment, expected one of a run: give it to run_experiment.py"
        )
    config, problems = validated(RunConfig, {**defaults, **values}, overrides, needs, checks)
    if config is None:
        raise ValueError(listing(path, problems))
    return config, translations


def read_translated(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The keys of a run's YAML, and one line per translated key of the released code.

    Raises: as `read_values`.
    """
    values = read_values(path)
    if not is_released_config(values):
        return values, []
    try:
        return translate_released_config(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_values(path: Path) -> dict[str, Any]:
    """The keys of a YAML. Raises: FileNotFoundError; ValueError for what is no mapping."""
    if not path.exists():
        raise FileNotFoundError(
            f"config file {path} does not exist (current folder: {Path.cwd()}): "
            "give --config_file the path of a YAML"
        )
    values = _parse(read_text(path), str(path))
    if not isinstance(values, dict):
        raise ValueError(
            f"{path}: found {type(values).__name__}, expected a mapping of keys (run_name, model, ...)"
        )
    if secret := list(_key_names(values)):
        raise ValueError(
            f"{path}: found a wandb key in {', '.join(secret)}, expected none: settings are recorded. "
            "Take it out and set WANDB_API_KEY in the environment"
        )
    return values


def validated(
    schema: type[Schema],
    values: dict[str, Any],
    overrides: Iterable[str],
    needs: Iterable[str] = (),
    checks: Checks = NO_CHECKS,
) -> tuple[Schema | None, list[str]]:
    """The values with the overrides, as the schema, or None and all their problems."""
    problems = apply_overrides(values, overrides)
    config = None
    try:
        config = schema.model_validate(values)
        sections = dict(config)
    except ValidationError as error:
        problems += problems_of(error, schema)
        sections = _sound_sections(schema, values, checks, error)
    problems += [missing_section(section) for section in needs if values.get(section) is None]
    for name, check in checks.items():
        if sections.get(name) is not None:
            problems += check(sections[name])
    return None if problems else config, problems


def apply_overrides(values: dict[str, Any], overrides: Iterable[str]) -> list[str]:
    """Put them into the values. Returns: what is wrong with them."""
    problems = []
    for override in overrides:
        try:
            _apply_override(values, override)
        except ValueError as error:
            problems.append(str(error))
    return problems


def _sound_sections(
    schema: type[BaseModel], values: dict[str, Any], names: Iterable[str], error: ValidationError
) -> dict[str, Any]:
    """What can be checked of a config that is wrong: its sections, without the keys that the error names."""
    wrong = {item["loc"][:2] for item in error.errors()}
    sound = {}
    for name in names:
        field = schema.model_fields[name]
        section = values.get(name)
        if isinstance(section, dict):
            section = {key: value for key, value in section.items() if (name, key) not in wrong}
        if name in values:
            with contextlib.suppress(ValidationError):  # reported with the whole config
                sound[name] = TypeAdapter(field.rebuild_annotation()).validate_python(section)
    return sound


def as_yaml(value: Any) -> str:
    """A value in one line, as the command line takes it after `key=`."""
    text = yaml.dump(value, Dumper=ConfigDumper, default_flow_style=True, width=10**6)
    return text.removesuffix("...\n").strip()  # YAML ends a plain value by three dots


def _parse(text: str, origin: str) -> Any:
    try:
        return parse_yaml(text, ConfigLoader)
    except ValueError as error:
        raise ValueError(f"{origin}: {error}") from None


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key or any(not part for part in key.split(".")):
        raise ValueError(
            f"found {override!r} on the command line, expected key.sub=value, such as data.limit=1000"
        )
    *parents, last = key.split(".")
    section = values
    for parent in parents:
        inner = section.get(parent)
        if inner is not None and not isinstance(inner, dict):
            raise ValueError(f"{key}: {parent} is a plain value in the YAML, it has no key {last!r}")
        section[parent] = dict(inner or {})  # an alias (*name) elsewhere in the YAML keeps its own
        section = section[parent]
    section[last] = _parse(text, f"command line, {key}")


def _key_names(value: Any) -> Iterator[str]:
    """Settings at any depth that hold a wandb key."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for name, inner in value.items():
            if is_key_name(str(name)):
                yield str(name)
            yield from _key_names(inner)
