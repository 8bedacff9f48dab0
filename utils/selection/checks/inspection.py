"""The trajectory debugger: which rows were never learnt, forgotten, known from the start, identical or unscorable.

Kinds, by the losses of a row at the checkpoints that selection uses (first, last, and the lowest of all). Shares are of
the row's own first loss, so that they mean the same for easy and hard rows and for any pool:

    never_learnt  the loss never falls: lowest > 95 % of the first, and not known
    forgotten     the loss falls by 5 % of the first or more, then at least half of that fall comes back, and at
                  least 5 % of the first: last - lowest >= max((first - lowest) / 2, first / 20); and not known
    known         known from the start and still: first and last <= the loss that only the best tenth of the rows get
                  at the last checkpoint (the 10 % quantile there; the one threshold that follows from the data)
    identical     the same losses, bit for bit, as a row with a lower number: without these rows one of each remains
    unscorable    no loss (NaN) at some checkpoint; never chosen

The first three exclude each other; `identical` may overlap them. A single checkpoint shows no learning and no forgetting.
Toneva et al. (arXiv:1812.05159) count forgetting in correct answers that turn wrong; here it is counted in losses.

Legend: n candidates, m some of them, T checkpoints.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...artifacts.files import atomic_write, save_array, write_json
from ...artifacts.paths import RunPaths
from ...config.names import look_up
from ...config.schema import RunConfig
from ...data.numbered_rows import NumberedRows
from ...data.pool import Pool
from ...terminal import WIDTH, one_line, table
from ..candidates import Candidates
from ..drawing import checkpoint_names, sparkline, spread_evenly
from ..opening import open_candidates

KINDS = {
    "never_learnt": "the loss never falls below 95 % of what it was at the first checkpoint",
    "forgotten": "the loss falls by 5 % or more, then half of that or more comes back (at least 5 % of the first)",
    "known": "first and last loss are at most {known:.2f}, where only the best tenth of the rows ends",
    "identical": "the same losses, to the bit, as a row with a lower number",
    "unscorable": "no loss (NaN) at some checkpoint, as of a response that max_length cut off whole; never chosen",
}
_FALL = 0.05  # of the first loss: less is no learning
_COMES_BACK = 0.5  # of the fall
_BEST = 0.1  # of the rows at the last checkpoint
_ROWS_AT_ONCE = 2**20
_NUM_SHOWN_ROWS = 4
_NUM_SHOWN_SOURCES = 30
_NUM_SHOWN_CHECKPOINTS = 9
_NAME_WIDTH = 36


@dataclass(frozen=True)
class Inspection:
    """What the trajectories of a pool are like.

    Attributes:
        rows: kind -> int64, ascending row numbers of the pool.
        clearest: kind -> a few of its rows, the clearest case first (known: lowest loss; forgotten: largest share of
            the first loss that comes back; never_learnt: highest last loss as a share of the first; others: lowest row).
        known_below: the loss (nats per response token) that `known` compares with.
    """

    rows: dict[str, np.ndarray]
    clearest: dict[str, list[int]]
    known_below: float


def inspect_trajectories(candidates: Candidates) -> Inspection:
    """Sort the candidates' trajectories into `KINDS`, reading them in pieces: a few numbers a row stay in memory."""
    assert candidates.trajectories is not None
    rows_n = candidates.rows
    known_below = float(np.quantile(candidates.trajectories.columns[-1][rows_n], _BEST))
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    cases: dict[str, list[tuple[float, int]]] = {kind: [] for kind in KINDS}
    hash_n = np.empty(len(rows_n), np.uint64)
    for start in range(0, len(rows_n), _ROWS_AT_ONCE):
        rows_m = rows_n[start : start + _ROWS_AT_ONCE]
        losses_mT = candidates.read_losses(slice(start, start + _ROWS_AT_ONCE))
        hash_n[start : start + len(rows_m)] = _hash_rows(losses_mT)
        for kind, (is_kind_m, clearness_m) in _kinds_of_rows(losses_mT, known_below).items():
            of_kind = np.flatnonzero(is_kind_m)
            found[kind].append(rows_m[of_kind])
            best = of_kind[np.argsort(-clearness_m[of_kind], kind="stable")[:_NUM_SHOWN_ROWS]]
            cases[kind] += zip((-clearness_m[best]).tolist(), rows_m[best].tolist(), strict=True)
    rows = {kind: np.concatenate(parts) if parts else np.empty(0, np.int64) for kind, parts in found.items()}
    rows["identical"] = _identical_to_an_earlier_row(candidates, hash_n)
    rows["unscorable"] = candidates.unscorable
    rows = {kind: rows_m.astype(np.int64) for kind, rows_m in rows.items()}
    clearest = {kind: [row for _, row in sorted(cases[kind])[:_NUM_SHOWN_ROWS]] for kind in KINDS}
    for kind in ("identical", "unscorable"):
        clearest[kind] = rows[kind][:_NUM_SHOWN_ROWS].tolist()
    return Inspection(rows, clearest, known_below)


