"""The loss of each response, for scoring: exact, and fast.

The output head is the costly part: B x L x V logits, of which a loss needs R rows.
The hidden states are taken where the head would read them and pushed through it a tile at a time.
The token prefix that all examples share is computed once per model.

Legend: B rows of a batch, P tokens of the shared prefix, L tokens of the longest row behind it,
R response tokens of the batch, H hidden size, V vocabulary.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from ..data.batching import pad_rows
from ..data.token_rows import TokenRow
from .head import TiledHead, output_head
from .logits import NotSeparableError, operations_after
from .positions import fixed_rotary_length
from .precision import products_are_in_tf32
from .responses import model_inputs, response_positions

# How far the fast way may be from the plain one, in nats.
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}
_TF32_TOLERANCE = 0.02  # its products have as many bits as float16's


@dataclass(frozen=True)
class ResponseScores:
    """The scores of a batch, on the model's device, so that nobody waits for a GPU before they are read.

    Attributes:
        losses_B: float32, mean -log p over a row's response tokens in nats. NaN for a row without one.
        probability_B: float32, mean probability of a row's response tokens.
        max_probability_B: float32, mean probability of the likeliest token at the same positions. None unless
            asked for.
        embeddings_BH: float16, mean of what the output head reads at those positions. None unless asked for.
    """

    losses_B: torch.Tensor
    probability_B: torch.Tensor
    max_probability_B: torch.Tensor | None
    embeddings_BH: torch.Tensor | None

    def __getitem__(self, rows: torch.Tensor) -> "ResponseScores":
        """The scores of some rows, given as int64 positions in the batch."""
        return ResponseScores(
            losses_B=self.losses_B[rows],
            probability_B=self.probability_B[rows],
            max_probability_B=None if self.max_probability_B is None else self.max_probability_B[rows],
            embeddings_BH=None if self.embeddings_BH is None else self.embeddings_BH[rows],
        )


@dataclass(frozen=True)
class Probe:
    """What is known of the rows to come, and tells which way of scoring them is right.

    Attributes:
        rows: some of them, with response tokens, of many lengths.
        prefix: token ids that every row begins with and that end before its first prediction,
            for a causal model (see `utils.data.tokenization.shared_prefix`). None = not to be shared.
    """

    rows: Sequence[TokenRow]
    prefix: np.ndarray | None = None


class ResponseScorer:
    """Scores batches of rows with one model, exactly and fast.

    It first scores some real rows both its fast way and the plain one.
    Where they differ, it gives up the shared prefix, then the separate head, and `slow_because` says so.
    Rows that are too long to share a rotary table with others are scored alone.

    Args:
        model: in evaluation mode, on its device.
        pad_id: what fills a batch.
        probe: of the rows to come.
        max_probability: whether to return the likeliest tokens' probabilities.
        embeddings: whether to return embeddings.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        pad_id: int,
        probe: Probe,
        max_probability: bool = False,
        embeddings: bool = False,
    ):
        self._model = model
        self._pad_id = pad_id
        self._max_probability = max_probability
        self._embeddings = embeddings
        self._is_encoder_decoder = bool(model.config.is_encoder_decoder)
        self._longest_together = fixed_rotary_length(model)
        self.refresh(probe)

    def refresh(self, probe: Probe) -> None:
        """Choose the fastest way that is right, at the start and when the weights changed in place."""
        self.slow_because: str | None = None
        self._forget_fast_way()
        if not probe.rows:
            return
        expected_B = _stack([self._score_alone(row) for row in probe.rows]).losses_B
        if self._can_share(probe.prefix):
            problem = self._try_fast_way(probe.prefix, probe.rows, expected_B)
            if problem is None:
                return
            self._forget_fast_way()
            self.slow_because = f"without the shared prefix ({problem})"
        problem = self._try_fast_way(None, probe.rows, expected_B)
        if problem is not None:
            self._forget_fast_way()
            self.slow_because = f"one example at a time through the model's own forward ({problem})"

    def _forget_fast_way(self) -> None:
        self._head: TiledHead | None = None  # None: one row at a time, through the model's own forward
        self._prefix_length = 0
        self._prefix_cache: Any = None

    def score(self, rows: Sequence[TokenRow]) -> ResponseScores:
        """The scores of whole rows, the prefix included, in the order of the rows."""
        alone = [position for position, row in enumerate(rows) if self._must_be_alone(row)]
        together = [position for position, row in enumerate(rows) if not self._must_be_alone(row)]
        scores = [self._score_alone(rows[position]) for position in alone]
        if together:
            scores.append(self._score_together([rows[position] for position in together]))
        if not alone:
            return scores[0]
        return _stack(scores)[torch.tensor([*alone, *together]).argsort()]  # back in the order of the rows

    def _must_be_alone(self, row: TokenRow) -> bool:
        if self._head is None:
            return True
        return self._longest_together is not None and len(row) > self._longest_together

    def _score_together(self, rows: Sequence[TokenRow]) -> ResponseScores:
        assert self._head is not None
        cut = [row.after(self._prefix_length) for row in rows]
        batch = pad_rows(cut, self._pad_id, self._is_encoder_decoder)
        positions = response_positions(batch["labels"], self._is_encoder_decoder)
        targets = {
            "position_R": positions.position_R,
            "labels_R": positions.labels_R,
            "counts_B": torch.bincount(positions.position_R // positions.shape[1], minlength=len(rows)),
        }
        with torch.inference_mode():
            self._forget_longer_rows()
            hidden_BLH = self._hidden_before_head(self._on_device(batch))
            targets = self._on_device(targets)
            hidden_RH = hidden_BLH.flatten(0, 1)[targets["position_R"]]
            losses_R, max_probability_R = self._head.score(hidden_RH, targets["labels_R"])
            return self._per_row(losses_R, max_probability_R, hidden_RH, targets["counts_B"])

    def _per_row(
        self,
        losses_R: torch.Tensor,
        max_probability_R: torch.Tensor | None,
        hidden_RH: torch.Tensor,
        counts_B: torch.Tensor,
    ) -> ResponseScores:
        return ResponseScores(
            losses_B=_mean_per_row(losses_R, counts_B).float(),
            probability_B=_mean_per_row(torch.exp(-losses_R), counts_B).float(),
            max_probability_B=(
                None if max_probability_R is None else _mean_per_row(max_probability_R, counts_B).float()
            ),
            embeddings_BH=_mean_per_row(hidden_RH, counts_B).half() if self._embeddings else None,
        )

    def _on_device(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        device = self._model.device
        if device.type == "cuda":  # a copy from pinned memory does not wait for what the GPU is doing
            tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
        return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}

    def _hidden_before_head(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """(B, L, H): what the output head would have read. The head itself runs on one position only."""
        inputs = model_inputs(self._model, batch)
        cache = None
        if not self._is_encoder_decoder:
            # Padding is on the right, where no causal position looks.
            # Without a mask attention takes its fastest kernel.
            del inputs["attention_mask"]
            if self._prefix_cache is not None:
                cache = copy.deepcopy(self._prefix_cache)  # a forward pass appends to its cache
                cache.batch_repeat_interleave(len(inputs["input_ids"]))
        captured: list[torch.Tensor] = []

        def capture(_module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
            captured.append(arguments[0])
            return (arguments[0][:1, :1],)

        head = output_head(self._model)
        assert head is not None
        hook = head.register_forward_pre_hook(capture)
        try:
            if cache is None:
                self._model(**inputs, use_cache=False)
            else:
                self._model(**inputs, past_key_values=cache, use_cache=True)
        finally:
            hook.remove()
        if len(captured) != 1 or captured[0].shape[:-1] != batch["labels"].shape:
            shapes = [tuple(hidden.shape) for hidden in captured]
            raise NotSeparableError(f"the output head was given hidden states of shapes {shapes}")
        return captured[0]

    def _can_share(self, prefix: np.ndarray | None) -> bool:
        return prefix is not None and len(prefix) > 0 and not self._is_encoder_decoder

    def _try_fast_way(
        self, prefix: np.ndarray | None, rows: Sequence[TokenRow], expected_B: torch.Tensor
    ) -> str | None:
        """Get ready to score with a separate head and with this prefix.

        Returns:
            Why the losses are not as expected, None if they are.
        """
        try:
            self._head = self._separate_head(rows[0])
            self._prefix_length, self._prefix_cache = self._read_prefix(prefix)
            difference = (self._score_within_memory(rows).losses_B - expected_B).abs().max().item()
        except torch.OutOfMemoryError:  # a RuntimeError, but no fault of the fast way
            raise
        except NotSeparableError as error:
            return str(error)
        except (AttributeError, TypeError, IndexError, ValueError, RuntimeError) as error:
            return f"{type(error).__name__}: {error}"
        # Losses that are not finite cannot be compared. They are refused where they are written.
        if difference <= self._tolerance() or not expected_B.isfinite().all():
            return None
        return f"the fast way differs by {difference:.2g} nats"

    def _score_within_memory(self, rows: Sequence[TokenRow]) -> ResponseScores:
        """All rows together, or in halves where that is too much."""
        try:
            return self.score(rows)
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
        middle = len(rows) // 2
        return _stack([self._score_within_memory(rows[:middle]), self._score_within_memory(rows[middle:])])

    def _tolerance(self) -> float:
        if products_are_in_tf32(self._model.device):
            return max(_TF32_TOLERANCE, _TOLERANCE[self._model.dtype])
        return _TOLERANCE[self._model.dtype]

    def _separate_head(self, row: TokenRow) -> TiledHead:
        head = output_head(self._model)
        if head is None:
            raise NotSeparableError("it has no output head of its own")
        with torch.inference_mode():
            operations = operations_after(head, self._model, self._short_inputs(row.ids[:2]))
        return TiledHead(head, operations, self._max_probability)

    def _read_prefix(self, prefix: np.ndarray | None) -> tuple[int, Any]:
        """The length P of the prefix and its key-value cache."""
        if prefix is None:
            return 0, None
        ids = torch.from_numpy(np.asarray(prefix, np.int64))[None].to(self._model.device)
        with torch.inference_mode():
            self._forget_longer_rows()
            cache = getattr(self._model(input_ids=ids, use_cache=True), "past_key_values", None)
        if cache is None:
            raise NotSeparableError("it returns no key-value cache")
        return len(prefix), cache

    def _score_alone(self, row: TokenRow) -> ResponseScores:
        """One row, full logits, the model's own forward: slow, and right for every model."""
        batch = self._on_device(pad_rows([row], self._pad_id, self._is_encoder_decoder))
        positions = response_positions(batch["labels"], self._is_encoder_decoder)
        position_R = positions.position_R
        inputs = model_inputs(self._model, batch)
        with torch.inference_mode():
            self._forget_longer_rows()
            output = self._model(**inputs, use_cache=False, output_hidden_states=self._embeddings)
            logits_RV = output.logits[0, position_R].float()
            losses_R = functional.cross_entropy(logits_RV, positions.labels_R, reduction="none")
            max_probability_R = logits_RV.softmax(dim=1).amax(dim=1) if self._max_probability else None
            hidden = output.decoder_hidden_states if self._is_encoder_decoder else output.hidden_states
            # Without embeddings it is not read.
            hidden_RH = hidden[-1][0, position_R] if self._embeddings else logits_RV
            count = torch.tensor([len(position_R)], device=position_R.device)
            return self._per_row(losses_R, max_probability_R, hidden_RH, count)

    def _forget_longer_rows(self) -> None:
        """Make a rotary table that grew with a long row small again, which any short row does."""
        if self._longest_together is not None:
            self._model(**self._short_inputs(np.zeros(2, np.int64)), use_cache=False)

    def _short_inputs(self, ids: np.ndarray) -> dict[str, torch.Tensor]:
        """The inputs of the model's forward for two tokens."""
        row = TokenRow(ids, np.array([False, True]))
        batch = pad_rows([row], self._pad_id, self._is_encoder_decoder)
        return model_inputs(self._model, self._on_device(batch))


def _stack(scores: list[ResponseScores]) -> ResponseScores:
    max_probability = [score.max_probability_B for score in scores if score.max_probability_B is not None]
    embeddings = [score.embeddings_BH for score in scores if score.embeddings_BH is not None]
    return ResponseScores(
        losses_B=torch.cat([score.losses_B for score in scores]),
        probability_B=torch.cat([score.probability_B for score in scores]),
        max_probability_B=torch.cat(max_probability) if max_probability else None,
        embeddings_BH=torch.cat(embeddings) if embeddings else None,
    )


def _mean_per_row(values_R: torch.Tensor, counts_B: torch.Tensor) -> torch.Tensor:
    """Mean of consecutive stretches along the first dimension, in float64. NaN for an empty stretch."""
    # Without `unsafe` it checks the lengths, for which a GPU would be waited for.
    return torch.segment_reduce(values_R.double(), "mean", lengths=counts_B, unsafe=True)
