"""What is scored of a conversation: the assistant's answers and what ends them, whatever the template."""

import copy
import dataclasses
import json
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from tests.conftest import PROJECT, write_jsonl
from utils.artifacts.checksums import checksum_of_json
from utils.artifacts.tokens import TokensFolder, TokensManifest
from utils.config.schema import DataConfig
from utils.data import pool
from utils.data.chat import ChatTemplate, chat_template_of
from utils.data.conversations import TurnsReader
from utils.data.export.messages import conversation_of
from utils.data.export.stacks import STACKS
from utils.data.formats import Example
from utils.data.pool import Pool
from utils.data.shown_tokens import token_remarks
from utils.data.tokenization import TokenizedPool, tokenize_pool

# Templates of our own, of the kinds that the families have. Each says what ends an assistant's turn.
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HEADERS = (  # Llama 3: strips
    "{{ bos_token }}{% for m in messages %}<|head|>{{ m.role }}<|/head|>\n\n"
    "{{ m.content | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|head|>assistant<|/head|>\n\n{% endif %}"
)
MODEL = (  # Gemma: another name for the assistant, strips, takes no system turn
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    "<start>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<start>model\n{% endif %}"
)
BRACKETS = (  # Mistral: no word for the assistant
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
    "{% else %}[INST] {{ m.content }} [/INST]{% endif %}{% endfor %}"
)
ENDS = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}{{ eos_token }}"  # Phi 3
THINKING = (  # Qwen 3: the last answer has its thinking, all earlier ones lose it
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role != 'assistant' %}{{ m.content }}{% else %}"
    "{% set answer = m.content.split('</think>')[-1].lstrip('\n') %}{% if loop.last %}<think>\n"
    "{{ m.content.split('</think>')[0].split('<think>')[-1].strip('\n') if '</think>' in m.content }}"
    "\n</think>\n\n"
    "{% endif %}{{ answer }}{% endif %}<|im_end|>\n{% endfor %}"
)
MARKED = (  # with marks that hold the line break behind the end, too
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}<|im_end|>\n{% endgeneration %}"
    "{% else %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
)
KINDS = {
    "chatml": (CHATML, "<|im_end|>"),
    "headers": (HEADERS, "<|eot|>"),
    "model": (MODEL, "<end>"),
    "brackets": (BRACKETS, "<|endoftext|>"),
    "ends": (ENDS, "<|end|>"),
    "marked": (MARKED, "<|im_end|>"),
}
STRIPS = ("headers", "model")
SPECIAL = [
    *("<|im_start|>", "<|im_end|>", "<|head|>", "<|/head|>", "<|eot|>", "<start>", "<end>"),
    *("[INST]", "[/INST]", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "<think>", "</think>"),
]

answers = st.one_of(
    st.text(alphabet="ab \n.é\u05d0😀", max_size=12),
    st.sampled_from(
        ["", " ", "\n", "  indented\n", "<|im_end|>", "say <|eot|> twice <|eot|>", "user", "x" * 300]
    ),
)
conversations = st.lists(st.tuples(st.text(alphabet="ab 😀\n", max_size=8), answers), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def chatty(tokenizer_dir) -> PreTrainedTokenizerFast:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_dir)
    tokenizer.bos_token = "<|endoftext|>"
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    return tokenizer


def turns_of(pairs):
    return [
        {"role": role, "content": text}
        for pair in pairs
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]


@pytest.mark.parametrize("kind", KINDS)
@given(pairs=conversations)
def test_what_is_scored_is_each_answer_and_its_end(chatty, kind, pairs):
    source, end = KINDS[kind]
    messages = turns_of(pairs)
    rendered = ChatTemplate(source, chatty).render(
        messages, [turn["role"] == "assistant" for turn in messages]
    )
    scored = [rendered.text[start:end] for start, end in rendered.spans]
    expected = [answer.strip() if kind in STRIPS else answer for _, answer in pairs]
    assert scored == [answer + end for answer in expected]


@pytest.mark.parametrize("kind", KINDS)
def test_turns_that_are_not_scored_change_nothing_of_the_others(chatty, kind):
    template = ChatTemplate(KINDS[kind][0], chatty)
    messages = turns_of([("a", "first"), ("b", "second"), ("c", "third")])
    both = template.render(messages, [False, True, False, False, False, True])
    every = template.render(messages, [False, True] * 3)
    assert both.text == every.text and both.spans == [every.spans[0], every.spans[2]]


def test_thinking_that_the_template_drops_is_refused_and_that_of_the_last_turn_scored(chatty):
    template = ChatTemplate(THINKING, chatty)
    thought = "<think>\nhm\n</think>\n\nyes"
    messages = turns_of([("a", thought), ("b", thought)])
    rendered = template.render(messages, [False, False, False, True])
    ((start, end),) = rendered.spans
    assert rendered.text[start:end] == thought + "<|im_end|>"
    with pytest.raises(ValueError, match=r"changes what the assistant says in turn 1.*found 'yes'"):
        template.render(messages, [False, True, False, True])


# Qwen 3 again: thinking may lie in a field of its own. The last turn shows it in front of the answer.
APART = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% generation %}"
    "{% if loop.last and m.role == 'assistant' %}"
    "<think>\n{{ (m.reasoning_content or '') | trim }}\n</think>\n\n{% endif %}"
    "{{ m.content }}{% for call in m.tool_calls or [] %}<tool>{{ call | tojson }}</tool>{% endfor %}"
    "<|im_end|>{% endgeneration %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
UNMARKED_APART = APART.replace("{% generation %}", "").replace("{% endgeneration %}", "")
GIVEN = UNMARKED_APART.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (APART, "<think>\nhm\n</think>\n\n"),
        (UNMARKED_APART, "<think>\nhm\n</think>\n\n"),
        (GIVEN, "hm\n</think>\n\n"),  # the model is given <think>
    ],
)
@pytest.mark.parametrize("calls", [[], [{"function": {"name": "f"}}]])
def test_thinking_in_a_field_of_its_own_is_scored(chatty, source, expected, calls):
    turns = turns_of([("a", "no"), ("b", "yes")])
    turns[-1] |= {"reasoning_content": "hm\n", "reasoning": "hm", **({"tool_calls": calls} if calls else {})}
    rendered = ChatTemplate(source, chatty).render(turns, [False, True, False, True])
    scored = [rendered.text[start:end] for start, end in rendered.spans]
    called = '<tool>{"function": {"name": "f"}}</tool>' if calls else ""
    assert scored == ["no<|im_end|>", f"{expected}yes{called}<|im_end|>"]


