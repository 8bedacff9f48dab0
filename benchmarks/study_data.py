"""The data of the study (configs/study), from a pool of instructions with sources.

    python benchmarks/study_data.py POOL.jsonl [--output_dir res/study_data]

POOL has rows of source, instruction and output. The folder gets

    pool.jsonl         all rows that are not held out and have no copy among those
    heldout.jsonl      rows to measure the loss on: 60 of each source, fewer of a source of less than 600 rows
    pool_noisy.jsonl   the pool with a fifth of the responses of each source exchanged among themselves
    noisy_rows.npy     the numbers of the rows that have another response than before
    pool_a.jsonl, heldout_a.jsonl, pool_b.jsonl, heldout_b.jsonl
                       every other source, by size: what is found on one half is tried on the other
    pool_aim.jsonl     the pool without 600 rows of one source (--aim_at), and without copies of them
    aim_validation.jsonl, aim_test.jsonl
                       200 of those rows to aim at, and 400 to measure the loss on
    tokenizer/         4,096 entries, trained on the pool

The same file gives the same folder, byte for byte. It is there whole, or as it was before.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.artifacts.files import folder_beside, remove_folder
from utils.artifacts.locks import locked
from utils.config.schema import DataConfig
from utils.data.containers import open_rows
from utils.data.small_tokenizer import train_tokenizer
from utils.terminal import first_of, one_line

_HELD_OUT = 60  # of a source at most, and a tenth of it
_NOISE = 0.2
_VOCABULARY = 4096
_AIM_AT = "data/CoT/aqua_rat.json"
_NUM_VALIDATION = 200
_NUM_TEST = 400
_NOISY_ROWS = "noisy_rows.npy"

Row = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pool", type=Path)
    parser.add_argument("--output_dir", type=Path, default=Path("res/study_data"))
    parser.add_argument("--aim_at", default=_AIM_AT, metavar="SOURCE")
    arguments = parser.parse_args(argv)
    try:
        made = make(arguments.pool, arguments.output_dir.resolve(), arguments.aim_at)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"{arguments.output_dir}: {made}")
    return 0


def make(path: Path, folder: Path, aim_at: str) -> str:
    """Returns: what was made. Raises: OSError, or ValueError for a pool or a folder that do not serve."""
    rows = read_rows(path)
    if sum(row["source"] == aim_at for row in rows) < 2 * (_NUM_VALIDATION + _NUM_TEST):
        raise ValueError(
            f"--aim_at: {aim_at} has too few rows in {path}, "
            f"expected a source of at least {2 * (_NUM_VALIDATION + _NUM_TEST):,}: name another one"
        )
    if path.resolve().is_relative_to(folder):
        raise ValueError(f"--output_dir: {path} lies in {folder}, which is replaced: name another")
    with locked(folder, f"another command is writing {folder}"):
        temporary = folder.with_name(f".{folder.name}.parts")
        remove_folder(temporary)  # of a killed command
        with folder_beside(temporary, folder):
            made = write_files(rows, temporary, aim_at)
            check_replaceable(folder, temporary)
    return made


def read_rows(path: Path) -> list[Row]:
    """Raises: FileNotFoundError, or ValueError for a row without a source, an instruction or an output."""
    rows = list(open_rows(DataConfig(path=str(path))))
    for number, row in enumerate(rows, start=1):
        for column in ("source", "instruction", "output"):
            value = row.get(column)
            if not isinstance(value, str) or not value.strip():
                found = one_line(repr(value), 60)
                raise ValueError(f"{path}: row {number}: {column}: found {found}, expected a text")
    return rows


def check_replaceable(folder: Path, made: Path) -> None:
    """Refuse to replace what this script did not make.

    Args:
        folder: that is to be replaced, if it is there.
        made: what takes its place.

    Raises: ValueError.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output_dir: found a file {folder}, expected a folder: name another")
    there, new = ({path.relative_to(each) for path in each.rglob("*")} for each in (folder, made))
    strange = sorted(map(str, there - new))
    if strange or (there and Path(_NOISY_ROWS) not in there):
        raise ValueError(
            f"--output_dir: found {first_of(strange) if strange else 'a part'} in {folder}, expected a new "
            "folder, or just what this script made before: name another"
        )


