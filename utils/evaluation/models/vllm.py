"""lm-eval's `vllm` back end, asked as our models were trained. Needs the extra `vllm`."""

from pathlib import Path
from typing import Any

import torch
from lm_eval.models.vllm_causallms import VLLM
from transformers import PreTrainedTokenizerBase

from ...data.chat import ChatTemplate
from ..questions.turns import chat_prompt
from .hf import CutOffRecord, encode_prompts

_VLLM: Any = VLLM  # its class decorator hides its type


class VllmModel(_VLLM):
    """One engine on a folder that holds a whole model, and its tokenizer in `tokenizer/`.

    Args:
        folder: the model.
        tokenizer: as the model was trained with.
        dtype: of the weights.
        tensor_parallel: devices that share the model.
        chat: the template in which it is asked. Its end of a turn ends a response, as do the model's own
            ends. None: it is asked with texts.

    Attributes:
        record: which responses were cut off.
    """

    def __init__(
        self,
        folder: Path,
        tokenizer: PreTrainedTokenizerBase,
        dtype: str,
        tensor_parallel: int,
        trust_remote_code: bool,
        chat: ChatTemplate | None,
    ):
        self._trained_tokenizer = tokenizer
        self._chat = chat
        super().__init__(
            pretrained=str(folder),
            tokenizer=str(folder / "tokenizer"),
            dtype=dtype,
            tensor_parallel_size=tensor_parallel,
            trust_remote_code=trust_remote_code,
            # "vllm" leaves out the penalties of a checkpoint's own config.
            generation_config="vllm" if chat is None else "auto",
            enforce_eager=not torch.cuda.is_available(),
        )
        self.record = CutOffRecord()
        self.set_cache_hook(self.record)

    def fit_batches(self, max_tokens: int, longest: int) -> None:
        """Nothing to do: the engine makes its own batches."""

    def tok_encode(self, string: Any, add_special_tokens: bool | None = None, **options: Any) -> Any:
        if isinstance(string, str):  # from a task that asks for likelihoods
            return super().tok_encode(string, add_special_tokens, **options)
        return encode_prompts(self._trained_tokenizer, string, False, self._chat is not None)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        assert self._chat is not None
        return chat_prompt(self._chat, chat_history, add_generation_prompt)

    def _model_generate(self, requests: Any, generate: bool = False, sampling_params: Any = None) -> Any:
        end = None if self._chat is None else self._chat.end_of_turn()
        if generate and end is not None:
            for sampling in sampling_params:
                sampling.stop_token_ids = [self._trained_tokenizer.convert_tokens_to_ids(end)]
        outputs = super()._model_generate(requests, generate, sampling_params)
        if generate:
            self.record.endings.extend(output.outputs[0].finish_reason == "length" for output in outputs)
        return outputs
