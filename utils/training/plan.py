"""What a training will do. It is checked from the config, counts and what is on disk before any weight is loaded."""

import hashlib
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import TrainingArguments

from ..artifacts.checkpoints import newest_resumable_checkpoint
from ..artifacts.differences import pool_record
from ..artifacts.manifests import check_inputs, read_manifest
from ..artifacts.paths import RunPaths, step_of
from ..artifacts.rates import time_line, training_pace
from ..artifacts.trajectories.write import scored_steps
from ..config.counts import scheduled_steps, steps_per_epoch, total_steps
from ..config.schema import RunConfig
from ..data.pool import Pool
from ..data.tokenization import TokenizedPool, tokenize_pool
from ..data.truncation import truncation_of
from ..modeling.architecture import check_length
from ..modeling.devices import device_name, model_name, model_size
from ..modeling.loading import base_fingerprint, check_saved_tokenizer, empty_model, load_tokenizer
from ..modeling.responses import check_decoder
from ..terminal import counted, labelled, unbroken
from .settings import BatchPlan, check_sharding, result_settings, training_arguments, try_out

KIND = "training"
WAYS_OUT = "Ways out: --overwrite trains again from the start; another run_name keeps both."


@dataclass(frozen=True)
class TrainingSetup:
    """All of a training that does not depend on which rows of the pool it takes.

    Attributes:
    num_rows: how many it takes, or takes at most; steps: of the optimizer; save_steps: those that leave a checkpoint.
    tokens: of the whole pool; inputs: what the weights depend on besides the rows; data: where the pool was, compared with
    nothing; remarks: for the user.
    """

    num_rows: int
    steps: int
    save_steps: list[int]
    tokens: TokenizedPool
    inputs: dict[str, Any]
    data: dict[str, Any] | None
    arguments: TrainingArguments
    batches: BatchPlan
    keeps_last_only: bool
    remarks: list[str]

    def describe(self, config: RunConfig) -> str:
        return "\n".join(
            [
                f"run {config.run_name}: {self.num_rows} of {len(self.tokens)} examples",
                f"  {self.steps} optimizer steps of {config.global_batch_size} examples; checkpoints at {self.save_steps}",
                f"  {counted(self.tokens.inputs['num_excluded'], 'invalid row')} of the pool not used",
                *self._costs(config),
                *(f"  note: {remark}" for remark in self.remarks),
            ]
        )

    def _costs(self, config: RunConfig) -> list[str]:
        """Lines on the model, its settings and the devices."""
        arguments = self.arguments
        scheduler = getattr(arguments.lr_scheduler_type, "value", arguments.lr_scheduler_type)
        return [
            *labelled(
                "model", f"{unbroken(model_name(config.model_section))}, {model_size(config.model_section)}"
            ),
            *labelled(
                "settings",
                f"learning rate {arguments.learning_rate:g}, {scheduler}, epochs {self.epochs(config):.3g}",
            ),
            *labelled("devices", f"{self.batches.devices} x {device_name(arguments.device)}"),
        ]

    def epochs(self, config: RunConfig) -> float:
        return self.steps / steps_per_epoch(self.num_rows, config.global_batch_size)


@dataclass(frozen=True)
class TrainingPlan(TrainingSetup):
    """A training on these rows.

    Attributes: rows: int64, ascending row numbers of the pool; starts_over: what is there does not count.
    """

    rows: np.ndarray
    starts_over: bool

    def describe(self, config: RunConfig) -> str:
        num_tokens = int(self.tokens.lengths[self.rows].sum())
        pace = training_pace(self.inputs["model"], device_name(self.arguments.device))
        return "\n".join(
            [
                super().describe(config),
                f"  {num_tokens:,} tokens an epoch",
                *(f"  {line}" for line in truncation_of(self.tokens, self.rows).describe()),
                *labelled("time", time_line(pace, self.epochs(config) * num_tokens, self.batches.devices)),
            ]
        )


