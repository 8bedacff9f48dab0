"""What a library raises becomes found, expected, do. What our own code says passes as it is."""

import errno

import pytest
from pydantic import TypeAdapter

from utils.artifacts.files import read_json
from utils.process.errors import explained, in_words, is_of_the_machine, naming


class OfALibrary(Exception):
    pass


def test_every_error_of_a_library_says_what_was_tried_and_what_to_do():
    errors = (KeyError("a"), RuntimeError("size\n  mismatch"), OfALibrary(), OSError(errno.EIO, "bad"))
    for error in errors:
        said = rf"^model.lora: cannot adapt \({type(error).__name__}.*\): leave it out$"
        with (
            pytest.raises(ValueError, match=said) as caught,
            explained("model.lora: cannot adapt", "leave it out"),
        ):
            raise error
        assert caught.value.__cause__ is error


def test_an_error_of_compiled_code_is_a_librarys():
    said = r"^number \(ValidationError: .*\): give one$"
    with pytest.raises(ValueError, match=said), explained("number", "give one"):
        TypeAdapter(int).validate_python("x")


def test_what_our_own_code_says_passes(tmp_path):
    (tmp_path / "a.json").write_text("{")
    for path, kind in ((tmp_path / "a.json", ValueError), (tmp_path / "b.json", FileNotFoundError)):
        with pytest.raises(kind, match=str(path)) as caught, explained("what", "way out"):
            read_json(path)
        assert "way out" not in str(caught.value)


def test_what_is_no_fault_of_the_library_passes():
    for error in (OSError(errno.ENOSPC, "full"), MemoryError(), KeyboardInterrupt(), SystemExit(1)):
        with pytest.raises(type(error)), explained("what", "way out"):
            raise error
    assert not is_of_the_machine(FileNotFoundError(errno.ENOENT, "gone"))


def test_the_words_of_a_library_are_one_short_line():
    words = in_words(RuntimeError("first\n\n\tsecond \x1b[31m" + "long " * 1000))
    assert words.startswith("RuntimeError: first second")
    assert "\n" not in words and "\x1b" not in words and len(words) < 400
    assert in_words(OfALibrary()) == "OfALibrary"


def test_a_full_disk_is_one_whatever_library_meets_it(tmp_path):
    for error in (OSError(errno.ENOSPC, "No space left"), OfALibrary("No space left (os error 28)")):
        assert is_of_the_machine(error)
        with pytest.raises(OSError, match="No space left") as caught, naming(tmp_path / "file"):
            raise error
        assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "file")
    with pytest.raises(OfALibrary), naming(tmp_path / "file"):
        raise OfALibrary("another fault")
