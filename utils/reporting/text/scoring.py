"""What a scoring will do, and what came of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...terminal import counted, labelled
from .plan_lines import model_lines, time_lines, truncation_lines

if TYPE_CHECKING:
    from ...scoring.plan import ScoringPlan
    from ...scoring.summary import ScoringSummary

_WHOSE_TOKENIZER = {
    "checkpoints": "in their folders",
    "base model": "of the base model, as they hold none",
}


def scoring_plan_text(summary: "ScoringSummary") -> str:
    work = f"{summary.num_examples} examples x {len(summary.steps)} checkpoints {summary.steps}"
    lines = [
        f"run {summary.run_name}: {work}, {summary.num_tokens:,} tokens each",
        *_unscorable_lines(summary),
        *(f"  {line}" for line in truncation_lines(summary.truncation)),
        f"  losses go to {summary.folder}",
        *model_lines(summary.model),
    ]
    if summary.unrecorded_tokenizer is not None:
        whose = _WHOSE_TOKENIZER[summary.unrecorded_tokenizer]
        unknown = "nothing records which one the checkpoints were trained with"
        lines += labelled("tokenizer", f"the one {whose}; {unknown}")
    lines += labelled("devices", f"{summary.num_devices} x {summary.device_name}, {summary.precision}")
    lines += time_lines(summary.time)
    return "\n".join([*lines, *(f"  note: {remark}" for remark in summary.remarks)])


def _unscorable_lines(summary: "ScoringSummary") -> list[str]:
    if not summary.num_unscorable:
        return []
    invalid = f" ({summary.num_excluded} of them invalid rows)" if summary.num_excluded else ""
    examples = counted(summary.num_unscorable, "example")
    words = (
        f"{examples} without a response token{invalid}: their losses are NaN, and selection leaves them out"
    )
    return [f"  {words}"]


def scored_text(plan: "ScoringPlan", failed: Mapping[int, str]) -> str:
    """Args: failed: step -> reason, of the checkpoints that could not be scored."""
    whole = [step for step in plan.checkpoints if step not in failed]
    return f"losses of {len(whole)} of {len(plan.checkpoints)} checkpoints are whole in {plan.summary.folder}"


def failed_text(failed: Mapping[int, str]) -> str:
    """Whole lines; none where nothing failed."""
    return "".join(f"error: checkpoint {step} failed: {reason}\n" for step, reason in failed.items())
