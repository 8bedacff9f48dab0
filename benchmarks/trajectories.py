"""Loss trajectories against the plain way: example by example, a fresh process for each checkpoint.

    python benchmarks/trajectories.py --model DIR --pool POOL.jsonl [--num_examples 200] [--num_checkpoints 1]
        [--plain_examples N] [--precision float32] [--plain_precision float32] [--device cuda]

DIR holds a config.json and a tokenizer. The checkpoints are random weights of that shape. Both ways score the
same rows of the same checkpoints in one run, and their losses are compared. The floor is the work that must
be done at the rate of large matrix products: 2 x (parameters outside the embeddings) x tokens + 2 x hidden x
vocabulary x response tokens. The rate is measured between batches at least a second apart: a shared
machine's changes all the time, and a product that large drives a small model out of the caches.
"""

import argparse
import json
import math
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
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from utils.config.schema import DataConfig, ModelConfig, TrajectoriesConfig  # noqa: E402
from utils.data.batching import batch_widths, rows_of_all_lengths, token_budget_batches  # noqa: E402
from utils.data.pool import Pool  # noqa: E402
from utils.data.templates import alpaca_prompt  # noqa: E402
from utils.data.tokenization import shared_prefix, tokenize_pool  # noqa: E402
from utils.modeling.loading import load_checkpoint, load_tokenizer, pad_id_of  # noqa: E402
from utils.modeling.operations import matrix_rate, scoring_operations  # noqa: E402
from utils.modeling.precision import float32_products  # noqa: E402
from utils.modeling.scorer import Probe, ResponseScorer  # noqa: E402
from utils.process.memory import keep_freed_memory  # noqa: E402
from utils.scoring.batch_size import tokens_per_batch  # noqa: E402

MAX_LENGTH = 512
_LEAST_SECONDS = 5.0  # of passes over the pool


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--pool", required=True, type=Path)
    parser.add_argument("--num_examples", type=int, default=200)
    parser.add_argument("--num_checkpoints", type=int, default=1)
    parser.add_argument(
        "--plain_examples", type=int, help="of the plain loop, default: all; its time is scaled"
    )
    parser.add_argument("--precision", default="float32", choices=["float32", "tf32", "bfloat16"])
    parser.add_argument("--plain_precision", choices=["float32", "bfloat16"], help="default: as --precision")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)  # the plain way's own process
    arguments = parser.parse_args()
    if arguments.plain_precision is None:
        arguments.plain_precision = "bfloat16" if arguments.precision == "bfloat16" else "float32"
    arguments.plain_examples = arguments.plain_examples or arguments.num_examples
    if arguments.plain:
        return plain_process(arguments)
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))
    return 0


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    os.environ["S2L_RES_DIR"] = str(folder / "res")
    checkpoints = make_checkpoints(arguments, folder / "checkpoints")
    with float32_products(in_tf32=arguments.precision == "tf32"):
        ours = measure_ours(arguments, checkpoints[0])
    plain = [run_plain(arguments, checkpoint) for checkpoint in checkpoints]
    end_to_end, peak, losses = run_ours(arguments, folder, checkpoints)
    error = np.abs(losses[: arguments.plain_examples] - np.array(plain[0]["losses"], np.float32))
    plain_seconds = plain[0]["scoring_seconds"]
    floor = ours["work"] / ours["rate"]
    print(
        f"{arguments.num_examples} examples, {ours['tokens']:,} tokens, "
        f"{ours['response_tokens']:,} of them response"
    )
    print(f"{device_name(arguments.device)}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(
        f"ours in {arguments.precision}, plain in {arguments.plain_precision}; "
        f"matrix rate {ours['rate'] / 1e9:,.0f} GFLOP/s in {arguments.precision}; "
        f"floor {floor:.2f} s a checkpoint"
    )
    print(
        f"scoring one checkpoint: plain {plain_seconds:.2f} s, ours {ours['seconds']:.2f} s: "
        f"{plain_seconds / ours['seconds']:.2f} x the plain loop, {floor / ours['seconds']:.2f} of the floor"
    )
    total = sum(result["starting_seconds"] + result["scoring_seconds"] for result in plain)
    print(
        f"{len(checkpoints)} checkpoint(s) end to end: plain {total:.1f} s, ours {end_to_end:.1f} s: "
        f"{total / end_to_end:.2f} x; peak memory of ours {peak / 2**20:,.0f} MiB"
    )
    print(f"difference of the losses: largest {np.nanmax(error):.2g} nats, mean {np.nanmean(error):.2g}")


