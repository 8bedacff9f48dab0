"""Whatever file is given, reading it ends soon, in a value or in one error."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from utils.reading import check_kind, load_npy, load_npz, parse_json, parse_yaml, read_text, text_start

NPY_VERSION = b"\x93NUMPY\x01\x00"


def npy(header: str, data: bytes = b"") -> bytes:
    """A .npy file with a header of its own."""
    line = header.encode().ljust(117) + b"\n"
    return NPY_VERSION + len(line).to_bytes(2, "little") + line + data


def header(shape: str, kind: str = "<f4") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}"


@pytest.mark.parametrize("read", [check_kind, text_start, read_text, load_npy, load_npz])
def test_only_ordinary_files_are_opened(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name, kind in {"pipe": "a named pipe", "endless": "a device", ".": "a folder"}.items():
        with pytest.raises(ValueError, match=f"found {kind}"):
            read(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read(Path(__file__) / "below_a_file")


def test_a_file_larger_than_memory_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "large.txt"
    path.write_bytes(b"text\n")
    large = 2 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    os.truncate(path, large)  # a file with a hole takes no disk
    with pytest.raises(ValueError, match=f"found {large:,} bytes"):
        read_text(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("1" * 5_000, "a number of thousands of digits"),
        ("{", "not JSON"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_json_that_cannot_be_read_is_one_error(text, words):
    with pytest.raises(ValueError, match=words):
        parse_json(text)


def bomb(levels: int) -> str:
    """Each level names the one before nine times."""
    lines = ["a0: &a0 {x: lol}"]
    for level in range(1, levels):
        names = ", ".join(f"k{place}: *a{level - 1}" for place in range(9))
        lines.append(f"a{level}: &a{level} {{{names}}}")
    return "\n".join(lines)


def merge_bomb(levels: int) -> str:
    lines = ["a0: &a0 {x: lol}"]
    for level in range(1, levels):
        names = ", ".join(9 * [f"*a{level - 1}"])
        lines.append(f"a{level}: &a{level} {{<<: [{names}]}}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(12), "its aliases"),
        (merge_bomb(12), "its aliases"),
        ("a: &a [*a]", "alias of itself"),
        ("a: &a {b: {c: *a}}", "alias of itself"),
        ("[" * 10_000, "nested too deeply"),
        ("\n".join(" " * n + "a:" for n in range(2_000)), "nested too deeply"),
        ("x" * (5 << 20), "found 5,242,880 characters"),
    ],
)
def test_yaml_bombs_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_yaml(text)


def test_honest_aliases_are_read():
    text = "base: &base {lr: 1, steps: [1, 2]}\none: {<<: *base, lr: 2}\nother: *base\n"
    assert parse_yaml(text) == yaml.safe_load(text)
    assert parse_yaml("") is None
    assert parse_yaml(bomb(3)) == yaml.safe_load(bomb(3))


def test_a_yaml_bomb_takes_no_memory():
    program = (
        "import resource\nfrom tests.test_reading import bomb\nfrom utils.reading import parse_yaml\n"
        "limit = 1 << 30\nresource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try:\n    parse_yaml(bomb(30))\nexcept ValueError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 and "its aliases" in done.stdout, done.stderr


NOT_NPY = [
    (b"", "found no readable"),
    (b"text", "found no readable"),
    (npy(header("(-1, 3)"), bytes(12)), "shape"),
    (npy(header("(10000000000,)")), "40,000,000,000 bytes of numbers, found 0"),
    (npy(header("(3,)"), bytes(8)), "12 bytes of numbers, found 8"),
    (npy(header("(3,)"), bytes(16)), "12 bytes of numbers, found 16"),
    (npy(header("(1,)", "|O"), bytes(8)), "Python objects"),
    (npy("{'descr': __import__('os').system('true')}"), "found no readable"),
    (npy("(" * 100), "found no readable"),
]


@pytest.mark.parametrize(("content", "words"), NOT_NPY)
def test_an_array_that_its_file_cannot_hold_is_refused(tmp_path, content, words):
    path = tmp_path / "array.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        load_npy(path)
    inside = tmp_path / "arrays.npz"
    with zipfile.ZipFile(inside, "w") as archive:
        archive.writestr("losses.npy", content)
    with pytest.raises(ValueError, match=words):
        load_npz(inside)


def test_an_archive_under_the_name_of_an_array_is_refused(tmp_path):
    np.savez(tmp_path / "arrays.npz", losses=np.ones(3))
    (tmp_path / "arrays.npz").rename(tmp_path / "array.npy")
    with pytest.raises(ValueError, match="found no readable"):
        load_npy(tmp_path / "array.npy")


def test_an_archive_that_unfolds_into_more_than_memory_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("losses.npy", npy(header("(10000000000000,)")))
    content = path.read_bytes()
    path.write_bytes(content.replace((128).to_bytes(4, "little"), (0xFFFFFFF0).to_bytes(4, "little")))
    with pytest.raises(ValueError, match="found"):
        load_npz(path)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 4)])
def test_every_honest_array_is_read(tmp_path, shape):
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    np.save(tmp_path / "array.npy", array)
    np.savez(tmp_path / "arrays.npz", a=array, b=array.astype(np.int64))
    assert np.array_equal(load_npy(tmp_path / "array.npy"), array)
    arrays = load_npz(tmp_path / "arrays.npz")
    assert sorted(arrays) == ["a", "b"] and np.array_equal(arrays["a"], array)
    np.save(tmp_path / "turned.npy", array.T)  # in Fortran's order
    assert np.array_equal(load_npy(tmp_path / "turned.npy"), array.T)
