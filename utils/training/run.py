"""Train one model as planned: continue where an earlier try stopped, save checkpoints on schedule."""

import contextlib
import copy
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainingArguments

from ..artifacts.checkpoints import newest_resumable_checkpoint
from ..artifacts.configs import write_config
from ..artifacts.files import remove_folder, remove_leftovers
from ..artifacts.locks import locked
from ..artifacts.paths import RunPaths, step_of
from ..artifacts.trainings import TrainingManifest, TrainingProvenance, TrainingWork
from ..artifacts.trajectories.write import TrajectoryFolder
from ..config.schema import RunConfig
from ..data.batching import batch_widths, rows_of_all_lengths
from ..data.chat import chat_template_of
from ..data.token_rows import TokenRow
from ..modeling.devices import device_name
from ..modeling.gradients import leaves_weights_out
from ..modeling.loading import (
    add_lora,
    load_adapter,
    load_base_model,
    load_checkpoint,
    load_tokenizer,
    pad_id_of,
)
from ..modeling.operations import scoring_operations, training_operations
from ..modeling.packed import why_rows_mix
from ..modeling.precision import float32_products
from ..process.memory import keep_freed_memory
from ..process.output import copied_to
from ..process.reporter import reporter
from .order import FILLER, GlobalBatchOrder, TrainingRows, choose_num_micro_batches
from .plan import TrainingPlan, TrainingSetup, all_steps_are_trained, check_folder, missing_checkpoints
from .settings import BatchPlan, launch_state
from .trainer import LogMetrics, S2LTrainer, SaveOnSchedule, remove_older_training_state


def run_training(
    config: RunConfig, plan: TrainingPlan, callbacks: Sequence[TrainerCallback], log_heading: str
) -> None:
    """Train (or continue to train) and leave every scheduled checkpoint in res/<run_name>.

    Runs in every process of a torchrun launch. Nothing that is there is removed before the model is loaded.

    Args:
        callbacks: told of each checkpoint once it is in its place.
        log_heading: what log.txt begins with, such as the plan.

    Raises:
        ValueError: if the folder holds a run with other inputs or one that cannot be continued, or if another
            launch is at work in it.
    """
    keep_freed_memory()
    state = launch_state()
    paths = RunPaths(config.run_name)
    with contextlib.ExitStack() as held:
        if state.is_main_process:
            held.enter_context(locked(paths.manifest, "another launch is training this run"))
            check_folder(paths, plan)
            for file in (paths.manifest, paths.metrics):
                remove_leftovers(paths.root, file.name)
            held.enter_context(copied_to(paths.log, log_heading))
        # The first process looks for all: what other machines see of a shared disk may be seconds old.
        found: list[Any] = [False, None]
        if state.is_main_process and not plan.starts_over:
            found = [all_steps_are_trained(paths, plan), newest_resumable_checkpoint(paths)]
        is_trained, newest = broadcast_object_list(found)
        if is_trained:
            if state.is_main_process:
                _finish(paths, plan, None)
                reporter.say(f"run {config.run_name}: all {plan.setup.steps} steps are trained already")
            return
        held.enter_context(float32_products(in_tf32=bool(config.train_args.get("tf32"))))
        _train(config, plan, state, newest, callbacks)


