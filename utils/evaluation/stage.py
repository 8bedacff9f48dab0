"""Evaluate one run: check, plan, measure what is not measured yet, show the results."""

import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from utils.artifacts.checkpoints import checkpoint_fingerprint, find_checkpoints
from utils.artifacts.manifests import check_inputs, provenance, read_manifest, write_manifest
from utils.artifacts.paths import RunPaths, checkpoint_name
from utils.config.names import look_up
from utils.config.schema import ModelConfig, RunConfig
from utils.data.pool import Pool
from utils.data.templates import TEMPLATES
from utils.data.tokenization import check_tokenizer, tokenize_pool, tokenizer_fingerprint
from utils.evaluation.answers import ANSWER_RULES
from utils.evaluation.generation import encode_prompts, greedy_responses, longest_prompt
from utils.evaluation.heldout_loss import heldout_losses, loss_by_source, loss_of_rows
from utils.evaluation.questions import HELDOUT, QuestionFile, read_benchmark, read_heldout
from utils.evaluation.results import (
    WAYS_OUT,
    Prediction,
    judge,
    plain_average,
    read_result,
    result_is_there,
    summary,
    tally,
    tally_by_source,
    write_result,
)
from utils.modeling.cpu_memory import keep_freed_memory
from utils.modeling.loading import (
    base_config,
    base_fingerprint,
    load_base_model,
    load_checkpoint,
    load_checkpoint_tokenizer,
    load_tokenizer,
    pad_id_of,
)

KIND = "evaluation"
_BENCHMARK_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+=-]*$")


@dataclass(frozen=True)
class EvaluationPlan:
    """Attributes:
    step: of the checkpoint; 0 = the base model.
    checkpoint: its folder; None for the base model.
    prompts: file name -> token ids of each question's prompt.
    inputs: what every result depends on; file_inputs: per file, those and what it alone depends on.
    finished: the files whose results are there already.
    """

    step: int
    checkpoint: Path | None
    architecture: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase
    files: list[QuestionFile]
    prompts: dict[str, list[list[int]]]
    inputs: dict[str, Any]
    file_inputs: dict[str, dict[str, Any]]
    finished: frozenset[str]
    training_is_unfinished: bool

    @property
    def title(self) -> str:
        return checkpoint_name(self.step) if self.checkpoint else "the base model (step 0)"

    def describe(self, config: RunConfig) -> str:
        lines = [f"run {config.run_name}: evaluate {self.title}, results in {RunPaths(config.run_name).evaluation}"]
        if self.training_is_unfinished:
            lines.append("  the training of this run is not finished: a later checkpoint will need --overwrite")
        limit = longest_prompt(self.architecture, config.evaluation.max_new_tokens)
        for file in self.files:
            lengths = [len(prompt) for prompt in self.prompts[file.name]]
            state = "there already" if file.name in self.finished else "to do"
            lines.append(
                f"  {file.name}: {len(file.questions)} questions in {file.path}; {sum(lengths):,} prompt tokens, "
                f"at most {len(lengths) * config.evaluation.max_new_tokens:,} to generate; {state}"
            )
            if file.pool is not None:
                lines.append(
                    f"    response loss of {len(file.pool.usable_rows)} rows, {len(file.pool.source_names)} sources"
                )
            too_long = sum(limit is not None and length > limit for length in lengths)
            notes = [*file.notes, *([f"{too_long} prompts leave no room for a response"] if too_long else [])]
            lines += [f"    {note}" for note in notes]
        return "\n".join(lines)


