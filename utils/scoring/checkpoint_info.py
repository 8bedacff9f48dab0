"""What a plan reads of each checkpoint. One that cannot be scored is left out with its reason."""

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from ..artifacts.checkpoints import (
    check_trained_with,
    checkpoint_fingerprint,
    model_versions,
    training_inputs,
)
from ..artifacts.checksums import checksum
from ..artifacts.layouts import check_layout, is_adapter, recorded_base_model
from ..config.schema import RunConfig
from ..data.chat import chat_template_of
from ..data.tokenization import tokenizer_fingerprint
from ..modeling.loading import (
    base_fingerprint,
    checkpoint_config,
    holds_tokenizer,
    load_checkpoint_tokenizer,
    load_tokenizer,
)
from ..process.errors import explained
from ..terminal import first_of

_TOKENIZER_FILES = (
    "*token*.json", "tokenizer.model", "vocab.*", "merges.txt", "chat_template*",
    "additional_chat_templates/*",
)  # fmt: skip
_SETTINGS_WITHOUT_EFFECT = {
    "_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache",
    "bos_token_id", "eos_token_id", "pad_token_id",
}  # fmt: skip


@dataclass(frozen=True)
class IdentifiedTokenizer:
    """A tokenizer and what identifies it.

    Attributes:
        tokenizer: itself.
        fingerprint: of its definition.
        chat_template_fingerprint: None where it has no chat template or `data.template` names another.
    """

    tokenizer: PreTrainedTokenizerBase
    fingerprint: str
    chat_template_fingerprint: str | None


@dataclass(frozen=True)
class CheckpointInfo:
    """What is read of a checkpoint.

    Attributes:
        folder: None for the base model.
        fingerprint: of its weights and architecture, and of the base model where they are added to it.
        versions: of the files that the fingerprint is of, none for the base model.
        tokenizer: its own, or the base model's where it holds none.
        architecture: None for the base model and for an adapter to it.
        recorded_base_model: of an adapter, where it says which one.
    """

    folder: Path | None
    fingerprint: str
    versions: dict[str, tuple[int, int]]
    tokenizer: IdentifiedTokenizer
    architecture: PretrainedConfig | None
    recorded_base_model: str | None = None


@contextlib.contextmanager
def record_failure(failed: dict[int, str], step: int) -> Iterator[None]:
    """Around work on one checkpoint: what is wrong with it is put into `failed`, and the others go on.

    A full disk ends the launch, and so does a broken invariant of ours: the next one would fare no better.
    """
    try:
        with explained("it cannot be scored", "make it again, or name the others with --checkpoints"):
            yield
    except (ValueError, FileNotFoundError) as error:
        failed[step] = str(error)


def read_checkpoints(
    config: RunConfig, chosen: dict[int, Path | None]
) -> tuple[dict[int, CheckpointInfo], dict[int, str]]:
    """Those that can be scored, as far as their files tell, and step -> reason of the others.

    Args:
        chosen: step -> folder, None for the base model.
    """
    readable: dict[int, CheckpointInfo] = {}
    failed: dict[int, str] = {}
    tokenizers: dict[str, IdentifiedTokenizer] = {}
    for step, folder in chosen.items():
        with record_failure(failed, step):
            readable[step] = _read(config, folder, tokenizers)
    if readable:
        _check_alike(readable, failed)
    return {step: found for step, found in readable.items() if step not in failed}, failed


def _read(
    config: RunConfig, folder: Path | None, tokenizers: dict[str, IdentifiedTokenizer]
) -> CheckpointInfo:
    """Args: tokenizers: those that were loaded, by the contents of their files. A new one joins them."""
    settings = config.model_section
    if folder is not None:
        check_layout(folder)
    contents = "base model"
    if folder is not None and holds_tokenizer(folder):
        files = {file for pattern in _TOKENIZER_FILES for file in folder.glob(pattern) if file.is_file()}
        contents = " ".join(f"{file.name} {checksum(file)}" for file in sorted(files))
    if contents not in tokenizers:
        loaded = load_tokenizer(settings) if folder is None else load_checkpoint_tokenizer(folder, settings)
        tokenizers[contents] = _identified(loaded, config.data_section.template)
    if folder is None:
        return CheckpointInfo(None, base_fingerprint(settings, config.seed), {}, tokenizers[contents], None)
    architecture = base_model = None
    if is_adapter(folder):
        base_model = recorded_base_model(folder)
    else:
        architecture = checkpoint_config(folder, settings)
    versions = model_versions(folder)  # before the fingerprint: what changes meanwhile is noticed
    fingerprint = checkpoint_fingerprint(folder)
    if training_inputs(folder) is None and not (folder / "config.json").is_file():
        # An adapter, or shards alone. What they are added to is written down nowhere else.
        of_base = base_fingerprint(settings, config.seed)
        fingerprint = hashlib.sha256(f"{fingerprint} {of_base}".encode()).hexdigest()
    return CheckpointInfo(folder, fingerprint, versions, tokenizers[contents], architecture, base_model)


