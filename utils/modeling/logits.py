"""What a model does to its logits after the output head: it may scale, bound or shift them, each family in its own way.

Taken from the model's own forward: the tensor operations between what the head returns and the logits are recorded once
and replayed on each tile of the logits, so that nothing needs to be known about a family.

Legend: Q rows of a tile, U columns of a tile, V vocabulary.
"""

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map


class NotSeparableError(Exception):
    """The logits are not one linear layer of the hidden states and then something done to each entry by itself."""


@dataclass(frozen=True)
class LogitOperations:
    """Attributes:
    steps: (operation, arguments, named arguments), in order, a `_Place` standing for what an earlier step made.
    logits: which of the tensors made are the logits.
    vocabulary_size: V.
    """

    steps: list[tuple[Any, Any, Any]]
    logits: "_Place"
    vocabulary_size: int

    def replay(self, tile_QU: torch.Tensor, start: int) -> torch.Tensor:
        """Args: tile_QU: what the head returns for the vocabulary entries from `start` on. Returns: their logits."""
        if not self.steps:
            return tile_QU
        made = [tile_QU[None]]  # recorded on (batch, length, V)
        columns = slice(start, start + tile_QU.shape[1])

        def actual(argument: Any) -> Any:
            if isinstance(argument, _Place):
                return made[argument.number]
            if isinstance(argument, torch.Tensor) and argument.shape[-1:] == (self.vocabulary_size,):
                return argument[..., columns]  # a bias, a mask
            return argument

        for operation, arguments, named in self.steps:
            made.append(operation(*tree_map(actual, arguments), **tree_map(actual, named)))
        return made[self.logits.number][0]


def operations_after(head: torch.nn.Module, model: Any, inputs: dict[str, torch.Tensor]) -> LogitOperations:
    """Runs the model once and records. Args: inputs: of its forward, one short row.

    Raises: NotSeparableError if replaying on parts of the vocabulary does not give those parts of the logits.
    """
    recorders: list[_Recorder] = []
    with contextlib.ExitStack() as recording:

        def begin(_module: torch.nn.Module, _arguments: Any, head_output: torch.Tensor) -> None:
            recorders.append(_Recorder(head_output))
            recording.enter_context(recorders[-1])

        hook = head.register_forward_hook(begin)
        try:
            logits = model(**inputs, use_cache=False).logits
        finally:
            hook.remove()
    if len(recorders) != 1:
        raise NotSeparableError(f"the output head ran {len(recorders)} times in one forward pass")
    return recorders[0].finish(logits)


@dataclass(frozen=True)
class _Place:
    """Of a tensor among those made: 0 is what the head returned, k what step k returned."""

    number: int


class _Recorder(TorchDispatchMode):
    """Sees every operation while it is active and keeps those that follow from what the head returned."""

    def __init__(self, head_output: torch.Tensor):
        super().__init__()
        self._before = head_output.clone()  # operations may be in place
        self._steps: list[tuple[Any, Any, Any]] = []
        self._made = [head_output]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        recorded = tree_map(lambda value: self._place(value) or value, (args, kwargs or {}))
        if any(isinstance(value, _Place) for value in tree_leaves(recorded)):
            if not isinstance(result, torch.Tensor):
                raise NotSeparableError(f"{func} is applied to the logits")
            self._steps.append((func, *recorded))
            self._made.append(result)
        return result

    def finish(self, logits: torch.Tensor) -> LogitOperations:
        place = self._place(logits)
        if place is None:
            raise NotSeparableError("the logits are not made from what the output head returns")
        operations = LogitOperations(self._steps, place, self._before.shape[-1])
        middle = operations.vocabulary_size // 2
        for part in (slice(0, middle), slice(middle, operations.vocabulary_size)):
            replayed = operations.replay(self._before[..., part].flatten(0, -2), part.start)
            expected = logits[..., part].flatten(0, -2)
            if replayed.shape != expected.shape or not torch.allclose(replayed, expected, equal_nan=True):
                raise NotSeparableError("the logits of different vocabulary entries depend on one another")
        return operations

    def _place(self, value: Any) -> "_Place | None":
        """The latest, since an operation in place returns what it was given."""
        for number in reversed(range(len(self._made))):
            if self._made[number] is value:
                return _Place(number)
        return None