def device_name(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    models = (
        [line for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.is_file()
        else []
    )
    return models[0].split(":")[1].strip() if models else device


def make_checkpoints(arguments: argparse.Namespace, folder: Path) -> list[Path]:
    config = AutoConfig.from_pretrained(arguments.model)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    paths = []
    for step in range(1, arguments.num_checkpoints + 1):
        torch.manual_seed(step)
        path = folder / f"checkpoint-{step}"
        AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(path)
        tokenizer.save_pretrained(path)
        paths.append(path)
    return paths


def measure_ours(arguments: argparse.Namespace, checkpoint: Path) -> dict[str, Any]:
    """Scoring alone: model loaded, pool tokenized.

    A pass of a second or less is repeated, and the median taken: a virtual machine gives less to a process
    that has just begun to compute than what the plain loop gets later.
    """
    keep_freed_memory()
    model_config = ModelConfig(name_or_path=str(checkpoint))
    tokenizer = load_tokenizer(model_config)
    pool = Pool(DataConfig(path=str(arguments.pool), limit=arguments.num_examples))
    tokens = tokenize_pool(pool, tokenizer, "alpaca", MAX_LENGTH, False)
    dtype = torch.bfloat16 if arguments.precision == "bfloat16" else torch.float32
    model: Any = load_checkpoint(checkpoint, model_config, dtype)
    model = model.to(arguments.device)
    rows = tokens.scorable_rows
    probed = [tokens.row(row) for row in rows_of_all_lengths(rows, batch_widths(tokens)[rows])]
    probe = Probe(probed, shared_prefix(tokens, rows))
    scorer = ResponseScorer(model, pad_id_of(tokenizer), probe)
    budget = tokens_per_batch(
        TrajectoriesConfig(precision=arguments.precision), model.config, torch.device(arguments.device)
    )
    batches = token_budget_batches(rows, batch_widths(tokens)[rows], budget)
    rates: list[float] = []
    passes: list[float] = []
    while sum(passes) < _LEAST_SECONDS:
        seconds = 0.0
        measured = -math.inf
        for batch in batches:
            if seconds > measured + 1:
                measured = seconds
                rates.append(matrix_rate(model.device, dtype, tries=1))
            begun = time.perf_counter()
            scorer.score([tokens.row(row) for row in batch.tolist()]).losses_B.cpu()
            seconds += time.perf_counter() - begun
        passes.append(seconds)
    num_tokens = int(tokens.lengths[rows].sum())
    num_response = int(tokens.num_response_tokens.sum())
    return {
        "seconds": statistics.median(passes),
        "tokens": num_tokens,
        "response_tokens": num_response,
        "work": scoring_operations(model).of(num_tokens, num_response),
        "rate": statistics.harmonic_mean(rates),
    }


def run_plain(arguments: argparse.Namespace, checkpoint: Path) -> dict[str, Any]:
    command = [
        sys.executable,
        __file__,
        "--plain",
        checkpoint,
        "--model",
        arguments.model,
        "--pool",
        arguments.pool,
    ]
    command += ["--plain_examples", arguments.plain_examples, "--device", arguments.device]
    command += ["--plain_precision", arguments.plain_precision]
    begun = time.perf_counter()
    process = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    total = time.perf_counter() - begun
    answer = json.loads(process.stdout.splitlines()[-1])
    seconds = answer["scoring_seconds"]
    return {
        **answer,
        "scoring_seconds": seconds * arguments.num_examples / arguments.plain_examples,
        "starting_seconds": total - seconds,
    }


def plain_process(arguments: argparse.Namespace) -> int:
    """What people do now: for each row tokenize, run the model with labels, keep the loss."""
    tokenizer = AutoTokenizer.from_pretrained(arguments.plain)
    dtype = getattr(torch, arguments.plain_precision)
    model: Any = AutoModelForCausalLM.from_pretrained(arguments.plain, dtype=dtype).eval()
    model.to(arguments.device)
    pool = Pool(DataConfig(path=str(arguments.pool), limit=arguments.plain_examples))
    begun = time.perf_counter()
    losses = []
    with torch.no_grad():
        for example in pool:
            prompt = alpaca_prompt(example)
            encoded = tokenizer(prompt + example.response, return_offsets_mapping=True)
            ids = [*encoded["input_ids"], tokenizer.eos_token_id][:MAX_LENGTH]
            start = sum(end <= len(prompt) for _, end in encoded["offset_mapping"])
            input_ids = torch.tensor([ids], device=arguments.device)
            labels = input_ids.clone()
            labels[:, :start] = -100
            losses.append(model(input_ids=input_ids, labels=labels).loss.item())
    seconds = time.perf_counter() - begun
    print(json.dumps({"losses": losses, "scoring_seconds": seconds}))
    return 0


def run_ours(
    arguments: argparse.Namespace, folder: Path, checkpoints: list[Path]
) -> tuple[float, int, np.ndarray]:
    """The real command over all checkpoints, its processes, loading and tokenization included.

    Returns:
        Seconds, peak resident memory in bytes, and the losses of the first checkpoint.
    """
    config = {
        "run_name": "benchmark",
        "model": {"name_or_path": str(checkpoints[0])},
        "data": {
            "path": str(arguments.pool.resolve()),
            "limit": arguments.num_examples,
            "max_length": MAX_LENGTH,
        },
        "trajectories": {"precision": arguments.precision},
    }
    (folder / "benchmark.yml").write_text(yaml.safe_dump(config))
    command = [
        sys.executable,
        str(PROJECT / "run_distributed_trajectories.py"),
        "--config_file",
        "benchmark.yml",
    ]
    environment = {**os.environ, "S2L_RES_DIR": str(folder / "res_end_to_end")}
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--model_path", str(checkpoints[0].parent)],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    if status:
        raise SystemExit(f"run_distributed_trajectories.py ended with {os.waitstatus_to_exitcode(status)}")
    return (
        seconds,
        usage.ru_maxrss * 1024,
        np.load(folder / "res_end_to_end/benchmark/trajectories/checkpoint-1.npy"),
    )


if __name__ == "__main__":
    sys.exit(main())
