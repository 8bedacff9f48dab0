"""The files that are good before one of them is spoilt, and the commands that accept them."""

import shutil
from pathlib import Path

import numpy as np

from tests.conftest import ARCHITECTURES, pool_rows, write_jsonl

NUM_ROWS = 40
ARCHITECTURE = str(ARCHITECTURES["gpt_neox"])
POOL = """
data: {path: pool.jsonl, max_length: 300}
"""
TRAINED = f"""
model: {{architecture: {ARCHITECTURE}, tokenizer: tokenizer}}
data: {{path: pool.jsonl, max_length: 300}}
global_batch_size: 16
checkpoints: {{count: 2}}
train_args: {{num_train_epochs: 1, learning_rate: 1.0e-3, per_device_train_batch_size: 8}}
"""
EVALUATED = "evaluation: {heldout: heldout.jsonl, benchmarks: {quiz: quiz.jsonl}, max_new_tokens: 4}\n"
CHOSEN = "subset: {trajectories_from: losses.npy, num_clusters: 2, budget: 20}\n"
EXPERIMENT = (
    "name: trial\nproxy: proxy.yml\ntarget: target.yml\nmethods: [s2l, random]\nbudgets: [20]\nseeds: [0]\n"
)

FILES = {
    "proxy.yml": f"run_name: proxy{TRAINED}",
    "target.yml": f"run_name: target{TRAINED}{EVALUATED}{CHOSEN}",
    "fresh.yml": f"run_name: fresh{TRAINED}",  # of which there are no results
    "pick.yml": f"run_name: pick{POOL}{CHOSEN}",  # as well, and it needs no model
    "several.yml": f"run_name: several{POOL}{CHOSEN.replace(': 20', ': [10, 20]')}",
    "experiment.yml": EXPERIMENT,
}
# In this order: each needs the results of those before.
COMMANDS = [
    "train.py --config_file proxy.yml",
    "run_distributed_trajectories.py --config_file proxy.yml",
    "select_s2l.py --config_file several.yml",
    "train.py --config_file target.yml",
    "evaluate_run.py --config_file target.yml",
    "train.py --config_file target.yml run_name=other seed=1",
    "evaluate_run.py --config_file target.yml run_name=other seed=1",
    "compare_runs.py target other",
    "select_s2l.py --config_file pick.yml --dry_run",
    "train.py --config_file fresh.yml --dry_run",
    "run_experiment.py --config_file experiment.yml --dry_run",
]


def write_good_files(folder: Path, tokenizer: Path) -> None:
    rows = pool_rows(NUM_ROWS)
    write_jsonl(folder / "pool.jsonl", rows)
    write_jsonl(folder / "heldout.jsonl", pool_rows(10, seed=1)[:3])
    questions = [{"instruction": row["instruction"], "answer": "5"} for row in rows[:3]]
    write_jsonl(folder / "quiz.jsonl", questions)
    np.save(folder / "losses.npy", np.random.default_rng(0).random((NUM_ROWS, 3), np.float32))
    shutil.copytree(tokenizer, folder / "tokenizer")
    for name, text in FILES.items():
        (folder / name).write_text(text)
