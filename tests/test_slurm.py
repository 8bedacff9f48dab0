"""The batch files of configs/slurm start what exists, and go back into the queue before their time is up."""

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.test_docs import check_script

BATCH_FILES = sorted((PROJECT / "configs/slurm").glob("*.sbatch"))
# What differs between clusters, people and runs.
CHANGED = (
    "--partition",
    "--nodes",
    "--gpus-per-node",
    "--cpus-per-task",
    "--time",
    "config=",
    "export S2L_RES_DIR",
    "source ",
)

# In place of Slurm's and torchrun's programs. The last one ends when it is told to.
PROGRAMS = {
    "scontrol": 'echo "scontrol $*" >> "$LOG"; if [ "$1" = show ]; then printf "node1\\nnode2\\n"; fi',
    "srun": 'while [[ $1 = --* ]]; do echo "srun $1" >> "$LOG"; shift; done; exec "$@"',
    "torchrun": 'for word in "$@"; do echo "torchrun $word" >> "$LOG"; done; echo started >> "$LOG"; '
    'exec sleep "$SECONDS_AT_WORK"',
}


@pytest.fixture
def cluster(tmp_path) -> dict[str, str]:
    """The environment of a job on a cluster of shell scripts, which write down how they are called."""
    programs = tmp_path / "venv/bin"
    programs.mkdir(parents=True)
    for name, lines in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/bash\n{lines}\n")
        (programs / name).chmod(0o755)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").touch()
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "LOG": str(tmp_path / "log.txt"),
        "SECONDS_AT_WORK": "0",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "12345",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_CPUS_PER_TASK": "64",
    }


def words_of(program: str, log: Path) -> list[str]:
    return [line.partition(" ")[2] for line in log.read_text().splitlines() if line.startswith(f"{program} ")]


def test_each_stage_that_needs_gpus_has_a_batch_file():
    scripts = {word for path in BATCH_FILES for word in re.findall(r"\w+\.py", path.read_text())}
    assert len(BATCH_FILES) == 3 and scripts == {"train.py", "run_distributed_trajectories.py"}


@pytest.mark.parametrize("path", BATCH_FILES, ids=lambda path: path.stem)
def test_a_batch_file_says_what_to_change_above_each_such_line(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/bin/bash" and f"sbatch configs/slurm/{path.name}" in path.read_text()
    marked = [lines[number + 1] for number, line in enumerate(lines) if line.startswith("# CHANGE: ")]
    assert all(any(name in line for line in marked) for name in CHANGED), marked
    # Slurm reads no more options after the first command.
    first_command = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[first_command:])


@pytest.mark.parametrize("path", BATCH_FILES, ids=lambda path: path.stem)
def test_a_batch_file_starts_a_command_that_exists_on_all_nodes(path, cluster):
    from torch.distributed.run import get_args_parser  # which takes seconds

    subprocess.run(["bash", "-n", str(path)], check=True)
    subprocess.run(["bash", str(path)], cwd=PROJECT, env=cluster, check=True, timeout=60)
    log = Path(cluster["LOG"])
    assert "--kill-on-bad-exit=1" in words_of("srun", log) and "--cpus-per-task=64" in words_of("srun", log)
    launch = get_args_parser().parse_args(words_of("torchrun", log))
    assert (launch.nnodes, launch.nproc_per_node, launch.rdzv_backend) == ("2", "gpu", "c10d")
    host, _, port = launch.rdzv_endpoint.partition(":")
    assert host == "node1" and 1024 < int(port) < 2**15, "below the ports that a machine gives away"
    check_script(launch.training_script, launch.training_script_args)
    assert "--overwrite" not in launch.training_script_args, "a job that starts again continues"


@pytest.mark.parametrize("path", BATCH_FILES, ids=lambda path: path.stem)
def test_a_job_whose_time_is_up_goes_back_into_the_queue(path, cluster):
    assert "#SBATCH --requeue" in path.read_text() and "#SBATCH --signal=B:USR1@" in path.read_text()
    log = Path(cluster["LOG"])
    environment = {**cluster, "SECONDS_AT_WORK": "60"}
    job = subprocess.Popen(["bash", str(path)], cwd=PROJECT, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not log.is_file() or "started" not in log.read_text():
            assert time.monotonic() < deadline and job.poll() is None
            time.sleep(0.01)
        job.send_signal(signal.SIGUSR1)
        assert job.wait(timeout=30) != 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
    assert "requeue 12345" in words_of("scontrol", log)
