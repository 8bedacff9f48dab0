"""One worker per device: takes units until none is left, keeps its checkpoint loaded as long as units of it come.

Under torchrun (or SLURM with torchrun) the ranks share one counter in torch.distributed's store, so that a slow device
takes fewer units. A checkpoint that fails is left out with its reason; the others go on.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from transformers import PreTrainedModel

from utils.artifacts.trajectories import scored_steps
from utils.config.schema import RunConfig
from utils.data.batching import pad_rows, scoring_lengths, token_budget_batches
from utils.modeling import load_base_model, load_checkpoint, load_tokenizer, response_losses
from utils.scoring.plan import ScoringPlan, begin
from utils.scoring.units import Unit, Units

_SECONDS_BETWEEN_LINES = 5.0


class Launch:
    """The processes of this launch: one alone, or torchrun's ranks."""

    def __init__(self) -> None:
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self._next = 0
        if self.size > 1:
            store, rank, size = next(iter(rendezvous("env://")))
            dist.init_process_group("gloo", store=PrefixStore("s2l", store), rank=rank, world_size=size)
            # The store outlives a restarted worker: each attempt has a counter of its own.
            attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
            self._store = PrefixStore(f"s2l-units-{attempt}", store)

    @property
    def device(self) -> torch.device:
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))

    def first(self, work: Callable[[], list]) -> list:
        """Do `work` on rank 0 and hand its result to all. Its exception reaches every rank."""
        answer: list = [None, None]
        if self.rank == 0:
            try:
                answer[0] = work()
            except (ValueError, OSError) as error:
                answer[1] = error
        if self.size > 1:
            dist.broadcast_object_list(answer)
        if answer[1] is not None:
            raise answer[1]
        return answer[0]

    def take(self) -> int:
        """The next number, 0, 1, 2, ...; no two workers of this launch get the same."""
        if self.size > 1:
            return self._store.add("next", 1) - 1
        self._next += 1
        return self._next - 1

    def gather(self, value: dict[int, str]) -> dict[int, str]:
        """The union of every rank's dictionary."""
        if self.size == 1:
            return value
        parts: list = [None] * self.size
        dist.all_gather_object(parts, value)
        return {key: text for part in parts for key, text in part.items()}

    def close(self) -> None:
        if self.size > 1:
            dist.destroy_process_group()


def score(config: RunConfig, plan: ScoringPlan, launch: Launch, overwrite: bool) -> dict[int, str]:
    """Score all of the plan's checkpoints that are not on disk; runs in every process of the launch.

    Returns: step -> reason, for the checkpoints that could not be scored (the same on every rank).
    Raises: ValueError if the folder holds losses of other inputs; OSError for a full disk and the like.
    """
    steps = launch.first(lambda: begin(plan, overwrite))
    units = Units(plan, config.trajectories)
    todo = launch.first(lambda: units.pending(steps))
    if launch.rank == 0:
        done = len(plan.checkpoints) - len(steps) - len(plan.unreadable)
        print(f"  {done} checkpoint(s) scored already; {len(todo)} units to do on {launch.size} device(s)", flush=True)
        for step in steps:  # whole in parts, when killed before they were put together
            units.assemble(step)
    failed: dict[int, str] = {}
    progress = _Progress(launch, plan, units, len(todo))
    for unit, model in _units_with_models(config, plan, launch, todo, failed):
        try:
            units.finish(unit, _unit_losses(config, plan, units, unit, model, launch.device))
        except ValueError as error:
            failed[unit.step] = str(error)
        else:
            progress.report(unit)
    failed = {**plan.unreadable, **launch.gather(failed)}
    missing = set(plan.checkpoints) - set(scored_steps(plan.folder)) - failed.keys()
    assert not missing, f"checkpoints {sorted(missing)} are neither scored nor failed"
    return dict(sorted(failed.items()))


