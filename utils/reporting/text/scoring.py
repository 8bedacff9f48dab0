"""What came of a scoring."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...scoring.plan import ScoringPlan


def scored_text(plan: "ScoringPlan", failed: Mapping[int, str]) -> str:
    """Args: failed: step -> reason, of the checkpoints that could not be scored."""
    whole = [step for step in plan.checkpoints if step not in failed]
    return f"losses of {len(whole)} of {len(plan.checkpoints)} checkpoints are whole in {plan.folder}"


def failed_text(failed: Mapping[int, str]) -> str:
    """Whole lines; none where nothing failed."""
    return "".join(f"error: checkpoint {step} failed: {reason}\n" for step, reason in failed.items())
