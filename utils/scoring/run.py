"""One worker per device takes units until none is left.

It keeps its checkpoint loaded as long as units of it come. A checkpoint that fails is left out with its
reason, and the others go on. A device that runs out of memory halves its batches and does the unit again.
"""

import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers import PretrainedConfig

from ..artifacts.checkpoints import check_not_replaced
from ..artifacts.configs import keep_config
from ..artifacts.files import read_json, write_json
from ..artifacts.locks import locked
from ..artifacts.paths import RunPaths
from ..artifacts.trajectories.write import ScoringRequest
from ..config.schema import RunConfig, TrajectoriesConfig
from ..data.batching import batch_widths, rows_of_all_lengths, token_budget_batches
from ..modeling.attention import with_possible_attention
from ..modeling.devices import device_name
from ..modeling.loading import base_config, check_weights, load_base_model, load_checkpoint, load_tokenizer
from ..modeling.precision import float32_products
from ..modeling.scorer import Probe, ResponseScorer
from ..process.memory import keep_freed_memory
from ..process.output import copied_to
from ..process.reporter import reporter
from .launch import Launch
from .plan import ScoringPlan
from .progress import AfterBatch, Speed, WorkerSpeed, say_speeds
from .readable import check_architecture, left_out
from .units import Unit, Units

