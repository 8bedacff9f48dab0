"""The plug is pulled on real runs, and the same command then ends in the same bits.

Workers, launchers and machines are killed. Ctrl-C is pressed. Disks are full or read-only.
"""

import contextlib
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

import run_distributed_trajectories
import train
from tests.conftest import ARCHITECTURES, PROJECT, pool_rows, processes_with, run_script, write_jsonl

NUM_EXAMPLES = 120
STEPS = (2, 4, 6)
FILES = sorted(["num_response_tokens.npy", *(f"checkpoint-{step}.npy" for step in STEPS)])
SECONDS_TO_DIE = 10.0


class Proxy:
    """A trained proxy, and the trajectories of an undisturbed launch as bytes."""

    def __init__(self, folder: Path, tokenizer_dir: Path):
        self.res = folder / "res"
        self.config = folder / "proxy.yml"
        values = {
            "run_name": "proxy",
            "model": {"architecture": ARCHITECTURES["gpt_neox"], "tokenizer": str(tokenizer_dir)},
            "data": {
                "path": str(write_jsonl(folder / "pool.jsonl", pool_rows(NUM_EXAMPLES))),
                "max_length": 256,
            },
            "global_batch_size": 20,
            "checkpoints": {"count": len(STEPS)},
            "train_args": {"num_train_epochs": 1, "learning_rate": 1e-3, "per_device_train_batch_size": 20},
            "trajectories": {
                "examples_per_unit": 1
            },  # many units, so that a kill finds some done and some not
        }
        self.config.write_text(yaml.safe_dump(values))
        self.environment = {**os.environ, "S2L_RES_DIR": str(self.res)}

    def words(self, run_name: str, *settings: str) -> list[str]:
        model_path = str(self.res / "proxy")
        return [
            "--config_file",
            str(self.config),
            "--model_path",
            model_path,
            f"run_name={run_name}",
            *settings,
        ]

    def main(self, run_name: str, *settings: str) -> int:
        """The script in this process: for what needs no kill."""
        return run_distributed_trajectories.main(self.words(run_name, *settings))

    def start(self, *words: str, **environment: str) -> subprocess.Popen:
        """A process that leads a group of its own, as a shell starts it."""
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=PROJECT,
            env={**self.environment, **environment},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def launch(self, run_name: str, *settings: str) -> subprocess.Popen:
        return self.start("run_distributed_trajectories.py", *self.words(run_name, *settings))

    def trajectories(self, run_name: str) -> Path:
        return self.res / run_name / "trajectories"

    def units_on_disk(self, run_name: str) -> int:
        return len(list(self.trajectories(run_name).glob("parts/checkpoint-*/*/unit-*.npz")))

    def files(self, run_name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.trajectories(run_name).glob("*.npy"))}

    def check(self, run_name: str) -> None:
        """All that was asked for is there, to the bit, and nothing else is left."""
        assert self.files(run_name) == self.files("undisturbed")
        folder = self.trajectories(run_name)
        left = [
            str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in (".npz", ".tmp")
        ]
        assert not left and not list(folder.glob("parts/checkpoint-*"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tokenizer_dir) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path_factory.mktemp("interruptions"), tokenizer_dir)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2L_RES_DIR", str(proxy.res))
        assert train.main(["--config_file", str(proxy.config)]) == 0
        assert proxy.main("undisturbed") == 0
        assert sorted(proxy.files("undisturbed")) == FILES
        yield proxy


@pytest.fixture
def proxy(trained, monkeypatch) -> Iterator[Proxy]:
    monkeypatch.setenv("S2L_RES_DIR", str(trained.res))
    yield trained
    assert not processes_with(trained.config), "a process is left over"


def workers_of(launcher: subprocess.Popen) -> list[int]:
    return [
        int(pid) for pid in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    ]


def wait_for(is_so: Callable[[], object], seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.002)


def wait_for_units(proxy: Proxy, run_name: str, count: int, process: subprocess.Popen) -> None:
    def is_so() -> bool:
        assert process.poll() is None, process.communicate()[0]
        return proxy.units_on_disk(run_name) >= count

    wait_for(is_so)


def test_killed_worker_is_replaced_and_the_launch_ends_whole(proxy):
    process = proxy.launch("worker_killed", "trajectories.workers=2")
    wait_for_units(proxy, "worker_killed", 20, process)
    os.kill(workers_of(process)[1], signal.SIGKILL)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert "was killed by SIGKILL; all start again and continue (1 of 3)" in output
    proxy.check("worker_killed")


def test_killed_launcher_leaves_no_orphan_and_the_same_command_goes_on(proxy):
    process = proxy.launch("launcher_killed", "trajectories.workers=2")
    wait_for_units(proxy, "launcher_killed", 20, process)
    process.kill()
    process.wait()
    wait_for(lambda: not processes_with(proxy.config), SECONDS_TO_DIE)
    done = proxy.units_on_disk("launcher_killed")
    assert 20 <= done < NUM_EXAMPLES * len(STEPS)
    assert proxy.main("launcher_killed") == 0
    proxy.check("launcher_killed")