def write_files(rows: list[Row], folder: Path, aim_at: str) -> str:
    """Returns: what was made."""
    pool, heldout = split(rows)
    exchanged = exchanged_rows(pool)
    noisy = with_exchanged_responses(pool, exchanged)
    write(folder / "pool.jsonl", pool)
    write(folder / "heldout.jsonl", heldout)
    write(folder / "pool_noisy.jsonl", noisy)
    changed = [row for row in np.sort(np.concatenate(exchanged)) if pool[row] != noisy[row]]
    np.save(folder / _NOISY_ROWS, np.array(changed, np.int64))
    for half, sources in halves(pool).items():
        write(folder / f"pool_{half}.jsonl", [row for row in pool if row["source"] in sources])
        write(folder / f"heldout_{half}.jsonl", [row for row in heldout if row["source"] in sources])
    rest, validation, test = aimed(pool, aim_at)
    write(folder / "pool_aim.jsonl", rest)
    write(folder / "aim_validation.jsonl", validation)
    write(folder / "aim_test.jsonl", test)
    train_tokenizer([text_of(row) for row in pool], folder / "tokenizer", _VOCABULARY)
    return f"{len(pool):,} rows of {len(exchanged)} sources, {len(heldout):,} held out"


def split(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """The pool and the held-out rows, which the pool holds no copy of."""
    is_held_out = np.zeros(len(rows), bool)
    for number, rows_S in enumerate(rows_by_source(rows).values()):
        generator = np.random.Generator(np.random.PCG64([0, number]))
        is_held_out[generator.permutation(rows_S)[: min(_HELD_OUT, len(rows_S) // 10)]] = True
    heldout = [rows[row] for row in np.flatnonzero(is_held_out)]
    copies = {text_of(row) for row in heldout}
    pool = [rows[row] for row in np.flatnonzero(~is_held_out) if text_of(rows[row]) not in copies]
    return pool, heldout


def exchanged_rows(pool: list[Row]) -> list[np.ndarray]:
    """Of each source a fifth of its rows, drawn at random, in the order in which they hand on responses."""
    chosen = []
    for number, rows_S in enumerate(rows_by_source(pool).values()):
        generator = np.random.Generator(np.random.PCG64([1, number]))
        rows = generator.permutation(rows_S)[: round(_NOISE * len(rows_S))]
        chosen.append(rows if len(rows) > 1 else rows[:0])
    return chosen


def with_exchanged_responses(pool: list[Row], noisy_rows: list[np.ndarray]) -> list[Row]:
    """Each of these rows has the response of the next one of its source, the last one that of the first."""
    noisy = list(pool)
    for rows in noisy_rows:
        for row, giver in zip(rows, np.roll(rows, -1), strict=True):
            noisy[row] = {**pool[row], "output": pool[giver]["output"]}
    return noisy


def halves(pool: list[Row]) -> dict[str, set[str]]:
    """Every other source, from the largest to the smallest, so that both halves have large and small ones."""
    of_source = rows_by_source(pool)
    by_size = sorted(of_source, key=lambda source: (-len(of_source[source]), source))
    return {"a": set(by_size[::2]), "b": set(by_size[1::2])}


def aimed(pool: list[Row], source: str) -> tuple[list[Row], list[Row], list[Row]]:
    """The pool without rows that are aimed at and without copies of them, those to aim by, and the test."""
    generator = np.random.Generator(np.random.PCG64([2]))
    drawn = generator.permutation(rows_by_source(pool)[source])[: _NUM_VALIDATION + _NUM_TEST]
    validation = [pool[row] for row in np.sort(drawn[:_NUM_VALIDATION])]
    by_which = {text_of(row) for row in validation}
    test = [pool[row] for row in np.sort(drawn[_NUM_VALIDATION:]) if text_of(pool[row]) not in by_which]
    copies = by_which | {text_of(row) for row in test}
    return [row for row in pool if text_of(row) not in copies], validation, test


def rows_by_source(rows: list[Row]) -> dict[str, np.ndarray]:
    numbers: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        numbers.setdefault(row["source"], []).append(number)
    return {source: np.array(numbers[source]) for source in sorted(numbers)}


def text_of(row: Row) -> str:
    return f"{row['instruction']}\n{row.get('input', '')}\n{row['output']}"


def write(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
