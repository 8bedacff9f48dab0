"""Seeded chance. Everything random in selection comes from the run's seed through sha256 and from nothing else: not
from the budget, not from global random state, not from the version of numpy (only raw bits of PCG64 are used, which
numpy promises never to change).

Legend: N examples of the pool, n the rows at hand, G groups.
"""

import hashlib
import json

import numpy as np


def derived_seed(seed: int, *purpose: str) -> int:
    """A 256-bit seed for one purpose: sha256 over the JSON list [seed, *purpose]."""
    return int.from_bytes(hashlib.sha256(json.dumps([seed, *purpose]).encode()).digest(), "big")


def random_keys(seed: int, num_examples: int) -> np.ndarray:
    """uint64 (N,): one random number for each row of the pool. Ascending keys are the random order in which every
    method takes rows, so the methods of one seed differ only in how they share the budget out, and a smaller budget
    takes a beginning of what a larger one takes."""
    entropy = np.random.SeedSequence(derived_seed(seed, "order"))
    return np.random.PCG64(entropy).random_raw(num_examples)


def take_in_random_order(group_n: np.ndarray, quota_G: np.ndarray, key_n: np.ndarray) -> np.ndarray:
    """Take from each group its quota of rows, those with the lowest keys.

    Args: group_n: int (n,), the group of each row; quota_G: int (G,), at most the group's size; key_n: uint64 (n,).

    Returns: bool (n,), the rows taken.
    """
    order = np.lexsort((key_n, group_n))
    sizes_G = np.bincount(group_n, minlength=len(quota_G))
    assert np.all(quota_G <= sizes_G)
    place_in_group = np.arange(len(group_n)) - np.repeat(np.cumsum(sizes_G) - sizes_G, sizes_G)
    taken_n = np.zeros(len(group_n), bool)
    taken_n[order[place_in_group < np.repeat(quota_G, sizes_G)]] = True
    return taken_n
