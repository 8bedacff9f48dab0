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


def test_programs_do_not_meet():
    assert run_program("open('left', 'w').write('x'); print(1)").ended_well
    assert run_program("import os; print(os.listdir('.'))").output == "[]\n"


def test_sets_have_one_order_in_every_run():
    program = "print(set('abcdefgh'))"
    assert run_program(program).output == run_program(program).output


# --------------------------------------------------------------------------------- what malicious ones try


def test_endless_loop_is_killed():
    begun = time.monotonic()
    assert attempt("while True: pass", cpu_seconds=1, wall_seconds=60).ending == "exit 137"
    assert time.monotonic() - begun < 50


def test_endless_wait_is_killed_whatever_it_does_to_signals():
    program = """
import ctypes, signal, time
ctypes.CDLL(None).prctl(1, 0)  # no longer told when its parent dies
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
time.sleep(600)
"""
    begun = time.monotonic()
    assert attempt(program, wall_seconds=1).ending == "wall"
    assert time.monotonic() - begun < 20


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


def test_memory_hog_gets_no_more_than_its_share():
    outcome = attempt("kept = []\nwhile True: kept.append(bytearray(1 << 24))", memory_bytes=1 << 29)
    assert "MemoryError" in outcome.error and outcome.ending == "exit 1"


def test_endless_output_ends():
    outcome = run_program("while True: print('x' * 1000)")
    assert not outcome.ended_well and len(outcome.output) <= Limits().file_bytes


def test_disk_hog_fills_a_small_folder_and_no_disk():
    program = """
import os
for number in range(10**6):
    open(str(number), 'wb').write(bytes(50_000))
"""
    outcome = run_program(program)
    assert "No space left" in outcome.error


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/etc/hostname", "/proc/self/environ", "/proc/1/cmdline", "/dev/mem", "/sys/kernel"],
)
def test_files_of_the_machine_are_not_there(path):
    outcome = run_program(f"import os; print(os.path.exists({path!r})); open({path!r})")
    assert outcome.output == "False\n" and "No such file" in outcome.error


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


def test_no_open_file_of_ours_is_inherited(tmp_path):
    with open(tmp_path / "secret", "w+") as file:
        os.set_inheritable(file.fileno(), True)
        outcome = run_program("""
import os
for number in range(3, 64):
    try:
        os.fstat(number)
        print('open', number)
    except OSError:
        pass
""")
    assert outcome.output == ""


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


def test_system_calls_made_by_hand_are_refused_too():
    outcome = run_program("""
import ctypes, platform
libc = ctypes.CDLL(None, use_errno=True)
numbers = {
    'x86_64': (41, 56, 57, 58, 101, 165, 272, 308, 319, 425),
    'aarch64': (198, 220, 117, 40, 97, 268, 279, 425),
}
for number in numbers[platform.machine()]:
    if libc.syscall(number, 0, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != 1:
        print('went through', number, ctypes.get_errno())
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

_HARMLESS = [
    "files of this machine",
    "home folders",
    "this project",
    "temporary files",
    "other processes",
    "environment",
    "network",
    "processes",
    "commands",
    "threads",
    "memory beside the limit",
]


@pytest.mark.parametrize("name", _HARMLESS)
def test_an_open_door_is_noticed(name, tmp_path):
    """The same attempt outside the sandbox gets through: a check that always passed would prove nothing."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letters").touch()
    values = {
        "home": str(tmp_path / "home"),
        "seen_of_home": set(),
        "project": str(PROJECT / "README.md"),
        "environment": set(),
        "secret": str(tmp_path / "secret"),
        "python": sys.executable,
    }
    program = proof._filled(proof._ATTEMPTS[name], values)
    answer = subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert "open" in answer.stdout, answer


def test_a_machine_with_an_open_door_runs_no_program(monkeypatch):
    monkeypatch.setitem(proof._ATTEMPTS, "arithmetic", "print('open')")
    with pytest.raises(ValueError, match="does not keep programs from: arithmetic"):
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
