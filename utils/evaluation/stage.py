"""Evaluate one run: check, plan, measure what is not measured yet, show the results."""

import gc
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.task import ConfigurableTask
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from utils.artifacts.checkpoints import checkpoint_fingerprint, find_checkpoints
from utils.artifacts.manifests import check_inputs, provenance, read_manifest, write_manifest
from utils.artifacts.paths import RunPaths, checkpoint_name
from utils.config.names import look_up
from utils.config.schema import EvaluationConfig, ModelConfig, RunConfig
from utils.data.formats import Example
from utils.data.pool import Pool
from utils.data.templates import TEMPLATES, plain_prompt
from utils.data.tokenization import check_tokenizer, tokenize_pool, tokenizer_fingerprint
from utils.evaluation.answers import ANSWER_RULES
from utils.evaluation.generation import TransformersModel, encode_prompts, longest_prompt
from utils.evaluation.harness import ask, check_benchmark, prompts_of, question_task, run_benchmark
from utils.evaluation.heldout_loss import heldout_losses, loss_by_source, loss_of_rows
from utils.evaluation.program_sandbox import check_sandbox
from utils.evaluation.programs import answered_by_programs, asking_for_a_program
from utils.evaluation.questions import (
    HELDOUT,
    PUBLIC,
    Question,
    QuestionFile,
    public_benchmark,
    read_benchmark,
    read_heldout,
    read_shots,
    with_pool_rows,
)
from utils.evaluation.results import (
    WAYS_OUT,
    Response,
    count_endings,
    judge_all,
    plain_average,
    prediction_line,
    read_result,
    response_line,
    result_is_there,
    summary,
    tally,
    tally_by_source,
    write_result,
)
from utils.evaluation.task_rows import public_rows
from utils.evaluation.text_metrics import check_text_metrics, text_scores
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
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+=-]*$")


@dataclass(frozen=True)
class Asked:
    """Questions as the model will read them.

    Attributes: task: of lm-eval; lengths: tokens of each prompt; too_long: how many of them leave no room; in_words: where
    `task` asks for programs, the task that asks some of the questions for an answer in words.
    """

    file: QuestionFile
    task: ConfigurableTask
    lengths: list[int]
    too_long: list[bool]
    in_words: Callable[[list[Question]], ConfigurableTask] | None

    @property
    def name(self) -> str:
        return self.file.name


@dataclass(frozen=True)
class EvaluationPlan:
    """Attributes:
    step: of the checkpoint; 0 = the base model.
    checkpoint: its folder; None for the base model.
    asked: what we ask; benchmarks: result's name -> task of lm-eval's own.
    inputs: what every result depends on; each_inputs: per result, those and what it alone depends on.
    finished: the results that are there already.
    """

    step: int
    checkpoint: Path | None
    architecture: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase
    asked: list[Asked]
    benchmarks: dict[str, str]
    inputs: dict[str, Any]
    each_inputs: dict[str, dict[str, Any]]
    finished: frozenset[str]
    training_is_unfinished: bool
    notes: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        return checkpoint_name(self.step) if self.checkpoint else "the base model (step 0)"

    @property
    def names(self) -> list[str]:
        return [*(asked.name for asked in self.asked), *self.benchmarks]

    def describe(self, config: RunConfig) -> str:
        lines = [f"run {config.run_name}: evaluate {self.title}, results in {RunPaths(config.run_name).evaluation}"]
        if self.training_is_unfinished:
            lines.append("  the training of this run is not finished: a later checkpoint will need --overwrite")
        lines += [f"  {note}" for note in self.notes]
        for asked in self.asked:
            file = asked.file
            lines.append(
                f"  {file.name}: {len(file.questions)} questions in {file.path}; {sum(asked.lengths):,} prompt tokens, "
                f"at most {len(asked.lengths) * config.evaluation.max_new_tokens:,} to generate; {self._state(file.name)}"
            )
            if file.pool is not None:
                lines.append(
                    f"    response loss of {len(file.pool.usable_rows)} rows, {len(file.pool.source_names)} sources"
                )
            too_long = sum(asked.too_long)
            lines += [f"    {note}" for note in file.notes]
            lines += [f"    {too_long} prompts leave no room for a response: their beginning goes"] * bool(too_long)
        lines += [f"  {name}: lm-eval's task {task}; {self._state(name)}" for name, task in self.benchmarks.items()]
        return "\n".join(lines)

    def _state(self, name: str) -> str:
        return "there already" if name in self.finished else "to do"


