"""Close every door around this process, then become the Python that runs one program. Started by `program_sandbox` in a
process of its own; standard library only, and no import of ours, so that it starts at once and holds nothing worth reading.

What the program finds (Linux 5.12 or newer): user, mount, network, process, IPC and host-name namespaces of its own; a file
system of libraries and Python's folders, all read-only, and one small empty folder in memory; no /etc, /home, /proc, /sys,
/dev; no capabilities and no way to gain any; no system call that makes a process, a socket, a namespace, a mount or memory
that the limits do not count; limits on processor time, address space, file size and open files. The parent kills it when
its wall time is over.

    python -I -S -B program_jail.py SETTINGS      (JSON: status, root, folders, python, environment, limits)
"""

import ctypes
import json
import os
import resource
import select
import signal
import sys

NOBODY = 65534
WORK = "/s2l-program"  # a name that no bound folder has

_NAMESPACES = {
    "CLONE_NEWNS": 0x00020000,
    "CLONE_NEWUTS": 0x04000000,
    "CLONE_NEWIPC": 0x08000000,
    "CLONE_NEWUSER": 0x10000000,
    "CLONE_NEWPID": 0x20000000,
    "CLONE_NEWNET": 0x40000000,
}
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_MOVE, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 8192, 16384, 1 << 18
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP = 1, 38, 24
_SCMP_ALLOW, _SCMP_ERRNO, _SCMP_UNKNOWN = 0x7FFF0000, 0x00050000, -1
_EPERM, _ENOSYS, _EINVAL = 1, 38, 22

# Beyond what namespaces and limits stop: sockets of other worlds (vsock reaches a virtual machine's host), memory that the
# address space limit does not count, and doors of the kernel that a sum never needs.
_FORBIDDEN = [
    "clone",
    "fork",
    "vfork",
    "execveat",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_open",
    "pidfd_getfd",
    "kcmp",
    "socket",
    "socketpair",
    "unshare",
    "setns",
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "chroot",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "shmget",
    "semget",
    "msgget",
    "mq_open",
    "memfd_create",
    "memfd_secret",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "fanotify_init",
    "keyctl",
    "add_key",
    "request_key",
    "open_by_handle_at",
    "name_to_handle_at",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "quotactl",
    "syslog",
    "settimeofday",
    "clock_settime",
    "adjtimex",
    "clock_adjtime",
    "sethostname",
    "setdomainname",
    "iopl",
    "ioperm",
    "personality",
    "modify_ldt",
]


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user_namespace")]


