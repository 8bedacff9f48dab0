"""What the manifest of a training says: res/<run_name>/manifest.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, PositiveInt

from .manifests import Manifest, Provenance
from .paths import step_of


@dataclass(frozen=True, kw_only=True)
class TrainingWork:
    """What one epoch takes.

    Attributes:
        tokens: of prompts and responses.
        response_tokens: those that the loss is taken over.
        forward_operations: floating-point operations of a forward pass alone.
        training_operations: of training.
        pool_training_operations: of training on the whole pool instead.
        steps_per_epoch: optimizer steps.
    """

    tokens: int
    response_tokens: int
    forward_operations: int | float
    training_operations: int | float | None = None
    pool_training_operations: int | float | None = None
    steps_per_epoch: int


@dataclass(frozen=True, kw_only=True)
class TrainingProvenance(Provenance):
    """The launch that trained. `seconds` and `continued_from` are known when it ends.

    Attributes:
        devices: how many.
        device: their type: cuda, cpu, ...
        device_name: what `utils.modeling.devices.device_name` calls it.
        per_device_batch: examples.
        seconds: that this launch trained.
        continued_from: folder name of the checkpoint that it continued from, None if it began.
        work: of an epoch.
    """

    devices: int
    device: str
    device_name: str | None = None
    per_device_batch: int
    seconds: float | None = None
    continued_from: str | None = None
    work: TrainingWork | None = None

    @property
    def first_step(self) -> int:
        """The step that the launch continued from, 0 if it began."""
        return 0 if self.continued_from is None else step_of(Path(self.continued_from)) or 0


class _TrainArgs(BaseModel):
    max_steps: int = -1


class _SubsetInputs(BaseModel):
    method: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class TrainingManifest(Manifest):
    """A training, running or finished.

    Attributes:
        steps: of the optimizer, None while it runs.
        data: the `pool_record` of its pool.
        provenance: of the launch that finished it, or that runs.
    """

    KIND: ClassVar[str] = "training"
    AGAIN: ClassVar[str] = "train its run again with --overwrite"
    NAMED_INPUTS: ClassVar[Mapping[str, Any]] = {
        "pool": str,
        "model": dict[str, Any],
        "num_rows": PositiveInt,
        "rows": str,
        "seed": int,
        "global_batch_size": PositiveInt,
        "train_args": _TrainArgs,
        "save_steps": list[PositiveInt],
        "subset": _SubsetInputs | None,
    }

    steps: int | None = None
    data: dict[str, Any] | None = None
    provenance: TrainingProvenance

    @property
    def model(self) -> dict[str, Any]:
        """The model section of its config."""
        return self.inputs["model"]

    @property
    def num_rows(self) -> int:
        """Rows of the pool that it is trained on."""
        return self.inputs["num_rows"]

    @property
    def global_batch_size(self) -> int:
        """Examples of an optimizer step."""
        return self.inputs["global_batch_size"]

    @property
    def rows(self) -> str:
        """sha256 of the numbers of these rows."""
        return self.inputs["rows"]

    @property
    def seed(self) -> int:
        return self.inputs["seed"]

    @property
    def train_args(self) -> dict[str, Any]:
        """Those of its config that the weights depend on."""
        return self.inputs["train_args"]

    @property
    def max_steps(self) -> int | None:
        """Optimizer steps, where they are set. None where epochs are."""
        steps = self.train_args.get("max_steps", -1)
        return steps if steps > 0 else None

    @property
    def save_steps(self) -> list[int]:
        """Steps that leave a checkpoint, ascending."""
        return self.inputs["save_steps"]

    @property
    def subset(self) -> dict[str, Any] | None:
        """Inputs of the subset that the rows are, None for the whole pool."""
        return self.inputs["subset"]

    @property
    def subset_method(self) -> str | None:
        """How the rows were chosen, None for the whole pool."""
        return None if self.subset is None else self.subset["method"]

    @property
    def subset_seed(self) -> int | None:
        """Of the choice of the rows, None for the whole pool."""
        return None if self.subset is None else self.subset["seed"]
