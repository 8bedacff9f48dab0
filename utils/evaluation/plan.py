"""Which questions go to which checkpoint, and which results are there, checked before the model is loaded."""

import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lm_eval.api.task import ConfigurableTask
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from ..artifacts.checkpoints import check_trained_with, checkpoint_fingerprint, model_versions
from ..artifacts.evaluations import HELDOUT, WAYS_OUT, EvaluationManifest, result_is_there
from ..artifacts.manifests import check_inputs
from ..artifacts.paths import RunPaths
from ..artifacts.trainings import TrainingManifest
from ..config.schema import EvaluationConfig, RunConfig
from ..data.formats import Example
from ..data.pool import Pool
from ..data.templates import TEMPLATES, plain_prompt
from ..data.tokenization import tokenizer_fingerprint
from ..modeling.loading import (
    base_config,
    base_fingerprint,
    checkpoint_config,
    load_checkpoint_tokenizer,
    load_tokenizer,
)
from ..sandbox.proof import check_sandbox
from .answers.judging import ANSWER_RULES
from .models.harness import check_lm_eval_task, prompts_of, question_task
from .models.hf import encode_prompts, longest_prompt
from .programs import asking_for_a_program
from .questions.files import (
    PUBLIC,
    Question,
    QuestionSet,
    public_question_set,
    read_heldout,
    read_question_set,
    read_shots,
    with_pool_rows,
)
from .questions.task_rows import public_rows
from .settings import choose_checkpoint, evaluation_problems, named_tasks


@dataclass(frozen=True)
class QuestionTask:
    """Questions as the model will read them.

    Attributes:
        question_set: the questions, and where they come from.
        lm_eval: as lm-eval asks them, None without questions.
        lengths: tokens of each prompt.
        too_long: which prompts leave no room for a response.
        in_words: where `lm_eval` asks for programs, the task that asks some of the questions for an answer
            in words.
    """

    question_set: QuestionSet
    lm_eval: ConfigurableTask | None
    lengths: list[int]
    too_long: list[bool]
    in_words: Callable[[list[Question]], ConfigurableTask] | None


@dataclass(frozen=True)
class EvaluationPlan:
    """What an evaluation will do.

    Attributes:
        run_name: of the run.
        folder: where the results go.
        step: of the checkpoint, 0 for the base model.
        checkpoint: its folder, None for the base model.
        versions: of its files, as `model_versions` gives them, none for the base model.
        tokenizer: as the model was trained with.
        max_new_tokens: of each response, at most.
        tasks: name -> the questions that we ask.
        lm_eval_tasks: name -> a task of lm-eval's own.
        inputs: what every result depends on.
        each_inputs: name -> those, and what this result alone depends on.
        finished: the results that are there already.
        training_is_unfinished: a later checkpoint will come.
        notes: for the user.
    """

    run_name: str
    folder: Path
    step: int
    checkpoint: Path | None
    versions: dict[str, tuple[int, int]]
    tokenizer: PreTrainedTokenizerBase
    max_new_tokens: int
    tasks: dict[str, QuestionTask]
    lm_eval_tasks: dict[str, str]
    inputs: dict[str, Any]
    each_inputs: dict[str, dict[str, Any]]
    finished: frozenset[str]
    training_is_unfinished: bool
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [*self.tasks, *self.lm_eval_tasks]


