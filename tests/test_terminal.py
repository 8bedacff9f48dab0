"""Text for people: no line ends inside a path or between a number and its unit, no name breaks a table."""

from hypothesis import given
from hypothesis import strategies as st

from utils.terminal import (
    WIDTH,
    columns,
    counted,
    first_of,
    labelled,
    one_line,
    table,
    unbroken,
    visible,
    wrapped,
)

WORDS = st.lists(st.text(st.characters(categories=["L", "P"]), min_size=1, max_size=20), max_size=40)


@given(words=WORDS, number=st.integers(0, 10**7), length=st.integers(1, 200))
def test_no_line_ends_inside_a_path_or_between_a_number_and_its_unit(words, number, length):
    """Whatever the length of the path before it."""
    path = "/tmp/with a blank/" + "x" * length
    unit = f"{number:,} rows"
    lines = wrapped(" ".join([*words, f"{unbroken(path)}: {unit}, 25.0 % of them"]))
    assert any(path in line for line in lines)
    assert any(unit in line for line in lines)
    assert any("25.0 %" in line for line in lines)
    assert all(len(line) <= WIDTH or path in line for line in lines)
    assert " ".join(" ".join(lines).split()) == " ".join([*words, f"{path}: {unit}, 25.0 % of them"])


@given(
    rows=st.lists(
        st.tuples(st.text(max_size=60), st.integers(-(10**9), 10**9), st.text(max_size=8)), max_size=8
    ),
    widest=st.integers(1, 60),
)
def test_each_column_of_a_table_begins_and_ends_where_its_heading_does(rows, widest):
    lines = table(
        ["name", "number", "note"],
        [(name, f"{number:,}", note) for name, number, note in rows],
        align="<><",
        widest_name=max(widest, 4),
    )
    end = columns(lines[0][: lines[0].index("number") + len("number")])
    assert len(lines) == 1 + len(rows) + sum(columns(visible(name)) > max(widest, 4) for name, *_ in rows)
    shown = iter(lines[1:])
    for name, number, note in rows:
        line = next(shown)
        if columns(visible(name)) > max(widest, 4):
            assert line == visible(name).rstrip()
            line = next(shown)
        before = line[: len(line) - len(visible(note).rstrip())].rstrip() if visible(note).strip() else line
        assert before.endswith(f"{number:,}") and columns(before) == end
        assert line.isprintable()


def test_a_short_row_is_filled_and_a_long_name_alone_is_one_line():
    assert table(["", "a", "b"], [("x", "1", "2"), (), ("y", "3"), ("a long name",)], widest_name=3) == [
        "   a  b",
        "x  1  2",
        "",
        "y  3",
        "a long name",
    ]


def test_a_label_stands_beside_the_first_line_of_its_text():
    assert labelled("pool", "/a/b: 140 rows") == ["  pool        /a/b: 140 rows"]
    assert labelled("row", "one\n\ttwo\n\nfour\nfive", max_lines=3) == [
        "  row         one",
        r"              \ttwo",
        "",
        "              ... 2 more lines",
    ]


def test_lists_counts_and_cuts():
    assert (first_of(range(3)), first_of(range(11)), first_of([])) == (
        "0, 1, 2",
        "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...",
        "",
    )
    assert (counted(1, "problem"), counted(2000, "entry", "entries")) == ("1 problem", "2,000 entries")
    assert one_line("a\nb  c\x1b", 20) == r"a b c\x1b" and one_line("x" * 30, 10) == "xxxxxxx..."
    assert columns("日本") == 4 and columns("e\u0301") == 1
