"""Load a base model, a checkpoint or their tokenizers.

Loading is always `from_pretrained`. Names on disk are not module names for every family (GPT-NeoX's output
head, mixture of experts), and only it knows the conversion. A checkpoint is never changed by loading it.
"""

import contextlib
import functools
import logging
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import CONFIG_NAME
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file, extract_commit_hash

from ..artifacts.checkpoints import checkpoint_fingerprint
from ..artifacts.checksums import checksum_of_json
from ..artifacts.files import scratch_folder
from ..artifacts.layouts import is_adapter, shards_of
from ..config.schema import LoraConfig, ModelConfig
from ..data.tokenization import tokenizer_fingerprint
from ..process.errors import explained, naming
from ..process.hub import looked_for
from ..process.reporter import reporter
from .architecture import check_layers, config_of_architecture
from .attention import asks_for_flash_attention

# A bar for every load and save would break up our lines of progress.
transformers_logging.disable_progress_bar()
# `check_weights` says in one error what its table of missing and surplus weights says.
logging.getLogger("transformers.modeling_utils").addFilter(
    lambda record: "LOAD REPORT" not in record.getMessage()
)

# Tables that families once saved beside their weights and now compute: nothing is lost with them.
_OLD_BUFFERS = re.compile(r"(^|\.)(attn\.bias|attention\.bias|masked_bias|inv_freq|position_ids)$")
_NUM_SHOWN = 5
_NO_KERNEL = "where it lacks a kernel of attention, add model.attn_implementation=sdpa to the command"
_WHOLE_IN_THE_FIRST = "FSDP_CPU_RAM_EFFICIENT_LOADING"  # transformers reads it
_DAMAGED = f"copy it again, or make it again if it never was whole; {_NO_KERNEL}"
# Numbers, spaces, scripts and signs that tokenizers cut differently.
_PROBES = (
    "It's 12,345.67 + 89 = ?\n\n  naïve  Ünïcode, 日本語 and \U0001f9ee",
    " \tdef f(x):\r\n\treturn x**2  # don't\n",
)


def load_tokenizer(model: ModelConfig) -> PreTrainedTokenizerBase:
    """The tokenizer of a base model.

    Raises:
        FileNotFoundError, ValueError: with the setting to correct.
    """
    name = str(model.tokenizer or model.name_or_path)  # the schema asks an architecture for a tokenizer
    if (Path(name) / "trainer_state.json").is_file() and holds_tokenizer(Path(name)):
        # A checkpoint, to train on from.
        return load_checkpoint_tokenizer(Path(name), model)
    return _load_tokenizer(
        AutoTokenizer,
        name,
        "model.tokenizer" if model.tokenizer else "model.name_or_path",
        revision=model.revision,
        cache_dir=model.cache_dir,
        trust_remote_code=model.trust_remote_code,
    )


def load_checkpoint_tokenizer(folder: Path, model: ModelConfig) -> PreTrainedTokenizerBase:
    """The checkpoint's own tokenizer, as it was saved, or the base model's where the folder holds none."""
    if not holds_tokenizer(folder):
        return load_tokenizer(model)
    if (folder / "tokenizer.json").is_file() and not model.trust_remote_code:
        # AutoTokenizer goes by the model's type first, and for some types it makes another tokenizer
        # from the same vocabulary.
        return _load_tokenizer(PreTrainedTokenizerFast, str(folder), "checkpoint")
    return _load_tokenizer(
        AutoTokenizer, str(folder), "checkpoint", trust_remote_code=model.trust_remote_code
    )


def holds_tokenizer(folder: Path) -> bool:
    return (folder / "tokenizer_config.json").is_file()


def check_saved_tokenizer(tokenizer: PreTrainedTokenizerBase, model: ModelConfig) -> str | None:
    """Save the tokenizer beside the model's config, as a checkpoint does, and read it back.

    Returns:
        What to tell the user, if other programs will read another tokenizer there.

    Raises:
        ValueError: if another tokenizer comes back.
    """
    config = base_config(model)
    with scratch_folder() as folder:
        with naming(folder):
            config.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        found = tokenizer_fingerprint(load_checkpoint_tokenizer(folder, model))
        is_found_by_others = _auto_tokenizer_agrees(str(folder), tokenizer, model)
    expected = tokenizer_fingerprint(tokenizer)
    if found != expected:
        raise ValueError(
            f"the tokenizer ({type(tokenizer).__name__}, {expected}) is another one once saved and read back "
            f"({found}), and checkpoints are scored with that: "
            "set model.tokenizer to a folder with a complete tokenizer.json"
        )
    if is_found_by_others:
        return None
    return (
        f"the tokenizer is not one that transformers expects with {config.model_type}. "
        "The scripts here read it from a checkpoint as it was saved (PreTrainedTokenizerFast). "
        "AutoTokenizer, and programs that use it, get other token ids"
    )


