"""What a person is told of a scoring before it begins."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..artifacts.pace import TimeEstimate
from ..data.truncation import Truncation
from ..modeling.devices import ModelSize

TokenizerOrigin = Literal["checkpoints", "base model"]


@dataclass(frozen=True)
class ScoringSummary:
    """A scoring in counts and names.

    Attributes:
        run_name: whose trajectories these are.
        num_examples: of the pool.
        num_unscorable: of them, those without a response token.
        num_excluded: of these, those that cannot be used at all.
        steps: of the checkpoints, ascending.
        num_tokens: of the scorable examples, at one checkpoint.
        truncation: what data.max_length does to the pool.
        folder: where the losses go.
        model: that scores.
        unrecorded_tokenizer: whose tokenizer is taken, where nothing records which one the checkpoints were
            trained with, None where it is recorded.
        num_devices: of this launch.
        device_name: of each.
        precision: of the arithmetic.
        time: that what is not scored yet will take, validation rows too. None before this model has run on
            such a device.
        remarks: for the user.
    """

    run_name: str
    num_examples: int
    num_unscorable: int
    num_excluded: int
    steps: list[int]
    num_tokens: int
    truncation: Truncation
    folder: Path
    model: ModelSize
    unrecorded_tokenizer: TokenizerOrigin | None
    num_devices: int
    device_name: str
    precision: str
    time: TimeEstimate | None
    remarks: list[str]
