"""How far two clusterings of the same rows agree: the adjusted Rand index.

Legend: n rows, P parts.
"""

import numpy as np


def adjusted_rand_index(part_n: np.ndarray, first_n: np.ndarray, second_n: np.ndarray) -> float:
    """Agreement of two clusterings (Hubert and Arabie, 1985): 1 = the same, 0 = no more than chance.

    (index - expected) / (maximum - expected), where index counts the pairs of rows that lie together in both,
    maximum is the mean of the pairs together in either, and expected is what shuffled labels would give.
    Pairs are counted and labels shuffled inside the parts only. With one part, this is the usual index. With
    several, clusters that agree for no other reason than that no cluster crosses a source earn nothing. Two
    clusterings that no shuffling could tell apart (one cluster each, or all rows alone) agree: 1.

    Args:
        part_n: int (n,), the part of each row.
        first_n: int (n,), its cluster in one of the two.
        second_n: int (n,), its cluster in the other.
    """
    part_n, first_n, second_n = (
        np.unique(values_n, return_inverse=True)[1] for values_n in (part_n, first_n, second_n)
    )
    num_parts = int(part_n.max()) + 1

    def pairs_P(label_n: np.ndarray) -> np.ndarray:
        labels, sizes = np.unique(part_n * (label_n.max() + 1) + label_n, return_counts=True)
        pairs = sizes * (sizes - 1.0) / 2
        return np.bincount(labels // (label_n.max() + 1), pairs, num_parts)

    both = pairs_P(first_n * (second_n.max() + 1) + second_n).sum()
    first_P = pairs_P(first_n)
    second_P = pairs_P(second_n)
    all_P = pairs_P(np.zeros_like(part_n))
    expected = np.divide(first_P * second_P, all_P, out=np.zeros(num_parts), where=all_P > 0).sum()
    maximum = (first_P.sum() + second_P.sum()) / 2
    return 1.0 if maximum == expected else float((both - expected) / (maximum - expected))
