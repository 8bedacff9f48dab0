"""Losses that were made elsewhere, and those of runs: of the wrong shape, kind, number or sign."""

import numpy as np

from .cases import (
    Case,
    Content,
    Folder,
    Gone,
    Link,
    Pipe,
    containing,
    npy,
    npy_that_says,
    npz,
    overridden,
    parquet,
)

_GOOD = np.random.default_rng(0).random((40, 3))
_ROWS = np.arange(40)


def _with(value: float, place: tuple[int, int] = (7, 1)) -> np.ndarray:
    losses = _GOOD.copy()
    losses[place] = value
    return losses


NPY: list[tuple[Content, str]] = [
    ("", "losses.npy: found no readable .npy of plain numbers"),
    ("losses", "losses.npy: found no readable .npy of plain numbers"),
    (npy(_GOOD)[:-1], "its header says 480 bytes of numbers, found 479"),
    (npy(_GOOD)[:100], "losses.npy: found no readable .npy of plain numbers"),
    (npy(_GOOD) + b"\0", "its header says 480 bytes of numbers, found 481"),
    (npy_that_says("(-3, 2)"), "its header says shape (-3, 2)"),
    (npy_that_says("(40, -1)"), "its header says shape (40, -1)"),
    (npy_that_says("(10000000000, 1)"), "its header says 40,000,000,000 bytes of numbers, found 0"),
    (npy_that_says("(1000000000000000000000, 3)"), "bytes of numbers, found 0"),
    (npy_that_says("(40, 3.0)"), "losses.npy: found no readable .npy of plain numbers"),
    (npy_that_says("40"), "losses.npy: found no readable .npy of plain numbers"),
    (npy_that_says("(40, 3)", dtype="<f9"), "losses.npy: found no readable .npy of plain numbers"),
    (npy_that_says("(40, 3)", dtype="|O"), "losses.npy: found no readable .npy of plain numbers (it holds"),
    (npy_that_says("__import__('os').system('id')"), "losses.npy: found no readable .npy of plain numbers"),
    (npy_that_says("(" * 5000), "losses.npy: found no readable .npy of plain numbers"),
    (b"\x93NUMPY\x09\x00" + bytes(100), "losses.npy: found no readable .npy of plain numbers"),
    (npz(losses=_GOOD), "losses.npy: found no readable .npy of plain numbers"),
    (parquet(**{"1": [1.0]}), "losses.npy: found no readable .npy of plain numbers"),
    (npy(5.0), "found float32 (), expected floating-point losses (N, T)"),
    (npy([]), "found float32 (0,), expected floating-point losses (N, T)"),
    (npy([[]]), "found float32 (1, 0), expected floating-point losses (N, T)"),
    (npy(np.empty((0, 3))), "found float32 (0, 3), expected floating-point losses (N, T)"),
    (npy(_GOOD[:, 0]), "found float32 (40,), expected floating-point losses (N, T)"),
    (npy(_GOOD[None]), "found float32 (1, 40, 3), expected floating-point losses (N, T)"),
    (npy(_GOOD, np.int64), "found int64 (40, 3), expected floating-point losses (N, T)"),
    (npy(_GOOD, np.complex64), "found complex64 (40, 3), expected floating-point losses (N, T)"),
    (npy(_GOOD > 1, bool), "found bool (40, 3), expected floating-point losses (N, T)"),
    (npy(_GOOD, "U5"), "found <U5 (40, 3), expected floating-point losses (N, T)"),
    (npy(_GOOD.T), "expected one row for each of the 40 examples and one column for each checkpoint:"),
    (npy(_GOOD[:39]), "losses.npy holds losses of 39 examples, but the pool pool.jsonl has 40 rows"),
    (npy(np.vstack([_GOOD, _GOOD[:1]])), "losses.npy holds losses of 41 examples, but the pool pool.jsonl"),
    (npy(_with(np.inf)), "1 row has an infinite loss (or one beyond 1e+15), expected finite numbers:"),
    (npy(_with(-np.inf)), "1 row has an infinite loss (or one beyond 1e+15), expected finite numbers:"),
    (npy(_with(1e39), np.float64), "1 row has an infinite loss (or one beyond 1e+15), expected finite"),
    (npy(-_GOOD), "losses.npy: 40 rows have a loss below 0 (rows 0, 1, 2, 3"),
    (npy(_with(-1)), "losses.npy: 1 row has a loss below 0 (row 7)"),
    (npy(np.full((40, 3), np.nan)), "losses.npy: each of 40 rows is NaN somewhere (at column 0: 40"),
    (npy(np.where(np.arange(3) == 1, np.nan, _GOOD)), "losses.npy: each of 40 rows is NaN somewhere (at"),
    (Gone(), "losses.npy does not exist"),
    (Folder(), "losses.npy: found a folder, expected an ordinary file"),
    (Pipe(), "losses.npy: found a named pipe, expected an ordinary file"),
    (Link("/dev/zero"), "losses.npy: found a device, expected an ordinary file"),
    (Link("losses.npy"), "Too many levels of symbolic links: 'losses.npy'"),
]

