"""Train one model: check, plan, continue where an earlier try stopped, save checkpoints on schedule."""

import contextlib
import hashlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from utils.artifacts.checkpoints import newest_resumable_checkpoint, scheduled_steps
from utils.artifacts.log import copied_to
from utils.artifacts.manifests import check_inputs, provenance, read_manifest, write_config, write_manifest
from utils.artifacts.paths import RunPaths, step_of
from utils.config.schema import RunConfig
from utils.data.batching import scoring_lengths
from utils.data.pool import Pool
from utils.data.tokenization import TokenizedPool, tokenize_pool
from utils.modeling import (
    add_lora,
    base_config,
    load_base_model,
    load_checkpoint,
    load_tokenizer,
    load_trainable_adapter,
)
from utils.training.order import GlobalBatchOrder, TrainingRows
from utils.training.settings import check_train_args, launch_state, result_settings, total_steps, training_arguments
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

    def describe(self, config: RunConfig) -> str:
        num_tokens = int(self.tokens.lengths[self.rows].sum())
        unlabelled = int((self.tokens.num_response_tokens[self.rows] == 0).sum())
        return "\n".join(
            [
                f"run {config.run_name}: {len(self.rows)} of {len(self.tokens)} examples, {num_tokens:,} tokens an epoch",
                f"  {self.steps} optimizer steps of {config.global_batch_size} examples; checkpoints at {self.save_steps}",
                f"  {unlabelled} examples lose their whole response at {config.data and config.data.max_length} tokens and "
                f"teach nothing; {self.tokens.inputs['num_excluded']} of the pool have no text and are not used",
            ]
        )


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
        "seed": config.seed,
        "global_batch_size": config.global_batch_size,
        "train_args": result_settings(config.train_args),
        "save_steps": save_steps,
        "subset": subset_manifest["inputs"] if subset_manifest else None,
    }
    return TrainingPlan(tokens, rows, steps, save_steps, inputs)


def train(config: RunConfig, plan: TrainingPlan, overwrite: bool) -> None:
    """Train (or continue to train) and leave every scheduled checkpoint in res/<run_name>.

    Runs in every process of a torchrun launch. Raises: ValueError if the folder holds a run with other inputs.
    """
    state, paths = launch_state(), RunPaths(config.run_name)
    if state.is_main_process:
        _prepare_folder(paths, plan, overwrite)
    state.wait_for_everyone()
    with copied_to(paths.log) if state.is_main_process else contextlib.nullcontext():
        _train(config, plan, state, paths)


def _train(config: RunConfig, plan: TrainingPlan, state: PartialState, paths: RunPaths) -> None:
    assert config.model is not None
    newest = newest_resumable_checkpoint(paths)
    if newest is not None and step_of(newest) == plan.steps:
        if state.is_main_process:
            _finish(paths, plan, None)
            print(f"run {config.run_name}: all {plan.steps} steps are trained already")
        return
    state.wait_for_everyone()  # nobody looks for the newest checkpoint while the first save replaces it
    arguments, batches = training_arguments(config, paths.training_parts)
    tokenizer = load_tokenizer(config.model)
    model = _model_to_train(config, tokenizer, newest)
    order = GlobalBatchOrder(
        scoring_lengths(plan.tokens)[plan.rows],
        config.global_batch_size,
        batches.padded,
        config.train_args.get("train_sampling_strategy", "random"),
        config.seed,
    )
    if state.is_main_process:
        write_config(paths, config)
        write_manifest(paths.manifest, KIND, "running", plan.inputs, provenance=_provenance(batches, arguments))
        print(
            f"  {batches.devices} device(s) x {batches.per_device} examples x {batches.accumulation} accumulation"
            + (f"; continuing from {newest.name}" if newest else ""),
            flush=True,
        )
    trainer = S2LTrainer(
        model, tokenizer, arguments, TrainingRows(plan.tokens, plan.rows), order, paths, plan.save_steps
    )
    begun = time.monotonic()
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    if state.is_main_process:
        _finish(
            paths,
            plan,
            {
                **_provenance(batches, arguments),
                "seconds": round(time.monotonic() - begun, 1),
                "continued_from": newest.name if newest else None,
                "floating_point_operations": trainer.state.total_flos,
            },
        )
        print(f"run {config.run_name}: trained, {len(plan.save_steps)} checkpoint(s) in {paths.root}")


def _prepare_folder(paths: RunPaths, plan: TrainingPlan, overwrite: bool) -> None:
    """Clear away half-written saves; refuse a run made from other inputs, or remove it if asked to."""
    shutil.rmtree(paths.training_parts, ignore_errors=True)
    if overwrite:
        for old in [*paths.root.glob("checkpoint-*"), paths.manifest, paths.metrics, paths.log]:
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    if paths.manifest.is_file():
        check_inputs(paths.manifest, read_manifest(paths.manifest, KIND)["inputs"], plan.inputs, _WAYS_OUT)
    elif newest_resumable_checkpoint(paths) is not None:
        raise ValueError(f"{paths.root} holds checkpoints but no manifest.json that says what made them. {_WAYS_OUT}")
    newest = newest_resumable_checkpoint(paths)
    if newest is not None:
        remove_older_training_state(paths, newest=step_of(newest) or 0)


def _model_to_train(config: RunConfig, tokenizer: Any, newest: Path | None) -> Any:
    """The base model, or the newest checkpoint's weights; under LoRA the base with a new or the saved adapter."""
    assert config.model is not None
    if newest is not None and config.model.lora is None:
        model = load_checkpoint(newest, config.model, dtype=getattr(torch, config.model.dtype))
    else:
        model = load_base_model(config.model, tokenizer, config.seed)
    if config.model.lora is not None:
        model = load_trainable_adapter(model, newest) if newest is not None else add_lora(model, config.model.lora)
    return model.train()


def _finish(paths: RunPaths, plan: TrainingPlan, outcome: dict[str, Any] | None) -> None:
    """Mark the run complete, keeping the record of the launch that completed it."""
    recorded = read_manifest(paths.manifest, KIND)
    if recorded["status"] != "complete" or outcome is not None:
        write_manifest(
            paths.manifest,
            KIND,
            "complete",
            plan.inputs,
            steps=plan.steps,
            provenance=outcome or recorded["provenance"],
        )
    shutil.rmtree(paths.training_parts, ignore_errors=True)


def _provenance(batches: Any, arguments: Any) -> dict[str, Any]:
    return provenance(devices=batches.devices, device=str(arguments.device.type), per_device_batch=batches.per_device)
