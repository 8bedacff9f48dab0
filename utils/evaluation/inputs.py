"""What the results of an evaluation are made from, compared before one is reused. Needs no lm-eval."""

import importlib.metadata
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..artifacts.checkpoints import check_trained_with, checkpoint_fingerprint, model_versions
from ..artifacts.checksums import checksum, checksum_of_json
from ..artifacts.evaluations import HELDOUT, WAYS_OUT, EvaluationManifest, result_is_there
from ..artifacts.layouts import is_adapter
from ..artifacts.manifests import check_inputs
from ..artifacts.paths import RunPaths
from ..config.schema import RunConfig
from ..data.chat import ChatTemplate, chat_template_of
from ..data.formats import Example
from ..data.tokenization import tokenizer_fingerprint
from ..modeling.loading import base_fingerprint, load_checkpoint_tokenizer, load_tokenizer
from ..reading import read_text
from .answers.judging import ANSWER_RULES
from .questions.files import (
    PUBLIC,
    QuestionSet,
    public_question_set,
    read_heldout,
    read_question_set,
    read_shots,
)
from .questions.public import public_rows
from .settings import choose_checkpoint, evaluation_problems, named_tasks

# Recorded in place of ANSWER_RULES where nothing is generated, so that such results stay valid when the rules
# change. 4 is what earlier versions recorded.
_NO_ANSWERS = 4

# In the YAML of a task of lm-eval's.
_INCLUDED = re.compile(r"^include:(.*(?:\n\s*-.*)*)", re.MULTILINE)  # a name, or a list of them
_NAME = re.compile(r"(?!-\s)[^\s'\"\[\],]+")
_FUNCTION = re.compile(r"!function\s+([\w.]+)\.\w+")


@dataclass(frozen=True)
class EvaluationInputs:
    """What is evaluated, and on what.

    Attributes:
        step: of the checkpoint, 0 for the base model.
        checkpoint: its folder, None for the base model.
        versions: of its files, as `model_versions` gives them, none for the base model.
        tokenizer: as the model was trained with.
        chat: the template in which it is asked, None where it is asked with texts.
        sets: the questions that we ask.
        shots: solved examples before each question.
        of_all: what every result depends on.
        of_each: name of a result -> those, and what it alone depends on.
    """

    step: int
    checkpoint: Path | None
    versions: dict[str, tuple[int, int]]
    tokenizer: PreTrainedTokenizerBase
    chat: ChatTemplate | None
    sets: list[QuestionSet]
    shots: list[Example]
    of_all: dict[str, Any]
    of_each: dict[str, dict[str, Any]]


def evaluation_inputs(config: RunConfig, ckpt: int) -> EvaluationInputs:
    """Read the questions, and find out which weights will answer them.

    Args:
        config: the run.
        ckpt: a step, 0 for the base model, -1 for the newest checkpoint.

    Raises:
        FileNotFoundError, ValueError: with the setting to correct.
    """
    model = config.model_section
    data = config.data_section
    evaluation = config.evaluation
    RunPaths(config.run_name).check_place()
    if problems := evaluation_problems(evaluation):
        raise ValueError("; ".join(problems))
    sets = question_sets(config)
    step, checkpoint = choose_checkpoint(config.run_name, ckpt)
    tokenizer = load_checkpoint_tokenizer(checkpoint, model) if checkpoint else load_tokenizer(model)
    in_chat = evaluation.chat_template or data.has_chat_template
    if evaluation.chat_template and not data.has_chat_template and not tokenizer.chat_template:
        raise ValueError(
            "evaluation.chat_template: found true, but the model's tokenizer has no chat template: "
            f"remove it to ask with data.template ({data.template}), as in training"
        )
    fingerprint = tokenizer_fingerprint(tokenizer)
    base_model = _base_model(config, checkpoint)
    chat = (
        chat_template_of(data.template if data.has_chat_template else "chat", tokenizer) if in_chat else None
    )
    if checkpoint is not None:
        check_trained_with(checkpoint, {"tokenizer": fingerprint, "base_model": base_model})
    shots: list[Example] = []
    if evaluation.fewshot and evaluation.num_fewshot:
        shots = read_shots(evaluation.fewshot, evaluation.num_fewshot, data)
    versions = model_versions(checkpoint) if checkpoint else {}
    of_all = {
        "step": step,
        "checkpoint": checkpoint_fingerprint(checkpoint) if checkpoint else None,
        "base_model": base_model,
        "dtype": model.dtype,
        "template": data.template if chat is None else f"chat:{chat.fingerprint}",
        "tokenizer": fingerprint,
        "backend": evaluation.backend,
        "max_new_tokens": evaluation.max_new_tokens,
        "stop": evaluation.stop,
        "num_fewshot": evaluation.num_fewshot,
        "shots": checksum_of_json([_parts_of(shot) for shot in shots]),
        "program_of_thought": evaluation.program_of_thought,
        "answer_rules": ANSWER_RULES if evaluation.max_new_tokens else _NO_ANSWERS,
        "text_metrics": evaluation.text_metrics,
        "bert_score_model": evaluation.bert_score_model if "bert_score" in evaluation.text_metrics else None,
    }
    own = _own_inputs(sets, dict(named_tasks(evaluation)), data.max_length)
    return EvaluationInputs(
        step=step,
        checkpoint=checkpoint,
        versions=versions,
        tokenizer=tokenizer,
        chat=chat,
        sets=sets,
        shots=shots,
        of_all=of_all,
        of_each={name: {**of_all, "limit": evaluation.limit_of(name), **more} for name, more in own.items()},
    )