def test_interrupted_launch_ends_at_once_and_continues(proxy):
    """Ctrl-C in a terminal reaches every process of the group; a supervisor ends the launcher alone."""
    target = 0
    for send, number in ((os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM)):
        process = proxy.launch("interrupted", "trajectories.workers=2")
        target += 20
        wait_for_units(proxy, "interrupted", target, process)
        target = proxy.units_on_disk("interrupted")
        begun = time.monotonic()
        send(process.pid, number)
        output, _ = process.communicate(timeout=60)
        assert time.monotonic() - begun < SECONDS_TO_DIE
        assert process.returncode == 130, output
        assert (
            "interrupted" in output and "the same command continues" in output and "Traceback" not in output
        )
        wait_for(lambda: not processes_with(proxy.config), SECONDS_TO_DIE)
    assert target < NUM_EXAMPLES * len(STEPS), "interrupted half way"
    assert proxy.main("interrupted") == 0
    proxy.check("interrupted")


def test_error_of_a_checkpoint_is_told_once_and_restarts_nothing(proxy):
    damaged = proxy.res / "damaged"
    shutil.copytree(proxy.res / "proxy", damaged)
    weights = damaged / "checkpoint-4/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    process = proxy.launch("partial", f"--model_path={damaged}", "trajectories.workers=2")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 1, output
    assert (
        output.count("checkpoint 4 failed") == 1 and "Traceback" not in output and "start again" not in output
    )
    assert sorted(proxy.files("partial")) == sorted(set(FILES) - {"checkpoint-4.npy"})
    for name, content in proxy.files("partial").items():
        assert content == proxy.files("undisturbed")[name], "the other checkpoints are scored"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def two_machines(
    proxy: Proxy, run_name: str
) -> tuple[Callable[[], subprocess.Popen], Callable[[], subprocess.Popen]]:
    """Functions that start the machine that hosts the rendezvous and the other one, both torchrun here."""
    port = free_port()
    words = (
        "-m",
        "torch.distributed.run",
        "--nnodes=2",
        "--nproc_per_node=1",
        "--max_restarts=3",
        "--rdzv_backend=c10d",
        "--rdzv_id=s2l",
        "--local_addr=127.0.0.1",
        "--monitor_interval=0.1",
        "--rdzv_conf=keep_alive_interval=1,keep_alive_max_attempt=5",
        f"--rdzv_endpoint=127.0.0.1:{port}",
        "run_distributed_trajectories.py",
        *proxy.words(run_name),
    )
    # Else torch 2.13 has a machine that joins later wait for an address that nobody tells it.
    environment = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}

    def start() -> subprocess.Popen:
        return proxy.start(*words, **environment)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def start_host() -> subprocess.Popen:
        host = start()
        wait_for(listens)
        return host

    return start_host, start


def kill_machine(proxy: Proxy, agent: subprocess.Popen) -> None:
    """SIGKILL of a machine's agent; its worker must not outlive it."""
    orphans = workers_of(agent)
    agent.kill()
    agent.wait()
    wait_for(lambda: not set(orphans) & processes_with(proxy.config), SECONDS_TO_DIE)


def test_killed_machine_comes_back_and_the_launch_ends_whole(proxy):
    start_host, start_other = two_machines(proxy, "machine_killed")
    host = start_host()
    other = start_other()
    wait_for_units(proxy, "machine_killed", 20, other)
    kill_machine(proxy, other)
    assert proxy.units_on_disk("machine_killed") < NUM_EXAMPLES * len(STEPS)
    other = start_other()
    for agent in (host, other):
        output, _ = agent.communicate(timeout=240)
        assert agent.returncode == 0, output
    proxy.check("machine_killed")


def test_killed_host_ends_the_launch_and_the_same_command_goes_on(proxy):
    start_host, start_other = two_machines(proxy, "host_killed")
    host = start_host()
    other = start_other()
    wait_for_units(proxy, "host_killed", 20, other)
    kill_machine(proxy, host)
    other.communicate(timeout=240)
    assert other.returncode != 0
    done = proxy.units_on_disk("host_killed")
    assert 20 <= done < NUM_EXAMPLES * len(STEPS)
    for agent in (start_host(), start_other()):
        output, _ = agent.communicate(timeout=240)
        assert agent.returncode == 0, output
    proxy.check("host_killed")


def test_second_launch_on_a_run_refuses_and_harms_nothing(proxy, capsys):
    process = proxy.launch("twice")
    wait_for_units(proxy, "twice", 1, process)
    assert proxy.main("twice") == 1
    assert "another launch is scoring checkpoint 2" in capsys.readouterr().err
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    proxy.check("twice")