def plan_evaluation(config: RunConfig, ckpt: int, overwrite: bool) -> EvaluationPlan:
    """Check all that can be checked without loading the model; writes nothing.

    Args: ckpt: a step, 0 for the base model, -1 for the newest checkpoint; overwrite: what is there does not count.
    Raises: ValueError, FileNotFoundError.
    """
    model, data, evaluation = config.model, config.data, config.evaluation
    assert model is not None and data is not None
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("evaluate.py runs as one process: start it with `python evaluate.py`, not with torchrun")
    benchmarks = _named_benchmarks(evaluation)
    check_text_metrics(evaluation.text_metrics)
    if evaluation.program_of_thought:
        check_sandbox()
    files = _question_files(config)
    step, checkpoint = _choose_checkpoint(config, ckpt)
    tokenizer = load_checkpoint_tokenizer(checkpoint, model) if checkpoint else load_tokenizer(model)
    check_tokenizer(tokenizer)
    architecture = _architecture(model, checkpoint)
    longest_prompt(architecture, evaluation.max_new_tokens)
    _check_back_end(evaluation, architecture)
    if evaluation.chat_template and not tokenizer.chat_template:
        raise ValueError(
            "evaluation.chat_template: found true, but the model's tokenizer has no chat template: remove it, and the "
            f"questions are asked with data.template ({data.template}), as in training"
        )
    shots = (
        read_shots(evaluation.fewshot, evaluation.num_fewshot, data)
        if evaluation.fewshot and evaluation.num_fewshot
        else []
    )
    files, notes = _compared_with_pool(files, config)
    render = plain_prompt if evaluation.chat_template else look_up(TEMPLATES, data.template, "data.template")
    asked = [_asked(file, shots, render, evaluation, tokenizer, architecture) for file in files]
    inputs = {
        "step": step,
        "checkpoint": checkpoint_fingerprint(checkpoint) if checkpoint else None,
        "base_model": _base_model(config, checkpoint),
        "dtype": model.dtype,
        "template": "chat" if evaluation.chat_template else data.template,
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "backend": evaluation.backend,
        "max_new_tokens": evaluation.max_new_tokens,
        "stop": evaluation.stop,
        "num_fewshot": evaluation.num_fewshot,
        "shots": _sha256([[shot.instruction, shot.input, shot.response] for shot in shots]),
        "limit": evaluation.limit,
        "program_of_thought": evaluation.program_of_thought,
        "answer_rules": ANSWER_RULES,
        "text_metrics": evaluation.text_metrics,
    }
    each_inputs: dict[str, dict[str, Any]] = {file.name: {**inputs, "file": file.sha256} for file in files}
    for file in files:
        if file.pool is not None:
            each_inputs[file.name] |= {"pool": file.pool.fingerprint, "max_length": data.max_length}
    for name, task in benchmarks.items():
        each_inputs[name] = {**inputs, "file": _benchmark_fingerprint(task)}
    finished = frozenset() if overwrite else _finished(RunPaths(config.run_name), inputs, each_inputs)
    unfinished = step > 0 and _training_is_unfinished(RunPaths(config.run_name))
    return EvaluationPlan(
        step, checkpoint, architecture, tokenizer, asked, benchmarks, inputs, each_inputs, finished, unfinished, notes
    )


