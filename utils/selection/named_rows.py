"""The rows that settings name one by one, in or out of a subset, and rows that repeat a response.

Legend: n candidates.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts.subsets import CONTAMINATION
from ..config.names import TrajectoryKind
from ..config.schema import SubsetConfig
from ..data.pool import Pool
from ..data.rows import Rows
from ..reading import check_kind, load_npy, read_text
from ..terminal import counted, one_line
from .candidates import Candidates
from .contamination import find_contamination
from .unscorable import row_numbers_text
from .validation import rows_of_validation

_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False, "": False}
_LONGEST_NUMBER = 18  # digits of a row number that fits into 64 bits


@dataclass(frozen=True)
class ListedRows:
    """The rows that the settings name one by one.

    Attributes:
        included: int64, ascending row numbers that must be in.
        barred: int64, ascending row numbers that must be out.
        remarks: for the user.
        reports: name -> JSON file to lie beside the subset.
        counts: setting -> rows that it names.
        dropped: kind -> those of `barred` that are out for being of it.
        of_validation: those of `barred` that are validation rows.
    """

    included: np.ndarray
    barred: np.ndarray
    remarks: list[str] = field(default_factory=list)
    reports: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    dropped: dict[TrajectoryKind, np.ndarray] = field(default_factory=dict)
    of_validation: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


def list_rows(
    subset: SubsetConfig,
    pool: Rows,
    validation: Pool | None,
    kept: np.ndarray | None,
    rows_of_kind: Mapping[TrajectoryKind, np.ndarray],
) -> ListedRows:
    """The rows that the settings name one by one.

    Args:
        validation: rows of `data.validation`. They must be out.
        kept: rows of a subset that is extended. They must be in too, and are not dropped for their kind.
        rows_of_kind: ascending, of each kind of `subset.drop`.

    Raises: FileNotFoundError, or ValueError for files that are not row numbers or two settings in conflict.
    """
    included = read_rows(subset.include, "include", pool)
    counts = {"include": len(included)}
    if kept is not None:
        included = np.union1d(included, kept)
    barred = read_rows(subset.exclude, "exclude", pool)
    counts["exclude"] = len(barred)
    in_name = "subset.include" if kept is None else "subset.include or subset.extend"
    _refuse_both(in_name, included, "subset.exclude", barred)
    remarks: list[str] = []
    dropped: dict[TrajectoryKind, np.ndarray] = {}
    for kind, rows in rows_of_kind.items():
        dropped[kind] = rows if kept is None else np.setdiff1d(rows, kept)
        _refuse_both("subset.include", included, f"subset.drop ({kind})", dropped[kind])
        barred = np.union1d(barred, dropped[kind])
        remarks.append(f"{counted(len(dropped[kind]), 'row')} {kind}: not selectable (subset.drop)")
    if dropped:
        counts["drop"] = len(np.unique(np.concatenate(list(dropped.values()))))
    reports: dict[str, Any] = {}
    of_validation = np.empty(0, np.int64)
    if validation is not None:
        of_validation = rows_of_validation(pool, validation)
        _refuse_both(in_name, included, "data.validation", of_validation)
        barred = np.union1d(barred, of_validation)
        if len(of_validation):
            found = counted(len(of_validation), "row")
            remarks.append(f"{found} of data.validation in the pool: not selectable")
    if subset.decontaminate:
        check_texts(pool, "decontaminate")
        hits = find_contamination(pool, subset.decontaminate)
        contaminated = np.array([hit["row"] for hit in hits], np.int64)
        _refuse_both(in_name, included, "subset.decontaminate", contaminated)
        barred = np.union1d(barred, contaminated)
        reports[CONTAMINATION] = hits
        rows = f"are not selectable: {row_numbers_text(contaminated)}" if hits else "would not be selectable"
        remarks.append(f"{len(hits):,} rows contain benchmark questions and {rows}")
    return ListedRows(included, barred, remarks, reports, counts, dropped, of_validation)


def without_duplicates(candidates: Candidates, pool: Rows) -> Candidates:
    """The candidates without those whose response an earlier one has too.

    Rows that must be in count as earlier than all.

    Raises: ValueError if two rows that must be in have the same response.
    """
    check_texts(pool, "deduplicate")
    must = set(candidates.included.tolist())
    position_of = {}
    kept = np.ones(len(candidates.rows), bool)
    is_included_n = np.isin(candidates.rows, candidates.included)
    for position in [*np.flatnonzero(is_included_n).tolist(), *np.flatnonzero(~is_included_n).tolist()]:
        row = int(candidates.rows[position])
        first = position_of.setdefault(hashlib.sha256(pool[row].response.encode()).digest(), position)
        if first != position and row in must:
            raise ValueError(
                "subset.deduplicate and subset.include (or subset.extend) are in conflict: "
                f"rows {candidates.rows[first]} and {row} must both be in and have the same response: "
                "take one out"
            )
        kept[position] = first == position
    return candidates.only(np.flatnonzero(kept))


def read_rows(setting: str | None, key: str, pool: Rows) -> np.ndarray:
    """int64, ascending: row numbers from a file, or the rows where a column is true."""
    if setting is None:
        return np.empty(0, np.int64)
    if not setting.endswith((".npy", ".txt")):
        check_texts(pool, key)
        return np.array(list(_rows_of_column(setting, key, pool)), np.int64)
    path = Path(setting)
    check_kind(path, f"subset.{key}")
    if setting.endswith(".npy"):
        rows = load_npy(path)
    else:
        words = read_text(path).split()
        wrong = [word for word in words if not word.isdecimal() or len(word) > _LONGEST_NUMBER]
        if wrong:
            found = one_line(repr(wrong[0]), 60)
            raise ValueError(
                f"subset.{key}: {path}: found {found}, expected row numbers (from 0), one on each line"
            )
        rows = np.array(list(map(int, words)), np.int64)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(
            f"subset.{key}: {path}: found {rows.dtype} {rows.shape}, expected row numbers: integers (n,)"
            + (", as numpy.flatnonzero gives them of such a mask" if rows.dtype == bool else "")
        )
    if len(rows) == len(pool) > 2 and set(np.unique(rows)) == {0, 1}:
        raise ValueError(
            f"subset.{key}: {path}: found a mask ({len(rows):,} numbers for {len(pool):,} rows, all 0 or 1), "
            "expected row numbers, as numpy.flatnonzero gives them of a mask"
        )
    outside = rows[(rows < 0) | (rows >= len(pool))]
    if len(outside):
        raise ValueError(
            f"subset.{key}: {path}: found row {outside[0]}, expected row numbers from 0 to {len(pool) - 1}"
        )
    return np.unique(rows).astype(np.int64)


def _rows_of_column(name: str, key: str, pool: Rows) -> Iterator[int]:
    is_there = False
    for row, text in enumerate(pool.column(name)):
        is_there |= text != ""
        if text is None or text.lower() not in _TRUTH:
            found = "what is no text" if text is None else repr(text)
            raise ValueError(
                f"subset.{key}: column {name!r} holds {found} in row {row}, expected true or false"
            )
        if _TRUTH[text.lower()]:
            yield row
    if not is_there:
        raise ValueError(
            f"subset.{key}: no row of {pool.name} has a column {name!r}, "
            "expected such a column of true and false, or a .npy or .txt of row numbers"
        )


def _refuse_both(in_name: str, included: np.ndarray, out_name: str, barred: np.ndarray) -> None:
    both = np.intersect1d(included, barred)
    if len(both):
        raise ValueError(
            f"{in_name} and {out_name} are in conflict: {counted(len(both), 'row')} must be both in and out: "
            f"{row_numbers_text(both)}: take them out of one"
        )


def check_texts(pool: Rows, key: str) -> None:
    if not pool.has_texts:
        raise ValueError(f"subset.{key} needs the rows themselves: add a `data:` section with their path")
