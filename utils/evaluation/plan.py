"""Which questions go to which checkpoint, and which results are there, checked before the model is loaded."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lm_eval.api.task import ConfigurableTask
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from ..artifacts.checkpoints import template_remarks
from ..artifacts.paths import RunPaths
from ..artifacts.trainings import TrainingManifest
from ..config.schema import EvaluationConfig, RunConfig
from ..data.chat import ChatTemplate
from ..data.formats import Example
from ..data.pool import Pool
from ..data.templates import TEMPLATES, plain_prompt
from ..modeling.loading import base_config, checkpoint_config
from ..sandbox.proof import check_sandbox
from .inputs import EvaluationInputs, evaluation_inputs, finished_results
from .models.harness import check_lm_eval_task, prompts_of, question_task
from .models.hf import encode_prompts, longest_prompt
from .programs import asking_for_a_program
from .questions.files import Question, QuestionSet
from .questions.seen import with_pool_rows, with_shots, with_validation_rows
from .settings import named_tasks


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
        inputs: what is evaluated, and on what.
        max_new_tokens: of each response, at most.
        tasks: name -> the questions that we ask.
        lm_eval_tasks: name -> a task of lm-eval's own.
        finished: the results that are there already.
        training_is_unfinished: a later checkpoint will come.
        notes: for the user.
    """

    run_name: str
    folder: Path
    inputs: EvaluationInputs
    max_new_tokens: int
    tasks: dict[str, QuestionTask]
    lm_eval_tasks: dict[str, str]
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
    inputs = evaluation_inputs(config, ckpt)
    for task in evaluation.tasks:
        check_lm_eval_task(task)
    if evaluation.program_of_thought:
        check_sandbox()
    architecture = checkpoint_config(inputs.checkpoint, model) if inputs.checkpoint else base_config(model)
    longest_prompt(architecture, evaluation.max_new_tokens)
    _check_back_end(evaluation, architecture)
    sets, notes = _compared_with_pool(inputs.sets, config)
    sets = [with_shots(question_set, inputs.shots) for question_set in sets]
    if not evaluation.chat_template:  # which asks in another template on purpose
        notes += template_remarks(inputs.checkpoint, inputs.of_all["template"])
    render = TEMPLATES[data.template] if inputs.chat is None else plain_prompt
    prompting = _Prompting(inputs.shots, render, evaluation, inputs.tokenizer, inputs.chat, architecture)
    finished = frozenset() if overwrite else finished_results(config.run_name, inputs.of_all, inputs.of_each)
    unfinished = inputs.step > 0 and _training_is_unfinished(RunPaths(config.run_name))
    return EvaluationPlan(
        run_name=config.run_name,
        folder=RunPaths(config.run_name).evaluation,
        inputs=inputs,
        max_new_tokens=evaluation.max_new_tokens,
        tasks={question_set.name: prompting.task_of(question_set) for question_set in sets},
        lm_eval_tasks=dict(named_tasks(evaluation)),
        finished=finished,
        training_is_unfinished=unfinished,
        notes=notes,
    )


def _compared_with_pool(sets: list[QuestionSet], config: RunConfig) -> tuple[list[QuestionSet], list[str]]:
    """The question sets with notes on rows of the pool and of `data.validation` that ask the same.

    Also notes on what cannot be read. That is not refused: scores do not depend on it, and a model is often
    moved without its pool.
    """
    data = config.data_section
    compared = [("the pool", data, with_pool_rows)]
    if data.validation_data is not None:
        compared.append(("data.validation", data.validation_data, with_validation_rows))
    notes = []
    for name, rows, with_rows in compared:
        try:
            known = Pool(rows)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            notes.append(f"not looked for questions that are in {name}, which cannot be read: {reason}")
            continue
        sets = [with_rows(question_set, known) for question_set in sets]
    return sets, notes


@dataclass(frozen=True)
class _Prompting:
    """How questions become the prompts that the model reads."""

    shots: list[Example]
    render: Callable[[Example], str]
    evaluation: EvaluationConfig
    tokenizer: PreTrainedTokenizerBase
    chat: ChatTemplate | None
    architecture: PretrainedConfig

    def task_of(self, question_set: QuestionSet) -> QuestionTask:
        if not question_set.questions:  # held-out rows that state no answer have a loss all the same
            return QuestionTask(question_set, None, [], [], None)
        by_program = self.evaluation.program_of_thought and question_set.pool is None
        render = asking_for_a_program(self.render) if by_program else self.render
        task = question_task(question_set.name, question_set.questions, self.shots, render, self.evaluation)
        prompts = prompts_of(task, self.chat)
        is_encoder_decoder = bool(self.architecture.is_encoder_decoder)
        ids = encode_prompts(self.tokenizer, prompts, is_encoder_decoder, self.chat is not None)
        lengths = [len(prompt) for prompt in ids]
        limit = longest_prompt(self.architecture, self.evaluation.max_new_tokens)
        too_long = [limit is not None and length > limit for length in lengths]

        def in_words(questions: list[Question]) -> ConfigurableTask:
            return question_task(question_set.name, questions, self.shots, self.render, self.evaluation)

        return QuestionTask(question_set, task, lengths, too_long, in_words if by_program else None)


def _check_back_end(evaluation: EvaluationConfig, architecture: PretrainedConfig) -> None:
    if evaluation.backend == "hf":
        return
    if architecture.is_encoder_decoder:
        raise ValueError(
            "evaluation.backend: found vllm for an encoder-decoder, with which only hf generates: set hf"
        )


def _training_is_unfinished(paths: RunPaths) -> bool:
    return paths.manifest.is_file() and not TrainingManifest.read(paths.manifest).is_complete
