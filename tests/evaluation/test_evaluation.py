"""Evaluation: measures depend on no batch, order or restart, and what is shown says what it rests on."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import GenerationConfig

import evaluate_run
from tests.conftest import ARCHITECTURES, write_jsonl
from utils.artifacts.locks import locked
from utils.artifacts.paths import RunPaths
from utils.config.load import load_config
from utils.config.schema import DataConfig, EvaluationConfig, ModelConfig
from utils.data.batching import pad_rows
from utils.data.formats import Example
from utils.data.pool import Pool
from utils.data.templates import alpaca_prompt, plain_prompt
from utils.data.token_rows import TokenRow
from utils.data.tokenization import tokenize_pool
from utils.evaluation import run as stage
from utils.evaluation.answers import comparison
from utils.evaluation.answers.judging import Gold
from utils.evaluation.answers.strict import marked_answer
from utils.evaluation.models.harness import ask, question_task
from utils.evaluation.models.hf import TransformersModel, encode_prompts
from utils.evaluation.plan import plan_evaluation
from utils.evaluation.predictions import Response
from utils.evaluation.questions.files import Question
from utils.modeling.loading import load_base_model, load_checkpoint, load_tokenizer

FAMILIES = ["gpt_neox", "t5"]

# Two sources, questions and answers of different lengths; short enough to be learnt by heart in seconds.
ROWS = [
    {"source": "sums", "instruction": "2 + 3", "output": "The answer is 5"},
    {
        "source": "sums",
        "instruction": "20 + 30 + 40",
        "output": "20 + 30 = 50 and 50 + 40 = 90\nThe answer is 90",
    },
    {"source": "sums", "instruction": "1 + 1 + 1 + 1 + 1 + 1", "output": "The answer is 6.0"},
    {
        "source": "choices",
        "instruction": "Which is a fruit? (A) a stone (B) an apple",
        "output": "The answer is B.",
    },
    {"source": "choices", "instruction": "Red?", "output": "It has none.\nThe answer is (A)"},
]
PROMPTS = [row["instruction"] for row in ROWS] + [
    "7",
    "something that was not in the pool, and rather longer than that",
]


# ------------------------------------------------------------------------------------------- generation


@pytest.fixture(scope="module")
def trained(tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A checkpoint of each family that knows ROWS by heart, as a trainer leaves it, with odd defaults."""
    folders: dict[str, Path] = {}

    def train(family: str) -> Path:
        if family not in folders:
            torch.manual_seed(0)
            config = ModelConfig(architecture=ARCHITECTURES[family], tokenizer=str(tokenizer_dir))
            tokenizer = load_tokenizer(config)
            model: Any = load_base_model(config, tokenizer, seed=0).train()
            batch = pad_rows(map(training_row(tokenizer, family == "t5"), ROWS), 0, family == "t5")
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
            for _ in range(400):
                loss = model(**batch).loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if loss < 0.001:
                    break
            model.config.use_cache = False
            model.generation_config = GenerationConfig(
                do_sample=True,
                temperature=9.0,
                repetition_penalty=3.0,
                max_length=4,
                num_beams=2,
                eos_token_id=7,
                decoder_start_token_id=0,
            )
            folders[family] = tmp_path_factory.mktemp(family)
            model.save_pretrained(folders[family])
            tokenizer.save_pretrained(folders[family])
        return folders[family]

    return train


def training_row(tokenizer: Any, is_encoder_decoder: bool) -> Callable[[dict[str, str]], TokenRow]:
    def encode(row: dict[str, str]) -> TokenRow:
        (prompt,) = encode_prompts(tokenizer, [row["instruction"]], is_encoder_decoder)
        response = tokenizer(row["output"], add_special_tokens=False)["input_ids"]
        ids = np.array([*prompt, *response, tokenizer.eos_token_id])
        return TokenRow(ids, np.arange(len(ids)) >= len(prompt))

    return encode