def plan_evaluation(config: RunConfig, ckpt: int, overwrite: bool) -> EvaluationPlan:
    """Check all that can be checked without loading the model; writes nothing.

    Args: ckpt: a step, 0 for the base model, -1 for the newest checkpoint; overwrite: what is there does not count.
    Raises: ValueError, FileNotFoundError.
    """
    model, data, evaluation = config.model, config.data, config.evaluation
    assert model is not None and data is not None
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("evaluate.py runs as one process: start it with `python evaluate.py`, not with torchrun")
    files = _question_files(config)
    step, checkpoint = _choose_checkpoint(config, ckpt)
    tokenizer = load_checkpoint_tokenizer(checkpoint, model) if checkpoint else load_tokenizer(model)
    check_tokenizer(tokenizer)
    architecture = _architecture(model, checkpoint)
    longest_prompt(architecture, evaluation.max_new_tokens)
    render = look_up(TEMPLATES, data.template, "data.template")
    prompts = {
        file.name: encode_prompts(
            tokenizer, [render(question.example) for question in file.questions], bool(architecture.is_encoder_decoder)
        )
        for file in files
    }
    inputs = {
        "step": step,
        "checkpoint": checkpoint_fingerprint(checkpoint) if checkpoint else None,
        "base_model": _base_model(config, checkpoint),
        "dtype": model.dtype,
        "template": data.template,
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "max_new_tokens": evaluation.max_new_tokens,
        "limit": evaluation.limit,
        "answer_rules": ANSWER_RULES,
    }
    file_inputs: dict[str, dict[str, Any]] = {file.name: {**inputs, "file": file.sha256} for file in files}
    for file in files:
        if file.pool is not None:
            file_inputs[file.name] |= {"pool": file.pool.fingerprint, "max_length": data.max_length}
    finished = frozenset() if overwrite else _finished(RunPaths(config.run_name), inputs, file_inputs)
    unfinished = step > 0 and _training_is_unfinished(RunPaths(config.run_name))
    return EvaluationPlan(
        step, checkpoint, architecture, tokenizer, files, prompts, inputs, file_inputs, finished, unfinished
    )


def evaluate(config: RunConfig, plan: EvaluationPlan, overwrite: bool) -> None:
    """Measure every file that has no result yet, leave the results in res/<run_name>/evaluation and print them.

    Raises: ValueError if the model cannot be loaded or its losses are not finite.
    """
    keep_freed_memory()
    folder = RunPaths(config.run_name).evaluation
    manifest = folder / "manifest.json"
    inputs = {**plan.inputs, "files": {file.name: file.sha256 for file in plan.files}}
    pending = [file for file in plan.files if file.name not in plan.finished]
    if pending:
        model = _load_model(config, plan)
        if overwrite:  # only now that the model is there to measure
            shutil.rmtree(folder, ignore_errors=True)
        write_manifest(manifest, KIND, "running", inputs, provenance=provenance())
        for file in pending:
            begun = time.monotonic()
            predictions, measured = _measure(model, config, plan, file)
            made = provenance(device=str(model.device), seconds=round(time.monotonic() - begun, 1))
            write_result(folder, file.name, plan.file_inputs[file.name], predictions, measured, made)
    recorded = read_manifest(manifest, KIND)
    if recorded["status"] != "complete" or recorded["inputs"] != inputs:
        write_manifest(manifest, KIND, "complete", inputs, provenance=provenance())
    results = {file.name: read_result(folder, file.name) for file in plan.files}
    print(summary(f"run {config.run_name}, {plan.title}", results))
    print(f"results in {folder}")


def _question_files(config: RunConfig) -> list[QuestionFile]:
    assert config.data is not None
    evaluation = config.evaluation
    if evaluation.heldout is None and not evaluation.benchmarks:
        raise ValueError(
            "evaluation: found neither heldout nor benchmarks, expected at least one: add `evaluation: {heldout: "
            "FILE.jsonl}` (rows like the pool's) or `evaluation: {benchmarks: {NAME: FILE.jsonl}}` (lines of "
            '{"instruction", "answer"})'
        )
    for name in evaluation.benchmarks:
        if not _BENCHMARK_NAME.match(name) or name in (HELDOUT, "manifest"):
            raise ValueError(
                f"evaluation.benchmarks: found the name {name!r}, expected one that can name a file (letters, digits, "
                f"._+=-) and is neither {HELDOUT!r} nor 'manifest': rename it"
            )
    heldout = [read_heldout(evaluation.heldout, config.data, evaluation.limit)] if evaluation.heldout else []
    return heldout + [read_benchmark(name, path, evaluation.limit) for name, path in evaluation.benchmarks.items()]


