"""A script ends on Ctrl-C and SIGTERM wherever it is, and with the process that started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT, processes_with
from utils.process import lifetime

# A library that takes any failure within it for a missing part, as faiss does and others do.
LIBRARY = "import time; print('ready', flush=True); time.sleep(60)"
SCRIPTS = {
    "in the midst of an import": """
try:
    import slow
except BaseException:
    print("lost", flush=True)
""",
    "in a library that takes it for a failure": """
try:
    print("ready", flush=True)
    time.sleep(60)
except BaseException:
    time.sleep(60)
""",
    "in a destructor": """
class Slow:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(60)

slow = Slow()
del slow
time.sleep(60)
""",
    "in our own code": """
print("ready", flush=True)
time.sleep(60)
""",
    "at the end of Python": "pass",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_no_interrupt_is_lost(script, number, tmp_path):
    (tmp_path / "slow.py").write_text(LIBRARY)
    program = f"""
import atexit, time
from utils.config.command_line import run_command
from utils.process import lifetime

lifetime._SECONDS_TO_END = 0.5
lifetime.end_on_signals()
atexit.register(lambda: (print("ready", flush=True), time.sleep(60)) if {script == "pass"} else None)

def work():
    {script.strip().replace(chr(10), chr(10) + "    ")}
    return 0

raise SystemExit(run_command(work))
"""
    path = os.pathsep.join([str(PROJECT), str(tmp_path)])
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    output, errors = process.communicate(timeout=10)
    assert process.returncode == 130, errors
    assert output == "" and errors.count("interrupted") == 1 and "Traceback" not in errors


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_what_is_tied_to_a_process_ends_with_it_and_is_it(tmp_path):
    """Its process id is that of the program itself, so that a signal to it reaches the program."""
    child = tmp_path / "child.py"
    child.write_text("import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    program = f"""
import subprocess
from utils.process.lifetime import tied_to_this_process

process = subprocess.Popen(tied_to_this_process([{str(child)!r}]))
print(process.pid, flush=True)
process.wait()
"""
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == parent.stdout.readline(), "the process that was started is the child"
    assert processes_with(child)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while processes_with(child):
        assert time.monotonic() < deadline, "an orphan goes on"
        time.sleep(0.01)


def test_every_script_minds_signals_before_it_imports_what_takes_seconds():
    for script in sorted(Path(PROJECT).glob("*.py")):
        first = script.read_text().partition("def main(argv: list[str] | None = None) -> int:\n")[2]
        assert first.split() and first.split("\n")[2].strip() == "end_on_signals()", script


@pytest.mark.parametrize(
    ("environment", "is_one"),
    [
        ({}, False),
        ({"RANK": "0", "WORLD_SIZE": "1"}, False),  # of the machine, as some clusters set them
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, True),
        ({"RANK": "1", "WORLD_SIZE": "2"}, True),
    ],
)
def test_a_worker_is_what_a_launcher_started(monkeypatch, environment, is_one):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert lifetime.is_worker() == is_one
