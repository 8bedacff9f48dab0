"""Load a base model or a checkpoint, and take the loss of its responses.

Loading is always `from_pretrained`: names on disk are not module names for every family (GPT-NeoX's output head, mixture
of experts), and only it knows the conversion. A checkpoint is never changed by loading it.

Legend: B rows of a batch, L tokens of its longest row, R response tokens of the batch, H hidden size, V vocabulary.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)
from transformers.utils import logging as transformers_logging

from utils.artifacts.checkpoints import checkpoint_fingerprint
from utils.config.schema import LoraConfig, ModelConfig
from utils.data.batching import IGNORED

transformers_logging.disable_progress_bar()  # a bar for every load and save would break up our lines of progress

_LOGITS_AT_ONCE = 2**25  # R x V entries: 128 MiB of float32 logits, whatever the batch


def load_tokenizer(model: ModelConfig) -> PreTrainedTokenizerBase:
    """The tokenizer of a base model. Raises: FileNotFoundError or ValueError with the setting to correct."""
    name = model.tokenizer or model.name_or_path
    assert name is not None
    return _load_tokenizer(
        name, revision=model.revision, cache_dir=model.cache_dir, trust_remote_code=model.trust_remote_code
    )


def load_checkpoint_tokenizer(folder: Path, model: ModelConfig) -> PreTrainedTokenizerBase:
    """The checkpoint's own tokenizer, or the base model's where the folder holds none."""
    if (folder / "tokenizer_config.json").is_file():
        return _load_tokenizer(str(folder), trust_remote_code=model.trust_remote_code)
    return load_tokenizer(model)


def _load_tokenizer(name: str, **options: Any) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(name, **options)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"no tokenizer can be loaded from {name!r}: {error}") from error


def base_config(model: ModelConfig) -> PretrainedConfig:
    """The architecture of a base model, without its weights."""
    if model.architecture is not None:
        settings = dict(model.architecture)
        model_type = settings.pop("model_type")
        try:
            return AutoConfig.for_model(model_type, **settings)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"model.architecture: transformers cannot build {model_type!r}: {error}") from error
    try:
        return AutoConfig.from_pretrained(
            str(model.name_or_path),
            revision=model.revision,
            cache_dir=model.cache_dir,
            trust_remote_code=model.trust_remote_code,
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"model.name_or_path: {model.name_or_path!r} cannot be loaded: {error}") from error


def base_fingerprint(model: ModelConfig, seed: int) -> str:
    """sha256 of what identifies a base model: its weight files, its commit on the hub, or what its random weights
    follow from (architecture, seed, torch)."""
    if model.architecture is not None:
        origin = [model.architecture, seed, torch.__version__]
    elif Path(str(model.name_or_path)).is_dir():
        return checkpoint_fingerprint(Path(str(model.name_or_path)))
    else:
        origin = [model.name_or_path, getattr(base_config(model), "_commit_hash", None) or model.revision]
    return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()


def load_base_model(model: ModelConfig, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """The model before fine-tuning (step 0). Random weights of an architecture follow from the seed alone.

    The vocabulary grows only if the tokenizer has ids that the embedding lacks; rows that are there are not touched.

    Raises: ValueError if it cannot be loaded or lacks weights.
    """
    config = base_config(model)
    options: dict[str, Any] = {"dtype": getattr(torch, model.dtype)}
    if model.attn_implementation is not None:
        options["attn_implementation"] = model.attn_implementation
    if model.architecture is not None:
        config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
        set_seed(seed)
        loaded = _auto_class(config).from_config(config, **options)
    else:
        loaded = _from_pretrained(
            str(model.name_or_path),
            config,
            revision=model.revision,
            cache_dir=model.cache_dir,
            trust_remote_code=model.trust_remote_code,
            **options,
        )
    if len(tokenizer) > cast(torch.nn.Embedding, loaded.get_input_embeddings()).num_embeddings:
        set_seed(seed)
        loaded.resize_token_embeddings(len(tokenizer))
    return loaded


def load_checkpoint(folder: Path, model: ModelConfig, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A saved model in evaluation mode; a LoRA checkpoint comes with its adapter merged in.

    Raises: FileNotFoundError; ValueError naming the folder if it is unreadable, truncated or lacks weights.
    """
    options: dict[str, Any] = {"dtype": dtype}
    if model.attn_implementation is not None:
        options["attn_implementation"] = model.attn_implementation
    if (folder / "adapter_config.json").is_file():
        return _merged_adapter(folder, model, options).eval()
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no config.json: expected a Hugging Face model folder")
    config = AutoConfig.from_pretrained(folder, trust_remote_code=model.trust_remote_code)
    return _from_pretrained(str(folder), config, trust_remote_code=model.trust_remote_code, **options).eval()


def add_lora(base: PreTrainedModel, lora: LoraConfig) -> Any:
    """Wrap a model for low-rank adaptation (peft)."""
    import peft  # three seconds that only LoRA runs pay

    settings = peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        task_type="SEQ_2_SEQ_LM" if base.config.is_encoder_decoder else "CAUSAL_LM",
    )
    return peft.get_peft_model(base, settings)