def _train(
    config: RunConfig,
    plan: TrainingPlan,
    state: PartialState,
    newest: Path | None,
    callbacks: Sequence[TrainerCallback],
) -> None:
    """Train in this process, from the newest checkpoint or from the beginning (None)."""
    paths = RunPaths(config.run_name)
    setup = plan.setup
    arguments = copy.copy(setup.arguments)  # completed below: a plan stays as it is
    tokenizer = load_tokenizer(config.model_section)
    chat = chat_template_of(config.data_section.template, tokenizer)
    if chat is not None:
        tokenizer.chat_template = chat.source  # saved with each checkpoint
    model = _model_to_train(config, tokenizer, newest)
    if arguments.bf16 or arguments.fp16:
        _keep_trained_weights_whole(model)
    batches = _batches(config, plan, model)
    arguments.gradient_accumulation_steps = batches.accumulation
    rows = TrainingRows(setup.tokens, plan.rows)
    order = GlobalBatchOrder(
        batch_widths(setup.tokens)[plan.rows],
        config.global_batch_size,
        batches.micro_batches,
        config.train_args.get("train_sampling_strategy", "random"),
        config.seed,
        batches.are_packed,
    )
    work = _work_of_epoch(model, plan, order.steps_per_epoch)
    state.wait_for_everyone()  # the model is loaded everywhere: now what it replaces may go
    if state.is_main_process:
        _clear_folder(paths, newest)
        manifest = TrainingManifest(
            status="running", inputs=plan.inputs, data=setup.data, provenance=_provenance(setup, work=work)
        )
        with locked(paths.config):  # until the manifest is there, another stage may write a config of its own
            write_config(paths, config)
            manifest.write(paths.manifest)
        continuing = f"; continuing from {newest.name}" if newest else ""
        reporter.say(
            f"  {batches.devices} device(s) x {batches.accumulation} micro-batches of at most "
            f"{batches.per_device} longest rows{continuing}"
        )
    state.wait_for_everyone()
    if batches.devices > 1:
        _set_up_ddp(model, rows[(FILLER,)], pad_id_of(tokenizer), arguments)
    trainer = S2LTrainer(model, tokenizer, arguments, rows, order)
    # Those of the caller come last: they find a saved checkpoint in its place.
    for callback in (SaveOnSchedule(paths, setup.save_steps), LogMetrics(paths.metrics), *callbacks):
        trainer.add_callback(callback)
    start_time = time.monotonic()
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    assert trainer.state.global_step == setup.steps, (
        f"trained {trainer.state.global_step} of {setup.steps} steps"
    )
    if state.is_main_process:
        launch = _provenance(
            setup,
            seconds=round(time.monotonic() - start_time, 1),
            continued_from=newest.name if newest else None,
            work=work,
        )
        _finish(paths, plan, launch)
        kept = sum(paths.checkpoint(step).is_dir() for step in setup.save_steps)
        reporter.say(f"run {config.run_name}: trained, {kept} checkpoint(s) in {paths.root}")


def _clear_folder(paths: RunPaths, newest: Path | None) -> None:
    """Remove half-written saves, and what was made of weights that training does not continue from.

    Raises: ValueError while somebody scores or evaluates these weights.
    """
    shutil.rmtree(paths.training_parts, ignore_errors=True)
    if newest is not None:
        remove_older_training_state(paths, newest=step_of(newest) or 0)
        return
    stale = [paths.trajectories, paths.evaluation, *paths.root.glob("checkpoint-*")]
    with locked(paths.evaluation, "another command is evaluating this run"):
        for folder in (folder for folder in stale if folder.exists()):
            if folder == paths.trajectories:
                TrajectoryFolder(folder).remove()
            else:
                remove_folder(folder)
            reporter.warn(f"  removed {folder}: made of the weights that are trained anew")
    paths.metrics.unlink(missing_ok=True)


def _model_to_train(config: RunConfig, tokenizer: Any, newest: Path | None) -> Any:
    """The base model or the newest checkpoint, under LoRA the base with a new or the saved adapter."""
    if newest is not None and config.model_section.lora is None:
        # As saved: FSDP keeps and saves float32 weights also for a model that was loaded in bfloat16.
        model = load_checkpoint(newest, config.model_section, dtype="auto", seed=config.seed)
    else:
        model = load_base_model(config.model_section, tokenizer, config.seed)
    if config.model_section.lora is not None:
        if newest is not None:
            model = load_adapter(model, newest, is_trainable=True)
        else:
            model = add_lora(model, config.model_section.lora, config.seed)
    return model.train()


def _keep_trained_weights_whole(model: torch.nn.Module) -> None:
    """In float32, as FSDP keeps them in mixed precision: in half precision most small steps round away."""
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def _in_training_precision(arguments: TrainingArguments) -> torch.autocast:
    half = torch.float16 if arguments.fp16 else torch.bfloat16
    return torch.autocast(arguments.device.type, half, enabled=arguments.fp16 or arguments.bf16)


