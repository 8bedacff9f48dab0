"""train.py against a plain transformers.Trainer script and TRL's SFTTrainer: same rows, steps and weights.

    python benchmarks/training.py --model DIR --pool POOL.jsonl [--steps 4] [--global_batch_size 64]
        [--micro_batch 16] [--lora RANK] [--precision float32] [--attention NAME] [--trl FOLDER]
        [--device cuda]

DIR holds a config.json and a tokenizer; the model has random weights of that shape. Each way is a process
of its own and takes the same rows in the same optimizer steps, whose losses are compared. The first step is
not measured. TRL runs from FOLDER, filled by `pip install --target FOLDER --no-deps trl`, and is left out
without. The floor is the work that must be done at the rate of large matrix products: 6 x (parameters outside
the embeddings) x tokens + 6 x hidden x vocabulary x response tokens; 4 instead of 6 for a weight that LoRA
leaves as it is. The rate is measured between the steps: a shared machine's changes all the time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, TrainerCallback

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from utils.config.load import load_config  # noqa: E402
from utils.data.pool import Pool  # noqa: E402
from utils.data.tokenization import TokenizedPool, tokenize_pool  # noqa: E402
from utils.modeling.loading import add_lora, load_checkpoint, load_tokenizer  # noqa: E402
from utils.modeling.operations import matrix_rate, training_operations  # noqa: E402
from utils.training.order import GlobalBatchOrder  # noqa: E402

MAX_LENGTH = 512
IGNORED = -100
SEED = 0
LEARNING_RATE = 1e-4


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--pool", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=4, help="the first is not measured")
    parser.add_argument("--global_batch_size", type=int, default=64)
    parser.add_argument("--micro_batch", type=int, default=16)
    parser.add_argument("--lora", type=int, help="rank; without it all weights are trained")
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    parser.add_argument(
        "--attention", help="model.attn_implementation of all ways: flash_attention_2 packs ours"
    )
    parser.add_argument("--trl", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)  # the process of one of them
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(WAYS[arguments.way](arguments)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        arguments.folder = Path(folder)
        compare(arguments)
    return 0


def compare(arguments: argparse.Namespace) -> None:
    make_model(arguments)
    ours = run(arguments, "ours")
    print(
        f"{ours['steps']} steps of {arguments.global_batch_size} examples, {ours['tokens']:,} tokens, "
        f"{ours['response_tokens']:,} of them response; micro-batches of {arguments.micro_batch} rows; "
        f"{'all weights' if arguments.lora is None else f'LoRA of rank {arguments.lora}'} "
        f"in {arguments.precision}, {arguments.attention or 'default'} attention; "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    say("ours", ours, ours)
    for way in WAYS:
        if way != "ours" and (way != "TRL" or arguments.trl):
            say(way, run(arguments, way), ours)


def say(way: str, result: dict[str, Any], ours: dict[str, Any]) -> None:
    seconds = sum(result["seconds"])
    rate = statistics.harmonic_mean(result["rates"])
    print(
        f"{way:>8}: {seconds:7.2f} s, {ours['tokens'] / seconds:7,.0f} tokens/s that are not padding, "
        f"{ours['work'] / seconds / 1e9:6,.0f} GFLOP/s of the floor's work at a matrix rate of "
        f"{rate / 1e9:,.0f} GFLOP/s: {ours['work'] / rate / seconds:.2f} of the floor; "
        f"{seconds / sum(ours['seconds']):.2f} x ours; losses {result['losses']}",
        flush=True,
    )


def make_model(arguments: argparse.Namespace) -> None:
    config = AutoConfig.from_pretrained(arguments.model)
    torch.manual_seed(SEED)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(arguments.folder / "model")
    AutoTokenizer.from_pretrained(arguments.model).save_pretrained(arguments.folder / "model")


def run(arguments: argparse.Namespace, way: str) -> dict[str, Any]:
    """What a way measures, in a process that another's threads and memory do not reach."""
    words = ["--way", way, "--folder", arguments.folder]
    for name in ("model", "pool", "steps", "global_batch_size", "micro_batch", "precision", "device"):
        words += [f"--{name}", getattr(arguments, name)]
    for name in ("lora", "attention"):
        words += [f"--{name}", value] if (value := getattr(arguments, name)) is not None else []
    environment = dict(os.environ, S2L_RES_DIR=str(arguments.folder / "res"))
    if way == "ours":
        environment |= {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}  # as train.py sets them
    if way == "TRL":
        environment["PYTHONPATH"] = os.pathsep.join([str(arguments.trl), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, __file__, *map(str, words)]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment)
    if answer.returncode:
        raise SystemExit(f"{way} failed:\n{answer.stderr}")
    return json.loads(answer.stdout.splitlines()[-1])


class Watch(TrainerCallback):
    """The seconds of each step but the first, and its loss. The matrix rate is measured between steps."""

    def __init__(self, arguments: argparse.Namespace):
        self._device = torch.device(arguments.device)
        self._dtype = torch.bfloat16 if arguments.precision == "bf16" else torch.float32
        self._begun = 0.0
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self.rates: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.rates.append(matrix_rate(self._device, self._dtype))
        self._begun = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        if state.global_step > 1:
            self.seconds.append(time.perf_counter() - self._begun)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if logs and "loss" in logs:
            self.losses.append(round(float(logs["loss"]), 5))

    def result(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "rates": self.rates, "losses": self.losses}


