"""The names of devices: what a figure was measured on, and whose pace can be compared."""

import platform

import pytest
import torch

from utils.modeling import devices

X86 = "processor\t: 0\nmodel name\t: Some CPU: model 7\n\nprocessor\t: 1\nmodel name\t: Another\n"
UNNAMED = "processor\t: 0\nmodel name\t: \n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\n"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("told", "name"), [(X86, "Some CPU: model 7"), (ARM, "arm"), (UNNAMED, "arm"), (None, "arm")]
)
def test_a_cpu_goes_by_its_model_and_threads(monkeypatch, tmp_path, told, name):
    if told is not None:
        (tmp_path / "cpuinfo").write_text(told)
    monkeypatch.setattr(devices, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    assert devices.device_name(torch.device("cpu")) == f"cpu ({name}), 1 thread"


def test_a_cpu_without_a_name_goes_by_its_kind(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "processor", str)
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert devices.device_name(torch.device("cpu")) == "cpu (riscv64), 1 thread"