_CPU_ACTIVATIONS = 2**20  # tokens x hidden size of a batch that stays near the cache
_CPU_TOKENS_PER_BATCH = (2048, 8192)  # least, and where a batch's fixed cost no longer counts
_GPU_TOKENS_PER_BATCH = 65536  # enough to fill the matrix units
_LEAST_TOKENS_PER_BATCH = 1024
_SHARE_OF_FREE_MEMORY = 0.5
_FIELDS = {  # quantity -> attribute of ResponseScores
    "loss": "losses_B",
    "probability": "probability_B",
    "max_probability": "max_probability_B",
    "embeddings": "embeddings_BH",
}


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
    launch.begin()
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
    max_tokens = launch.first(lambda: _recorded_tokens_per_batch(config, plan, launch.device))
    units = Units(plan, config.trajectories.examples_per_unit)
    todo = launch.first(lambda: units.pending(steps))
    if launch.rank == 0:
        done = len(plan.checkpoints) - len(steps) - len(plan.unreadable)
        reporter.say(
            f"  {done} checkpoint(s) scored already; {len(todo)} units to do on {launch.size} device(s)"
        )
        for step in steps:  # whole in parts, when killed before they were put together
            units.assemble(step)
    failed: dict[int, str] = {}
    scorer = _CheckpointScorer(config, plan, launch.device)
    num_tokens = sum(plan.num_tokens(units.rows(unit)) for unit in todo)
    speed = Speed(plan, launch.device, num_tokens // launch.size)
    while (number := launch.take()) < len(todo):
        unit = todo[number]
        if unit.step in failed:
            continue
        rows = units.rows(unit)
        with left_out(failed, unit.step):
            scorer.load(unit.step, _next_step(todo, number, launch.size))
            begun = time.monotonic()
            # A GPU is handed its batches before it has done them: only a whole unit says how fast it is.
            after_batch = speed.within_unit(unit.step) if launch.device.type == "cpu" else None
            scores, max_tokens = _score_within_memory(scorer, rows, max_tokens, after_batch)
            seconds = time.monotonic() - begun
            units.finish(unit, scores, seconds)
            speed.after_unit(unit.step, rows, seconds, scorer.model)
    scorer.close()
    speed.close()
    return failed, speed.result()


def _next_step(todo: list[Unit], number: int, num_workers: int) -> int | None:
    """The checkpoint that a worker needs after its unit's, if all are equally fast. None after the last.

    Args:
        number: of its unit in todo.
    """
    own = (todo[later].step for later in range(number, len(todo), num_workers))
    return next((step for step in own if step != todo[number].step), None)


def _score_within_memory(
    scorer: "_CheckpointScorer", rows: np.ndarray, max_tokens: int, after_batch: AfterBatch | None
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


def tokens_per_batch(
    settings: TrajectoriesConfig, architecture: PretrainedConfig, device: torch.device
) -> int:
    """What the YAML says, or what a device's free memory and its matrix units suggest."""
    if settings.max_tokens_per_batch is not None:
        return settings.max_tokens_per_batch
    text = architecture.get_text_config()
    if device.type == "cpu":
        least, most = _CPU_TOKENS_PER_BATCH
        return min(most, max(least, _CPU_ACTIVATIONS // text.hidden_size))
    width = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    bytes_per_token = (4 * width + 16 * text.hidden_size) * (2 if settings.precision == "bfloat16" else 4)
    fitting = int(torch.cuda.mem_get_info(device)[0] * _SHARE_OF_FREE_MEMORY / bytes_per_token)
    return max(_LEAST_TOKENS_PER_BATCH, min(_GPU_TOKENS_PER_BATCH, fitting))


def _recorded_tokens_per_batch(config: RunConfig, plan: ScoringPlan, device: torch.device) -> int:
    """Written down before the first unit and read again on a restart: other batches give other last bits."""
    path = plan.folder.batching
    with locked(plan.folder.path):
        if path.is_file() and config.trajectories.max_tokens_per_batch is None:
            return read_json(path)["max_tokens_per_batch"]
        max_tokens = tokens_per_batch(config.trajectories, base_config(config.model_section), device)
        write_json(path, {"max_tokens_per_batch": max_tokens})
        return max_tokens


@torch.no_grad()
def _replace_weights(model: Any, other: Any) -> None:
    """Give `model` the weights of `other`, in place. Both come from `from_pretrained`, so their names agree.

    Raises: ValueError if they are not of one architecture, as the checkpoints of a run are.
    """
    targets = model.state_dict()
    sources = other.state_dict()
    shared = targets.keys() & sources.keys()
    check_weights(
        "beside the other checkpoints",
        missing=targets.keys() - shared,
        mismatched={name for name in shared if targets[name].shape != sources[name].shape},
        surplus=sources.keys() - shared,
    )
    check_architecture(other.config, model.config)
    for name, target in targets.items():
        target.copy_(sources[name])


class _CheckpointScorer:
    """The checkpoint on this worker's device.

    While it is scored the next one is read into memory in the background. Its weights then replace the old
    ones in place.
    """

    def __init__(self, config: RunConfig, plan: ScoringPlan, device: torch.device):
        self._config = config
        self._plan = plan
        self._device = device
        is_bfloat16 = config.trajectories.precision == "bfloat16"
        self._dtype = torch.bfloat16 if is_bfloat16 else torch.float32
        self._settings = with_possible_attention(config.model_section, device, self._dtype)
        self._step: int | None = None
        self.model: Any = None
        self._scorer: ResponseScorer | None = None
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-checkpoint")
        self._next: tuple[int, Future[Any]] | None = None
        rows = plan.tokens.scorable_rows
        probed = rows_of_all_lengths(rows, batch_widths(plan.tokens)[rows])
        self._probe = Probe([plan.tokens.row(row) for row in probed], plan.prefix)

    def load(self, step: int, next_step: int | None) -> None:
        """Bring a checkpoint to the device, and begin to read the next.

        Args:
            next_step: None after the last.

        Raises: ValueError if it cannot be loaded.
        """
        if step == self._step:
            return
        self._step = None
        try:
            self._place(self._take_read(step))
        except torch.OutOfMemoryError as error:
            raise ValueError(
                "out of memory before the first batch: the model or its longest example does not fit"
            ) from error
        assert self._scorer is not None
        if self._scorer.slow_because:
            reporter.warn(f"checkpoint {step} is scored {self._scorer.slow_because}")
        self._step = step
        if next_step is not None:
            self._next = (next_step, self._reader.submit(self._read, next_step))

    def _place(self, model: Any) -> None:
        """Bring a model that was read to the device and make a scorer of it."""
        if self._scorer is None:
            self.model = model.to(self._device)
            self._scorer = ResponseScorer(
                self.model,
                self._plan.pad_id,
                self._probe,
                max_probability="max_probability" in self._plan.quantities,
                embeddings="embeddings" in self._plan.quantities,
            )
        else:
            _replace_weights(self.model, model)
            self._scorer.refresh(self._probe)

    def close(self) -> None:
        self._reader.shutdown(cancel_futures=True)

    def _take_read(self, step: int) -> Any:
        if self._next is not None:
            expected, future = self._next
            self._next = None
            if expected == step:
                return future.result()
            # Another worker was faster. Two reads at once would take the memory of two models, and draw from
            # one random generator.
            if not future.cancel():
                wait([future])
        return self._read(step)

    def _read(self, step: int) -> Any:
        """The checkpoint in main memory, in the precision it is scored in."""
        settings = self._settings
        folder = self._plan.checkpoints[step]
        if folder is None:
            model: Any = load_base_model(settings, load_tokenizer(settings), self._config.seed).eval()
            return model.to(self._dtype)
        check_not_replaced(folder, self._plan.versions[step])
        model = load_checkpoint(folder, settings, self._dtype, self._config.seed)
        check_not_replaced(folder, self._plan.versions[step])
        return model

    def longest(self, rows: np.ndarray) -> int:
        return int(batch_widths(self._plan.tokens)[rows].max())

    def score(
        self, rows: np.ndarray, max_tokens: int, after_batch: AfterBatch | None
    ) -> dict[str, np.ndarray]:
        """Quantity -> array in the order of `rows`.

        Args:
            after_batch: told the rows of each batch.

        Raises: ValueError if a loss is no number.
        """
        assert self._scorer is not None
        batches = token_budget_batches(
            np.arange(len(rows)), batch_widths(self._plan.tokens)[rows], max_tokens
        )
        # Read only when all batches are under way: a GPU is never waited for in between.
        scores = []
        for positions in batches:
            scores.append(self._scorer.score([self._plan.tokens.row(row) for row in rows[positions]]))
            if after_batch is not None:
                after_batch(rows[positions])
        results: dict[str, np.ndarray] = {}
        for quantity in self._plan.quantities if batches else ():
            parts = [getattr(score, _FIELDS[quantity]).cpu().numpy() for score in scores]
            results[quantity] = np.empty((len(rows), *parts[0].shape[1:]), parts[0].dtype)
            results[quantity][np.concatenate(batches)] = np.concatenate(parts)
        if not results:
            return {"loss": np.empty(0, np.float32)}
        bad = rows[~np.isfinite(results["loss"])]
        if len(bad):
            raise ValueError(
                f"the losses of {len(bad)} examples are no numbers (rows {bad[:5].tolist()}, ...): "
                "the checkpoint's weights or its arithmetic at this precision overflow"
            )
        return results
