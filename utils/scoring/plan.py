"""Which checkpoints are scored, on what tokens, into which folder: all checked before a model is loaded."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts.checkpoints import find_checkpoints, inputs_of_run, template_remarks, training_inputs
from ..artifacts.pace import TimeEstimate, scoring_pace
from ..artifacts.paths import RunPaths
from ..artifacts.pools import pool_record
from ..artifacts.trajectories.manifest import ScoringRecord
from ..artifacts.trajectories.write import LOSS, TrajectoryFolder, quantities_of
from ..config.schema import RunConfig
from ..data.pool import Pool
from ..data.shown_tokens import token_remarks
from ..data.tokenization import TokenizedPool, shared_prefix, tokenize_pool
from ..data.truncation import truncation_of
from ..modeling.devices import device_name, model_size, own_device
from ..modeling.loading import empty_model, holds_tokenizer, load_tokenizer, pad_id_of
from ..modeling.positions import check_length
from ..terminal import counted
from .checkpoint_info import (
    base_model_remarks,
    check_fit,
    common_tokenizer,
    read_checkpoints,
)
from .checkpoints import BASE_STEP, CheckpointQuery, choose_checkpoints
from .summary import ScoringSummary, TokenizerOrigin


@dataclass(frozen=True)
class ScoringPlan:
    """Which checkpoints are scored, on what.

    Rank 0 makes it, because that reads every weight file and every row. It is then broadcast.

    Attributes:
        folder: res/<run_name>/trajectories.
        checkpoints: step -> folder, ascending. None for the base model.
        fingerprints: step -> checkpoint fingerprint.
        versions: step -> versions of the files that the fingerprint is of.
        unreadable: step -> why the checkpoint cannot be scored.
        tokens: of the whole pool.
        pad_id: what fills a batch.
        prefix: token ids that all scorable rows begin with.
        quantities: what is kept of each checkpoint, the losses among them.
        inputs: what the losses depend on besides the checkpoint.
        record: kept beside them, compared with nothing.
        summary: for people.
        validation: the same of the validation rows, None without.
    """

    folder: TrajectoryFolder
    checkpoints: dict[int, Path | None]
    fingerprints: dict[int, str]
    versions: dict[int, dict[str, tuple[int, int]]]
    unreadable: dict[int, str]
    tokens: TokenizedPool
    pad_id: int
    prefix: np.ndarray
    quantities: tuple[str, ...]
    inputs: dict[str, Any]
    record: ScoringRecord
    summary: ScoringSummary
    validation: "ScoringPlan | None" = None

    @property
    def with_validation(self) -> list["ScoringPlan"]:
        """This plan, and that of the validation rows where there is one."""
        return [self] if self.validation is None else [self, self.validation]

    def num_tokens(self, rows: np.ndarray) -> int:
        """Of these rows' prompts and responses."""
        return int(self.tokens.lengths[rows].sum())


def plan_scoring(
    config: RunConfig,
    pool: Pool,
    chosen: dict[int, Path | None],
    overwrite: bool,
    num_devices: int = 1,
    model_path: Path | None = None,
) -> ScoringPlan:
    """Fingerprint the checkpoints, tokenize the pool, and compare with what is there.

    Args:
        chosen: by `choose_checkpoints`.
        overwrite: what is there does not count.
        num_devices: that will score.
        model_path: the folder that they were chosen in, None = the run's own.

    Raises: ValueError, FileNotFoundError.
    """
    data = config.data_section
    paths = RunPaths(config.run_name)
    paths.check_place()
    readable, unreadable = read_checkpoints(config, chosen)
    tokenizer = common_tokenizer(readable) or load_tokenizer(config.model_section)
    model = empty_model(config.model_section, tokenizer)
    is_encoder_decoder = bool(model.config.is_encoder_decoder)
    remarks = [
        *check_length(model, data.max_length),
        *base_model_remarks(config, readable),
        *_step_0_remarks(chosen),
    ]
    tokens = tokenize_pool(pool, tokenizer, data.template, data.max_length, is_encoder_decoder)
    newest = next((folder for folder in reversed(chosen.values()) if folder is not None), None)
    training = (newest and training_inputs(newest)) or _training_of(model_path or paths.root)
    remarks += template_remarks(newest, tokens.manifest.template)
    largest_id = _largest_id(tokens)
    validation = validation_tokens = None
    if data.validation_data is not None:
        validation = Pool(data.validation_data)
        validation_tokens = tokenize_pool(
            validation, tokenizer, data.template, data.max_length, is_encoder_decoder
        )
        largest_id = max(largest_id, _largest_id(validation_tokens))
        num_rows = counted(len(validation), "row")
        remarks.append(f"{validation.name}: {num_rows} of validation are scored, too")
    unreadable |= check_fit(config, readable, largest_id)
    _refuse_no_response(tokens)
    fingerprints = {step: found.fingerprint for step, found in readable.items() if step not in unreadable}
    scorable = tokens.scorable_rows
    num_tokens = int(tokens.lengths[scorable].sum())
    plan = ScoringPlan(
        folder=TrajectoryFolder(paths.trajectories),
        checkpoints=chosen,
        fingerprints=fingerprints,
        versions={step: readable[step].versions for step in fingerprints},
        unreadable=unreadable,
        tokens=tokens,
        pad_id=pad_id_of(tokenizer),
        prefix=_prefix(tokens),
        quantities=quantities_of(config.trajectories.also),
        inputs=_inputs(config, tokens),
        record=_record(config, pool, training),
        summary=ScoringSummary(
            run_name=config.run_name,
            num_examples=len(tokens),
            num_unscorable=len(tokens) - len(scorable),
            num_excluded=tokens.manifest.num_excluded,
            steps=list(chosen),
            num_tokens=num_tokens,
            truncation=truncation_of(tokens, np.arange(len(tokens))),
            folder=paths.trajectories,
            model=model_size(config.model_section, model),
            unrecorded_tokenizer=_unrecorded_tokenizer([found.folder for found in readable.values()]),
            num_devices=num_devices,
            device_name=device_name(own_device()),
            precision=config.trajectories.precision,
            time=None,
            remarks=[*remarks, *token_remarks(tokens, tokenizer)],
        ),
    )
    if validation is not None and validation_tokens is not None:
        plan = replace(plan, validation=_plan_of_validation(plan, config, validation, validation_tokens))
    if not overwrite:
        for each in plan.with_validation:
            each.folder.check(each.inputs, each.fingerprints, each.record)
    num_left = sum(_tokens_left(each, overwrite) for each in plan.with_validation)
    return replace(plan, summary=replace(plan.summary, time=_time(config, num_left, num_devices)))


