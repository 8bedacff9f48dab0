"""The vLLM back end gives the answers of the hf back end.

Needs vLLM: `make test-vllm`, on a CPU and in an environment of its own.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ARCHITECTURES, run_script, write_jsonl

pytest.importorskip("vllm")


def test_vllm_answers_as_hf_does(make_config: Any, res_dir: Path, tmp_path: Path):
    """A tiny GPT-NeoX, trained a little, on 50 questions; in processes of their own, as a user runs it."""
    rows = [
        {"instruction": f"{left} + {left % 7}", "output": f"The answer is {left + left % 7}"}
        for left in range(60)
    ]
    pool = write_jsonl(tmp_path / "sums.jsonl", rows)
    questions = write_jsonl(
        tmp_path / "asked.jsonl",
        [{"instruction": row["instruction"], "answer": row["output"].split()[-1]} for row in rows[:50]],
    )
    heads: dict[str, Any] = {
        "hidden_size": 64,
        "num_attention_heads": 2,
    }  # vLLM's kernels take heads of 32 and more
    config = make_config(
        "hf",
        data={"path": str(pool), "template": "plain"},
        model={"architecture": {**ARCHITECTURES["gpt_neox"], **heads}},
        train_args={"num_train_epochs": 80, "learning_rate": 5e-3},
        evaluation={
            "heldout": str(pool),
            "benchmarks": {"asked": str(questions)},
            "max_new_tokens": 16,
            "limit": 50,
        },
    )
    run_script("train.py", "--config_file", config)
    texts = {}
    for backend in ("hf", "vllm"):
        evaluation = [
            "evaluate_run.py",
            "--config_file",
            config,
            "--overwrite",
            f"evaluation.backend={backend}",
        ]
        run_script(*evaluation, VLLM_CPU_KVCACHE_SPACE="1")
        lines = (res_dir / "hf/evaluation/asked.predictions.jsonl").read_text().splitlines()
        texts[backend] = [(line["text"], line["cut_off"]) for line in map(json.loads, lines)]
    assert len(texts["hf"]) == 50 and len(set(texts["hf"])) > 10, (
        "a model that says the same to all proves nothing"
    )
    assert texts["vllm"] == texts["hf"]