def test_of_two_commands_with_other_settings_at_once_one_wins_and_one_is_refused(proxy):
    heldout = write_jsonl(proxy.config.with_name("heldout.jsonl"), pool_rows(20, seed=1))
    to_train = (
        "train.py",
        "--config_file",
        str(proxy.config),
        "run_name=contended",
        "train_args.max_steps=2",
    )
    to_evaluate = ("evaluate_run.py", "--config_file", str(proxy.config), f"evaluation.heldout={heldout}")
    pairs = {
        proxy.res / "contended/manifest.json": [
            proxy.start(*to_train, "checkpoints.count=1", f"seed={seed}") for seed in (1, 2)
        ],
        proxy.res / "proxy/evaluation/manifest.json": [
            proxy.start(*to_evaluate, f"evaluation.max_new_tokens={number}") for number in (1, 2)
        ],
    }
    for manifest, processes in pairs.items():
        ends = [(process.communicate(timeout=240)[0], process.returncode) for process in processes]
        assert sorted(code for _, code in ends) == [0, 1], ends
        refusals = ("another launch is training", "another command is evaluating", "made from other inputs")
        for (output, code), value in zip(ends, (1, 2), strict=True):
            if code == 0:
                inputs = json.loads(manifest.read_text())["inputs"]
                assert value == inputs["seed" if "seed" in inputs else "max_new_tokens"]
            else:
                assert any(refusal in output for refusal in refusals), output
                assert "Traceback" not in output


@contextlib.contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[None]:
    """A file system on `folder`; skips the test where the system does not let us."""
    folder.mkdir(parents=True)
    answer = subprocess.run(["mount", *arguments, str(folder)], capture_output=True, text=True)
    if answer.returncode != 0:
        pytest.skip(f"no right to mount: {answer.stderr.strip()}")
    try:
        yield
    finally:
        gc.collect()  # weights that are still mapped keep the file system busy
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_is_named_and_leaves_nothing_half_written(proxy, capsys):
    run_name = "full"
    with mounted(proxy.res / run_name, "-t", "tmpfs", "-o", "size=256k", "s2l"):
        filler = proxy.res / run_name / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        assert proxy.main(run_name) == 1, "not even a manifest fits"
        assert "No space left on device" in capsys.readouterr().err
        os.truncate(filler, filler.stat().st_size - 80 * 1024)
        assert proxy.main(run_name) == 1, "some units fit"
        captured = capsys.readouterr().err
        assert "error: [Errno 28] No space left on device" in captured and "Traceback" not in captured
        assert proxy.units_on_disk(run_name) > 0
        assert not [path for path in proxy.trajectories(run_name).rglob("*.tmp")]
        whole = proxy.files("undisturbed")
        assert all(content == whole[name] for name, content in proxy.files(run_name).items())
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=16m", str(proxy.res / run_name)], check=True)
        assert proxy.main(run_name) == 0
        proxy.check(run_name)


def test_full_disk_in_training_is_named_and_the_same_command_continues(proxy, capsys):
    """Whatever meets the full disk: the weights, the optimizer's state, the trainer's, a log."""
    run = proxy.res / "full_training"
    command = ["--config_file", str(proxy.config), "run_name=full_training"]
    saved = []
    with mounted(run, "-t", "tmpfs", "-o", "size=4m", "s2l"):
        for kilobytes_left in (0, 40, 200, 400, 600):
            filler = run / "filler"
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            os.truncate(filler, max(0, filler.stat().st_size - kilobytes_left * 1024))
            assert train.main(command) == 1
            error = capsys.readouterr().err
            (message,) = (line for line in error.splitlines() if line.startswith("error:"))
            assert str(run) in message
            assert "Traceback" not in error and "fault of the program" not in error, error
            saved.append(sorted(path.name for path in run.glob("checkpoint-*")))
            filler.unlink()
        assert saved[0] == [] != saved[-1], "some could not be saved, others could"
        assert train.main(command) == 0
        for step in STEPS:
            weights = f"checkpoint-{step}/model.safetensors"
            assert (run / weights).read_bytes() == (proxy.res / "proxy" / weights).read_bytes()
        assert not list(run.rglob("*.tmp")) and not (run / "parts").exists()


def test_read_only_results_folder_is_named(proxy, capsys):
    with mounted(proxy.res / "readonly", "-t", "tmpfs", "-o", "ro,size=1m", "s2l"):
        assert proxy.main("readonly") == 1
        captured = capsys.readouterr().err
        assert "Read-only file system" in captured and str(proxy.res / "readonly") in captured
        assert "Traceback" not in captured
    assert proxy.main("readonly") == 0
    proxy.check("readonly")


def test_losses_are_of_all_examples(proxy):
    """What the bits are compared with is itself whole."""
    counts = np.load(proxy.trajectories("undisturbed") / "num_response_tokens.npy")
    assert counts.shape == (NUM_EXAMPLES,) and counts.dtype == np.int32
    for step in STEPS:
        losses = np.load(proxy.trajectories("undisturbed") / f"checkpoint-{step}.npy")
        assert losses.shape == (NUM_EXAMPLES,) and losses.dtype == np.float32
        np.testing.assert_array_equal(counts == 0, np.isnan(losses))


def test_a_dose_of_random_kills_finds_nothing():
    """`make faults` sends a thousand. Here as many as keep its own code whole."""
    words = ["--kills", "12", "--stages", "selection,scoring", "--faults", "kills,kills_at_operations"]
    answer = run_script("benchmarks/faults.py", *words, "--seed", "1", "--workers", "1", check=False)
    assert answer.returncode == 0 and "FOUND" not in answer.stdout, answer.stdout + answer.stderr
