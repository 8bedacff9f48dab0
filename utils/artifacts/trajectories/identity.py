"""What losses were made from, as one checksum: a name alone would not notice a retrained proxy."""

from collections.abc import Sequence

from ..checksums import checksum, checksum_of_json
from .manifest import TrajectoriesManifest
from .read import Trajectories
from .released import released_identity


def trajectories_identity(trajectories: Trajectories) -> str:
    """sha256 over what made the losses that are used; of losses from a file, over their bytes."""
    if trajectories.manifest is None:
        origin = trajectories.origin
        contents = released_identity(origin) if origin.is_dir() else checksum(origin)
        return contents if trajectories.steps is None else f"{contents}, steps {trajectories.steps}"
    assert trajectories.steps is not None
    identity = identity_of_steps(trajectories.manifest, trajectories.steps)
    assert identity is not None
    return identity


def identity_of_steps(manifest: TrajectoriesManifest, steps: Sequence[int]) -> str | None:
    """The same of losses at these steps, None where some of them are no longer there."""
    if not set(steps) <= manifest.checkpoints.keys():
        return None
    checkpoints = {str(step): manifest.checkpoints[step] for step in steps}
    return checksum_of_json({"inputs": manifest.inputs, "checkpoints": checkpoints})


def base_losses_identity(trajectories: Trajectories) -> str | None:
    """The identity of the base model's losses (step 0), which are not part of the trajectory.

    None if they are not on disk.
    """
    return None if trajectories.manifest is None else identity_of_steps(trajectories.manifest, [0])
