"""What a training will do."""

from typing import TYPE_CHECKING

from ...terminal import counted, labelled
from .plan_lines import model_lines, time_lines, truncation_lines

if TYPE_CHECKING:
    from ...training.summary import RowsSummary, TrainingSummary


def training_plan_text(summary: "TrainingSummary") -> str:
    settings = f"learning rate {summary.learning_rate:g}, {summary.scheduler}, epochs {summary.epochs:.3g}"
    lines = [
        f"run {summary.run_name}: {summary.num_rows} of {summary.num_pool_rows} examples",
        f"  {summary.steps} optimizer steps of {summary.global_batch_size} examples; "
        f"checkpoints at {summary.save_steps}",
        *_invalid_lines(summary.num_excluded),
        *model_lines(summary.model),
        *labelled("settings", settings),
        *labelled("devices", f"{summary.num_devices} x {summary.device_name}"),
        *(f"  note: {remark}" for remark in summary.remarks),
    ]
    if summary.rows is not None:
        lines += _rows_lines(summary.rows)
    return "\n".join(lines)


def _invalid_lines(number: int) -> list[str]:
    return [f"  {counted(number, 'invalid row')} of the pool not used"] if number else []


def _rows_lines(rows: "RowsSummary") -> list[str]:
    """What is known once the rows are chosen."""
    return [
        f"  {rows.num_tokens:,} tokens an epoch",
        *(f"  {line}" for line in truncation_lines(rows.truncation)),
        *time_lines(rows.time),
    ]
