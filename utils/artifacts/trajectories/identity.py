"""What losses were made from, as one checksum: a name alone would not notice a retrained proxy."""

from ..checksums import checksum, checksum_of_json
from .read import Trajectories
from .released import released_identity


def trajectories_identity(trajectories: Trajectories) -> str:
    """sha256 over what made the losses that are used; of losses from a file, over their bytes."""
    if trajectories.manifest is None:
        origin = trajectories.origin
        contents = released_identity(origin) if origin.is_dir() else checksum(origin)
        return contents if trajectories.steps is None else f"{contents}, steps {trajectories.steps}"
    assert trajectories.steps is not None
    checkpoints = trajectories.manifest.checkpoints
    made_from = {
        "inputs": trajectories.manifest.inputs,
        "checkpoints": {str(step): checkpoints[step] for step in trajectories.steps},
    }
    return checksum_of_json(made_from)
