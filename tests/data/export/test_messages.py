"""Turns that a stack cannot train on are found, whatever rows they come from."""

import json

import pytest

from utils.config.names import Speaker
from utils.data.conversations import Conversation
from utils.data.export.messages import (
    alternation_fault,
    answer_fault,
    answers_once,
    call_as_text,
    conversation_of,
    is_scored_by_role,
)
from utils.data.export.segments import SpecialTexts, segments_of, with_special_texts
from utils.data.export.stacks import STACKS
from utils.data.formats import Example

SPEAKERS: dict[str, Speaker] = {
    "s": "system",
    "u": "user",
    "a": "assistant",
    "b": "assistant",
    "c": "tool_call",
    "t": "tool",
}


def turns(letters: str) -> Conversation:
    """ "sua": a turn of the system, one of the user, one of the assistant, which is scored. "b" is not."""
    speakers: tuple[Speaker, ...] = tuple(SPEAKERS[letter] for letter in letters)
    messages = []
    for number, speaker in enumerate(speakers):
        role = "assistant" if speaker == "tool_call" else speaker
        messages.append({"role": role, "content": f"turn {number}"})
    return Conversation(tuple(messages), tuple(letter == "a" for letter in letters), speakers)


@pytest.mark.parametrize("letters", ["ua", "sua", "uaua", "suauaua", "suaub"])
def test_turns_that_alternate_go_everywhere(letters):
    assert all(stack.fault(turns(letters)) is None for stack in STACKS.values())


@pytest.mark.parametrize(
    ("letters", "fault"),
    [
        ("uua", "turn 2 is of user, expected assistant"),
        ("suaaua", "turn 4 is of assistant, expected user"),
        ("usa", "turn 2 is of system, expected assistant"),
        ("ssua", "turn 2 is of system, expected user"),
        ("au", "turn 1 is of assistant, expected user"),
        ("uau", "the last turn is not the assistant's"),
        ("uct", "the last turn is not the assistant's"),
        ("ucat", "turn 3 is of assistant, expected user or tool"),
    ],
)
def test_turns_that_do_not_alternate_are_refused_by_llama_factory_alone(letters, fault):
    assert fault in (STACKS["llama_factory"].fault(turns(letters)) or "")
    assert all(STACKS[name].fault(turns(letters)) is None for name in ("trl", "axolotl"))


@pytest.mark.parametrize("letters", ["uu", "s", ""])
def test_turns_that_nobody_can_train_on_are_refused_by_all(letters):
    assert "no turn of the assistant" in (answer_fault(turns(letters)) or "")
    assert all(stack.fault(turns(letters)) for stack in STACKS.values())


def test_calls_of_tools_go_where_they_can():
    assert all(STACKS[name].fault(turns("suctaua")) is None for name in ("trl", "axolotl", "llama_factory"))
    assert "expected `tool_calls`" in (STACKS["openai"].fault(turns("ucta")) or "")
    assert "no `tool_call_id`" in (STACKS["openai"].fault(turns("uta")) or "")


def test_thinking_in_a_field_of_its_own_goes_where_a_template_reads_it():
    conversation = turns("ua")
    conversation.messages[1]["reasoning_content"] = "hm"
    assert all(STACKS[name].fault(conversation) is None for name in ("trl", "axolotl"))
    for name in ("llama_factory", "openai"):
        assert "thinking in 'reasoning_content'" in (STACKS[name].fault(conversation) or "")


def test_openai_gets_no_key_of_its_own_rows():
    conversation = turns("uab")
    conversation.messages[1].update(toxic=False, name="helper")
    form = STACKS["openai"].answered_often
    assert form is not None
    user, answer, last = form.line(conversation, have_tools=False)["messages"]
    assert answer == {"role": "assistant", "content": "turn 1", "name": "helper"}
    assert user.keys() == {"role", "content"} and last["weight"] == 0


def test_a_call_is_one_text_of_names_and_arguments():
    calls = [
        {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
        {"id": "2", "type": "function", "function": {"name": "add", "arguments": {"a": 2}}},
    ]
    one, two = {"name": "add", "arguments": {"a": 1}}, {"name": "add", "arguments": {"a": 2}}
    assert json.loads(call_as_text({"content": "", "tool_calls": calls[:1]})) == one
    assert json.loads(call_as_text({"content": "", "tool_calls": calls})) == [one, two]
    assert call_as_text({"content": '{"name": "add"}'}) == '{"name": "add"}'
    with pytest.raises(ValueError, match="says something besides"):
        call_as_text({"content": "I add.", "tool_calls": calls})


@pytest.mark.parametrize(
    "call",
    [
        "add",
        {"function": "add"},
        {"function": {"arguments": {}}},
        {"function": {"name": "add"}},
        {"function": {"name": "add", "arguments": "{1}"}},
        {"function": {"name": "add", "arguments": "[1]"}},
    ],
)
def test_a_call_that_is_none_is_refused_by_llama_factory(call):
    conversation = turns("ucta")
    conversation.messages[1].update(content="", tool_calls=[call])
    assert "a call of a tool has no name" in (STACKS["llama_factory"].fault(conversation) or "")
    conversation.messages[1]["tool_calls"] = [{"name": "add", "arguments": "{}"}]
    assert STACKS["llama_factory"].fault(conversation) is None


@pytest.mark.parametrize(
    ("letters", "once", "by_role"),
    [
        ("ua", True, True),
        ("sua", True, True),
        ("uua", True, True),
        ("uaua", False, True),
        ("ubua", True, False),
        ("uau", False, True),
        ("ucta", True, False),
        ("uaub", False, False),
    ],
)
def test_which_turns_are_scored_decides_the_form(letters, once, by_role):
    assert answers_once(turns(letters)) == once
    assert is_scored_by_role(turns(letters)) == by_role


def test_an_empty_list_does_not_alternate():
    assert alternation_fault(turns(""))


def test_the_user_says_instruction_and_input():
    assert conversation_of(Example("Add.", "3", "1 + 2")).messages == (
        {"role": "user", "content": "Add.\n\n1 + 2"},
        {"role": "assistant", "content": "3"},
    )


def test_special_tokens_are_put_around_a_text_once():
    special = SpecialTexts("<s>", "</s>")
    for response in ("3", "3</s>"):
        segments = with_special_texts(segments_of(Example("{input}", response, ""), "plain"), special)
        assert segments == [{"label": False, "text": "<s>{input}"}, {"label": True, "text": "3</s>"}]
