"""The processes of a launch: one alone, torchrun's ranks, which share a counter in torch.distributed's store, or the
ranks of a training that is under way, which take turns."""

import datetime
import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

_TIMEOUT = datetime.timedelta(hours=24)  # a rank without work waits for the slowest unit of the others


class Launch:
    """Attributes: rank; size: number of processes; device: of this process."""

    def __init__(self) -> None:
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.device = torch.device("cpu")
        if torch.cuda.is_available():
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        self._taken = 0
        self._counter: PrefixStore | None = None
        if self.size > 1 and not dist.is_initialized():
            store, rank, size = next(iter(rendezvous("env://")))
            # The store outlives a restarted worker: each attempt has names of its own.
            store = PrefixStore(f"s2l-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
            dist.init_process_group(
                "gloo", store=PrefixStore("group", store), rank=rank, world_size=size, timeout=_TIMEOUT
            )
            self._counter = PrefixStore("units", store)

    def first(self, work: Callable[[], Any]) -> Any:
        """Do `work` on rank 0 and hand its result to all. Its error reaches every rank."""
        answer: list[Any] = [None, None]
        if self.rank == 0:
            try:
                answer[0] = work()
            except (ValueError, OSError) as error:
                answer[1] = error
        if self.size > 1:
            dist.broadcast_object_list(answer, device=self.device if dist.get_backend() == "nccl" else None)
        if answer[1] is not None:
            raise answer[1]
        return answer[0]

    def take(self) -> int:
        """The next number, 0, 1, 2, ...; no two workers of this launch get the same."""
        if self._counter is not None:
            return self._counter.add("next", 1) - 1
        self._taken += 1
        return (self._taken - 1) * self.size + self.rank

    def gather(self, value: dict[int, str]) -> dict[int, str]:
        """The union of every rank's dictionary."""
        if self.size == 1:
            return value
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, value)
        return {key: text for part in parts for key, text in part.items()}

    def close(self) -> None:
        """Leave the group, if this launch made it."""
        if self._counter is not None:
            dist.destroy_process_group()


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
