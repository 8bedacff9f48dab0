"""Benchmarks: the model reads the training template, lm-eval runs what we judge, bad input is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval import evaluator
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager
from transformers import BertConfig, BertModel, BertTokenizer, PreTrainedTokenizerBase

import evaluate_run
from tests.conftest import ARCHITECTURES, PROJECT, write_jsonl
from utils.artifacts.paths import RunPaths
from utils.config.schema import DataConfig, EvaluationConfig, ModelConfig
from utils.data.chat import chat_template_of
from utils.data.formats import Example
from utils.data.pool import Pool
from utils.data.templates import TEMPLATES, alpaca_prompt, plain_prompt
from utils.data.tokenization import tokenize_pool
from utils.evaluation.answers import judging
from utils.evaluation.answers.judging import Gold, best_verdicts
from utils.evaluation.models.harness import ask, prompts_of, question_task
from utils.evaluation.models.hf import TransformersModel, encode_prompts
from utils.evaluation.questions.files import (
    MATH_SETS,
    Question,
    QuestionSet,
    read_heldout,
    read_question_set,
    read_shots,
)
from utils.evaluation.questions.seen import with_pool_rows, with_shots
from utils.evaluation.text_metrics import text_scores
from utils.modeling.loading import load_base_model, load_tokenizer

TASKS = PROJECT / "utils/evaluation/questions/tasks"
QUESTIONS = [
    {"instruction": "What is 2 + 3?", "answer": "5"},
    {"instruction": "Which one?\nAnswer Choices: (A) web (B) tree", "answer": "B"},
    {"instruction": "Half of {1}?", "answer": "0.5"},
]


class Oracle(LM):
    """Answers what it is told to, whatever is asked."""

    def __init__(self, responses: list[str]):
        super().__init__()
        self.responses = responses
        self.prompts: list[str] = []

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        self.prompts = [request.args[0] for request in requests]
        return self.responses

    def loglikelihood(self, requests: Any) -> Any:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: Any) -> Any:
        raise NotImplementedError


def write_config(make_config: Any, tmp_path: Path, **evaluation: Any) -> Path:
    return make_config("run", evaluation={"max_new_tokens": 4, **evaluation})


def run_evaluation(config: Path, *words: str) -> int:
    return evaluate_run.main(["--config_file", str(config), "--ckpt", "0", *words])


def read(name: str) -> dict[str, Any]:
    return json.loads((RunPaths("run").evaluation / f"{name}.json").read_text())


def lines(name: str) -> list[dict[str, Any]]:
    text = (RunPaths("run").evaluation / f"{name}.predictions.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def bare_questions(*texts: str) -> list[Question]:
    return [Question(row, Example(text, "1"), Gold("1")) for row, text in enumerate(texts)]


# ------------------------------------------------------------------------------------------- tasks of lm-eval


@pytest.mark.parametrize("name", sorted(MATH_SETS))
def test_each_math_set_is_a_task_that_lm_eval_runs_on_a_local_file(name, tmp_path):
    path = write_jsonl(tmp_path / "questions.jsonl", QUESTIONS)
    manager = TaskManager(include_path=str(TASKS), include_defaults=False, metadata={"path": str(path)})
    loaded: Any = manager.load([f"s2l_{name}"])
    (task,) = loaded["tasks"].values()
    task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(0)
    assert task.config.process_results is getattr(judging, f"{MATH_SETS[name]}_results")
    oracle = Oracle([f"The answer is {row['answer']}" for row in QUESTIONS])
    result: Any = evaluator.evaluate(lm=oracle, task_dict=loaded, bootstrap_iters=0)
    assert oracle.prompts == [alpaca_prompt(Example(row["instruction"], "")) for row in QUESTIONS]
    rights = result["results"][f"s2l_{name}"]
    assert rights["strict,none"] == 1.0
    assert rights["paper,none"] == pytest.approx(2 / 3 if MATH_SETS[name] == "number" else 1.0)


def test_every_math_set_and_nothing_else_has_a_task():
    assert {path.stem for path in TASKS.glob("*.yaml")} == {*MATH_SETS, "questions", "_questions"}


def test_a_task_of_lm_evals_own_is_run_with_its_own_prompts(make_config, tmp_path, capsys):
    rows = [{"q": f"{left} + 1", "right": left % 2} for left in range(6)]
    data = write_jsonl(tmp_path / "rows.jsonl", rows)
    (tmp_path / "parity.yaml").write_text("task: parity\ninclude: choices.yaml\n")
    (tmp_path / "choices.yaml").write_text(
        "dataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {data}}}}}\n"
        "test_split: test\n"
        "output_type: multiple_choice\n"
        'doc_to_text: "{{q}} ="\n'
        'doc_to_choice: ["even", "odd"]\n'
        "doc_to_target: right\n"
        "metric_list:\n  - {metric: acc, aggregation: mean, higher_is_better: true}\n"
    )
    config = write_config(make_config, tmp_path, tasks=[str(tmp_path / "parity.yaml")], limit={"parity": 4})
    assert run_evaluation(config) == 0
    result = read("parity")
    assert result["questions"] == 4 and result["metrics"]["parity acc,none"] == result["accuracy"]
    assert [line["question"] for line in lines("parity")] == ["0 + 1 =", "1 + 1 =", "2 + 1 =", "3 + 1 ="]
    assert sum(line["correct"] for line in lines("parity")) == 4 * result["accuracy"]
    shown, noise = capsys.readouterr()
    assert (
        "parity acc,none" in shown and "it/s" not in noise and "examples/s" not in noise and "\r" not in noise
    )
    included = tmp_path / "choices.yaml"
    included.write_text(included.read_text().replace("even", "not odd"))
    assert run_evaluation(config) == 1, "the task is another one"
    assert "made from other inputs" in capsys.readouterr().err


def test_solved_examples_are_the_first_usable_rows_of_their_file(tmp_path):
    rows = [{"instruction": str(row), "output": "b" if row % 3 else ""} for row in range(9)]
    path = str(write_jsonl(tmp_path / "shots.jsonl", rows))
    data = DataConfig(path="pool.jsonl", invalid_rows="drop")
    assert [example.instruction for example in read_shots(path, 3, data)] == ["1", "2", "4"]
    with pytest.raises(ValueError, match=r"num_fewshot: found 7, usable rows in .*: 6: lower it"):
        read_shots(path, 7, data)


def test_questions_that_are_solved_examples_too_are_said(tmp_path):
    rows = [{"instruction": "1 + 1?", "answer": "2"}, {"instruction": "2 + 2?", "answer": "4"}]
    questions = read_question_set("own", str(write_jsonl(tmp_path / "own.jsonl", rows)), None)
    said = "1 row (1) with a question that is a solved example too: the answer stands in the prompt"
    assert with_shots(questions, [Example("2  + 2?", "The answer is 4")]).notes == [said]
    assert with_shots(questions, [Example("3 + 3?", "The answer is 6")]) is questions


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        ({"tasks": ["hellaswagg"]}, "did you mean 'hellaswag'"),
        ({"tasks": ["nowhere.yaml"]}, "nowhere.yaml is not a file"),
        ({"benchmarks": {"numglue": "public"}}, "only of gsm8k, math, svamp a dataset"),
        ({"benchmarks": {"mine": "public"}}, "evaluation.benchmarks.mine: found `public`"),
        ({"benchmarks": {"a": "{file}"}, "chat_template": True}, "no chat template"),
        ({"benchmarks": {"a": "{file}"}, "num_fewshot": 2}, "set fewshot"),
        ({"benchmarks": {"a": "{file}"}, "num_fewshot": 9, "fewshot": "{shots}"}, "usable rows in"),
        ({"benchmarks": {"a": "{file}"}, "text_metrics": ["bleu"]}, "set heldout"),
        ({"benchmarks": {"a": "{file}"}, "tensor_parallel": 2}, "set backend to vllm"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(make_config, tmp_path, capsys, evaluation, said):
    file = write_jsonl(tmp_path / "questions.jsonl", QUESTIONS)
    shots = write_jsonl(tmp_path / "shots.jsonl", [{"instruction": "a", "output": "b"}] * 2)
    text = json.dumps(evaluation).replace("{file}", str(file)).replace("{shots}", str(shots))
    assert run_evaluation(write_config(make_config, tmp_path, **json.loads(text))) == 1
    assert said in capsys.readouterr().err


# ------------------------------------------------------------------------------------------- as published

PUBLISHED = [
    # (set, a row in its authors' form, the question, the answer)
    ("gsm8k", {"question": "How many?", "answer": "She sold 7 * 1000.\n#### 7,000"}, "How many?", "7000"),
    ("mine", {"question": "How many?", "answer": "48/2 = <<48/2=24>>24\n#### 72"}, "How many?", "72"),
    ("math", {"problem": "x?", "solution": "So $x = \\boxed{\\frac{1}{2}}$.", "level": "Level 5"},
     "x?", "\\frac{1}{2}"),
    ("math", {"problem": "x?", "solution": "$\\boxed{3}$", "answer": "3", "unique_id": "a"}, "x?", "3"),
    ("math", {"question": "x?", "answer": ["\\frac{1}{2}", 0.5]}, "x?", "\\frac{1}{2}"),
    ("svamp", {"ID": "chal-1", "Body": "He has 3. ", "Question": "How many?", "Answer": 3.0, "Equation": "3"},
     "He has 3. How many?", "3"),
    ("numglue", {"question": "Which?", "answer": "B", "type": "Type_8", "number": 8}, "Which?", "B"),
    ("mathematics", {"question": "Prime factors?", "answer": "[3, 5]"}, "Prime factors?", "[3, 5]"),
    ("simuleq", {"iIndex": 1, "sQuestion": "Two numbers?", "lSolutions": [15.0, 9.0], "lEquations": ["X=1"]},
     "Two numbers?", "15.0, 9.0"),
    ("any", {"instruction": "a", "question": "b", "answer": 7}, "a", "7"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "row", "question", "answer"), PUBLISHED)
@pytest.mark.parametrize("form", ["lines", "array"])
def test_each_set_is_read_as_its_authors_publish_it(tmp_path, name, row, question, answer, form):
    path = tmp_path / "set.json"
    path.write_text(json.dumps(row) + "\n" if form == "lines" else json.dumps([row], indent=2))
    (read_question,) = read_question_set(name, str(path), None).questions
    assert (read_question.example.instruction, read_question.gold.text) == (question, answer)
    assert best_verdicts(read_question.gold).strict.correct


# ------------------------------------------------------------------------------------ what the model reads


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_the_prompt_is_the_training_template(template):
    texts = ["2 + 3?", "[3]", "{{ 7 }} {input} ", "\n a", "12"]
    task = question_task("gsm8k", bare_questions(*texts), [], TEMPLATES[template], EvaluationConfig())
    assert prompts_of(task, None) == [TEMPLATES[template](Example(text, "")) for text in texts]


def test_solved_examples_stand_before_each_question_as_in_training():
    shots = [Example("1 + 1", "The answer is 2"), Example("[3]", "[5]", "with input")]
    task = question_task("math", bare_questions("2 + 3"), shots, alpaca_prompt, EvaluationConfig())
    expected = "".join(alpaca_prompt(shot) + shot.response + "\n\n" for shot in shots)
    assert prompts_of(task, None) == [expected + alpaca_prompt(Example("2 + 3", ""))]


def with_chat_template(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    tokenizer.chat_template = (
        "{{ eos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    return tokenizer


def test_a_chat_template_takes_the_place_of_the_training_template(make_config, tmp_path, tokenizer_dir):
    tokenizer = with_chat_template(
        load_tokenizer(ModelConfig(architecture=ARCHITECTURES["gpt_neox"], tokenizer=str(tokenizer_dir)))
    )
    tokenizer.save_pretrained(tmp_path / "chatty")
    file = write_jsonl(tmp_path / "questions.jsonl", QUESTIONS)
    config = write_config(make_config, tmp_path, benchmarks={"known": str(file)}, chat_template=True)
    assert run_evaluation(config, f"model.tokenizer={tmp_path / 'chatty'}") == 0
    assert read("known")["inputs"]["template"].startswith("chat:") and read("known")["questions"] == 3
    shots = [Example("1", "2")]
    task = question_task("known", bare_questions("3"), shots, TEMPLATES["plain"], EvaluationConfig())
    assert prompts_of(task, chat_template_of("chat", tokenizer)) == [
        "<|endoftext|>[user]1[assistant]2[user]3[assistant]"
    ]


@pytest.mark.parametrize("indent", [None, 1])
def test_held_out_rows_may_be_one_array(tmp_path, indent):
    rows = [{"instruction": "1 + 1", "output": "2"}, {"instruction": "1 + 2", "output": "3"}]
    path = tmp_path / "heldout.json"
    path.write_text(json.dumps(rows, indent=indent))
    held_out = read_heldout(str(path), DataConfig(path="none"), limit=None)
    assert [question.gold.text for question in held_out.questions] == ["2", "3"]


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def test_short_replies_among_free_text_are_no_answers(tmp_path):
    chat = ["Yes.", "Thanks, I will look at it.", "It costs 40 euros.", "Please wait a moment."]
    rows = [{"source": "chat", "instruction": str(row), "output": text} for row, text in enumerate(chat)]
    data = DataConfig(path="none")
    free = read_heldout(str(write_jsonl(tmp_path / "free.jsonl", rows)), data, limit=None)
    assert free.questions == []
    assert free.notes == [
        "4 rows (0, 1, 2, 3) whose response states no answer that a rule can read: the loss alone counts"
    ]
    answers = ["Yes", "No", "It depends on what is meant."]
    rows += [{"source": "quiz", "instruction": text, "output": text} for text in answers]
    rows += [{"source": "chat", "instruction": "Sum?", "output": "Let me see.\nThe answer is 5"}]
    mixed = read_heldout(str(write_jsonl(tmp_path / "mixed.jsonl", rows)), data, limit=None)
    assert [(question.row, question.gold.text) for question in mixed.questions] == [
        (4, "Yes"),
        (5, "No"),
        (7, "5"),
    ]
    assert "5 rows (0, 1, 2, 3, 6)" in mixed.notes[0] and "not in the accuracy of 3" in mixed.notes[0]


TALK = [
    said("system", "Be short."),
    said("user", "1 + 1?"),
    said("assistant", "The answer is 2."),
    said("user", "And 1 more?"),
    said("assistant", "The answer is 3."),
]
SHOT = [said("system", "Be kind."), said("user", "2?"), said("assistant", "2.")]


def test_a_held_out_conversation_is_asked_turn_by_turn(tmp_path, chat_tokenizer_dir):
    bye = [*TALK, said("user", "Bye."), said("assistant", "The answer is 9.", weight=0)]
    only_answers = [said("assistant", "The answer is 1."), said("user", "Oh.")]
    rows = [{"messages": turns} for turns in (TALK, bye, only_answers)]
    data = DataConfig(path="none", format="messages", template="chat")
    held_out = read_heldout(str(write_jsonl(tmp_path / "heldout.jsonl", rows)), data, limit=None)
    assert [(question.row, question.gold.text) for question in held_out.questions] == [(0, "3"), (1, "3")]
    assert any("1 row (2) whose response states no" in note for note in held_out.notes)
    shots = read_shots(str(write_jsonl(tmp_path / "shots.jsonl", [{"messages": SHOT}])), 1, data)
    task = question_task("heldout", held_out.questions, shots, plain_prompt, EvaluationConfig())
    tokenizer = load_tokenizer(ModelConfig(name_or_path=str(chat_tokenizer_dir)))
    chat = chat_template_of("chat", tokenizer)
    assert chat is not None
    expected = chat.text([TALK[0], *SHOT[1:], *TALK[1:4]])
    assert prompts_of(task, chat) == [expected, expected]
    pool = Pool(data.model_copy(update={"path": str(write_jsonl(tmp_path / "pool.jsonl", rows))}))
    assert [question.pool_row for question in with_pool_rows(held_out, pool).questions] == [0, 0]
    single = QuestionSet("known", "", "", bare_questions("1 + 1?", "and 1 MORE?", "Be short."), [])
    assert [question.pool_row for question in with_pool_rows(single, pool).questions] == [0, 0, None]


@pytest.mark.parametrize(
    ("template", "instruction"), [("plain", "one two "), ("plain", "12  "), ("alpaca", "1 + 1")]
)
def test_a_prompt_alone_is_tokenized_as_before_a_response(
    tokenizer_dir, res_dir, tmp_path, template, instruction
):
    tokenizer: Any = load_tokenizer(
        ModelConfig(architecture=ARCHITECTURES["gpt_neox"], tokenizer=str(tokenizer_dir))
    )
    row = {"instruction": instruction, "output": "The answer is 5"}
    pool = Pool(DataConfig(path=str(write_jsonl(tmp_path / "pool.jsonl", [row]))))
    ids = tokenize_pool(pool, tokenizer, template, 512, False).row(0).ids
    (prompt,) = encode_prompts(tokenizer, [TEMPLATES[template](pool[0])], False)
    assert ids[: len(prompt)].tolist() == prompt


# ------------------------------------------------------------------------------------------- what is counted


def test_questions_that_are_in_the_pool_are_named(make_config, tmp_path, capsys):
    pool = write_jsonl(tmp_path / "pool.jsonl", [{"instruction": text, "output": "1"} for text in "abcd"])
    asked = [{"instruction": text, "answer": "1"} for text in ("B", "x", " d\n", "y")]
    file = write_jsonl(tmp_path / "asked.jsonl", asked)
    assert run_evaluation(write_config(make_config, tmp_path, benchmarks={"asked": str(file)})) == 0
    assert "2 rows (0, 2) whose question is in the pool too" in capsys.readouterr().out
    assert [line["pool_row"] for line in lines("asked")] == [1, None, 3, None]
    questions = read_question_set("asked", str(file), None)
    assert with_pool_rows(questions, Pool(DataConfig(path=str(pool)))).questions[0].pool_row == 1


@pytest.mark.parametrize("max_new_tokens", [0, 4])
def test_all_held_out_rows_that_are_known_are_named(make_config, tmp_path, capsys, max_new_tokens):
    """Those that are in the loss alone, too, and those by which the subset may have been chosen."""
    write_jsonl(
        tmp_path / "pool.jsonl",
        [
            {"instruction": "2 + 3", "input": "as a word", "output": "It is five."},
            {"instruction": "2 + 3", "output": "The answer is 5"},
            {"instruction": "Why?", "output": "We do not know, or so they say."},
        ],
    )
    rows = [
        {"instruction": "2 + 3", "input": "As a word", "output": "It is  five."},
        {"instruction": "2 + 3", "input": "in French", "output": "C'est cinq, bien entendu."},
        {"instruction": "Why?", "output": "It rains all day in here."},
        {"instruction": "2 + 3", "output": "The answer is 5"},
    ]
    heldout = write_jsonl(tmp_path / "heldout.jsonl", rows)
    aim = write_jsonl(tmp_path / "aim.jsonl", rows[1:3])
    config = write_config(make_config, tmp_path, heldout=str(heldout), max_new_tokens=max_new_tokens)
    assert run_evaluation(config, f"data.validation={aim}") == 0
    shown = capsys.readouterr().out
    in_pool = "3 rows (0, 2, 3) whose question is in the pool too (2 with the same answer)"
    in_validation = "2 rows (1, 2) whose question is in data.validation too (2 with the same answer)"
    assert in_pool in shown and in_validation in shown
    assert {note.split(":")[0] for note in read("heldout")["notes"]} >= {in_pool, in_validation}


def test_a_held_out_conversation_that_asks_for_no_answer_is_looked_for_too(tmp_path):
    turns = [said("user", "Bring tea."), said("assistant", "", tool_calls=[call("fetch", {"what": "tea"})])]
    rows = [{"messages": turns}, {"messages": [said("user", "Bring milk."), turns[1]]}]
    data = DataConfig(path="none", format="messages", template="chat", score_roles=["tool_call"])
    held_out = read_heldout(str(write_jsonl(tmp_path / "heldout.jsonl", rows)), data, limit=None)
    pool = Pool(data.model_copy(update={"path": str(write_jsonl(tmp_path / "pool.jsonl", rows[:1]))}))
    assert any(
        "1 row (0) whose question is in the pool" in note for note in with_pool_rows(held_out, pool).notes
    )


def test_a_pool_that_cannot_be_read_is_said_and_changes_no_score(make_config, tmp_path, capsys):
    file = write_jsonl(tmp_path / "asked.jsonl", QUESTIONS)
    config = write_config(make_config, tmp_path, benchmarks={"asked": str(file)})
    assert run_evaluation(config, "data.path=gone.jsonl") == 0
    assert "not looked for questions that are in the pool" in capsys.readouterr().out


def test_what_no_response_could_have_got_right_is_counted(make_config, tmp_path):
    rows = [
        {"instruction": str(row), "answer": answer}
        for row, answer in enumerate(["[3]", "1363.0", "7", "August"])
    ]
    file = write_jsonl(tmp_path / "golds.jsonl", rows)
    assert (
        run_evaluation(
            write_config(make_config, tmp_path, benchmarks={"mathematics": str(file), "mine": str(file)})
        )
        == 0
    )
    counts = {
        name: (read(name)["unmatchable"], read(name)["unmatchable_strict"])
        for name in ("mathematics", "mine")
    }
    assert counts == {"mathematics": (3, 0), "mine": (0, 0)}


def test_a_prompt_without_room_loses_its_beginning_and_is_counted(make_config, tmp_path, capsys):
    rows = [{"instruction": "abc " * 300, "answer": "1"}, {"instruction": "a", "answer": "1"}]
    file = write_jsonl(tmp_path / "long.jsonl", rows)
    assert run_evaluation(write_config(make_config, tmp_path, benchmarks={"long": str(file)})) == 0
    assert [line["prompt_too_long"] for line in lines("long")] == [True, False]
    assert read("long")["prompt_too_long"] == 1
    assert "1 prompts leave no room for a response" in " ".join(capsys.readouterr().out.split())
    assert (
        run_evaluation(
            write_config(make_config, tmp_path, benchmarks={"long": str(file)}, max_new_tokens=512)
        )
        == 1
    )
    assert "set evaluation.max_new_tokens below 512" in capsys.readouterr().err


def test_batches_save_most_forward_passes(tokenizer_dir):
    config = ModelConfig(architecture=ARCHITECTURES["gpt_neox"], tokenizer=str(tokenizer_dir))
    tokenizer = load_tokenizer(config)
    model = load_base_model(config, tokenizer, seed=0).eval()
    passes = []
    model.register_forward_hook(lambda *_: passes.append(1))
    task = question_task(
        "any", bare_questions(*map(str, range(60))), [], alpaca_prompt, EvaluationConfig(max_new_tokens=6)
    )
    counts = []
    responses = []
    for batch in (1, 20):
        language_model = TransformersModel(model, tokenizer, chat=None)
        language_model.fit_batches(batch, 1)
        passes.clear()
        with torch.inference_mode():
            responses.append(ask(language_model, task, chat=False))
        counts.append(len(passes))
    assert responses[0] == responses[1]
    assert counts[0] >= 15 * counts[1]


# ------------------------------------------------------------------------------------------- summaries


def test_summaries_are_compared_as_texts(make_config, tmp_path, capsys):
    rows = [
        {"source": "chest", "instruction": "Lungs are clear.", "output": "No acute process."},
        {"source": "head", "instruction": "No bleed.", "output": "Normal head."},
    ]
    heldout = write_jsonl(tmp_path / "reports.jsonl", rows)
    config = write_config(make_config, tmp_path, heldout=str(heldout), text_metrics=["bleu", "rouge_l"])
    assert run_evaluation(config, "data.template=radiology") == 0
    result = read("heldout")
    assert result["questions"] == 2 and "accuracy" not in result and result["by_source"]["head"]["loss"] > 0
    assert 0 <= result["metrics"]["rouge_l"] <= 100 and "version:" in result["metrics"]["bleu_settings"]
    assert [line["gold"] for line in lines("heldout")] == ["No acute process.", "Normal head."]
    assert "rouge_l" in capsys.readouterr().out


def test_text_metrics_know_the_same_from_the_other(tmp_path):
    references = ["no acute process .", "lungs are clear .", "normal head"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(" ".join(references).split())]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizer(str(tmp_path / "vocab.txt"), model_max_length=64).save_pretrained(tmp_path)
    torch.manual_seed(0)
    size: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    BertModel(BertConfig(vocab_size=len(vocabulary), **size)).save_pretrained(tmp_path)
    overall, each = text_scores(
        ["bleu", "rouge_l", "bert_score"],
        ["no acute process .", "normal head", ""],
        references,
        str(tmp_path),
    )
    for metric in ("bleu", "rouge_l", "bert_score"):
        same, other, empty = each[metric]
        assert same == pytest.approx(100, abs=0.01) and other < 99 and empty == 0, metric
        assert 0 < overall[metric] < 100 and overall[f"{metric}_settings"]
    assert each["rouge_l"] == [100, 0, 0]
    assert overall["bert_score"] == pytest.approx(sum(each["bert_score"]) / 3)
