"""Train one model: check, plan, continue where an earlier try stopped, save checkpoints on schedule."""

import contextlib
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from transformers import TrainerCallback, TrainingArguments

from utils.artifacts.checkpoints import newest_resumable_checkpoint
from utils.artifacts.differences import pool_record
from utils.artifacts.files import locked
from utils.artifacts.log import copied_to
from utils.artifacts.manifests import check_inputs, provenance, read_manifest, write_config, write_manifest
from utils.artifacts.paths import RunPaths, step_of
from utils.artifacts.rates import time_line, training_pace
from utils.artifacts.trajectory_folder import scored_steps
from utils.config.counts import scheduled_steps, steps_per_epoch, total_steps
from utils.config.schema import RunConfig
from utils.data.batching import scoring_lengths
from utils.data.pool import Pool
from utils.data.tokenization import TokenizedPool, tokenize_pool
from utils.data.truncation import truncation_of
from utils.modeling.cpu_memory import keep_freed_memory
from utils.modeling.devices import device_name, model_name, model_size
from utils.modeling.loading import (
    add_lora,
    base_config,
    base_fingerprint,
    load_base_model,
    load_checkpoint,
    load_tokenizer,
    load_trainable_adapter,
)
from utils.modeling.operations import scoring_operations, training_operations
from utils.terminal import counted, labelled, unbroken
from utils.training.order import GlobalBatchOrder, TrainingRows
from utils.training.settings import (
    BatchPlan,
    check_train_args,
    launch_state,
    result_settings,
    training_arguments,
)
from utils.training.trainer import S2LTrainer, remove_older_training_state

KIND = "training"
_WAYS_OUT = "Ways out: --overwrite trains again from the start; another run_name keeps both."


@dataclass(frozen=True)
class TrainingPlan:
    """What a run will do, known before any model is loaded."""

    tokens: TokenizedPool
    rows: np.ndarray
    steps: int
    save_steps: list[int]
    inputs: dict[str, Any]
    data: dict[str, Any] | None
    arguments: TrainingArguments
    batches: BatchPlan
    keeps_last_only: bool

    def describe(self, config: RunConfig) -> str:
        num_tokens = int(self.tokens.lengths[self.rows].sum())
        return "\n".join(
            [
                f"run {config.run_name}: {len(self.rows)} of {len(self.tokens)} examples, {num_tokens:,} tokens an epoch",
                f"  {self.steps} optimizer steps of {config.global_batch_size} examples; checkpoints at {self.save_steps}",
                f"  {counted(self.tokens.inputs['num_excluded'], 'invalid row')} of the pool not used",
                *(f"  {line}" for line in truncation_of(self.tokens, self.rows).describe()),
                *self._costs(config, num_tokens),
            ]
        )

    def _costs(self, config: RunConfig, num_tokens: int) -> list[str]:
        """Lines on the model, its settings, the devices and the time. Args: num_tokens: of an epoch."""
        assert config.model is not None
        arguments, device = self.arguments, device_name(self.arguments.device)
        pace = training_pace(self.inputs["model"], device)
        epochs = self.steps / steps_per_epoch(len(self.rows), config.global_batch_size)
        scheduler = getattr(arguments.lr_scheduler_type, "value", arguments.lr_scheduler_type)
        return [
            *labelled("model", f"{unbroken(model_name(config.model))}, {model_size(config.model)}"),
            *labelled("settings", f"learning rate {arguments.learning_rate:g}, {scheduler}, epochs {epochs:.3g}"),
            *labelled("devices", f"{self.batches.devices} x {device}"),
            *labelled("time", time_line(pace, epochs * num_tokens, self.batches.devices)),
        ]


