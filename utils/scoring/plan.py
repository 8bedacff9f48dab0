"""Which checkpoints are scored, on what tokens, into which folder; all checked before a model is loaded."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..artifacts.checkpoints import check_trained_with, checkpoint_fingerprint, training_inputs
from ..artifacts.differences import pool_record
from ..artifacts.paths import RunPaths
from ..artifacts.rates import scoring_pace, time_line
from ..artifacts.trajectories.write import begin_trajectories, check_trajectories, quantities_of
from ..config.schema import ModelConfig, RunConfig
from ..data.pool import Pool
from ..data.tokenization import TokenizedPool, shared_prefix, tokenize_pool, tokenizer_fingerprint
from ..data.truncation import truncation_of
from ..modeling.architecture import check_length
from ..modeling.devices import default_device, device_name, model_name, model_size
from ..modeling.loading import (
    base_fingerprint,
    checkpoint_config,
    empty_model,
    holds_tokenizer,
    load_checkpoint_tokenizer,
    load_tokenizer,
    pad_id_of,
)
from ..terminal import counted, labelled, unbroken


@dataclass(frozen=True)
class ScoringPlan:
    """Made by the first rank (`Launch.first`), since it reads every weight file and every row; small to hand to the others.

    Attributes:
    folder: res/<run_name>/trajectories.
    checkpoints: step -> folder, ascending; None for the base model.
    fingerprints: step -> checkpoint fingerprint, or why the checkpoint cannot be read (`unreadable`).
    tokens: of the whole pool; pad_id: what fills a batch.
    prefix: token ids that all scorable rows begin with.
    quantities: what is kept of each checkpoint, the losses among them.
    inputs: what the losses depend on besides the checkpoint; record: kept beside them, compared with nothing.
    remarks: for the user.
    """

    folder: Path
    checkpoints: dict[int, Path | None]
    fingerprints: dict[int, str]
    unreadable: dict[int, str]
    tokens: TokenizedPool
    pad_id: int
    prefix: np.ndarray
    quantities: tuple[str, ...]
    inputs: dict[str, Any]
    record: dict[str, Any]
    remarks: list[str]

    @property
    def scorable_rows(self) -> np.ndarray:
        """int64, ascending: the rows with a response token."""
        return np.flatnonzero(self.tokens.num_response_tokens > 0)

    def num_tokens(self, rows: np.ndarray) -> int:
        """Of these rows' prompts and responses."""
        return int(self.tokens.lengths[rows].sum())

    def describe(self, config: RunConfig, num_devices: int = 1) -> str:
        model = config.model_section
        num_tokens = self.num_tokens(self.scorable_rows)
        device = device_name(default_device())
        pace = scoring_pace(self.record["model"], device, config.trajectories.precision)
        return "\n".join(
            [
                f"run {config.run_name}: {len(self.tokens)} examples x {len(self.checkpoints)} checkpoints "
                f"{list(self.checkpoints)}, {num_tokens:,} tokens each",
                f"  {counted(len(self.tokens) - len(self.scorable_rows), 'example')} without a response token "
                f"({self.tokens.inputs['num_excluded']} of them cannot be used at all): their losses are NaN, and selection "
                "leaves them out",
                *(f"  {line}" for line in truncation_of(self.tokens, np.arange(len(self.tokens))).describe()),
                f"  losses go to {self.folder}",
                *labelled("model", f"{unbroken(model_name(model))}, {model_size(model)}"),
                *self._unknown_tokenizer(),
                *labelled("devices", f"{num_devices} x {device}, {config.trajectories.precision}"),
                *labelled("time", time_line(pace, num_tokens * len(self.checkpoints), num_devices)),
                *(f"  note: {remark}" for remark in self.remarks),
            ]
        )

    def _unknown_tokenizer(self) -> list[str]:
        """What is not known of the tokenizer that checkpoints made elsewhere were trained with."""
        foreign = [
            folder for folder in self.checkpoints.values() if folder and training_inputs(folder) is None
        ]
        if not foreign:
            return []
        whose = (
            "in their folders"
            if all(map(holds_tokenizer, foreign))
            else "of the base model, as they hold none"
        )
        return labelled(
            "tokenizer", f"the one {whose}; nothing records which one the checkpoints were trained with"
        )