_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    settings = json.loads(sys.argv[1])
    status = settings["status"]
    os.set_inheritable(status, False)  # the program must not write its own ending
    seccomp = _load_seccomp(status)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _call("prctl", _PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        user, group = os.getuid(), os.getgid()
        _call("unshare", sum(_NAMESPACES.values()))
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{NOBODY} {user} 1"),
            ("gid_map", f"{NOBODY} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    except OSError as error:
        return _fail(status, "namespaces", error)
    program = os.fork()  # the first process of the new process namespace: when it ends, all in it end
    if program == 0:
        _become_program(settings, seccomp)
    os.write(status, _wait(program, settings["limits"]["wall_seconds"]).encode())
    return 0


def _wait(program: int, seconds: float) -> str:
    """How the program ended: "exit N", "signal N", or "wall" if it had to be stopped."""
    # If this process is told to end, or its parent is gone, the program must not outlive it, whatever it did to its own
    # signals.
    signal.signal(signal.SIGTERM, lambda *_: os.kill(program, signal.SIGKILL))
    descriptor = os.pidfd_open(program)
    ended, _, _ = select.select([descriptor], [], [], seconds)
    if not ended:
        os.kill(program, signal.SIGKILL)
    _, code = os.waitpid(program, 0)
    if not ended:
        return "wall"
    return f"signal {os.WTERMSIG(code)}" if os.WIFSIGNALED(code) else f"exit {os.WEXITSTATUS(code)}"


def _become_program(settings: dict, seccomp: ctypes.CDLL) -> None:
    """In the child: never returns."""
    step = "files"
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        _change_root(settings["root"], settings["folders"])
        step = "limits"
        _set_limits(settings["limits"])
        step = "capabilities"
        _drop_capabilities()
        step = "system calls"
        _forbid_system_calls(seccomp)
        step = "python"
        # -P -s and no environment but ours: what -I does, and the hash seed is heard.
        os.execve(settings["python"], [settings["python"], "-P", "-s", "-B", "-"], settings["environment"])  # noqa: S606
    except BaseException as error:  # noqa: BLE001 (whatever it is, nothing of this process may run on)
        _fail(settings["status"], step, error)
    finally:
        os._exit(1)


def _change_root(root: str, folders: list[str]) -> None:
    """A file system in memory with these folders, all read-only, and an empty folder to work in."""
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,nr_inodes=1k,mode=755")
    for folder in folders:
        place = root + folder
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if os.path.islink(folder):
            os.symlink(os.readlink(folder), place)
            continue
        if os.path.isdir(folder):
            os.makedirs(place, exist_ok=True)
        else:
            os.close(os.open(place, os.O_CREAT, 0o644))
        _mount(folder, place, None, _MS_BIND | _MS_REC)
        _set_attributes(place, _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV, _AT_RECURSIVE)
    work = root + WORK
    os.mkdir(work)
    _mount("tmpfs", work, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "size=1m,nr_inodes=64,mode=700")
    _set_attributes(root, _ATTR_RDONLY, 0)
    os.chdir(root)
    _mount(".", "/", None, _MS_MOVE)
    os.chroot(".")
    os.chdir(WORK)


def _set_limits(limits: dict) -> None:
    for name, value in (
        ("CPU", limits["cpu_seconds"]),
        ("AS", limits["memory_bytes"]),
        ("FSIZE", limits["file_bytes"]),
        ("NPROC", 1),
        ("NOFILE", 64),
        ("CORE", 0),
        ("MEMLOCK", 0),
        ("MSGQUEUE", 0),
        ("SIGPENDING", 64),
    ):
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def _drop_capabilities() -> None:
    """From the bounding set, so that no execve brings one back; the execve of another user than root drops the rest."""
    capability = 0
    while _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    if ctypes.get_errno() != _EINVAL or capability < 30:
        raise OSError(ctypes.get_errno(), f"capability {capability} cannot be dropped")
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _load_seccomp(status: int) -> ctypes.CDLL:
    """libseccomp, which knows each machine's system call numbers."""
    try:
        seccomp = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        sys.exit(_fail(status, "system calls (install libseccomp: apt install libseccomp2)", error))
    seccomp.seccomp_init.restype = ctypes.c_void_p
    seccomp.seccomp_init.argtypes = [ctypes.c_uint32]
    seccomp.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    seccomp.seccomp_load.argtypes = [ctypes.c_void_p]
    return seccomp


def _forbid_system_calls(seccomp: ctypes.CDLL) -> None:
    rules = seccomp.seccomp_init(_SCMP_ALLOW)
    if not rules:
        raise OSError("seccomp_init failed")
    # clone3 as if the kernel had none: C libraries then try clone, which is forbidden.
    for name, code in [*((name, _EPERM) for name in _FORBIDDEN), ("clone3", _ENOSYS)]:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number == _SCMP_UNKNOWN:  # newer than this libseccomp
            continue
        answer = seccomp.seccomp_rule_add(rules, _SCMP_ERRNO | code, number, 0)
        if answer:
            raise OSError(-answer, f"seccomp_rule_add {name}")
    answer = seccomp.seccomp_load(rules)
    if answer:
        raise OSError(-answer, "seccomp_load")


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind)]
    _call("mount", *words, ctypes.c_ulong(flags), None if data is None else data.encode())


def _set_attributes(path: str, attributes: int, flags: int) -> None:
    wanted = _MountAttributes(set=attributes)
    _call("syscall", _SYS_MOUNT_SETATTR, _AT_FDCWD, path.encode(), flags, ctypes.byref(wanted), ctypes.sizeof(wanted))


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _fail(status: int, step: str, error: BaseException) -> int:
    os.write(status, f"error {step}: {error}\n".encode())
    return 1


if __name__ == "__main__":
    sys.exit(main())