def evaluate(config: RunConfig, plan: EvaluationPlan, overwrite: bool) -> None:
    """Measure everything that has no result yet, leave the results in res/<run_name>/evaluation and print them.

    Raises: ValueError if the model cannot be loaded or its losses are not finite.
    """
    keep_freed_memory()
    folder = RunPaths(config.run_name).evaluation
    manifest = folder / "manifest.json"
    inputs = {**plan.inputs, "files": {name: plan.each_inputs[name]["file"] for name in plan.names}}
    pending = [name for name in plan.names if name not in plan.finished]
    if pending:
        models = _Models(config, plan, with_losses=HELDOUT in pending)
        if overwrite:  # only now that the model is there to measure
            shutil.rmtree(folder, ignore_errors=True)
        write_manifest(manifest, KIND, "running", inputs, provenance=provenance())
        for name in pending:
            begun = time.monotonic()
            lines, measured = _measure(models, config, plan, name)
            made = provenance(device=models.device, seconds=round(time.monotonic() - begun, 1))
            write_result(folder, name, plan.each_inputs[name], lines, measured, made)
    recorded = read_manifest(manifest, KIND)
    if recorded["status"] != "complete" or recorded["inputs"] != inputs:
        write_manifest(manifest, KIND, "complete", inputs, provenance=provenance())
    results = {name: read_result(folder, name) for name in plan.names}
    print(summary(f"run {config.run_name}, {plan.title}", results))
    print(f"results in {folder}")


def _named_benchmarks(evaluation: EvaluationConfig) -> dict[str, str]:
    """Result's name -> what to ask lm-eval for. Raises: ValueError, FileNotFoundError."""
    named = {}
    for task in evaluation.tasks:
        check_benchmark(task)
        name = Path(task).stem if task.endswith((".yaml", ".yml")) else task
        if name in named or name in evaluation.benchmarks:
            raise ValueError(
                f"evaluation.tasks: found {name!r} twice (in tasks or benchmarks), expected each name once"
            )
        named[name] = task
    for setting, names in (("benchmarks", evaluation.benchmarks), ("tasks", named)):
        for name in names:
            if not _NAME.match(name) or name in (HELDOUT, "manifest"):
                raise ValueError(
                    f"evaluation.{setting}: found the name {name!r}, expected one that can name a file (letters, digits, "
                    f"._+=-) and is neither {HELDOUT!r} nor 'manifest': rename it"
                )
    if evaluation.heldout is None and not evaluation.benchmarks and not named:
        raise ValueError(
            "evaluation: found neither heldout nor benchmarks nor tasks, expected at least one: add `evaluation: "
            "{heldout: FILE.jsonl}` (rows like the pool's) or `evaluation: {benchmarks: {NAME: FILE.jsonl}}` (lines of "
            '{"instruction", "answer"})'
        )
    return named


def _question_files(config: RunConfig) -> list[QuestionFile]:
    assert config.data is not None
    evaluation = config.evaluation
    files = []
    if evaluation.heldout:
        files.append(read_heldout(evaluation.heldout, config.data, evaluation.limit, bool(evaluation.text_metrics)))
    for name, path in evaluation.benchmarks.items():
        if path == PUBLIC:
            files.append(public_benchmark(name, public_rows(name), evaluation.limit))
        else:
            files.append(read_benchmark(name, path, evaluation.limit))
    return files


def _compared_with_pool(files: list[QuestionFile], config: RunConfig) -> tuple[list[QuestionFile], list[str]]:
    """The files with the pool's rows that ask the same questions; what to say if there is no pool to look at."""
    assert config.data is not None
    try:
        pool = Pool(config.data)
    except (OSError, ValueError) as error:  # scores do not depend on it, and a model is often moved without its pool
        return files, [
            f"not looked for questions that are in the pool, which cannot be read: {str(error).splitlines()[0]}"
        ]
    return [with_pool_rows(file, pool) for file in files], []


