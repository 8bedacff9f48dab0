"""The model of an evaluation, as its losses and its responses need it."""

import gc
import tempfile
from pathlib import Path
from typing import Any

import torch

from ...artifacts.paths import RunPaths
from ...config.schema import RunConfig
from ...modeling.loading import load_base_model, load_checkpoint
from ..plan import EvaluationPlan
from .hf import TransformersModel


class Models:
    """The model, for losses (transformers) and for generation (lm-eval on either back end).

    vLLM wants the device for itself: from its start on there are no losses, so what has losses is measured first.
    """

    def __init__(self, config: RunConfig, plan: EvaluationPlan, with_losses: bool):
        """Args: with_losses: losses will be asked for. Raises: ValueError if the model cannot be loaded."""
        self._config, self._plan = config, plan
        self._generation: Any = None
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.losses = self._load() if with_losses or config.evaluation.backend == "hf" else None
        if self.losses is None:
            self._generation = self._start_vllm()

    @property
    def generation(self) -> Any:
        if self._generation is None:
            if self._config.evaluation.backend == "hf":
                chat = self._config.evaluation.chat_template
                self._generation = TransformersModel(self.losses, self._plan.tokenizer, chat)
            else:
                self.losses = None
                self._generation = self._start_vllm()
        return self._generation

    def _load(self) -> Any:
        config, plan = self._config.model, self._plan
        assert config is not None
        model: Any
        if plan.checkpoint is None:
            model = load_base_model(config, plan.tokenizer, self._config.seed).eval()
        else:
            dtype = getattr(torch, config.dtype)
            model = load_checkpoint(plan.checkpoint, config, dtype, self._config.seed)
        return model.to(self.device)

    def _start_vllm(self) -> Any:
        from .vllm import VllmModel

        model, evaluation, tokenizer = self._config.model, self._config.evaluation, self._plan.tokenizer
        assert model is not None
        parts = RunPaths(self._config.run_name).root / "parts"
        parts.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=parts
        ) as folder:  # a whole model, also of an adapter or of random weights
            self._load().save_pretrained(folder)
            # Apart from the config, whose model type would choose the tokenizer's class; see `load_checkpoint_tokenizer`.
            tokenizer.save_pretrained(Path(folder) / "tokenizer")
            gc.collect()
            torch.cuda.empty_cache()
            return VllmModel(
                Path(folder), tokenizer, model.dtype, evaluation.tensor_parallel, evaluation.chat_template
            )
