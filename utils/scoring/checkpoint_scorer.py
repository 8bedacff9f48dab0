"""The checkpoint on a worker's device: loaded, replaced by the next one, asked for the scores of rows."""

from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import torch

from ..artifacts.checkpoints import check_not_replaced
from ..config.schema import RunConfig
from ..data.batching import batch_widths, rows_of_all_lengths, token_budget_batches
from ..modeling.attention import with_possible_attention
from ..modeling.loading import check_weights, load_base_model, load_checkpoint, load_tokenizer
from ..modeling.scorer import Probe, ResponseScorer
from ..process.reporter import reporter
from .checkpoint_info import check_architecture
from .plan import ScoringPlan
from .progress import AfterBatch

_FIELDS = {  # quantity -> attribute of ResponseScores
    "loss": "losses_B",
    "probability": "probability_B",
    "max_probability": "max_probability_B",
    "embeddings": "embeddings_BH",
}


class CheckpointScorer:
    """The checkpoint on this worker's device.

    While it is scored the next one is read into memory in the background. Its weights then replace the old
    ones in place.
    """

    def __init__(self, config: RunConfig, plan: ScoringPlan, device: torch.device):
        self._config = config
        self._plan = plan
        self._device = device
        is_bfloat16 = config.trajectories.precision == "bfloat16"
        self._dtype = torch.bfloat16 if is_bfloat16 else torch.float32
        self._settings = with_possible_attention(config.model_section, device, self._dtype)
        self._step: int | None = None
        self.model: Any = None
        self._scorer: ResponseScorer | None = None
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-checkpoint")
        self._next: tuple[int, Future[Any]] | None = None
        rows = plan.tokens.scorable_rows
        probed = rows_of_all_lengths(rows, batch_widths(plan.tokens)[rows])
        self._probe = Probe([plan.tokens.row(row) for row in probed], plan.prefix)

    def load(self, step: int, next_step: int | None) -> None:
        """Bring a checkpoint to the device, and begin to read the next.

        Args:
            next_step: None after the last.

        Raises: ValueError if it cannot be loaded.
        """
        if step == self._step:
            return
        self._step = None
        try:
            self._place(self._take_read(step))
        except torch.OutOfMemoryError as error:
            raise ValueError(
                "out of memory before the first batch: the model or its longest example does not fit"
            ) from error
        assert self._scorer is not None
        if self._scorer.slow_because:
            reporter.warn(f"checkpoint {step} is scored {self._scorer.slow_because}")
        self._step = step
        if next_step is not None:
            self._next = (next_step, self._reader.submit(self._read, next_step))

    def _place(self, model: Any) -> None:
        """Bring a model that was read to the device and make a scorer of it."""
        if self._scorer is None:
            self.model = model.to(self._device)
            self._scorer = ResponseScorer(
                self.model,
                self._plan.pad_id,
                self._probe,
                max_probability="max_probability" in self._plan.quantities,
                embeddings="embeddings" in self._plan.quantities,
            )
        else:
            replace_weights(self.model, model)
            self._scorer.refresh(self._probe)

    def close(self) -> None:
        self._reader.shutdown(cancel_futures=True)

    def _take_read(self, step: int) -> Any:
        if self._next is not None:
            expected, future = self._next
            self._next = None
            if expected == step:
                return future.result()
            # Another worker was faster. Two reads at once would take the memory of two models, and draw from
            # one random generator.
            if not future.cancel():
                wait([future])
        return self._read(step)

    def _read(self, step: int) -> Any:
        """The checkpoint in main memory, in the precision it is scored in."""
        settings = self._settings
        folder = self._plan.checkpoints[step]
        if folder is None:
            model: Any = load_base_model(settings, load_tokenizer(settings), self._config.seed).eval()
            return model.to(self._dtype)
        check_not_replaced(folder, self._plan.versions[step])
        model = load_checkpoint(folder, settings, self._dtype, self._config.seed)
        check_not_replaced(folder, self._plan.versions[step])
        return model

    def longest(self, rows: np.ndarray) -> int:
        return int(batch_widths(self._plan.tokens)[rows].max())

    def score(
        self, rows: np.ndarray, max_tokens: int, after_batch: AfterBatch | None
    ) -> dict[str, np.ndarray]:
        """Quantity -> array in the order of `rows`.

        Args:
            after_batch: told the rows of each batch.

        Raises: ValueError if a loss is no number.
        """
        assert self._scorer is not None
        batches = token_budget_batches(
            np.arange(len(rows)), batch_widths(self._plan.tokens)[rows], max_tokens
        )
        # Read only when all batches are under way: a GPU is never waited for in between.
        scores = []
        for positions in batches:
            scores.append(self._scorer.score([self._plan.tokens.row(row) for row in rows[positions]]))
            if after_batch is not None:
                after_batch(rows[positions])
        results: dict[str, np.ndarray] = {}
        for quantity in self._plan.quantities if batches else ():
            parts = [getattr(score, _FIELDS[quantity]).cpu().numpy() for score in scores]
            results[quantity] = np.empty((len(rows), *parts[0].shape[1:]), parts[0].dtype)
            results[quantity][np.concatenate(batches)] = np.concatenate(parts)
        if not results:
            return {"loss": np.empty(0, np.float32)}
        bad = rows[~np.isfinite(results["loss"])]
        if len(bad):
            raise ValueError(
                f"the losses of {len(bad)} examples are no numbers (rows {bad[:5].tolist()}, ...): "
                "the checkpoint's weights or its arithmetic at this precision overflow"
            )
        return results


@torch.no_grad()
def replace_weights(model: Any, other: Any) -> None:
    """Give `model` the weights of `other`, in place. Both come from `from_pretrained`, so their names agree.

    Raises: ValueError if they are not of one architecture, as the checkpoints of a run are.
    """
    targets = model.state_dict()
    sources = other.state_dict()
    shared = targets.keys() & sources.keys()
    check_weights(
        "beside the other checkpoints",
        missing=targets.keys() - shared,
        mismatched={name for name in shared if targets[name].shape != sources[name].shape},
        surplus=sources.keys() - shared,
    )
    check_architecture(other.config, model.config)
    for name, target in targets.items():
        target.copy_(sources[name])