def _set_up_ddp(model: Any, filler: list[TokenRow], pad_id: int, arguments: TrainingArguments) -> None:
    """Tell DDP whether a weight may be without a gradient.

    A filler, one token without label, touches the least. All processes do the same: the first one's answer
    counts.
    """
    if arguments.ddp_find_unused_parameters is not None or arguments.fsdp_plugin_args is not None:
        return
    with _in_training_precision(arguments):
        answers = [leaves_weights_out(model.to(arguments.device), filler, pad_id)]
    broadcast_object_list(answers)
    arguments.ddp_find_unused_parameters = answers[0]


def _batches(config: RunConfig, plan: TrainingPlan, model: Any) -> BatchPlan:
    """How a global batch is dealt: packed rows, else padded ones, dealt so as to spare padding."""
    setup = plan.setup
    batches = setup.batches
    if setup.may_pack and _keeps_packed_rows_apart(plan, model):
        return replace(batches, are_packed=True)
    count = choose_num_micro_batches(
        batch_widths(setup.tokens),
        config.global_batch_size,
        fewest=batches.micro_batches,
        on_gpu=setup.arguments.device.type != "cpu",
    )
    return replace(batches, accumulation=count // batches.devices)


def _keeps_packed_rows_apart(plan: TrainingPlan, model: Any) -> bool:
    """Whether the model, which comes to its device, keeps packed rows apart.

    All processes do the same: the first one's answer counts.
    """
    arguments = plan.setup.arguments
    tokens = plan.setup.tokens
    lengths = batch_widths(tokens)[plan.rows]
    longest = rows_of_all_lengths(plan.rows, lengths)[-max(2, plan.setup.batches.per_device) :]
    with _in_training_precision(arguments):
        answers = [why_rows_mix(model.to(arguments.device), [tokens.row(row) for row in longest])]
    broadcast_object_list(answers)
    if answers[0] is not None:
        reporter.warn(f"  rows are padded, not packed: packed, this model mixes them ({answers[0]})")
    return answers[0] is None


def _work_of_epoch(model: Any, plan: TrainingPlan, steps_per_epoch: int) -> TrainingWork:
    tokens = plan.setup.tokens
    num_tokens = int(tokens.lengths[plan.rows].sum())
    num_predicted = int(tokens.num_response_tokens[plan.rows].sum())
    of_pool = int(tokens.lengths.sum()), int(tokens.num_response_tokens.sum())
    return TrainingWork(
        tokens=num_tokens,
        response_tokens=num_predicted,
        forward_operations=scoring_operations(model).of(num_tokens, num_predicted),
        training_operations=training_operations(model).of(num_tokens, num_predicted),
        pool_training_operations=training_operations(model).of(*of_pool),
        steps_per_epoch=steps_per_epoch,
    )


def _finish(paths: RunPaths, plan: TrainingPlan, launch: TrainingProvenance | None) -> None:
    """Mark the run complete, keeping the record of the launch that completed it."""
    gone = missing_checkpoints(paths, plan)
    assert not gone, f"trained, but checkpoints {gone} are not on disk"
    recorded = TrainingManifest.read(paths.manifest)
    if not recorded.is_complete or launch is not None:
        manifest = TrainingManifest(
            status="complete",
            inputs=plan.inputs,
            steps=plan.setup.steps,
            data=plan.setup.data,
            provenance=launch or recorded.provenance,
        )
        manifest.write(paths.manifest)
    shutil.rmtree(paths.training_parts, ignore_errors=True)
    remove_older_training_state(paths, newest=plan.setup.steps)  # a kill may have come into its midst


def _provenance(setup: TrainingSetup, **known: Any) -> TrainingProvenance:
    """Of this launch, with what is known of it so far."""
    return TrainingProvenance.now(
        devices=setup.batches.devices,
        device=str(setup.arguments.device.type),
        device_name=device_name(setup.arguments.device),
        per_device_batch=setup.batches.per_device,
        **known,
    )