NPZ: list[tuple[Content, str]] = [
    ("", "bad.npz: found no readable .npz of plain numbers"),
    ("PK\x03\x04", "bad.npz: found no readable .npz of plain numbers"),
    (npy(_GOOD), "bad.npz: found no readable .npz of plain numbers"),
    (npz(losses=_GOOD)[:-30], "bad.npz: found no readable .npz of plain numbers"),
    (npz(), "found arrays none, expected `losses` (n, T) among them"),
    (npz(loss=_GOOD), "found arrays loss, expected `losses` (n, T) among them"),
    (npz(losses=_GOOD[0]), "expected floating-point losses (N, T)"),
    (npz(losses=np.arange(6).reshape(3, 2)), "found int64 (3, 2), expected floating-point losses (N, T)"),
    (npz(losses=np.array([[None]])), "bad.npz: found no readable .npz of plain numbers"),
    (npz(losses=_GOOD, rows=_ROWS[:3]), "found row numbers int64 (3,), expected whole numbers (40,)"),
    (npz(losses=_GOOD, rows=_ROWS + 0.5), "found row numbers float64 (40,), expected whole numbers (40,)"),
    (npz(losses=_GOOD, rows=_ROWS - 1), "found row number -1, expected numbers from 0 to 39 (the pool's)"),
    (npz(losses=_GOOD, rows=_ROWS + 1), "found row number 40, expected numbers from 0 to 39 (the pool's)"),
    (npz(losses=_GOOD, rows=_ROWS * 2**40), "found row number 1099511627776, expected numbers from 0 to 39"),
    (npz(losses=_GOOD, rows=_ROWS * 0), "row number 0 is there more than once: keep one of them"),
    (npz(losses=_GOOD, rows=_ROWS.astype(str)), "found row numbers <U21 (40,), expected whole numbers (40,)"),
    (npz(losses=_GOOD, steps=[1, 2]), "found steps int64 (2,), expected whole numbers (3,)"),
    (npz(losses=_GOOD, steps=[1, 2, 2]), "found steps 1, 2, 2, expected each once and none below 0"),
    (npz(losses=_GOOD, steps=5), "found steps int64 (), expected whole numbers (3,)"),
    (npz(losses=_GOOD, steps=[1.5, 2.5, 3.5]), "found steps float64 (3,), expected whole numbers (3,)"),
    (npz(losses=_GOOD, steps=[-1, -2, -3]), "found steps -1, -2, -3, expected each once and none below 0"),
    (npz(losses=_GOOD, steps=["a", "b", "c"]), "found steps <U1 (3,), expected whole numbers (3,)"),
    (npz(losses=_GOOD, steps=np.arange(100_000)), "found steps int64 (100000,), expected whole numbers (3,)"),
    (npz(losses=_GOOD, num_response_tokens=[1, 2]), "num_response_tokens"),
    (npz(losses=_GOOD, num_response_tokens=_GOOD[:, 0]), "num_response_tokens"),
    (npz(losses=_GOOD, num_response_tokens=-_ROWS), "num_response_tokens"),
    (npz(losses=_GOOD, num_response_tokens=_ROWS.astype(str)), "num_response_tokens"),
    (npz(losses=_GOOD[:20], rows=_ROWS[:20], num_response_tokens=[1, 2]), "num_response_tokens"),
    (npz(losses=_GOOD[:0], rows=_ROWS[:0]), "expected floating-point losses (N, T)"),
    (npz(losses=-_GOOD, steps=[1, 2, 3]), "40 rows have a loss below 0 (rows 0, 1"),
    (Gone(), "bad.npz does not exist"),
    (Pipe(), "bad.npz: found a named pipe, expected an ordinary file"),
    (Link("/dev/zero"), "bad.npz: found a device, expected an ordinary file"),
]