def _asked(
    file: QuestionFile,
    shots: list[Example],
    render: Callable[[Example], str],
    evaluation: EvaluationConfig,
    tokenizer: PreTrainedTokenizerBase,
    architecture: PretrainedConfig,
) -> Asked:
    by_program = evaluation.program_of_thought and file.pool is None
    first = asking_for_a_program(render) if by_program else render
    task = question_task(file.name, file.questions, shots, first, evaluation)
    prompts = prompts_of(task, tokenizer, evaluation.chat_template)
    lengths = [len(ids) for ids in encode_prompts(tokenizer, prompts, bool(architecture.is_encoder_decoder))]
    limit = longest_prompt(architecture, evaluation.max_new_tokens)
    too_long = [limit is not None and length > limit for length in lengths]

    def in_words(questions: list[Question]) -> ConfigurableTask:
        return question_task(file.name, questions, shots, render, evaluation)

    return Asked(file, task, lengths, too_long, in_words if by_program else None)


def _check_back_end(evaluation: EvaluationConfig, architecture: PretrainedConfig) -> None:
    if evaluation.backend == "hf":
        return
    if architecture.is_encoder_decoder:
        raise ValueError("evaluation.backend: found vllm for an encoder-decoder, which only hf generates with: set hf")
    if importlib.util.find_spec("vllm") is None:
        raise ValueError(
            "evaluation.backend: found vllm, which is not installed: pip install '.[vllm]', or set evaluation.backend=hf"
        )


def _benchmark_fingerprint(task: str) -> str:
    """Of lm-eval's own tasks the version decides; a task's YAML is read."""
    text = Path(task).read_text() if Path(task).is_file() else ""
    return _sha256([importlib.metadata.version("lm_eval"), task, text])


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


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


def _finished(paths: RunPaths, inputs: dict[str, Any], each_inputs: dict[str, dict[str, Any]]) -> frozenset[str]:
    """What has its result. Raises: ValueError if the folder's results come from other inputs."""
    manifest = paths.evaluation / "manifest.json"
    if not manifest.is_file():
        return frozenset()
    recorded = read_manifest(manifest, KIND)["inputs"]
    check_inputs(manifest, {name: value for name, value in recorded.items() if name != "files"}, inputs, WAYS_OUT)
    return frozenset(name for name, wanted in each_inputs.items() if result_is_there(paths.evaluation, name, wanted))


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


class _Models:
    """The model, for losses (transformers) and for generation (lm-eval on either back end).

    vLLM wants the device for itself: from its start on there are no losses, so what has losses is measured first.
    """

    def __init__(self, config: RunConfig, plan: EvaluationPlan, with_losses: bool):
        """Args: with_losses: losses will be asked for. Raises: ValueError if the model cannot be loaded."""
        self._config, self._plan = config, plan
        self._generation: Any = None
        self.losses = _load_model(config, plan) if with_losses or config.evaluation.backend == "hf" else None
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if self.losses is None:
            self._generation = self._start_vllm()

    @property
    def generation(self) -> Any:
        if self._generation is None:
            if self._config.evaluation.backend == "hf":
                chat = self._config.evaluation.chat_template
                self._generation = TransformersModel(self.losses, self._plan.tokenizer, chat)
            else:
                self.losses = None
                self._generation = self._start_vllm()
        return self._generation

    def _start_vllm(self) -> Any:
        from utils.evaluation.vllm_generation import VllmModel

        model, evaluation, tokenizer = self._config.model, self._config.evaluation, self._plan.tokenizer
        assert model is not None
        parts = RunPaths(self._config.run_name).root / "parts"
        parts.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parts) as folder:  # a whole model, also of an adapter or of random weights
            _load_model(self._config, self._plan).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            gc.collect()
            torch.cuda.empty_cache()
            return VllmModel(Path(folder), tokenizer, model.dtype, evaluation.tensor_parallel, evaluation.chat_template)