def _choose_checkpoint(config: RunConfig, ckpt: int) -> tuple[int, Path | None]:
    if ckpt == 0:
        return 0, None
    root = RunPaths(config.run_name).root
    try:
        found = find_checkpoints(root)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"run {config.run_name!r} has no checkpoint in {root}: train it first with `python train.py --config_file "
            "<this YAML>`, or evaluate the base model with --ckpt 0"
        ) from None
    step = max(found) if ckpt == -1 else ckpt
    if step not in found:
        raise ValueError(
            f"--ckpt: no checkpoint of step {ckpt} in {root}; there are {list(found)}, 0 (base) and -1 (newest)"
        )
    return step, found[step]


def _architecture(model: ModelConfig, checkpoint: Path | None) -> PretrainedConfig:
    if checkpoint is None or not (checkpoint / "config.json").is_file():  # the base model, or an adapter on it
        return base_config(model)
    return base_config(
        model.model_copy(update={"name_or_path": str(checkpoint), "architecture": None, "revision": None})
    )


def _base_model(config: RunConfig, checkpoint: Path | None) -> str | None:
    """What identifies the base model where the result depends on it: at step 0 and under an adapter."""
    model = config.model
    assert model is not None
    if checkpoint is not None and not (checkpoint / "adapter_config.json").is_file():
        return None
    return base_fingerprint(model, config.seed)


def _finished(paths: RunPaths, inputs: dict[str, Any], file_inputs: dict[str, dict[str, Any]]) -> frozenset[str]:
    """Files whose results are there. Raises: ValueError if the folder's results come from other inputs."""
    manifest = paths.evaluation / "manifest.json"
    if not manifest.is_file():
        return frozenset()
    recorded = read_manifest(manifest, KIND)["inputs"]
    check_inputs(manifest, {name: value for name, value in recorded.items() if name != "files"}, inputs, WAYS_OUT)
    return frozenset(name for name, wanted in file_inputs.items() if result_is_there(paths.evaluation, name, wanted))


def _training_is_unfinished(paths: RunPaths) -> bool:
    return paths.manifest.is_file() and read_manifest(paths.manifest, "training")["status"] != "complete"


def _load_model(config: RunConfig, plan: EvaluationPlan) -> Any:
    assert config.model is not None
    model: Any
    if plan.checkpoint is None:
        model = load_base_model(config.model, plan.tokenizer, config.seed).eval()
    else:
        model = load_checkpoint(plan.checkpoint, config.model, dtype=getattr(torch, config.model.dtype))
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def _measure(
    model: Any, config: RunConfig, plan: EvaluationPlan, file: QuestionFile
) -> tuple[list[Prediction], dict[str, Any]]:
    """A file's predictions, and what its result says."""
    evaluation = config.evaluation
    heldout = {} if file.pool is None else _heldout_loss(model, config, plan, file.pool)
    responses = greedy_responses(
        model,
        plan.tokenizer,
        plan.prompts[file.name],
        evaluation.max_new_tokens,
        evaluation.max_tokens_per_batch,
        file.name,
    )
    predictions = judge(file.questions, responses)
    measured = {**tally(predictions), **heldout, "notes": [*file.notes, *heldout.get("notes", [])]}
    if file.pool is not None:
        by_source = {
            source: {**heldout["by_source"][source], **accuracy}
            for source, accuracy in tally_by_source(predictions, file.pool.source_names).items()
        }
        measured["by_source"] = by_source
        measured["accuracy_average"] = plain_average([row["accuracy"] for row in by_source.values()])
    return predictions, measured


def _heldout_loss(model: Any, config: RunConfig, plan: EvaluationPlan, pool: Pool) -> dict[str, Any]:
    """The response loss over all rows, per source, and its plain average over sources."""
    data = config.data
    assert data is not None
    tokens = tokenize_pool(pool, plan.tokenizer, data.template, data.max_length, bool(model.config.is_encoder_decoder))
    losses_N = heldout_losses(model, tokens, pad_id_of(plan.tokenizer), config.evaluation.max_tokens_per_batch)
    overall, by_source = loss_of_rows(losses_N[~pool.excluded]), loss_by_source(losses_N, pool)
    notes = []
    if overall["without_response_token"]:
        unscored = overall["without_response_token"]
        notes.append(f"{unscored} rows without a response token within {data.max_length} tokens: not in the loss")
    average = plain_average([row["loss"] for row in by_source.values()])
    return {**overall, "loss_average": average, "by_source": by_source, "notes": notes}