def plan_training(
    config: RunConfig, pool: Pool, rows: np.ndarray, subset_manifest: dict[str, Any] | None
) -> TrainingPlan:
    """Check all that can be checked without loading the model.

    Args: rows: int64, ascending row numbers of the pool; subset_manifest: of the subset they come from, if any.
    Raises: ValueError, FileNotFoundError.
    """
    assert config.model is not None and config.data is not None
    check_train_args(config.train_args)
    steps = total_steps(config, len(rows))
    arguments, batches = training_arguments(config, RunPaths(config.run_name).training_parts)
    save_steps = scheduled_steps(config.checkpoints, steps)
    tokenizer = load_tokenizer(config.model)
    is_encoder_decoder = bool(base_config(config.model).is_encoder_decoder)
    tokens = tokenize_pool(pool, tokenizer, config.data.template, config.data.max_length, is_encoder_decoder)
    if not tokens.num_response_tokens[rows].any():
        raise ValueError(
            f"data.max_length: none of the {len(rows)} rows keeps a response token at {config.data.max_length} tokens: "
            "raise it"
        )
    inputs = {
        "pool": pool.fingerprint,
        "template": config.data.template,
        "tokenizer": tokens.inputs["tokenizer"],
        "max_length": config.data.max_length,
        "num_rows": len(rows),
        "rows": hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest(),
        "model": config.model.model_dump(mode="json", exclude={"cache_dir", "attn_implementation"}),
        "base_model": base_fingerprint(config.model, config.seed),
        "seed": config.seed,
        "global_batch_size": config.global_batch_size,
        "train_args": result_settings(config.train_args),
        "save_steps": save_steps,
        "subset": subset_manifest["inputs"] if subset_manifest else None,
    }
    keeps_last_only = config.checkpoints.keep == "last"
    data = pool_record(config.data)
    return TrainingPlan(tokens, rows, steps, save_steps, inputs, data, arguments, batches, keeps_last_only)


def train(config: RunConfig, plan: TrainingPlan, overwrite: bool, callbacks: Sequence[TrainerCallback] = ()) -> None:
    """Train (or continue to train) and leave every scheduled checkpoint in res/<run_name>.

    Runs in every process of a torchrun launch. Nothing that is there is removed before the model is loaded.

    Args: callbacks: told of each checkpoint once it is in its place.

    Raises: ValueError if the folder holds a run with other inputs or one that cannot be continued, or if another
    launch is at work in it.
    """
    keep_freed_memory()
    state, paths = launch_state(), RunPaths(config.run_name)
    overwrite = overwrite and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"  # torchrun restarts to continue
    with contextlib.ExitStack() as held:
        if state.is_main_process:
            held.enter_context(locked(paths.root / ".lock", "another launch is training this run"))
            _check_folder(paths, plan, overwrite)
            held.enter_context(copied_to(paths.log, lambda: plan.describe(config)))
        state.wait_for_everyone()
        if not overwrite and _all_steps_are_trained(paths, plan):
            if state.is_main_process:
                _finish(paths, plan, None)
                print(f"run {config.run_name}: all {plan.steps} steps are trained already")
            return
        newest = None if overwrite else newest_resumable_checkpoint(paths)
        _train(config, plan, state, paths, newest, callbacks)


def _check_folder(paths: RunPaths, plan: TrainingPlan, overwrite: bool) -> None:
    """Refuse what this plan can neither reuse nor continue. Raises: ValueError."""
    if overwrite:
        return
    saved = sorted(step for path in paths.root.glob("checkpoint-*") if (step := step_of(path)) is not None)
    if paths.manifest.is_file():
        manifest = read_manifest(paths.manifest, KIND)
        check_inputs(paths.manifest, manifest["inputs"], plan.inputs, _WAYS_OUT, plan.data)
        gone = _missing_checkpoints(paths, plan)
        if manifest["status"] == "complete" and gone:
            raise ValueError(f"{paths.root} was trained, but its checkpoints {gone} are gone. {_WAYS_OUT}")
    elif saved:
        raise ValueError(f"{paths.root} holds checkpoints but no manifest.json that says what made them. {_WAYS_OUT}")
    if saved and not _all_steps_are_trained(paths, plan) and newest_resumable_checkpoint(paths) is None:
        raise ValueError(
            f"{paths.root} holds checkpoints {saved}, but none with the optimizer, scheduler and trainer state that training "
            f"continues from. {_WAYS_OUT}"
        )


def _all_steps_are_trained(paths: RunPaths, plan: TrainingPlan) -> bool:
    return paths.manifest.is_file() and not _missing_checkpoints(paths, plan)


def _missing_checkpoints(paths: RunPaths, plan: TrainingPlan) -> list[int]:
    """The scheduled steps whose checkpoint is not there; with checkpoints.keep: last its losses count for it."""
    *earlier, last = plan.save_steps
    scored = scored_steps(paths.trajectories) if plan.keeps_last_only else []
    return [step for step in [*sorted(set(earlier) - set(scored)), last] if not paths.checkpoint(step).is_dir()]