@pytest.mark.parametrize("source", [CHATML, MARKED, APART, UNMARKED_APART])
@pytest.mark.parametrize("field", ["reasoning_content", "thinking"])
def test_thinking_that_the_template_does_not_show_is_refused(chatty, source, field):
    turns = turns_of([("a", "no"), ("b", "yes")])
    turns[1][field] = "let me see"
    template = ChatTemplate(source, chatty)
    with pytest.raises(ValueError, match=r"not show 'let me see' in turn 1.*set data\.score_turns: last"):
        template.render(turns, [False, True, False, True])
    assert template.render(turns, [False, False, False, True]).spans, "of a turn that is not scored it may go"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}END", "ends turn 1"),
        (
            "{% for m in messages %}{{ m.content | upper }}<|end|>{% endfor %}",
            "changes what the assistant says",
        ),
        ("{% for m in messages if m.role == 'user' %}{{ m.content }}<|end|>{% endfor %}", "changes what"),
        ("{{ raise_exception('only by day') }}", "refuses it: only by day"),
        ("{{ 1 / 0 }}", "refuses it: division by zero"),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "refuses it: Range too big"),
        ("{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}", "refuses it: maximum recursion"),
        ("{{ '\\ud800' }}" + CHATML, "writes half a surrogate pair"),
        ("{% for m in messages %}{{ m.content", "refuses it"),
        (
            MARKED.replace("{% generation %}{{ m.content }}", "{{ m.content }}{% generation %}"),
            "marks as generated what does not hold all that turn 1 says",
        ),
    ],
)
def test_a_template_that_cannot_teach_is_refused(chatty, source, message):
    with pytest.raises(ValueError, match=message):
        ChatTemplate(source, chatty).render(turns_of([("a", "be kind")]), [False, True])


ADD = {"type": "function", "function": {"name": "add", "arguments": {"x": 1}}}
CALLS = [
    {"role": "user", "content": "1 + 2?"},
    {"role": "assistant", "content": "", "tool_calls": [ADD, ADD]},
    {"role": "tool", "content": "3"},
    {"role": "assistant", "content": "three"},
]
# Qwen: the first special token behind what is said is not the end of the turn.
CALLING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content }}{% for call in m.tool_calls or [] %}<tool>\n{{ call.function | tojson }}\n</tool>"
    "{% endfor %}<|im_end|>{% endgeneration %}\n{% else %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
)
UNMARKED = CALLING.replace("{% generation %}", "").replace("{% endgeneration %}", "")
CALLED = '<tool>\n{"name": "add", "arguments": {"x": 1}}\n</tool>' * 2


@pytest.mark.parametrize("content", ["", "I add."])
@pytest.mark.parametrize("source", [CALLING, UNMARKED])
def test_a_scored_call_of_tools_is_scored_up_to_the_end_of_its_turn(chatty, source, content):
    messages = [CALLS[0], {**CALLS[1], "content": content}, *CALLS[2:]]
    rendered = ChatTemplate(source, chatty).render(messages, [False, True, False, True])
    scored = [rendered.text[start:end] for start, end in rendered.spans]
    assert scored == [f"{content}{CALLED}<|im_end|>", "three<|im_end|>"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (CHATML, "does not show 'add' in turn 1"),
        (UNMARKED.replace("{{ m.content }}{% for", "{% for"), "does not show 'I add.' in turn 1"),
        (
            # Gemma 4 writes the result of a tool into the turn that calls it.
            "{% for m in messages %}{% if m.role != 'tool' %}{{ m.content }}"
            "{% for call in m.tool_calls or [] %}{{ call | tojson }}{{ messages[2].content }}{% endfor %}"
            "<|im_end|>{% endif %}{% endfor %}",
            "puts what comes later into turn 1",
        ),
    ],
)
def test_a_scored_call_that_the_template_does_not_show_by_itself_is_refused(chatty, source, message):
    messages = [CALLS[0], {**CALLS[1], "content": "I add."}, *CALLS[2:]]
    with pytest.raises(ValueError, match=message):
        ChatTemplate(source, chatty).render(messages, [False, True, False, True])


SUM = {"type": "function", "function": {"name": "sum", "arguments": '{"y": 2, "x": "é"}'}}


@pytest.mark.parametrize(
    "turn",
    [
        {"tool_calls": [SUM]},
        {"tool_calls": json.dumps([SUM])},
        {"tool_calls": [SUM["function"]]},
        {"function_call": SUM["function"]},
    ],
)
def test_arguments_that_openai_writes_as_json_are_shown_as_an_object(chatty, turn):
    reader = TurnsReader("role", "content", frozenset({"tool_call"}), last_only=False)
    read = reader.read([CALLS[0], {"role": "assistant", "content": None, **turn}])
    source = UNMARKED.replace("call.function", "(call.function or call)")
    text = ChatTemplate(source, chatty).render(read.messages, read.is_scored).text
    assert '{"name": "sum", "arguments": {"y": 2, "x": "é"}}' in text
    if "function" in read.messages[1]["tool_calls"][0]:
        # DeepSeek's takes a text alone. Another one would show an object as Python writes it.
        for shown in ("call.function.name + call.function.arguments", "call.function.arguments"):
            as_text = UNMARKED.replace("call.function | tojson", shown)
            assert '{"y": 2, "x": "é"}' in ChatTemplate(as_text, chatty).text(read.messages)
        form = STACKS["openai"].answered_once
        assert form is not None
        (_, written) = form.line(read, have_tools=False)["messages"]
        assert written["tool_calls"] == [SUM]


