"""Rows of Parquet files, of folders that `datasets` saved, and of datasets on the hub."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts.checksums import checksum
from ..artifacts.paths import cache_root
from ..config.schema import DataConfig
from ..process.errors import explained
from ..process.hub import look_for, why_no_hub
from ..process.reporter import reporter
from ..reading import open_bytes
from .unpacking import PACKED_SUFFIXES

_ROWS_AT_ONCE = 1000
_GUESSED = ("csv", "json", "pandas")  # what `datasets` reads with types that it makes out of the values
_READ_BY_NAME = (".csv", ".json", ".jsonl")  # of what it reads so, those that S2L reads itself
_SHORT_FLOATS = {"float16": np.float16, "float32": np.float32}


class DatasetRows:
    """Rows through the `datasets` library: memory-mapped, decoded when they are read."""

    def __init__(self, path: str, data: DataConfig, limit: int | None):
        """The first rows of one entry of `data.path`.

        Args:
            path: of it.
            data: which split and configuration of a dataset it means.
            limit: rows at most.

        Raises: FileNotFoundError; ValueError for what `datasets` cannot read.
        """
        dataset = _load(path, data).with_format(None)  # it may have been saved as one of arrays
        self._rows = dataset if limit is None else dataset.select(range(min(limit, len(dataset))))
        converters = {name: _converter(feature) for name, feature in dataset.features.items()}
        self._converters = {name: convert for name, convert in converters.items() if convert is not None}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self._rows.iter(_ROWS_AT_ONCE):
            names = list(batch)
            for values in zip(*batch.values(), strict=True):
                yield self._converted(dict(zip(names, values, strict=True)))

    def read(self, row: int) -> dict[str, Any]:
        return self._converted(self._rows[row])

    def line(self, row: int) -> bytes:
        return json.dumps(self.read(row), ensure_ascii=False, default=str).encode()

    def table(self, rows: Sequence[int]) -> Any:
        """As a pyarrow.Table, every column of the type that it has."""
        return self._rows.with_format("arrow")[list(rows)]

    def _converted(self, row: dict[str, Any]) -> dict[str, Any]:
        for name, convert in self._converters.items():
            if row[name] is not None:
                row[name] = convert(row[name])
        return row


def _converter(feature: Any) -> Callable[[Any], Any] | None:
    """What turns a column's values into what a person would have written. None where nothing has to."""
    import datasets

    if isinstance(feature, datasets.ClassLabel):
        return lambda code: feature.int2str(code) if code >= 0 else None  # -1 stands for "no label"
    short_float = _SHORT_FLOATS.get(getattr(feature, "dtype", ""))
    if short_float is not None:
        # Through its text: 0.1, not the 0.10000000149 that it is as a double.
        return lambda value: float(str(short_float(value)))
    return None


def _load(name: str, data: DataConfig) -> Any:
    # A second to import, and selection from text files does without.
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what it logs as errors, it raises as well
    path = Path(name)
    if path.is_file():
        _refuse_other_files(path)
    found = (
        "cannot be read" if path.exists() else "is no file or folder here and cannot be loaded from the hub"
    )
    way_out = "expected rows that the library `datasets` reads: docs/own_data.md says which"
    with explained(f"data.path: {name} {found}", way_out):
        return _loaded(name, data)


def _loaded(name: str, data: DataConfig) -> Any:
    """What `datasets` makes of a path or a hub name. Raises: whatever it likes."""
    import datasets
    import pyarrow.parquet
    from datasets.exceptions import DatasetGenerationError

    path = Path(name)
    try:
        if path.is_file():
            # `datasets` would raise an error of its own.
            if not pyarrow.parquet.read_metadata(path).num_rows:
                raise ValueError(
                    f"{path}: found no rows, expected some: is the file the right one, and whole?"
                )
            # `datasets` knows a file by its name and time, which a copy may keep from another one.
            own = cache_root() / "datasets" / checksum(path)
            return datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(own))
        if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
            return _one_split(datasets.load_from_disk(name), data)
        look_for(name, "data.path")
        if path.is_dir():
            _refuse_guessed_types(path, datasets.load_dataset_builder(name, data.name))
            return datasets.load_dataset(name, data.name, split=data.split)
        loaded = datasets.load_dataset(name, data.name, split=data.split, revision=data.revision)
        if (reason := why_no_hub()) is not None:
            reporter.warn(f"note: {reason}: {name} is read as it was when the hub last answered")
        return loaded
    except DatasetGenerationError as error:  # the one behind it says what is wrong
        raise error.__cause__ or error from None


def _refuse_other_files(path: Path) -> None:
    """Raises: ValueError for what is no whole Parquet file: one has its mark at both ends."""
    with open_bytes(path) as file:
        beginning = file.read(4)
        file.seek(max(0, path.stat().st_size - 4))
        if not beginning == file.read() == b"PAR1":
            raise ValueError(
                f"data.path: {path} is not a whole Parquet file: copy or write it again, "
                "or let its name say what it is"
            )


def _refuse_guessed_types(folder: Path, builder: Any) -> None:
    """Raises: ValueError for text files, of whose values `datasets` guesses the types."""
    if builder.name not in _GUESSED:
        return
    (first, *_), *_ = builder.config.data_files.values()
    file = folder / Path(first).resolve().relative_to(folder.resolve())
    suffixes = file.suffixes[-2 if file.suffix in PACKED_SUFFIXES else -1 :]
    if suffixes[0] in _READ_BY_NAME:
        pattern = file.with_name("*" + "".join(suffixes))
        way_out = f"or files by name: write {file}, or a pattern such as {pattern}"
    else:
        way_out = f"or a file: write the rows of {file.name} as .jsonl, .csv or .parquet, and name that file"
    raise ValueError(
        f"data.path: found {folder}, a folder of {builder.name.upper()} files, where `datasets` would guess "
        f'types ("007" becomes 7), expected a folder that it saved, {way_out}'
    )


def _one_split(saved: Any, data: DataConfig) -> Any:
    """Of what `save_to_disk` left, the dataset that `data.split` names. Raises: ValueError."""
    if not isinstance(saved, dict):
        if "split" in data.model_fields_set:
            raise ValueError(
                f"data.split: found {data.split!r}, but the folder holds one dataset: remove data.split"
            )
        return saved
    if data.split not in saved:
        raise ValueError(
            f"data.split: found {data.split!r}, the folder holds {', '.join(saved)}: name one of them"
        )
    return saved[data.split]
