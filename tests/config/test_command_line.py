"""A command ends in an exit code and, at most, one message. Only a fault of ours shows a traceback."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import run_script
from utils.config.command_line import run_command
from utils.reading import check_kind


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


def ended(error: BaseException, capsys: pytest.CaptureFixture[str]) -> str:
    assert run_command(raising(error)) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "res/x"), "No space left on device: 'res/x'"),
        (PermissionError(errno.EACCES, "Permission denied", "res/x"), "Permission denied: 'res/x'"),
        (MemoryError(), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "docs/out_of_memory.md"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "docs/out_of_memory.md"),
        (ModuleNotFoundError("No module named 'vllm'", name="vllm"), "found no package vllm"),
        (
            RuntimeError("[x/gloo/transport/tcp/pair.cc:553] Connection closed"),
            "another process of this launch",
        ),
        (torch.distributed.DistBackendError("NCCL error"), "another process of this launch"),
    ],
)
def test_what_the_machine_lacks_is_one_line(error, words, capsys):
    message = ended(error, capsys)
    assert message.startswith("error: ") and words in message and message.count("\n") == 1


@pytest.mark.parametrize(
    "error", [KeyError("loss"), ValueError("of a library"), AssertionError("ours"), OSError()]
)
def test_a_fault_of_ours_shows_where_it_happened_and_says_so(error, capsys):
    message = ended(error, capsys)
    assert message.startswith("Traceback") and "test_command_line.py" in message
    assert "a fault of the program" in message


def test_an_error_for_people_is_one_message_without_control_characters(capsys):
    def command() -> int:
        check_kind(Path("no\x1b[2J\x07where"))
        return 0

    assert run_command(command) == 1
    message = capsys.readouterr().err
    assert message.startswith(r"error: no\x1b[2J\x07where does not exist") and "\x1b" not in message


def test_an_interrupt_is_no_fault(capsys):
    assert run_command(raising(KeyboardInterrupt())) == 130
    assert "the same command continues" in capsys.readouterr().err


def test_a_lone_surrogate_can_be_said():
    program = (
        "from utils.config.command_line import run_command\n"
        "run_command(lambda: print('caf\\u00e9 \\udc80') or 0)"
    )
    answer = run_script("-c", program, PYTHONIOENCODING="ascii")
    assert answer.stdout == "caf\\xe9 \\udc80\n"
