"""One worker per device takes units until none is left.

It keeps its checkpoint loaded as long as units of it come. A checkpoint that fails is left out with its
reason, and the others go on. A device that runs out of memory halves its batches and does the unit again.
"""

import contextlib
import time
from dataclasses import replace

import numpy as np
import torch

from ..artifacts.configs import keep_config
from ..artifacts.paths import RunPaths
from ..artifacts.trajectories.write import ScoringRequest
from ..config.schema import RunConfig
from ..modeling.devices import device_name
from ..modeling.precision import float32_products
from ..process.memory import keep_freed_memory
from ..process.output import copied_to
from ..process.reporter import reporter
from ..terminal import counted
from .batch_size import recorded_tokens_per_batch
from .checkpoint_info import record_failure
from .checkpoint_scorer import CheckpointScorer
from .launch import Launch
from .plan import ScoringPlan
from .progress import AfterBatch, WorkerProgress, WorkerSpeed, say_speeds
from .units import Unit, Units


def run_scoring(
    config: RunConfig, plan: ScoringPlan, launch: Launch, overwrite: bool, log_heading: str = ""
) -> dict[int, str]:
    """Score all of the plan's checkpoints that are not on disk, on the pool and on the validation rows.

    Runs in every process of the launch.

    Args:
        overwrite: what is there does not count.
        log_heading: what log.txt begins with, such as the plan.

    Returns: step -> reason, for the checkpoints that could not be scored (the same on every rank).

    Raises: ValueError if the folder holds losses of other inputs, OSError for a full disk and the like.
    """
    failed = _score_rows(config, plan, launch, overwrite, log_heading)
    if plan.validation is not None:
        # A checkpoint that failed on the pool has no part in a trajectory.
        readable = {step: plan.fingerprints[step] for step in plan.fingerprints if step not in failed}
        left = replace(plan.validation, fingerprints=readable, unreadable=failed)
        if launch.rank == 0:
            reporter.say(f"  now the {counted(len(left.tokens), 'row')} of data.validation:")
        failed = _score_rows(config, left, launch, overwrite)
    return failed


def _request(plan: ScoringPlan, device: torch.device) -> ScoringRequest:
    num_tokens = plan.num_tokens(plan.tokens.scorable_rows)
    return ScoringRequest(
        inputs=plan.inputs,
        checkpoints=plan.fingerprints,
        num_response_tokens=plan.tokens.num_response_tokens,
        quantities=plan.quantities,
        unreadable=tuple(plan.unreadable),
        record=replace(plan.record, tokens=num_tokens, device_name=device_name(device)),
    )


def _score_rows(
    config: RunConfig, plan: ScoringPlan, launch: Launch, overwrite: bool, log_heading: str = ""
) -> dict[int, str]:
    """As `run_scoring`, without the plan's validation rows."""
    keep_freed_memory()
    with contextlib.ExitStack() as held:
        steps = launch.first(
            lambda: held.enter_context(plan.folder.scoring(_request(plan, launch.device), overwrite))
        )
        if launch.rank == 0:
            paths = RunPaths(config.run_name)
            keep_config(paths, config)
            held.enter_context(copied_to(paths.log, log_heading))
        held.enter_context(float32_products(in_tf32=config.trajectories.precision == "tf32"))
        failed_here, speed = _score_units(config, plan, launch, steps)
        failed = {**plan.unreadable, **launch.gather(failed_here)}
        speeds = launch.gather({launch.rank: speed}).values()
        if launch.rank == 0:
            say_speeds(speed for speed in speeds if speed is not None)
            missing = set(plan.checkpoints) - set(plan.folder.scored_steps()) - failed.keys()
            assert not missing, f"checkpoints {sorted(missing)} are neither scored nor failed"
    return dict(sorted(failed.items()))


def _score_units(
    config: RunConfig, plan: ScoringPlan, launch: Launch, steps: list[int]
) -> tuple[dict[int, str], WorkerSpeed | None]:
    """This worker's share of what is not on disk of these checkpoints.

    Returns: step -> why it failed here, and how fast it went, None without work.
    """
    max_tokens = launch.first(lambda: recorded_tokens_per_batch(config, plan, launch.device))
    units = Units(plan, config.trajectories.examples_per_unit)
    todo = launch.first(lambda: units.pending(steps))
    if launch.rank == 0:
        done = len(plan.checkpoints) - len(steps) - len(plan.unreadable)
        reporter.say(
            f"  {counted(done, 'checkpoint')} scored already; {counted(len(todo), 'unit')} to do "
            f"on {counted(launch.size, 'device')}"
        )
        for step in steps:  # whole in parts, when killed before they were put together
            units.assemble(step)
    failed: dict[int, str] = {}
    scorer = CheckpointScorer(config, plan, launch.device)
    num_tokens = sum(plan.num_tokens(units.rows(unit)) for unit in todo)
    progress = WorkerProgress(plan, launch.device, num_tokens // launch.size)
    for number in launch.share(len(todo)):
        unit = todo[number]
        if unit.step in failed:
            continue
        rows = units.rows(unit)
        with record_failure(failed, unit.step):
            scorer.load(unit.step, _next_step(todo, number, launch.size))
            start_time = time.monotonic()
            # A GPU is handed its batches before it has done them: only a whole unit says how fast it is.
            after_batch = progress.within_unit(unit.step) if launch.device.type == "cpu" else None
            scores, max_tokens = _score_within_memory(scorer, rows, max_tokens, after_batch)
            seconds = time.monotonic() - start_time
            units.finish(unit, scores, seconds)
            progress.after_unit(unit.step, rows, seconds, scorer.model)
    scorer.close()
    progress.close()
    return failed, progress.result()


def _next_step(todo: list[Unit], number: int, num_workers: int) -> int | None:
    """The checkpoint that a worker needs after its unit's, if all are equally fast. None after the last.

    Args:
        number: of its unit in todo.
    """
    own = (todo[later].step for later in range(number, len(todo), num_workers))
    return next((step for step in own if step != todo[number].step), None)


def _score_within_memory(
    scorer: CheckpointScorer, rows: np.ndarray, max_tokens: int, after_batch: AfterBatch | None
) -> tuple[dict[str, np.ndarray], int]:
    """The unit's scores, and the tokens a batch that fit. Raises: ValueError if one example is too much."""
    while True:
        try:
            return scorer.score(rows, max_tokens, after_batch), max_tokens
        except torch.OutOfMemoryError as error:
            longest = scorer.longest(rows)
            if max_tokens <= longest:
                raise ValueError(f"out of memory with one example of {longest} tokens at a time") from error
            max_tokens //= 2
        torch.cuda.empty_cache()
        reporter.warn(f"out of memory: from here on {max_tokens} tokens a batch")