def load_trainable_adapter(base: PreTrainedModel, folder: Path) -> Any:
    """A LoRA checkpoint on its base model, for training to go on."""
    import peft

    return peft.PeftModel.from_pretrained(base, str(folder), is_trainable=True)


def _merged_adapter(folder: Path, model: ModelConfig, options: dict[str, Any]) -> PreTrainedModel:
    import peft

    tokenizer = load_checkpoint_tokenizer(folder, model)
    base = load_base_model(
        model.model_copy(update={"dtype": str(options["dtype"]).removeprefix("torch.")}), tokenizer, 0
    )
    try:
        return peft.PeftModel.from_pretrained(base, str(folder)).merge_and_unload()
    except (OSError, ValueError, SafetensorError, RuntimeError) as error:
        raise ValueError(f"{folder}: the adapter cannot be loaded: {error}") from error


def _auto_class(config: PretrainedConfig) -> Any:
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


def _from_pretrained(name: str, config: PretrainedConfig, **options: Any) -> PreTrainedModel:
    try:
        loaded, report = _auto_class(config).from_pretrained(name, config=config, output_loading_info=True, **options)
    except (OSError, ValueError, SafetensorError, RuntimeError) as error:
        raise ValueError(f"{name}: the model cannot be loaded: {error}") from error
    missing = sorted(report["missing_keys"])  # weights tied to another one are not listed
    mismatched = sorted(str(key) for key in report["mismatched_keys"])
    if missing or mismatched:
        raise ValueError(
            f"{name}: the weight files lack {len(missing)} tensors and {len(mismatched)} have another shape "
            f"({', '.join([*missing, *mismatched][:5])}, ...): expected a whole checkpoint; it would run with random weights"
        )
    return loaded


def pad_id_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills a batch. Never attended to and never a label, so any will do; the tokenizer is not changed."""
    pad_id = tokenizer.pad_token_id
    return cast(int, tokenizer.eos_token_id if pad_id is None else pad_id)


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


@torch.inference_mode()
def response_losses(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean -log p over the response tokens of each row, in nats (paper section 4: the loss of a trajectory).

    Hidden states are taken where the output head reads them, gathered at response positions, and pushed through the
    head a chunk at a time, so that B x L x V logits never exist.

    Args: batch: of `batching.pad_rows`, on the model's device.
    Returns: float32 (B,) on the CPU; NaN for a row without a response token.
    """
    predicted_BL, labels_R = response_positions(batch["labels"], model.config.is_encoder_decoder)
    hidden_RH = _hidden_before_head(model, model_inputs(model, batch))[predicted_BL]
    head = output_head(model)
    losses_R = torch.empty(len(labels_R), dtype=torch.float32, device=labels_R.device)
    chunk = max(1, _LOGITS_AT_ONCE // head.weight.shape[0])
    for start in range(0, len(labels_R), chunk):
        part = slice(start, start + chunk)
        losses_R[part] = functional.cross_entropy(
            _logits(model, head, hidden_RH[part]), labels_R[part], reduction="none"
        )
    return _mean_per_row(losses_R.cpu(), predicted_BL.sum(dim=1).cpu())


def _hidden_before_head(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """(B, L, H): what the output head would have read. The head itself is run on one position only."""
    captured: list[torch.Tensor] = []

    def capture(_module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        captured.append(arguments[0])
        return (arguments[0][:, :1],)

    hook = output_head(model).register_forward_pre_hook(capture)
    try:
        model(**inputs, use_cache=False)
    finally:
        hook.remove()
    assert len(captured) == 1, f"the output head ran {len(captured)} times in one forward pass"
    return captured[0]


def output_head(model: Any) -> torch.nn.Linear:
    """The linear layer that turns hidden states into logits. Raises: ValueError if the model has none."""
    head = model.get_output_embeddings()
    if head is None:
        raise ValueError(f"{type(model).__name__} has no output embeddings: expected a language model")
    return head


def _logits(model: PreTrainedModel, head: torch.nn.Linear, hidden_RH: torch.Tensor) -> torch.Tensor:
    """float32 (R, V): the head, and what the family does to its output."""
    logits_RV = head(hidden_RH).float()
    softcap = getattr(model.config, "final_logit_softcapping", None)
    return logits_RV if softcap is None else softcap * torch.tanh(logits_RV / softcap)


def _mean_per_row(losses_R: torch.Tensor, counts_B: torch.Tensor) -> torch.Tensor:
    """Mean of consecutive stretches of losses_R; 0 / 0 = NaN for an empty stretch."""
    sums_B = torch.zeros(len(counts_B), dtype=torch.float64)
    sums_B.index_add_(0, torch.repeat_interleave(torch.arange(len(counts_B)), counts_B), losses_R.double())
    return (sums_B / counts_B).float()
