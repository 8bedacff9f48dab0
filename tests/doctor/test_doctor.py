"""The doctor finds what is wrong, and its report holds nothing private."""

import importlib.metadata
import os
import shutil
from collections import namedtuple

import pytest

from tests.conftest import run_script
from utils.doctor import findings
from utils.doctor.findings import Finding, examined

SECRET = "hf_abcdefghijklmnop"


def test_a_fault_of_the_pipeline_is_found_and_the_report_holds_nothing_private(tmp_path):
    home = tmp_path / "alice"
    home.mkdir()
    private: dict[str, str] = {
        "HOME": str(home),
        "USER": "alice",
        "HF_TOKEN": SECRET,
        "CUDA_VISIBLE_DEVICES": "",
    }
    # What a job script left behind: the pipeline cannot start.
    answer = run_script("-m", "utils.doctor", check=False, torchrun=0, WORLD_SIZE="two alice", **private)
    report = answer.stdout
    assert answer.returncode == 1 and report.splitlines()[-1] == "wrong: self-test", report + answer.stderr
    assert "the environment variable WORLD_SIZE: found 'two <user>'" in " ".join(report.split())
    labels = ("packages", "devices", "faiss", "disk", "hub", "variables")
    assert all(any(line.startswith(label) for line in report.splitlines()) for label in labels)
    assert (
        "is not asked (HF_HUB_OFFLINE is set)" in report
        and "all " in report
        and "requirements.lock" in report
    )
    assert "alice" not in report and SECRET not in report and str(home) not in report


def test_packages_are_compared_with_the_lock_file(tmp_path, monkeypatch):
    numpy = importlib.metadata.version("numpy")
    faiss = next(name for name in ("faiss-gpu", "faiss-cpu") if findings._installed(name))
    name = "requirements-gpu.lock" if faiss == "faiss-gpu" else "requirements.lock"
    monkeypatch.setattr(findings, "_ABOVE", tmp_path)
    lock = tmp_path / name
    lock.write_text(f"# pinned\nnumpy=={numpy}\n")
    assert findings.packages() == Finding(f"all 1 as in {name}")
    lock.write_text(f"# pinned\nnumpy=={numpy}\nPyYAML==0.1\nno-such-package==1.0\n")
    found = findings.packages()
    assert found.is_wrong and found.text.startswith(f"2 of 3 are not as in {name}: PyYAML ")
    assert found.text.endswith("(expected ==0.1), no-such-package missing (expected ==1.0)")


def test_two_packages_of_one_module_are_wrong(monkeypatch):
    monkeypatch.setattr(findings, "_installed", lambda name: "1.15.1")
    found = findings.faiss_build()
    assert found.is_wrong and "faiss-cpu 1.15.1 and faiss-gpu 1.15.1 are one module" in found.text


@pytest.mark.parametrize(("free", "is_wrong"), [(5 * 10**8, True), (10**10, False)])
def test_a_full_disk_is_wrong(monkeypatch, res_dir, free, is_wrong):
    usage = namedtuple("usage", "total used free")(10**12, 0, free)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert findings.disk().is_wrong == is_wrong


def test_a_check_that_fails_is_a_finding_without_private_words(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    monkeypatch.setenv("USER", "alice")

    def check() -> Finding:
        raise RuntimeError(f"{os.path.expanduser('~')}/x of alice: {SECRET}")

    found = examined(check)
    assert (
        found.is_wrong and "of <user>: <secret>" in found.text and os.path.expanduser("~/") not in found.text
    )
