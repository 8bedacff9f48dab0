"""The config.yml of a run: what its stages were told, every default written out"""

from typing import Any

import yaml

from ..config.load import ConfigDumper, ConfigLoader
from ..config.schema import RunConfig
from ..reading import parse_yaml, read_text
from ..terminal import one_line
from .files import atomic_write, remove_leftovers
from .locks import locked
from .paths import RunPaths

# Keys of a subset that are looked up in a config.yml -> their types.
_READ_BY_OTHERS = {"trajectories_from": str, "same_as": str, "steps": list}


def keep_config(paths: RunPaths, config: RunConfig) -> None:
    """Write the config of a run that is scored, selected for or evaluated.

    A trained run keeps that of its training.
    """
    with locked(paths.config):
        if not paths.manifest.is_file():
            write_config(paths, config)


def write_config(paths: RunPaths, config: RunConfig) -> None:
    """The resolved config, every default written out: the first file of a run. The caller holds its lock."""
    remove_leftovers(paths.root, paths.config.name)
    with atomic_write(paths.config) as file:
        yaml.dump(config.model_dump(mode="json"), file, ConfigDumper, sort_keys=False, allow_unicode=True)


def recorded_config(paths: RunPaths) -> dict[str, Any]:
    """What `write_config` wrote, empty where it is not there. Raises: ValueError for a damaged one."""
    if not paths.config.exists():
        return {}
    text = read_text(paths.config)
    try:
        values = parse_yaml(text, ConfigLoader)
    except ValueError as error:
        raise ValueError(f"{paths.config} is damaged ({error}): copy the run's YAML there") from None
    if not isinstance(values, dict):
        raise ValueError(f"{paths.config} is damaged (it holds no keys): copy the run's YAML there")
    return values


def recorded_subset(paths: RunPaths) -> dict[str, Any]:
    """The `subset` section of what `write_config` wrote, empty where it is not there.

    Raises: ValueError for a damaged one.
    """
    section = recorded_config(paths).get("subset") or {}
    if not isinstance(section, dict):
        raise ValueError(f"{paths.config} is damaged (subset holds no keys): copy the run's YAML there")
    for name, kind in _READ_BY_OTHERS.items():
        value = section.get(name)
        if value is not None and not isinstance(value, kind):
            found = one_line(repr(value), 60)
            raise ValueError(
                f"{paths.config} is damaged (subset.{name} is {found}): copy the run's YAML there"
            )
    return section
