"""Greedy responses to prompts, in length-sorted batches.

Legend: B prompts of a batch, P tokens of its longest prompt, G generated tokens.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from utils.data.batching import token_budget_batches
from utils.data.tokenization import special_tokens_around_text
from utils.evaluation.results import Response
from utils.modeling.loading import pad_id_of


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], is_encoder_decoder: bool
) -> list[list[int]]:
    """Token ids of each prompt with the special tokens that training puts around it, never cut."""
    if not prompts:
        return []
    prefix, suffix = special_tokens_around_text(tokenizer)
    ids = tokenizer(list(prompts), add_special_tokens=False, verbose=False)["input_ids"]
    return [[*prefix, *prompt, *(suffix if is_encoder_decoder else [])] for prompt in ids]


def longest_prompt(architecture: PretrainedConfig, max_new_tokens: int) -> int | None:
    """Tokens that a prompt may have, None where positions are unlimited.

    Raises: ValueError if max_new_tokens alone exceeds the model's positions.
    """
    positions = getattr(architecture.get_text_config(), "max_position_embeddings", None)
    if positions is None:
        return None
    if max_new_tokens >= positions:
        raise ValueError(
            f"evaluation.max_new_tokens: found {max_new_tokens}, but the model has {positions} positions for prompt "
            f"and response: set evaluation.max_new_tokens below {positions}"
        )
    return positions if architecture.is_encoder_decoder else positions - max_new_tokens


def greedy_responses(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    max_tokens_per_batch: int,
    label: str,
) -> list[Response]:
    """One response per prompt, in the order of the prompts, whatever the batches.

    Args: prompts: token ids of `encode_prompts`; label: for the progress bar. A batch of B prompts is at most
    max_tokens_per_batch = B x (P + max_new_tokens) tokens.
    """
    limit = longest_prompt(model.config, max_new_tokens)
    lengths = np.array([len(prompt) for prompt in prompts])
    fitting = np.flatnonzero(lengths <= limit) if limit is not None else np.arange(len(prompts))
    responses = [Response("", too_long=True)] * len(prompts)
    settings = _greedy_settings(model, tokenizer, max_new_tokens)
    model.generation_config = settings  # generate() fills gaps from here: a repetition penalty, suppressed tokens
    with tqdm(total=len(fitting), desc=label, unit=" questions", disable=None) as progress:
        for rows in token_budget_batches(fitting, lengths[fitting] + max_new_tokens, max_tokens_per_batch):
            batch = [prompts[row] for row in rows]
            for row, response in zip(rows, _generate(model, tokenizer, batch, settings), strict=True):
                responses[row] = response
            progress.update(len(rows))
    return responses


def _greedy_settings(model: Any, tokenizer: PreTrainedTokenizerBase, max_new_tokens: int) -> GenerationConfig:
    is_encoder_decoder = model.config.is_encoder_decoder
    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_new_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=pad_id_of(tokenizer),
        decoder_start_token_id=model.config.decoder_start_token_id if is_encoder_decoder else None,
        use_cache=True,  # whatever the checkpoint's config says
    )


@torch.inference_mode()
def _generate(
    model: Any, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]], settings: GenerationConfig
) -> list[Response]:
    is_encoder_decoder = model.config.is_encoder_decoder
    width = max(map(len, prompts))
    input_ids_BP = np.full((len(prompts), width), settings.pad_token_id, np.int64)
    attention_mask_BP = np.zeros_like(input_ids_BP)
    for position, prompt in enumerate(prompts):
        # A decoder goes on from the last column; an encoder reads what it was trained on, padding on the right.
        columns = slice(0, len(prompt)) if is_encoder_decoder else slice(width - len(prompt), width)
        input_ids_BP[position, columns] = prompt
        attention_mask_BP[position, columns] = 1
    output = model.generate(
        input_ids=torch.from_numpy(input_ids_BP).to(model.device),
        attention_mask=torch.from_numpy(attention_mask_BP).to(model.device),
        generation_config=settings,
    )
    generated_BG = output[:, 1 if is_encoder_decoder else width :].tolist()
    responses = []
    for ids in generated_BG:
        cut_off = tokenizer.eos_token_id not in ids
        kept = ids if cut_off else ids[: ids.index(tokenizer.eos_token_id)]
        text = tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        responses.append(Response(str(text), cut_off))
    return responses
