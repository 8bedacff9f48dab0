"""Which examples each optimizer step takes: a function of the seed, the rows and the global batch size alone.

Trainer cuts the order into per-device batches and deals them out in turn. So one global batch is one
optimizer step on any number of devices, if it is filled up with rows that have no label.
"""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Dataset, Sampler

from ..config.counts import steps_per_epoch
from ..data.tokenization import TokenizedPool

FILLER = -1  # the position of a row without label
_BATCHES_PER_LENGTH_GROUP = 50  # as transformers' LengthGroupedSampler: shuffle, then sort within 50 batches


class TrainingRows(Dataset):
    """The rows to train on, by position. FILLER gives one token without label."""

    def __init__(self, tokens: TokenizedPool, rows: np.ndarray):
        self._tokens = tokens
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, position: int) -> tuple[np.ndarray, int]:
        if position == FILLER:
            return np.zeros(1, np.int64), 1
        return self._tokens.row(int(self._rows[position]))


class GlobalBatchOrder(Sampler[int]):
    """Positions of an epoch's rows, global batch after global batch, each filled up to `padded_batch_size`.

    Args:
        lengths: tokens of each row, used by group_by_length only.
        global_batch_size: examples per optimizer step.
        padded_batch_size: per-device batch x devices x accumulation, at least global_batch_size.
        strategy: random, group_by_length (over global batches, never per device) or sequential.
        seed: of the run.
    """

    def __init__(
        self, lengths: np.ndarray, global_batch_size: int, padded_batch_size: int, strategy: str, seed: int
    ):
        assert padded_batch_size >= global_batch_size
        self._lengths = lengths
        self._global_batch_size = global_batch_size
        self._padded_batch_size = padded_batch_size
        self._strategy = strategy
        self._seed = seed
        self.steps_per_epoch = steps_per_epoch(len(lengths), global_batch_size)
        self.epoch = 0

    def __len__(self) -> int:
        return self.steps_per_epoch * self._padded_batch_size

    def __iter__(self) -> Iterator[int]:
        positions = self.positions(self.epoch)
        for start in range(0, len(positions), self._global_batch_size):
            batch = positions[start : start + self._global_batch_size]
            yield from batch.tolist()
            yield from [FILLER] * (self._padded_batch_size - len(batch))

    def positions(self, epoch: int) -> np.ndarray:
        """int64 (rows,): the order of one epoch, without fillers."""
        if self._strategy == "sequential":
            return np.arange(len(self._lengths))
        # The bit generator by name: numpy may change its default one.
        generator = np.random.Generator(np.random.PCG64([self._seed, epoch]))
        order = generator.permutation(len(self._lengths))
        if self._strategy != "group_by_length":
            return order
        group = self._global_batch_size * _BATCHES_PER_LENGTH_GROUP
        parts = [order[start : start + group] for start in range(0, len(order), group)]
        return np.concatenate([part[np.argsort(-self._lengths[part], kind="stable")] for part in parts])