@pytest.mark.parametrize("arguments", [{"it's": 1}, {"it's": True}, {"a": {"b": None}}, {"a": 1}, {}])
def test_arguments_are_shown_as_json_whatever_the_template_does_with_them(chatty, arguments):
    turns = [
        {"role": "user", "content": str(arguments)},
        {**CALLS[1], "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]},
    ]
    for shown in ("call.function.arguments | tojson", "call.function.arguments"):
        template = ChatTemplate(UNMARKED.replace("call.function | tojson", "'f ' ~ " + shown), chatty)
        rendered = template.render(turns, [False, True])
        ((start, end),) = rendered.spans
        assert rendered.text[start:end] == f"<tool>\nf {json.dumps(arguments)}\n</tool><|im_end|>"


@pytest.mark.parametrize("none", [[], "[]", None])
@pytest.mark.parametrize("field", ["tool_calls", "function_call"])
def test_a_turn_with_an_empty_list_of_calls_calls_nothing(chatty, field, none):
    """Mistral's template shows no content where there is such a field."""
    turns = [{**turn, field: none} for turn in turns_of([("a", "yes")])]
    reader = TurnsReader("role", "content", frozenset({"assistant"}), last_only=False)
    read = reader.read(turns)
    assert read == reader.read(turns_of([("a", "yes")]))
    called = reader.read([*turns, {"role": "assistant", "tool_calls": [], "function_call": {"name": "f"}}])
    assert called.speakers[-1] == "tool_call"


@pytest.mark.parametrize(("arguments", "read_as"), [("", {}), (" ", {}), ("{}", {}), ({"x": 1}, {"x": 1})])
def test_arguments_are_read_as_an_object(arguments, read_as):
    reader = TurnsReader("role", "content", frozenset({"tool_call"}), last_only=False)
    call = {"function": {"name": "f", "arguments": arguments}}
    read = reader.read([CALLS[0], {"role": "assistant", "tool_calls": [call, "f()"]}])
    assert read.messages[1]["tool_calls"] == [{"function": {"name": "f", "arguments": read_as}}, "f()"]


def test_a_conversation_is_read_turn_by_turn_and_listed_by_its_last_question():
    reader = TurnsReader("role", "content", frozenset({"assistant"}), last_only=False)
    system = {"role": "system", "content": "You are Mia."}
    called = {**CALLS[1], "reasoning_content": "hm"}
    read = reader.read([system, CALLS[0], called, *CALLS[2:]])
    assert [(turn.speaker, turn.is_scored) for turn in read.turns()] == [
        ("system", False), ("user", False), ("tool_call", False), ("tool", False), ("assistant", True),
    ]  # fmt: skip
    assert [turn.text for turn in read.turns()][:2] == ["You are Mia.", "1 + 2?"]
    assert read.turns()[2].text == f"hm\n\n{json.dumps(CALLS[1]['tool_calls'])}"
    assert Example("You are Mia.\n\n1 + 2?", "three", conversation=read).topic == "1 + 2?"
    alone = reader.read([system, CALLS[3]])
    assert Example("You are Mia.", "three", conversation=alone).topic == "three"
    assert Example("Why?", "Because").topic == "Why?"


def test_the_template_for_tokenizers_without_one_shows_tools_calls_and_results(chatty):
    template = ChatTemplate((PROJECT / "configs/templates/chatml.jinja").read_text(), chatty)
    tools = [{"type": "function", "function": {"name": "add", "description": "Adds é."}}]
    system = {"role": "system", "content": "You are Mia."}
    for messages, begin in (([system, *CALLS], "You are Mia.\n\n# Tools"), (CALLS, "# Tools")):
        calls = len(messages) - 3
        rendered = template.render(messages, [turn["role"] == "assistant" for turn in messages], tools)
        call = '<tool_call>{"name": "add", "arguments": {"x": 1}}</tool_call>'
        assert rendered.text.startswith(f"<|im_start|>system\n{begin}\n\nYou may call these functions:\n")
        assert f"\n{json.dumps(tools[0], ensure_ascii=False)}\n" in rendered.text
        assert rendered.text.endswith(
            f"<|im_start|>user\n1 + 2?<|im_end|>\n<|im_start|>assistant\n{call}\n{call}<|im_end|>\n"
            "<|im_start|>tool\n3<|im_end|>\n<|im_start|>assistant\nthree<|im_end|>\n"
        )
        scored = [rendered.text[start:end] for start, end in rendered.spans]
        assert scored == [f"{call}\n{call}<|im_end|>", "three<|im_end|>"]
        alone = template.render(messages, [number == calls for number in range(len(messages))], tools)
        assert alone.spans == rendered.spans[:1]
    plain = template.render(turns_of([("a", "yes")]), [False, True])
    assert plain.text == "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"
    assert template.text(CALLS[:1], add_generation_prompt=True).endswith("<|im_start|>assistant\n")


def test_the_docs_tokenizer_and_template_for_conversations_go_together(tmp_path, res_dir, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = "Gut \u05e9\u05dc\u05d5\u05dd."
    rows = [{"messages": turns_of([(f"Wie geht es {row}?", answer)])} for row in range(9)]
    path = str(write_jsonl(tmp_path / "talk.jsonl", rows))
    code = (PROJECT / "docs/chat.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(code, {})
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained("my_tokenizer")
    name = str(PROJECT / "configs/templates/chatml.jinja")
    pool = Pool(DataConfig(path=path, format="messages", template=name))
    tokens = tokenize_pool(pool, tokenizer, name, 512, False)
    row = tokens.row(0)
    assert tokenizer.decode(row.ids[row.is_response]) == f"{answer}<|im_end|>"
    assert not token_remarks(tokens, tokenizer)


def test_several_tokens_that_end_each_answer_are_all_scored(chatty):
    """As Cohere's. A beginning behind the end, or an end of all turns, is none of them."""
    turns = turns_of([("a", "yes"), ("b", "<|end|><|endoftext|>no")])
    both = CHATML.replace("<|im_end|>\n", "<|end|><|endoftext|>")
    at_the_end = CHATML.replace("<|im_end|>\n{% endfor %}", "<|end|>{% endfor %}<|endoftext|>")
    for source, end in ((both, "<|end|><|endoftext|>"), (at_the_end, "<|end|>")):
        template = ChatTemplate(source, chatty)
        rendered = template.render(turns, [False, True, False, True])
        scored = [rendered.text[first:last] for first, last in rendered.spans]
        assert scored == [f"yes{end}", f"<|end|><|endoftext|>no{end}"]
        assert template.end_of_turn() == end[end.rindex("<") :]


@pytest.mark.parametrize("answer", ["yes", "<think>hm</think>", "yes\n</think>\n", "<|im_end|>"])
def test_an_answer_that_ends_in_a_special_token_is_scored_with_its_end(chatty, answer):
    """Whether the template's marks hold that end or not."""
    behind = MARKED.replace("<|im_end|>\n{% endgeneration %}", "{% endgeneration %}<|im_end|>\n")
    assert behind != MARKED
    for source in (MARKED, behind, CHATML):
        rendered = ChatTemplate(source, chatty).render(turns_of([("a", answer)]), [False, True])
        assert [rendered.text[start:end] for start, end in rendered.spans] == [f"{answer}<|im_end|>"]


def test_an_answer_that_begins_with_a_special_token_does_not_end_there(chatty):
    thinking = MARKED.replace("{% generation %}", "{% generation %}<think>\n</think>\n")
    assert ChatTemplate(thinking, chatty).end_of_turn() == "<|im_end|>"
    assert ChatTemplate(CHATML, chatty).end_of_turn() == "<|im_end|>"


@pytest.fixture
def spaced(tokenizer_dir) -> PreTrainedTokenizerFast:
    """With runs of white space among its added tokens, as those of Gemma, GPT-NeoX and Phi 2."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_dir)
    tokenizer.add_tokens(["  ", "\n\n", "<|end|>"])
    return tokenizer


def has_another_fingerprint_than_once(template: ChatTemplate, tokenizer) -> bool:
    """Than with no rule of later."""
    variables = {**tokenizer.special_tokens_map, "strftime_now": "2024-07-26T00:00:00"}
    return template.fingerprint != checksum_of_json([template.source, variables, 2])


def test_white_space_ends_no_turn_though_it_is_a_token(tmp_path, res_dir, spaced):
    no_end = "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}\n\n{% endfor %}"
    template = ChatTemplate(no_end, spaced)
    assert template.end_of_turn() is None
    assert has_another_fingerprint_than_once(template, spaced)
    with pytest.raises(ValueError, match="ends turn 1 .* expected a special token"):
        template.render(turns_of([("a", "b"), ("c", "d")]), [False, True, False, True])
    tokens = tokens_of(tmp_path, spaced, [{"messages": turns_of([("a", "b")])}], template=no_end)
    assert any("no row ends its response" in remark for remark in token_remarks(tokens, spaced))
    late_end = no_end.replace("{{ m.content }}\n\n", "{{ m.content }}\n\n<|end|>")
    rendered = ChatTemplate(late_end, spaced).render(turns_of([("a", "b  ")]), [False, True])
    assert [rendered.text[start:end] for start, end in rendered.spans] == ["b  \n\n<|end|>"]


def test_fingerprints_of_other_templates_do_not_change_with_a_rule(spaced):
    """Of rule 2: what ends a turn may have been white space."""
    early_end = "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}<|end|>\n\n{% endfor %}"
    template, other = (
        ChatTemplate(source, spaced)
        for source in (early_end, early_end.replace("<|end|>\n\n", "\n\n<|end|>"))
    )
    assert not has_another_fingerprint_than_once(template, spaced)
    assert has_another_fingerprint_than_once(other, spaced)


NO_SYSTEM = "{% if messages[0].role != 'system' %}{{ raise_exception('no system turn') }}{% endif %}"


@pytest.mark.parametrize(
    ("source", "is_another"),
    [
        # Only behind the last answer, where no turn follows, as in GLM's.
        ("{% for m in messages %}<|end|>{{ m.role }}\n{{ m.content }}{% endfor %}{{ '\n\n' }}", True),
        ("{% for m in messages %}<|end|>{{ m.role }}\n{{ m.content }}{% endfor %}{{ '\n' }}", False),
        (NO_SYSTEM + "{% for m in messages %}{{ m.role }}\n{{ m.content }}\n\n<|end|>{% endfor %}", True),
        (NO_SYSTEM + "{% for m in messages %}{{ m.role }}\n{{ m.content }}<|end|>\n\n{% endfor %}", False),
        # Arguments of calls once stood there as Python writes them.
        (UNMARKED.replace("call.function | tojson", "call.function.arguments"), True),
        (UNMARKED, False),
    ],
)
def test_a_template_whose_text_or_scored_characters_change_gets_another_fingerprint(
    spaced, source, is_another
):
    assert has_another_fingerprint_than_once(ChatTemplate(source, spaced), spaced) == is_another


def test_a_template_for_tools_whose_text_changes_gets_another_fingerprint(spaced):
    variables = {**spaced.special_tokens_map, "strftime_now": "2024-07-26T00:00:00"}
    for source, is_another in ((UNMARKED, False), (UNMARKED.replace(" | tojson", ".arguments"), True)):
        template = ChatTemplate(CHATML, spaced, with_tools=source)
        once = checksum_of_json([CHATML, variables, 2, source])
        assert (template.fingerprint != once) == is_another


def test_the_date_of_a_template_is_always_the_same(chatty):
    template = ChatTemplate(
        "{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m.content }}<|end|>{% endfor %}", chatty
    )
    assert (
        template.text([{"role": "user", "content": "x"}], add_generation_prompt=False)
        == "26 Jul 2024x<|end|>"
    )


def test_rows_with_tools_take_the_template_that_the_tokenizer_has_for_them(tmp_path, chatty):
    with_tools = "{{ tools | tojson }}" + CHATML
    several = copy.deepcopy(chatty)
    several.chat_template = {"default": CHATML, "tool_use": with_tools, "rag": HEADERS}
    several.save_pretrained(tmp_path)
    for tokenizer in (several, PreTrainedTokenizerFast.from_pretrained(tmp_path)):
        chat = chat_template_of("chat", tokenizer)
        assert chat is not None and chat.source == {"default": CHATML, "tool_use": with_tools}
        assert chat.text(CALLS) == ChatTemplate(CHATML, chatty).text(CALLS)
        assert chat.text(CALLS, tools=[ADD]) == ChatTemplate(with_tools, chatty).text(CALLS, tools=[ADD])
        assert chat.fingerprint != ChatTemplate(CHATML, chatty).fingerprint
    several.chat_template = {"default": CHATML, "rag": HEADERS}
    alone = chat_template_of("chat", several)
    assert alone is not None and alone.fingerprint == ChatTemplate(CHATML, chatty).fingerprint
    several.chat_template = {"rag": HEADERS}
    with pytest.raises(ValueError, match=r"chat templates \(rag\) none is the default"):
        chat_template_of("chat", several)


# ------------------------------------------------------------------------------------------ pools of turns


def tokens_of(tmp_path, tokenizer, rows, template=CHATML, max_length=200, **data) -> TokenizedPool:
    (tmp_path / "template.jinja").write_text(template)
    settings: Any = {"path": str(write_jsonl(tmp_path / "pool.jsonl", rows)), "format": "messages", **data}
    pool = Pool(DataConfig(template=str(tmp_path / "template.jinja"), **settings))
    return tokenize_pool(pool, tokenizer, pool.data.template, max_length, False)


def scored_texts(tokens: TokenizedPool, tokenizer, row: int = 0) -> list[str]:
    encoded = tokens.row(row)
    edges = np.flatnonzero(np.diff(encoded.is_response.astype(int), prepend=0, append=0)).reshape(-1, 2)
    return [str(tokenizer.decode(encoded.ids[start:end])) for start, end in edges]


def test_scored_tokens_are_those_of_the_scored_text(tmp_path, res_dir, chatty):
    rows = [{"messages": turns_of([("a", " two words \n"), ("b", ""), ("c 😀", "אב 😀")])}]
    tokens = tokens_of(tmp_path, chatty, rows)
    assert scored_texts(tokens, chatty) == [" two words \n<|im_end|>", "<|im_end|>", "אב 😀<|im_end|>"]
    text = ChatTemplate(CHATML, chatty).text(rows[0]["messages"], add_generation_prompt=False)
    assert tokens.row(0).ids.tolist() == chatty(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(
    ("template", "remarks"),
    [
        ("{{ tools | tojson }}" + CALLING, []),
        (CALLING, ["all tools of 1 row"]),
        (
            "{{ tools | tojson }}" + CALLING.replace("{{ m.content }}<", "{{ m.content | tojson }}<"),
            [],
        ),
        (
            CALLING.replace("in messages %}", "in messages if m.role not in ('system', 'tool') %}"),
            ["all tools of 1 row", "all turns of 2 rows"],
        ),
        (CHATML, ["all tools of 1 row", "all turns of 1 row"]),  # no calls
    ],
)
def test_what_a_template_does_not_show_is_said(tmp_path, res_dir, chatty, template, remarks):
    system = {"role": "system", "content": "Be kind."}
    thought = {"role": "assistant", "content": "<think>hm</think>one"}
    rows = [
        {
            "messages": [CALLS[0], CALLS[1], {**CALLS[2], "content": '{"it": "is\n3"}'}, CALLS[3]],
            "tools": [ADD],
        },
        {"messages": [system, CONVERSATION[1], {**thought, "weight": 0}, *CONVERSATION[3:]]},
    ]
    template = template.replace("{{ m.content }}{%", "{{ m.content.split('</think>')[-1] }}{%")
    tokens_of(tmp_path, chatty, rows, template=template)
    tokens = tokens_of(tmp_path, chatty, rows, template=template)  # from the cache
    said = [remark for remark in token_remarks(tokens, chatty) if "does not show" in remark]
    assert len(said) == len(remarks) and all(map(str.__contains__, said, remarks))


@pytest.mark.parametrize("template", [CHATML, "alpaca"])
def test_that_an_earlier_version_did_not_look_for_what_is_not_shown_is_said(
    tmp_path, res_dir, chatty, template
):
    path = str(write_jsonl(tmp_path / "pool.jsonl", [{"instruction": "a", "output": "b"}]))
    (tmp_path / "template.jinja").write_text(template)
    name = template if template == "alpaca" else str(tmp_path / "template.jinja")
    pool = Pool(DataConfig(path=path, template=name))
    tokens = tokenize_pool(pool, chatty, name, 200, False)
    assert tokens.left_out == {} and not token_remarks(tokens, chatty)
    files = TokensFolder(tokens.folder)
    files.left_out.unlink()
    manifest = TokensManifest.read(files.manifest)
    checksums = {name: value for name, value in (manifest.checksums or {}).items() if "left_out" not in name}
    dataclasses.replace(manifest, checksums=checksums).write(files.manifest)
    tokens = tokenize_pool(pool, chatty, name, 200, False)
    remarks = token_remarks(tokens, chatty)
    assert tokens.left_out is None and len(remarks) == (template == CHATML)
    assert all(f"delete {tokens.folder} to have them looked at" in remark for remark in remarks)


def test_a_header_that_swallows_white_space_is_not_scored_with_it(tmp_path, res_dir, tokenizer_dir):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_dir)
    marks = ["<|user|>", "<|assistant|>", "<|end|>"]  # as Phi 3 has them
    tokenizer.add_tokens([AddedToken(mark, rstrip=True, special=True) for mark in marks], special_tokens=True)
    rows = [{"messages": turns_of([("a", "\n  two"), ("b", " ")])}]
    tokens = tokens_of(tmp_path, tokenizer, rows, template=ENDS)
    assert scored_texts(tokens, tokenizer) == ["two<|end|>", "<|end|>"]


def test_a_cut_keeps_the_turns_before_it(tmp_path, res_dir, chatty):
    rows = [{"messages": turns_of([("a", "one"), ("b", "two " * 100)])}]
    whole = tokens_of(tmp_path, chatty, rows, max_length=1000)
    cut = tokens_of(tmp_path, chatty, rows, max_length=60)
    assert cut.row(0).ids.tolist() == whole.row(0).ids[:60].tolist()
    assert cut.row(0).is_response.tolist() == whole.row(0).is_response[:60].tolist()
    assert (
        cut.whole_lengths[0] == len(whole.row(0)) and cut.whole_responses[0] == whole.num_response_tokens[0]
    )


CONVERSATION = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "one"},
    {"role": "user", "content": "b"},
    {"role": "assistant", "content": "two"},
]
SHAREGPT = [
    {"from": {"user": "human", "assistant": "gpt"}.get(turn["role"], turn["role"]), "value": turn["content"]}
    for turn in CONVERSATION
]


WEIGHTED = [{**turn, "weight": int(turn["content"] != "one")} for turn in CONVERSATION]
IN_PARTS = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in CONVERSATION]
TWICE_WEIGHTED = [{**turn, "weight": 1, "loss_weight": turn["weight"]} for turn in WEIGHTED]
TRAINED = [{**turn, "train": turn["content"] != "one"} for turn in CONVERSATION]
IN_TRAINING = [{**turn, "training": turn["content"] != "one"} for turn in CONVERSATION]
AS_JSON = (json.dumps(CONVERSATION[:4]), json.dumps(CONVERSATION[4:]))
CALL_OF_OLD = {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}
PROMPTS = {"format": "prompt_completion"}


@pytest.mark.parametrize(
    ("row", "settings", "expected"),
    [
        ({"messages": CONVERSATION}, {}, ["one", "two"]),
        ({"messages": CONVERSATION}, {"score_turns": "last"}, ["two"]),
        ({"messages": CONVERSATION}, {"score_roles": ["user"]}, ["a", "b"]),
        ({"messages": CONVERSATION[1:3]}, {"score_roles": ["user", "assistant"]}, ["a", "one"]),
        ({"talk": CONVERSATION}, {"columns": {"messages": "talk"}}, ["one", "two"]),
        ({"messages": json.dumps(CONVERSATION)}, {}, ["one", "two"]),
        ({"conversations": SHAREGPT}, {"format": "sharegpt"}, ["one", "two"]),
        ({"conversations": SHAREGPT[1:], "system": "s"}, {"format": "sharegpt"}, ["one", "two"]),
        ({"conversations": SHAREGPT, "system": "s"}, {"format": "sharegpt"}, ["one", "two"]),
        ({"prompt": CONVERSATION[:4], "completion": CONVERSATION[4:]}, PROMPTS, ["two"]),
        ({"prompt": "a", "completion": "one"}, PROMPTS, ["one"]),
        ({"prompt": "a", "completion": "one", "tools": "null", "system": ""}, PROMPTS, ["one"]),
        ({"instruction": "a", "output": "one"}, {"format": "alpaca"}, ["one"]),
        ({"prompt": AS_JSON[0], "completion": AS_JSON[1]}, PROMPTS, ["two"]),
        ({"prompt": "a", "completion": AS_JSON[1]}, PROMPTS, [AS_JSON[1]]),
        ({"prompt": AS_JSON[0], "completion": "[1]"}, PROMPTS, ["[1]"]),
        ({"messages": WEIGHTED}, {}, ["two"]),
        ({"messages": TWICE_WEIGHTED}, {}, ["two"]),
        ({"messages": TRAINED}, {}, ["two"]),
        ({"messages": IN_TRAINING}, {}, ["two"]),
        ({"messages": [{**turn, "loss": turn["content"] != "one"} for turn in CONVERSATION]}, {}, ["two"]),
        ({"messages": [{**turn, "loss": 0.0} for turn in CONVERSATION]}, {}, ["one", "two"]),
        ({"messages": [{**turn, "train": "no"} for turn in CONVERSATION]}, {}, ["one", "two"]),
        ({"messages": [*CONVERSATION, CALL_OF_OLD]}, {}, ["one", "two"]),
        ({"messages": IN_PARTS}, {}, ["one", "two"]),
        ({"messages": json.loads(json.dumps(IN_PARTS).replace('"text":', '"value":'))}, {}, ["one", "two"]),
        (
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}]},
                    {"role": "tool", "content": "3"},
                    {"role": "assistant", "content": "one"},
                ]
            },
            {},
            ["one"],
        ),
        ({"messages": [CONVERSATION[turn] for turn in (1, 1, 2, 0, 4)]}, {}, ["one", "two"]),
    ],
)  # fmt: skip
def test_rows_of_all_formats_score_the_turns_they_should(tmp_path, res_dir, chatty, row, settings, expected):
    tokens = tokens_of(tmp_path, chatty, [row], **settings)
    assert scored_texts(tokens, chatty) == [f"{answer}<|im_end|>" for answer in expected]


@pytest.mark.parametrize("template", [CHATML, MARKED])
def test_a_call_between_special_tokens_is_scored_whole(chatty, template):
    """Of templates as Qwen's, whose calls stand between special tokens of their own."""
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "Look.", "tool_calls": [call]},
        {"role": "assistant", "content": "one"},
    ]
    answer = (
        "{{ m.content }}{% for c in m.tool_calls or [] %}<|head|>{{ c.function.name }}<|/head|>{% endfor %}"
    )
    place = "{% generation %}{{ m.content }}" if template == MARKED else "{{ m.content }}"
    with_calls = ChatTemplate(template.replace(place, place.replace("{{ m.content }}", answer)), chatty)
    rendered = with_calls.render(turns, [False, True, True])
    assert [rendered.text[start:end] for start, end in rendered.spans] == [
        "Look.<|head|>f<|/head|><|im_end|>",
        "one<|im_end|>",
    ]
    rendered = with_calls.render(turns, [False, False, True])
    assert [rendered.text[start:end] for start, end in rendered.spans] == ["one<|im_end|>"]


@pytest.mark.parametrize(
    ("turns", "fault"),
    [
        ("no list", "a text in place of turns"),
        ([], "no turn of assistant to score"),
        ([{"role": "user", "content": "a"}], "no turn of assistant to score"),
        ([{"role": "critic", "content": "a"}], "the role 'critic' in turn 0"),
        ([{"role": ["user"], "content": "a"}], r"the role \['user'\] in turn 0"),
        ([{"role": "assistant", "content": "a", "weight": "0"}], "the weight '0' in turn 0"),
        ([{"role": "assistant", "content": "a", "weight": 0.5}], "the weight 0.5 in turn 0, where"),
        ([{"role": "assistant", "content": "a", "weight": 1, "loss_weight": -1}], "the weight -1 in turn 0"),
        ([{"role": "User", "content": "a"}], "the role 'User' in turn 0, expected one of system, .*, user"),
        ([{"from": "human", "value": "a"}], r"no 'role' in turn 0 \(there are 'from', 'value'\)"),
        ([{"role": "assistant", "text": "a"}], r"no 'content' in turn 0 \(there are 'role', 'text'\)"),
        ([{"role": "assistant", "content": ["a"]}], "a text without a type as a part of turn 0"),
        ([{"role": "assistant", "content": [{"text": "a"}]}], "an object without a type as a part of turn 0"),
        ([{"role": "assistant", "content": [{"type": "text"}]}], "a part without its text in turn 0"),
        (
            [{"role": "assistant", "content": "a", "tool_calls": 5}],
            "a number in place of the calls of turn 0",
        ),
        *(
            (
                [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}],
                re.escape(f"the arguments {arguments!r} of a call in turn 0, expected a JSON object"),
            )
            for arguments in ("{not json", "city=Paris", '"{}"', ["a"], 5)
        ),
        (
            [{"role": "assistant", "function_call": {"name": "f", "arguments": "{"}}],
            "the arguments '{' of a call in turn 0",
        ),
        (["a"], "a text as turn 0"),
        (
            [{"role": "assistant", "content": "a", "train_detail": [{"begin_offset": 0}]}],
            "'train_detail' in turn 0, where only a whole turn",
        ),
        ([5], "a number as turn 0"),
        ([{"role": "assistant", "content": [{"type": "image_url"}]}], "image_url in turn 0, where only text"),
        (
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": " "}],
            "no text in the scored turns",
        ),
    ],
)
def test_a_row_that_is_no_conversation_is_named_or_dropped(tmp_path, turns, fault):
    rows = [{"messages": CONVERSATION}, {"messages": turns}]
    settings: Any = {
        "path": str(write_jsonl(tmp_path / "pool.jsonl", rows)),
        "format": "messages",
        "template": "chat",
    }
    with pytest.raises(ValueError, match=f"{fault}.*1 row.*1"):
        Pool(DataConfig(**settings))
    pool = Pool(DataConfig(**settings, invalid_rows="drop"))
    assert pool.excluded.tolist() == [False, True]
    assert len(list(pool)) == 2, "questions are looked for in every row"


