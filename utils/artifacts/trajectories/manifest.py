"""What the manifest of a folder of loss trajectories says: trajectories/manifest.json."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from pydantic import PositiveInt

from ..manifests import PoolManifest, Provenance


class Fingerprinted(Protocol):
    """Rows as `data.rows.Rows` identifies them."""

    fingerprint: str
    texts_fingerprint: str


@dataclass(frozen=True, kw_only=True)
class ScoringRecord:
    """What is kept beside the losses and compared with nothing.

    Attributes:
        data: the `pool_record` of their pool.
        texts: its `texts_fingerprint`.
        model: the model section of the config.
        tokens: of the prompts and responses of all scorable rows.
        device_name: what `utils.modeling.devices.device_name` calls the device.
        trained_on: fingerprint of the rows that the last checkpoint was trained on, None where nobody says.
        base_model: fingerprint of the model that its training began from, None where nobody says.
    """

    data: dict[str, Any] | None = None
    texts: str | None = None
    model: dict[str, Any] | None = None
    tokens: int | None = None
    device_name: str | None = None
    trained_on: str | None = None
    base_model: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrajectoriesManifest(ScoringRecord, PoolManifest):  # on disk the last one's fields come first
    """The losses of a pool, at some checkpoints or at all that were asked for.

    Attributes:
        checkpoints: step -> fingerprint of its checkpoint, or `unreadable`.
            Ascending, all that were asked for.
        steps: those of them whose losses are whole.
        provenance: of the launch that wrote last.
        device_seconds: step -> seconds that devices took to score it, added up.
    """

    KIND: ClassVar[str] = "trajectories"
    AGAIN: ClassVar[str] = "score its run again with --overwrite"
    NAMED_INPUTS: ClassVar[Mapping[str, Any]] = {
        **PoolManifest.NAMED_INPUTS,
        "template": str,
        "max_length": PositiveInt,
        "precision": str,
    }

    checkpoints: dict[int, str]
    steps: list[int]
    provenance: Provenance
    device_seconds: dict[int, float] = field(default_factory=dict)

    def is_of(self, pool: Fingerprinted) -> bool:
        """Whether these are losses of this pool's texts, whatever column of sources it is read with."""
        return self.pool == pool.fingerprint or self.texts == pool.texts_fingerprint

    @property
    def template(self) -> str:
        return self.inputs["template"]

    @property
    def max_length(self) -> int:
        """Tokens of a row at most."""
        return self.inputs["max_length"]

    @property
    def precision(self) -> str:
        """That the model computed in."""
        return self.inputs["precision"]
