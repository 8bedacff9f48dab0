"""Run programs that a model wrote, behind `program_jail`'s closed doors; and prove on this machine that they are closed.

A machine on which any protection fails its test runs no program: `check_sandbox` says which, and what to do.
"""

import functools
import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

_JAIL = Path(__file__).with_name("program_jail.py")
_LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
# One thread for numpy's matrix library, which may start no others; the same order of sets in every run.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


@dataclass(frozen=True)
class Limits:
    """What a program may use. file_bytes also bounds what it prints, and memory is all it has to fill besides."""

    cpu_seconds: int = 5
    wall_seconds: float = 10.0
    memory_bytes: int = 1 << 30
    file_bytes: int = 64 << 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """Attributes: output: what it printed; ending: "exit N", "signal N" or "wall" (stopped when its time was over); error:
    what it printed to standard error."""

    output: str
    ending: str
    error: str

    @property
    def ended_well(self) -> bool:
        return self.ending == "exit 0"


def run_program(source: str, limits: Limits = Limits()) -> Outcome:
    """Run Python source in a process of its own that can reach nothing. Call `check_sandbox` first.

    Raises: ValueError where this machine cannot shut a program in; nothing has run then.
    """
    with (
        tempfile.TemporaryDirectory(prefix="s2l-program-") as root,
        tempfile.TemporaryFile() as program,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as error,
    ):
        program.write(source.encode("utf-8", "replace"))
        program.seek(0)
        reading, writing = os.pipe()
        settings = {
            "status": writing,
            "root": root,
            "folders": _visible_folders(),
            "python": sys.executable,
            "environment": _ENVIRONMENT,
            "limits": asdict(limits),
        }
        with os.fdopen(reading, "rb") as status:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-B", str(_JAIL), json.dumps(settings)],
                    stdin=program,
                    stdout=output,
                    stderr=error,
                    pass_fds=[writing],
                    cwd="/",
                    env={},
                    start_new_session=True,
                )
            finally:
                os.close(writing)
            try:
                ending = status.read().decode(errors="replace").strip()
            finally:
                process.terminate()  # after an interrupt; the jail takes its program with it
                process.wait()
        if not re.fullmatch(r"exit \d+|signal \d+|wall", ending):
            reason = (ending or _text(error)).splitlines()[0]
            raise ValueError(
                f"program-of-thought: found a machine that cannot shut programs in ({reason}), expected Linux 5.12 or newer "
                "that lets this user make namespaces: allow them (sysctl kernel.apparmor_restrict_unprivileged_userns=0, or "
                "a container with --security-opt seccomp=unconfined), or set evaluation.program_of_thought to false"
            )
        return Outcome(_text(output), ending, _text(error))


def _text(file) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


@functools.cache
def _visible_folders() -> list[str]:
    """What Python needs to start, outermost folders first, none inside another."""
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    folders = [*_LIBRARIES, sys.base_prefix, sys.prefix, sysconfig.get_path("stdlib"), *packages]
    chosen: list[str] = []
    for folder in sorted({os.path.abspath(folder) for folder in folders if os.path.lexists(folder)}, key=len):
        if not any(Path(folder).is_relative_to(outer) for outer in chosen if not os.path.islink(outer)):
            chosen.append(folder)
    return chosen


