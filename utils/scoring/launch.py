"""The processes of a launch: one alone, torchrun's ranks, or the ranks of a training.

torchrun's ranks share a counter in torch.distributed's store. Those of a training that is under way take
turns.
"""

import datetime
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from ..config.schema import TrajectoriesConfig
from ..modeling.devices import own_device
from ..process import torchrun
from ..process.lifetime import LAUNCHER_VARIABLE
from ..process.reporter import reporter
from ..terminal import duration

_TIMEOUT = datetime.timedelta(hours=24)  # a rank without work waits for the slowest unit of the others
_WORKERS_A_CORE = 8  # on a CPU they share the cores, so more of them do not pay
_STARTS = 4  # of a launch whose workers are killed
_SECONDS_TO_STOP = 5
_SECONDS_BETWEEN_LOOKS = 0.01
_SECONDS_UNTIL_SAID = 60.0
_SECONDS_TO_JOIN = 6 * 3600.0  # the others may read a large pool first
_CHATTY = ("torch.distributed.elastic.multiprocessing.api", "torch.distributed.elastic.agent.server.api")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome:
    """What became of a piece of work that one rank does for all.

    Attributes:
        value: that it gave, None where it failed.
        failed: whether it raised an error.
    """

    value: Any
    failed: bool


class Launch:
    """The processes that work together.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
        device: of this process.
    """

    def __init__(self) -> None:
        self.rank = torchrun.rank()
        self.size = torchrun.world_size()
        self.device = own_device()
        self._num_lists = 0  # of work that was shared
        self._counter: PrefixStore | None = None
        if self.size > 1 and not dist.is_initialized():
            store, rank, size = next(iter(rendezvous("env://", timeout=_TIMEOUT)))
            store = PrefixStore(_name_of_attempt(store, rank, size), store)
            dist.init_process_group(
                "gloo", store=PrefixStore("group", store), rank=rank, world_size=size, timeout=_TIMEOUT
            )
            self._counter = PrefixStore("units", store)

    def first(self, work: Callable[[], Result]) -> Result:
        """Do `work` on rank 0 and hand its result to all. Its error is raised there and ends the others."""
        if self.rank != 0:
            outcome = self._from_first(None)
            if outcome.failed:
                torchrun.leave_group()
                raise SystemExit(1)  # the first rank says why
            return outcome.value
        try:
            result = work()
        except Exception:
            self._from_first(Outcome(None, failed=True))  # the others wait for an answer, whatever happens
            torchrun.leave_group()
            raise
        self._from_first(Outcome(result, failed=False))
        return result

    def _from_first(self, outcome: Outcome | None) -> Outcome:
        """The first rank's outcome, on every rank. The others hand in None."""
        box = [outcome]
        if self.size > 1:
            dist.broadcast_object_list(box)
        (answer,) = box
        assert answer is not None
        return answer

    def share(self, num_items: int) -> Iterator[int]:
        """0 ... num_items - 1, each on one rank. Every rank iterates this once for each list of work."""
        if self._counter is None:
            yield from range(self.rank, num_items, self.size)
            return
        self._num_lists += 1
        name = f"next/{self._num_lists}"
        while (number := self._counter.add(name, 1) - 1) < num_items:
            yield number

    def gather(self, value: dict[int, Result]) -> dict[int, Result]:
        """The union of every rank's dictionary."""
        if self.size == 1:
            return value
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, value)
        return {key: item for part in parts for key, item in part.items()}


