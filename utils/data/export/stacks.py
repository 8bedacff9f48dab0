"""The stacks that a subset is written for. `--write_for` names some of `STACKS`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ...config.names import ExportTarget
from ..conversations import Conversation, with_arguments_as_text
from . import notes
from .messages import (
    alternation_fault,
    answer_fault,
    call_as_text,
    call_fault,
    call_text_fault,
    thought_fault,
)
from .segments import Segment

DATA_FILE = "train.jsonl"
_KEYS_OF_OPENAI = {"role", "content", "name", "tool_calls", "tool_call_id", "refusal"}
_MESSAGES = "`messages`, a list of messages (`role`, `content`)"


@dataclass(frozen=True)
class PastedValues:
    """What a config to paste says of the run.

    Attributes:
        dataset: a name for the rows.
        folder: where they lie, as seen from the folder in which the command runs.
        model: a folder or a name on the hub.
        max_length: tokens of a row at most.
        have_tools: whether some rows come with tools.
    """

    dataset: str
    folder: str
    model: str
    max_length: int
    have_tools: bool

    @property
    def data_file(self) -> str:
        return f"{self.folder}/{DATA_FILE}"


@dataclass(frozen=True)
class Form:
    """One way in which a stack reads rows.

    Attributes:
        row: what one line holds, from a row's conversation, without its tools, or from its segments in a
            rendered form.
        columns: what a line holds, in words.
        notes: for the README, of `utils.data.export.notes`.
        configs: file name -> its text.
        needs_special_texts: whether the special tokens are to be in the text.
        by_role: whether the stack trains on each turn of the assistant and no other, whatever S2L scored.
        no_tools: what a row without tools says where others have some. All have theirs as JSON then, since
            `datasets` takes the types of a file from its first 10 MB, and ends where a column first appears
            behind that. None for a stack that wants a list, in those rows that have tools.
    """

    row: Callable[[Any], dict[str, Any]]
    columns: str
    notes: str
    configs: Callable[[PastedValues], dict[str, str]]
    needs_special_texts: bool = False
    by_role: bool = False
    no_tools: str | None = None

    def line(self, conversation: Conversation, have_tools: bool) -> dict[str, Any]:
        """What one line holds of a conversation, with its tools.

        Args:
            have_tools: whether some rows have.
        """
        row = self.row(conversation)
        tools = list(conversation.tools)
        if self.no_tools is None:
            return {**row, "tools": tools} if tools else row
        as_json = json.dumps(tools, ensure_ascii=False) if tools else self.no_tools
        return {**row, "tools": as_json} if have_tools else row


@dataclass(frozen=True)
class Stack:
    """A stack, and the forms in which it reads rows.

    Attributes:
        title: as it calls itself.
        answered_once: the form of rows whose last turn alone is scored, an answer.
            None for a stack that takes the columns as they are.
        answered_often: the form of other rows, None likewise.
        rendered: the form of exact texts, None for a stack that puts a template around every text.
        fault: why it cannot train on a conversation, None where it can.
    """

    title: str
    answered_once: Form | None = None
    answered_often: Form | None = None
    rendered: Form | None = None
    fault: Callable[[Conversation], str | None] = answer_fault


def _messages_row(conversation: Conversation) -> dict[str, Any]:
    return {"messages": list(conversation.messages)}


def _prompt_and_answer(conversation: Conversation) -> dict[str, Any]:
    *prompt, answer = conversation.messages
    return {"prompt": prompt, "completion": [answer]}


def _axolotl_row(conversation: Conversation) -> dict[str, Any]:
    messages = map(with_arguments_as_text, conversation.messages)  # it reads them from that
    pairs = zip(messages, conversation.is_scored, strict=True)
    turns = [{**message, "train": is_scored} for message, is_scored in pairs]
    return {"messages": turns}


def _openai_row(conversation: Conversation) -> dict[str, Any]:
    # Some providers refuse a message with any other key.
    messages = [
        {key: value for key, value in with_arguments_as_text(message).items() if key in _KEYS_OF_OPENAI}
        for message in conversation.messages
    ]
    pairs = zip(messages, conversation.is_scored, strict=True)
    turns = [
        {**message, "weight": 0} if message["role"] == "assistant" and not is_scored else message
        for message, is_scored in pairs
    ]
    return {"messages": turns}


def _llama_factory_row(conversation: Conversation) -> dict[str, Any]:
    """It tells calls of tools and their results by role."""
    turns = []
    for message, speaker in zip(conversation.messages, conversation.speakers, strict=True):
        content = call_as_text(message) if speaker == "tool_call" else message["content"]
        turns.append({"role": speaker, "content": content})
    return {"messages": turns}


def _prompt_and_completion(segments: Sequence[Segment]) -> dict[str, Any]:
    # A line break that a chat template writes behind the answer is left out.
    *prompt, completion = segments if segments[-1]["label"] else segments[:-1]
    return {"prompt": "".join(segment["text"] for segment in prompt), "completion": completion["text"]}


def _segments_row(segments: Sequence[Segment]) -> dict[str, Any]:
    return {"segments": list(segments)}


def _llama_factory_fault(conversation: Conversation) -> str | None:
    """It skips rows whose roles do not alternate, and only warns."""
    return (
        answer_fault(conversation)
        or alternation_fault(conversation)
        or call_text_fault(conversation)
        or thought_fault(conversation)
    )


def _openai_fault(conversation: Conversation) -> str | None:
    return answer_fault(conversation) or call_fault(conversation) or thought_fault(conversation)


def _yaml(values: dict[str, Any]) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)


def _trl_config(values: PastedValues, loss: str) -> dict[str, str]:
    config = {
        "model_name_or_path": values.model,
        "output_dir": "out",
        "datasets": [{"path": "json", "data_files": values.data_file}],
        "max_length": values.max_length,
        loss: True,
    }
    return {"trl.yml": _yaml(config)}


def _axolotl_config(values: PastedValues, kind: str) -> dict[str, str]:
    dataset = {"path": values.data_file, "ds_type": "json", "type": kind}
    if kind == "chat_template":
        dataset["message_field_training"] = "train"
    config = {
        "datasets": [dataset],
        "train_on_inputs": False,
        "sequence_len": values.max_length,
        "excess_length_strategy": "truncate",  # it would drop longer rows
    }
    return {"axolotl.yml": _yaml(config)}


def _llama_factory_configs(values: PastedValues) -> dict[str, str]:
    entry = {
        "file_name": DATA_FILE,
        "formatting": "sharegpt",
        # It ends where a column that is named here is not there.
        "columns": {"messages": "messages", **({"tools": "tools"} if values.have_tools else {})},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "function_tag": "tool_call",
            "observation_tag": "tool",
            "system_tag": "system",
        },
    }
    config = {
        "dataset": values.dataset,
        "dataset_dir": values.folder,
        "template": "NAME",
        "cutoff_len": values.max_length,
    }
    entries = json.dumps({values.dataset: entry}, indent=2, ensure_ascii=False)
    return {"dataset_info.json": f"{entries}\n", "llama_factory.yml": _yaml(config)}


_TRL_ANSWERED_ONCE = Form(
    row=_prompt_and_answer,
    columns="`prompt` and `completion`, lists of messages (`role`, `content`)",
    notes=notes.TRL_ANSWERED_ONCE,
    configs=lambda values: _trl_config(values, "completion_only_loss"),
    no_tools="null",
)
_TRL_ANSWERED_OFTEN = Form(
    row=_messages_row,
    columns=_MESSAGES,
    notes=notes.TRL_ANSWERED_OFTEN,
    configs=lambda values: _trl_config(values, "assistant_only_loss"),
    by_role=True,
    no_tools="null",
)
_TRL_RENDERED = Form(
    row=_prompt_and_completion,
    columns="`prompt` and `completion`, texts",
    notes=notes.TRL_RENDERED,
    configs=lambda values: _trl_config(values, "completion_only_loss"),
)
_AXOLOTL_CHAT = Form(
    row=_axolotl_row,
    columns="`messages`, a list of messages (`role`, `content`, `train`: whether it is trained on)",
    notes=notes.AXOLOTL_CHAT,
    configs=lambda values: _axolotl_config(values, "chat_template"),
    no_tools="[]",
)
_AXOLOTL_RENDERED = Form(
    row=_segments_row,
    columns="`segments`, a list of `label` (whether it is trained on) and `text`",
    notes=notes.AXOLOTL_RENDERED,
    configs=lambda values: _axolotl_config(values, "input_output"),
    needs_special_texts=True,
)
_LLAMA_FACTORY_CHAT = Form(
    row=_llama_factory_row,
    columns=_MESSAGES,
    notes=notes.LLAMA_FACTORY_CHAT,
    configs=_llama_factory_configs,
    by_role=True,
    no_tools="",
)
# No other key of a line either.
_OPENAI_CHAT = Form(row=_openai_row, columns=_MESSAGES, notes=notes.OPENAI_CHAT, configs=lambda values: {})

STACKS: dict[ExportTarget, Stack] = {
    "trl": Stack("TRL", _TRL_ANSWERED_ONCE, _TRL_ANSWERED_OFTEN, _TRL_RENDERED),
    "axolotl": Stack("axolotl", _AXOLOTL_CHAT, _AXOLOTL_CHAT, _AXOLOTL_RENDERED),
    "llama_factory": Stack(
        "LLaMA-Factory", _LLAMA_FACTORY_CHAT, _LLAMA_FACTORY_CHAT, fault=_llama_factory_fault
    ),
    "openai": Stack(
        "OpenAI and providers that read its chat format", _OPENAI_CHAT, _OPENAI_CHAT, fault=_openai_fault
    ),
    "parquet": Stack("Parquet"),
}
