"""The model of an evaluation, as its losses and its responses need it."""

import gc
import shutil
from typing import Any

import torch

from ...artifacts.checkpoints import check_not_replaced
from ...artifacts.paths import RunPaths
from ...config.schema import RunConfig
from ...modeling.attention import with_possible_attention
from ...modeling.devices import own_device
from ...modeling.loading import load_base_model, load_checkpoint
from ..inputs import EvaluationInputs
from .hf import TransformersModel


class Models:
    """The model, for losses (transformers) and for generation (lm-eval on either back end).

    vLLM takes the whole device, so `losses` is None from its start on.

    Args:
        config: the run.
        inputs: what is evaluated.
        with_losses: whether losses are needed.

    Raises:
        ValueError: if the model cannot be loaded, or was trained anew since it was planned.
    """

    def __init__(self, config: RunConfig, inputs: EvaluationInputs, with_losses: bool):
        self._config = config
        self._inputs = inputs
        self._generation: Any = None
        self.device = own_device()
        self.losses = self._load() if with_losses or config.evaluation.backend == "hf" else None
        if self.losses is None:
            self._generation = self._start_vllm()

    @property
    def asked_in_chat(self) -> bool:
        """Whether prompts go through a chat template."""
        return self._inputs.chat is not None

    @property
    def generation(self) -> Any:
        if self._generation is None:
            if self._config.evaluation.backend == "hf":
                self._generation = TransformersModel(self.losses, self._inputs.tokenizer, self._inputs.chat)
            else:
                self.losses = None
                self._generation = self._start_vllm()
        return self._generation

    def _load(self) -> Any:
        dtype = getattr(torch, self._config.model_section.dtype)
        settings = with_possible_attention(self._config.model_section, self.device, dtype)
        checkpoint = self._inputs.checkpoint
        model: Any
        if checkpoint is None:
            model = load_base_model(settings, self._inputs.tokenizer, self._config.seed).eval()
        else:
            check_not_replaced(checkpoint, self._inputs.versions)
            model = load_checkpoint(checkpoint, settings, dtype, self._config.seed)
            check_not_replaced(checkpoint, self._inputs.versions)
        return model.to(self.device)

    def _start_vllm(self) -> Any:
        from .vllm import VllmModel  # an extra

        evaluation = self._config.evaluation
        tokenizer = self._inputs.tokenizer
        folder = RunPaths(self._config.run_name).evaluation_parts
        folder.mkdir(parents=True)
        try:
            # vLLM reads a whole model from disk, also where ours is an adapter or random weights.
            self._load().save_pretrained(folder)
            # Beside the config its model type would choose the tokenizer's class;
            # see `load_checkpoint_tokenizer`.
            tokenizer.save_pretrained(folder / "tokenizer")
            gc.collect()
            torch.cuda.empty_cache()  # vLLM measures what is free
            return VllmModel(
                folder=folder,
                tokenizer=tokenizer,
                dtype=self._config.model_section.dtype,
                tensor_parallel=evaluation.tensor_parallel,
                trust_remote_code=self._config.model_section.trust_remote_code,
                chat=self._inputs.chat,
            )
        finally:
            shutil.rmtree(folder)