def _units_with_models(
    config: RunConfig, plan: ScoringPlan, launch: Launch, todo: list[Unit], failed: dict[int, str]
) -> Iterator[tuple[Unit, PreTrainedModel]]:
    """This worker's share of the units, each with its checkpoint's model on the device."""
    loaded_step: int | None = None
    model = None
    while (number := launch.take()) < len(todo):
        unit = todo[number]
        if unit.step in failed:
            continue
        if unit.step != loaded_step:
            model = None  # one checkpoint in memory at a time
            try:
                model, loaded_step = _load(config, plan, unit.step, launch.device), unit.step
            except (ValueError, OSError) as error:
                failed[unit.step] = str(error)
                continue
        assert model is not None
        yield unit, model


def _load(config: RunConfig, plan: ScoringPlan, step: int, device: torch.device) -> Any:
    assert config.model is not None
    dtype, folder = getattr(torch, config.trajectories.precision), plan.checkpoints[step]
    if folder is None:
        model: Any = load_base_model(config.model, load_tokenizer(config.model), config.seed).eval()
    else:
        model = load_checkpoint(folder, config.model, dtype)
    return model.to(device=device, dtype=dtype)


def _unit_losses(
    config: RunConfig, plan: ScoringPlan, units: Units, unit: Unit, model: PreTrainedModel, device: torch.device
) -> np.ndarray:
    """float32, in the order of the unit's rows. Raises: ValueError if a loss is no number."""
    rows = units.rows(unit)
    losses = np.empty(len(rows), np.float32)
    for positions in token_budget_batches(
        np.arange(len(rows)), scoring_lengths(plan.tokens)[rows], config.trajectories.max_tokens_per_batch
    ):
        batch = pad_rows((plan.tokens.row(row) for row in rows[positions]), plan.pad_id, plan.tokens.is_encoder_decoder)
        on_device = {name: tensor.to(device) for name, tensor in batch.items()}
        losses[positions] = response_losses(model, on_device).numpy()
    bad = rows[~np.isfinite(losses)]
    if len(bad):
        raise ValueError(
            f"the losses of {len(bad)} examples are no numbers (rows {bad[:5].tolist()}, ...): the checkpoint's weights or "
            "its arithmetic at this precision overflow"
        )
    return losses


def print_outcome(plan: ScoringPlan, failed: dict[int, str]) -> int:
    """Say what is on disk and what failed. Returns: the exit code, 0 only if every checkpoint asked for is scored."""
    whole = [step for step in plan.checkpoints if step not in failed]
    print(f"losses of {len(whole)} of {len(plan.checkpoints)} checkpoints are whole in {plan.folder}")
    for step, reason in failed.items():
        print(f"error: checkpoint {step} failed: {reason}", file=sys.stderr)
    return 1 if failed else 0


def launch_workers(script: str, words: list[str], num_workers: int) -> int:
    """Run `script` with the same arguments on num_workers devices of this machine, under torch's elastic launcher.

    Returns: the exit code.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    try:
        torchrun(["--standalone", f"--nproc_per_node={num_workers}", script, *words])
    except ChildFailedError:
        return 1  # the workers have said why
    return 0


class _Progress:
    """A line now and then: how far this launch is, how fast this worker goes."""

    def __init__(self, launch: Launch, plan: ScoringPlan, units: Units, num_units: int):
        self._launch, self._plan, self._units, self._num_units = launch, plan, units, num_units
        self._begun = self._last_line = time.monotonic()
        self._examples = self._tokens = self._done = 0

    def report(self, unit: Unit) -> None:
        rows = self._units.rows(unit)
        self._examples += len(rows)
        self._tokens += int(self._plan.tokens.lengths[rows].sum())
        self._done += 1
        now = time.monotonic()
        if now - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        seconds = now - self._begun
        left = seconds / self._done * (self._num_units / self._launch.size - self._done)
        print(
            f"  {self._launch.device}  checkpoint {unit.step}  {self._examples / seconds:,.0f} examples/s  "
            f"{self._tokens / seconds:,.0f} tokens/s  about {max(0.0, left) / 60:.1f} min left",
            file=sys.stderr,
            flush=True,
        )
