"""What is wrong with a `data` section before a row is read, and the pool of one that is right."""

from collections.abc import Iterator
from pathlib import Path

from ..config.schema import DataConfig, RunConfig
from .containers import is_local, parts_of
from .formats import row_reader
from .pool import Pool


def data_problems(data: DataConfig) -> list[str]:
    """Columns that cannot be meant, a file that does not exist, and settings that a file cannot honour."""
    of_validation = () if data.validation_data is None else _path_problems(data.validation_data, "validation")
    return [*reading_problems(data), *_path_problems(data), *of_validation, *_template_problems(data)]


def reading_problems(data: DataConfig) -> list[str]:
    """As `data_problems`, for a command that can do without the pool itself."""
    problems: dict[str, None] = {}  # each once, in their order
    for settings in (data, *map(data.read_as, data.parts)):
        try:
            row_reader(settings)
        except ValueError as error:
            problems[str(error)] = None
    return list(problems)


def _path_problems(data: DataConfig, key: str = "path") -> Iterator[str]:
    try:
        names = [part.path for part in parts_of(data)]
    except (FileNotFoundError, ValueError) as error:
        yield str(error)
        return
    for name in names:
        if not Path(name).exists() and is_local(name):
            yield f"data.{key}: {Path(name)} does not exist (current folder: {Path.cwd()})"
    if key == "path" and all(Path(name).is_file() for name in names):
        of_hub = (
            ("split", data.split, "train"),
            ("name", data.name, None),
            ("revision", data.revision, None),
        )
        for setting, value, default in of_hub:
            if value != default:
                yield (
                    f"data.{setting}: found {value!r}, which a file cannot honour "
                    f"({data.origin} is read whole): remove it, or give data.path a file of these rows"
                )
    elif key == "path" and data.revision is not None and all(Path(name).exists() for name in names):
        yield (
            f"data.revision: found {data.revision!r}, expected none for {data.origin}, which lies here: "
            "remove it, or name a dataset on the hub"
        )


def _template_problems(data: DataConfig) -> Iterator[str]:
    if data.template.endswith(".jinja") and not Path(data.template).is_file():
        yield f"data.template: {data.template} is not a file (current folder: {Path.cwd()})"


def read_pool(config: RunConfig) -> Pool:
    """The pool of a config that has a `data` section.

    Raises: ValueError for rows that cannot be read, or a named column of sources that no row has.
    """
    pool = Pool(config.data_section)
    _check_sources(pool)
    return pool


def _check_sources(pool: Pool) -> None:
    """Raises: ValueError if the config names the column of the sources and no row has one."""
    column = pool.data.source_column
    if "source_column" in pool.data.model_fields_set and pool.source_names == [""]:
        raise ValueError(
            f"data.source_column: found {column!r}, but no row of {pool.name} has a text in such a column: "
            "name one that is there, or remove the key"
        )