@pytest.fixture
def loaded(trained: Any, tokenizer_dir: Path, request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """(model, tokenizer) of one family."""
    config = ModelConfig(architecture=ARCHITECTURES[request.param], tokenizer=str(tokenizer_dir))
    return load_checkpoint(trained(request.param), config), load_tokenizer(config)


def generate(
    loaded: tuple[Any, Any],
    prompts: list[str],
    max_new_tokens: int,
    batch: int = 100,
    stop: list[str] | None = None,
) -> list[Response]:
    questions = [Question(row, Example(prompt, ""), Gold("1")) for row, prompt in enumerate(prompts)]
    settings = EvaluationConfig(heldout="x", max_new_tokens=max_new_tokens, stop=stop or [])
    language_model = TransformersModel(*loaded, chat=None)
    language_model.fit_batches(batch, 1)
    return ask(language_model, question_task("any", questions, [], plain_prompt, settings), chat=False)


@pytest.mark.parametrize("loaded", ["t5"], indirect=True)
def test_no_prompt_is_cut_where_positions_are_unlimited(loaded):
    model, tokenizer = loaded
    language_model = TransformersModel(model, tokenizer, chat=None)
    ids, _ = language_model.tok_batch_encode(["1 + 1 " * 3000], left_truncate_len=language_model.max_length)
    assert ids.shape[1] > 3000


@pytest.mark.parametrize("loaded", FAMILIES, indirect=True)
def test_batched_generation_equals_one_at_a_time(loaded):
    alone = [generate(loaded, [prompt], 40)[0] for prompt in PROMPTS]
    together = generate(loaded, PROMPTS, 40)
    in_pairs = generate(loaded, PROMPTS, 40, batch=2)
    backwards = generate(loaded, PROMPTS[::-1], 40, batch=3)[::-1]
    assert alone == together == in_pairs == backwards
    assert [response.text for response in together[: len(ROWS)]] == [row["output"] for row in ROWS]


@pytest.mark.parametrize("loaded", FAMILIES, indirect=True)
def test_generation_equals_a_loop_without_cache(loaded):
    model, tokenizer = loaded
    responses = generate(loaded, PROMPTS, 12)
    prompts = encode_prompts(tokenizer, PROMPTS, model.config.is_encoder_decoder)
    for prompt, response in zip(prompts, responses, strict=True):
        ids = [model.config.decoder_start_token_id] if model.config.is_encoder_decoder else list(prompt)
        begun = len(ids)
        while len(ids) < begun + 12 and tokenizer.eos_token_id not in ids[begun:]:
            inputs = {"input_ids": torch.tensor([ids])}
            if model.config.is_encoder_decoder:
                inputs = {"input_ids": torch.tensor([prompt]), "decoder_input_ids": torch.tensor([ids])}
            with torch.no_grad():
                ids.append(int(model(**inputs, use_cache=False).logits[0, -1].argmax()))
        finished = ids[-1] == tokenizer.eos_token_id
        assert response.cut_off is not finished
        assert response.text == tokenizer.decode(ids[begun:-1] if finished else ids[begun:])


@pytest.mark.parametrize("loaded", FAMILIES, indirect=True)
def test_a_stop_string_ends_a_response_and_is_no_cut_off(loaded):
    whole = generate(loaded, PROMPTS[:5], 40)
    stopped = generate(loaded, PROMPTS[:5], 40, stop=["answer", "\n"])
    for response, before in zip(stopped, whole, strict=True):
        assert response.text == before.text.split("\n")[0].split("answer")[0]
        assert not response.cut_off
    assert all(response.cut_off for response in generate(loaded, PROMPTS[:5], 1, stop=["90"]))


@pytest.mark.parametrize("loaded", ["gpt_neox"], indirect=True)
def test_generation_uses_the_cache_that_training_switched_off(loaded):
    model, tokenizer = loaded
    assert model.config.use_cache is False
    widths = []
    embeddings = model.get_input_embeddings()
    embeddings.register_forward_hook(lambda _module, arguments, _output: widths.append(arguments[0].shape[1]))
    generate(loaded, PROMPTS[:1], 5)
    assert widths == [len(encode_prompts(tokenizer, PROMPTS[:1], False)[0]), 1, 1, 1, 1]


@pytest.mark.parametrize("loaded", ["gpt_neox"], indirect=True)
def test_a_tokenizer_whose_pad_is_its_end_of_sequence_changes_nothing(loaded):
    model, tokenizer = loaded
    expected = generate(loaded, PROMPTS, 40)
    tokenizer.pad_token = tokenizer.eos_token
    assert generate((model, tokenizer), PROMPTS, 40) == expected


@pytest.mark.parametrize("is_encoder_decoder", [False, True])
def test_prompts_are_tokenized_as_in_training(tokenizer_dir, res_dir, tmp_path, is_encoder_decoder):
    tokenizer: Any = load_tokenizer(
        ModelConfig(architecture=ARCHITECTURES["t5"], tokenizer=str(tokenizer_dir))
    )
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A <|endoftext|>", special_tokens=[("<|endoftext|>", 0)]
    )
    pool = Pool(DataConfig(path=str(write_jsonl(tmp_path / "pool.jsonl", ROWS))))
    tokens = tokenize_pool(pool, tokenizer, "alpaca", 512, is_encoder_decoder)
    prompts = encode_prompts(tokenizer, [alpaca_prompt(example) for example in pool], is_encoder_decoder)
    for row, prompt in enumerate(prompts):
        encoded = tokens.row(row)
        ids, start = encoded.ids, encoded.start
        assert prompt[0] == 0 and prompt == ids[:start].tolist()


