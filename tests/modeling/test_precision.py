"""Float32 products are what a scoring asks for, and what they were before it afterwards."""

import contextlib
from typing import Any

import pytest
import torch

from utils.modeling.precision import float32_products

_BACKENDS: Any = torch.backends  # whose type hints lack the newer switches
_SWITCHES = (_BACKENDS.cuda.matmul, _BACKENDS.cudnn.conv, _BACKENDS.cudnn.rnn)


def precisions() -> list[str]:
    return [switch.fp32_precision for switch in _SWITCHES]


@pytest.fixture(autouse=True)
def as_before():
    before = _BACKENDS.fp32_precision
    each = precisions()
    yield
    _BACKENDS.fp32_precision = before
    for switch, precision in zip(_SWITCHES, each, strict=True):
        switch.fp32_precision = precision


@pytest.mark.parametrize("around", ["tf32", "ieee"])
@pytest.mark.parametrize("in_tf32", [False, True])
def test_a_training_around_a_scoring_changes_no_product_of_it_nor_the_other_way_round(around, in_tf32):
    _BACKENDS.fp32_precision = around  # as Trainer does for train_args.tf32
    before = precisions()
    with contextlib.suppress(KeyError), float32_products(in_tf32):
        assert precisions() == ["tf32" if in_tf32 else "ieee"] * 3
        raise KeyError
    assert precisions() == before