@pytest.mark.parametrize(
    ("row", "settings", "words"),
    [
        ({"messages": CONVERSATION, "chat_template_kwargs": {"thinking": True}}, {}, "FILE.jinja"),
        ({"instruction": "a", "output": "b", "history": [["c", "d"]]}, {"format": "alpaca"}, "history first"),
        ({"instruction": "a", "output": "b", "system": "s"}, {"format": "alpaca"}, "a column `system`"),
        ({"prompt": "a", "completion": "b", "tools": '[{"name": "f"}]'}, PROMPTS, "a column `tools`"),
        ({"prompt": "a", "completion": "b", "system": "s"}, PROMPTS, "as turns"),
    ],
)
def test_a_column_that_says_what_a_model_is_shown_is_not_left_unread(tmp_path, row, settings, words):
    path = str(write_jsonl(tmp_path / "pool.jsonl", [row]))
    with pytest.raises(ValueError, match=f"row 0: found .* does not read\\. .*{words}.*rename it"):
        Pool(DataConfig(**{"path": path, "format": "messages", "template": "chat", **settings}))
    column = list(row)[-1]
    empty = {**row, column: None}
    read_elsewhere = {**row, column: "x"}
    own: Any = {"path": path, "format": "messages", "template": "chat", "source_column": column, **settings}
    write_jsonl(tmp_path / "pool.jsonl", [empty, read_elsewhere])
    assert Pool(DataConfig(**own)).source_names == ["", "x"], "what is read is not refused"


