"""What is written to files is what the libraries would write."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from utils.artifacts.files import write_json

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