# ---------------------------------------------------------------------------------------------- one run


@pytest.fixture
def run(make_config: Any, trained: Any, res_dir: Path, tmp_path: Path) -> Callable[..., Path]:
    """The YAML of a run with a family's trained checkpoint at step 20, a held-out file and a benchmark."""

    def make(name: str = "target", family: str = "gpt_neox", **evaluation: Any) -> Path:
        heldout = write_jsonl(tmp_path / "heldout.jsonl", ROWS)
        questions = [
            {"instruction": row["instruction"], "answer": marked_answer(row["output"]), "level": 3}
            for row in ROWS
        ]
        questions[0]["answer"] = [5, 6]
        questions[4]["answer"] = "C"
        benchmark = write_jsonl(tmp_path / "known.jsonl", questions)
        checkpoint = RunPaths(name).checkpoint(20)
        if not checkpoint.exists():
            checkpoint.parent.mkdir(parents=True)
            checkpoint.symlink_to(trained(family))
        settings = {"heldout": str(heldout), "benchmarks": {"known": str(benchmark)}, "max_new_tokens": 40}
        return make_config(name, family, data={"template": "plain"}, evaluation={**settings, **evaluation})

    return make


def run_evaluation(config: Path, *words: str) -> int:
    return evaluate_run.main(["--config_file", str(config), *words])


def read(name: str, run_name: str = "target") -> dict[str, Any]:
    return json.loads((RunPaths(run_name).evaluation / f"{name}.json").read_text())


