"""The chosen rows as a Parquet file, with their columns as they were."""

from pathlib import Path

import numpy as np

from ...process.errors import explained, naming
from ..rows import Rows
from ..tables import joined_tables

_ROWS_AT_ONCE = 10_000


def write_table(path: Path, pool: Rows, indices: np.ndarray) -> None:
    """Write the columns of these rows. The type of a column is that of its values in all of them.

    Args:
        indices: int64, row numbers of the pool.

    Raises: ValueError for what no table can hold, such as half a surrogate pair in a column that is not read.
    """
    # A tenth of a second to import, and selection does without.
    import pyarrow.parquet

    way_out = "repair them, or use the rows of subset.jsonl"
    with naming(path), explained("--write_for parquet: these rows cannot lie in one table", way_out):
        starts = range(0, len(indices), _ROWS_AT_ONCE)
        parts = [pool.table(indices[start : start + _ROWS_AT_ONCE].tolist()) for start in starts]
        pyarrow.parquet.write_table(joined_tables(parts), path)
