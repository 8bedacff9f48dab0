"""Programs that a model wrote run, and reach nothing: whatever they try."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from utils.sandbox import proof
from utils.sandbox.attempts import ATTEMPTS
from utils.sandbox.proof import check_sandbox
from utils.sandbox.run import Limits, Outcome, run_program

pytestmark = pytest.mark.usefixtures("sandbox")


def attempt(program: str, **limits: float) -> Outcome:
    return run_program(program, Limits(**limits))  # pyright: ignore[reportArgumentType]


def test_every_door_is_closed_on_this_machine():
    check_sandbox()


# --------------------------------------------------------------------------------- what honest programs need


def test_an_honest_program_gets_its_answer():
    outcome = run_program(
        "import numpy as np, sympy\nx = sympy.symbols('x')\nprint(sympy.solve(x**2 - 4), np.arange(3).sum())"
    )
    assert (outcome.output, outcome.ending, outcome.error) == ("[-2, 2] 3\n", "exit 0", "")


def test_a_failing_program_says_why():
    outcome = run_program("print('so far')\n1 / 0")
    assert (
        outcome.output == "so far\n" and outcome.ending == "exit 1" and "ZeroDivisionError" in outcome.error
    )


def test_any_text_may_be_a_program():
    assert run_program("print('\u00e9\U0001f600')").output == "\u00e9\U0001f600\n"
    assert not run_program("print(1)\0\ud800").ended_well
    assert not run_program("def f(:").ended_well
    assert run_program("").ended_well


def test_a_program_begins_in_an_empty_folder_and_leaves_it_so():
    outcome = run_program("import os; print(os.listdir('.')); open('left', 'w')")
    assert outcome.output == "[]\n" and "Read-only file system" in outcome.error


def test_sets_have_one_order_in_every_run():
    program = "print(set('abcdefgh'))"
    assert run_program(program).output == run_program(program).output


# --------------------------------------------------------------------------------- what malicious ones try


def test_fork_bomb_makes_no_process():
    program = """
import os, subprocess, threading, multiprocessing
for make in (
    os.fork,
    os.forkpty,
    lambda: os.posix_spawn('/bin/sh', ['sh'], {}),
    lambda: subprocess.Popen(['true']),
    threading.Thread(target=print).start,
    multiprocessing.Process(target=print).start,
):
    try:
        make()
        print('made')
    except (OSError, RuntimeError):
        pass
"""
    outcome = run_program(program)
    assert outcome.output == "" and outcome.ending in ("exit 0", "exit 1")


def test_secrets_are_not_there(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("hunter2")
    monkeypatch.setenv("MY_API_KEY", "hunter2")
    outcome = run_program(f"""
import os, glob
print(dict(os.environ), glob.glob('{tmp_path}/*'), glob.glob('/proc/*/environ'))
print(open({str(tmp_path / "key")!r}).read())
""")
    assert (
        "hunter2" not in outcome.output
        and "MY_API_KEY" not in outcome.output
        and "No such file" in outcome.error
    )


def test_nothing_outside_is_written():
    folders = [
        str(PROJECT),
        str(Path.home()),
        "/tmp",
        "/var/tmp",
        "/dev/shm",
        "/usr/lib",
        sys.prefix,
        sys.base_prefix,
        "/",
    ]
    name = "s2l-was-here"
    outcome = run_program(f"""
import os
for folder in {folders!r}:
    for way in (lambda p: open(p, 'w'), os.mkdir, lambda p: os.symlink('/etc', p), os.mkfifo):
        try:
            way(os.path.join(folder, {name!r}))
            print('wrote', folder)
        except OSError:
            pass
    try:
        os.chmod(folder, 0o777)
        print('changed', folder)
    except OSError:
        pass
""")
    assert outcome.output == "" and outcome.ended_well
    assert not any((Path(folder) / name).exists() for folder in folders)


def test_sockets_of_every_family_are_refused():
    outcome = run_program("""
import socket
for family in range(1, 46):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        try:
            socket.socket(family, kind)
            print('open', family)
        except OSError as error:
            if error.errno != 1:
                print('tried', family, error)
try:
    socket.socketpair()
    print('open pair')
except OSError:
    pass
""")
    assert outcome.output == "" and outcome.ended_well


def test_no_capability_is_left_and_none_comes_back():
    outcome = run_program("""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
class Header(ctypes.Structure):
    _fields_ = [('version', ctypes.c_uint32), ('pid', ctypes.c_int)]
data = (ctypes.c_uint32 * 6)()
assert libc.capget(ctypes.byref(Header(0x20080522, 0)), data) == 0
in_bounding_set = [capability for capability in range(41) if libc.prctl(23, capability, 0, 0, 0) == 1]
may_gain_any = libc.prctl(39, 0, 0, 0, 0) != 1
print(list(data), in_bounding_set, may_gain_any, os.getuid())
try:
    os.setuid(0)
    print('root')
except OSError:
    pass
""")
    assert outcome.output == "[0, 0, 0, 0, 0, 0] [] False 65534\n", outcome


def test_the_program_dies_with_us():
    marker = f"marker_{os.getpid()}_{time.time_ns()}"
    code = f"""
