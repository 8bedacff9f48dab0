"""What a subset is made from: the entries that are compared before one is reused."""

import hashlib
import json
from typing import Any

from utils.artifacts.subsets import Subset
from utils.artifacts.trajectories import Trajectories, read_trajectories
from utils.config.names import look_up
from utils.config.schema import RunConfig, SubsetConfig
from utils.data.pool import Pool
from utils.selection.methods import METHODS


def subset_inputs(config: RunConfig, pool: Pool, trajectories: str | None) -> dict[str, Any]:
    """All that the chosen rows depend on, compared before a subset is reused; trajectories: their identity."""
    assert config.subset is not None
    subset = config.subset
    settings = look_up(METHODS, subset.method, "subset.method").settings
    return {
        **pool_inputs(pool),
        "method": subset.method,
        "seed": config.seed,
        ("budget_rows" if isinstance(subset.budget, int) else "budget_fraction"): subset.budget,
        **{name: getattr(subset, name) for name in settings},
        "trajectories": trajectories,
    }


def pool_inputs(pool: Pool) -> dict[str, Any]:
    return {"pool": pool.fingerprint, "num_examples": len(pool)}


def trajectories_identity(trajectories: Trajectories) -> str:
    """sha256 over what made the losses that are used: a name alone would not notice a retrained proxy."""
    if trajectories.steps is None:
        with open(trajectories.origin, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    checkpoints = trajectories.manifest["checkpoints"]
    made_from = {
        "inputs": trajectories.manifest["inputs"],
        "checkpoints": {str(step): checkpoints[str(step)] for step in trajectories.steps},
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def identity_if_there(subset: SubsetConfig, found: Subset) -> str | None:
    """Identity of the configured trajectories; if they are gone since the subset was made, the recorded one."""
    if subset.trajectories_from is None:
        return None
    try:
        return trajectories_identity(read_trajectories(subset.trajectories_from, subset.steps))
    except FileNotFoundError:
        used = found.manifest["trajectories"]
        if used is None or used["from"] != subset.trajectories_from:
            raise
        return found.manifest["inputs"]["trajectories"]
