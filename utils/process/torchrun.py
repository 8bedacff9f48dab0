"""What torchrun tells each process by environment variables, and how a process leaves the others.

Without torchrun a process is alone. Slurm scripts and notebooks leave such variables behind, so what
they hold is checked.
"""

import os
import sys

_NEEDED_BY_SEVERAL = ("RANK", "MASTER_ADDR", "MASTER_PORT")


def rank() -> int:
    """Of this process in the whole launch. Raises: ValueError, as the others."""
    return _number("RANK", 0)


def world_size() -> int:
    """Processes of the whole launch. Raises: ValueError also where they cannot find one another."""
    size = _number("WORLD_SIZE", 1)
    missing = [name for name in _NEEDED_BY_SEVERAL if name not in os.environ]
    if size == 0 or (size > 1 and missing):
        found = f"found {size}" + (f" without {', '.join(missing)}" if size else "")
        raise ValueError(
            f"the environment variable WORLD_SIZE: {found}, expected what torchrun sets: "
            "start with torchrun, or `unset WORLD_SIZE`"
        )
    return size


def local_rank() -> int:
    """Of this process on its machine."""
    return _number("LOCAL_RANK", 0)


def local_world_size() -> int:
    """Processes on this machine."""
    return _number("LOCAL_WORLD_SIZE", 1)


def is_first() -> bool:
    """Whether this process speaks for the launch."""
    return rank() == 0


def is_restart() -> bool:
    """Whether torchrun starts this launch again: to continue, not to start over."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0) > 0


def leave_group() -> None:
    """Leave torch's process group, if this process is in one. Its work with the others is done.

    Else gloo's threads live on while Python ends, and one that then frees a tensor aborts the process: all is
    trained and written, and torchrun says that it failed.
    """
    distributed = sys.modules.get("torch.distributed")  # a script that did not import it is in no group
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _number(name: str, alone: int) -> int:
    text = os.environ.get(name)
    if text is None:
        return alone
    if not text.isascii() or not text.isdigit():
        raise ValueError(
            f"the environment variable {name}: found {text!r}, expected a whole number, as torchrun sets it: "
            f"start with torchrun, or `unset {name}`"
        )
    return int(text)
