"""Validation rows: examples of what the target should do well.

They are never selected; `cld` and `tacs` score the pool by them.

Legend: N examples of the pool, S sources, T checkpoints.
"""

import numpy as np

from ..artifacts.pools import pool_record, why_another_pool
from ..artifacts.trajectories.read import Trajectories, read_validation
from ..data.formats import Example
from ..data.pool import Pool
from ..data.rows import Rows


def open_validation(pool: Rows) -> Pool | None:
    """The rows of `data.validation`, None without. Raises: as `Pool`."""
    data = None if pool.data is None else pool.data.validation_data
    return None if data is None else Pool(data)


def rows_of_validation(pool: Rows, validation: Pool) -> np.ndarray:
    """int64, ascending: the rows of the pool that are validation rows, by all their texts but the source."""
    texts = {_texts(example) for example in validation}
    return np.array([row for row, example in enumerate(pool) if _texts(example) in texts], np.int64)


def _texts(example: Example) -> tuple[str, str, str]:
    return example.instruction, example.input, example.response


def mean_losses(
    validation: Pool, trajectories: Trajectories, source_names: list[str]
) -> tuple[np.ndarray, list[str]]:
    """The mean loss of the validation rows of each source of a pool, and of all where a source has none.

    Args:
        trajectories: of the pool, beside which those of the validation rows lie.
        source_names: of the pool.

    Returns:
        float64 (S, T), and the sources without validation rows.

    Raises: FileNotFoundError, ValueError as `read_validation`, or for losses of other rows or none.
    """
    found = read_validation(trajectories)
    manifest = found.manifest
    assert manifest is not None
    if not manifest.is_of(validation):
        why = why_another_pool(manifest.data, pool_record(validation.data))
        raise ValueError(
            f"data.validation: {found.origin} holds losses of other rows than {validation.name} ({why}): "
            "give the file that was scored, or score this one (--overwrite)"
        )
    losses_VT = found.rows(slice(None)).astype(np.float64)
    has_loss_V = ~np.isnan(losses_VT).any(axis=1)
    if not has_loss_V.any():
        raise ValueError(
            f"data.validation: no row of {validation.name} has a loss at every checkpoint, expected at least "
            "one: are their responses cut off (data.max_length)?"
        )
    names = np.array(validation.source_names)[validation.source_codes]
    mean_ST = np.empty((len(source_names), losses_VT.shape[1]))
    without = []
    for source, name in enumerate(source_names):
        of_source_V = has_loss_V & (names == name)
        if not of_source_V.any():
            without.append(name)
            of_source_V = has_loss_V
        mean_ST[source] = losses_VT[of_source_V].mean(axis=0)
    return mean_ST, without