_COLUMN = _GOOD[:, 0].tolist()
PARQUET: list[tuple[Content, str]] = [
    ("", "bad.parquet is not a readable parquet file"),
    ("PAR1PAR1", "bad.parquet is not a readable parquet file"),
    (npy(_GOOD), "bad.parquet is not a readable parquet file"),
    (parquet(a=_COLUMN), "found columns a, expected"),
    (parquet(**{"\x1b[31m": _COLUMN}), "found columns \\x1b[31m, expected"),
    (parquet(row=_ROWS.tolist()), "found columns row, expected"),
    (parquet(**{"1": _ROWS.tolist()}), "found columns 1, expected"),
    (parquet(**{"1": [str(value) for value in _COLUMN]}), "found columns 1, expected"),
    (parquet(**{"1": [[value] for value in _COLUMN]}), "found columns 1, expected"),
    (parquet(**{"1": _COLUMN, "step_1": _COLUMN}), "found steps 1, 1, expected each once and none below 0"),
    (parquet(**{"9" * 30: _COLUMN}), "found columns 999999999999999999999999999999, expected"),
    (parquet(**{"9" * 5000: _COLUMN}), "bad.parquet: found columns 9999"),
    (parquet(**{"1": _COLUMN}, row=[None] * 40), "found row numbers object (40,), expected whole numbers"),
    (parquet(**{"1": _COLUMN}, row=[*range(39), None]), "found row numbers float64 (40,), expected whole"),
    (parquet(**{"1": _COLUMN}, row=[str(row) for row in range(40)]), "found row numbers object (40,),"),
    (parquet(**{"1": _COLUMN}, row=[*range(39), 2**63 - 1]), "found row number 9223372036854775807"),
    (parquet(**{"1": _COLUMN}, num_response_tokens=[None] * 40), "num_response_tokens"),
    (parquet(**{"1": _COLUMN}, num_response_tokens=["a"] * 40), "num_response_tokens"),
    (parquet(**{"1": _COLUMN}, num_response_tokens=[-1] * 40), "num_response_tokens"),
    (parquet(**{"1": _COLUMN}, num_response_tokens=[2**40] * 40), "num_response_tokens"),
    (parquet(**{"1": []}), "found columns 1, expected `row` (optional)"),
    (parquet(**{"1": _COLUMN[:39]}), "bad.parquet holds losses of 39 examples, but the pool pool.jsonl has"),
    (parquet(**{"1": [*_COLUMN[:39], float("inf")]}), "1 row has an infinite loss (or one beyond 1e+15)"),
    (parquet(**{"1": [-1.0] * 40}), "40 rows have a loss below 0 (rows 0, 1"),
    (Pipe(), "bad.parquet: found a named pipe, expected an ordinary file"),
    (Link("/dev/zero"), "bad.parquet: found a device, expected an ordinary file"),
]

# Settings that name no losses, or not these.
NAMES = {
    "subset.trajectories_from=null": "subset.trajectories_from: missing, and method s2l needs it",
    "subset.trajectories_from=''": "subset.trajectories_from: found '', expected a text that is not empty",
    "subset.trajectories_from=nobody": "run 'nobody' has no trajectories in res/nobody/trajectories",
    "subset.trajectories_from=target": "run 'target' has no trajectories in res/target/trajectories",
    "subset.trajectories_from=res/nobody": "run 'res/nobody' has no trajectories",
    "subset.trajectories_from=../proxy": "has no trajectories",
    "subset.trajectories_from=/dev/zero": "has no trajectories",
    "subset.trajectories_from=pool.jsonl": "has no trajectories",
    "subset.trajectories_from=losses.pt": "has no trajectories",
    "subset.trajectories_from=.npy": ".npy does not exist",
    "subset.trajectories_from=nowhere.npy": "nowhere.npy does not exist",
    'subset.trajectories_from="\\e[31mred"': "run '\\x1b[31mred' has no trajectories",
    'subset.trajectories_from="\\e[31mred.npy"': "\\x1b[31mred.npy does not exist",
    "subset.trajectories_from=5": "subset.trajectories_from: found 5, expected a text",
    "subset.steps=[1]": "subset.steps: losses.npy does not say which steps its columns are",
    "subset.steps=[2]": "subset.steps: losses.npy does not say which steps its columns are",
    "subset.steps=1": "subset.steps: found 1, expected a list",
    "subset.steps=[a]": "subset.steps.0: found 'a', expected a whole number",
}
OF_A_RUN = {
    "subset.steps=[]": "subset.steps: found [], expected at least one step and each step once",
    "subset.steps=[7]": "res/proxy/trajectories lacks the losses of checkpoints [7]",
    "subset.steps=[-1]": "res/proxy/trajectories lacks the losses of checkpoints [-1]",
    "subset.steps=[2,2]": "subset.steps: found [2, 2], expected at least one step and each step once",
    "subset.steps=[0]": "res/proxy/trajectories lacks the losses of checkpoints [0]",
    "subset.method=high_learnability": "res/proxy/trajectories/checkpoint-0.npy does not exist: score the",
    "subset.method=least_confidence": "trajectories.also=[confidence]",
    "subset.method=lowest_max_probability": "trajectories.also=[confidence]",
    "subset.method=facility_location": "trajectories.also=[embeddings]",
    "subset.method=k_center": "trajectories.also=[embeddings]",
    "subset.clusters=embeddings": "trajectories.also=[embeddings]",
    "data.limit=20": "res/proxy/trajectories holds losses of 40 examples, but the pool pool.jsonl has 20",
    "data.columns.output=source": "res/proxy/trajectories was made from another pool than pool.jsonl",
}

_PICK = "select_s2l.py --config_file pick.yml"
_FROM_RUN = f"{_PICK} subset.trajectories_from=proxy"
CASES: list[Case] = [
    *containing(_PICK, "losses.npy", NPY),
    *containing(f"{_PICK} subset.trajectories_from=bad.npz", "bad.npz", NPZ),
    *containing(f"{_PICK} subset.trajectories_from=bad.parquet", "bad.parquet", PARQUET),
    *overridden(_PICK, NAMES),
    *overridden(_FROM_RUN, OF_A_RUN),
]