def plan_evaluation(config: RunConfig, ckpt: int, overwrite: bool) -> EvaluationPlan:
    """Check all that can be checked without loading the model. Writes nothing.

    Args:
        config: the run.
        ckpt: a step, 0 for the base model, -1 for the newest checkpoint.
        overwrite: results that are there do not count.

    Raises:
        FileNotFoundError, ValueError: with the setting to correct.
    """
    model = config.model_section
    data = config.data_section
    evaluation = config.evaluation
    RunPaths(config.run_name).check_place()
    if problems := evaluation_problems(evaluation):
        raise ValueError("; ".join(problems))
    lm_eval_tasks = _lm_eval_tasks_of(evaluation)
    if evaluation.program_of_thought:
        check_sandbox()
    sets = question_sets(config)
    step, checkpoint = choose_checkpoint(config.run_name, ckpt)
    tokenizer = load_checkpoint_tokenizer(checkpoint, model) if checkpoint else load_tokenizer(model)
    fingerprint = tokenizer_fingerprint(tokenizer)
    base_model = _base_model(config, checkpoint)
    if checkpoint is not None:
        check_trained_with(checkpoint, {"tokenizer": fingerprint, "base_model": base_model})
    architecture = checkpoint_config(checkpoint, model) if checkpoint else base_config(model)
    longest_prompt(architecture, evaluation.max_new_tokens)
    _check_back_end(evaluation, architecture)
    if evaluation.chat_template and not tokenizer.chat_template:
        raise ValueError(
            "evaluation.chat_template: found true, but the model's tokenizer has no chat template: "
            f"remove it to ask with data.template ({data.template}), as in training"
        )
    shots: list[Example] = []
    if evaluation.fewshot and evaluation.num_fewshot:
        shots = read_shots(evaluation.fewshot, evaluation.num_fewshot, data)
    sets, notes = _compared_with_pool(sets, config)
    render = plain_prompt if evaluation.chat_template else TEMPLATES[data.template]
    prompting = _Prompting(shots, render, evaluation, tokenizer, architecture)
    versions = model_versions(checkpoint) if checkpoint else {}
    inputs = {
        "step": step,
        "checkpoint": checkpoint_fingerprint(checkpoint) if checkpoint else None,
        "base_model": base_model,
        "dtype": model.dtype,
        "template": "chat" if evaluation.chat_template else data.template,
        "tokenizer": fingerprint,
        "backend": evaluation.backend,
        "max_new_tokens": evaluation.max_new_tokens,
        "stop": evaluation.stop,
        "num_fewshot": evaluation.num_fewshot,
        "shots": _sha256([[shot.instruction, shot.input, shot.response] for shot in shots]),
        "program_of_thought": evaluation.program_of_thought,
        "answer_rules": ANSWER_RULES,
        "text_metrics": evaluation.text_metrics,
        "bert_score_model": evaluation.bert_score_model if "bert_score" in evaluation.text_metrics else None,
    }
    each_inputs = {
        name: {**inputs, "limit": evaluation.limit_of(name), **own}
        for name, own in _own_inputs(sets, lm_eval_tasks, data.max_length).items()
    }
    finished = frozenset() if overwrite else finished_results(config.run_name, inputs, each_inputs)
    unfinished = step > 0 and _training_is_unfinished(RunPaths(config.run_name))
    return EvaluationPlan(
        run_name=config.run_name,
        folder=RunPaths(config.run_name).evaluation,
        step=step,
        checkpoint=checkpoint,
        versions=versions,
        tokenizer=tokenizer,
        max_new_tokens=evaluation.max_new_tokens,
        tasks={question_set.name: prompting.task_of(question_set) for question_set in sets},
        lm_eval_tasks=lm_eval_tasks,
        inputs=inputs,
        each_inputs=each_inputs,
        finished=finished,
        training_is_unfinished=unfinished,
        notes=notes,
    )


def _lm_eval_tasks_of(evaluation: EvaluationConfig) -> dict[str, str]:
    """The result's name -> lm-eval's name of the task. Raises: ValueError."""
    for task in evaluation.tasks:
        check_lm_eval_task(task)
    return dict(named_tasks(evaluation))


def question_sets(config: RunConfig) -> list[QuestionSet]:
    """All questions that we ask in our own way.

    Raises:
        FileNotFoundError, ValueError: for files that cannot be read.
    """
    evaluation = config.evaluation
    sets = []
    if evaluation.heldout:
        limit = evaluation.limit_of(HELDOUT)
        sets.append(
            read_heldout(evaluation.heldout, config.data_section, limit, bool(evaluation.text_metrics))
        )
    for name, path in evaluation.benchmarks.items():
        if path == PUBLIC:
            sets.append(public_question_set(name, public_rows(name), evaluation.limit_of(name)))
        else:
            sets.append(read_question_set(name, path, evaluation.limit_of(name)))
    return sets


