"""The loss of responses: summed for training, per example for scoring.

The output head is the costly part: B x L x V logits of which a loss needs R rows. Training lets the model's own forward
compute just those (`logits_at`). Scoring takes the hidden states where the head would read them, pushes them through
the head a tile at a time, and computes the token prefix that all examples share once per model.

Legend: B rows of a batch, P tokens of the shared prefix, L tokens of the longest row behind it, R response tokens of the
batch, H hidden size, V vocabulary.
"""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from utils.data.batching import IGNORED, pad_rows
from utils.modeling.head import TiledHead, output_head

Row = tuple[np.ndarray, int]  # token ids int64 (length,), position of the first response token

_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.02}  # of the self-check, nats


@dataclass(frozen=True)
class ResponseScores:
    """Attributes, on the model's device, so that nobody waits for a GPU before they are read:
    losses_B: float32, mean -log p over a row's response tokens in nats; NaN for a row without one.
    probability_B: float32, mean probability of a row's response tokens.
    max_probability_B: float32, mean probability of the likeliest token at their places.
    embeddings_BH: float16, mean of what the output head reads at the response positions; None unless asked for.
    """

    losses_B: torch.Tensor
    probability_B: torch.Tensor
    max_probability_B: torch.Tensor
    embeddings_BH: torch.Tensor | None


