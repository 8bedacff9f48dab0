"""The commands that are disturbed, and tiny inputs for them, all made here."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from utils.data.small_tokenizer import VOCAB_SIZE, train_tokenizer
from utils.data.synthetic import make_rows
from utils.evaluation.programs import PROMPT_SUFFIX

from .commands import PROJECT, TORCHRUN, Command

_NUM_ROWS = 90
_NUM_RANKS = 2
_BUDGETS = [10, 20, 40]
_QUESTIONS = {"2 + 3": "5", "4 * 5": "20", "60 / 5": "12", "7 - 9": "-2"}


@dataclass(frozen=True)
class Stage:
    """A command.

    Attributes:
        script: that it runs.
        config: the name of its YAML.
        settings: words behind that.
        after: the stage whose results it begins from, None for an empty res/.
        torchrun: whether torchrun starts it, with two ranks.
        has_workers: whether its first process starts others that work for it.
        weight: how often it is disturbed, beside the others. 0: never, others begin from it.
    """

    script: str
    config: str
    settings: tuple[str, ...] = ()
    after: str | None = None
    torchrun: bool = False
    has_workers: bool = False
    weight: float = 1.0


# A new stage is a new entry here, with a YAML below.
STAGES: dict[str, Stage] = {
    "training": Stage("train.py", "proxy"),
    "training_torchrun": Stage("train.py", "proxy", torchrun=True, has_workers=True),
    "training_scored": Stage("train.py", "proxy", ("trajectories.during_training=true",)),
    "training_scored_torchrun": Stage(
        "train.py", "proxy", ("trajectories.during_training=true",), torchrun=True, has_workers=True
    ),
    "training_keep_last": Stage(
        "train.py", "proxy", ("trajectories.during_training=true", "checkpoints.keep=last")
    ),
    "training_of_subset": Stage("train.py", "target", after="scoring"),
    "scoring": Stage("run_distributed_trajectories.py", "proxy", after="training"),
    "scoring_workers": Stage(
        "run_distributed_trajectories.py",
        "proxy",
        ("trajectories.workers=2",),
        after="training",
        has_workers=True,
    ),
    "scoring_torchrun": Stage(
        "run_distributed_trajectories.py", "proxy", after="training", torchrun=True, has_workers=True
    ),
    "scoring_of_one": Stage("get_trajectories.py", "proxy", ("--ckpt", "-1"), after="training", weight=0.5),
    "selection": Stage("select_s2l.py", "target", after="scoring"),
    "selection_budgets": Stage("select_s2l.py", "target", (f"subset.budget={_BUDGETS}",), after="scoring"),
    "evaluation": Stage("evaluate_run.py", "proxy", after="training"),
    "training_by_heart": Stage("train.py", "programs", weight=0.0),
    "evaluation_programs": Stage("evaluate_run.py", "programs", after="training_by_heart"),
    "experiment": Stage("run_experiment.py", "experiment", has_workers=True, weight=0.3),
}


def command_of(stage: Stage, inputs: Path, place: Path, is_fresh: bool = False) -> Command:
    """The command of a stage whose results go to `place`/res and whose temporary files to `place`/tmp."""
    words = [
        str(PROJECT / stage.script),
        "--config_file",
        str(inputs / f"{stage.config}.yml"),
        *stage.settings,
    ]
    if stage.torchrun:
        words = [*TORCHRUN, f"--nproc_per_node={_NUM_RANKS}", *words]
    (place / "tmp").mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "S2L_RES_DIR": str(place / "res"), "TMPDIR": str(place / "tmp")}
    return Command(words, environment, place / "output.txt", is_fresh)


def prepare(stage: Stage, references: Path, place: Path) -> None:
    """Lay what a stage begins from into `place`/res. The cache is not part of it."""
    if stage.after is None:
        (place / "res").mkdir(parents=True, exist_ok=True)
        return
    source = references / stage.after / "res"
    shutil.copytree(source, place / "res", ignore=shutil.ignore_patterns(".cache"), dirs_exist_ok=True)


def write_inputs(folder: Path) -> None:
    """The pool, held-out rows, questions, a tokenizer, and the YAMLs of all stages."""
    pool = make_rows(_NUM_ROWS, 0, seed=0)[0]
    heldout = make_rows(12, 0, seed=1)[0]
    by_heart = [
        {"instruction": question + PROMPT_SUFFIX, "output": f"print({question})"} for question in _QUESTIONS
    ]
    _write_jsonl(folder / "pool.jsonl", pool)
    _write_jsonl(folder / "heldout.jsonl", heldout)
    _write_jsonl(folder / "by_heart.jsonl", by_heart)
    questions = [{"instruction": question, "answer": answer} for question, answer in _QUESTIONS.items()]
    _write_jsonl(folder / "questions.jsonl", questions)
    texts = [row["instruction"] + row["output"] for row in [*pool, *by_heart]]
    train_tokenizer(texts, folder / "tokenizer")
    for name, values in _configs(folder).items():
        (folder / f"{name}.yml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def _configs(folder: Path) -> dict[str, dict[str, Any]]:
    model = {
        "architecture": {
            "model_type": "gpt_neox",
            "vocab_size": VOCAB_SIZE,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 256,
            "attention_dropout": 0.1,  # so that a state of chance that is lost shows
            "hidden_dropout": 0.1,
        },
        "tokenizer": str(folder / "tokenizer"),
    }
    proxy = {
        "run_name": "proxy",
        "model": model,
        "data": {"path": str(folder / "pool.jsonl"), "max_length": 160},
        "global_batch_size": 16,
        "checkpoints": {"count": 4},
        "train_args": {"num_train_epochs": 2, "learning_rate": 1e-3, "per_device_train_batch_size": 8},
        "trajectories": {"examples_per_unit": 16},
        "evaluation": {
            "heldout": str(folder / "heldout.jsonl"),
            "benchmarks": {"sums": str(folder / "questions.jsonl")},
            "max_new_tokens": 8,
        },
    }
    target = {
        **proxy,
        "run_name": "target",
        "seed": 1,
        "checkpoints": {"count": 2},
        "subset": {"trajectories_from": "proxy", "budget": _BUDGETS[-1], "num_clusters": 4},
    }
    # Knows its four answers by heart, so that there are programs to run.
    exact = {**model["architecture"], "hidden_size": 64, "intermediate_size": 128}
    programs = {
        **proxy,
        "run_name": "programs",
        "model": {**model, "architecture": {**exact, "attention_dropout": 0.0, "hidden_dropout": 0.0}},
        "data": {"path": str(folder / "by_heart.jsonl"), "max_length": 160},
        "global_batch_size": len(_QUESTIONS),
        "checkpoints": {"count": 1},
        "train_args": {"max_steps": 100, "learning_rate": 1e-2, "lr_scheduler_type": "constant"},
        "evaluation": {
            "benchmarks": {"sums": str(folder / "questions.jsonl")},
            "program_of_thought": True,
            "max_new_tokens": 24,
        },
    }
    experiment = {
        "name": "tiny",
        "proxy": str(folder / "proxy.yml"),
        "target": str(folder / "target.yml"),
        "methods": {"s2l": None, "random": None},
        "budgets": [30],
        "seeds": [0],
    }
    return {"proxy": proxy, "target": target, "programs": programs, "experiment": experiment}


def _write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