def set_up_training(config: RunConfig, pool: Pool, num_rows: int) -> TrainingSetup:
    """Check all that can be checked without the rows themselves and without loading the model.

    Args: num_rows: that are trained on. Raises: ValueError, FileNotFoundError.
    """
    steps = total_steps(config, num_rows)
    save_steps = scheduled_steps(config.checkpoints, steps)
    model = empty_model(config.model_section)
    check_decoder(model)
    remarks = check_length(model, config.data_section.max_length)
    arguments, batches = training_arguments(config, RunPaths(config.run_name).training_parts)
    try_out(arguments, model, steps)
    check_sharding(config.train_args, model)
    tokenizer = load_tokenizer(config.model_section)
    tokenizer_note = check_saved_tokenizer(tokenizer, config.model_section)
    if tokenizer_note is not None:
        remarks = [*remarks, tokenizer_note]
    is_encoder_decoder = bool(model.config.is_encoder_decoder)
    tokens = tokenize_pool(
        pool, tokenizer, config.data_section.template, config.data_section.max_length, is_encoder_decoder
    )
    inputs = {
        "pool": pool.fingerprint,
        "template": config.data_section.template,
        "tokenizer": tokens.inputs["tokenizer"],
        "max_length": config.data_section.max_length,
        "model": config.model_section.model_dump(mode="json", exclude={"cache_dir", "attn_implementation"}),
        "base_model": base_fingerprint(config.model_section, config.seed),
        "seed": config.seed,
        "global_batch_size": config.global_batch_size,
        "train_args": result_settings(config.train_args),
        "save_steps": save_steps,
    }
    keeps_last_only = config.checkpoints.keep == "last"
    data = pool_record(config.data_section)
    return TrainingSetup(
        num_rows, steps, save_steps, tokens, inputs, data, arguments, batches, keeps_last_only, remarks
    )


def plan_training(
    config: RunConfig, pool: Pool, rows: np.ndarray, subset_manifest: dict[str, Any] | None, overwrite: bool
) -> TrainingPlan:
    """Check all that can be checked without loading the model.

    Args: rows: int64, ascending row numbers of the pool; subset_manifest: of the subset they come from, if any.
    Raises: as `set_up_training`; ValueError if the rows teach nothing, or if the run's folder holds what this plan can
    neither reuse nor continue (unless overwrite).
    """
    setup = set_up_training(config, pool, len(rows))
    if not setup.tokens.num_response_tokens[rows].any():
        max_length = setup.inputs["max_length"]
        raise ValueError(
            f"data.max_length: none of the {len(rows)} rows keeps a response token at {max_length} tokens: raise it"
        )
    inputs = {
        **setup.inputs,
        "num_rows": len(rows),
        "rows": hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest(),
        "subset": subset_manifest["inputs"] if subset_manifest else None,
    }
    starts_over = (
        overwrite and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    )  # torchrun restarts to continue
    plan = TrainingPlan(**{**vars(setup), "inputs": inputs}, rows=rows, starts_over=starts_over)
    check_folder(RunPaths(config.run_name), plan)
    return plan


def check_folder(paths: RunPaths, plan: TrainingPlan) -> None:
    """Refuse what this plan can neither reuse nor continue. Raises: ValueError."""
    if plan.starts_over:
        return
    saved = sorted(step for path in paths.root.glob("checkpoint-*") if (step := step_of(path)) is not None)
    if paths.manifest.is_file():
        manifest = read_manifest(paths.manifest, KIND)
        if manifest["status"] == "running" and not saved and not _is_used(paths):
            return  # a start that failed before its first checkpoint keeps no other one away
        check_inputs(paths.manifest, manifest["inputs"], plan.inputs, WAYS_OUT, plan.data)
        gone = missing_checkpoints(paths, plan)
        if manifest["status"] == "complete" and gone:
            raise ValueError(f"{paths.root} was trained, but its checkpoints {gone} are gone. {WAYS_OUT}")
    elif saved:
        raise ValueError(
            f"{paths.root} holds checkpoints but no manifest.json that says what made them. {WAYS_OUT}"
        )
    if saved and not all_steps_are_trained(paths, plan) and newest_resumable_checkpoint(paths) is None:
        raise ValueError(
            f"{paths.root} holds checkpoints {saved}, but none with the optimizer, scheduler and trainer state that training "
            f"continues from. {WAYS_OUT}"
        )


def _is_used(paths: RunPaths) -> bool:
    """Whether something was made of the run's weights."""
    return paths.trajectories.is_dir() or paths.evaluation.is_dir()


def all_steps_are_trained(paths: RunPaths, plan: TrainingPlan) -> bool:
    return paths.manifest.is_file() and not missing_checkpoints(paths, plan)


def missing_checkpoints(paths: RunPaths, plan: TrainingPlan) -> list[int]:
    """The scheduled steps whose checkpoint is not there; with checkpoints.keep: last its losses count for it."""
    *earlier, last = plan.save_steps
    scored = scored_steps(paths.trajectories) if plan.keeps_last_only else []
    return [
        step for step in [*sorted(set(earlier) - set(scored)), last] if not paths.checkpoint(step).is_dir()
    ]