@pytest.mark.parametrize("nothing", [None, False, "", " \n", [], {}, "[]", "{}", " null"])
@pytest.mark.parametrize("field", ["system", "tools", "tool_calls", "function_call"])
def test_nothing_is_the_same_in_every_field_that_may_be_missing(tmp_path, field, nothing):
    of_turn = field in CALLS[1] or field == "function_call"
    turns = [*CONVERSATION[1:4], {**CONVERSATION[4], **({field: nothing} if of_turn else {})}]
    beside = {} if of_turn else {field: nothing}
    data: Any = {"format": "messages", "template": "chat"}
    (read,) = Pool(
        DataConfig(path=str(write_jsonl(tmp_path / "a.jsonl", [{"messages": turns, **beside}])), **data)
    )
    path = str(write_jsonl(tmp_path / "b.jsonl", [{"messages": CONVERSATION[1:]}]))
    assert [read] == list(Pool(DataConfig(path=path, **data)))
    path = str(write_jsonl(tmp_path / "c.jsonl", [{"instruction": "a", "output": "b", **beside}]))
    assert len(Pool(DataConfig(path=path))) == 1


def test_a_system_text_of_a_column_comes_before_all_turns(tmp_path):
    rows = [{"messages": CONVERSATION}, {"messages": CONVERSATION[1:], "system": "s"}]
    path = str(write_jsonl(tmp_path / "pool.jsonl", rows))
    first, second = Pool(DataConfig(path=path, format="messages", template="chat"))
    assert first == second
    rows = [{"prompt": CONVERSATION[1:4], "completion": CONVERSATION[4:], "system": "s"}]
    path = str(write_jsonl(tmp_path / "pool.jsonl", rows))
    (example,) = Pool(DataConfig(path=path, format="prompt_completion", template="chat"))
    assert example.conversation is not None
    assert list(example.conversation.messages) == CONVERSATION


