"""What torchrun tells a process, what it leaves in the variables, and how a process leaves the others."""

import pytest

from tests.conftest import run_script
from utils.process import torchrun

# gloo's threads have hundreds of tensors to free when the command ends. A process that has not left the group
# is aborted in some nine of ten launches.
_ENDS_WHILE_GLOO_IS_AT_WORK = """
import sys
import torch
import torch.distributed as dist
from utils.config.command_line import run_command

def command():
    dist.init_process_group("gloo")
    for _ in range(400):
        dist.all_reduce(torch.ones(4), async_op=True)
    dist.barrier()
    return 0

code = run_command(command)
print("left" if not dist.is_initialized() else "still in the group")
sys.exit(code)
"""

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def test_without_torchrun_a_process_is_alone(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert torchrun.is_first() and torchrun.rank() == torchrun.local_rank() == 0
    assert torchrun.world_size() == torchrun.local_world_size() == 1


def test_each_variable_is_read(monkeypatch):
    for number, name in enumerate(VARIABLES, start=3):
        monkeypatch.setenv(name, str(number))
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "29500")
    found = torchrun.rank(), torchrun.world_size(), torchrun.local_rank(), torchrun.local_world_size()
    assert found == (3, 4, 5, 6) and not torchrun.is_first()


@pytest.mark.parametrize(
    "environment", [{"WORLD_SIZE": "0"}, {"WORLD_SIZE": "2"}, {"WORLD_SIZE": "2", "RANK": "0"}]
)
def test_a_launch_without_what_its_processes_need_is_refused(monkeypatch, environment):
    for name in (*VARIABLES, "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="WORLD_SIZE: found [02].*, expected what torchrun sets"):
        torchrun.world_size()


@pytest.mark.parametrize("value", ["", "two", "-1", "1.5", " 1", "\u00b2"])
def test_what_is_no_number_is_refused_by_name(monkeypatch, value):
    monkeypatch.setenv("RANK", value)
    with pytest.raises(ValueError, match="RANK: found .*, expected a whole number.*unset RANK"):
        torchrun.is_first()


def test_a_command_leaves_its_group_before_python_ends(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(_ENDS_WHILE_GLOO_IS_AT_WORK)
    answer = run_script(script, torchrun=2, PYTHONPATH=".")
    assert answer.stdout.count("left") == 2, "the lines of two processes may be written into one another"
