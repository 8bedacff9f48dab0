"""Which examples each optimizer step takes: a function of the seed, the rows and the global batch size alone.

How they are dealt to micro-batches and devices is another matter: by length, so that little of a training is
padding. The gradient of a step is the same up to rounding, however its rows are dealt.
"""

import heapq
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Dataset, Sampler

from ..config.counts import steps_per_epoch
from ..data.token_rows import TokenRow
from ..data.tokenization import TokenizedPool

FILLER = -1  # the position of a row without label
# Tokens that a device computes in the time that a micro-batch costs by itself.
_COST_OF_MICRO_BATCH_ON_CPU = 128
_COST_OF_MICRO_BATCH_ON_GPU = 8192
_NUM_SAMPLES = 20  # global batches by which numbers of micro-batches are compared
_BATCHES_PER_LENGTH_GROUP = 50  # as transformers' LengthGroupedSampler: shuffle, then sort within 50 batches

MicroBatch = tuple[int, ...]  # positions of the rows that go through the model together


class TrainingRows(Dataset):
    """The rows to train on, a micro-batch of them at a time. FILLER is one token without label."""

    def __init__(self, tokens: TokenizedPool, rows: np.ndarray):
        self._tokens = tokens
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, micro_batch: MicroBatch) -> list[TokenRow]:
        return [self._row(position) for position in micro_batch]

    def _row(self, position: int) -> TokenRow:
        if position == FILLER:
            # Of a row: token 0 may be padding, whose embedding of zeros some norms cannot be derived at.
            return TokenRow(self._tokens.row(int(self._rows[0])).ids[:1], np.zeros(1, bool))
        return self._tokens.row(int(self._rows[position]))


class GlobalBatchOrder(Sampler[MicroBatch]):
    """The micro-batches of an epoch, the same number of them for each global batch.

    Trainer deals them out to the devices in turn.

    Args:
        lengths: tokens of each row.
        global_batch_size: examples per optimizer step.
        micro_batches: of an optimizer step, devices x accumulation.
        strategy: random, group_by_length (over global batches, never per device) or sequential.
        seed: of the run.
        is_packed: whether micro-batches are packed, and not padded to their longest row.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        global_batch_size: int,
        micro_batches: int,
        strategy: str,
        seed: int,
        is_packed: bool = False,
    ):
        self.is_packed = is_packed
        self._lengths = lengths
        self._global_batch_size = global_batch_size
        self._micro_batches = micro_batches
        self._strategy = strategy
        self._seed = seed
        self.steps_per_epoch = steps_per_epoch(len(lengths), global_batch_size)
        self.epoch = 0

    def __len__(self) -> int:
        return self.steps_per_epoch * self._micro_batches

    def __iter__(self) -> Iterator[MicroBatch]:
        positions = self.positions(self.epoch)
        for start in range(0, len(positions), self._global_batch_size):
            batch = positions[start : start + self._global_batch_size]
            dealt = (deal_packed if self.is_packed else deal)(self._lengths[batch], self._micro_batches)
            for places in dealt:
                yield tuple(batch[places].tolist()) or (FILLER,)

    def positions(self, epoch: int) -> np.ndarray:
        """int64 (rows,): the order of one epoch."""
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


def choose_num_micro_batches(lengths: np.ndarray, global_batch_size: int, fewest: int, on_gpu: bool) -> int:
    """How many micro-batches to deal a global batch to.

    The more there are, the less padding they hold, and each costs something by itself.

    Args:
        lengths: tokens of each row of the pool.
        global_batch_size: rows of a global batch.
        fewest: that memory allows, over all devices.
        on_gpu: where they are computed.

    Returns:
        `fewest`, doubled as often as it pays.
    """
    cost_of_one = _COST_OF_MICRO_BATCH_ON_GPU if on_gpu else _COST_OF_MICRO_BATCH_ON_CPU
    generator = np.random.Generator(np.random.PCG64(0))
    size = min(global_batch_size, len(lengths))
    samples = [generator.choice(lengths, size) for _ in range(_NUM_SAMPLES)]

    def cost(count: int) -> float:
        dealt = [sample[places] for sample in samples for places in deal(sample, count)]
        padded = sum(len(part) * max(1, int(part.max())) for part in dealt if len(part))
        return padded / _NUM_SAMPLES + count * cost_of_one

    count = fewest
    while 2 * count <= size and cost(2 * count) < cost(count):
        count *= 2
    return count


def deal(lengths: np.ndarray, count: int) -> list[np.ndarray]:
    """Deal rows to micro-batches so that the largest is as small as can be, counted in padded tokens.

    No micro-batch is larger than one of equally many rows could be, so memory is what the user allowed. Of
    almost equal size, devices that work side by side wait little for one another.

    Args:
        lengths: tokens of each row.
        count: of micro-batches. Some may stay empty.

    Returns:
        Places in `lengths`, those of the longest rows first.
    """
    order = np.argsort(-lengths, kind="stable")
    longest_first = np.maximum(lengths[order], 1)
    # The smallest limit with which `count` micro-batches are enough, by halving.
    enough = int(longest_first[0]) * -(-len(lengths) // count)
    too_small = int(longest_first[0]) - 1
    while enough - too_small > 1:
        limit = (enough + too_small) // 2
        if len(_cuts(longest_first, limit)) <= count:
            enough = limit
        else:
            too_small = limit
    cuts = _cuts(longest_first, enough)
    cuts += [len(lengths)] * (count - len(cuts))
    return np.split(order, cuts[:-1])


def deal_packed(lengths: np.ndarray, count: int) -> list[np.ndarray]:
    """Deal rows to micro-batches that hold no padding, so that they hold about equally many tokens.

    The longest row that is left goes to the micro-batch with the fewest tokens (Graham 1969: at most a third
    more than the best deal). None is larger than one of equally many rows of the longest could be.

    Args:
        lengths: tokens of each row.
        count: of micro-batches. Some may stay empty.

    Returns:
        Places in `lengths`.
    """
    dealt: list[list[int]] = [[] for _ in range(count)]
    fewest = [(0, number) for number in range(count)]  # a heap of (tokens, micro-batch)
    for place in np.argsort(-lengths, kind="stable").tolist():
        tokens, number = fewest[0]
        dealt[number].append(place)
        heapq.heapreplace(fewest, (tokens + max(1, int(lengths[place])), number))
    return [np.array(places, np.int64) for places in dealt]


def _cuts(longest_first: np.ndarray, limit: int) -> list[int]:
    """Where micro-batches of at most `limit` padded tokens end."""
    cuts = []
    start = 0
    while start < len(longest_first):
        start = min(len(longest_first), start + limit // int(longest_first[start]))
        cuts.append(start)
    return cuts