def _kinds_of_rows(losses_mT: np.ndarray, known_below: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kind -> (bool (m,): is it of that kind, (m,): how clearly)."""
    first_m, last_m = losses_mT[:, 0].astype(np.float64), losses_mT[:, -1].astype(np.float64)
    lowest_m = losses_mT.min(axis=1).astype(np.float64)
    scale_m = np.maximum(first_m, 1e-12)
    known_m = np.maximum(first_m, last_m) <= known_below
    falls_m = lowest_m <= (1 - _FALL) * first_m
    comes_back_m = last_m - lowest_m >= np.maximum(_COMES_BACK * (first_m - lowest_m), _FALL * first_m)
    several = losses_mT.shape[1] > 1
    return {
        "never_learnt": (~falls_m & ~known_m & several, last_m / scale_m),
        "forgotten": (falls_m & comes_back_m & ~known_m, (last_m - lowest_m) / scale_m),
        "known": (known_m, -first_m),
    }


def _hash_rows(losses_mT: np.ndarray) -> np.ndarray:
    """uint64 (m,), equal for equal rows (0 and -0 are equal): each loss mixed in by one round of splitmix64."""
    bits_mT = (losses_mT + np.float32(0)).view(np.uint32).astype(np.uint64)
    hash_m = np.zeros(len(bits_mT), np.uint64)
    for bits_m in bits_mT.T:
        hash_m = (hash_m ^ bits_m) + np.uint64(0x9E3779B97F4A7C15)
        hash_m = (hash_m ^ (hash_m >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hash_m = (hash_m ^ (hash_m >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hash_m ^= hash_m >> np.uint64(31)
    return hash_m


def _identical_to_an_earlier_row(candidates: Candidates, hash_n: np.ndarray) -> np.ndarray:
    """int64, ascending: rows whose trajectory a row with a lower number has too. Equal hashes are only a suspicion;
    the losses decide."""
    order_n = np.argsort(hash_n, kind="stable")  # rows of one hash lie together, ascending
    starts_n = np.append(True, hash_n[order_n[1:]] != hash_n[order_n[:-1]])
    first_n = order_n[np.maximum.accumulate(np.where(starts_n, np.arange(len(order_n)), 0))]
    rows_m, firsts_m = candidates.rows[order_n[~starts_n]], candidates.rows[first_n[~starts_n]]
    same = [np.empty(0, np.int64)]
    for start in range(0, len(rows_m), _ROWS_AT_ONCE):
        piece = slice(start, start + _ROWS_AT_ONCE)
        equal_m = np.all(candidates.losses(rows_m[piece]) == candidates.losses(firsts_m[piece]), axis=1)
        same.append(rows_m[piece][equal_m])
    return np.sort(np.concatenate(same))


def inspect(config: RunConfig, exports: list[tuple[str, Path]], dry_run: bool = False) -> str:
    """What the trajectories of a run's pool are like, in words; inspection.json and lists of rows are written.

    Args:
        exports: (kind, file): a .npy or .txt of row numbers, as subset.exclude and subset.include read them.
        dry_run: write nothing.

    Raises: ValueError for an unknown kind or another ending, before anything is read; else as for opening the pool and
    the trajectories.
    """
    for kind, path in exports:
        look_up(KINDS, kind, "--export")
        if path.suffix not in (".npy", ".txt"):
            raise ValueError(f"--export {kind}: found {path}, expected a file ending in .npy or .txt")
    pool, candidates = open_candidates(config)
    inspection = inspect_trajectories(candidates)
    texts = [report(inspection, pool, candidates)]
    if not dry_run:
        path = RunPaths(config.run_name).root / "inspection.json"
        write_json(path, _as_data(inspection, pool))
        texts.append(str(path))
    for kind, path in exports:
        words = (
            f"{path}: {len(inspection.rows[kind]):,} rows {kind}; leave them out with subset.exclude={path}"
        )
        if dry_run:
            texts.append(f"dry run, not written: {words}")
            continue
        export_rows(inspection.rows[kind], path)
        texts.append(words)
    return "\n\n".join(texts)


def _as_data(inspection: Inspection, pool: Pool | NumberedRows) -> dict[str, Any]:
    """inspection.json: kind -> its rows, of each source too, and the clearest of them."""
    kinds = {}
    for kind, rows in inspection.rows.items():
        num_S = np.bincount(pool.source_codes[rows], minlength=len(pool.source_names)).tolist()
        kinds[kind] = {
            "rows": len(rows),
            "by_source": dict(zip(pool.source_names, num_S, strict=True)),
            "clearest": inspection.clearest[kind],
        }
    return {"num_examples": len(pool), "known_below": inspection.known_below, "kinds": kinds}


def export_rows(rows: np.ndarray, path: Path) -> None:
    """Write row numbers: int64 .npy if the name ends so, else text with one number a line."""
    if path.suffix == ".npy":
        save_array(path, rows)
        return
    with atomic_write(path) as file:
        file.writelines(f"{row}\n" for row in rows.tolist())


def report(inspection: Inspection, pool: Pool | NumberedRows, candidates: Candidates) -> str:
    """The inspection for people."""
    assert candidates.trajectories is not None
    names = checkpoint_names(candidates.trajectories)
    return "\n".join(
        [
            f"loss (mean nats per response token) of {len(candidates.rows):,} rows by checkpoint",
            *_loss_table(candidates, names),
            "",
            *_kind_table(inspection, len(pool)),
            "",
            *_source_table(inspection, pool),
            "",
            *_cases(inspection, pool, candidates),
        ]
    )


def _loss_table(candidates: Candidates, column_names: list[str]) -> list[str]:
    assert candidates.trajectories is not None
    columns = candidates.trajectories.columns
    shown = spread_evenly(len(column_names), _NUM_SHOWN_CHECKPOINTS)
    quantiles = [np.quantile(columns[column][candidates.rows], (0.9, 0.5, 0.1)) for column in shown]
    rows = [
        (name, *(f"{quantile[place]:.3f}" for quantile in quantiles))
        for place, name in enumerate(("90 % below", "half below", "10 % below"))
    ]
    lines = table(["", *(column_names[column] for column in shown)], rows, indent="  ")
    if len(shown) < len(column_names):
        lines.append(f"  ({len(shown)} of {len(column_names)} checkpoints shown)")
    return lines


def _kind_table(inspection: Inspection, num_rows: int) -> list[str]:
    rows = [
        (kind, f"{len(rows):,}", f"{100 * len(rows) / num_rows:.1f}")
        for kind, rows in inspection.rows.items()
    ]
    heading, *lines = table(["kind", "rows", "% of pool"], rows)
    meanings = ["    " + meaning.format(known=inspection.known_below) for meaning in KINDS.values()]
    return [heading, *(line for pair in zip(lines, meanings, strict=True) for line in pair)]


def _source_table(inspection: Inspection, pool: Pool | NumberedRows) -> list[str]:
    num_sources = len(pool.source_names)
    sizes = np.bincount(pool.source_codes, minlength=num_sources)
    counts = {
        kind: np.bincount(pool.source_codes[rows], minlength=num_sources)
        for kind, rows in inspection.rows.items()
    }
    largest = sorted(range(num_sources), key=lambda source: -sizes[source])[:_NUM_SHOWN_SOURCES]
    rows = [
        (
            pool.source_names[source] or "(none)",
            f"{sizes[source]:,}",
            *(f"{count[source]:,}" if count[source] else "-" for count in counts.values()),
        )
        for source in sorted(largest)
    ]
    lines = table(["rows by source", "all", *counts], rows, widest_name=_NAME_WIDTH)
    if num_sources > len(largest):
        lines.append(f"... and {num_sources - len(largest):,} smaller sources")
    return lines


def _cases(inspection: Inspection, pool: Pool | NumberedRows, candidates: Candidates) -> list[str]:
    if not any(inspection.clearest.values()):
        return []
    lines = [
        "clearest cases, first to last checkpoint (each drawn from its own lowest to its own highest loss)"
    ]
    for kind, rows in inspection.clearest.items():
        if rows:
            lines.append(kind)
        for row in rows:
            losses_T = candidates.losses(np.array([row]))[0]
            losses_T = losses_T[spread_evenly(len(losses_T), 24)]
            scorable_t = losses_T[~np.isnan(losses_T)]
            line = sparkline(
                losses_T, float(scorable_t.min(initial=np.inf)), float(scorable_t.max(initial=-np.inf))
            )
            start = f"  row {row:<9}{line}  {losses_T[0]:6.3f} -> {losses_T[-1]:6.3f}  "
            text = pool[row].instruction if isinstance(pool, Pool) else ""
            lines.append((start + one_line(text, WIDTH - len(start))).rstrip())
    return lines