def test_a_system_text_is_there_once(tmp_path):
    """In a column, as a turn, or in both."""
    rows = [{"conversations": SHAREGPT}, {"conversations": SHAREGPT[1:], "system": "s"}]
    rows.append({"conversations": SHAREGPT, "system": "s\n"})
    data: Any = {"format": "sharegpt", "template": "chat"}
    pool = Pool(DataConfig(path=str(write_jsonl(tmp_path / "pool.jsonl", rows)), **data))
    first, *others = [example.conversation for example in pool]
    assert others == [first, first]
    path = str(write_jsonl(tmp_path / "pool.jsonl", [{**rows[0], "system": "another"}]))
    with pytest.raises(ValueError, match="another one than the system's turn: keep one"):
        Pool(DataConfig(path=path, **data))


def test_turns_with_dates_are_read_and_with_images_refused(tmp_path):
    """As WildChat's, whose turns say when they were said."""
    turns = [{**turn, "timestamp": datetime(2024, 1, 5, tzinfo=UTC)} for turn in CONVERSATION]
    data: Any = {"path": str(tmp_path / "pool.parquet"), "format": "messages", "template": "chat"}
    parquet.write_table(pyarrow.Table.from_pylist([{"messages": turns}]), data["path"])
    (example,) = Pool(DataConfig(**data))
    assert example.conversation is not None
    assert list(example.conversation.messages) == CONVERSATION
    turns[1]["image"] = {"bytes": b"PNG"}
    parquet.write_table(pyarrow.Table.from_pylist([{"messages": turns}]), data["path"])
    with pytest.raises(ValueError, match="an object that is no JSON in 'image' of turn 1"):
        Pool(DataConfig(**data))


