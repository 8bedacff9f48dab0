"""What needs no torch is said before torch is imported, and all of it in one message."""

import json

import pytest

from tests.conftest import run_script

HEAVY = ("torch", "transformers", "lm_eval", "accelerate")
OF_A_STAGE = (*HEAVY, "faiss", "scipy", "datasets", "utils.selection.plan", "utils.experiments.plan")
END = "-- end of a command --"

# Runs a script with one command line after another, and says each exit code and which of some modules were
# imported by then.
_WATCHED = f"""
import importlib, json, sys
sys.modules["trackio"] = None  # as if it were not installed
script, commands, unused = importlib.import_module(sys.argv[1]), *map(json.loads, sys.argv[2:])
for words in commands:
    code = script.main(words)
    print(json.dumps([code, [name for name in unused if name in sys.modules]]), flush=True)
    print({END!r}, file=sys.stderr, flush=True)
"""

# Script -> command lines after --config_file RUN, each with what its message holds.
MISTAKES: dict[str, list[tuple[list[str], list[str]]]] = {
    "train": [
        (
            [
                "modle={}", "data.path=nowhere.jsonl", "data.template=alpacca", "data.format=alpacca",
                "train_args.learning_rate=fast", "train_args.weight_decay=-1", "train_args.max_stepz=3",
                "model.tokenizer=/nowhere/tokenizer", "subset.budget=[10,20]",
                "tracking.report_to=trackio", "seed=-1",
            ],
            [
                "did you mean model", "nowhere.jsonl does not exist",
                "data.template: found 'alpacca'", "data.format: found 'alpacca'",
                "learning_rate: found 'fast'", "weight_decay: found -1", "train_args.max_steps",
                "/nowhere/tokenizer does not exist", "several subsets",
                "trackio is not installed", "seed: found -1", "11 problems",
            ],
        ),
        (["checkpoints.count=500"], ["at most"]),
        (["data.columns={output: answer}"], ["no column 'answer'"]),
        (["data.source_column=origin"], ["data.source_column: found 'origin'"]),
        (["subset.trajectories_from=nowhere.npy"], ["nowhere.npy"]),
        (["subset.same_as=another"], ["another"]),
    ],
    "get_trajectories": [
        (
            ["--ckpt", "3", "--model_path", "/nowhere/model", "data.path=nowhere.jsonl", "train_argz={}"],
            [
                "/nowhere/model does not exist", "nowhere.jsonl does not exist", "did you mean train_args",
                "3 problems",
            ],
        ),
        (["--ckpt", "3"], ["run does not exist"]),
        (["--ckpt", "0", "data.columns={output: answer}"], ["no column 'answer'"]),
    ],
    "run_distributed_trajectories": [
        (
            [
                "--checkpoints", "1:x", "--model_path", "MODELS",
                "data.split=test", "model.revision=main", "seed=-1",
            ],
            [
                "found '1:x'", "data.split: found 'test'", "model.revision: found 'main'", "seed: found -1",
                "4 problems",
            ],
        ),
        (["--model_path", "MODELS", "data.columns={output: answer}"], ["no column 'answer'"]),
    ],
    "evaluate_run": [
        (
            [
                "evaluation.heldout=nowhere.jsonl", "evaluation.benchmarks={a/b: none.jsonl}",
                "evaluation.tasks=[x, x]", "data.template=alpacca",
            ],
            [
                "has no checkpoint", "heldout: nowhere.jsonl", "none.jsonl", "'a/b'", "'x' twice",
                "'alpacca'", "6 problems",
            ],
        ),
    ],
    "select_s2l": [
        (
            ["subset.budget=0", "seed=-1", "subset.methd=s2l"],
            ["subset.budget: found 0", "seed: found -1", "did you mean subset.method", "3 problems"],
        ),
        (["subset.trajectories_from=nowhere.npy"], ["nowhere.npy"]),
    ],
}  # fmt: skip


def messages_of(
    script: str, commands: list[list[str]], unused: tuple[str, ...] = HEAVY, code: int = 1
) -> list[str]:
    """What each command says, after a look at its exit code and at what was imported for it."""
    answer = run_script("-c", _WATCHED, script, json.dumps(commands), json.dumps(unused))
    outcomes = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("[")]
    assert outcomes == [[code, []]] * len(commands), answer.stderr
    return answer.stderr.split(END)


@pytest.mark.parametrize("script", MISTAKES)
def test_mistakes_are_said_together_and_without_torch(make_config, res_dir, tmp_path, script):
    (tmp_path / "models/checkpoint-3").mkdir(parents=True)
    config = str(make_config("run", num_rows=20))
    own = ["--ckpt", "0"] if script == "get_trajectories" else []
    commands = [["--config_file", "nowhere.yml", *own]]
    for words, _ in MISTAKES[script]:
        commands.append(
            ["--config_file", config, *(word.replace("MODELS", str(tmp_path / "models")) for word in words)]
        )
    messages = messages_of(script, commands)
    expectations = [["nowhere.yml does not exist"], *(parts for _, parts in MISTAKES[script])]
    for message, expected in zip(messages, expectations, strict=False):
        for part in expected:
            assert part in message, f"{part!r} is missing in\n{message}"
    assert not res_dir.exists()


@pytest.mark.parametrize("script", [*MISTAKES, "run_experiment"])
def test_a_mistake_in_a_yaml_is_said_before_anything_of_a_stage_is_imported(make_config, script):
    config = str(make_config("run", num_rows=20))
    own = ["--ckpt", "0"] if script == "get_trajectories" else []
    commands = [["--config_file", config, *own, "seeed=1"], ["--config_file", "nowhere.yml", *own]]
    for message in messages_of(script, commands, unused=OF_A_STAGE):
        found = ("nowhere.yml", "seeed", "the YAML of a run")
        assert any(part in message for part in found) or not message.strip()


def test_a_run_that_was_not_evaluated_is_said_before_scipy_is_imported(res_dir):
    (message, _) = messages_of("compare_runs", [["one", "other"]], unused=OF_A_STAGE)
    assert "'one' has no evaluation" in message


def test_a_dry_run_of_a_training_imports_nothing_that_only_other_runs_use(make_config):
    unused = ("peft", "sklearn", "scipy", "datasets", "lm_eval", "utils.scoring.run", "utils.training.run")
    messages_of("train", [["--config_file", str(make_config("run")), "--dry_run"]], unused, code=0)
