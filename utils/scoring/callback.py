"""Score the pool while a proxy is being trained, right after each checkpoint is saved.

Files and numbers are the same as of scoring afterwards, since it is the saved checkpoint that is scored.

In train.py: `trajectories.during_training: true`. In a Trainer or TRL script of your own, with this
repository installed (`pip install PATH_OF_THIS_REPOSITORY`):

    from s2l.config.load import load_config
    from s2l.scoring import TrajectoryCallback

    config, _ = load_config("my_proxy.yml")
    trainer.add_callback(TrajectoryCallback(config))

The YAML needs run_name, model and data. Losses go to res/<run_name>/trajectories. A checkpoint that cannot
be scored is named, the training goes on, and selection refuses to choose without it.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ..artifacts.checkpoints import find_checkpoints, remove_older_scored_checkpoints
from ..artifacts.locks import locked
from ..artifacts.paths import RunPaths
from ..artifacts.trajectories.write import LOSS, TrajectoryFolder, quantities_of
from ..config.schema import RunConfig
from ..data.pool import Pool
from ..process import torchrun
from ..process.reporter import reporter
from .checkpoints import CheckpointQuery, choose_checkpoints
from .launch import Launch
from .plan import ScoringPlan, plan_scoring
from .run import run_scoring

Checkpoints = tuple[Path, set[int]]  # a folder of checkpoints, and steps among them


class TrajectoryCallback(TrainerCallback):
    """Scores every checkpoint that a Trainer saves, on all of its devices.

    Args:
        config: of the run whose trajectories these are. Its precision and batch settings apply.

    Attributes:
        failed: step -> why this checkpoint could not be scored (the same on every rank).
    """

    def __init__(self, config: RunConfig):
        self.failed: dict[int, str] = {}
        self._config = config
        self._paths = RunPaths(config.run_name)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A training that was killed between saving and scoring makes up for it.

        Raises: ValueError for checkpoints.keep: last in a training that is not train.py's.
        """
        if self._config.checkpoints.keep == "last" and Path(args.output_dir) != self._paths.training_parts:
            raise ValueError(
                "checkpoints.keep: found last, which train.py acts on; "
                f"in a Trainer that saves to {args.output_dir} set its own save_total_limit instead, "
                "and keep: all here"
            )
        self._score(lambda: self._saved_before(Path(args.output_dir), state.global_step))

    def score_missing(self) -> None:
        """Score the checkpoints without losses, as a kill after the last save leaves one.

        Raises: ValueError while another launch is training this run.
        """
        with contextlib.ExitStack() as held:
            if torchrun.is_first():  # with checkpoints.keep: last it removes some
                held.enter_context(locked(self._paths.manifest, "another launch is training this run"))
            self._score(self._saved_and_not_scored)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._score(lambda: self._saved_now(Path(args.output_dir), state.global_step))

    def _saved_before(self, output_dir: Path, newest: int) -> Checkpoints:
        for folder in (self._paths.root, output_dir):
            if folder.is_dir() and any(folder.glob("checkpoint-*")):
                saved = {step for step in find_checkpoints(folder) if step <= newest}
                return folder, saved - set(self._scored_steps())
        return output_dir, set()

    def _saved_and_not_scored(self) -> Checkpoints:
        saved = find_checkpoints(self._paths.root).keys() - self.failed.keys()
        return self._paths.root, saved - set(self._scored_steps())

    def _saved_now(self, output_dir: Path, step: int) -> Checkpoints:
        is_ours = self._paths.checkpoint(step).is_dir()
        return self._paths.root if is_ours else output_dir, {step}

    def _score(self, look: Callable[[], Checkpoints]) -> None:
        """Score the checkpoints that the first process finds: what others see of a shared disk may be old."""
        launch = Launch()
        folder, steps = launch.first(look)
        if not steps:
            return
        plan = launch.first(lambda: self._plan(folder, steps, launch.size))
        failed = run_scoring(self._config, plan, launch, overwrite=False)
        self.failed |= failed
        if launch.rank == 0:
            for step, reason in failed.items():
                reporter.warn(f"  checkpoint {step} cannot be scored, the training goes on: {reason}")
        if self._config.checkpoints.keep == "last" and launch.rank == 0:
            remove_older_scored_checkpoints(self._paths, max(steps), self._scored_steps())

    def _plan(self, folder: Path, steps: set[int], num_devices: int) -> ScoringPlan:
        names = ",".join(map(str, sorted(steps)))
        chosen = choose_checkpoints(self._config.run_name, CheckpointQuery(names, str(folder)))
        pool = Pool(self._config.data_section)
        return plan_scoring(self._config, pool, chosen, overwrite=False, num_devices=num_devices)

    def _scored_steps(self) -> list[int]:
        folder = TrajectoryFolder(self._paths.trajectories)
        steps = folder.recorded_steps(quantities_of(self._config.trajectories.also))
        if self._config.data_section.validation is None:
            return steps
        of_validation = TrajectoryFolder(self._paths.validation_trajectories).recorded_steps([LOSS])
        return [step for step in steps if step in of_validation]