def _auto_tokenizer_agrees(folder: str, tokenizer: PreTrainedTokenizerBase, model: ModelConfig) -> bool:
    try:
        other = _load_tokenizer(
            AutoTokenizer, folder, "checkpoint", trust_remote_code=model.trust_remote_code
        )
    except ValueError:
        return False
    return all(tokenizer.encode(text) == other.encode(text) for text in _PROBES)


def _load_tokenizer(kind: Any, name: str, setting: str, **options: Any) -> PreTrainedTokenizerBase:
    """Reads it, or says why it cannot be read.

    Args:
        kind: the class whose from_pretrained reads it.
        setting: the key of the config that holds the name.
    """
    with looked_for("tokenizer", name, setting):
        return kind.from_pretrained(name, **options)


def base_config(model: ModelConfig) -> PretrainedConfig:
    """The architecture of a base model, without its weights."""
    if model.architecture is not None:
        return _with_full_attention(config_of_architecture(model.architecture))
    name = str(model.name_or_path)
    with looked_for("model", name, "model.name_or_path"):
        config = AutoConfig.from_pretrained(
            name,
            revision=model.revision,
            cache_dir=model.cache_dir,
            trust_remote_code=model.trust_remote_code,
        )
    return _with_full_attention(config)


def _with_full_attention(config: PretrainedConfig) -> PretrainedConfig:
    """The config, with BigBird's block-sparse attention replaced by full attention."""
    # transformers 5 gives block-sparse attention up at the first short batch, and for good.
    # The loss of a row would depend on the rows before it.
    if getattr(config, "attention_type", None) == "block_sparse":
        _say_once(
            f"{config.model_type}: full attention is used in place of block-sparse, "
            "which the first short row would end"
        )
        config.attention_type = "original_full"
    return config


@functools.cache  # a config is read several times in one process
def _say_once(text: str) -> None:
    reporter.warn(f"note: {text}")


def checkpoint_config(folder: Path, model: ModelConfig) -> PretrainedConfig:
    """The architecture of a checkpoint, or of its base model if it is an adapter or FSDP's bare shards.

    Raises:
        FileNotFoundError: if the folder holds no config.
    """
    if is_adapter(folder):
        return base_config(model)
    if not (folder / "config.json").is_file():
        if shards_of(folder) is not None:
            return _with_ids_of(load_checkpoint_tokenizer(folder, model), base_config(model))
        raise FileNotFoundError(f"{folder} holds no config.json: expected a Hugging Face model folder")
    return base_config(
        model.model_copy(update={"name_or_path": str(folder), "architecture": None, "revision": None})
    )


