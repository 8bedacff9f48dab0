"""Prove on this machine that a program is shut in: attempts at every door, each of which must fail.

A machine on which any protection fails its test runs no program: `check_sandbox` says which, and what to do.
"""

import functools
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from .run import ENVIRONMENT, Limits, run_program, visible_folders

# Programs that try each door. They print "open" where they get through.
# Whatever else they print does not matter.
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
vsock = getattr(socket, 'AF_VSOCK', 40)
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK, vsock):
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

    Raises:
        ValueError: that names the protections that fail.
    """
    greeting = "".join(f"import {name}\n" for name in _LIBRARIES_OF_PROGRAMS) + "print(6 * 7)"
    works = run_program(greeting)
    if works.output.strip() != "42":
        raise ValueError(
            f"program-of-thought: found a sandbox in which Python does not start ({works.ending}: "
            f"{works.error.strip()[-300:]})\n"
            f"expected Python, numpy and sympy in its folders ({', '.join(visible_folders())})\n"
            "install them there, or set evaluation.program_of_thought to false"
        )
    limits = Limits()
    home = Path.home()
    seen = [Path(folder) for folder in visible_folders() if Path(folder).is_relative_to(home)]
    values = {
        "home": str(home),
        "seen_of_home": {folder.relative_to(home).parts[0] for folder in seen if folder != home},
        "project": __file__,
        "environment": {*ENVIRONMENT, "PWD", "LC_CTYPE"},  # bubblewrap and Python set the last two
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
        outcomes = {
            name: run_program(_filled(attempt, values), limits) for name, attempt in _ATTEMPTS.items()
        }
    failed = [name for name, outcome in outcomes.items() if "open" in outcome.output]
    computing = run_program("while True: pass", replace(limits, cpu_seconds=1, wall_seconds=30.0))
    if computing.ending != "exit 137":  # by SIGKILL, at the limit of processor time
        failed.append("endless computing")
    waiting = run_program("import time; time.sleep(60)", replace(limits, wall_seconds=0.5))
    if waiting.ending != "wall":
        failed.append("endless waiting")
    if failed:
        raise ValueError(
            f"program-of-thought: found that this machine does not keep programs from: {', '.join(failed)}\n"
            "expected all doors closed\n"
            "use another machine, or set evaluation.program_of_thought to false"
        )


def _filled(attempt: str, values: dict[str, object]) -> str:
    # Not str.format: the braces of Python's own sets and dicts stand in these programs.
    for name, value in values.items():
        attempt = attempt.replace(f"{{{name}!r}}", repr(value)).replace(f"{{{name}}}", str(value))
    return attempt
