"""lm-eval's `hf` back end, asked as our models were trained.

Prompts are tokenized as in training, decoding is greedy, and the responses that the token limit cut off
are recorded.

Legend: B prompts of a batch, P tokens of its longest prompt, G generated tokens.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.api.model import CacheHook
from lm_eval.models.huggingface import HFLM
from transformers import GenerationConfig, PretrainedConfig, PreTrainedTokenizerBase

from ...data.chat import ChatTemplate
from ...data.tokenization import special_tokens_around_text
from ...modeling.loading import pad_id_of
from ...modeling.positions import context_length
from ...process.reporter import Progress
from ..questions.turns import chat_prompt


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    is_encoder_decoder: bool,
    is_chat: bool = False,
) -> list[list[int]]:
    """Token ids of each prompt with the special tokens that training puts around it, never cut.

    Args:
        is_chat: whether a chat template rendered the prompts, which writes those at the beginning itself.
    """
    if not prompts:
        return []
    prefix, suffix = special_tokens_around_text(tokenizer)
    texts = list(prompts)
    if is_chat:
        prefix = []
    elif not is_encoder_decoder:
        # In training the spaces before a response belong to the token of its first word.
        # Other merges across that seam cannot be foreseen without the response.
        texts = [text.rstrip(" ") for text in texts]
    if not is_encoder_decoder:
        suffix = []
    ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return [[*prefix, *prompt, *suffix] for prompt in ids]


def longest_prompt(architecture: PretrainedConfig, max_new_tokens: int) -> int | None:
    """Tokens that a prompt may have, None where the config names no context length.

    Raises:
        ValueError: if max_new_tokens leaves no position for the prompt.
    """
    positions = context_length(architecture)
    if positions is None:
        return None
    if max_new_tokens >= positions:
        raise ValueError(
            f"evaluation.max_new_tokens: found {max_new_tokens}, but the model has {positions} positions for "
            f"prompt and response: set evaluation.max_new_tokens below {positions}"
        )
    return positions if architecture.is_encoder_decoder else positions - max_new_tokens


class CutOffRecord(CacheHook):
    """Which prompts' responses were cut off.

    lm-eval hands its cache each response with its prompt, in the order in which they were generated.
    Before that, the language model adds to `endings` how each of them ended.

    Attributes:
        endings: whether each response that is not handed over yet was cut off.
        cut_off: prompt -> whether its response was.
    """

    def __init__(self) -> None:
        super().__init__(None)
        self.endings: deque[bool] = deque()
        self.cut_off: dict[str, bool] = {}
        self._progress: Progress | None = None

    def begin(self, progress: Progress) -> None:
        """Forget the responses so far, and report each one from now on to `progress`."""
        self.cut_off.clear()
        self._progress = progress

    def add_partial(self, attr: str, req: Any, res: Any) -> None:
        if self._progress is not None:
            self._progress.advance()
        if attr == "generate_until":
            self.cut_off[req[0]] = self.endings.popleft()


_HFLM: Any = HFLM  # its class decorator hides its type


class TransformersModel(_HFLM):
    """lm-eval's `hf` back end on a model that we loaded.

    Args:
        model: in evaluation mode, on its device.
        tokenizer: as the model was trained with.
        chat: the template in which it is asked. Its end of a turn ends a response, as do the model's own
            ends. None: it is asked with texts.

    Attributes:
        record: which responses were cut off.
    """

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, chat: ChatTemplate | None):
        self._pad_id = pad_id_of(tokenizer)
        self._chat = chat
        ends: list[Any] = [tokenizer.eos_token_id]
        if chat is not None:
            configured = model.generation_config.eos_token_id
            ends += configured if isinstance(configured, list) else [configured]
            if (end := chat.end_of_turn()) is not None:
                ends.append(tokenizer.convert_tokens_to_ids(end))
        self._end_ids = set(ends) - {None}
        # generate() fills gaps from the model's own: a penalty, suppressed tokens.
        model.generation_config = GenerationConfig()
        is_encoder_decoder = model.config.is_encoder_decoder
        super().__init__(
            model,
            backend="seq2seq" if is_encoder_decoder else "causal",
            tokenizer=tokenizer,
            max_length=context_length(model.config),
        )
        self.record = CutOffRecord()
        self.set_cache_hook(self.record)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        assert self._chat is not None
        return chat_prompt(self._chat, chat_history, add_generation_prompt)

    def fit_batches(self, max_tokens: int, longest: int) -> None:
        """Put as many sequences of `longest` tokens (prompt and response) in a batch as max_tokens allows."""
        self.batch_size_per_gpu = max(1, max_tokens // longest)

    def tok_batch_encode(
        self,
        strings: list[str],
        padding_side: str = "left",
        left_truncate_len: int | None = None,
        truncation: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """input_ids_BP and attention_mask_BP."""
        is_encoder_decoder = self.backend == "seq2seq"
        prompts = encode_prompts(self.tokenizer, strings, is_encoder_decoder, self._chat is not None)
        # Without a context length, lm-eval would cut to the tokenizer's length, or to 2,048 tokens.
        if left_truncate_len and context_length(self.model.config) is not None:
            prompts = [prompt[-left_truncate_len:] for prompt in prompts]
        width = max(map(len, prompts))
        input_ids_BP = torch.full((len(prompts), width), self._pad_id)
        attention_mask_BP = torch.zeros_like(input_ids_BP)
        for row, prompt in enumerate(prompts):
            # An encoder is padded on the right, as in training. A decoder goes on from the last column.
            columns = slice(0, len(prompt)) if is_encoder_decoder else slice(width - len(prompt), width)
            input_ids_BP[row, columns] = torch.tensor(prompt)
            attention_mask_BP[row, columns] = 1
        return input_ids_BP, attention_mask_BP

    def tok_decode(self, tokens: Any, skip_special_tokens: bool = True) -> str:
        text = self.tokenizer.decode(
            tokens, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
        )
        return str(text)

    @torch.inference_mode()
    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **options: Any
    ) -> torch.Tensor:
        """Tokens as generate() gives them: for a decoder the prompt's stand before the response's."""
        # In place of lm-eval's own, which lets an encoder-decoder generate as many tokens more
        # as its prompt has, and ends a batch only when every row in it has ended by the same stop string.
        is_encoder_decoder = self.backend == "seq2seq"
        attention_mask = options.pop("attention_mask")
        if not options.get("do_sample"):
            options = {"do_sample": False}
        end = self.tokenizer.decode([self.tokenizer.eos_token_id])
        stop = [text for text in stop if text and text != end]
        output = self.model.generate(
            input_ids=context,
            attention_mask=attention_mask,
            generation_config=GenerationConfig(
                **options,
                max_new_tokens=max_length - context.shape[1],
                eos_token_id=sorted(self._end_ids),
                pad_token_id=self._pad_id,
                decoder_start_token_id=self.config.decoder_start_token_id if is_encoder_decoder else None,
                use_cache=True,  # whatever the checkpoint's config says
                stop_strings=stop or None,
            ),
            tokenizer=self.tokenizer,
        )
        begin = 1 if is_encoder_decoder else context.shape[1]
        for ids in output[:, begin:].tolist():
            has_end = not self._end_ids.isdisjoint(ids) or self._pad_id in ids
            self.record.endings.append(not has_end and not any(text in self.tok_decode(ids) for text in stop))
        return output