def plan_scoring(
    config: RunConfig, pool: Pool, chosen: dict[int, Path | None], overwrite: bool
) -> ScoringPlan:
    """Fingerprint the checkpoints, tokenize the pool, and compare with what is there.

    Args: chosen: by `choose_checkpoints`; overwrite: what is there does not count.

    Raises: ValueError, FileNotFoundError.
    """
    fingerprints, unreadable = _fingerprints(config, chosen)
    tokenizer = _common_tokenizer(config.model_section, chosen)
    model = empty_model(config.model_section)
    remarks = check_length(model, config.data_section.max_length)
    is_encoder_decoder = bool(model.config.is_encoder_decoder)
    tokens = tokenize_pool(
        pool, tokenizer, config.data_section.template, config.data_section.max_length, is_encoder_decoder
    )
    _check_fit(config, chosen, tokens)
    inputs = {
        "pool": tokens.inputs["pool"],
        "num_examples": len(tokens),
        "template": config.data_section.template,
        "tokenizer": tokens.inputs["tokenizer"],
        "max_length": config.data_section.max_length,
        "precision": config.trajectories.precision,
    }
    folder, data = RunPaths(config.run_name).trajectories, pool_record(config.data_section)
    if not overwrite:
        check_trajectories(folder, inputs, fingerprints, data)
    scorable = np.flatnonzero(tokens.num_response_tokens > 0)
    return ScoringPlan(
        folder=folder,
        checkpoints=chosen,
        fingerprints=fingerprints,
        unreadable=unreadable,
        tokens=tokens,
        pad_id=pad_id_of(tokenizer),
        prefix=np.zeros(0, np.int64) if is_encoder_decoder else shared_prefix(tokens, scorable),
        quantities=quantities_of(config.trajectories.also),
        inputs=inputs,
        record={"data": data, "model": config.model_section.model_dump(mode="json")},
        remarks=remarks,
    )


def begin(plan: ScoringPlan, overwrite: bool, device: torch.device) -> list[int]:
    """Open the results folder and return the readable steps that are not scored yet.

    Raises: ValueError if other inputs made what is there (unless overwrite, which removes it).
    """
    return begin_trajectories(
        plan.folder,
        plan.inputs,
        plan.fingerprints,
        plan.unreadable,
        plan.tokens.num_response_tokens,
        plan.quantities,
        overwrite,
        {**plan.record, "tokens": plan.num_tokens(plan.scorable_rows), "device_name": device_name(device)},
    )


def _fingerprints(config: RunConfig, chosen: dict[int, Path | None]) -> tuple[dict[int, str], dict[int, str]]:
    fingerprints, unreadable = {}, {}
    for step, folder in chosen.items():
        try:
            fingerprints[step] = (
                base_fingerprint(config.model_section, config.seed)
                if folder is None
                else checkpoint_fingerprint(folder)
            )
        except (ValueError, OSError) as error:  # reported at the end; the other checkpoints are scored
            unreadable[step] = str(error)
    return fingerprints, unreadable


def _check_fit(config: RunConfig, chosen: dict[int, Path | None], tokens: TokenizedPool) -> None:
    """Refuse checkpoints that were trained with something else, or have no row for a token id. Raises: ValueError."""
    settings = config.model_section
    largest = int(tokens.tokens_S.max(initial=0))
    for folder in filter(None, chosen.values()):
        is_adapter = (folder / "adapter_config.json").is_file()
        base_model = base_fingerprint(settings, config.seed) if is_adapter else None
        check_trained_with(folder, {"tokenizer": tokens.inputs["tokenizer"], "base_model": base_model})
        size = None if is_adapter else _vocabulary_size(folder, settings)
        if size is not None and largest >= size:
            raise ValueError(
                f"{folder}: the tokenizer gives ids up to {largest}, but the model's vocabulary has {size} entries: "
                "expected the tokenizer that it was trained with"
            )


def _vocabulary_size(folder: Path, model: ModelConfig) -> int | None:
    """None where the config does not say, or cannot be read (which is told when the checkpoint is loaded)."""
    try:
        return getattr(checkpoint_config(folder, model).get_text_config(), "vocab_size", None)
    except (ValueError, FileNotFoundError):
        return None


def _common_tokenizer(model: ModelConfig, chosen: dict[int, Path | None]) -> Any:
    """The one tokenizer of all chosen checkpoints. Raises: ValueError if they differ: their losses would not compare."""
    loaded: dict[str, tuple[str, Any]] = {}
    for step, folder in chosen.items():
        file = None if folder is None else folder / "tokenizer.json"
        contents = (
            hashlib.sha256(file.read_bytes()).hexdigest()
            if file is not None and file.is_file()
            else "base model"
        )
        if contents not in loaded:
            tokenizer = load_tokenizer(model) if folder is None else load_checkpoint_tokenizer(folder, model)
            loaded[contents] = (f"checkpoint {step}", tokenizer)
    kinds = {tokenizer_fingerprint(tokenizer): where for where, tokenizer in loaded.values()}
    if len(kinds) > 1:
        raise ValueError(
            f"{' and '.join(kinds.values())} have different tokenizers: score them as separate runs"
        )
    return next(iter(loaded.values()))[1]
