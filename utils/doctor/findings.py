"""What the doctor looks at, each by itself. Any package may be missing: imports stand where they are used."""

import importlib.metadata
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..process.errors import in_words
from ..terminal import counted, first_of, size

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_PACKAGE = __name__.partition(".")[0]  # utils, or s2l where it is installed
_ABOVE = Path(__file__).resolve().parents[2]  # this project's folder, or where it is installed
_LEAST_DISK = 10**9  # bytes
_LONGEST_SELF_TEST = 180.0  # seconds, on a slow disk: torch alone is gigabytes
_LINES_SHOWN = 12  # of a self-test that failed
_FAISS = ("faiss-cpu", "faiss-gpu")  # both are the module `faiss`
# Those that change what a command does and say nothing of whose machine this is.
_VARIABLES = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "HF_HUB_OFFLINE", "S2L_NO_LOCKS", "FAISS_SIMD_LEVEL")
_SECRETS = re.compile("TOKEN|KEY|SECRET|PASSWORD")
_SHORTEST_SECRET = 8  # characters: `TOKENIZERS_PARALLELISM=false` is none
_EVERYBODYS = {"", "/", "~", "root", "localhost"}  # names and folders that tell nothing


@dataclass(frozen=True)
class Finding:
    """What was found, and whether a person should act on it."""

    text: str
    is_wrong: bool = False


def examined(check: Callable[[], Finding]) -> Finding:
    """A check's finding, or why it failed, without anything private."""
    try:
        finding = check()
    except Exception as error:  # noqa: BLE001 (what is broken raises whatever it likes)
        finding = Finding(in_words(error), is_wrong=True)
    return Finding(_without_private(finding.text), finding.is_wrong)


def versions() -> Finding:
    """Of this project, of Python and of the system."""
    own = _installed("s2l") or "of this folder"
    return Finding(f"s2l {own}, Python {platform.python_version()}, {platform.platform()}")


def packages() -> Finding:
    """Those that are installed beside those that are expected, by the lock file where there is one."""
    origin, expected = _expected_packages()
    differing = [
        f"{requirement.name} {found or 'missing'} (expected {requirement.specifier})"
        for requirement in expected
        if (found := _installed(requirement.name)) is None
        or not requirement.specifier.contains(found, prereleases=True)
    ]
    if not differing:
        return Finding(f"all {len(expected)} as in {origin}")
    text = f"{len(differing)} of {len(expected)} are not as in {origin}: {first_of(differing, 20)}"
    return Finding(text, is_wrong=True)


def devices() -> Finding:
    """Processors, memory and GPUs, as torch sees them."""
    import psutil
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    machine = f"{counted(cores, 'CPU core')}, {size(psutil.virtual_memory().total)} of memory"
    if torch.cuda.is_available():
        gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        shown = ", ".join(f"{gpu.name} ({size(gpu.total_memory)})" for gpu in gpus)
        return Finding(f"{machine}; {counted(len(gpus), 'GPU')}: {shown}; CUDA {torch.version.cuda}")
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if shutil.which("nvidia-smi") and not is_hidden:
        return Finding(
            f"{machine}; nvidia-smi is there, but torch sees no GPU: its driver, or torch's build", True
        )
    return Finding(f"{machine}; no GPU")


def faiss_build() -> Finding:
    """Which faiss this is, and what it computes on."""
    kinds = [f"{name} {found}" for name in _FAISS if (found := _installed(name))]
    if len(kinds) > 1:
        text = f"{' and '.join(kinds)} are one module, and overwrite each other: uninstall both, install one"
        return Finding(text, is_wrong=True)
    from ..selection.methods.kmeans import backend

    built = backend()
    named = kinds[0] if kinds else built["library"]
    return Finding(f"{named}, {built['simd_level']}, {counted(built['gpus'], 'GPU')}")


def disk() -> Finding:
    """What is free where results go."""
    from ..artifacts.paths import results_root

    folder = results_root().absolute()
    existing = next(place for place in (folder, *folder.parents) if place.is_dir())
    free = shutil.disk_usage(existing).free
    where = "S2L_RES_DIR" if os.environ.get("S2L_RES_DIR") else "res/"
    if not os.access(existing, os.W_OK):
        return Finding(f"{where} cannot be written", is_wrong=True)
    return Finding(f"{size(free)} free for {where}", is_wrong=free < _LEAST_DISK)


def hub() -> Finding:
    """Whether the Hugging Face hub answers. A machine without a network is nothing wrong."""
    from ..process.hub import why_no_hub

    reason = why_no_hub()
    return Finding("answers" if reason is None else f"{reason}: what is cached on this machine is used")


def variables() -> Finding:
    """Those of the environment that change what a command does."""
    found = [f"{name}={os.environ[name]}" for name in _VARIABLES if name in os.environ]
    return Finding(", ".join(found) or "none")


def self_test() -> Finding:
    """The pipeline on a tiny model, in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(_ABOVE), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}
        environment |= {"S2L_RES_DIR": str(Path(folder) / "res")}
        command = [sys.executable, "-m", f"{_PACKAGE}.doctor.self_test"]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_LONGEST_SELF_TEST,
            )
        except subprocess.TimeoutExpired:
            return Finding(f"not done after {_LONGEST_SELF_TEST:.0f} s", is_wrong=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-_LINES_SHOWN:]
        return Finding("\n".join([f"ended with {done.returncode}", *last]), is_wrong=True)
    return Finding(done.stdout.strip().splitlines()[-1])


def _installed(name: str) -> str | None:
    """The version of a package, None where it is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _expected_packages() -> "tuple[str, list[Requirement]]":
    """Where they are named, and the packages. Raises: ValueError where nothing names them."""
    from packaging.requirements import Requirement

    has_faiss_gpu = _installed("faiss-gpu") is not None
    lock = _ABOVE / ("requirements-gpu.lock" if has_faiss_gpu else "requirements.lock")
    if lock.is_file():
        lines = lock.read_text(encoding="utf-8").splitlines()
        return lock.name, [Requirement(line) for line in lines if not line.startswith("#")]
    if _installed("s2l") is None:
        raise ValueError(f"found neither {lock.name} nor an installed s2l, expected one of them")
    named = [Requirement(line) for line in importlib.metadata.requires("s2l") or ()]
    needed = [one for one in named if one.marker is None or one.marker.evaluate({"extra": ""})]
    for requirement in needed:
        if has_faiss_gpu and requirement.name == "faiss-cpu":
            requirement.name = "faiss-gpu"
    return "what s2l needs", needed


def _without_private(text: str) -> str:
    """The text without secrets, and without the names of this user, this machine and their folders."""
    words = _private_words()
    for private in sorted(words, key=len, reverse=True):  # a folder before the one that it lies in
        text = re.sub(rf"(?<!\w){re.escape(private)}(?!\w)", words[private], text)
    return text


def _private_words() -> dict[str, str]:
    """What is private -> what is shown in its place."""
    home = os.path.expanduser("~")
    words = {name: "<user>" for name in (os.environ.get("USER"), os.environ.get("LOGNAME")) if name}
    words |= {os.path.basename(home): "<user>", socket.gethostname(): "<machine>"}
    words |= {home: "~", sys.prefix: "<environment>", str(_ABOVE): "<project>"}
    for name, value in os.environ.items():
        if _SECRETS.search(name.upper()) and len(value) >= _SHORTEST_SECRET:
            words[value] = "<secret>"
    return {private: word for private, word in words.items() if private not in _EVERYBODYS}
