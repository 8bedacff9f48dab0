"""How an example becomes the text a model sees. `data.template` names one of `TEMPLATES`, or a chat template.

A template renders the prompt. The response follows it at once, with no separator of ours in between.
"""

from collections.abc import Callable

from .conversations import Conversation
from .formats import Example

# The standard Alpaca prompts (tatsu-lab/stanford_alpaca), which the paper trains with.
_ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
_ALPACA_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)


def alpaca_prompt(example: Example) -> str:
    """The Alpaca prompt, with its input section only where the input is not empty."""
    template = _ALPACA_WITH_INPUT if example.input else _ALPACA_WITHOUT_INPUT
    # Split before the instruction is put in: it may hold "{input}", which `replace` would fill.
    before, after = template.split("{instruction}")
    return before + example.instruction + after.replace("{input}", example.input, 1)


def plain_prompt(example: Example) -> str:
    """The instruction as it is, and the input after a blank line: for rows with a prompt of their own."""
    return f"{example.instruction}\n\n{example.input}" if example.input else example.instruction


def as_conversation(example: Example) -> Conversation:
    """A question and its answer, for a chat template."""
    question = {"role": "user", "content": plain_prompt(example)}
    answer = {"role": "assistant", "content": example.response}
    return Conversation((question, answer), (False, True), ("user", "assistant"))


# Summaries of radiology reports (MIMIC-III): the instructions are findings, the responses impressions.
_RADIOLOGY = (
    "Below are the findings of a radiology report. Write the impression that summarizes them.\n\n"
    "### Findings:\n{findings}\n\n### Impression:"
)


def radiology_prompt(example: Example) -> str:
    """Findings -> impression: the paper's experiment in our words, as its own prompt has a typing error."""
    before, after = _RADIOLOGY.split("{findings}")
    return before + plain_prompt(example) + after


TEMPLATES: dict[str, Callable[[Example], str]] = {
    "alpaca": alpaca_prompt,
    "plain": plain_prompt,
    "radiology": radiology_prompt,
}
