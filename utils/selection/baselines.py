"""What S2L is compared with. All take rows in the same seeded random order as S2L does, so that a comparison at one
seed is about how the budget is shared out and about nothing else.

Legend: N examples of the pool, n candidates.
"""

import numpy as np

from utils.config.schema import SubsetConfig
from utils.selection.candidates import Candidates, Choice
from utils.selection.random_order import random_keys, take_in_random_order
from utils.selection.s2l import share_out


def random(candidates: Candidates, subset: SubsetConfig, budget: int, seed: int) -> Choice:
    """Rows at random, whatever their source: S2L over the whole pool with a single cluster."""
    return _choose(candidates, np.zeros(len(candidates.rows), np.int32), budget, seed)


def random_per_source(candidates: Candidates, subset: SubsetConfig, budget: int, seed: int) -> Choice:
    """The budget shared out over the sources as S2L does, rows at random inside each: S2L per source with a single
    cluster. The control that tells how much of S2L is the balance of its sources."""
    return _choose(candidates, candidates.source_codes_n, budget, seed)


def _choose(candidates: Candidates, group_n: np.ndarray, budget: int, seed: int) -> Choice:
    key_n = random_keys(seed, candidates.num_examples)[candidates.rows]
    taken_n = take_in_random_order(group_n, share_out(group_n, key_n, budget), key_n)
    return Choice(candidates.rows[taken_n], np.full(candidates.num_examples, -1, np.int32))
