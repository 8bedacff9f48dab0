"""What each stage checks of a YAML before it reads a row, and what all of them say of an experiment's runs.

Each function imports what it checks with when it is called, and nothing of another stage.
"""

from typing import TYPE_CHECKING

from .config.load import Checks
from .config.schema import RunConfig

if TYPE_CHECKING:
    from collections.abc import Collection

    from .data.pool import Pool
    from .experiments.checks import StageChecks
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


def selection_checks() -> Checks:
    from .data.settings import data_problems

    return {"data": data_problems}


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


def experiment_checks() -> "StageChecks":
    """What the stages say of a run of an experiment."""
    from .evaluation.settings import evaluation_problems
    from .experiments.checks import StageChecks
    from .selection.methods.table import needed_besides_losses
    from .selection.remarks import unused_settings

    checks = _RowChecks()
    return StageChecks(
        sections=training_checks(),
        target_sections={"evaluation": evaluation_problems},
        is_trained=checks.is_trained,
        is_scored=checks.is_scored,
        is_evaluated=_is_evaluated,
        selection=checks.check_selection,
        questions=_check_questions,
        unused_settings=unused_settings,
        needed_besides_losses=needed_besides_losses,
    )


class _RowChecks:
    """What is said with the rows at hand. The runs of an experiment have few pools: each is read once."""

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}

    def _pool_of(self, config: RunConfig) -> "Pool":
        from .data.settings import read_pool

        key = config.data_section.model_dump_json()
        if key not in self._pools:
            self._pools[key] = read_pool(config)
        return self._pools[key]

    def is_trained(self, config: RunConfig, num_rows: int) -> bool:
        from .artifacts.manifests import is_complete
        from .artifacts.paths import RunPaths
        from .artifacts.trainings import TrainingManifest
        from .selection.resolve import chosen_rows
        from .training.plan import all_steps_are_trained, check_training, plan_training

        pool = self._pool_of(config)
        chosen = chosen_rows(config, pool)
        if chosen is None:
            check_training(config, pool, num_rows)
            return False
        plan = plan_training(config, pool, chosen.rows, chosen.subset_manifest, overwrite=False)
        paths = RunPaths(config.run_name)
        is_whole = is_complete(paths.manifest, TrainingManifest) and all_steps_are_trained(paths, plan)
        return is_whole and (not config.trajectories.during_training or self.is_scored(config, "all"))

    def is_scored(self, config: RunConfig, checkpoints: str) -> bool:
        from .scoring.plan import is_scored

        return is_scored(config, self._pool_of(config), checkpoints)

    def check_selection(self, config: RunConfig, num_rows: int, steps: "Collection[int] | None") -> None:
        from .selection.plan import check_before_scoring, plan_selection

        if steps is None:
            plan_selection(config, self._pool_of(config))
        else:
            check_before_scoring(config, self._pool_of(config), num_rows, steps)


def _is_evaluated(config: RunConfig) -> bool:
    from .evaluation.inputs import is_evaluated

    return is_evaluated(config)


def _check_questions(config: RunConfig) -> None:
    from .evaluation.inputs import question_sets

    question_sets(config)
