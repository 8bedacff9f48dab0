"""Invariants of the quickstart's data: same bytes, right answers, balance, nothing held out in the pool."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import pytest

from utils.data import synthetic
from utils.data.synthetic import SOURCES, Row, Source, apportion, main, make_rows

ROOT = Path(__file__).resolve().parents[2]
NUMBER = r"\d+(?:\.\d+)?"


@pytest.fixture(scope="module")
def pool_and_heldout() -> tuple[list[Row], list[Row]]:
    return make_rows(4000, 400, seed=0)


@pytest.fixture(scope="module")
def rows_of(pool_and_heldout: tuple[list[Row], list[Row]]) -> dict[str, list[Row]]:
    """Rows by source, the rare sources topped up so that all of their templates are met."""
    pool, heldout = pool_and_heldout
    more, _ = make_rows(8000, 0, seed=1)
    return {
        source.name: [row for row in pool + heldout + more if row["source"] == source.name]
        for source in SOURCES
    }


def answer_of(row: Row) -> Fraction:
    return Fraction(row["output"].rsplit("The answer is ", 1)[1])


def numbers_in(text: str) -> list[Fraction]:
    return [Fraction(number) for number in re.findall(NUMBER, text)]


def files_in(directory: Path) -> dict[str, bytes]:
    """The whole tree, the tokenizer included."""
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def rows_in(directory: Path) -> dict[str, bytes]:
    return {name: content for name, content in files_in(directory).items() if name.endswith(".jsonl")}


# Same arguments, same bytes.


def test_same_seed_gives_same_bytes_in_another_process_with_another_hash_seed(tmp_path: Path) -> None:
    files = []
    for hash_seed in ("0", "4242"):
        directory = tmp_path / hash_seed
        command = [
            sys.executable,
            "-m",
            "utils.data.synthetic",
            "--output_dir",
            str(directory),
            "--seed",
            "7",
        ]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        files.append(files_in(directory))
    assert files[0] == files[1]
    assert {"pool.jsonl", "heldout.jsonl", "tokenizer/tokenizer.json"} <= set(files[0])


def test_bytes_are_pinned_across_machines_and_python_versions(tmp_path: Path) -> None:
    assert main(["--output_dir", str(tmp_path)]) == 0
    digests = {name: hashlib.sha256(content).hexdigest()[:16] for name, content in rows_in(tmp_path).items()}
    assert digests == {"pool.jsonl": "f87603e7ccce8f6d", "heldout.jsonl": "958a98e7c84cf3bd"}


def test_another_seed_gives_other_rows(pool_and_heldout: tuple[list[Row], list[Row]]) -> None:
    pool, heldout = pool_and_heldout
    other_pool, other_heldout = make_rows(4000, 400, seed=1)
    assert pool != other_pool
    assert heldout != other_heldout
    assert make_rows(100, 100, seed=-1) != make_rows(100, 100, seed=1)


def test_heldout_rows_do_not_depend_on_the_pool_size(pool_and_heldout: tuple[list[Row], list[Row]]) -> None:
    assert make_rows(100, 400, seed=0)[1] == pool_and_heldout[1]


# Which rows there are.


def test_pool_counts_follow_the_very_different_shares(pool_and_heldout: tuple[list[Row], list[Row]]) -> None:
    counts = Counter(row["source"] for row in pool_and_heldout[0])
    assert sum(source.share for source in SOURCES) == 1000
    assert counts == {source.name: 4 * source.share for source in SOURCES}
    assert max(counts.values()) >= 40 * min(counts.values())


@pytest.mark.parametrize("total", [10, 11, 37, 100, 999, 1000, 4001])
def test_counts_sum_to_the_total_with_at_least_one_each(total: int) -> None:
    shares = [source.share for source in SOURCES]
    counts = apportion(total, shares)
    assert sum(counts) == total
    assert min(counts) >= 1
    assert counts == sorted(counts, reverse=True)


def test_counts_are_largest_remainder_where_no_source_needs_lifting() -> None:
    assert apportion(10, [600, 250, 150]) == [6, 3, 1]
    assert apportion(7, [500, 300, 200]) == [4, 2, 1]
    assert apportion(3, [990, 5, 5]) == [1, 1, 1]


def test_heldout_has_equally_many_rows_of_every_source(pool_and_heldout: tuple[list[Row], list[Row]]) -> None:
    assert Counter(row["source"] for row in pool_and_heldout[1]) == {source.name: 40 for source in SOURCES}
    uneven = make_rows(100, len(SOURCES) * 3 + 4, seed=0)[1]
    assert Counter(row["source"] for row in uneven) == {source.name: 3 for source in SOURCES}
    assert make_rows(100, 0, seed=0)[1] == []


def test_no_instruction_occurs_twice_in_pool_and_heldout_together(
    pool_and_heldout: tuple[list[Row], list[Row]],
) -> None:
    instructions = [row["instruction"] for rows in pool_and_heldout for row in rows]
    assert len(set(instructions)) == len(instructions) == 4400


def test_pool_is_shuffled_across_sources(pool_and_heldout: tuple[list[Row], list[Row]]) -> None:
    first = Counter(row["source"] for row in pool_and_heldout[0][:400])
    assert len(first) >= 8
    assert 120 <= first[SOURCES[0].name] <= 200


# What a row says.


def test_rows_are_short_ascii_text_that_ends_in_the_answer(rows_of: dict[str, list[Row]]) -> None:
    for row in chain.from_iterable(rows_of.values()):
        assert list(row) == ["source", "instruction", "output"]
        *steps, last = row["output"].split("\n")
        assert re.fullmatch(rf"The answer is {NUMBER}", last), row
        assert len(steps) <= 4, row
        assert all(steps), row
        assert len(row["instruction"]) < 220, row
        assert "".join(row.values()).isascii()


def test_response_lengths_differ_much_between_sources(rows_of: dict[str, list[Row]]) -> None:
    lengths = [sum(len(row["output"]) for row in rows) / len(rows) for rows in rows_of.values()]
    assert max(lengths) > 4 * min(lengths)


def value_of(side: str, solved: dict[str, str]) -> Fraction:
    """What a side of a worked step comes to, with its unknowns replaced by their solved values."""
    arithmetic = re.sub(r"(\d*)([a-z])", lambda term: f"{term[1] or 1} * {solved[term[2]]}", side)
    return eval(re.sub(NUMBER, r"Fraction('\g<0>')", arithmetic))


def test_every_worked_step_is_true_and_the_last_one_gives_the_answer(rows_of: dict[str, list[Row]]) -> None:
    for row in chain.from_iterable(rows_of.values()):
        *steps, _ = row["output"].split("\n")
        solved = dict(re.findall(r"^([a-z]) = .* = (\d+)$", row["output"], re.MULTILINE))
        for step in steps:
            sides = step.split(" = ")
            values = {
                value_of(side, solved) for side in sides if solved.keys() >= set(re.findall("[a-z]", side))
            }
            assert len(sides) >= 2, row
            assert len(values) == 1, row
        if steps:
            assert Fraction(steps[-1].rsplit(" = ", 1)[1]) == answer_of(row), row


def solve_story(text: str) -> Fraction:
    a, b = numbers_in(text)
    return a - b if re.search(r"left|stay|remain", text) else a + b


def solve_comparison(text: str) -> Fraction:
    return (max if "larger" in text else min)(numbers_in(text))


def solve_multiplication(text: str) -> Fraction:
    a, b = numbers_in(text)
    return a * b


def solve_sequence(text: str) -> Fraction:
    a, b, c, d = numbers_in(text)
    assert d - 2 * c + b == c - 2 * b + a
    return d + (d - c) + (d - 2 * c + b)


def solve_shopping(text: str) -> Fraction:
    m, p, n, q, note = numbers_in(text)
    return note - m * p - n * q


def solve_rate(text: str) -> Fraction:
    (amount, unit), (time, period), (asked, asked_unit) = (
        (Fraction(number), word) for number, word in re.findall(rf"({NUMBER}) (\w+)", text)
    )
    if asked_unit == unit:
        return asked * time / amount
    assert asked_unit == period
    return asked * amount / time


def solve_percentage(text: str) -> Fraction:
    percent = Fraction(re.findall(rf"({NUMBER})%", text)[0])
    base = Fraction(re.findall(rf"({NUMBER}) dollars", text)[0])
    return base * (1 + (-percent if "% off" in text else percent) / 100)


def linear_form(side: str) -> Counter[str]:
    """The coefficients of a sum like 7x - 4, by unknown, the constant under the empty name."""
    form: Counter[str] = Counter()
    for sign, number, unknown in re.findall(r"([+-]?) ?(\d*)([a-z]?)(?: |$)", side):
        if number or unknown:
            form[unknown] += int(number or 1) * (-1 if sign == "-" else 1)
    return form


def equations_in(text: str) -> list[tuple[Counter[str], Counter[str]]]:
    side = r"\d*[a-z](?: [+-] \d*[a-z]?)?"
    equations = re.findall(rf"(?<!\w)({side}) = ({side}|\d+)(?!\w)", text)
    return [(linear_form(left), linear_form(right)) for left, right in equations]


def solve_equation(text: str) -> Fraction:
    ((left, right),) = equations_in(text)
    (unknown,) = set(left) - {""}
    return Fraction(right[""] - left[""], left[unknown] - right[unknown])


def solve_average(text: str) -> Fraction:
    a, b, c, mean = numbers_in(text)
    return 4 * mean - a - b - c


def solve_system(text: str) -> Fraction:
    (first, weighted), (second, total) = equations_in(text)
    x, y = second
    determinant = first[x] * second[y] - first[y] * second[x]
    (asked,) = set(re.findall(r"(?:is|find|of) ([a-z])\b", text))
    if asked == x:
        return Fraction(weighted[""] * second[y] - first[y] * total[""], determinant)
    return Fraction(first[x] * total[""] - weighted[""] * second[x], determinant)


SOLVERS: dict[str, Callable[[str], Fraction]] = {
    "addition_stories": solve_story,
    "comparisons": solve_comparison,
    "multiplication_stories": solve_multiplication,
    "number_sequences": solve_sequence,
    "shopping_change": solve_shopping,
    "unit_rates": solve_rate,
    "percentages": solve_percentage,
    "linear_equations": solve_equation,
    "missing_averages": solve_average,
    "equation_systems": solve_system,
}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_answers_follow_from_the_instructions(source: Source, rows_of: dict[str, list[Row]]) -> None:
    solve = SOLVERS[source.name.removeprefix("synthetic/")]
    for row in rows_of[source.name]:
        assert solve(row["instruction"]) == answer_of(row), row


# What the command does.


def test_files_hold_the_rows_one_json_object_a_line(tmp_path: Path) -> None:
    arguments = ["--output_dir", str(tmp_path), "--num_examples", "50", "--num_heldout", "20", "--seed", "3"]
    assert main(arguments) == 0
    for name, rows in zip(("pool.jsonl", "heldout.jsonl"), make_rows(50, 20, seed=3), strict=True):
        lines = (tmp_path / name).read_bytes().decode().split("\n")
        assert lines.pop() == ""
        assert [json.loads(line) for line in lines] == rows
    assert len(rows_in(tmp_path)) == 2


def test_files_with_the_same_content_are_left_alone_and_others_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "--output_dir",
        str(tmp_path / "new" / "folder"),
        "--num_examples",
        "50",
        "--num_heldout",
        "20",
    ]
    assert main(arguments) == 0
    pool, heldout = (tmp_path / "new" / "folder" / name for name in ("pool.jsonl", "heldout.jsonl"))
    content = heldout.read_bytes()
    before = pool.stat()
    heldout.write_text("something else\n")
    capsys.readouterr()
    assert main(arguments) == 0
    said = capsys.readouterr().out.splitlines()
    assert "left alone" in said[0]
    assert "written" in said[1]
    assert (pool.stat().st_ino, pool.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert heldout.read_bytes() == content


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failed_write_leaves_the_old_file_and_no_temporary_one(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pool.jsonl").write_text("old\n")

    def fail(*arguments: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk full"):
        main(["--output_dir", str(tmp_path)])
    assert files_in(tmp_path) == {"pool.jsonl": b"old\n"}


@pytest.mark.parametrize(
    ("num_examples", "num_heldout", "message"),
    [
        (len(SOURCES) - 1, 0, "num_examples: found 9, expected 10"),
        (-5, 0, "num_examples: found -5, expected 10"),
        (100, -1, "num_heldout: found -1, expected 0"),
        (100, len(SOURCES) - 1, "num_heldout: found 9, expected 0"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(
    num_examples: int, num_heldout: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=message):
        make_rows(num_examples, num_heldout, seed=0)
    counts = [f"--num_examples={num_examples}", f"--num_heldout={num_heldout}"]
    assert main(["--output_dir", str(tmp_path / "out"), *counts]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_exhausted_source_is_refused_instead_of_repeating_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    coin = Source("synthetic/coin", 1, lambda rng: (str(rng.randrange(2)), "The answer is 1"))
    monkeypatch.setattr(synthetic, "SOURCES", (coin,))
    assert len(make_rows(2, 0, seed=0)[0]) == 2
    with pytest.raises(ValueError, match="synthetic/coin: found only 1 new instructions, expected 2"):
        make_rows(2, 1, seed=0)