def _identified(tokenizer: PreTrainedTokenizerBase, template: str) -> IdentifiedTokenizer:
    """Args: template: `data.template`."""
    is_its_own = template == "chat" and tokenizer.chat_template
    chat = chat_template_of(template, tokenizer) if is_its_own else None
    return IdentifiedTokenizer(tokenizer, tokenizer_fingerprint(tokenizer), chat and chat.fingerprint)


def _check_alike(readable: dict[int, CheckpointInfo], failed: dict[int, str]) -> None:
    """Leave out those with another tokenizer, chat template or architecture than most.

    Their losses would not compare. The base model takes the template of the checkpoints, if there are any.
    """
    tokenizers = Counter(found.tokenizer.fingerprint for found in readable.values())
    usual_tokenizer = max(tokenizers, key=tokenizers.__getitem__)
    templates = Counter(
        found.tokenizer.chat_template_fingerprint for found in readable.values() if found.folder is not None
    )
    usual_template = max(templates, key=templates.__getitem__, default=None)
    architectures = [found.architecture for found in readable.values() if found.architecture is not None]
    computations = Counter(map(_computation, architectures))
    usual = max(architectures, key=lambda one: computations[_computation(one)], default=None)
    for step, found in readable.items():
        with record_failure(failed, step):
            if found.tokenizer.fingerprint != usual_tokenizer:
                raise ValueError(
                    "its tokenizer differs from the other checkpoints': score it as a run of its own"
                )
            if found.folder is not None and found.tokenizer.chat_template_fingerprint != usual_template:
                raise ValueError(
                    "its chat template differs from the other checkpoints': score it as a run of its own, or "
                    "name one template for all (data.template: FILE.jinja)"
                )
            if found.architecture is not None and usual is not None:
                check_architecture(found.architecture, usual)


def common_tokenizer(readable: dict[int, CheckpointInfo]) -> PreTrainedTokenizerBase | None:
    """That of all, with the checkpoints' chat template. None where no checkpoint can be scored."""
    found = sorted(readable.values(), key=lambda one: one.folder is None)  # the base model comes last
    return found[0].tokenizer.tokenizer if found else None


def check_architecture(found: PretrainedConfig, usual: PretrainedConfig) -> None:
    """Raises: ValueError for a config.json that asks for another computation than the usual one."""
    ours = _settings(found)
    theirs = _settings(usual)
    differing = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if differing:  # weights of the same shapes may still be meant for another computation
        raise ValueError(
            f"its config.json differs from the other checkpoints' in {first_of(differing)}: "
            "expected one architecture. Score it as a run of its own"
        )


def _settings(architecture: PretrainedConfig) -> dict[str, Any]:
    """What a loss may depend on."""
    settings = architecture.to_dict()
    return {name: value for name, value in settings.items() if name not in _SETTINGS_WITHOUT_EFFECT}


def _computation(architecture: PretrainedConfig) -> str:
    """A text that is the same for architectures of the same settings."""
    return json.dumps(_settings(architecture), sort_keys=True, default=str)


def check_fit(config: RunConfig, readable: dict[int, CheckpointInfo], largest_id: int) -> dict[int, str]:
    """Refuse checkpoints that were trained with something else.

    Args:
        largest_id: of all tokens that are scored.

    Returns: step -> reason, of those that have no row for a token id.

    Raises: ValueError.
    """
    failed: dict[int, str] = {}
    for step, found in readable.items():
        if found.folder is None:
            continue
        needs_base = found.architecture is None
        base_model = base_fingerprint(config.model_section, config.seed) if needs_base else None
        check_trained_with(found.folder, {"tokenizer": found.tokenizer.fingerprint, "base_model": base_model})
        with record_failure(failed, step):
            _check_vocabulary(found, largest_id)
    return failed


def base_model_remarks(config: RunConfig, readable: dict[int, CheckpointInfo]) -> list[str]:
    """What to tell the user of adapters that say they were trained on another model than the config's."""
    ours = str(config.model_section.name_or_path)
    foreign = [found for found in readable.values() if found.folder and training_inputs(found.folder) is None]
    recorded = {found.recorded_base_model for found in foreign if found.recorded_base_model is not None}
    # A model on the hub and a copy of it in a folder have the last part of their names in common.
    others = first_of(sorted(name for name in recorded if Path(name).name != Path(ours).name))
    if not others:
        return []
    return [
        f"the adapters say that they were trained on {others}, and are scored on {ours} "
        "(model.name_or_path): make sure that it is the same model"
    ]


def _check_vocabulary(found: CheckpointInfo, largest_id: int) -> None:
    """Raises: ValueError if the largest token id has no row in the embeddings."""
    text = None if found.architecture is None else found.architecture.get_text_config()
    size = getattr(text, "vocab_size", None)
    if size is not None and largest_id >= size:
        raise ValueError(
            f"{found.folder}: the tokenizer gives ids up to {largest_id}, but the model's vocabulary has "
            f"{size} entries: expected the tokenizer that it was trained with"
        )