def _train(
    config: RunConfig,
    plan: TrainingPlan,
    state: PartialState,
    paths: RunPaths,
    newest: Path | None,
    callbacks: Sequence[TrainerCallback],
) -> None:
    assert config.model is not None
    tokenizer = load_tokenizer(config.model)
    model = _model_to_train(config, tokenizer, newest)
    work = _work_per_epoch(model, plan)
    state.wait_for_everyone()  # the model is loaded everywhere: now what it replaces may go
    if state.is_main_process:
        _clear_folder(paths, newest)
        write_config(paths, config)
        write_manifest(paths.manifest, KIND, "running", plan.inputs, data=plan.data, provenance=_provenance(plan))
        print(
            f"  {plan.batches.devices} device(s) x {plan.batches.per_device} examples x {plan.batches.accumulation} "
            "accumulation" + (f"; continuing from {newest.name}" if newest else ""),
            flush=True,
        )
    state.wait_for_everyone()
    order = GlobalBatchOrder(
        scoring_lengths(plan.tokens)[plan.rows],
        config.global_batch_size,
        plan.batches.padded,
        config.train_args.get("train_sampling_strategy", "random"),
        config.seed,
    )
    rows = TrainingRows(plan.tokens, plan.rows)
    trainer = S2LTrainer(model, tokenizer, plan.arguments, rows, order, paths, plan.save_steps, callbacks)
    begun = time.monotonic()
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    assert trainer.state.global_step == plan.steps, f"trained {trainer.state.global_step} of {plan.steps} steps"
    if state.is_main_process:
        _finish(
            paths,
            plan,
            {
                **_provenance(plan),
                "seconds": round(time.monotonic() - begun, 1),
                "continued_from": newest.name if newest else None,
                "work": {**work, "steps_per_epoch": order.steps_per_epoch},
            },
        )
        kept = sum(paths.checkpoint(step).is_dir() for step in plan.save_steps)
        print(f"run {config.run_name}: trained, {kept} checkpoint(s) in {paths.root}")


def _clear_folder(paths: RunPaths, newest: Path | None) -> None:
    """Remove half-written saves; without a checkpoint to continue from, everything that was made of the old weights."""
    shutil.rmtree(paths.training_parts, ignore_errors=True)
    if newest is not None:
        remove_older_training_state(paths, newest=step_of(newest) or 0)
        return
    stale = [*paths.root.glob("checkpoint-*"), paths.trajectories, paths.evaluation]
    for folder in (folder for folder in stale if folder.exists()):
        print(f"  removing {folder}: made of the weights that are trained anew", file=sys.stderr)
        shutil.rmtree(folder)
    paths.metrics.unlink(missing_ok=True)


def _model_to_train(config: RunConfig, tokenizer: Any, newest: Path | None) -> Any:
    """The base model, or the newest checkpoint's weights; under LoRA the base with a new or the saved adapter."""
    assert config.model is not None
    if newest is not None and config.model.lora is None:
        # As saved: FSDP keeps and saves float32 weights also for a model that was loaded in bfloat16.
        model = load_checkpoint(newest, config.model, dtype="auto")
    else:
        model = load_base_model(config.model, tokenizer, config.seed)
    if config.model.lora is not None:
        model = load_trainable_adapter(model, newest) if newest is not None else add_lora(model, config.model.lora)
    return model.train()


def _work_per_epoch(model: Any, plan: TrainingPlan) -> dict[str, float]:
    """Tokens of an epoch, the operations of training on them and of a forward pass alone; a ledger of costs reads it."""
    num_tokens = int(plan.tokens.lengths[plan.rows].sum())
    num_predicted = int(plan.tokens.num_response_tokens[plan.rows].sum())
    return {
        "tokens": num_tokens,
        "response_tokens": num_predicted,
        "forward_operations": scoring_operations(model).of(num_tokens, num_predicted),
        "training_operations": training_operations(model).of(num_tokens, num_predicted),
    }


def _finish(paths: RunPaths, plan: TrainingPlan, outcome: dict[str, Any] | None) -> None:
    """Mark the run complete, keeping the record of the launch that completed it."""
    gone = _missing_checkpoints(paths, plan)
    assert not gone, f"trained, but checkpoints {gone} are not on disk"
    recorded = read_manifest(paths.manifest, KIND)
    if recorded["status"] != "complete" or outcome is not None:
        made = outcome or recorded["provenance"]
        outcome = {"steps": plan.steps, "data": plan.data, "provenance": made}
        write_manifest(paths.manifest, KIND, "complete", plan.inputs, **outcome)
    shutil.rmtree(paths.training_parts, ignore_errors=True)


def _provenance(plan: TrainingPlan) -> dict[str, Any]:
    return provenance(
        devices=plan.batches.devices,
        device=str(plan.arguments.device.type),
        device_name=device_name(plan.arguments.device),
        per_device_batch=plan.batches.per_device,
    )
