"""What each stage checks of a YAML before it reads a row, called from a script or from Python.

Each imports what it checks with, and nothing of another stage.
"""

from typing import TYPE_CHECKING

from .config.load import Checks

if TYPE_CHECKING:
    from .scoring.checkpoints import CheckpointQuery


def training_checks() -> Checks:
    from .config.train_args import train_args_problems
    from .data.settings import data_problems
    from .modeling.settings import model_problems
    from .selection.budgets import single_subset_problems
    from .training.tracking import tracking_problems

    return {
        "model": model_problems,
        "data": data_problems,
        "train_args": train_args_problems,
        "subset": single_subset_problems,
        "tracking": tracking_problems,
    }


def scoring_checks(query: "CheckpointQuery") -> Checks:
    """Args: query: the checkpoints to score."""
    from .data.settings import data_problems
    from .modeling.settings import model_problems
    from .scoring.checkpoints import checkpoint_problems

    return {
        "run_name": lambda name: checkpoint_problems(name, query),
        "model": model_problems,
        "data": data_problems,
    }


def evaluation_checks(ckpt: int) -> Checks:
    """Args: ckpt: the step, 0 for the base model, -1 for the newest."""
    from .data.settings import reading_problems
    from .evaluation.settings import checkpoint_problems, evaluation_problems
    from .modeling.settings import model_problems

    return {
        "run_name": lambda name: checkpoint_problems(name, ckpt),
        "data": reading_problems,
        "evaluation": evaluation_problems,
        # A checkpoint is whole without the model that it began from.
        **({"model": model_problems} if ckpt == 0 else {}),
    }
