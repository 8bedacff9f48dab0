"""Turns that a stack cannot train on are found, whatever rows they come from."""

import pytest

from utils.data.export.messages import Message, alternation_fault, answers_once, messages_of, turns_fault
from utils.data.export.segments import SpecialTexts, segments_of, with_special_texts
from utils.data.export.stacks import STACKS
from utils.data.formats import Example

SHORT = {"s": "system", "u": "user", "a": "assistant"}


def turns(letters: str) -> list[Message]:
    """ "sua": a turn of the system, one of the user, one of the assistant."""
    return [Message(role=SHORT.get(letter, letter), content=f"turn {n}") for n, letter in enumerate(letters)]


@pytest.mark.parametrize("letters", ["ua", "sua", "uaua", "suauaua"])
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
    ],
)
def test_turns_that_do_not_alternate_are_refused_by_llama_factory_alone(letters, fault):
    messages = turns(letters)
    assert fault in (STACKS["llama_factory"].fault(messages) or "")
    assert all(STACKS[name].fault(messages) is None for name in ("trl", "axolotl", "openai"))


@pytest.mark.parametrize(
    ("letters", "fault"), [("uTa", "the role 'T'"), ("uu", "no turn of the assistant"), ("s", "no")]
)
def test_turns_that_nobody_can_train_on_are_refused_by_all(letters, fault):
    assert fault in (turns_fault(turns(letters)) or "")
    assert all(stack.fault(turns(letters)) for stack in STACKS.values())


def test_what_follows_the_only_answer_makes_another_form():
    assert [letters for letters in ("ua", "sua", "uua", "uaua", "uau") if answers_once(turns(letters))] == [
        "ua",
        "sua",
        "uua",
    ]


def test_an_empty_list_does_not_alternate():
    assert alternation_fault([]) and turns_fault([])


def test_the_user_says_instruction_and_input():
    assert messages_of(Example("Add.", "3", "1 + 2")) == [
        {"role": "user", "content": "Add.\n\n1 + 2"},
        {"role": "assistant", "content": "3"},
    ]


def test_special_tokens_are_put_around_a_text_once():
    special = SpecialTexts("<s>", "</s>")
    for response in ("3", "3</s>"):
        segments = with_special_texts(segments_of(Example("{input}", response, ""), "plain"), special)
        assert segments == [{"label": False, "text": "<s>{input}"}, {"label": True, "text": "3</s>"}]
