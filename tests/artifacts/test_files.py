"""What is written to files is what the libraries would write; folders are whole or not there."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from utils.artifacts.files import publish_folder, scratch_folder, write_json
from utils.artifacts.paths import scratch_root

_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
_KEYS = st.text() | st.integers() | st.booleans() | st.none()
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(_KEYS, inner)
)


@given(_VALUES)
def test_json_is_written_as_the_library_writes_it(value):
    with TemporaryDirectory() as folder:
        path = Path(folder, "value.json")
        write_json(path, value)
        assert path.read_bytes().decode() == json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def test_a_folder_takes_the_place_of_a_link_and_leaves_what_it_led_to(tmp_path):
    for name in ("elsewhere", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "final").symlink_to(tmp_path / "elsewhere")
    publish_folder(tmp_path / "new", tmp_path / "final")
    assert (tmp_path / "final/file").read_text() == "new"
    assert (tmp_path / "elsewhere/file").read_text() == "elsewhere"


def test_scratch_folders_are_apart_also_without_locks(res_dir, monkeypatch):
    """On a fresh res/, in two processes at once, as the ranks of a launch are."""
    monkeypatch.setenv("S2L_NO_LOCKS", "1")
    left = scratch_root() / "of_a_process_that_was_killed"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    with scratch_folder() as one, scratch_folder() as other:
        (one / "file").write_text("kept")
        assert one != other and not list(other.iterdir())
    assert not list(scratch_root().iterdir())
