"""Generating answers in batches against one question at a time, for what a run's YAML evaluates.

    python benchmarks/generation.py --config_file TARGET.yml [key.sub=value ...]

Both ways go through what evaluate_run.py itself asks with, in one process and on the run's newest checkpoint.
Every response has to be the same. The times are of generation alone.
`evaluation.limit=300` takes the first questions only.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.config.load import load_config
from utils.evaluation.models.harness import ask
from utils.evaluation.models.load import Models
from utils.evaluation.plan import plan_evaluation
from utils.process.memory import keep_freed_memory


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config_file", required=True)
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value")
    arguments = parser.parse_args(argv)
    keep_freed_memory()
    config, _ = load_config(arguments.config_file, arguments.overrides, needs=("model", "data"))
    plan = plan_evaluation(config, ckpt=-1, overwrite=True)
    generation = Models(config, plan.inputs, with_losses=False).generation
    for name, task in plan.tasks.items():
        if task.lm_eval is None:  # held-out rows without answers
            continue
        longest = max(task.lengths) + config.evaluation.max_new_tokens
        seconds: list[float] = []
        responses = []
        for max_tokens in (config.evaluation.max_tokens_per_batch, 1):
            generation.fit_batches(max_tokens, longest)
            begun = time.perf_counter()
            responses.append(ask(generation, task.lm_eval, config.evaluation.chat_template))
            seconds.append(time.perf_counter() - begun)
        assert responses[0] == responses[1], "a batch changed an answer"
        print(
            f"{name}: {len(task.lengths)} questions, in batches {seconds[0]:.1f} s, "
            f"one at a time {seconds[1]:.1f} s: {seconds[1] / seconds[0]:.1f} x",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
