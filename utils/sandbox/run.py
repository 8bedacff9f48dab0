"""Run a Python program that a model wrote, shut in by bubblewrap: it computes and prints, no more.

What the program finds:
- namespaces of its own: user, mount, network, process, IPC, host name
- a file system of libraries and Python's folders, and an empty folder to be in, all of it read-only:
  even empty files take memory of the kernel that no limit counts
- no /etc, /home, /proc, /sys, /dev
- no capabilities, and no way to gain any
- no system call that makes a process, a socket, a namespace, a mount, or memory that the limits do not count
- limits on processor time, address space, file size and open files

It is killed when its time is over or we die. If we die within the milliseconds in which bubblewrap starts,
a process of its own can stay and wait, which has run nothing.

Linux only. Needs Debian's packages bubblewrap, libseccomp2 and util-linux (prlimit), and user namespaces.
"""

import ctypes
import errno
import functools
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # numpy's matrix library may start no threads
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",  # sets have the same order in every run
}
_NOBODY = "65534"
_WORK = "/s2l-program"  # a name that no bound folder has
_LIBRARIES = (
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
)

# What namespaces and limits do not stop: sockets to other worlds (vsock reaches a virtual machine's host),
# memory that the limit of address space does not count, and doors of the kernel that a sum never needs.
_FORBIDDEN_CALLS = """
    clone fork vfork execveat ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd kcmp
    socket socketpair
    unshare setns mount umount umount2 pivot_root chroot
    open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr
    shmget semget msgget mq_open memfd_create memfd_secret
    bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register fanotify_init
    io_setup io_submit io_getevents
    keyctl add_key request_key open_by_handle_at name_to_handle_at
    kexec_load kexec_file_load init_module finit_module delete_module reboot
    swapon swapoff acct quotactl syslog
    settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname
    iopl ioperm personality modify_ldt
""".split()  # noqa: SIM905 (a line for each kind)
# From libseccomp's seccomp.h.
_SCMP_ALLOW = 0x7FFF0000
_SCMP_ERRNO = 0x00050000
_SCMP_UNKNOWN = -1