def empty_model(model: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The modules that a run trains, adapters included, with the shapes of their weights and no values.

    Args:
        tokenizer: the vocabulary grows to its ids, as in `load_base_model`.

    Raises:
        ValueError: for settings of which no such model can be built.
    """
    config = _with_ids_of(tokenizer, base_config(model))
    check_layers(config.get_text_config())
    options: dict[str, Any] = {}
    # The shapes are the same with flash attention, which need not be installed where a plan is made.
    if model.attn_implementation is not None and not asks_for_flash_attention(model):
        options["attn_implementation"] = model.attn_implementation
    what = f"model: a {config.model_type} cannot be built of these settings"
    with torch.device("meta"), explained(what, f"correct them, or choose another model; {_NO_KERNEL}"):
        base = _auto_class(config).from_config(config, trust_remote_code=model.trust_remote_code, **options)
    with torch.device("meta"):
        return base if model.lora is None else add_lora(base, model.lora, seed=0)


def _with_ids_of(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> PretrainedConfig:
    """The config, its vocabulary grown to the ids of the tokenizer, as `load_base_model` grows a model's."""
    text = config.get_text_config()
    if len(tokenizer) > getattr(text, "vocab_size", len(tokenizer)):
        text.vocab_size = len(tokenizer)
    return config


def base_fingerprint(model: ModelConfig, seed: int) -> str:
    """sha256 of what identifies a base model: weight files, a commit on the hub, or an architecture."""
    if model.architecture is not None:
        # Random weights follow from these three.
        origin = [model.architecture, seed, torch.__version__]
    elif Path(str(model.name_or_path)).is_dir():
        return checkpoint_fingerprint(Path(str(model.name_or_path)))
    else:
        origin = [model.name_or_path, _commit_on_hub(model) or model.revision]
    return checksum_of_json(origin)


def _commit_on_hub(model: ModelConfig) -> str | None:
    """That its files are of now: a branch moves on."""
    name = str(model.name_or_path)
    with looked_for("model", name, "model.name_or_path"):
        file = cached_file(name, CONFIG_NAME, revision=model.revision, cache_dir=model.cache_dir)
    return extract_commit_hash(file, None)


def load_base_model(model: ModelConfig, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """The model before fine-tuning (step 0).

    Random weights of an architecture follow from the seed alone. The vocabulary grows only if the tokenizer
    has ids that the embedding lacks, and the rows that are there stay as they are.

    Raises:
        ValueError: if it cannot be loaded or lacks weights.
    """
    config = base_config(model)
    options: dict[str, Any] = {"dtype": getattr(torch, model.dtype)}
    if model.attn_implementation is not None:
        options["attn_implementation"] = model.attn_implementation
    if model.architecture is not None:
        config.eos_token_id = tokenizer.eos_token_id
        has_bos = tokenizer.bos_token_id is not None
        # Some configs refuse to have none.
        config.bos_token_id = tokenizer.bos_token_id if has_bos else tokenizer.eos_token_id
        with seeded(seed):
            loaded = _auto_class(config).from_config(config, **options)
    else:
        loaded, surplus = _from_pretrained(
            str(model.name_or_path),
            config,
            revision=model.revision,
            cache_dir=model.cache_dir,
            trust_remote_code=model.trust_remote_code,
            **options,
        )
        if surplus:  # heads for other tasks are usual on the hub, so the user decides
            reporter.warn(
                f"{model.name_or_path}: {_shown(surplus)} of the weight files have no place in "
                f"{type(loaded).__name__} as config.json describes it, and are not used"
            )
    if len(tokenizer) > cast(torch.nn.Embedding, loaded.get_input_embeddings()).num_embeddings:
        with seeded(seed):
            loaded.resize_token_embeddings(len(tokenizer))
    return loaded


def load_checkpoint(
    folder: Path, model: ModelConfig, dtype: torch.dtype | str = torch.float32, seed: int = 0
) -> PreTrainedModel:
    """A saved model in evaluation mode. An adapter comes merged into its base model.

    Args:
        folder: the checkpoint.
        model: what the run was trained from.
        dtype: "auto" for that of the files.
        seed: the run's. An adapter's base model may have random weights.

    Raises:
        FileNotFoundError: if the folder holds no config.
        ValueError: if it is unreadable or truncated, or if its weights are not exactly those of its config.
    """
    options: dict[str, Any] = {"dtype": dtype}
    if model.attn_implementation is not None:
        options["attn_implementation"] = model.attn_implementation
    if is_adapter(folder):
        return _merged_adapter(folder, model, options, seed).eval()
    config = checkpoint_config(folder, model)
    if (shards := shards_of(folder)) is not None:
        from .shards import read_shards  # torch.distributed.checkpoint, which few need

        options["state_dict"] = read_shards(shards)
    loaded, surplus = _from_pretrained(
        str(folder), config, trust_remote_code=model.trust_remote_code, **options
    )
    check_weights(str(folder), surplus=surplus)
    return loaded.eval()


@contextlib.contextmanager
def _whole_in_every_process() -> Iterator[None]:
    """Else transformers, under FSDP's cpu_ram_efficient_loading, gives all but the first process zeros.

    FSDP would replace them. A model that is loaded to be scored meanwhile keeps them.
    """
    before = os.environ.get(_WHOLE_IN_THE_FIRST)
    os.environ[_WHOLE_IN_THE_FIRST] = "false"
    try:
        yield
    finally:
        del os.environ[_WHOLE_IN_THE_FIRST]
        if before is not None:
            os.environ[_WHOLE_IN_THE_FIRST] = before


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random weights made inside follow from the seed. Numbers drawn outside do not change."""
    with torch.random.fork_rng(devices=[]):  # weights are made on the CPU, so no other generator is touched
        torch.default_generator.manual_seed(seed)
        yield


def add_lora(base: PreTrainedModel, lora: LoraConfig, seed: int) -> Any:
    """Wrap a model for low-rank adaptation (peft). The adapter's first weights follow from the seed.

    Raises:
        ValueError: if peft cannot adapt this model.
    """
    import peft  # three seconds that only LoRA runs pay

    settings = peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        task_type="SEQ_2_SEQ_LM" if base.config.is_encoder_decoder else "CAUSAL_LM",
    )
    with explained("model.lora: peft cannot adapt this model", "correct r and target_modules"), seeded(seed):
        return peft.get_peft_model(base, settings)


def load_adapter(base: PreTrainedModel, folder: Path, is_trainable: bool = False) -> Any:
    """An adapter (peft) on its base model.

    Raises:
        ValueError: if it is unreadable or belongs to another model.
    """
    import peft  # see add_lora

    with explained(f"{folder}: the adapter cannot be loaded", _DAMAGED):
        settings = peft.PeftConfig.from_pretrained(str(folder))
        kind = peft.PeftType(settings.peft_type)
        if not hasattr(peft.PEFT_TYPE_TO_TUNER_MAPPING[kind], "merge_and_unload"):
            raise ValueError(
                f"{folder}: found an adapter of type {kind.value}, which has no weights to merge into the "
                "base model's, expected one that has, as LoRA: leave it out"
            )
        settings.inference_mode = not is_trainable
        settings.base_model_name_or_path = None  # peft would warn of another name; plans compare it
        with seeded(0):  # peft draws an adapter before it reads ours
            adapted = peft.get_peft_model(base, settings)
        report = adapted.load_adapter(str(folder), "default", is_trainable=is_trainable)
    check_weights(str(folder), missing=report.missing_keys, surplus=report.unexpected_keys)
    return adapted


def _merged_adapter(folder: Path, model: ModelConfig, options: dict[str, Any], seed: int) -> PreTrainedModel:
    tokenizer = load_checkpoint_tokenizer(folder, model)
    dtype = str(options["dtype"]).removeprefix("torch.")
    base = load_base_model(model.model_copy(update={"dtype": dtype}), tokenizer, seed)
    return load_adapter(base, folder).merge_and_unload()


def _auto_class(config: PretrainedConfig) -> Any:
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


def _from_pretrained(
    name: str, config: PretrainedConfig, **options: Any
) -> tuple[PreTrainedModel, list[str]]:
    """The model, and the tensors of its files, or of `state_dict`, that it has no place for.

    Raises:
        ValueError: if it cannot be read, or lacks weights, which would be random ones.
    """
    with (
        explained(f"{name}: the model cannot be loaded", _DAMAGED),
        _whole_in_every_process(),
        seeded(0),  # weights that it lacks or has in another shape are drawn, and refused below
    ):
        kind = _auto_class(config)
        if "state_dict" in options:  # an Auto class would look for a folder, the family's own class does not
            with torch.device("meta"):
                kind = type(kind.from_config(config, trust_remote_code=options["trust_remote_code"]))
        model, report = kind.from_pretrained(
            None if "state_dict" in options else name,
            config=config,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **options,
        )
    # transformers leaves out of this report weights tied to others and those that the family computes.
    mismatched = {str(key) for key, *_ in report["mismatched_keys"]}
    check_weights(name, missing=report["missing_keys"], mismatched=mismatched)
    return model, [key for key in report["unexpected_keys"] if not _OLD_BUFFERS.search(key)]


def check_weights(
    name: str, missing: Collection[str] = (), mismatched: Collection[str] = (), surplus: Collection[str] = ()
) -> None:
    """The one check of weights against the model they are for.

    Raises:
        ValueError: that names some of the tensors that do not fit.
    """
    problems = (
        ("lacks", missing),
        ("has in another shape", mismatched),
        ("has without a place for them", surplus),
    )
    found = [f"{what} {_shown(names)}" for what, names in problems if names]
    if found:
        raise ValueError(
            f"{name}: the weights are not the model's: it {', '.join(found)}. "
            "Expected exactly the weights of its config.json: copy the checkpoint again, or mend config.json"
        )


def _shown(names: Collection[str]) -> str:
    first = ", ".join(sorted(names)[:_NUM_SHOWN])
    return f"{len(names)} tensor(s) ({first}{', ...' if len(names) > _NUM_SHOWN else ''})"


def pad_id_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills a batch."""
    pad_id = tokenizer.pad_token_id
    # It is never attended to and never a label, so any id will do, and the tokenizer stays as it is.
    return cast(int, tokenizer.eos_token_id if pad_id is None else pad_id)
