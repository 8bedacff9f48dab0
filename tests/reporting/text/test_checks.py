"""Explanations, stability and inspections in words, from data made by hand."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tests.conftest import in_one_line
from utils.config.names import TrajectoryKind
from utils.config.schema import SubsetConfig
from utils.data.conversations import TurnsReader
from utils.data.formats import Example
from utils.reporting.text.drawing import Scale, band_line, sparkline
from utils.reporting.text.explanation import REASONS, explanation_text
from utils.reporting.text.inspection import MEANINGS, inspection_text
from utils.reporting.text.stability import stability_text
from utils.selection.checks.explain import (
    Explanation,
    Group,
    GroupLosses,
    Losses,
    Neighbour,
    Quotas,
    Reason,
    Standing,
)
from utils.selection.checks.inspection import Case, Inspection, RowsOfKind
from utils.selection.checks.stability import Agreement, Stability
from utils.selection.kinds import KINDS
from utils.terminal import WIDTH

LOSSES_T = np.array([3.0, 2.0, 1.0], np.float32)
CHOSEN = Explanation(
    row=7,
    is_chosen=True,
    folder=Path("subset"),
    origin="pool.jsonl",
    source="books",
    example=Example("Why?\n" * 20, "Because\x1b[31m.", "A sky."),
    settings=SubsetConfig.model_validate({}),
    reason="order of the group",
    standing=Standing(Group("cluster", "12"), np.arange(40), taken=5, place=3),
    quotas=Quotas(chosen=60, selectable=298, chosen_of_source=20, selectable_of_source=99),
    losses=Losses(
        checkpoints=["10", "20", "30"],
        losses_T=LOSSES_T,
        group=GroupLosses(LOSSES_T - 0.5, LOSSES_T, LOSSES_T + 0.5),
        neighbours=[
            Neighbour(7, 0.0, True, 12, LOSSES_T, "Why?"),
            Neighbour(9, 0.25, False, None, LOSSES_T - 1, "What for? " * 20),
        ],
    ),
)
LEFT_OUT = replace(
    CHOSEN,
    is_chosen=False,
    reason="no loss",
    standing=None,
    quotas=None,
    losses=Losses(["10"], LOSSES_T[:1], None, []),
)
STABILITY = Stability(
    selectable=1200,
    rows_measured=1200,
    budget_measured=200,
    share_of_level=0.25,
    other_seeds=[Agreement(0.8, 0.9), Agreement(1.0, 0.7)],
    without_checkpoint={"10": Agreement(0.5, 0.6)},
    mean_loss_alone=Agreement(0.1, 0.2),
    last_loss_alone=Agreement(0.3, 0.4),
    no_clusters=0.15,
    warnings=[],
)


def width_of(text: str) -> int:
    return max(map(len, text.splitlines()))


def test_every_reason_and_every_kind_has_its_sentence():
    assert tuple(REASONS) == get_args(Reason)
    assert tuple(MEANINGS) == KINDS


def test_an_explanation_says_reason_quotas_losses_and_neighbours():
    text = explanation_text(CHOSEN)
    assert "row 7 is IN the subset subset" in text
    assert "number 3 in the random order of cluster 12, of which the first 5 are taken" in in_one_line(text)
    assert "budget: 60 of 298 selectable rows" in text
    assert "its source: 20 of 99" in text and "cluster 12: 5 of 40" in text
    assert "by checkpoint, beside cluster 12 (40 rows)" in text
    assert "... 13 more lines" in text
    assert ["9", "0.2500", "-", "-"] in [line.split()[:4] for line in text.splitlines()]
    assert width_of(text) <= WIDTH and "\x1b" not in text


@pytest.mark.parametrize("reason", get_args(Reason))
def test_every_reason_can_be_said_of_a_row(reason):
    text = in_one_line(explanation_text(replace(CHOSEN, reason=reason)))
    assert "why" in text and "{" not in text


@pytest.mark.parametrize(("kind", "words"), [("source", "source x"), ("pool", "the pool")])
def test_a_group_that_is_no_cluster_has_no_quota_of_its_own(kind, words):
    standing = Standing(Group(kind, "x" if kind == "source" else ""), np.arange(40), taken=40, place=3)
    text = explanation_text(replace(CHOSEN, reason="whole group", standing=standing))
    assert f"{words} is taken whole" in text and "40 of 40" not in text


def test_a_row_that_is_not_selectable_has_losses_and_no_neighbours():
    text = explanation_text(LEFT_OUT)
    assert "row 7 is NOT in the subset" in text
    assert "it is not selectable: it has no loss (NaN) at some checkpoint" in text
    assert text.splitlines()[-1].split() == ["10", "3.000"] and "nearest" not in text


def test_a_conversation_is_explained_turn_by_turn():
    messages = [{"role": "system", "content": "You are Mia."}]
    for number in range(10):
        messages.append({"role": "user", "content": f"Question {number}"})
        messages.append({"role": "assistant", "content": f"Answer {number}"})
    reader = TurnsReader("role", "content", frozenset({"assistant"}), last_only=False)
    for stop, num_left_out in ((5, 0), (11, 0), (21, 11)):
        conversation = reader.read(messages[:stop])
        example = Example("Mixed up", "Mixed up", conversation=conversation)
        text = explanation_text(replace(CHOSEN, example=example))
        assert "Mixed up" not in text
        said = [" ".join(line.split()) for line in text.split("why")[0].splitlines()]
        assert said.index("system You are Mia.") + 1 == said.index("user Question 0")
        last = (stop - 3) // 2
        assert said.index(f"user Question {last}") + 1 == said.index(f"assistant * Answer {last}")
        assert (f"... {num_left_out} turns ..." in text) == (num_left_out > 0)


def test_without_trajectories_there_is_no_plot():
    assert explanation_text(replace(CHOSEN, losses=None)).endswith("nothing to draw, no neighbours")


def test_stability_is_a_table_with_a_line_for_what_changes():
    text = stability_text(STABILITY)
    cells = [line.split()[-2:] for line in text.splitlines()[1:5]]
    assert cells == [["0.90", "0.80"], ["0.50", "0.60"], ["0.10", "0.20"], ["0.30", "0.40"]]
    assert (
        "25.0 % of the differences" in in_one_line(text) and "No warning" in text and "Measured" not in text
    )
    assert width_of(text) <= WIDTH


def test_stability_says_warnings_and_that_a_sample_was_measured():
    text = in_one_line(stability_text(replace(STABILITY, rows_measured=600, warnings=["chance rules"])))
    assert "Measured on 600 of the 1,200 selectable rows" in text
    assert "warning: chance rules" in text and "No warning" not in text


def test_an_inspection_counts_kinds_and_draws_the_clearest():
    none = RowsOfKind(np.empty(0, np.int64), {"a": 0, "b": 0}, [])
    cases = [Case(4, np.array([2.0, 1.0, np.nan]), "Why? " * 40)]
    kinds: dict[TrajectoryKind, RowsOfKind] = dict.fromkeys(KINDS, none)
    kinds |= {"known": RowsOfKind(np.array([4]), {"a": 1, "b": 0}, cases)}
    inspection = Inspection(
        num_examples=10,
        num_selectable=9,
        by_source={"a": 6, "b": 4},
        num_checkpoints=20,
        quantiles={"10": [3.0, 2.0, 1.0]},
        known_below=0.5,
        kinds=kinds,
        trajectories="a",
    )
    text = inspection_text(inspection)
    assert "of 9 rows by checkpoint" in text and "(1 of 20 checkpoints shown)" in text
    assert "first and last loss are at most 0.50" in text
    words = [line.split() for line in text.splitlines()]
    assert ["known", "1", "10.0"] in words and ["a", "6", "-", "-", "1", "-", "-"] in words
    assert "  row 4        █▁?   2.000 ->    nan  Why?" in text
    assert width_of(text) <= WIDTH
    assert "clearest" not in inspection_text(replace(inspection, kinds=dict.fromkeys(KINDS, none)))


def test_a_sparkline_reaches_from_the_lowest_to_the_highest_block():
    assert sparkline(np.array([0.0, 1.0, np.nan, 5.0]), Scale(0, 1)) == "▁█?█"


def test_a_band_holds_its_middle_and_the_value():
    scale = Scale(0, 9)
    assert band_line(1, (3, 5, 7), scale, 10) == " o ..|.."
    assert band_line(5, (3, 5, 7), scale, 10) == "   ..@.."
    assert band_line(float("nan"), (3, 5, 7), scale, 10) == "   ..|.."
