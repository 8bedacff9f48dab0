"""What a program may try against the machine it runs on: attempts at every door, by kind.

An attempt gets through if it runs to its end. Where the door is closed, it raises an error or dies.
Written so that it harms nothing where it gets through: signal 0 reaches a process and does nothing.
"""

# What the attempts have in common.
PRELUDE = """
import ctypes, errno, mmap, os, resource, signal, socket, stat, subprocess, sys, threading

_libc = ctypes.CDLL(None, use_errno=True)
_seccomp = ctypes.CDLL('libseccomp.so.2')
_libc.mmap.restype = ctypes.c_void_p


def call(name, *arguments):
    # A system call by its name: libseccomp knows each machine's numbers. It went through if the kernel
    # found fault with anything but the caller's rights.
    number = _seccomp.seccomp_syscall_resolve_name(name.encode())
    if number < 0:
        raise OSError('this machine has no such call')
    words = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = _libc.syscall(ctypes.c_long(number), *words)
    if result == -1 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
        raise PermissionError(name)


def write_into(*folders):
    # Raises the last refusal if none of the folders takes a file.
    refusal = None
    for folder in folders:
        try:
            open(os.path.join(folder, 's2l-was-here'), 'w').write('x')
            return
        except OSError as error:
            refusal = error
    raise refusal


def gets(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        return False
    return True


families_and_kinds = [(family, kind) for family in range(1, 46) for kind in (1, 2, 3, 5)]
others = [number for number in range(2, 40_000) if number not in (os.getpid(), os.getpgrp())]


def machine_code(code):
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
"""