from utils.sandbox.run import *
run_program('import time; time.sleep(300)', Limits(memory_bytes=1 << 30, wall_seconds=300.0))
{marker!r}
"""
    ours = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT)
    deadline = time.monotonic() + 60
    while len(_descendants(ours.pid)) < 3:  # bubblewrap, the first process of its namespace, the program
        assert ours.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    started = _descendants(ours.pid)
    os.kill(ours.pid, signal.SIGKILL)
    ours.wait()
    while any(_is_alive(process) for process in started):
        assert time.monotonic() < deadline, f"{started} live on"
        time.sleep(0.05)


def _descendants(process: int) -> list[int]:
    descendants = []
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            descendants += [child, *_descendants(child)]
    return descendants


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(
    os.getuid() != 0 or not Path("/usr/bin/python3").exists(), reason="changes the user, as root may"
)
def test_every_door_is_closed_for_an_ordinary_user_too():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        shutil.copytree(PROJECT / "utils/sandbox", Path(folder) / "sandbox")
        code = f"""
import sys
sys.path.insert(0, {folder!r})
from sandbox import proof
proof._LIBRARIES_OF_PROGRAMS = ('math',)  # the system's Python has no others
proof.check_sandbox()
print('closed')
"""
        user = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "env", "-i", f"HOME={folder}"]
        answer = subprocess.run(
            [*user, "/usr/bin/python3", "-c", code], capture_output=True, text=True, timeout=120
        )
    assert answer.stdout == "closed\n", answer.stderr


# --------------------------------------------------------------------------------- the proof itself

_FOR_ANY_PROCESS = {
    "files": [
        "the users of this machine",
        "home folders",
        "this project",
        "temporary files",
        "the way up",
        "a link to a file",
        "other processes",
        "its own process's folder",
        "the kernel's settings",
        "devices",
        "logs",
        "the environment",
    ],
    "network": [
        "IPv4",
        "IPv4 datagrams",
        "sockets of this machine",
        "pairs of sockets",
        "the kernel's own sockets",
        "any family of any kind",
        "a socket by hand",
    ],
    "processes": ["commands", "posix_spawn", "threads"],
    "signals": ["a process of any number"],
    "descriptors": ["open files", "copies of open files", "writing to open files"],
    "memory": [
        "more than its share",
        "more than its share by mapping",
        "shared memory of System V",
        "files in memory",
    ],
    "disk": ["an empty file", "a folder", "a large file", "a file with a hole"],
    "kernel": ["another personality"],
    "rights": ["rights of a program with the bit set"],
}


@pytest.mark.parametrize("kind", _FOR_ANY_PROCESS)
def test_an_open_door_is_noticed(kind, tmp_path):
    """The same attempts outside the sandbox get through: a check that always passed would prove nothing."""
    (tmp_path / "home/letters").mkdir(parents=True)
    there = {"home": str(tmp_path / "home"), "seen_of_home": set(), "environment": set()}
    values = {**proof._values(), **there}
    names = _FOR_ANY_PROCESS[kind]
    program = proof.attempts_program({name: ATTEMPTS[kind][name] for name in names}, values)
    with tempfile.TemporaryFile() as inherited:
        answer = subprocess.run(
            [sys.executable, "-c", program],
            pass_fds=[inherited.fileno()],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=60,
            check=False,
        )
    said = set(answer.stdout.splitlines())
    assert said >= {f"open {name}" for name in names}, (answer.stdout, answer.stderr)


def test_the_attempts_are_of_every_kind():
    assert sum(map(len, ATTEMPTS.values())) + len(proof._ENDINGS) >= 120
    assert min(map(len, ATTEMPTS.values())) >= 3


@pytest.mark.parametrize("attempt", ["print", "os.getpid()"])
def test_an_attempt_that_gets_through_is_reported_by_name(attempt):
    values = proof._values()
    assert proof._open_doors({"one": "1 / 0", "other": attempt}, values) == ["other"]


def test_an_attempt_that_ends_the_program_hides_none_behind_it():
    attempts = {"exit": "os._exit(0)", "death": "os.kill(os.getpid(), 9)", "open": "os.getpid()"}
    assert proof._open_doors(attempts, proof._values()) == ["open"]


def test_a_sandbox_that_cannot_be_tried_is_no_proof(monkeypatch):
    monkeypatch.setattr(proof, "PRELUDE", "raise OSError('no ctypes')")
    with pytest.raises(ValueError, match=r"cannot be tried (?s:.*)no ctypes"):
        proof._open_doors({"one": "pass"}, proof._values())


def test_a_machine_with_an_open_door_runs_no_program(monkeypatch):
    monkeypatch.setitem(ATTEMPTS, "sums", {"arithmetic": "1 + 1"})
    with pytest.raises(ValueError, match="does not keep programs from: sums: arithmetic"):
        check_sandbox.__wrapped__()


def test_without_namespaces_programs_are_refused_not_run(tmp_path):
    """A user namespace in which no further one may be made."""
    code = "from utils.sandbox.run import run_program; run_program('print(1)')"
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" -c "$1"'
    answer = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", script, sys.executable, code],
        cwd=PROJECT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert answer.returncode != 0 and "found a machine that cannot shut programs in (bwrap: " in answer.stderr
