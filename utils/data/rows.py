"""What selection asks of the rows it chooses from: a pool, or rows of which no text is known."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ..config.schema import DataConfig
from .formats import Example


class Rows(Protocol):
    """Rows by number, and where each comes from.

    Attributes:
        name: for messages.
        data: the section they are read by, None where only their number is known.
        fingerprint: changes with the rows.
        texts_fingerprint: changes with their texts, whatever their sources are. Empty where no text is known.
        source_names: ascending.
        source_codes: each row's index into them, int32 (N,).
        excluded: whether a row is never used, bool (N,).
        has_texts: whether `line`, `table` and `column` can be asked, and examples are more than sources.
    """

    name: str
    fingerprint: str
    texts_fingerprint: str
    source_names: list[str]
    source_codes: np.ndarray
    excluded: np.ndarray
    has_texts: bool

    @property
    def data(self) -> DataConfig | None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, row: int) -> Example: ...
    def __iter__(self) -> Iterator[Example]: ...
    def line(self, row: int) -> bytes: ...
    def origin_of(self, row: int) -> str: ...
    def table(self, rows: Sequence[int]) -> Any: ...
    def column(self, name: str) -> Iterator[str | None]: ...