# Names such as `home` and `project` are given by `proof`.
ATTEMPTS: dict[str, dict[str, str]] = {
    "files": {
        "the users of this machine": "open('/etc/passwd').read()",
        "its passwords": "open('/etc/shadow').read()",
        "its settings": "open('/etc/hostname').read()",
        "home folders": "assert set(os.listdir(home)) - seen_of_home",
        "this project": "open(project).read()",
        "temporary files": "os.listdir(temporary)",
        "the way up": "open('../' * 20 + 'etc/passwd').read()",
        "a link to a file": "os.symlink('/etc/passwd', 'link'); open('link').read()",
        "other processes": "os.listdir('/proc')",
        "its own process's folder": "open('/proc/self/environ').read()",
        "the root of another process": "os.listdir('/proc/1/root')",
        "the kernel's settings": "os.listdir('/sys')",
        "devices": "os.listdir('/dev')",
        "the machine's memory": "open('/dev/mem', 'rb').read(1)",
        "a device of its own": "os.mknod('disk', stat.S_IFBLK | 0o600, os.makedev(8, 0)); open('disk', 'rb')",
        "running services": "os.listdir('/run')",
        "logs": "os.listdir('/var')",
        "the environment": "assert set(os.environ) - environment",
        "a file by its handle": "call('open_by_handle_at', -1, None, 0)",
        "the handle of a file": "call('name_to_handle_at', -1, None, None, None, 0)",
    },
    "writing": {
        "the root folder": "write_into('/')",
        "libraries": "write_into('/usr', '/usr/lib', '/lib')",
        "Python's own folder": "write_into(prefix, os.path.dirname(os.__file__))",
        "temporary folders": "write_into('/tmp', '/var/tmp', temporary)",
        "shared memory": "write_into('/dev/shm')",
        "the home folder": "write_into(home)",
        "the rights of a library": "os.chmod(os.__file__, 0o777)",
        "the time of a library": "os.utime(os.__file__)",
        "the name of a library": "os.rename(os.__file__, os.__file__ + 'x')",
        "a library's end": "os.remove(os.__file__)",
        "a pipe beside a library": "os.mkfifo(os.path.join(prefix, 's2l-was-here'))",
        "attributes of a library": "os.setxattr(os.__file__, 'user.x', b'x')",
    },
    "network": {
        "IPv4": "socket.socket(socket.AF_INET)",
        "IPv4 datagrams": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "IPv6": "socket.socket(socket.AF_INET6)",
        "raw packets": "socket.socket(17, socket.SOCK_RAW)",
        "sockets of this machine": "socket.socket(socket.AF_UNIX)",
        "pairs of sockets": "socket.socketpair()",
        "the kernel's own sockets": "socket.socket(16, socket.SOCK_RAW)",
        "the host of a virtual machine": "socket.socket(40)",
        "the kernel's ciphers": "socket.socket(38, socket.SOCK_SEQPACKET)",
        "keys of IPsec": "socket.socket(15, socket.SOCK_RAW, 2)",
        "Bluetooth": "socket.socket(31, socket.SOCK_RAW, 1)",
        "CAN": "socket.socket(29, socket.SOCK_RAW, 1)",
        "express data paths": "socket.socket(44, socket.SOCK_RAW)",
        "any family of any kind": "assert any(gets(socket.socket, *way) for way in families_and_kinds)",
        "a socket by hand": "call('socket', 2, 1, 0)",
    },
    "processes": {
        "fork": "os.fork() or os._exit(0)",
        "fork by hand": "call('fork')",
        "clone by hand": "call('clone', 17, 0, 0, 0, 0)",
        "clone3 by hand": "call('clone3', None, 0)",
        "commands": "subprocess.run([python, '-c', 'pass'])",
        "posix_spawn": "os.posix_spawn(python, [python, '-c', 'pass'], {})",
        "threads": "thread = threading.Thread(target=print); thread.start(); thread.join()",
        "a program without a name": "call('execveat', -1, None, None, None, 0)",
        "tracing": "call('ptrace', 0, 0, 0, 0)",
        "reading another's memory": "call('process_vm_readv', 1, None, 0, None, 0, 0)",
        "writing another's memory": "call('process_vm_writev', 1, None, 0, None, 0, 0)",
        "a handle of a process": "call('pidfd_open', os.getpid(), 0)",
        "another's open files": "call('pidfd_getfd', -1, 0, 0)",
        "comparing processes": "call('kcmp', 1, 1, 0, 0, 0)",
    },
    "signals": {
        "any other process": "os.kill(-1, 0)",
        "a process of any number": "assert any(gets(os.kill, other, 0) for other in others)",
        "a group of any number": "assert any(gets(os.killpg, other, 0) for other in others)",
    },
    "descriptors": {
        "open files": "assert any(gets(os.fstat, number) for number in range(3, 64))",
        "copies of open files": "assert any(gets(os.dup, number) for number in range(3, 64))",
        "writing to open files": "assert any(gets(os.write, number, b'x') for number in range(3, 64))",
    },
    "memory": {
        "more than its share": "bytearray(memory + 1)",
        "more than its share by mapping": "mmap.mmap(-1, memory)",
        "shared memory of System V": "call('shmget', 0, 4096, 0o1600)",
        "files in memory": "call('memfd_create', ctypes.c_char_p(b'x'), 0)",
        "secret memory": "call('memfd_secret', 0)",
        "queues": "call('msgget', 0, 0o1600)",
        "semaphores": "call('semget', 0, 1, 0o1600)",
        "POSIX queues": "call('mq_open', None, 0, 0, None)",
        "memory that never leaves": "assert not _libc.mlockall(3)",
        "contexts of asynchronous files": "call('io_setup', 0, None)",
    },
    "disk": {
        "an empty file": "open('empty', 'w')",
        "a folder": "os.mkdir('folder')",
        "a file without a name": "os.open('.', os.O_TMPFILE | os.O_RDWR)",
        "a large file": "open('big', 'wb', 0).write(bytes(file_bytes)); os.truncate('big', file_bytes + 1)",
        "a file with a hole": "os.truncate(os.open('hole', os.O_CREAT | os.O_RDWR), 1 << 40)",
        "a reserved file": "os.posix_fallocate(os.open('kept', os.O_CREAT | os.O_RDWR), 0, 1 << 40)",
        "more than its share of output": "os.truncate(1, file_bytes + 1)",
    },
    "namespaces": {
        "a new one for users": "call('unshare', 0x10000000)",
        "a new one for mounts": "call('unshare', 0x20000)",
        "a new one for networks": "call('unshare', 0x40000000)",
        "a new one for processes": "call('unshare', 0x20000000)",
        "another's namespace": "call('setns', -1, 0)",
        "mount": "call('mount', None, None, None, 0, None)",
        "umount": "call('umount2', None, 0)",
        "another root": "call('pivot_root', None, None)",
        "a root below": "call('chroot', None)",
        "a tree of mounts": "call('open_tree', -1, None, 0)",
        "a moved mount": "call('move_mount', -1, None, -1, None, 0)",
        "a file system": "call('fsopen', None, 0)",
    },
    "kernel": {
        "io_uring": "call('io_uring_setup', 1, None)",
        "entering io_uring": "call('io_uring_enter', -1, 0, 0, 0, None, 0)",
        "bpf": "call('bpf', -1, None, 0)",
        "perf": "call('perf_event_open', None, 0, -1, -1, 0)",
        "page faults": "call('userfaultfd', 0)",
        "watching all files": "call('fanotify_init', 0, 0)",
        "keys": "call('keyctl', 0, 0, 0, 0, 0)",
        "a new key": "call('add_key', None, None, None, 0, 0)",
        "another's key": "call('request_key', None, None, None, 0)",
        "modules": "call('finit_module', -1, None, 0)",
        "a module's end": "call('delete_module', None, 0)",
        "another kernel": "call('kexec_file_load', -1, -1, 0, None, 0)",
        "restarting": "call('reboot', 0, 0, 0, None)",
        "swapping": "call('swapon', None, 0)",
        "the kernel's log": "call('syslog', 10, None, 0)",
        "the clock": "call('settimeofday', None, None)",
        "the clock's speed": "call('adjtimex', None)",
        "the machine's name": "call('sethostname', None, -1)",
        "another personality": "call('personality', 0xffffffff)",
        "ports": "call('iopl', 0)",
        "the kernel's 32-bit side": "machine_code(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')()",
        "the kernel's x32 side": "assert _libc.syscall(ctypes.c_long(0x40000000 + 39)) > 0",
    },
    "rights": {
        "more processor time": "resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))",
        "more memory": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        "larger files": "resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))",
        "more open files": "resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))",
        "another user": "os.setuid(0)",
        "another group": "os.setgid(0)",
        "a higher priority": "os.setpriority(os.PRIO_PROCESS, 0, -5)",
        "rights of a program with the bit set": "assert not _libc.prctl(39, 0, 0, 0, 0)",
    },
}