def train_ours(arguments: argparse.Namespace) -> dict[str, Any]:
    """The stage that train.py runs, with its planning, order and checkpoint."""
    from utils.training.plan import plan_training
    from utils.training.run import run_training

    settings = {
        "run_name": "benchmark",
        "seed": SEED,
        "model": {
            "name_or_path": str(arguments.folder / "model"),
            "attn_implementation": arguments.attention,
        },
        "data": {
            "path": str(arguments.pool.resolve()),
            "limit": arguments.steps * arguments.global_batch_size,
            "max_length": MAX_LENGTH,
        },
        "global_batch_size": arguments.global_batch_size,
        "checkpoints": {"count": 1},
        "train_args": train_args(arguments),
    }
    if arguments.lora is not None:
        settings["model"]["lora"] = {"r": arguments.lora}
    file = arguments.folder / "benchmark.yml"
    file.write_text(yaml.safe_dump(settings))
    config, _ = load_config(file)
    pool = Pool(config.data_section)
    plan = plan_training(config, pool, pool.usable_rows, None, overwrite=False)
    watch = Watch(arguments)
    run_training(config, plan, [watch], log_heading="")
    tokens = plan.setup.tokens
    measured = rows_in_order(arguments, tokens)[arguments.global_batch_size :]
    model = load_checkpoint(arguments.folder / "model", config.model_section)
    if config.model_section.lora is not None:
        model = add_lora(model, config.model_section.lora, SEED)
    num_tokens = int(tokens.lengths[measured].sum())
    num_response = int(tokens.num_response_tokens[measured].sum())
    counted = {"tokens": num_tokens, "response_tokens": num_response}
    work = training_operations(model).of(num_tokens, num_response)
    return {**watch.result(), **counted, "steps": len(watch.seconds), "work": float(work)}


def train_plain(arguments: argparse.Namespace) -> dict[str, Any]:
    """What people write: tokenized rows, labels on the responses, Trainer, nothing else."""
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    dataset, tokenizer, model = what_others_train(arguments)
    watch = Watch(arguments)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(**for_others(arguments)),
        train_dataset=dataset,
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        callbacks=[watch],
    )
    trainer.train()
    return watch.result()


def train_trl(arguments: argparse.Namespace) -> dict[str, Any]:
    """TRL's trainer for this task, with its loss on completions alone."""
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportMissingImports] (from --trl)

    dataset, tokenizer, model = what_others_train(arguments)
    watch = Watch(arguments)
    settings = SFTConfig(
        **for_others(arguments),
        max_length=MAX_LENGTH,
        completion_only_loss=True,
        gradient_checkpointing=False,
    )
    trainer = SFTTrainer(
        model=model, args=settings, train_dataset=dataset, processing_class=tokenizer, callbacks=[watch]
    )
    trainer.train()
    return watch.result()


WAYS = {"ours": train_ours, "plain": train_plain, "TRL": train_trl}


def train_args(arguments: argparse.Namespace) -> dict[str, Any]:
    """What all ways are told."""
    return {
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "num_train_epochs": 1,
        "per_device_train_batch_size": arguments.micro_batch,
        "logging_steps": 1,
        "bf16": arguments.precision == "bf16",  # which TRL sets by itself
    }


def for_others(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        **train_args(arguments),
        "gradient_accumulation_steps": arguments.global_batch_size // arguments.micro_batch,
        "train_sampling_strategy": "sequential",  # the rows come in the order of our steps
        "output_dir": str(arguments.folder / "others"),
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": arguments.device == "cpu",
    }


def what_others_train(arguments: argparse.Namespace) -> tuple[Any, Any, Any]:
    """A dataset of the same tokens and labels in the order of our steps, the tokenizer and the model."""
    from datasets import Dataset

    from utils.config.schema import DataConfig, LoraConfig, ModelConfig

    settings = ModelConfig(name_or_path=str(arguments.folder / "model"))
    tokenizer = load_tokenizer(settings)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    num_rows = arguments.steps * arguments.global_batch_size
    pool = Pool(DataConfig(path=str(arguments.pool), limit=num_rows))
    tokens = tokenize_pool(pool, tokenizer, "alpaca", MAX_LENGTH, False)
    rows = []
    for row in rows_in_order(arguments, tokens):
        encoded = tokens.row(int(row))
        labels = np.where(encoded.is_response, encoded.ids, IGNORED)
        rows.append({"input_ids": encoded.ids.tolist(), "labels": labels.tolist()})
    model: Any = AutoModelForCausalLM.from_pretrained(
        arguments.folder / "model", dtype=torch.float32, attn_implementation=arguments.attention
    )
    if arguments.lora is not None:
        model = add_lora(model, LoraConfig(r=arguments.lora), SEED)
    return Dataset.from_list(rows), tokenizer, model


def rows_in_order(arguments: argparse.Namespace, tokens: TokenizedPool) -> np.ndarray:
    """The rows as our steps take them."""
    return GlobalBatchOrder(tokens.lengths, arguments.global_batch_size, 1, "random", SEED).positions(0)


if __name__ == "__main__":
    sys.exit(main())
