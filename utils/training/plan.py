"""What a training will do, checked from config, counts and what is on disk before any weight is loaded."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers import TrainingArguments

from ..artifacts.checkpoints import check_training_state, checkpoints_in, newest_resumable_checkpoint
from ..artifacts.checksums import checksum_of_rows
from ..artifacts.manifests import check_inputs
from ..artifacts.pace import training_pace
from ..artifacts.paths import RunPaths, step_of
from ..artifacts.pools import pool_record
from ..artifacts.subsets import SubsetManifest
from ..artifacts.trainings import TrainingManifest
from ..artifacts.trajectories.write import TrajectoryFolder
from ..config.counts import scheduled_steps, steps_per_epoch, total_steps
from ..config.schema import RunConfig
from ..data.pool import Pool
from ..data.shown_tokens import token_remarks
from ..data.tokenization import TokenizedPool, tokenize_pool
from ..data.truncation import truncation_of
from ..modeling.attention import check_attention
from ..modeling.devices import device_name, model_size
from ..modeling.loading import base_fingerprint, check_saved_tokenizer, empty_model, load_tokenizer
from ..modeling.packed import has_packed_attention
from ..modeling.positions import check_length
from ..modeling.responses import check_decoder
from ..process import torchrun
from .settings import BatchPlan, check_sharding, launch_state, result_settings, training_arguments, try_out
from .summary import RowsSummary, TrainingSummary

WAYS_OUT = "Ways out: --overwrite trains again from the start; another run_name keeps both."


@dataclass(frozen=True)
class TrainingSetup:
    """All of a training that does not depend on which rows of the pool it takes.

    Attributes:
        steps: of the optimizer.
        save_steps: those that leave a checkpoint.
        tokens: of the whole pool.
        inputs: what the weights depend on besides the rows.
        data: where the pool was, compared with nothing.
        arguments: Trainer's, for this machine.
        batches: how a global batch is spread over the devices, in as few micro-batches as memory allows.
        may_pack: whether rows lie one behind the other, if the model keeps them apart.
        keeps_last_only: whether a checkpoint goes once its losses are there.
        summary: for people.
    """

    steps: int
    save_steps: list[int]
    tokens: TokenizedPool
    inputs: dict[str, Any]
    data: dict[str, Any] | None
    arguments: TrainingArguments
    batches: BatchPlan
    may_pack: bool
    keeps_last_only: bool
    summary: TrainingSummary


@dataclass(frozen=True)
class TrainingPlan:
    """A training on these rows.

    Attributes:
        setup: all that does not depend on them.
        rows: int64, ascending row numbers of the pool.
        inputs: what the weights depend on, the rows among it.
        starts_over: what is there does not count.
        summary: for people.
    """

    setup: TrainingSetup
    rows: np.ndarray
    inputs: dict[str, Any]
    starts_over: bool
    summary: TrainingSummary


def check_training(config: RunConfig, pool: Pool, num_rows: int) -> TrainingSetup:
    """Check all that can be checked without the rows themselves and without loading the model.

    Args:
        num_rows: that it takes, or takes at most.

    Returns: what the plans of all so many rows share.

    Raises: ValueError, FileNotFoundError.
    """
    model_settings = config.model_section
    data = config.data_section
    paths = RunPaths(config.run_name)
    paths.check_place()
    steps = total_steps(config, num_rows)
    save_steps = scheduled_steps(config.checkpoints, steps)
    tokenizer = load_tokenizer(model_settings)
    model = empty_model(model_settings, tokenizer)
    check_decoder(model)
    remarks = check_length(model, data.max_length)
    arguments, batches = training_arguments(config, paths.training_parts)
    _check_arguments(config, model, arguments, steps)
    tokenizer_note = check_saved_tokenizer(tokenizer, model_settings)
    if tokenizer_note is not None:
        remarks = [*remarks, tokenizer_note]
    is_encoder_decoder = bool(model.config.is_encoder_decoder)
    tokens = tokenize_pool(pool, tokenizer, data.template, data.max_length, is_encoder_decoder)
    summary = TrainingSummary(
        run_name=config.run_name,
        num_rows=num_rows,
        num_pool_rows=len(tokens),
        num_excluded=tokens.manifest.num_excluded,
        steps=steps,
        global_batch_size=config.global_batch_size,
        save_steps=save_steps,
        epochs=steps / steps_per_epoch(num_rows, config.global_batch_size),
        learning_rate=arguments.learning_rate,
        # transformers makes an enum of the name, or leaves it a text.
        scheduler=getattr(arguments.lr_scheduler_type, "value", arguments.lr_scheduler_type),
        model=model_size(model_settings, model),
        num_devices=batches.devices,
        device_name=device_name(arguments.device),
        remarks=[*remarks, *token_remarks(tokens, tokenizer)],
        rows=None,
    )
    return TrainingSetup(
        steps=steps,
        save_steps=save_steps,
        tokens=tokens,
        inputs=_inputs(config, pool, tokens, save_steps),
        data=pool_record(data),
        arguments=arguments,
        batches=batches,
        may_pack=has_packed_attention(model_settings, model) and not arguments.fsdp,
        keeps_last_only=config.checkpoints.keep == "last",
        summary=summary,
    )


def _check_arguments(config: RunConfig, model: Any, arguments: TrainingArguments, steps: int) -> None:
    """Raises: ValueError for what Trainer, this machine or this model would refuse later."""
    is_half = arguments.bf16 or arguments.fp16
    dtype = torch.float16 if is_half else getattr(torch, config.model_section.dtype)
    check_attention(config.model_section, arguments.device, dtype)
    try_out(arguments, model, steps)
    check_sharding(config.train_args, model)


def _inputs(config: RunConfig, pool: Pool, tokens: TokenizedPool, save_steps: list[int]) -> dict[str, Any]:
    """What the weights depend on besides the rows."""
    model_settings = config.model_section
    return {
        "pool": pool.fingerprint,
        "template": tokens.manifest.template,
        "tokenizer": tokens.manifest.tokenizer,
        "max_length": config.data_section.max_length,
        "model": model_settings.model_dump(mode="json", exclude={"cache_dir", "attn_implementation"}),
        "base_model": base_fingerprint(model_settings, config.seed),
        "seed": config.seed,
        "global_batch_size": config.global_batch_size,
        "train_args": result_settings(config.train_args),
        "save_steps": save_steps,
    }


def plan_training(
    config: RunConfig, pool: Pool, rows: np.ndarray, subset_manifest: SubsetManifest | None, overwrite: bool
) -> TrainingPlan:
    """Check all that can be checked without loading the model.

    Args:
        rows: int64, ascending row numbers of the pool.
        subset_manifest: of the subset they come from, if any.

    Raises:
        as `check_training`, and ValueError if the rows teach nothing, or if the run's folder holds what this
            plan can neither reuse nor continue (unless overwrite).
    """
    setup = check_training(config, pool, len(rows))
    tokens = setup.tokens
    if not tokens.num_response_tokens[rows].any():
        max_length = config.data_section.max_length
        raise ValueError(
            f"data.max_length: none of the {len(rows)} rows keeps a response token at {max_length} tokens: "
            "raise it"
        )
    inputs = {
        **setup.inputs,
        "num_rows": len(rows),
        "rows": checksum_of_rows(rows),
        "subset": subset_manifest.inputs if subset_manifest else None,
    }
    plan = TrainingPlan(
        setup=setup,
        rows=rows,
        inputs=inputs,
        starts_over=overwrite and not torchrun.is_restart(),
        summary=setup.summary,
    )
    paths = RunPaths(config.run_name)
    check_folder(paths, plan)
    steps_done = 0
    if not plan.starts_over and all_steps_are_trained(paths, plan):
        steps_done = setup.steps
    elif not plan.starts_over and (newest := newest_resumable_checkpoint(paths)) is not None:
        steps_done = step_of(newest) or 0
        if launch_state().is_main_process:
            check_training_state(newest)
    rows_summary = _rows_summary(setup, rows, share_left=1 - steps_done / setup.steps)
    return replace(plan, summary=replace(setup.summary, rows=rows_summary))


def _rows_summary(setup: TrainingSetup, rows: np.ndarray, share_left: float) -> RowsSummary:
    summary = setup.summary
    num_tokens = int(setup.tokens.lengths[rows].sum())
    pace = training_pace(setup.inputs["model"], summary.device_name)
    num_left = share_left * summary.epochs * num_tokens
    time = None if pace is None else pace.time_for(num_left, summary.num_devices)
    return RowsSummary(num_tokens, truncation_of(setup.tokens, rows), time)


def check_folder(paths: RunPaths, plan: TrainingPlan) -> None:
    """Refuse what this plan can neither reuse nor continue. Raises: ValueError."""
    if plan.starts_over:
        return
    saved = list(checkpoints_in(paths.root))
    if paths.manifest.is_file():
        manifest = TrainingManifest.read(paths.manifest)
        if not manifest.is_complete and not saved and not _is_used(paths):
            return  # a start that failed before its first checkpoint keeps no other one away
        check_inputs(paths.manifest, manifest.inputs, plan.inputs, WAYS_OUT, plan.setup.data)
        gone = missing_checkpoints(paths, plan)
        if manifest.is_complete and gone:
            raise ValueError(f"{paths.root} was trained, but its checkpoints {gone} are gone. {WAYS_OUT}")
    elif saved:
        raise ValueError(
            f"{paths.root} holds checkpoints but no manifest.json that says what made them. {WAYS_OUT}"
        )
    if saved and not all_steps_are_trained(paths, plan) and newest_resumable_checkpoint(paths) is None:
        raise ValueError(
            f"{paths.root} holds checkpoints {saved}, but none with the optimizer, scheduler and trainer "
            f"state that training continues from. {WAYS_OUT}"
        )


def _is_used(paths: RunPaths) -> bool:
    """Whether something was made of the run's weights."""
    return paths.trajectories.is_dir() or paths.evaluation.is_dir()


def all_steps_are_trained(paths: RunPaths, plan: TrainingPlan) -> bool:
    return paths.manifest.is_file() and not missing_checkpoints(paths, plan)


def missing_checkpoints(paths: RunPaths, plan: TrainingPlan) -> list[int]:
    """The scheduled steps without a checkpoint. With checkpoints.keep: last, its losses stand for it."""
    *earlier, last = plan.setup.save_steps
    scored = TrajectoryFolder(paths.trajectories).scored_steps() if plan.setup.keeps_last_only else []
    return [
        step for step in [*sorted(set(earlier) - set(scored)), last] if not paths.checkpoint(step).is_dir()
    ]