@pytest.mark.parametrize("stack", ["trl", "axolotl", "llama_factory", "openai"])
def test_rows_that_were_written_for_a_stack_are_read_again(tmp_path, stack):
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    called = [CALLS[0], {**CALLS[1], "tool_calls": [ADD]}, {**CALLS[2], "tool_call_id": "1"}, CALLS[3]]
    rows = [{"messages": CONVERSATION}, {"messages": called, "tools": [tool]}, {"messages": TRAINED}]
    data: Any = {"format": "messages", "template": "chat"}
    pool = Pool(DataConfig(path=str(write_jsonl(tmp_path / "pool.jsonl", rows)), **data))
    read = [conversation_of(example) for example in pool]
    form = STACKS[stack].answered_often
    assert form is not None
    lines = [form.line(conversation, have_tools=True) for conversation in read]
    again = Pool(DataConfig(path=str(write_jsonl(tmp_path / "again.jsonl", lines)), **data))
    for conversation, written in zip(read, map(conversation_of, again), strict=True):
        assert written.tools == conversation.tools and written.speakers == conversation.speakers
        if stack in ("axolotl", "openai"):  # the others are not told which turns count
            assert written.is_scored == conversation.is_scored
        for speaker, one, other in zip(
            conversation.speakers, conversation.messages, written.messages, strict=True
        ):
            if speaker != "tool_call":
                assert one["content"] == other["content"]
            elif stack != "llama_factory":  # there a call is a text
                assert one["tool_calls"] == other["tool_calls"]


def test_what_stands_beside_a_turns_own_fields_is_not_said(tmp_path):
    turns = [
        {"from": "human", "value": "two and two?"},
        {"from": "gpt", "value": "four", "role": "user", "content": "OTHER"},
    ]
    path = write_jsonl(tmp_path / "pool.jsonl", [{"conversations": turns}])
    (example,) = Pool(DataConfig(path=str(path), format="sharegpt", template="chat"))
    assert example.conversation is not None
    assert [(turn["role"], turn["content"]) for turn in example.conversation.messages] == [
        ("user", "two and two?"),
        ("assistant", "four"),
    ]


def test_a_source_that_is_no_text_makes_a_row_with_turns_invalid(tmp_path):
    rows = [{"messages": CONVERSATION, "source": source} for source in (["a"], 1, None)]
    settings: Any = {"path": str(write_jsonl(tmp_path / "pool.jsonl", rows)), "format": "messages"}
    with pytest.raises(ValueError, match=r"a list in 'source': 1 row \(0\)"):
        Pool(DataConfig(**settings, template="chat"))
    dropped = Pool(DataConfig(**settings, template="chat", invalid_rows="drop"))
    assert dropped.excluded.tolist() == [True, False, False] and dropped.source_names == ["", "1"]


def test_a_completion_that_begins_with_the_prompt_again_is_refused(tmp_path):
    """As UltraFeedback's, whose `chosen` is the whole conversation."""
    rows = [{"prompt": CONVERSATION[:2], "completion": CONVERSATION[:3]}]
    path = str(write_jsonl(tmp_path / "pool.jsonl", rows))
    with pytest.raises(ValueError, match="begin with those of the question again.*as format messages"):
        Pool(DataConfig(path=path, format="prompt_completion", template="chat"))


