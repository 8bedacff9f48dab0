"""Conversations go through every stage: shown, trained on, scored, chosen from, and asked for."""

import json

import numpy as np
import pytest

import evaluate_run
import run_distributed_trajectories
import select_s2l
import train
from tests.conftest import ARCHITECTURES, CHATML, in_one_line, plain_losses, run_here, write_jsonl
from utils.config.load import load_config
from utils.data.pool import Pool
from utils.data.tokenization import tokenize_pool
from utils.modeling.loading import load_checkpoint, load_tokenizer


@pytest.fixture
def chat_config(make_config, tmp_path, chat_tokenizer_dir):
    (tmp_path / "chat.jinja").write_text(CHATML)
    rows = [
        {
            "source": "ab"[number % 2],
            "messages": [
                {"role": "user", "content": f"What is {number} + 1?"},
                {"role": "assistant", "content": f"It is {number + 1}."},
                *(
                    [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."}]
                    * (number % 3)
                ),
            ],
        }
        for number in range(40)
    ]
    return make_config(
        "proxy",
        model={"architecture": ARCHITECTURES["llama"], "tokenizer": str(chat_tokenizer_dir)},
        data={
            "path": str(write_jsonl(tmp_path / "talk.jsonl", rows)),
            "format": "messages",
            "template": str(tmp_path / "chat.jinja"),
        },
    )


def test_conversations_go_through_every_stage(chat_config, res_dir, tmp_path, capsys):
    assert run_here(train, "--config_file", chat_config, "--dry_run", "--show", "2") == 0
    shown = capsys.readouterr().out
    assert "row 2: " in shown and "scored up to <|im_end|>" in shown
    assert 'SCORED "Y" "es" "." "<|im_end|>"\n' in shown
    assert run_here(train, "--config_file", chat_config) == 0
    assert run_here(run_distributed_trajectories, "--config_file", chat_config) == 0

    config, _ = load_config(chat_config)
    pool = Pool(config.data_section)
    tokens = tokenize_pool(
        pool, load_tokenizer(config.model_section), config.data_section.template, 160, False
    )
    num_stretches = (np.diff(tokens.is_response_S.astype(int)) == 1).sum()
    assert num_stretches == sum(sum(row.conversation.is_scored) for row in pool if row.conversation)
    checkpoint = sorted((res_dir / "proxy").glob("checkpoint-*"))[-1]
    model = load_checkpoint(checkpoint, config.model_section)
    losses = np.load(res_dir / f"proxy/trajectories/{checkpoint.name}.npy")
    np.testing.assert_allclose(losses, plain_losses(model, tokens), atol=1e-4)

    subset = ("subset.trajectories_from=proxy", "subset.budget=10", "subset.num_clusters=4")
    assert run_here(select_s2l, "--config_file", chat_config, "run_name=target", *subset) == 0
    chosen = [json.loads(line) for line in (res_dir / "target/subset/subset.jsonl").read_text().splitlines()]
    assert len(chosen) == 10 and all(row["messages"][0]["role"] == "user" for row in chosen)

    (tmp_path / "questions.jsonl").write_text(
        json.dumps({"question": "What is 2 + 1?", "answer": "3"}) + "\n"
    )
    asked = (f"evaluation.benchmarks.sums={tmp_path / 'questions.jsonl'}", "evaluation.max_new_tokens=8")
    assert run_here(evaluate_run, "--config_file", chat_config, *asked) == 0
    result = json.loads((res_dir / "proxy/evaluation/sums.json").read_text())
    assert result["inputs"]["template"] == tokens.manifest.template
    assert (checkpoint / "chat_template.jinja").read_text() == CHATML


def test_a_template_that_changed_since_the_training_is_said(chat_config, res_dir, tmp_path, capsys):
    held_out = f"evaluation.heldout={tmp_path / 'talk.jsonl'}"

    def said(script, *words: str) -> str:
        capsys.readouterr()
        assert run_here(script, "--config_file", chat_config, "--dry_run", *words) == 0
        return in_one_line(capsys.readouterr().out)

    assert run_here(train, "--config_file", chat_config) == 0
    assert "was trained in template" not in said(run_distributed_trajectories) + said(evaluate_run, held_out)
    template = tmp_path / "chat.jinja"
    template.write_text(CHATML.replace("{{ m.role }}\n", "{{ m.role }}:\n"))
    for script, words in ((run_distributed_trajectories, ()), (evaluate_run, (held_out,))):
        assert "was trained in template chat:" in said(script, *words)
    assert "was trained in template" not in said(run_distributed_trajectories, "--checkpoints", "0")