@dataclass(frozen=True)
class Limits:
    """The limits of a program.

    Attributes:
        cpu_seconds: of processor time.
        wall_seconds: from start to end.
        memory_bytes: of address space.
        file_bytes: of what it prints, and of what it prints to standard error.
    """

    cpu_seconds: int = 5
    wall_seconds: float = 10.0
    memory_bytes: int = 1 << 30
    file_bytes: int = 64 << 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended.

    Attributes:
        output: what it printed.
        ending: "exit N" (128 + the signal's number where one ended it), or "wall" (stopped at the end
            of its time).
        error: what it printed to standard error.
    """

    output: str
    ending: str
    error: str

    @property
    def ended_well(self) -> bool:
        return self.ending == "exit 0"


def run_program(source: str, limits: Limits = Limits()) -> Outcome:
    """Run Python source in a process of its own that can reach nothing. Call `proof.check_sandbox` first.

    Raises:
        ValueError: where this machine cannot shut a program in. Nothing has run then.
    """
    command = [*_limit_command(limits), *_bubblewrap_command()]
    with (
        tempfile.TemporaryFile() as program,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as error,
        tempfile.TemporaryFile() as status,
        _forbidden_calls() as filter_file,
    ):
        program.write(source.encode("utf-8", "replace"))
        program.seek(0)
        descriptors = [status.fileno(), filter_file.fileno()]
        # bubblewrap closes both before the program starts.
        options = ["--json-status-fd", str(status.fileno()), "--seccomp", str(filter_file.fileno())]
        python = ["--", sys.executable, "-P", "-s", "-B", "-"]  # like -I, which would ignore PYTHONHASHSEED
        process = subprocess.Popen(
            [*command, *options, *python],
            stdin=program,
            stdout=output,
            stderr=error,
            pass_fds=descriptors,
            cwd="/",
            env={},
            start_new_session=True,
        )
        try:
            process.wait(limits.wall_seconds)
            was_stopped = False
        except subprocess.TimeoutExpired:
            was_stopped = True
        finally:  # after an interrupt too; bubblewrap takes the program with it
            process.kill()
            process.wait()
        exit_code = _exit_code(_text(status))
        if exit_code is None and not was_stopped:
            raise ValueError(
                _cannot_shut_in(_text(error).strip() or f"bwrap ended with {process.returncode}")
            )
        return Outcome(_text(output), "wall" if was_stopped else f"exit {exit_code}", _text(error))


def visible_folders() -> list[str]:
    """The folders that Python needs to start, outermost first, none inside another."""
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    folders = [*_LIBRARIES, sys.base_prefix, sys.prefix, sysconfig.get_path("stdlib"), *packages]
    existing = [folder for folder in folders if os.path.exists(folder)]
    names = {os.path.abspath(folder) for folder in existing}
    names |= {os.path.realpath(folder) for folder in existing}  # Python follows the links of its own folders
    outermost: list[str] = []
    for name in sorted(names, key=len):
        if not any(Path(name).is_relative_to(outer) for outer in outermost):
            outermost.append(name)
    return outermost


def _cannot_shut_in(reason: str) -> str:
    return (
        f"program-of-thought: found a machine that cannot shut programs in ({reason.splitlines()[0]})\n"
        "expected Linux with bubblewrap, libseccomp and user namespaces for this user\n"
        "do: apt install bubblewrap libseccomp2 and allow user namespaces (sysctl "
        "kernel.apparmor_restrict_unprivileged_userns=0, or a container with --security-opt "
        "seccomp=unconfined), or set evaluation.program_of_thought to false"
    )


def _limit_command(limits: Limits) -> list[str]:
    """The command that sets the limits and then runs what follows it."""
    # Not a function between fork and exec, which is unsafe: programs are started from several threads.
    values = {
        "cpu": limits.cpu_seconds,
        "as": limits.memory_bytes,
        "fsize": limits.file_bytes,
        "nofile": 64,
        "core": 0,
        "memlock": 0,
        "msgqueue": 0,
        "sigpending": 64,
    }
    return [_executable("prlimit"), *(f"--{name}={value}" for name, value in values.items())]


@functools.cache
def _bubblewrap_command() -> list[str]:
    words = [_executable("bwrap"), "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    words += ["--uid", _NOBODY, "--gid", _NOBODY, "--hostname", "program", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        words += ["--setenv", name, value]
    for folder in visible_folders():
        words += ["--ro-bind", folder, folder]  # a link's target appears under the link's name
    # The root is a file system in memory that holds the mount points.
    return [*words, "--dir", _WORK, "--remount-ro", "/", "--chdir", _WORK]


def _executable(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ValueError(_cannot_shut_in(f"no {name} on the PATH"))
    return path


@contextmanager
def _forbidden_calls() -> Iterator[IO[bytes]]:
    """A file with the filter of system calls, at its beginning."""
    with tempfile.TemporaryFile() as file:
        file.write(_seccomp_program())
        file.seek(0)
        yield file


@functools.cache
def _seccomp_program() -> bytes:
    """The filter as the kernel reads it, by libseccomp, which knows each machine's system call numbers."""
    try:
        seccomp = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise ValueError(_cannot_shut_in(str(error))) from None
    seccomp.seccomp_init.restype = ctypes.c_void_p
    seccomp.seccomp_init.argtypes = [ctypes.c_uint32]
    seccomp.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    seccomp.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    seccomp.seccomp_release.argtypes = [ctypes.c_void_p]
    rules = seccomp.seccomp_init(_SCMP_ALLOW)
    assert rules, "seccomp_init failed"
    answers = {name: errno.EPERM for name in _FORBIDDEN_CALLS}
    # As if the kernel had none: C libraries then try clone, which is forbidden.
    answers["clone3"] = errno.ENOSYS
    for name, answer in answers.items():
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number != _SCMP_UNKNOWN:  # a call newer than this libseccomp
            added = seccomp.seccomp_rule_add(rules, _SCMP_ERRNO | answer, number, 0)
            assert added == 0, f"seccomp_rule_add {name}: {os.strerror(-added)}"
    with tempfile.TemporaryFile() as file:
        exported = seccomp.seccomp_export_bpf(rules, file.fileno())
        assert exported == 0, f"seccomp_export_bpf: {os.strerror(-exported)}"
        seccomp.seccomp_release(rules)
        file.seek(0)
        return file.read()


def _exit_code(status: str) -> int | None:
    """The program's exit code in bubblewrap's report, a JSON object per line; None if none ran to its end."""
    for line in status.splitlines():
        report = json.loads(line)
        if "exit-code" in report:
            return report["exit-code"]
    return None


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