def tree(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_knows_the_rows_by_heart_answers_them_all(run, family, capsys):
    assert run_evaluation(run(family=family)) == 0
    heldout = read("heldout")
    known = read("known")
    manifest = read("manifest")
    assert (heldout["accuracy"], heldout["accuracy_average"], heldout["cut_off"]) == (1.0, 1.0, 0)
    assert {source: row["questions"] for source, row in heldout["by_source"].items()} == {
        "choices": 2,
        "sums": 3,
    }
    assert heldout["loss"] < 0.05
    assert (known["questions"], known["correct"], known["accuracy"]) == (5, 4, 0.8)
    assert manifest["status"] == "complete" and manifest["inputs"]["step"] == 20
    lines = (RunPaths("target").evaluation / "known.predictions.jsonl").read_text().splitlines()
    predictions = [json.loads(line) for line in lines]
    assert [line["index"] for line in predictions] == list(range(5))
    assert [line["text"] for line in predictions] == [row["output"] for row in ROWS]
    assert [line["correct"] for line in predictions] == [True, True, True, True, False]
    shown, noise = capsys.readouterr()
    assert "it/s" not in noise and "\r" not in noise, "the libraries' bars are off"
    table = shown[shown.index("run target, checkpoint-20") : shown.index("results in")]
    assert all(len(line) <= 100 for line in table.splitlines())
    assert "choices" in shown and "average over sources" in shown and "0.8000" in shown


@pytest.mark.parametrize("family", FAMILIES)
def test_heldout_loss_equals_a_plain_loop(run, trained, tokenizer_dir, family, tmp_path):
    rows = [*ROWS, {"source": "long", "instruction": "x" * 60, "output": "The answer is 1"}]
    heldout = write_jsonl(tmp_path / "longer.jsonl", rows)
    config = run(family=family, heldout=str(heldout), max_tokens_per_batch=90)
    assert run_evaluation(config, "data.max_length=48", "--ckpt", "20") == 0
    result = read("heldout")
    settings = ModelConfig(architecture=ARCHITECTURES[family], tokenizer=str(tokenizer_dir))
    tokenizer = load_tokenizer(settings)
    model = load_checkpoint(trained(family), settings)
    losses: dict[str, list[float]] = {}
    for row in rows:
        encoded = training_row(tokenizer, family == "t5")(row)
        ids, start = torch.tensor(encoded.ids)[None], encoded.start
        with torch.no_grad():
            if family == "t5":
                losses.setdefault(row["source"], []).append(
                    model(input_ids=ids[:, :start][:, :48], labels=ids[:, start:]).loss.item()
                )
            elif start < 48:
                labels = ids.clone()
                labels[:, :start] = -100
                losses.setdefault(row["source"], []).append(
                    model(input_ids=ids[:, :48], labels=labels[:, :48]).loss.item()
                )
    means = {source: sum(values) / len(values) for source, values in losses.items()}
    assert {
        source: row["loss"] for source, row in result["by_source"].items() if row["examples"]
    } == pytest.approx(means, abs=1e-4)
    everything = [loss for values in losses.values() for loss in values]
    assert result["loss"] == pytest.approx(sum(everything) / len(everything), abs=1e-4)
    assert result["loss_average"] == pytest.approx(sum(means.values()) / len(means), abs=1e-4)
    assert result["without_response_token"] == len(rows) - len(everything)


def test_an_interrupted_evaluation_continues_with_the_file_it_was_at(run, monkeypatch):
    config = run()
    folder = RunPaths("target").evaluation
    measure = stage.measure

    def interrupted(*arguments: Any) -> Any:
        if arguments[-1] == "known":
            raise KeyboardInterrupt
        return measure(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(stage, "measure", interrupted)
        assert run_evaluation(config) == 130
    assert read("manifest")["status"] == "running" and not (folder / "known.json").exists()
    heldout = tree(folder)[str(folder / "heldout.json")]
    assert run_evaluation(config) == 0
    assert read("manifest")["status"] == "complete" and read("known")["correct"] == 4
    assert tree(folder)[str(folder / "heldout.json")] == heldout, "what was whole is not measured again"
    before = tree(RunPaths("target").root)
    assert run_evaluation(config) == 0
    assert tree(RunPaths("target").root) == before


def test_results_of_other_inputs_are_refused_until_overwritten(run, tmp_path, capsys):
    config = run()
    assert run_evaluation(config) == 0
    for other in (
        ["evaluation.max_new_tokens=39"],
        ["evaluation.limit=2"],
        ["--ckpt", "0"],
        ["data.template=alpaca"],
    ):
        assert run_evaluation(config, *other) == 1
        assert "made from other inputs" in capsys.readouterr().err
    with open(tmp_path / "known.jsonl", "a") as file:
        file.write('{"instruction": "7?", "answer": 7}\n')
    assert run_evaluation(config) == 1
    error = capsys.readouterr().err
    assert "the file of " in error and ": there" in error and "--overwrite" in error
    assert run_evaluation(config, "--overwrite") == 0
    assert read("known")["questions"] == 6


def test_of_two_evaluations_at_once_one_is_refused_and_nothing_is_lost(run, capsys):
    config = run()
    with locked(RunPaths("target").evaluation):
        assert run_evaluation(config) == 1
    assert "another command is evaluating this run" in capsys.readouterr().err
    assert not RunPaths("target").evaluation.exists()
    first, second = (load_config(config, [f"evaluation.max_new_tokens={number}"])[0] for number in (40, 39))
    planned = [(settings, plan_evaluation(settings, -1, overwrite=False)) for settings in (first, second)]
    stage.run_evaluation(*planned[0], overwrite=False)
    before = tree(RunPaths("target").root)
    with pytest.raises(ValueError, match="made from other inputs"):  # though nothing was there when planned
        stage.run_evaluation(*planned[1], overwrite=False)
    stage.run_evaluation(*planned[0], overwrite=False)
    assert tree(RunPaths("target").root) == before, "what was measured meanwhile is not measured again"


def test_an_evaluation_removes_what_a_killed_one_left_half_written(run):
    config = run()
    folder = RunPaths("target").evaluation
    (folder / "parts").mkdir(parents=True)
    for name in (".heldout.json.17.abcd.tmp", ".known.predictions.jsonl.17.abcd.tmp", "parts/model.bin"):
        (folder / name).touch()
    assert run_evaluation(config) == 0
    kept = {
        "manifest.json",
        "heldout.json",
        "heldout.predictions.jsonl",
        "known.json",
        "known.predictions.jsonl",
    }
    assert {path.name for path in folder.iterdir()} == kept


def test_each_set_may_have_a_limit_of_its_own(run):
    assert run_evaluation(run(), "evaluation.limit={known: 2}") == 0
    assert (read("known")["questions"], read("heldout")["questions"], read("heldout")["examples"]) == (
        2,
        5,
        5,
    )
    assert (read("known")["inputs"]["limit"], read("heldout")["inputs"]["limit"]) == (2, None)
    assert run_evaluation(run("other"), "evaluation.limit=2") == 0
    assert (read("known", "other")["questions"], read("heldout", "other")["questions"]) == (2, 2)


def test_the_base_model_is_step_0_and_a_missing_step_is_named(run, capsys):
    config = run()
    assert run_evaluation(config, "--ckpt", "30") == 1
    assert "no checkpoint of step 30" in capsys.readouterr().err
    assert run_evaluation(config, "--ckpt", "0", "run_name=untrained", "evaluation.max_new_tokens=4") == 0
    result = read("known", "untrained")
    assert result["inputs"]["step"] == 0 and result["cut_off"] == 5 and result["correct"] == 0
    assert "base model (step 0)" in capsys.readouterr().out


def test_dry_run_prints_the_plan_and_writes_nothing(run, tmp_path, capsys):
    config = run()
    before = tree(tmp_path)
    assert run_evaluation(config, "--dry_run") == 0
    assert tree(tmp_path) == before
    shown = capsys.readouterr().out
    assert "checkpoint-20" in shown and "known: 5 questions" in shown and "to do" in shown


def test_repeated_and_unanswered_rows_are_said(run, tmp_path, capsys):
    rows = [
        *ROWS,
        {**ROWS[0]},
        {"source": "code", "instruction": "June?", "output": "june = 7\nprint(june + 1)"},
    ]
    assert run_evaluation(run(heldout=str(write_jsonl(tmp_path / "more.jsonl", rows)), benchmarks={})) == 0
    shown = capsys.readouterr().out
    assert shown.count("2 rows (0, 5) whose question occurs more than once") == 1
    assert shown.count("1 row (6) whose response states no answer that a rule can read") == 1
    assert read("heldout")["questions"] == 6 and read("heldout")["examples"] == 7
    assert read("heldout")["by_source"]["code"]["accuracy"] is None


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (None, "is not a file"),
        ("", "is empty"),
        ('{"instruction": "a", "answer": "1"}\n{"instruction": \n', "line 2 is not JSON"),
        (
            '{"instruction": "a", "answer": "1"}\n\n{"instruction": "b", "answer": "1"}\n',
            "line 2 is not JSON",
        ),
        ('["a", "1"]\n', "the file holds str, expected an object"),
        (
            '{"instruction": "a", "answer": 1}\n{"prompt": "a", "answer": 1}\n{"instruction": "a"}\n',
            "2 rows (1, 2)",
        ),
        ('{"instruction": " ", "answer": 1}\n', "1 row (0)"),
        ('{"prompt": "a", "target": 1}\n', "the first of them with the fields ['prompt', 'target']"),
        ('[{"question": "a", "answer": 1}, {"question": "a",]', "the file is not JSON"),
        ('{"instruction": "a", "answer": []}\n{"instruction": "a", "answer": true}\n', "2 rows (0, 1)"),
    ],
)
def test_a_bad_benchmark_is_refused_with_its_place(run, tmp_path, capsys, lines, said):
    path = tmp_path / "bad.jsonl"
    if lines is not None:
        path.write_text(lines)
    assert run_evaluation(run(benchmarks={"bad": str(path)})) == 1
    error = capsys.readouterr().err
    assert "evaluation.benchmarks.bad" in error and said in error


