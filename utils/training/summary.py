"""What a person is told of a training before it begins."""

from dataclasses import dataclass

from ..artifacts.pace import TimeEstimate
from ..data.truncation import Truncation
from ..modeling.devices import ModelSize


@dataclass(frozen=True)
class RowsSummary:
    """What depends on the rows that are trained on.

    Attributes:
        num_tokens: of an epoch.
        truncation: what data.max_length does to them.
        time: that what is left of all epochs will take, None before this model has run on such a device.
    """

    num_tokens: int
    truncation: Truncation
    time: TimeEstimate | None


@dataclass(frozen=True)
class TrainingSummary:
    """A training in counts and names.

    Attributes:
        run_name: of the run.
        num_rows: that it takes, or takes at most.
        num_pool_rows: of which these are some.
        num_excluded: invalid rows of the pool.
        steps: of the optimizer.
        global_batch_size: examples per step.
        save_steps: the steps that leave a checkpoint.
        epochs: passes over the rows.
        learning_rate: at its highest.
        scheduler: what the learning rate follows.
        model: that is trained.
        num_devices: of this launch.
        device_name: of each.
        remarks: for the user.
        rows: None before they are chosen.
    """

    run_name: str
    num_rows: int
    num_pool_rows: int
    num_excluded: int
    steps: int
    global_batch_size: int
    save_steps: list[int]
    epochs: float
    learning_rate: float
    scheduler: str
    model: ModelSize
    num_devices: int
    device_name: str
    remarks: list[str]
    rows: RowsSummary | None