def _name_of_attempt(store: Store, rank: int, size: int) -> str:
    """A name that the ranks of this attempt share and those of no earlier one had.

    torchrun's store outlives its workers, so the names in it must be new after a restart. The environment
    names no attempt: each machine counts its own restarts, and one that joins late has counted none. So every
    rank asks under a name of its own. The first answers all of them, those of the dead too, until the living
    have an answer.
    """
    if rank != 0:
        asked = secrets.token_hex(8)
        store.set(f"s2l/asks/{rank}", asked)
        name = store.get(f"s2l/answer/{asked}").decode()
        store.add(f"s2l/joined/{name}", 1)
        return name
    name = secrets.token_hex(8)
    start_time = time.monotonic()
    is_said = False
    while (num_joined := store.add(f"s2l/joined/{name}", 0)) < size - 1:
        waited = time.monotonic() - start_time
        if waited > _SECONDS_TO_JOIN:
            raise ValueError(
                f"found {num_joined + 1} of {size} processes after {duration(waited)}, expected all: one on "
                "another machine has ended, and says why there. Start this launch anew on all of them"
            )
        if waited > _SECONDS_UNTIL_SAID and not is_said:
            is_said = True
            reporter.say(f"waiting for {size - 1 - num_joined} of {size} processes to join the launch")
        for other in range(1, size):
            if store.check([f"s2l/asks/{other}"]):
                store.set(f"s2l/answer/{store.get(f's2l/asks/{other}').decode()}", name)
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return name


def num_workers(settings: TrajectoriesConfig) -> int:
    """How many workers a plain start of the script means on this machine.

    Raises: ValueError for trajectories.workers where GPUs are visible, or for far more than there are cores.
    """
    if not torch.cuda.is_available():
        workers = settings.workers or 1
        most = _WORKERS_A_CORE * len(os.sched_getaffinity(0))
        if workers > most:
            raise ValueError(
                f"trajectories.workers: found {workers:,}, expected at most {most:,} on this machine, "
                f"{_WORKERS_A_CORE} for each core: lower it"
            )
        return workers
    if settings.workers is not None:
        raise ValueError(
            f"trajectories.workers: found {settings.workers}, but GPUs are visible here and each gets one "
            "worker: leave the key out (it is for CPUs), and choose GPUs with CUDA_VISIBLE_DEVICES"
        )
    return torch.cuda.device_count()


def launch_workers(script: str, words: list[str], workers: int) -> int:
    """Run `script` as the ranks of one launch on this machine, under torch's elastic launcher.

    If a worker is killed (for want of memory, say), all start again and go on from what is on disk, three
    times at most. A worker that ends by itself with an error ends the launch: it would do the same again.

    Args:
        script: its file.
        words: its arguments.
        workers: how many ranks.

    Returns: the exit code.
    Raises: KeyboardInterrupt on Ctrl-C or SIGTERM, once no worker is left.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in _CHATTY:  # workers say themselves what is wrong. What kills them is said below
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
    if not torch.cuda.is_available():
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // workers)))
    try:
        for start in range(1, _STARTS + 1):
            config = LaunchConfig(
                min_nodes=1,
                max_nodes=1,
                nproc_per_node=workers,
                run_id=secrets.token_hex(8),
                rdzv_backend="c10d",
                rdzv_endpoint="localhost:0",
                local_addr="localhost",
                max_restarts=0,  # torch's own restarts do not tell a kill from an error
                logs_specs=DefaultLogsSpecs(log_dir=os.devnull),
                shutdown_timeout=_SECONDS_TO_STOP,
            )
            try:
                elastic_launch(config, sys.executable)("-u", script, *words)
                return 0
            except ChildFailedError as error:
                # Once one worker is down torch ends the others with SIGTERM.
                codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
                killed = [rank for rank, code in codes.items() if code < 0 and code != -signal.SIGTERM]
                if not killed and max(codes.values()) > 0:
                    return 1  # by an error, which the worker has told
                rank = min(killed or codes)
                what = f"worker {rank} was killed by {signal.Signals(-codes[rank]).name}"
                again = f"all start again and continue ({start} of {_STARTS - 1})"
                reporter.warn(f"{what}; {again if start < _STARTS else 'giving up'}")
                words = [word for word in words if word != "--overwrite"]  # what the killed ones did stays
    except SignalException:
        raise KeyboardInterrupt from None
    return 1