def _measure(
    models: _Models, config: RunConfig, plan: EvaluationPlan, name: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The lines of a result's predictions, and what the result says."""
    if name in plan.benchmarks:
        return _measure_benchmark(models, config, plan.benchmarks[name])
    (asked,) = [asked for asked in plan.asked if asked.name == name]
    evaluation, file = config.evaluation, asked.file
    heldout = {} if file.pool is None else _heldout_loss(models.losses, config, plan, file.pool)
    responses = []
    if file.questions:
        tokens = max(asked.lengths) + evaluation.max_new_tokens
        models.generation.fit_batches(evaluation.max_tokens_per_batch, tokens)
        responses = [
            Response(response.text, response.cut_off, too_long)
            for response, too_long in zip(
                ask(models.generation, asked.task, evaluation.chat_template), asked.too_long, strict=True
            )
        ]
    notes = [*file.notes, *heldout.get("notes", [])]
    in_words = asked.in_words
    if in_words is not None:
        responses, note = answered_by_programs(
            file.questions,
            responses,
            file.kind,
            lambda questions: ask(models.generation, in_words(questions), evaluation.chat_template),
        )
        notes.append(note)
    if file.pool is not None and evaluation.text_metrics:
        return _compared_as_texts(asked.file, responses, evaluation, {**heldout, "notes": notes})
    predictions = judge_all(file.questions, responses, file.kind)
    measured = {**tally(predictions), **heldout, "notes": notes}
    if file.pool is not None:
        by_source = {
            source: {**heldout["by_source"][source], **accuracy}
            for source, accuracy in tally_by_source(predictions, file.pool.source_names).items()
        }
        measured["by_source"] = by_source
        for entry in ("accuracy", "accuracy_strict"):
            measured[f"{entry}_average"] = plain_average([row[entry] for row in by_source.values()])
    return [prediction_line(prediction) for prediction in predictions], measured


def _compared_as_texts(
    file: QuestionFile, responses: list[Response], evaluation: EvaluationConfig, measured: dict[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    texts, references = (
        [response.text.strip() for response in responses],
        [question.gold for question in file.questions],
    )
    overall, each = text_scores(evaluation.text_metrics, texts, references, evaluation.bert_score_model)
    lines = [
        {**response_line(question, response), **{metric: values[place] for metric, values in each.items()}}
        for place, (question, response) in enumerate(zip(file.questions, responses, strict=True))
    ]
    return lines, {**measured, "questions": len(lines), **count_endings(responses), "metrics": overall}


def _measure_benchmark(models: _Models, config: RunConfig, task: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A task of lm-eval's own. Its accuracy is the mean of what its first metric says of each question, if it says a
    number."""
    models.generation.fit_batches(config.evaluation.max_tokens_per_batch, models.generation.max_length)
    metrics, samples = run_benchmark(models.generation, task, config.evaluation)
    first_filter = {sample["task"]: sample["filter"] for sample in reversed(samples)}
    lines = []
    for sample in samples:
        if sample["filter"] == first_filter[sample["task"]]:
            value = sample[sample["metrics"][0]]
            lines.append(
                {
                    "index": len(lines),
                    "source": sample["task"],
                    "question": sample["arguments"][0][0],
                    "gold": str(sample["target"]),
                    "correct": float(value) if isinstance(value, (bool, int, float)) else None,
                    "text": sample["resps"],
                }
            )
    values = [line["correct"] for line in lines]
    measured = {
        "questions": len(lines),
        "accuracy": None if None in values else plain_average(values),
        "metrics": {
            f"{name} {metric}": float(value)
            for name, row in metrics.items()
            for metric, value in row.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool) and "stderr" not in metric
        },
        "notes": ["asked with lm-eval's own prompts and judged by its own metrics"],
    }
    return lines, measured


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
