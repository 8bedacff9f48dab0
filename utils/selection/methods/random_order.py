"""Seeded chance: all that is random in selection follows from the run's seed and from nothing else.

Not from the budget, not from global random state, not from the version of numpy: only raw bits of PCG64
are used, which numpy promises never to change.

Legend: N examples of the pool, n the rows at hand, m some of them.
"""

import hashlib
import json

import numpy as np

from ..groups import Groups


def derived_seed(seed: int, *purpose: str) -> int:
    """A 256-bit seed for one purpose: sha256 over the JSON list [seed, *purpose]."""
    return int.from_bytes(hashlib.sha256(json.dumps([seed, *purpose]).encode()).digest(), "big")


def random_keys(seed: int, num_examples: int) -> np.ndarray:
    """uint64 (N,): one random number for each row of the pool.

    Ascending keys are the random order in which every method takes rows. So the methods of one seed differ
    only in how they share the budget out, and a smaller budget takes a beginning of what a larger one takes.
    """
    entropy = np.random.SeedSequence(derived_seed(seed, "order"))
    return np.random.PCG64(entropy).random_raw(num_examples)


def in_key_order(position_m: np.ndarray, key_n: np.ndarray) -> np.ndarray:
    """Positions by ascending keys. Keys that agree in their high bits keep their order.

    Args:
        position_m: integers (m,), positions of keys.
    """
    # numpy sorts numbers many times faster than it finds their order (argsort). So the low bits of each key
    # make room for its place, the keys are sorted, and the places are read off.
    key_and_place_m, low = _keys_and_places(position_m, key_n)
    key_and_place_m.sort()
    key_and_place_m &= low
    return position_m[key_and_place_m.astype(np.intp)]


def turn_in_key_order(place: int, position_m: np.ndarray, key_n: np.ndarray) -> int:
    """How many positions come before one of them in the order of `in_key_order`.

    Args:
        place: of that one in `position_m`.
    """
    key_and_place_m, _ = _keys_and_places(position_m, key_n)
    return int(np.count_nonzero(key_and_place_m < key_and_place_m[place]))


def _keys_and_places(position_m: np.ndarray, key_n: np.ndarray) -> tuple[np.ndarray, np.uint64]:
    """uint64 (m,), the high bits of each key and its place in the low bits, and which are the low bits."""
    bits = max(1, (len(position_m) - 1).bit_length())
    low = np.uint64((1 << bits) - 1)
    key_and_place_m = key_n[position_m]
    key_and_place_m &= ~low
    key_and_place_m |= np.arange(len(position_m), dtype=np.uint64)
    return key_and_place_m, low


def put_in_key_order(groups: Groups, key_n: np.ndarray) -> None:
    """Bring the positions of each group into the order of `in_key_order`, in place."""
    for batch in groups.batches():
        bounds = groups.bounds[batch.start : batch.stop + 1]
        position_m = groups.position_n[bounds[0] : bounds[-1]]
        if len(bounds) == 2:
            position_m[:] = in_key_order(position_m, key_n)
            continue
        sizes = np.diff(bounds)
        bits = np.maximum(1, np.frexp(sizes - 1)[1])  # frexp's exponent of a whole number is its bit length
        low_m = np.repeat((1 << bits.astype(np.uint64)) - 1, sizes)
        group_m = np.repeat(np.arange(len(sizes)), sizes)
        position_m[:] = position_m[np.lexsort((key_n[position_m] & ~low_m, group_m))]


def sample_positions(num_positions: int, size: int, seed: int) -> np.ndarray:
    """int64 (size,), ascending: a random sample without repetition, in memory that goes with `size` alone."""
    assert size <= num_positions
    bits = np.random.PCG64(np.random.SeedSequence(seed))
    drawn = np.empty(0, np.uint64)
    # Drawn with repetition until enough are distinct. The first of those count, as if drawn one by one.
    while True:
        drawn = np.concatenate([drawn, bits.random_raw(2 * size) % np.uint64(num_positions)])
        distinct, first = np.unique(drawn, return_index=True)
        if len(distinct) >= size:
            return np.sort(distinct[np.argsort(first)[:size]]).astype(np.int64)
