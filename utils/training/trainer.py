"""transformers' Trainer with S2L's loss, order of examples, checkpoint schedule and log.

Legend: B examples of a batch, L tokens of the longest, R response tokens of the batch.
"""

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from ..artifacts.checkpoints import checkpoints_in, save_checksums
from ..artifacts.files import atomic_write, publish_folder
from ..artifacts.layouts import TRAINING_STATE_PATTERNS
from ..artifacts.paths import RunPaths, checkpoint_name
from ..data.batching import pack_rows, pad_rows
from ..modeling.loading import pad_id_of
from ..modeling.responses import (
    ResponsePositions,
    logits_at,
    model_inputs,
    response_positions,
    summed_token_loss,
)
from ..process.errors import explained, in_words, naming, system_error_number
from ..process.reporter import reporter
from ..terminal import size
from .optimizer_state import load_converted, needs_conversion
from .order import GlobalBatchOrder, TrainingRows

_SECONDS_BETWEEN_LINES = 5.0
_START_OVER = "put back a copy of it, or start over with --overwrite"


class S2LTrainer(Trainer):
    """Trainer whose result does not depend on the number of devices.

    The loss of a step is the mean over all response tokens of its global batch, for every family (T5's own
    forward ignores `num_items_in_batch`). A step without a single label changes no weight.

    Args:
        model: that is trained.
        tokenizer: saved beside each checkpoint.
        arguments: Trainer's own.
        rows: that are trained on.
        order: in which each epoch takes them.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        arguments: TrainingArguments,
        rows: TrainingRows,
        order: GlobalBatchOrder,
    ):
        self._order = order
        self._is_encoder_decoder = bool(model.config.is_encoder_decoder)
        self._pad_id = pad_id_of(tokenizer)
        self.step_has_labels = True
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=rows,
            processing_class=tokenizer,
            data_collator=self._collate,
            compute_loss_func=self._mean_token_loss,
        )
        for chatty in (PrinterCallback, ProgressCallback):
            self.remove_callback(chatty)
        self.add_callback(_StartEpoch(order))
        self.add_callback(_SkipEmptyStep(self))

    def _collate(self, micro_batches: list[Any]) -> dict[str, torch.Tensor]:
        (rows,) = micro_batches
        packed = self._order.is_packed
        batch = pack_rows(rows) if packed else pad_rows(rows, self._pad_id, self._is_encoder_decoder)
        positions = response_positions(batch["labels"], self._is_encoder_decoder)
        return {**batch, "position_R": positions.position_R, "labels_R": positions.labels_R}

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        position_R = inputs.pop("position_R")
        shape = tuple(inputs["labels"].shape)
        self._positions = ResponsePositions(shape, position_R, inputs.pop("labels_R"))
        with logits_at(self.accelerator.unwrap_model(self.model), shape, position_R):
            return super().compute_loss(model, inputs, *args, **kwargs)

    def _mean_token_loss(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor
    ) -> torch.Tensor:
        summed = summed_token_loss(outputs.logits, self._positions)
        return summed / num_items_in_batch.clamp(min=1)

    def get_train_dataloader(self) -> DataLoader:
        """The order gives whole micro-batches, of as many rows as go together."""
        return self._get_dataloader(
            dataset=cast(TrainingRows, self.train_dataset),
            description="Training",
            batch_size=1,
            sampler_fn=self._get_train_sampler,
            is_training=True,
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> GlobalBatchOrder:
        return self._order

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        inputs = super()._prepare_inputs(inputs)
        model = self.accelerator.unwrap_model(self.model)
        # The saved config keeps use_cache on for generation. Training itself wants no cache.
        targets = {name: inputs[name] for name in ("labels", "position_R", "labels_R")}
        return {**model_inputs(model, inputs), **targets, "use_cache": False}

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        samples, num_items_in_batch = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.step_has_labels = bool(num_items_in_batch)
        return samples, num_items_in_batch

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        """Trainer's, with one error for all that a full disk makes of it.

        Raises: ValueError.
        """
        folder = Path(str(self.args.output_dir)) / checkpoint_name(self.state.global_step)
        try:
            super()._save_checkpoint(*arguments, **options)
        except Exception as error:
            # Of torch, of safetensors, or of whatever met a full disk. All else is no want of room.
            of_writing = isinstance(error, (OSError, RuntimeError, SafetensorError))
            if not of_writing and system_error_number(error) is None:
                raise
            free = size(shutil.disk_usage(folder.parent).free)
            raise ValueError(
                f"{folder}: the checkpoint cannot be saved ({in_words(error)}). {free} are free there. "
                "Make room, then run the same command: it continues from the newest whole checkpoint"
            ) from error

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """The weights are there already.

        `run` loads them through modeling.loading, whose key conversion Trainer lacks.
        """

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with explained(f"{checkpoint}: training cannot continue from its state", _START_OVER):
            is_first = self.args.process_index == 0
            found = [
                checkpoint is not None
                and is_first
                and needs_conversion(Path(checkpoint), self.is_fsdp_enabled)
            ]
            (must_convert,) = broadcast_object_list(found)
            if checkpoint is None or not must_convert:
                super()._load_optimizer_and_scheduler(checkpoint)
                return
            optimizer = cast(Any, self.optimizer).optimizer  # within accelerate's
            load_converted(Path(checkpoint), cast(Any, self.model), optimizer, self.is_fsdp_enabled, is_first)
            scheduler = torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True)
            cast(Any, self.lr_scheduler).load_state_dict(scheduler)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with explained(f"{checkpoint}: training cannot continue from its random state", _START_OVER):
            super()._load_rng_state(checkpoint)


class _StartEpoch(TrainerCallback):
    """Tells the order its epoch.

    accelerate's own set_epoch misses a sampler behind a skipped multi-process loader.
    """

    def __init__(self, order: GlobalBatchOrder):
        self._order = order

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._order.epoch = state.global_step // self._order.steps_per_epoch


class _SkipEmptyStep(TrainerCallback):
    """Takes the gradients of a step without a label away.

    Without gradients the optimizer leaves weights and moments alone. With zero ones Adam would still move
    them.
    """

    def __init__(self, trainer: S2LTrainer):
        self._trainer = trainer

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not self._trainer.step_has_labels:
            cast(torch.nn.Module, self._trainer.model_wrapped).zero_grad(set_to_none=True)
            reporter.warn(f"step {state.global_step + 1}: no response token in the whole batch, no update")


class SaveOnSchedule(TrainerCallback):
    """Asks for a save at these steps, and gives the saved folder its name once it is whole."""

    def __init__(self, paths: RunPaths, steps: list[int]):
        self._paths = paths
        self._steps = frozenset(steps)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> Any:
        control.should_save = state.global_step in self._steps
        if control.should_save and not _is_finite(model):
            raise ValueError(
                f"the weights after step {state.global_step} are no longer numbers, and are not saved: "
                "training diverged. Lower train_args.learning_rate. The checkpoints that are there are whole"
            )
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        PartialState().wait_for_everyone()  # every rank has written its part
        if args.should_save:
            saved = Path(args.output_dir) / checkpoint_name(state.global_step)
            # A pickle of this machine's paths: config.yml says what is in it.
            (saved / "training_args.bin").unlink(missing_ok=True)
            save_checksums(saved)
            publish_folder(saved, self._paths.checkpoint(state.global_step))
            remove_older_training_state(self._paths, newest=state.global_step)
        PartialState().wait_for_everyone()


class LogMetrics(TrainerCallback):
    """Appends each log to metrics.jsonl, says a line now and then, stops a run whose loss is no number."""

    def __init__(self, path: Path):
        self._path = path
        self._start_time = 0.0
        self._start_step = 0
        self._last_line = -math.inf

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._start_time = time.monotonic()
        self._start_step = state.global_step
        if state.is_world_process_zero:
            _keep_metrics_until(self._path, state.global_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if logs is None or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise ValueError(
                f"the training loss is {logs['loss']} at step {state.global_step}: training diverged. "
                "Lower train_args.learning_rate, or look at the rows of this step; "
                "the checkpoints that are there are whole"
            )
        if not state.is_world_process_zero:
            return
        with naming(self._path), open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, **logs}) + "\n")
        now = time.monotonic()
        if now - self._last_line >= _SECONDS_BETWEEN_LINES or state.global_step == state.max_steps:
            self._last_line = now
            pace = (now - self._start_time) / max(1, state.global_step - self._start_step)
            left = pace * (state.max_steps - state.global_step)
            reporter.say(
                f"step {state.global_step}/{state.max_steps}  loss {logs['loss']:.4f}  "
                f"lr {logs.get('learning_rate', 0):.2e}  {pace:.2f} s/step  {left / 60:.1f} min left"
            )


def _is_finite(model: torch.nn.Module) -> bool:
    """Whether every weight is a number. Under FSDP each rank looks at its own part."""
    for weight in model.parameters():
        part = weight.to_local() if isinstance(weight, DTensor) else weight
        if not torch.isfinite(part).all():
            return False
    return True


def remove_older_training_state(paths: RunPaths, newest: int) -> None:
    """Optimizer state stays in the newest checkpoint only. The older ones keep what scoring needs."""
    for step, folder in checkpoints_in(paths.root).items():
        for pattern in TRAINING_STATE_PATTERNS if step < newest else ():
            for path in folder.glob(pattern):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def _keep_metrics_until(path: Path, step: int) -> None:
    """Drop the lines that a killed run wrote after the checkpoint that this one continues from."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            is_before = json.loads(line)["step"] <= step
        except (ValueError, TypeError, KeyError):  # damaged, or the half line that a kill leaves at the end
            continue
        if is_before:
            kept.append(line)
    with atomic_write(path) as file:
        file.writelines(line + "\n" for line in kept)
