"""Validation rows: examples of what the target should do well.

They are never selected; `cld` and `tacs` score the pool by them.

Legend: N examples of the pool, S sources, T checkpoints.
"""

from pathlib import Path

import numpy as np

from ..artifacts.paths import manifest_in
from ..artifacts.pools import pool_record, why_another_pool
from ..artifacts.trainings import TrainingManifest
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


def tuning_warnings(validation: Pool, trajectories: Trajectories) -> list[str]:
    """What to say where nobody tells on which rows the checkpoints were tuned, of which `tacs` has them.

    Raises: ValueError if they were trained on others.
    """
    manifest = trajectories.manifest
    trained_on = None if manifest is None else manifest.trained_on or _pool_of_training(trajectories.origin)
    if trained_on == validation.fingerprint:
        return []
    what = "may have been trained" if trained_on is None else "were trained"
    said = (
        f"method tacs: the checkpoints of {trajectories.origin} {what} on other rows than {validation.name}, "
        "and how far their losses fall says nothing of these. Tune the proxy on them and nothing else "
        "(train.py, data.path), score the pool by it as another run (get_trajectories.py, --model_path), and "
        "name that in subset.trajectories_from"
    )
    if trained_on is not None:
        raise ValueError(said)
    return [said]


def _pool_of_training(trajectories: Path) -> str | None:
    """The fingerprint of the rows that a run was trained on whose own checkpoints were scored.

    Earlier versions did not record it with the losses.
    """
    path = manifest_in(trajectories.parent)
    return TrainingManifest.read(path).inputs.get("pool") if path.is_file() else None
