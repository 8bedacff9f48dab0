"""The pipeline on a tiny model, in seconds: train, score, select. Writes into the current folder."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..data.small_tokenizer import train_tokenizer
from ..data.synthetic import make_rows
from ..pipeline import score, select, train

_NUM_ROWS = 48
_BUDGET = 12
_PROXY: dict[str, Any] = {
    "run_name": "proxy",
    "model": {
        "architecture": {
            "model_type": "gpt_neox",
            "vocab_size": 1024,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 256,
        },
        "tokenizer": "tokenizer",
    },
    "data": {"path": "pool.jsonl", "max_length": 256},
    "checkpoints": {"count": 2},
    "global_batch_size": 16,
    "train_args": {"num_train_epochs": 2, "learning_rate": 1e-3},
}
_TARGET: dict[str, Any] = {
    "run_name": "target",
    "data": {"path": "pool.jsonl"},
    "subset": {"trajectories_from": "proxy", "budget": _BUDGET, "num_clusters": 3},
}


def main() -> int:
    start = time.perf_counter()
    rows, _ = make_rows(_NUM_ROWS, 0, seed=0)
    Path("pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    train_tokenizer([row["instruction"] + row["output"] for row in rows], Path("tokenizer"))
    for config in (_PROXY, _TARGET):  # JSON is YAML
        Path(f"{config['run_name']}.yml").write_text(json.dumps(config), encoding="utf-8")
    train("proxy.yml")
    losses_NT = score("proxy.yml").losses_NT
    if losses_NT.shape != (_NUM_ROWS, 2) or not np.isfinite(losses_NT).all():
        raise ValueError(f"found losses {losses_NT.shape}, not all finite, expected ({_NUM_ROWS}, 2), finite")
    [subset] = select("target.yml")
    if len(subset.rows) != _BUDGET:
        raise ValueError(f"found {len(subset.rows)} rows chosen, expected {_BUDGET}")
    print(f"trained, scored and chose in {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
