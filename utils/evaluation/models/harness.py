"""Questions and benchmarks as tasks of lm-eval, and a run of one of them."""

import difflib
import functools
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from lm_eval import evaluator
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager

from ...config.schema import EvaluationConfig
from ...data.chat import ChatTemplate
from ...data.formats import Example
from ...process.reporter import reporter
from ..bars import no_bars
from ..predictions import Response
from ..questions.files import Question
from ..questions.task_rows import rows_of
from ..questions.turns import chat_prompt, question_text

_TASKS = Path(__file__).parents[1] / "questions/tasks"
# Its warnings are about settings that we make on purpose.
logging.getLogger("lm_eval").setLevel(logging.ERROR)


@functools.cache
def _task_manager(include_lm_eval: bool) -> TaskManager:
    return TaskManager(include_path=_TASKS, include_defaults=include_lm_eval)


def question_task(
    name: str,
    questions: list[Question],
    shots: list[Example],
    render: Callable[[Example], str],
    evaluation: EvaluationConfig,
) -> ConfigurableTask:
    """The task of tasks/<name>.yaml, or of tasks/questions.yaml if there is none, on these questions.

    Args:
        name: of the question set.
        questions: what is asked.
        shots: the solved examples before each question, always the same.
        render: an example -> its prompt.
        evaluation: how it is asked.
    """
    base = f"s2l_{name}" if (_TASKS / f"{name}.yaml").is_file() else "s2l_questions"
    manager = _task_manager(include_lm_eval=False)
    shot_rows = [
        {"instruction": question_text(shot), "input": shot.input, "answer": "", "response": shot.response}
        for shot in shots
    ]
    settings = {
        "task": base,
        "task_alias": name,
        "custom_dataset": lambda **_: rows_of(questions),
        "doc_to_text": lambda doc: render(Example(doc["instruction"], "", doc["input"])),
        "num_fewshot": len(shots),
        "fewshot_config": {"sampler": "first_n", "samples": shot_rows},
        "generation_kwargs": {
            "until": list(evaluation.stop),
            "do_sample": False,
            "max_gen_toks": evaluation.max_new_tokens,
        },
    }
    # lm-eval takes settings over a task's YAML only for the members of a group.
    (task,) = manager.load([{"group": "questions", "task": [settings]}])["tasks"].values()
    assert isinstance(task, ConfigurableTask)
    task.override_metric("bypass")  # we judge, by both rules
    return task


def prompts_of(task: ConfigurableTask, chat: ChatTemplate | None) -> list[str]:
    """The text that the model will read, for each question."""
    settings: dict[str, Any] = {"num_fewshot": task.config.num_fewshot}
    if chat is not None:
        settings |= {"apply_chat_template": True, "fewshot_as_multiturn": True}
        settings |= {"chat_template": partial(chat_prompt, chat)}
    return [str(task.fewshot_context(cast(Any, doc), **settings)) for doc in task.eval_docs]


def ask(model: Any, task: ConfigurableTask, chat: bool) -> list[Response]:
    """One response to each question of a task, in their order.

    Args:
        model: of `hf` or `vllm`, with a `record`.
        task: the questions.
        chat: ask through the tokenizer's chat template.
    """
    progress = reporter.progress(str(task.config.task_alias), "question", len(task.eval_docs))
    model.record.begin(progress)
    result = _evaluate(model, {"tasks": {"questions": task}}, chat, limit=None)
    progress.close()
    samples = sorted(result["samples"]["questions"], key=lambda sample: sample["doc_id"])
    return [
        Response(sample["resps"][0][0], model.record.cut_off[sample["arguments"][0][0]]) for sample in samples
    ]


def check_lm_eval_task(name: str) -> None:
    """Whether lm-eval has such a task.

    Raises:
        FileNotFoundError: for a file that is not there.
        ValueError: for a name that lm-eval does not know.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise FileNotFoundError(f"evaluation.tasks: {name} is not a file (current folder: {Path.cwd()})")
        return
    known = _task_manager(include_lm_eval=True).all_tasks
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=3)
        hint = f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
        raise ValueError(
            f"evaluation.tasks: found {name!r}, expected one of lm-eval's {len(known):,} tasks{hint}"
        )


def run_lm_eval_task(
    model: Any, name: str, evaluation: EvaluationConfig, limit: int | None, chat: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run a task of lm-eval's own, with its own prompts and metrics.

    Args:
        model: of `hf` or `vllm`, with a `record`.
        name: as lm-eval names it, or the path of a task's YAML.
        evaluation: how it is asked.
        limit: its first questions only.
        chat: ask through the chat template.

    Returns:
        task -> metric -> value, and one dict per question and task as lm-eval logs them.
    """
    loaded = _task_manager(include_lm_eval=True).load([name])
    for task in loaded["tasks"].values():
        if evaluation.num_fewshot is not None:
            task.set_config(key="num_fewshot", value=evaluation.num_fewshot)
        elif task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=1234)  # lm-eval's own default
    progress = reporter.progress(name, "request", total=None)
    model.record.begin(progress)
    result = _evaluate(model, loaded, chat, limit)
    progress.close()
    samples = [
        {**sample, "task": task}
        for task, task_samples in result["samples"].items()
        for sample in task_samples
    ]
    return result["results"], samples


def _evaluate(model: Any, tasks: Any, chat: bool, limit: int | None) -> dict[str, Any]:
    for task in tasks["tasks"].values():
        # lm-eval refuses a task without one, although none of ours draws its solved examples.
        if getattr(task, "fewshot_rnd", None) is None:
            task.set_fewshot_seed(seed=0)
    with no_bars():
        result = evaluator.evaluate(
            lm=model,
            task_dict=tasks,
            limit=limit,
            bootstrap_iters=0,
            apply_chat_template=chat,
            fewshot_as_multiturn=chat,
        )
    assert result is not None
    return dict(result)
