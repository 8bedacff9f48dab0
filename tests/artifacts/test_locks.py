"""No two processes write the same thing, a dead one keeps nothing from the living, no lock is ignored."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from utils.artifacts import locks
from utils.artifacts.files import remove_leftovers, write_json
from utils.artifacts.locks import NO_LOCKS_VARIABLE, locked
from utils.artifacts.paths import lock_of

HOLDER = """
import os, sys, time
from pathlib import Path
from utils.artifacts.locks import locked

with locked(Path(sys.argv[1])):
    child = os.fork() if len(sys.argv) > 2 else -1  # a helper, as of a loader of data
    if child:
        print(child, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.delenv(NO_LOCKS_VARIABLE, raising=False)
    monkeypatch.setattr(locks, "_SECONDS_TO_LET_GO", 0.2)
    locks._say_that_nothing_is_locked.cache_clear()


def holder(thing: Path, *more: str) -> tuple[subprocess.Popen[str], int]:
    """A process that holds the lock, and the id of its child."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(thing), *more], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_the_second_is_refused_and_the_killed_keep_nothing(tmp_path):
    thing = tmp_path / "evaluation"
    process, _ = holder(thing)
    told = "somebody is at it .*locked.*wait for it or stop it"
    with pytest.raises(ValueError, match=told), locked(thing, "somebody is at it"):
        pass
    process.kill()
    with locked(thing, "somebody is at it"):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".locks"]
    process.wait()


def test_a_forked_helper_of_a_killed_process_holds_no_lock(tmp_path):
    process, child = holder(tmp_path / "thing", "with a child")
    process.kill()
    process.wait()
    with locked(tmp_path / "thing", "it is held"):
        os.kill(child, signal.SIGKILL)  # it is alive


def test_who_waits_says_so_and_goes_on(tmp_path, capsys):
    process, _ = holder(tmp_path / "tokens")
    subprocess.Popen([sys.executable, "-c", f"import time, os; time.sleep(1); os.kill({process.pid}, 9)"])
    with locked(tmp_path / "tokens"):
        assert process.wait() == -signal.SIGKILL
    assert f"waiting for another process to be done with {tmp_path / 'tokens'}" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_is_refused_unless_the_user_takes_over(
    number, tmp_path, monkeypatch, capsys
):
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    for refusal in (None, "somebody is at it"):
        with pytest.raises(ValueError, match="without locks") as caught, locked(tmp_path / "thing", refusal):
            pass
        message = str(caught.value)
        assert os.strerror(number) in message and str(lock_of(tmp_path / "thing")) in message
        assert "S2L_RES_DIR" in message and f"{NO_LOCKS_VARIABLE}=1" in message
    monkeypatch.setenv(NO_LOCKS_VARIABLE, "1")
    for _ in range(2):
        with locked(tmp_path / "thing"):
            pass
    assert capsys.readouterr().err.count("nothing keeps two commands from writing the same") == 1


def test_another_error_of_a_lock_is_not_taken_for_a_file_system_without_them(tmp_path, monkeypatch):
    def flock(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output error"), locked(tmp_path / "thing"):
        pass


def test_leftovers_of_one_file_are_not_those_of_another(tmp_path):
    write_json(tmp_path / "manifest.json", {})
    left = [".manifest.json.17.abcd.tmp", ".checkpoint-1.npy.17.abcd.tmp", ".checkpoint-10.npy.17.abcd.tmp"]
    for name in left:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, "checkpoint-1")
    assert sorted(path.name for path in tmp_path.glob(".*")) == sorted([left[0], left[2]])
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
