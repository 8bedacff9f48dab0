"""Loss trajectories against the plain way: one example at a time, a fresh process and tokenization per checkpoint.

    python benchmarks/trajectories.py --model DIR --pool POOL.jsonl [--num_examples 200] [--num_checkpoints 1]
        [--precision float32] [--device cuda]

DIR holds a config.json and a tokenizer; the checkpoints are random weights of that shape. Both ways score the same rows
of the same checkpoints in one run, and their losses are compared. The floor is the work that must be done, 2 x
(parameters outside the embeddings) x tokens + 2 x hidden x vocabulary x response tokens, at the measured matrix rate.
"""

import argparse
import json
import os
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
from utils.data.batching import scoring_lengths, shortest_middle_longest, token_budget_batches  # noqa: E402
from utils.data.pool import Pool  # noqa: E402
from utils.data.templates import alpaca_prompt  # noqa: E402
from utils.data.tokenization import tokenize_pool  # noqa: E402
from utils.modeling.cpu_memory import keep_freed_memory  # noqa: E402
from utils.modeling.loading import load_checkpoint, load_tokenizer, pad_id_of  # noqa: E402
from utils.modeling.responses import ResponseScorer, shared_prefix  # noqa: E402
from utils.scoring.workers import tokens_per_batch  # noqa: E402

MAX_LENGTH = 512


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--pool", required=True, type=Path)
    parser.add_argument("--num_examples", type=int, default=200)
    parser.add_argument("--num_checkpoints", type=int, default=1)
    parser.add_argument("--precision", default="float32", choices=["float32", "tf32", "bfloat16"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)  # the plain way's own process
    arguments = parser.parse_args()
    if arguments.plain:
        return plain_process(arguments)
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))
    return 0


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    os.environ["S2L_RES_DIR"] = str(folder / "res")
    checkpoints = make_checkpoints(arguments, folder / "checkpoints")
    ours = measure_ours(arguments, checkpoints[0])
    plain = [run_plain(arguments, checkpoint) for checkpoint in checkpoints]
    end_to_end, losses = run_ours(arguments, folder, checkpoints)
    difference = float(np.nanmax(np.abs(losses - np.array(plain[0]["losses"], np.float32))))
    plain_seconds, floor = plain[0]["scoring_seconds"], ours["work"] / ours["rate"]
    print(
        f"{arguments.num_examples} examples, {ours['tokens']:,} tokens, {ours['response_tokens']:,} of them response;"
    )
    print(f"{arguments.device}, {arguments.precision}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"matrix rate {ours['rate'] / 1e9:,.0f} GFLOP/s at {arguments.precision}; floor {floor:.2f} s a checkpoint")
    print(
        f"scoring one checkpoint: plain {plain_seconds:.2f} s, ours {ours['seconds']:.2f} s: "
        f"{plain_seconds / ours['seconds']:.2f} x the plain loop, {floor / ours['seconds']:.2f} of the floor"
    )
    total = sum(result["total_seconds"] for result in plain)
    print(
        f"{len(checkpoints)} checkpoint(s) end to end: plain {total:.1f} s, ours {end_to_end:.1f} s: {total / end_to_end:.2f} x"
    )
    print(f"largest difference of a loss: {difference:.2g} nats (plain loop in float32)")


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
    """Scoring alone: model loaded, pool tokenized."""
    keep_freed_memory()
    model_config = ModelConfig(name_or_path=str(checkpoint))
    tokenizer = load_tokenizer(model_config)
    pool = Pool(DataConfig(path=str(arguments.pool), limit=arguments.num_examples))
    tokens = tokenize_pool(pool, tokenizer, "alpaca", MAX_LENGTH, False)
    dtype = torch.bfloat16 if arguments.precision == "bfloat16" else torch.float32
    torch.backends.cuda.matmul.allow_tf32 = arguments.precision == "tf32"
    model: Any = load_checkpoint(checkpoint, model_config, dtype)
    model = model.to(arguments.device)
    rows = np.flatnonzero(tokens.num_response_tokens > 0)
    probe = [tokens.row(row) for row in shortest_middle_longest(rows, scoring_lengths(tokens)[rows])]
    scorer = ResponseScorer(model, pad_id_of(tokenizer), probe, shared_prefix(tokens.row(row) for row in rows.tolist()))
    budget = tokens_per_batch(TrajectoriesConfig(), model.config, torch.device(arguments.device))
    batches = token_budget_batches(rows, scoring_lengths(tokens)[rows], budget)
    begun = time.perf_counter()
    for batch in batches:
        scorer.score([tokens.row(row) for row in batch.tolist()])
    seconds = time.perf_counter() - begun
    num_tokens, num_response = int(tokens.lengths[rows].sum()), int(tokens.num_response_tokens.sum())
    outside = sum(p.numel() for p in model.parameters())
    outside -= model.get_input_embeddings().weight.numel() + model.get_output_embeddings().weight.numel()
    vocabulary, hidden = model.get_output_embeddings().weight.shape
    return {
        "seconds": seconds,
        "tokens": num_tokens,
        "response_tokens": num_response,
        "work": 2 * outside * num_tokens + 2 * hidden * vocabulary * num_response,
        "rate": matrix_rate(torch.device(arguments.device), dtype),
    }


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large matrix product, the best of several tries."""
    size = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        begun = time.perf_counter()
        torch.mm(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best


def run_plain(arguments: argparse.Namespace, checkpoint: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--plain", checkpoint, "--model", arguments.model, "--pool", arguments.pool]
    command += ["--num_examples", arguments.num_examples, "--device", arguments.device]
    begun = time.perf_counter()
    answer = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    return {**json.loads(answer.stdout.splitlines()[-1]), "total_seconds": time.perf_counter() - begun}


def plain_process(arguments: argparse.Namespace) -> int:
    """What people do now: for each row tokenize, run the model with labels, keep the loss."""
    tokenizer = AutoTokenizer.from_pretrained(arguments.plain)
    model: Any = AutoModelForCausalLM.from_pretrained(arguments.plain, dtype=torch.float32).eval()
    model.to(arguments.device)
    pool = Pool(DataConfig(path=str(arguments.pool), limit=arguments.num_examples))
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


def run_ours(arguments: argparse.Namespace, folder: Path, checkpoints: list[Path]) -> tuple[float, np.ndarray]:
    """Seconds of the real command over all checkpoints, its processes, loading and tokenization included; the losses of
    the first."""
    config = {
        "run_name": "benchmark",
        "model": {"name_or_path": str(checkpoints[0])},
        "data": {"path": str(arguments.pool.resolve()), "limit": arguments.num_examples, "max_length": MAX_LENGTH},
        "trajectories": {"precision": arguments.precision},
    }
    (folder / "benchmark.yml").write_text(yaml.safe_dump(config))
    command = [sys.executable, str(PROJECT / "run_distributed_trajectories.py"), "--config_file", "benchmark.yml"]
    environment = {**os.environ, "S2L_RES_DIR": str(folder / "res_end_to_end")}
    begun = time.perf_counter()
    subprocess.run(
        [*command, "--model_path", str(checkpoints[0].parent)],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
    )
    seconds = time.perf_counter() - begun
    return seconds, np.load(folder / "res_end_to_end/benchmark/trajectories/checkpoint-1.npy")


if __name__ == "__main__":
    sys.exit(main())