def test_heldout_rows_of_any_subject_have_a_loss(run, tmp_path, capsys):
    """Where no response states an answer there is nothing to ask, and nothing else is missing."""
    rows = [
        {"source": "chat", "instruction": text, "output": f"{text} is nice.\nVery nice."}
        for text in ("tea", "rain")
    ]
    assert run_evaluation(run(heldout=str(write_jsonl(tmp_path / "chat.jsonl", rows)), benchmarks={})) == 0
    result = read("heldout")
    assert result["examples"] == 2 and result["loss"] > 0 and result["by_source"]["chat"]["loss"] > 0
    assert (result["questions"], result["accuracy"], result["accuracy_strict"]) == (0, None, None)
    assert not (RunPaths("target").evaluation / "heldout.predictions.jsonl").read_text()
    assert "2 rows (0, 1) whose response states no" in capsys.readouterr().out


def test_nothing_is_generated_where_no_token_is_allowed(run, tmp_path, capsys, monkeypatch):
    """The held-out loss is that of an evaluation that asks as well."""
    assert run_evaluation(run(benchmarks={})) == 0
    asked = read("heldout")
    monkeypatch.setattr("utils.evaluation.measuring.ask", lambda *_: pytest.fail("something was generated"))
    assert run_evaluation(run(benchmarks={}, max_new_tokens=0), "--overwrite") == 0
    result = read("heldout")
    assert (result["loss"], result["loss_average"]) == (asked["loss"], asked["loss_average"])
    assert result["questions"] == 0 < asked["questions"]
    monkeypatch.setattr("utils.evaluation.inputs.ANSWER_RULES", 99)
    assert run_evaluation(run(benchmarks={}, max_new_tokens=0), "--dry_run") == 0, "no rule has judged it"
    assert run_evaluation(run(max_new_tokens=0)) == 1
    assert "max_new_tokens 0, with which nothing is generated" in " ".join(capsys.readouterr().err.split())


