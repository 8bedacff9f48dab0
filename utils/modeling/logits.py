"""What a model does to its logits after the output head.

A family may scale, bound or shift them in its own way. The tensor operations between the head's output
and the logits are recorded once in the model's own forward, and replayed on each tile of the logits.
So nothing needs to be known about a family.

Legend: Q rows of a tile, U columns of a tile, V vocabulary.
"""

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map


class NotSeparableError(Exception):
    """The logits are not a linear layer followed by something done to each entry by itself."""


@dataclass(frozen=True)
class LogitOperations:
    """The tensor operations between the head's output and the logits.

    Attributes:
        steps: (operation, arguments, named arguments) in order, with a `_Result` in place
            of an earlier result.
        logits: which of the results are the logits.
        vocabulary_size: V.
    """

    steps: list[tuple[Any, Any, Any]]
    logits: "_Result"
    vocabulary_size: int

    def replay(self, tile_QU: torch.Tensor, columns: slice | torch.Tensor) -> torch.Tensor:
        """The logits of a tile.

        Args:
            tile_QU: what the head returns for some vocabulary entries.
            columns: which, U of them.
        """
        if not self.steps:
            return tile_QU
        results = [tile_QU[None]]  # recorded on (batch, length, V)

        def actual(argument: Any) -> Any:
            if isinstance(argument, _Result):
                return results[argument.number]
            if isinstance(argument, torch.Tensor) and argument.shape[-1:] == (self.vocabulary_size,):
                return argument[..., columns]  # a bias, a mask
            return argument

        for operation, arguments, named in self.steps:
            results.append(operation(*tree_map(actual, arguments), **tree_map(actual, named)))
        return results[self.logits.number][0]


def operations_after(head: torch.nn.Module, model: Any, inputs: dict[str, torch.Tensor]) -> LogitOperations:
    """Run the model once and record.

    Args:
        inputs: what its forward takes, for one short row.

    Raises:
        NotSeparableError: if a replay on parts of the vocabulary does not give those parts of the logits.
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
class _Result:
    """A tensor by its number: 0 is what the head returned, k what step k returned."""

    number: int


class _Recorder(TorchDispatchMode):
    """Sees every operation while it is active and keeps those that follow from what the head returned."""

    def __init__(self, head_output: torch.Tensor):
        super().__init__()
        self._before = head_output.clone()  # operations may be in place
        self._steps: list[tuple[Any, Any, Any]] = []
        self._results = [head_output]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        recorded = tree_map(lambda value: self._result(value) or value, (args, kwargs or {}))
        if any(isinstance(value, _Result) for value in tree_leaves(recorded)):
            if not isinstance(result, torch.Tensor):
                raise NotSeparableError(f"{func} is applied to the logits")
            self._steps.append((func, *recorded))
            self._results.append(result)
        return result

    def finish(self, logits: torch.Tensor) -> LogitOperations:
        """The recorded operations, if a replay on each half of the vocabulary gives half of the logits."""
        last = self._result(logits)
        if last is None:
            raise NotSeparableError("the logits are not made from what the output head returns")
        operations = LogitOperations(self._steps, last, self._before.shape[-1])
        middle = operations.vocabulary_size // 2
        for part in (slice(0, middle), slice(middle, operations.vocabulary_size)):
            replayed = operations.replay(self._before[..., part].flatten(0, -2), part)
            expected = logits[..., part].flatten(0, -2)
            if replayed.shape != expected.shape or not torch.allclose(replayed, expected, equal_nan=True):
                raise NotSeparableError("the logits of different vocabulary entries depend on one another")
        return operations

    def _result(self, value: Any) -> _Result | None:
        # From the last one back, since an operation in place returns the tensor it was given.
        for number in reversed(range(len(self._results))):
            if self._results[number] is value:
                return _Result(number)
        return None
