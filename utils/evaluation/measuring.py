"""Measure one result: the loss of held-out responses, and how good responses are.

They are judged by our rules, compared as texts, or measured by lm-eval's own tasks.
"""

import math
from dataclasses import replace
from typing import Any

from ..config.schema import EvaluationConfig, RunConfig
from ..data.pool import Pool
from ..data.tokenization import tokenize_pool
from ..modeling.loading import pad_id_of
from .heldout_loss import heldout_losses, loss_by_source, loss_of_rows
from .models.harness import ask, run_lm_eval_task
from .models.load import Models
from .plan import EvaluationPlan, QuestionTask
from .predictions import (
    Response,
    count_endings,
    judge_all,
    plain_average,
    prediction_line,
    response_line,
    tally,
    tally_by_source,
)
from .programs import answered_by_programs
from .questions.files import Question, QuestionSet
from .text_metrics import text_scores

# The lines of a result's predictions, and the result.
Measurement = tuple[list[dict[str, Any]], dict[str, Any]]


def measure(models: Models, config: RunConfig, plan: EvaluationPlan, name: str) -> Measurement:
    """Measure the result of this name.

    Raises:
        ValueError: if a loss is not finite.
    """
    evaluation = config.evaluation
    if name in plan.lm_eval_tasks:
        return _measure_lm_eval_task(models, evaluation, plan.lm_eval_tasks[name], evaluation.limit_of(name))
    task = plan.tasks[name]
    question_set = task.question_set
    # Losses come first: vLLM needs the memory of the model that gives them.
    loss = (
        {"notes": []}
        if question_set.pool is None
        else _heldout_loss(models.losses, config, plan, question_set.pool)
    )
    responses, notes = _responses(models, task, evaluation)
    result = {**loss, "notes": [*question_set.notes, *loss["notes"], *notes]}
    if question_set.pool is not None and evaluation.text_metrics:
        return _compared_as_texts(question_set, responses, evaluation, result)
    return _judged(question_set, responses, result)


def _heldout_loss(model: Any, config: RunConfig, plan: EvaluationPlan, pool: Pool) -> dict[str, Any]:
    """The response loss over all rows, per source, and its plain average over sources."""
    data = config.data_section
    tokens = tokenize_pool(
        pool, plan.inputs.tokenizer, data.template, data.max_length, bool(model.config.is_encoder_decoder)
    )
    pad_id = pad_id_of(plan.inputs.tokenizer)
    losses_N = heldout_losses(model, tokens, pad_id, config.evaluation.max_tokens_per_batch)
    overall = loss_of_rows(losses_N[~pool.excluded])
    by_source = loss_by_source(losses_N, pool)
    notes = []
    if overall["without_response_token"]:
        unscored = overall["without_response_token"]
        notes.append(
            f"{unscored} rows without a response token within {data.max_length} tokens: not in the loss"
        )
    average = plain_average([row["loss"] for row in by_source.values()])
    return {**overall, "loss_average": average, "by_source": by_source, "notes": notes}


def _responses(
    models: Models, task: QuestionTask, evaluation: EvaluationConfig
) -> tuple[list[Response], list[str]]:
    """One response per question, with the output of the programs among them, and notes on them."""
    if task.lm_eval is None:
        return [], []
    longest = max(task.lengths) + evaluation.max_new_tokens
    models.generation.fit_batches(evaluation.max_tokens_per_batch, longest)
    responses = [
        replace(response, too_long=too_long)
        for response, too_long in zip(
            ask(models.generation, task.lm_eval, models.asked_in_chat), task.too_long, strict=True
        )
    ]
    in_words = task.in_words
    if in_words is None:
        return responses, []

    def ask_in_words(questions: list[Question]) -> list[Response]:
        return ask(models.generation, in_words(questions), models.asked_in_chat)

    responses, note = answered_by_programs(task.question_set.questions, responses, ask_in_words)
    return responses, [note]


def _judged(question_set: QuestionSet, responses: list[Response], result: dict[str, Any]) -> Measurement:
    predictions = judge_all(question_set.questions, responses)
    result = {**tally(predictions), **result}
    if question_set.pool is not None:
        by_source = {
            source: {**result["by_source"][source], **accuracy}
            for source, accuracy in tally_by_source(predictions, question_set.pool.source_names).items()
        }
        result["by_source"] = by_source
        for entry in ("accuracy", "accuracy_strict"):
            result[f"{entry}_average"] = plain_average([row[entry] for row in by_source.values()])
    return [prediction_line(prediction) for prediction in predictions], result


def _compared_as_texts(
    question_set: QuestionSet, responses: list[Response], evaluation: EvaluationConfig, result: dict[str, Any]
) -> Measurement:
    texts = [response.text.strip() for response in responses]
    references = [question.gold.text for question in question_set.questions]
    overall, each = text_scores(evaluation.text_metrics, texts, references, evaluation.bert_score_model)
    lines = [response_line(*pair) for pair in zip(question_set.questions, responses, strict=True)]
    for metric, values in each.items():
        for line, value in zip(lines, values, strict=True):
            line[metric] = value
    return lines, {**result, "questions": len(lines), **count_endings(responses), "metrics": overall}


def _measure_lm_eval_task(
    models: Models, evaluation: EvaluationConfig, task: str, limit: int | None
) -> Measurement:
    """A task of lm-eval's own. Its accuracy is the mean of its first metric, where that is a number."""
    models.generation.fit_batches(evaluation.max_tokens_per_batch, models.generation.max_length)
    metrics, samples = run_lm_eval_task(models.generation, task, evaluation, limit, models.asked_in_chat)
    # A task may read a response through several filters, each with samples of its own.
    first_filter = {sample["task"]: sample["filter"] for sample in reversed(samples)}
    lines = []
    for sample in samples:
        if sample["filter"] != first_filter[sample["task"]]:
            continue
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
    result = {
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
    no_numbers = [name for name, value in result["metrics"].items() if not math.isfinite(value)]
    for name in no_numbers:
        del result["metrics"][name]
        result["notes"].append(f"{name} is no number (NaN or infinite), and left out")
    return lines, result
