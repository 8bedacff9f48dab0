"""Mean response embeddings of the last checkpoint, at unit length.

Legend: N examples of the pool, n candidates, m some of them, d dimensions.
"""

import numpy as np

from ...artifacts.trajectories.read import read_quantity
from ...config.schema import SubsetConfig
from ..candidates import Candidates
from ..unscorable import row_numbers_text
from .kmeans import ReadRows

_ROWS_AT_ONCE = 2**16


def check_embeddings(candidates: Candidates, subset: SubsetConfig) -> None:
    """Read them all. Raises: as `unit_embeddings`."""
    read_rows = unit_embeddings(candidates)
    for start in range(0, len(candidates.rows), _ROWS_AT_ONCE):
        read_rows(slice(start, start + _ROWS_AT_ONCE))


def unit_embeddings(candidates: Candidates) -> ReadRows:
    """Reads float32 (m, d) by position among the candidates, from a memory-mapped file.

    Raises:
        FileNotFoundError: naming the command that makes the file.
        ValueError: for rows without a direction.
    """
    trajectories = candidates.needed_trajectories
    embeddings_Nd = read_quantity(trajectories, "embeddings", trajectories.last_step)

    def read(position_m: np.ndarray | slice) -> np.ndarray:
        rows_m = candidates.rows[position_m]
        embeddings_md = embeddings_Nd[rows_m].astype(np.float32)
        norm_m = np.sqrt(np.einsum("md,md->m", embeddings_md, embeddings_md, dtype=np.float64))
        without = ~((norm_m > 0) & np.isfinite(norm_m))
        if without.any():
            raise ValueError(
                f"{trajectories.origin}: found embeddings that are zero or not finite: "
                f"{row_numbers_text(rows_m[without])}: score them again, or leave them out (subset.exclude)"
            )
        return (embeddings_md / norm_m[:, None]).astype(np.float32)

    return read