def model_inputs(model: Any, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the model's forward takes, labels left out: the losses are ours, the same for every family."""
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(labels=batch["labels"])
    return inputs


def response_positions(labels_BL: torch.Tensor, is_encoder_decoder: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the model predicts a response token, and which.

    A causal model's position t predicts token t + 1; a decoder's position t predicts label t.

    Returns: bool (B, L); int64 (R,), in the order of the former's true entries.
    """
    if not is_encoder_decoder:
        labels_BL = functional.pad(labels_BL[:, 1:], (0, 1), value=IGNORED)
    predicted_BL = labels_BL != IGNORED
    return predicted_BL, labels_BL[predicted_BL]


@contextlib.contextmanager
def logits_at(model: Any, predicted_BL: torch.Tensor) -> Iterator[None]:
    """Within this context the model's forward computes logits at these positions only: (1, R, V) instead of (B, L, V).

    The output head is given the gathered hidden states; what a family does to its logits afterwards it does as ever.
    """

    def gather(_module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        return (arguments[0][predicted_BL][None],)

    hook = output_head(model).register_forward_pre_hook(gather)
    try:
        yield
    finally:
        hook.remove()


def summed_token_loss(logits_RV: torch.Tensor, labels_R: torch.Tensor) -> torch.Tensor:
    """Sum of -log p over response tokens, in nats, float32; no token at all gives 0 with a gradient of 0."""
    return functional.cross_entropy(logits_RV.float(), labels_R, reduction="sum")


class ResponseScorer:
    """Scores batches of rows with one model, exactly and fast.

    On being made it scores a few real rows both its fast way and the plain one. Where they differ, it gives up first
    the shared prefix, then the separate head, and `slow_because` says so.

    Args:
        model: in evaluation mode, on its device.
        pad_id: what fills a batch.
        probe: a few rows with response tokens, as `TokenizedPool.row` gives them.
        prefix: token ids that every row to be scored begins with, and that end before its first prediction (see
            `utils.data.tokenization.shared_prefix`); causal models only.
        embeddings: whether to return embeddings.
        compiled: run the model below its head, and what follows the head, through torch.compile.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        pad_id: int,
        probe: Sequence[Row],
        prefix: np.ndarray | None = None,
        embeddings: bool = False,
        compiled: bool = False,
    ):
        self._model, self._pad_id, self._embeddings, self._compiled = model, pad_id, embeddings, compiled
        # What other families do to their logits is found out by the self-check.
        softcap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
        self._head = TiledHead(output_head(model), softcap, compiled)
        if compiled:
            model.base_model.compile(dynamic=True)
        self._is_encoder_decoder = bool(model.config.is_encoder_decoder)
        self.refresh(prefix, probe)

    def refresh(self, prefix: np.ndarray | None, probe: Sequence[Row]) -> None:
        """Read the prefix and check the fast way again: the model's weights changed in place."""
        self._splits_head = True
        self.slow_because: str | None = None
        self._read_prefix(prefix)
        self._check_against_plain_way(probe)

    def score(self, rows: Sequence[Row]) -> ResponseScores:
        """Args: rows: whole rows, the prefix included. Returns: in the order of the rows."""
        if not self._splits_head:
            return _stack([self._score_plainly(row) for row in rows])
        cut = [(ids[self._prefix_length :], start - self._prefix_length) for ids, start in rows]
        batch = pad_rows(cut, self._pad_id, self._is_encoder_decoder)
        predicted_BL, labels_R = response_positions(batch["labels"], self._is_encoder_decoder)
        place_R, counts_B = predicted_BL.flatten().nonzero().squeeze(1), predicted_BL.sum(dim=1)
        with torch.inference_mode():
            hidden_BLH = self._hidden_before_head(self._on_device(batch))
            placed = self._on_device({"place_R": place_R, "labels_R": labels_R, "counts_B": counts_B})
            hidden_RH = hidden_BLH.flatten(0, 1)[placed["place_R"]]
            losses_R, max_probability_R = self._head.score(hidden_RH, placed["labels_R"])
            return self._per_row(losses_R, max_probability_R, hidden_RH, placed["counts_B"])

    def _per_row(
        self, losses_R: torch.Tensor, max_probability_R: torch.Tensor, hidden_RH: torch.Tensor, counts_B: torch.Tensor
    ) -> ResponseScores:
        return ResponseScores(
            _mean_per_row(losses_R, counts_B).float(),
            _mean_per_row(torch.exp(-losses_R), counts_B).float(),
            _mean_per_row(max_probability_R, counts_B).float(),
            _mean_per_row(hidden_RH, counts_B).half() if self._embeddings else None,
        )

    def _on_device(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Copied through pinned memory, which does not wait for what the GPU is doing."""
        device = self._model.device
        if device.type == "cuda":
            tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
        return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}

    def _hidden_before_head(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """(B, L, H): what the output head would have read; the head itself runs on one position only.

        Padding is on the right, where no causal position looks: without a mask attention takes its fastest kernel.
        """
        inputs = model_inputs(self._model, batch)
        cache = None
        if not self._is_encoder_decoder:
            del inputs["attention_mask"]
            if self._prefix_cache is not None:
                cache = copy.deepcopy(self._prefix_cache)
                cache.batch_repeat_interleave(len(inputs["input_ids"]))
        captured: list[torch.Tensor] = []

        def capture(_module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
            captured.append(arguments[0])
            return (arguments[0][:1, :1],)

        hook = output_head(self._model).register_forward_pre_hook(capture)
        try:
            if cache is None:
                self._model(**inputs, use_cache=False)
            else:
                self._model(**inputs, past_key_values=cache, use_cache=True)
        finally:
            hook.remove()
        if len(captured) != 1:
            raise _NotSeparableError(f"the output head ran {len(captured)} times in one forward pass")
        return captured[0]

    def _read_prefix(self, prefix: np.ndarray | None) -> None:
        self._prefix_length, self._prefix_cache = 0, None
        if prefix is None or len(prefix) == 0 or self._is_encoder_decoder:
            return
        ids = torch.from_numpy(np.asarray(prefix, np.int64))[None].to(self._model.device)
        with torch.inference_mode():
            cache = self._model(input_ids=ids, use_cache=True).past_key_values
        if cache is not None:
            self._prefix_length, self._prefix_cache = len(prefix), cache

    def _check_against_plain_way(self, probe: Sequence[Row]) -> None:
        if not probe:
            return
        wanted = _stack([self._score_plainly(row) for row in probe])
        while self._splits_head:
            try:
                difference = (self.score(probe).losses_B - wanted.losses_B).abs().max().item()
                if not wanted.losses_B.isfinite().all() or difference <= _TOLERANCE[self._model.dtype]:
                    return
                reason = f"the fast way differs by {difference:.2g} nats"
            except torch.OutOfMemoryError:
                raise
            except (_NotSeparableError, AttributeError, TypeError, IndexError, RuntimeError) as error:
                if self._compiled:
                    raise ValueError(
                        f"trajectories.compile: {type(self._model).__name__} cannot be compiled here ({error}): set it to false"
                    ) from error
                reason = f"{type(error).__name__}: {error}"
            if self._prefix_cache is not None:
                self._prefix_length, self._prefix_cache = 0, None
                self.slow_because = f"without the shared prefix ({reason})"
            else:
                self._splits_head = False
                self.slow_because = f"one example at a time through the model's own forward ({reason})"

    def _score_plainly(self, row: Row) -> ResponseScores:
        """One row, full logits, the model's own forward: slow, and right for every model."""
        batch = self._on_device(pad_rows([row], self._pad_id, self._is_encoder_decoder))
        predicted_BL, labels_R = response_positions(batch["labels"], self._is_encoder_decoder)
        with torch.inference_mode():
            output = self._model(
                **model_inputs(self._model, batch), use_cache=False, output_hidden_states=self._embeddings
            )
            logits_RV = output.logits[predicted_BL].float()
            losses_R = functional.cross_entropy(logits_RV, labels_R, reduction="none")
            hidden = output.decoder_hidden_states if self._is_encoder_decoder else output.hidden_states
            hidden_RH = hidden[-1][predicted_BL] if self._embeddings else logits_RV
            return self._per_row(losses_R, logits_RV.softmax(dim=1).amax(dim=1), hidden_RH, predicted_BL.sum(dim=1))


class _NotSeparableError(Exception):
    """The output head is not called as one module with the hidden states."""


def _stack(scores: list[ResponseScores]) -> ResponseScores:
    embeddings = [score.embeddings_BH for score in scores if score.embeddings_BH is not None]
    return ResponseScores(
        torch.cat([score.losses_B for score in scores]),
        torch.cat([score.probability_B for score in scores]),
        torch.cat([score.max_probability_B for score in scores]),
        torch.cat(embeddings) if embeddings else None,
    )


def _mean_per_row(values_R: torch.Tensor, counts_B: torch.Tensor) -> torch.Tensor:
    """Mean of consecutive stretches along the first dimension, in float64; 0 / 0 = NaN for an empty stretch."""
    return torch.segment_reduce(values_R.double(), "mean", lengths=counts_B)
