"""Every bad input of the tables in bad_inputs/ is one clear error, and changes nothing on disk.

All run in this process, beside the results of tiny runs that are made once. A case has seconds and a gigabyte
or two, so that a bomb shows.
"""

import pytest

from .bad_inputs.running import in_place, limits, run, state_of
from .bad_inputs.tables import AREAS

CASES = [
    pytest.param(case, id=f"{area}-{number}")
    for area, cases in AREAS.items()
    for number, case in enumerate(cases, start=1)
]
LONGEST_ERROR = 2000  # characters


@pytest.mark.parametrize("case", CASES)
def test_a_bad_input_is_one_clear_error(case, good, monkeypatch, capsys):
    for name, value in case.environment.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with in_place(case, good):
        before = state_of(good, case.leaves)
        with limits():
            code = run(case)
        after = state_of(good, case.leaves)
    said = capsys.readouterr()
    print(f"$ {case.command}\n{said.err}")  # for who reads what failed
    assert code in (1, 2), "a bad input is refused"
    assert "Traceback" not in said.err
    assert case.words in " ".join(said.err.split())
    assert len(said.err) <= LONGEST_ERROR
    assert all(character.isprintable() or character == "\n" for character in said.out + said.err)
    assert after == before, "nothing on disk has changed"
