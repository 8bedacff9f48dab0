"""What people ask of a subset besides its size: rows in, rows out, no duplicates, so many rows of a source.

Rows that are out are no candidates. The rest works on the order in which a growing budget takes rows:
first rows that must be in, then each source's minimum, then all others, passing over sources at their
maximum. So a smaller subset stays inside a larger one, and S2L over sources with a maximum is water-filling
with that cap.

Legend: N examples of the pool, n candidates, S sources.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts.checksums import checksum, checksum_of_rows
from ..artifacts.subsets import CONTAMINATION
from ..config.names import LIMITS, TrajectoryKind, look_up
from ..config.schema import SubsetConfig
from ..data.rows import Rows
from ..reading import check_kind, load_npy, read_text
from ..terminal import counted, one_line
from .candidates import Candidates
from .contamination import find_contamination
from .groups import count_by_number
from .unscorable import listed
from .validation import open_validation, rows_of_validation

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
    kept: np.ndarray | None,
    rows_of_kind: Mapping[TrajectoryKind, np.ndarray],
) -> ListedRows:
    """The rows that the settings name one by one.

    Args:
        kept: rows of a subset that is extended. They must be in too, and are not dropped for their kind.
        rows_of_kind: ascending, of each kind of `subset.drop`.

    Raises: FileNotFoundError, or ValueError for files that are not row numbers or two settings in conflict.
    """
    included = _read_rows(subset.include, "include", pool)
    counts = {"include": len(included)}
    if kept is not None:
        included = np.union1d(included, kept)
    barred = _read_rows(subset.exclude, "exclude", pool)
    counts["exclude"] = len(barred)
    in_name = "include" if kept is None else "include or subset.extend"
    _refuse_both(in_name, included, "exclude", barred)
    remarks: list[str] = []
    dropped: dict[TrajectoryKind, np.ndarray] = {}
    for kind, rows in rows_of_kind.items():
        dropped[kind] = rows if kept is None else np.setdiff1d(rows, kept)
        _refuse_both("include", included, f"drop ({kind})", dropped[kind])
        barred = np.union1d(barred, dropped[kind])
        remarks.append(f"{counted(len(dropped[kind]), 'row')} {kind}: not selectable (subset.drop)")
    if dropped:
        counts["drop"] = len(np.unique(np.concatenate(list(dropped.values()))))
    reports: dict[str, Any] = {}
    of_validation = np.empty(0, np.int64)
    if (validation := open_validation(pool)) is not None:
        of_validation = rows_of_validation(pool, validation)
        if len(both := np.intersect1d(included, of_validation)):
            raise ValueError(
                f"subset.{in_name} and data.validation are in conflict: {listed(both)} must be in and out: "
                "take them out of one"
            )
        barred = np.union1d(barred, of_validation)
        remarks.append(f"{counted(len(of_validation), 'row')} of data.validation in the pool: not selectable")
    if subset.decontaminate:
        _check_texts(pool, "decontaminate")
        hits = find_contamination(pool, subset.decontaminate)
        contaminated = np.array([hit["row"] for hit in hits], np.int64)
        _refuse_both(in_name, included, "decontaminate", contaminated)
        barred = np.union1d(barred, contaminated)
        reports[CONTAMINATION] = hits
        rows = f"are not selectable: {listed(contaminated)}" if hits else "would not be selectable"
        remarks.append(f"{len(hits):,} rows contain benchmark questions and {rows}")
    return ListedRows(included, barred, remarks, reports, counts, dropped, of_validation)


def without_duplicates(candidates: Candidates, pool: Rows) -> Candidates:
    """The candidates without those whose response an earlier one has too.

    Rows that must be in count as earlier than all.

    Raises: ValueError if two rows that must be in have the same response.
    """
    _check_texts(pool, "deduplicate")
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


def constraint_inputs(subset: SubsetConfig, pool: Rows) -> dict[str, Any]:
    """What the constraints depend on, for the manifest: those that are set, files by their contents.

    A column of the pool counts by the rows where it is true: the pool's fingerprint says nothing of it.

    Raises: as `list_rows`.
    """
    inputs: dict[str, Any] = {}
    for name in LIMITS:
        value = getattr(subset, name)
        if value == SubsetConfig.model_fields[name].get_default(call_default_factory=True):
            continue
        if name in ("include", "exclude") and value.endswith((".npy", ".txt")):
            value = _sha256(value, name)
        elif name in ("include", "exclude"):
            rows = _read_rows(value, name, pool)
            value = {"column": value, "rows": checksum_of_rows(rows)}
        elif name == "drop":
            value = sorted(set(value))
        elif name == "decontaminate":
            _check_texts(pool, name)
            value = [_questions_identity(file) for file in value]
        inputs[name] = value
    return inputs


def needs_whole_order(subset: SubsetConfig, candidates: Candidates) -> bool:
    """Whether rows beyond the budget may be needed, because some come earlier or are passed over."""
    return bool(len(candidates.included)) or any(
        setting is not None
        for setting in (subset.min_per_source, subset.max_per_source, subset.budget_tokens)
    )


@dataclass(frozen=True)
class Limits:
    """How many rows of each source must be chosen and may be: known from counts, before any row is.

    Attributes:
        included_S: int64 (S,), rows that were named one by one.
        least_S: int64 (S,), rows that must be chosen, those among them.
        most_S: int64 (S,), rows that may be.
    """

    included_S: np.ndarray
    least_S: np.ndarray
    most_S: np.ndarray


def find_limits(candidates: Candidates, subset: SubsetConfig) -> Limits:
    """Raises: ValueError naming the two settings that are in conflict, or an unknown source."""
    names = candidates.source_names
    num_sources = len(names)
    rows_S = count_by_number(candidates.source_codes_n, num_sources)
    minimum_S = np.minimum(rows_S, _per_source(subset.min_per_source, "min_per_source", names, 0))
    maximum_S = _per_source(subset.max_per_source, "max_per_source", names, candidates.num_examples)
    for code in np.flatnonzero(minimum_S > maximum_S)[:1]:
        raise ValueError(
            f"subset.min_per_source and subset.max_per_source are in conflict for source {names[code]!r}: "
            f"at least {minimum_S[code]:,}, at most {maximum_S[code]:,}: lower the one or raise the other"
        )
    included = np.searchsorted(candidates.rows, candidates.included)
    included_S = np.bincount(candidates.source_codes_n[included], minlength=num_sources)
    for code in np.flatnonzero(included_S > maximum_S)[:1]:
        raise ValueError(
            f"subset.include and subset.max_per_source are in conflict: {included_S[code]:,} rows of source "
            f"{names[code]!r} must be in, at most {maximum_S[code]:,} may: take rows out or raise the maximum"
        )
    return Limits(included_S, np.maximum(minimum_S, included_S), np.minimum(rows_S, maximum_S))


def check_budget(budget: int, limits: Limits) -> None:
    """Refuse a budget (in rows) that the limits do not allow. Raises: ValueError naming the two settings."""
    num_included = int(limits.included_S.sum())
    num_required = int(limits.least_S.sum())
    if budget < num_included:
        raise ValueError(
            "subset.budget and subset.include (or subset.extend) are in conflict: "
            f"{num_included:,} rows must be in, the budget is {budget:,} rows: raise it or take rows out"
        )
    if budget < num_required:
        raise ValueError(
            "subset.budget and subset.min_per_source are in conflict: with the minimum of each source "
            f"{num_required:,} rows must be in, the budget is {budget:,} rows: raise it or lower the minimum"
        )
    num_allowed = int(limits.most_S.sum())
    if budget > num_allowed:
        raise ValueError(
            "subset.budget and subset.max_per_source are in conflict: "
            f"at most {num_allowed:,} rows may be chosen, the budget is {budget:,} rows: "
            "lower it or raise the maximum"
        )


def check_token_budget(
    budget_tokens: int, tokens_N: np.ndarray, candidates: Candidates, limits: Limits
) -> bool:
    """Whether the budget holds whatever the order of the rows.

    If not, it may turn out too small once they are ordered.

    Args:
        tokens_N: response tokens of each row of the pool.

    Raises: ValueError if it is too small for any order.
    """
    tokens_n = tokens_N[candidates.rows].astype(np.int64)
    is_free_n = ~np.isin(candidates.rows, candidates.included)
    fewest = most = int(tokens_n[~is_free_n].sum())
    missing_S = limits.least_S - limits.included_S
    for code in np.flatnonzero(missing_S):
        of_source = np.sort(tokens_n[is_free_n & (candidates.source_codes_n == code)])
        fewest += int(of_source[: missing_S[code]].sum())
        most += int(of_source[-missing_S[code] :].sum())
    if not limits.least_S.any():
        fewest = int(tokens_n.min())
        most = int(tokens_n.max())
    if fewest > budget_tokens:
        raise ValueError(
            f"subset.budget_tokens: found {budget_tokens:,}, expected at least {fewest:,} for the rows that "
            "must be in (subset.include, subset.extend, subset.min_per_source) or the shortest response: "
            "raise it or take rows out"
        )
    return most <= budget_tokens


def order_within(limits: Limits, order: np.ndarray, candidates: Candidates) -> np.ndarray:
    """The order in which a growing budget takes rows, brought into line with the limits.

    Args:
        order: all candidates' rows.

    Returns:
        The rows that may be taken. Those that must be come first.
    """
    code_N = np.zeros(candidates.num_examples, np.int32)
    code_N[candidates.rows] = candidates.source_codes_n
    is_included_N = np.zeros(candidates.num_examples, bool)
    is_included_N[candidates.included] = True
    order = np.concatenate([order[is_included_N[order]], order[~is_included_N[order]]])
    place_n = _place_in_group(code_N[order])
    is_least_n = place_n < limits.least_S[code_N[order]]
    is_other_n = ~is_least_n & (place_n < limits.most_S[code_N[order]])
    return np.concatenate([order[is_least_n], order[is_other_n]])


def rows_within_tokens(order: np.ndarray, tokens_N: np.ndarray, budget_tokens: int, num_required: int) -> int:
    """How many rows of the order fit into this many response tokens. The next one would not.

    Args:
        tokens_N: response tokens of each row of the pool.
        num_required: rows at the beginning of the order that must be in.

    Raises: ValueError if not even those fit, or no row does.
    """
    tokens_of_first = np.cumsum(tokens_N[order], dtype=np.int64)
    num_rows = int(np.searchsorted(tokens_of_first, budget_tokens, side="right"))
    if num_rows < num_required:
        raise ValueError(
            "subset.budget_tokens and the rows that must be in (subset.include, subset.extend, "
            "subset.min_per_source) are in conflict: those have "
            f"{tokens_of_first[num_required - 1]:,} response tokens, the budget is {budget_tokens:,}: "
            "raise it or take rows out"
        )
    if num_rows == 0:
        raise ValueError(
            f"subset.budget_tokens: found {budget_tokens:,}, but the first row to choose has "
            f"{tokens_of_first[0]:,} response tokens: raise it"
        )
    return num_rows


def _per_source(setting: int | dict[str, int] | None, key: str, names: list[str], default: int) -> np.ndarray:
    """int64 (S,): the limit of each source."""
    if not isinstance(setting, dict):
        return np.full(len(names), default if setting is None else setting, np.int64)
    code_of_name = {name: code for code, name in enumerate(names)}
    limit_S = np.full(len(names), default, np.int64)
    for name, limit in setting.items():
        limit_S[look_up(code_of_name, name, f"subset.{key}")] = limit
    return limit_S


def _place_in_group(code_n: np.ndarray) -> np.ndarray:
    """int64 (n,): how many of the same group come before."""
    by_code_n = np.argsort(code_n, kind="stable")
    sizes = np.bincount(code_n)
    place_n = np.empty(len(code_n), np.int64)
    place_n[by_code_n] = np.arange(len(code_n)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return place_n


def _read_rows(setting: str | None, key: str, pool: Rows) -> np.ndarray:
    """int64, ascending: row numbers from a file, or the rows where a column is true."""
    if setting is None:
        return np.empty(0, np.int64)
    if not setting.endswith((".npy", ".txt")):
        _check_texts(pool, key)
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
            f"subset.{in_name} and subset.{out_name} are in conflict: "
            f"{len(both):,} rows must be both in and out: {listed(both)}: take them out of one"
        )


def _check_texts(pool: Rows, key: str) -> None:
    if not pool.has_texts:
        raise ValueError(f"subset.{key} needs the rows themselves: add a `data:` section with their path")


def _questions_identity(file: str) -> str:
    """What words are was another rule for other letters than those of ASCII before."""
    contents = _sha256(file, "decontaminate")
    return contents if read_text(Path(file)).isascii() else f"{contents}, rule 2"


def _sha256(path: str, key: str) -> str:
    """Raises: FileNotFoundError; ValueError for what is no ordinary file."""
    check_kind(Path(path), f"subset.{key}")
    return checksum(Path(path))