def question_sets(config: RunConfig) -> list[QuestionSet]:
    """All questions that we ask in our own way.

    Raises:
        FileNotFoundError, ValueError: for files that cannot be read.
    """
    evaluation = config.evaluation
    sets = []
    if evaluation.heldout:
        limit = evaluation.limit_of(HELDOUT)
        question_set = read_heldout(
            evaluation.heldout, config.data_section, limit, bool(evaluation.text_metrics)
        )
        sets.append(question_set if evaluation.max_new_tokens else replace(question_set, questions=[]))
    for name, path in evaluation.benchmarks.items():
        if path == PUBLIC:
            sets.append(public_question_set(name, public_rows(name), evaluation.limit_of(name)))
        else:
            sets.append(read_question_set(name, path, evaluation.limit_of(name)))
    return sets


def manifest_inputs(of_all: dict[str, Any], of_each: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the manifest says of the evaluation as a whole."""
    return {**of_all, "files": {name: inputs["file"] for name, inputs in of_each.items()}}


def finished_results(
    run_name: str, of_all: dict[str, Any], of_each: dict[str, dict[str, Any]]
) -> frozenset[str]:
    """What has its result. Raises: ValueError if the folder's results come from other inputs."""
    paths = RunPaths(run_name)
    if not paths.evaluation_manifest.is_file():
        return frozenset()
    recorded = EvaluationManifest.read(paths.evaluation_manifest).inputs
    recorded_of_all = {name: value for name, value in recorded.items() if name != "files"}
    check_inputs(paths.evaluation_manifest, recorded_of_all, of_all, WAYS_OUT)
    return frozenset(
        name for name, wanted in of_each.items() if result_is_there(paths.evaluation, name, wanted)
    )


def is_evaluated(config: RunConfig) -> bool:
    """Whether the newest checkpoint has all results that the config asks for.

    Raises: as `evaluation_inputs`, and ValueError if the folder's results come from other inputs.
    """
    path = RunPaths(config.run_name).evaluation_manifest
    if not path.is_file():
        return False
    inputs = evaluation_inputs(config, ckpt=-1)
    finished = finished_results(config.run_name, inputs.of_all, inputs.of_each)
    recorded = EvaluationManifest.read(path)
    is_of_these = recorded.inputs == manifest_inputs(inputs.of_all, inputs.of_each)
    return recorded.is_complete and is_of_these and finished == inputs.of_each.keys()


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


def _lm_eval_task_fingerprint(task: str) -> str:
    """sha256 of lm-eval's version, which decides about its own tasks, and of the files of a task's YAML."""
    files = {path.as_posix(): checksum(path) for path in _files_of_task(Path(task))}
    return checksum_of_json([importlib.metadata.version("lm_eval"), task, files or ""])


def _files_of_task(task: Path) -> set[Path]:
    """A task's YAML, what it includes, and the Python files of their functions. None of lm-eval's own."""
    files: set[Path] = set()
    waiting = [task]
    while waiting:
        path = waiting.pop()
        if path in files or not path.is_file():
            continue
        files.add(path)
        if path.suffix != ".py":
            text = read_text(path)
            included = " ".join(_INCLUDED.findall(text))
            waiting += [path.parent / name for name in _NAME.findall(included)]
            waiting += [path.parent / f"{module.replace('.', '/')}.py" for module in _FUNCTION.findall(text)]
    return files


def _parts_of(shot: Example) -> list[str]:
    turns = [shot.conversation.canonical()] if shot.conversation else []
    return [shot.instruction, shot.input, shot.response, *turns]


def _base_model(config: RunConfig, checkpoint: Path | None) -> str | None:
    """What identifies the base model where the result depends on it: at step 0 and under an adapter."""
    if checkpoint is not None and not is_adapter(checkpoint):
        return None
    return base_fingerprint(config.model_section, config.seed)
