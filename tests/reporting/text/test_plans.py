"""The plans of training, scoring and evaluation in words, from data made by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.conftest import in_one_line
from utils.artifacts.pace import TimeEstimate
from utils.data.formats import Example
from utils.data.truncation import Truncation
from utils.evaluation.answers.judging import Gold
from utils.evaluation.inputs import EvaluationInputs
from utils.evaluation.plan import EvaluationPlan, QuestionTask
from utils.evaluation.questions.files import Question, QuestionSet
from utils.modeling.devices import ModelSize
from utils.reporting.text.evaluation import evaluation_plan_text
from utils.reporting.text.plan_lines import truncation_lines
from utils.reporting.text.scoring import scoring_plan_text
from utils.reporting.text.training import training_plan_text
from utils.scoring.summary import ScoringSummary
from utils.training.summary import RowsSummary, TrainingSummary

WHOLE = Truncation(
    max_length=100,
    num_examples=80,
    num_lost=0,
    num_cut=0,
    response_tokens_kept=1.0,
    lengths={0.95: 60, 0.99: 70, 1.0: 90},
)
CUT = replace(WHOLE, num_lost=1, num_cut=8, response_tokens_kept=0.9996)
MODEL = ModelSize("a model", 1_000_000, 1_000_000)
TRAINING = TrainingSummary(
    run_name="run",
    num_rows=80,
    num_pool_rows=90,
    num_excluded=1,
    steps=10,
    global_batch_size=16,
    save_steps=[5, 10],
    epochs=2.0,
    learning_rate=1e-3,
    scheduler="cosine",
    model=MODEL,
    num_devices=2,
    device_name="a GPU",
    remarks=["it is short"],
    rows=None,
)
SCORING = ScoringSummary(
    run_name="run",
    num_examples=90,
    num_unscorable=2,
    num_excluded=1,
    steps=[5, 10],
    num_tokens=4000,
    truncation=WHOLE,
    folder=Path("res/run/trajectories"),
    model=MODEL,
    unrecorded_tokenizer=None,
    num_devices=1,
    device_name="a GPU",
    precision="float32",
    time=None,
    remarks=[],
)


def test_a_training_whose_rows_are_not_chosen_yet_says_nothing_of_their_tokens():
    assert training_plan_text(TRAINING).splitlines() == [
        "run run: 80 of 90 examples",
        "  10 optimizer steps of 16 examples; checkpoints at [5, 10]",
        "  1 invalid row of the pool not used",
        "  model       a model, 1,000,000 parameters",
        "  settings    learning rate 0.001, cosine, epochs 2",
        "  devices     2 x a GPU",
        "  note: it is short",
    ]


def test_a_training_on_known_rows_says_their_tokens_and_its_time():
    rows = RowsSummary(5000, WHOLE, TimeEstimate(200, "earlier"))
    text = training_plan_text(replace(TRAINING, rows=rows))
    assert text.startswith(training_plan_text(TRAINING))
    assert text.splitlines()[-3:] == [
        "  5,000 tokens an epoch",
        "  max_length 100 cuts nothing off: the longest example has 90 tokens",
        "  time        about 3 min, at the pace of run earlier",
    ]


def test_a_plan_says_nothing_of_what_there_is_none_of():
    assert "invalid" not in training_plan_text(replace(TRAINING, num_excluded=0))
    without = scoring_plan_text(replace(SCORING, num_excluded=0))
    assert "2 examples without a response token: their losses" in without and "invalid" not in without
    assert "without a response" not in scoring_plan_text(replace(SCORING, num_excluded=0, num_unscorable=0))
    assert "none: it is there already" in scoring_plan_text(replace(SCORING, time=TimeEstimate(0, "run")))


def test_trained_parameters_are_counted_where_they_are_not_all():
    text = training_plan_text(replace(TRAINING, model=replace(MODEL, num_trained=5000)))
    assert "1,000,000 parameters, 5,000 of them trained" in text


@pytest.mark.parametrize(
    ("num_lost", "num_cut", "kept", "is_severe"),
    [
        (0, 4, 0.95, False),
        (0, 5, 0.99, True),
        (1, 0, 0.99, True),
        (0, 1, 0.99, False),
        (0, 1, 0.949, True),
        (0, 1, 0.144, True),
    ],
)
def test_truncation_is_a_warning_where_much_is_lost(num_lost, num_cut, kept, is_severe):
    truncation = replace(WHOLE, num_lost=num_lost, num_cut=num_cut, response_tokens_kept=kept)
    assert truncation.is_severe == is_severe
    assert truncation_lines(truncation)[0].startswith("WARNING: max_length 100 ") == is_severe


def test_truncation_rounds_no_share_to_nothing_or_to_all():
    text = in_one_line(" ".join(truncation_lines(CUT)))
    assert "the whole response of 1 example (1.25 %)" in text and "a part of 8 examples (10 %)" in text
    assert "99.9 % of the response tokens are left" in text
    assert "95 % of the examples whole at 60, 99 % of the examples whole at 70" in text


def test_a_scoring_says_what_it_scores_where_and_how_long_it_takes():
    text = scoring_plan_text(SCORING)
    assert "90 examples x 2 checkpoints [5, 10], 4,000 tokens each" in text
    assert "2 examples without a response token (1 of them invalid rows)" in text
    assert "losses go to res/run/trajectories" in text and "1 x a GPU, float32" in text
    assert "not known before this model has run on such a device" in text and "tokenizer" not in text


@pytest.mark.parametrize(("origin", "words"), [("checkpoints", "in their"), ("base model", "of the base")])
def test_a_scoring_says_whose_tokenizer_it_takes_for_checkpoints_made_elsewhere(origin, words):
    text = in_one_line(scoring_plan_text(replace(SCORING, unrecorded_tokenizer=origin)))
    assert f"the one {words}" in text and "nothing records which one the checkpoints were trained" in text


def test_an_evaluation_says_what_it_asks_and_what_is_there():
    question = Question(0, Example("How many?", "2"), cast(Gold, None))
    question_set = QuestionSet(
        "bench", "bench.jsonl", "", [question, question], ["the second repeats the first"]
    )
    inputs = EvaluationInputs(
        step=0,
        checkpoint=None,
        versions={},
        tokenizer=cast(Any, None),
        chat=None,
        sets=[],
        shots=[],
        of_all={},
        of_each={},
    )
    plan = EvaluationPlan(
        run_name="run",
        folder=Path("res/run/evaluation"),
        inputs=inputs,
        max_new_tokens=50,
        tasks={"bench": QuestionTask(question_set, None, [10, 20], [False, True], None)},
        lm_eval_tasks={"arc": "arc_easy"},
        finished=frozenset({"arc"}),
        training_is_unfinished=False,
        notes=["no pool to look at"],
    )
    assert evaluation_plan_text(plan).splitlines() == [
        "run run: evaluate the base model (step 0), results in res/run/evaluation",
        "  no pool to look at",
        "  bench: 2 questions in bench.jsonl; 30 prompt tokens, at most 100 to generate; to do",
        "    the second repeats the first",
        "    1 prompts leave no room for a response: their beginning is cut off",
        "  arc: lm-eval's task arc_easy; there already",
    ]
    assert "evaluate checkpoint-5," in evaluation_plan_text(replace(plan, inputs=replace(inputs, step=5)))