def _compared_with_pool(sets: list[QuestionSet], config: RunConfig) -> tuple[list[QuestionSet], list[str]]:
    """The question sets with the pool's rows that ask the same, and a note if the pool cannot be read."""
    try:
        pool = Pool(config.data_section)
    except (OSError, ValueError) as error:
        # Not refused: scores do not depend on the pool, and a model is often moved without it.
        reason = str(error).splitlines()[0]
        return sets, [f"not looked for questions that are in the pool, which cannot be read: {reason}"]
    return [with_pool_rows(question_set, pool) for question_set in sets], []


@dataclass(frozen=True)
class _Prompting:
    """How questions become the prompts that the model reads."""

    shots: list[Example]
    render: Callable[[Example], str]
    evaluation: EvaluationConfig
    tokenizer: PreTrainedTokenizerBase
    architecture: PretrainedConfig

    def task_of(self, question_set: QuestionSet) -> QuestionTask:
        if not question_set.questions:  # held-out rows that state no answer have a loss all the same
            return QuestionTask(question_set, None, [], [], None)
        by_program = self.evaluation.program_of_thought and question_set.pool is None
        render = asking_for_a_program(self.render) if by_program else self.render
        task = question_task(question_set.name, question_set.questions, self.shots, render, self.evaluation)
        prompts = prompts_of(task, self.tokenizer, self.evaluation.chat_template)
        ids = encode_prompts(self.tokenizer, prompts, bool(self.architecture.is_encoder_decoder))
        lengths = [len(prompt) for prompt in ids]
        limit = longest_prompt(self.architecture, self.evaluation.max_new_tokens)
        too_long = [limit is not None and length > limit for length in lengths]

        def in_words(questions: list[Question]) -> ConfigurableTask:
            return question_task(question_set.name, questions, self.shots, self.render, self.evaluation)

        return QuestionTask(question_set, task, lengths, too_long, in_words if by_program else None)


def _own_inputs(
    sets: list[QuestionSet], lm_eval_tasks: dict[str, str], max_length: int
) -> dict[str, dict[str, Any]]:
    """name -> what this result alone depends on."""
    own: dict[str, dict[str, Any]] = {}
    for question_set in sets:
        own[question_set.name] = {"file": question_set.sha256}
        if question_set.pool is not None:
            own[question_set.name] |= {"pool": question_set.pool.fingerprint, "max_length": max_length}
    for name, task in lm_eval_tasks.items():
        own[name] = {"file": _lm_eval_task_fingerprint(task)}
    return own


def _check_back_end(evaluation: EvaluationConfig, architecture: PretrainedConfig) -> None:
    if evaluation.backend == "hf":
        return
    if architecture.is_encoder_decoder:
        raise ValueError(
            "evaluation.backend: found vllm for an encoder-decoder, with which only hf generates: set hf"
        )


def _lm_eval_task_fingerprint(task: str) -> str:
    """sha256 of lm-eval's version, which decides about its own tasks, and of the text of a task's YAML."""
    text = Path(task).read_text() if Path(task).is_file() else ""
    return _sha256([importlib.metadata.version("lm_eval"), task, text])


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _base_model(config: RunConfig, checkpoint: Path | None) -> str | None:
    """What identifies the base model where the result depends on it: at step 0 and under an adapter."""
    if checkpoint is not None and not (checkpoint / "adapter_config.json").is_file():
        return None
    return base_fingerprint(config.model_section, config.seed)


def finished_results(
    run_name: str, inputs: dict[str, Any], each_inputs: dict[str, dict[str, Any]]
) -> frozenset[str]:
    """What has its result. Raises: ValueError if the folder's results come from other inputs."""
    paths = RunPaths(run_name)
    if not paths.evaluation_manifest.is_file():
        return frozenset()
    recorded = EvaluationManifest.read(paths.evaluation_manifest).inputs
    of_all = {name: value for name, value in recorded.items() if name != "files"}
    check_inputs(paths.evaluation_manifest, of_all, inputs, WAYS_OUT)
    return frozenset(
        name for name, wanted in each_inputs.items() if result_is_there(paths.evaluation, name, wanted)
    )


def _training_is_unfinished(paths: RunPaths) -> bool:
    return paths.manifest.is_file() and not TrainingManifest.read(paths.manifest).is_complete