# Programs that try each door. They print "open" where they get through; what a closed one says does not matter.
_ATTEMPTS: dict[str, str] = {
    "files of this machine": "print(open('/etc/passwd').read() and 'open')",
    "home folders": "import os; print('open' if set(os.listdir({home!r})) - {seen_of_home!r} else 'closed')",
    "temporary files": "print(open({secret!r}).read() and 'open')",
    "this project": "print(open({project!r}).read() and 'open')",
    "other processes": "import os; print(os.listdir('/proc') and 'open')",
    "environment": "import os; print('open' if set(os.environ) - {environment!r} else 'closed')",
    "writing outside": """
import os
for folder in ('/', '/usr', '/usr/lib', '/lib', {prefix!r}, '/tmp', '/dev/shm', '/var/tmp', {temporary!r}):
    try:
        open(os.path.join(folder, 's2l-was-here'), 'w').write('x')
        print('open', folder)
    except OSError:
        pass
""",
    "network": """
import socket
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK, getattr(socket, 'AF_VSOCK', 40)):
    try:
        socket.socket(family, socket.SOCK_STREAM)
        print('open', family)
    except OSError:
        pass
""",
    "open files": """
import os
for number in range(3, 64):
    try:
        os.fstat(number)
        print('open', number)
    except OSError:
        pass
""",
    "processes": "import os; os.fork(); print('open')",
    "commands": "import subprocess; subprocess.run([{python!r}, '-c', 'pass']); print('open')",
    "threads": "import threading; t = threading.Thread(target=print); t.start(); print('open')",
    "memory": "x = bytearray({memory} + 1); print('open')",
    "memory beside the limit": """
import ctypes
libc = ctypes.CDLL(None)
if libc.shmget(0, 1 << 20, 0o1600) != -1 or libc.memfd_create(b'x', 0) != -1:
    print('open')
""",
    "file size": """
import os
try:
    open('big', 'wb', buffering=0).write(bytes({file_bytes}))
    open('big', 'ab', buffering=0).write(b'x')
finally:
    print('open' if os.path.getsize('big') > {file_bytes} else 'closed')
""",
    "disk": """
for number in range(1000):
    open(str(number), 'wb').write(bytes({file_bytes}))
print('open')
""",
    "namespaces": """
import ctypes
libc = ctypes.CDLL(None)
if libc.unshare(0x10000000) == 0 or libc.mount(b'x', b'.', b'tmpfs', 0, None) == 0 or libc.chroot(b'.') == 0:
    print('open')
""",
    "higher limits": """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))
print('open')
""",
}
_LIBRARIES_OF_PROGRAMS = ("math", "numpy", "sympy")


@functools.cache
def check_sandbox() -> None:
    """Prove each protection on this machine, in a few seconds, once per process.

    Raises: ValueError naming the protections that fail.
    """
    greeting = "".join(f"import {name}\n" for name in _LIBRARIES_OF_PROGRAMS) + "print(6 * 7)"
    works = run_program(greeting)
    if works.output.strip() != "42":
        raise ValueError(
            "program-of-thought: found a sandbox in which Python does not start "
            f"({works.ending}: {works.error.strip()[-300:]}), expected 42: its folders ({', '.join(_visible_folders())}) "
            "must hold an interpreter with numpy and sympy; set evaluation.program_of_thought to false to go without"
        )
    limits, home = Limits(), Path.home()
    seen = [Path(folder) for folder in _visible_folders() if Path(folder).is_relative_to(home)]
    values = {
        "home": str(home),
        "seen_of_home": {folder.relative_to(home).parts[0] for folder in seen if folder != home},
        "project": str(_JAIL),
        "environment": {*_ENVIRONMENT, "LC_CTYPE"},  # Python sets the last itself
        "prefix": sys.prefix,
        "temporary": tempfile.gettempdir(),
        "python": sys.executable,
        "memory": limits.memory_bytes,
        "file_bytes": limits.file_bytes,
    }
    with tempfile.NamedTemporaryFile("w", prefix="s2l-secret-") as secret:
        secret.write("secret")
        secret.flush()
        values["secret"] = secret.name
        outcomes = {name: run_program(_filled(attempt, values), limits) for name, attempt in _ATTEMPTS.items()}
    failed = [name for name, outcome in outcomes.items() if "open" in outcome.output]
    if run_program("while True: pass", replace(limits, cpu_seconds=1, wall_seconds=30.0)).ending != "signal 9":
        failed.append("endless computing")
    if run_program("import time; time.sleep(60)", replace(limits, wall_seconds=0.5)).ending != "wall":
        failed.append("endless waiting")
    if failed:
        raise ValueError(
            f"program-of-thought: found that this machine does not keep programs from: {', '.join(failed)}; expected all "
            "doors closed before a model's program runs: use another machine, or set evaluation.program_of_thought to false"
        )


def _filled(attempt: str, values: dict[str, object]) -> str:
    for name, value in values.items():
        attempt = attempt.replace(f"{{{name}!r}}", repr(value)).replace(f"{{{name}}}", str(value))
    return attempt