def test_a_verdict_that_ran_out_of_processor_time_is_counted_and_shown(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(comparison, "equal_formulas", lambda *_: None)
    questions = [
        {"instruction": ROWS[0]["instruction"], "answer": "\\sqrt{25}"},
        {"instruction": "7", "answer": "-1"},
    ]
    file = write_jsonl(tmp_path / "hard.jsonl", questions)
    assert run_evaluation(run(heldout=None, benchmarks={"hard": str(file)})) == 0
    assert (read("hard")["undecided_strict"], read("hard")["correct_strict"]) == (1, 0)
    assert "hard: whether 1 formulas are right was not found out" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["evaluation.heldout=null", "evaluation.benchmarks={}"], "found neither heldout nor benchmarks"),
        (["evaluation.heldout=nowhere.jsonl"], "evaluation.heldout: nowhere.jsonl is not a file"),
        (["evaluation.benchmarks={heldout: x}"], "rename it"),
        (["evaluation.benchmarks={a/b: x}"], "rename it"),
        (["run_name=nothing_trained"], "has no checkpoint"),
        (["evaluation.max_new_tokens=512"], "set evaluation.max_new_tokens below 512"),
        (["data.template=alpace"], "did you mean 'alpaca'"),
        (["evaluation.limit={knwn: 2}"], "unknown name 'knwn'; did you mean 'known'? known: heldout, known"),
        (["evaluation.limit={known: true}"], "found True"),
    ],
)
def test_a_bad_request_says_what_to_change(run, capsys, overrides, said):
    assert run_evaluation(run(), *overrides) == 1
    assert said in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="programs run on Linux only")
@pytest.mark.usefixtures("sandbox")
def test_program_of_thought_asks_for_programs_and_falls_back_on_words(run, capsys):
    assert run_evaluation(run(heldout=None, program_of_thought=True)) == 0
    known = read("known")
    assert known["inputs"]["program_of_thought"] and known["questions"] == 5
    assert "asked for again in words" in known["notes"][-1]
