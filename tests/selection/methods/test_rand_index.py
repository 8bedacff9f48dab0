"""The index of two clusterings is what its definition over all pairs of rows says."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.selection.methods.rand_index import adjusted_rand_index

labels = st.integers(0, 4)


def index_of_part(first: np.ndarray, second: np.ndarray) -> tuple[int, float, float]:
    """(pairs together in both, expected by chance, maximum), by the definition over all pairs."""
    pairs = list(itertools.combinations(range(len(first)), 2))
    in_first = [first[a] == first[b] for a, b in pairs]
    in_second = [second[a] == second[b] for a, b in pairs]
    both = sum(one and other for one, other in zip(in_first, in_second, strict=True))
    expected = sum(in_first) * sum(in_second) / len(pairs) if pairs else 0
    return both, expected, (sum(in_first) + sum(in_second)) / 2


@given(st.lists(st.tuples(labels, labels), min_size=2, max_size=30))
def test_the_index_of_one_part_follows_its_definition(pairs):
    first, second = np.array(pairs).T
    both, expected, maximum = index_of_part(first, second)
    by_definition = 1.0 if maximum == pytest.approx(expected) else (both - expected) / (maximum - expected)
    assert adjusted_rand_index(np.zeros(len(first), int), first, second) == pytest.approx(
        by_definition, abs=1e-9
    )


def test_the_index_of_published_examples():
    """Values that scikit-learn's documentation of adjusted_rand_score gives."""
    one_part = np.zeros(4, int)
    assert adjusted_rand_index(one_part, np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0])) == 1
    assert adjusted_rand_index(one_part, np.array([0, 0, 1, 2]), np.array([0, 0, 1, 1])) == pytest.approx(
        0.57, abs=0.005
    )
    assert adjusted_rand_index(one_part, np.array([0, 0, 0, 0]), np.array([0, 1, 2, 3])) == 0
    assert adjusted_rand_index(one_part, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])) == pytest.approx(
        -0.5
    )


@given(st.lists(st.tuples(st.integers(0, 2), labels, labels), min_size=1, max_size=25))
def test_the_index_of_several_parts_follows_its_definition(triples):
    part, first, second = np.array(triples).T
    sums = np.zeros(3)
    for number in np.unique(part):
        sums += index_of_part(first[part == number], second[part == number])
    both, expected, maximum = sums
    by_definition = 1.0 if maximum == pytest.approx(expected) else (both - expected) / (maximum - expected)
    assert adjusted_rand_index(part, first, second) == pytest.approx(by_definition, abs=1e-9)


def test_clusters_that_only_agree_on_the_sources_earn_nothing():
    rng = np.random.default_rng(0)
    part = np.repeat(np.arange(10), 1000)
    first = 3 * part + rng.integers(3, size=10_000)
    second = 3 * part + rng.integers(3, size=10_000)
    assert abs(adjusted_rand_index(part, first, second)) < 0.01
    assert adjusted_rand_index(np.zeros_like(part), first, second) > 0.2
