"""What a subset is made from: the entries that are compared before one is reused."""

from pathlib import Path
from typing import Any

from ..artifacts.checksums import checksum, checksum_of_json, checksum_of_rows
from ..artifacts.manifests import check_inputs
from ..artifacts.paths import manifest_in, named_subset
from ..artifacts.subsets import Subset
from ..artifacts.trajectories.identity import base_losses_identity, trajectories_identity
from ..artifacts.trajectories.read import Trajectories, read_trajectories
from ..artifacts.trajectories.write import BASE_LOSSES
from ..config.names import LIMITS
from ..config.schema import RunConfig, SubsetConfig
from ..data.pool import Pool
from ..data.rows import Rows
from ..reading import check_kind, read_text
from .methods.table import METHODS
from .named_rows import check_texts, read_rows

# What an unset num_clusters is recorded as: with the pool and the limits, which are inputs too,
# it says how many.
DERIVED = "a hundredth of the rows of the largest source, or of the pool; 1 to 100"

# Settings that subsets of before did not have. They were made by the defaults, which are not recorded.
_LATER = ("features", "pick", "source_exponent", "source_weight", "cluster_exponent")


def subset_inputs(
    config: RunConfig, pool: Rows, losses: dict[str, Any], validation: Pool | None, extended: Subset | None
) -> dict[str, Any]:
    """All that the chosen rows depend on except the budget, compared before a subset is reused.

    Args:
        losses: `loss_inputs`.
        validation: rows of `data.validation`.
        extended: the subset whose rows are kept.
    """
    subset = config.subset_section
    method = METHODS[subset.method]
    inputs = pool_inputs(pool) | {"method": subset.method, "seed": config.seed}
    if method.revision > 1:
        inputs["revision"] = method.revision
    for name in method.settings:
        value = getattr(subset, name)
        if name not in _LATER or value != SubsetConfig.model_fields[name].default:
            inputs[name] = value
    if "num_clusters" in method.settings and subset.num_clusters is None:
        inputs["num_clusters"] = DERIVED
    inputs |= losses | limit_inputs(subset, pool)
    if validation is not None:
        inputs["validation"] = validation.fingerprint
    if extended is not None:
        inputs["extends"] = checksum_of_json(extended.manifest.inputs)
    return inputs


def loss_inputs(subset: SubsetConfig, trajectories: Trajectories | None) -> dict[str, Any]:
    """What identifies the losses, and those of the base model where the method reads them."""
    if trajectories is None:
        return {"trajectories": None}
    inputs: dict[str, Any] = {"trajectories": trajectories_identity(trajectories)}
    if BASE_LOSSES in METHODS[subset.method].reads:
        inputs[BASE_LOSSES] = base_losses_identity(trajectories)
    return inputs


def limit_inputs(subset: SubsetConfig, pool: Rows) -> dict[str, Any]:
    """What the limits depend on: those that are set, files by their contents.

    A column of the pool counts by the rows where it is true: the pool's fingerprint says nothing of it.

    Raises: FileNotFoundError, or ValueError for files that are not row numbers.
    """
    inputs: dict[str, Any] = {}
    for name in LIMITS:
        value = getattr(subset, name)
        if value == SubsetConfig.model_fields[name].get_default(call_default_factory=True):
            continue
        if name in ("include", "exclude") and value.endswith((".npy", ".txt")):
            value = _sha256(value, name)
        elif name in ("include", "exclude"):
            rows = read_rows(value, name, pool)
            value = {"column": value, "rows": checksum_of_rows(rows)}
        elif name == "drop":
            value = sorted(set(value))
        elif name == "decontaminate":
            check_texts(pool, name)
            value = [_questions_identity(file) for file in value]
        inputs[name] = value
    return inputs


def _questions_identity(file: str) -> str:
    """What words are was another rule for other letters than those of ASCII before."""
    contents = _sha256(file, "decontaminate")
    return contents if read_text(Path(file)).isascii() else f"{contents}, rule 2"


def _sha256(path: str, key: str) -> str:
    """Raises: FileNotFoundError; ValueError for what is no ordinary file."""
    check_kind(Path(path), f"subset.{key}")
    return checksum(Path(path))


def check_extension(config: RunConfig, extended: Subset, inputs: dict[str, Any]) -> None:
    """Refuse to extend a subset of another pool, or one that was made in another way.

    Raises: ValueError naming the differing entries.
    """
    subset = config.subset_section
    recorded = extended.manifest.inputs
    num_old = extended.manifest.num_examples
    if num_old > inputs["num_examples"]:
        raise ValueError(
            f"subset.extend: the pool of {subset.extend} has {num_old:,} rows, "
            f"this one {inputs['num_examples']:,}: expected the old rows followed by new ones"
        )
    names = {"method", "revision", "seed", *METHODS[subset.method].settings}
    names &= recorded.keys() | inputs.keys()
    there = {name: recorded.get(name) for name in names}
    now = {name: inputs.get(name) for name in names}
    if config.data is not None:
        there["pool"] = extended.manifest.pool
        now["pool"] = Pool(config.data.model_copy(update={"limit": num_old})).fingerprint
    ways_out = f"To extend it (subset.extend), the first {num_old:,} rows and the settings must be the same."
    check_inputs(manifest_in(named_subset(subset.extend or "")), there, now, ways_out)


def pool_inputs(pool: Rows) -> dict[str, Any]:
    return {"pool": pool.fingerprint, "num_examples": len(pool)}


def loss_inputs_if_there(
    subset: SubsetConfig, found: Subset, num_examples: int
) -> tuple[dict[str, Any], list[str]]:
    """`loss_inputs` of the configured trajectories, or the recorded ones if they are gone by now.

    Returns: them, and what to say of them.
    """
    origin = subset.trajectories_from
    if origin is None:
        return loss_inputs(subset, None), []
    try:
        return loss_inputs(subset, read_trajectories(origin, subset.steps, num_examples)), []
    except FileNotFoundError:
        if found.manifest.trajectories_from != origin:
            raise
        remark = (
            f"the trajectories of {origin} are not there: "
            "whether the subset is still what they would choose is not known"
        )
        recorded = found.manifest.inputs
        return {name: recorded[name] for name in ("trajectories", BASE_LOSSES) if name in recorded}, [remark]