@pytest.mark.parametrize(("column", "setting"), [("Tools", "tools"), ("system ", "system")])
def test_a_column_of_nearly_the_right_name_is_not_left_unread(tmp_path, column, setting):
    row = {"conversations": SHAREGPT, column: "[]"}
    path = str(write_jsonl(tmp_path / "pool.jsonl", [row]))
    with pytest.raises(ValueError, match=f"found the column '{column}'.*data.columns.{setting}"):
        Pool(DataConfig(path=path, format="sharegpt", template="chat"))


def test_a_row_that_ends_in_a_call_of_a_tool_has_a_response_where_calls_are_scored(tmp_path, res_dir):
    call = {"function": {"name": "é"}}
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    path = str(write_jsonl(tmp_path / "pool.jsonl", [{"messages": turns}]))
    read = Pool(DataConfig(path=path, format="messages", template="chat", score_roles=["tool_call"]))
    assert read[0].response == '[{"function": {"name": "é"}}]' and read[0].instruction == "a"


def test_the_order_of_a_tools_keys_counts_since_templates_write_it(tmp_path, res_dir):
    """That of a turn's does not."""
    tool = {"name": "sum", "parameters": {"type": "object"}}
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    rows = {
        "as it is": {"messages": turns, "tools": [tool]},
        "turns": {"messages": [dict(reversed(turn.items())) for turn in turns], "tools": [tool]},
        "tools": {"messages": turns, "tools": [dict(reversed(tool.items()))]},
    }
    data: Any = {"format": "messages", "template": "chat"}
    prints = {
        name: Pool(DataConfig(path=str(write_jsonl(tmp_path / f"{name}.jsonl", [row])), **data)).fingerprint
        for name, row in rows.items()
    }
    assert prints["as it is"] == prints["turns"] != prints["tools"]


def test_thinking_in_a_field_of_its_own_is_part_of_what_is_said(tmp_path):
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "thinking": "hm"},
    ]
    data: Any = {"format": "messages", "template": "chat"}
    read = Pool(DataConfig(path=str(write_jsonl(tmp_path / "pool.jsonl", [{"messages": turns}])), **data))
    assert read[0].response == "hm" and read[0].conversation is not None
    assert "thoughts are scored" in read[0].conversation.canonical(), "once they were not"
    turns[1]["thinking"] = ["hm"]
    path = str(write_jsonl(tmp_path / "pool.jsonl", [{"messages": turns}]))
    with pytest.raises(ValueError, match="a text without a type as a part of 'thinking' of turn 1"):
        Pool(DataConfig(path=path, **data))


@pytest.mark.parametrize("setting", [True, False, 5, {"effort": "high"}])
@pytest.mark.parametrize("field", ["thinking", "reasoning"])
def test_a_setting_of_that_name_is_no_thinking(field, setting):
    reader = TurnsReader("role", "content", frozenset({"assistant"}), last_only=False)
    read = reader.read([CALLS[0], {"role": "assistant", "content": "b", field: setting}])
    assert read.messages[1] == {"role": "assistant", "content": "b", field: setting}
    assert read.said(True) == "b" and "thoughts are scored" not in read.canonical()


def test_fingerprints_of_conversations_are_those_of_earlier_versions(tmp_path):
    """A changed fingerprint would make every artifact of its users useless."""
    rows = [
        {"messages": CONVERSATION, "source": "talk"},
        {"messages": [*CONVERSATION[:2], {**CALLS[1], "name": "helper"}, *CALLS[2:]], "tools": [ADD]},
    ]
    path = str(write_jsonl(tmp_path / "pool.jsonl", rows))
    pool = Pool(DataConfig(path=path, format="messages", template="chat"))
    assert pool.fingerprint == "65d2b45147ca0ac8f3a2f4986861095abbc7c3111d8883589ec3dfeb8ebafba5"


def test_a_row_whose_turns_are_all_scored_makes_another_pool_than_when_it_was_unused(tmp_path):
    """Its losses of then are NaN."""
    rows = [{"messages": CONVERSATION}, {"messages": CONVERSATION[1:3]}]
    path = str(write_jsonl(tmp_path / "pool.jsonl", rows))
    roles: Any = {"score_roles": ["user", "assistant"], "invalid_rows": "drop"}
    pool = Pool(DataConfig(path=path, format="messages", template="chat", **roles))
    assert not pool.excluded.any()
    prints = [pool.fingerprint[:8], pool.texts_fingerprint[:8]]
    assert prints == ["7987c9a5", "69567a7c"], "once af6822ca and 25d1f89d"
    path = str(write_jsonl(tmp_path / "asking.jsonl", rows[:1]))
    pool = Pool(DataConfig(path=path, format="messages", template="chat", **roles))
    assert pool.fingerprint[:8] == "86777033", "such a row was used before"


def test_fingerprints_of_chat_templates_are_those_of_earlier_versions(chatty):
    prints = {kind: ChatTemplate(source, chatty).fingerprint[:8] for kind, (source, _) in KINDS.items()}
    assert prints == {
        "chatml": "923bce87",
        "headers": "6ec7f558",
        "model": "24ada781",
        "brackets": "9bf73ca0",
        "ends": "f8d31a2a",
        "marked": "fb0ddac2",
    }


@pytest.mark.parametrize("is_cached", [False, True])
def test_what_is_scored_is_part_of_a_pools_fingerprint(tmp_path, res_dir, monkeypatch, is_cached):
    monkeypatch.setattr(pool, "_CACHED_FROM", 0 if is_cached else 2**23)
    path = str(write_jsonl(tmp_path / "pool.jsonl", [{"messages": CONVERSATION}]))
    settings = [{}, {"score_turns": "last"}, {"score_roles": ["assistant", "user"]}]
    pools = [Pool(DataConfig(path=path, format="messages", template="chat", **more)) for more in settings]
    assert len({read.fingerprint for read in pools}) == 3


def test_turns_need_a_chat_template(tmp_path, res_dir, chatty):
    with pytest.raises(ValueError, match="set template to chat"):
        DataConfig(path="pool.jsonl", format="messages")
    rows = [{"prompt": CONVERSATION[:4], "completion": CONVERSATION[4:]}]
    pool = Pool(DataConfig(path=str(write_jsonl(tmp_path / "p.jsonl", rows)), format="prompt_completion"))
    with pytest.raises(ValueError, match="row 0 has turns"):
        tokenize_pool(pool, chatty, "alpaca", 100, False)
    with pytest.raises(ValueError, match="no chat template"):
        chat_template_of("chat", chatty)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jinja is not a file"):
        chat_template_of("nowhere.jinja", chatty)