def _tokens_left(plan: ScoringPlan, overwrite: bool) -> int:
    """Of all checkpoints that are not whole on disk."""
    done = [] if overwrite else plan.folder.scored_steps(plan.quantities)
    return plan.num_tokens(plan.tokens.scorable_rows) * len(plan.fingerprints.keys() - set(done))


def _step_0_remarks(chosen: dict[int, Path | None]) -> list[str]:
    folder = chosen.get(BASE_STEP)
    if folder is None:
        return []
    return [f"{folder.name} is scored as step 0, which selection leaves out unless subset.steps names it"]


def _refuse_no_response(tokens: TokenizedPool) -> None:
    """Raises: ValueError where no row has a response token."""
    if not len(tokens.scorable_rows):
        raise ValueError(
            f"data.max_length: none of the {counted(len(tokens), 'row')} keeps a response token at "
            f"{tokens.manifest.max_length} tokens, so none has a loss: set data.max_length higher"
        )


def _prefix(tokens: TokenizedPool) -> np.ndarray:
    """int64: what all scorable rows begin with. An encoder reads the prompts apart from the responses."""
    return np.zeros(0, np.int64) if tokens.is_encoder_decoder else shared_prefix(tokens, tokens.scorable_rows)


def _largest_id(tokens: TokenizedPool) -> int:
    return int(tokens.tokens_S.max(initial=0))


def _inputs(config: RunConfig, tokens: TokenizedPool) -> dict[str, Any]:
    """What losses on these tokens depend on besides the checkpoint."""
    return {
        "pool": tokens.manifest.pool,
        "num_examples": len(tokens),
        "template": tokens.manifest.template,
        "tokenizer": tokens.manifest.tokenizer,
        "max_length": config.data_section.max_length,
        "precision": config.trajectories.precision,
    }


def _training_of(place: Path) -> dict[str, Any] | None:
    """The inputs of the training whose checkpoints lie here, None where none of ours left them."""
    if (inputs := inputs_of_run(place)) is not None:
        return inputs
    with contextlib.suppress(FileNotFoundError):  # step 0 alone, of which no checkpoints are anywhere yet
        return training_inputs(list(find_checkpoints(place).values())[-1])
    return None


def _record(config: RunConfig, pool: Pool, training: dict[str, Any] | None) -> ScoringRecord:
    """What is known of losses on this pool before a device has worked on them.

    Args:
        training: the inputs of that which the checkpoints are of.
    """
    training = training or {}
    return ScoringRecord(
        data=pool_record(pool.data),
        texts=pool.texts_fingerprint,
        model=config.model_section.model_dump(mode="json"),
        trained_on=training.get("pool"),
        base_model=training.get("base_model"),
    )


def _plan_of_validation(
    plan: ScoringPlan, config: RunConfig, pool: Pool, tokens: TokenizedPool
) -> ScoringPlan:
    """The losses of the validation rows, by the same checkpoints."""
    return replace(
        plan,
        folder=TrajectoryFolder(RunPaths(config.run_name).validation_trajectories),
        tokens=tokens,
        prefix=_prefix(tokens),
        quantities=(LOSS,),
        inputs=_inputs(config, tokens),
        record=replace(plan.record, data=pool_record(pool.data), texts=pool.texts_fingerprint),
    )


def _time(config: RunConfig, num_tokens: int, num_devices: int) -> TimeEstimate | None:
    """That scoring so many tokens will take, None before this model has run on such a device."""
    model = config.model_section.model_dump(mode="json")
    pace = scoring_pace(model, device_name(own_device()), config.trajectories.precision)
    return None if pace is None else pace.time_for(num_tokens, num_devices)


def _unrecorded_tokenizer(folders: Sequence[Path | None]) -> TokenizerOrigin | None:
    """Whose tokenizer is taken for checkpoints made elsewhere, None where all say what trained them."""
    foreign = [folder for folder in folders if folder and training_inputs(folder) is None]
    if not foreign:
        return None
    return "checkpoints" if all(map(holds_tokenizer, foreign)) else "base model"


def is_scored(config: RunConfig, pool: Pool, checkpoints: str) -> bool:
    """Whether scoring these checkpoints of the run, as in `choose_checkpoints`, would find nothing to do.

    Raises: as `plan_scoring`.
    """
    if not RunPaths(config.run_name).trajectories_manifest.is_file():
        return False
    chosen = choose_checkpoints(config.run_name, CheckpointQuery(checkpoints))
    plan = plan_scoring(config, pool, chosen, overwrite=False)
    are_whole = all(each.folder.is_whole(each.fingerprints, each.quantities) for each in plan.with_validation)
    return not plan.unreadable and are_whole
