"""What an evaluation will ask, and its results as a table."""

from typing import TYPE_CHECKING, Any

from ...artifacts.evaluations import HELDOUT, EvaluationResults
from ...artifacts.paths import checkpoint_name
from ...terminal import table, wrapped

if TYPE_CHECKING:
    from ...evaluation.plan import EvaluationPlan, QuestionTask

_COLUMNS = {  # heading -> the entries of a result that it shows
    "loss": ("loss",),
    "paper": ("accuracy",),
    "strict": ("accuracy_strict",),
    "questions": ("questions",),
    "cut off": ("cut_off",),
    "no answer": ("without_answer", "without_answer_strict"),
    "hopeless": ("unmatchable", "unmatchable_strict"),
}
_COLUMNS_EXPLAINED = (
    "loss: nats per response token. "
    "paper, strict: share of questions with the right answer, "
    "generated greedily, by the paper's rules and exactly. "
    "cut off: by the token limit. "
    "no answer, hopeless (paper/strict): responses without a value, "
    "and gold answers that the rule can never find right."
)


def evaluation_plan_text(plan: "EvaluationPlan") -> str:
    lines = [f"run {plan.run_name}: evaluate {_title(plan.inputs.step)}, results in {plan.folder}"]
    if plan.training_is_unfinished:
        lines.append("  the training of this run is not finished: a later checkpoint will need --overwrite")
    lines += [f"  {note}" for note in plan.notes]
    for name, task in plan.tasks.items():
        lines += _task_lines(task, plan.max_new_tokens, _state(plan, name))
    for name, task in plan.lm_eval_tasks.items():
        lines.append(f"  {name}: lm-eval's task {task}; {_state(plan, name)}")
    return "\n".join(lines)


def _title(step: int) -> str:
    return checkpoint_name(step) if step else "the base model (step 0)"


def _state(plan: "EvaluationPlan", name: str) -> str:
    return "there already" if name in plan.finished else "to do"


def _task_lines(task: "QuestionTask", max_new_tokens: int, state: str) -> list[str]:
    question_set = task.question_set
    most = len(task.lengths) * max_new_tokens
    asked = (
        f"{len(question_set.questions)} questions in {question_set.path}; "
        f"{sum(task.lengths):,} prompt tokens, at most {most:,} to generate"
    )
    lines = [f"  {question_set.name}: {asked if question_set.questions else question_set.path}; {state}"]
    if question_set.pool is not None:
        num_rows = len(question_set.pool.usable_rows)
        lines.append(f"    response loss of {num_rows} rows, {len(question_set.pool.source_names)} sources")
    lines += [f"    {note}" for note in [*question_set.notes, *_cut_prompts(sum(task.too_long))]]
    return lines


def _cut_prompts(number: int) -> list[str]:
    return [f"{number} prompts leave no room for a response: their beginning is cut off"] if number else []


def results_text(evaluated: EvaluationResults, plan: "EvaluationPlan") -> str:
    """All that was measured: a table, then what it does not hold and the plan has not said."""
    results = {name: result.measured for name, result in evaluated.by_name.items()}
    rows = []
    if HELDOUT in results:
        heldout = results[HELDOUT]
        rows += [_row(source or "(no source)", result) for source, result in heldout["by_source"].items()]
        averages = {name: heldout.get(f"{name}_average") for name in ("loss", "accuracy", "accuracy_strict")}
        rows += [_row("average over sources", averages), _row("all held-out rows", heldout)]
    benchmarks = {name: result for name, result in results.items() if name != HELDOUT}
    rows += [_row(name, result) for name, result in benchmarks.items() if "metrics" not in result]
    lines = [f"run {evaluated.run_name}, {_title(evaluated.step)}", ""]
    if rows:
        lines += [*table(["", *_COLUMNS], rows), ""]
    for name, result in results.items():
        if "metrics" in result:
            lines += wrapped(f"{name}: {_metrics_in_words(result['metrics'])}")
    lines += wrapped(_COLUMNS_EXPLAINED)
    for name, result in results.items():
        said: list[str] = []
        if task := plan.tasks.get(name):
            said = [*task.question_set.notes, *_cut_prompts(sum(task.too_long))]
        for remark in _remarks(result):
            lines += wrapped(f"{name}: {remark}") if remark not in said else []
    lines.append(f"results in {evaluated.folder}")
    return "\n".join(lines)


def _remarks(result: dict[str, Any]) -> list[str]:
    remarks = list(result["notes"])
    if num_undecided := result.get("undecided_strict"):
        remarks.append(
            f"whether {num_undecided} formulas are right was not found out "
            "within the limits of processor time and memory: counted as wrong under strict"
        )
    return remarks + _cut_prompts(result.get("prompt_too_long") or 0)


def _row(name: str, result: dict[str, Any]) -> list[str]:
    cells = ["/".join(_cell(result.get(entry)) for entry in entries) for entries in _COLUMNS.values()]
    return [name, *(cell.strip("/") for cell in cells)]


def _metrics_in_words(metrics: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_cell(value)}" for name, value in metrics.items() if isinstance(value, float))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
