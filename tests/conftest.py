"""Tiny real things for the tests: a pool of word problems, a tokenizer trained on it, many architectures."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

# Two test processes of two threads each would fight for the cores of a small machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import hypothesis
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck

# A slow machine, or one on which hypothesis draws its first text, is no fault of a test.
hypothesis.settings.register_profile(
    "s2l", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
hypothesis.settings.load_profile("s2l")

PROJECT = Path(__file__).resolve().parents[1]

LLAMA_LIKE = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "gpt_neox": {
        **{key: value for key, value in LLAMA_LIKE.items() if key != "num_key_value_heads"},
        "model_type": "gpt_neox",
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
    },
    "t5": {
        "model_type": "t5",
        "vocab_size": 300,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 4,
        "dropout_rate": 0.0,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
    },
    "llama": {**LLAMA_LIKE, "model_type": "llama"},
    "phi3": {**LLAMA_LIKE, "model_type": "phi3", "pad_token_id": 0},
    "qwen2": {**LLAMA_LIKE, "model_type": "qwen2"},
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": 300,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 512,
    },
    # Soft-capped logits, and a window shorter than most rows in every other layer.
    "gemma2": {
        **LLAMA_LIKE,
        "model_type": "gemma2",
        "head_dim": 8,
        "sliding_window": 24,
        "final_logit_softcapping": 2.0,
        "query_pre_attn_scalar": 8,
    },
    # Scaled logits.
    "granite": {**LLAMA_LIKE, "model_type": "granite", "logits_scaling": 4.0},
}

# (method, preset) of the selection methods that take rows in a seeded random order.
SEEDED_METHODS = [("random", "paper"), ("random_per_source", "paper"), ("s2l", "released"), ("s2l", "paper")]


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def pool_rows(num_rows: int, seed: int = 0) -> list[dict[str, str]]:
    from utils.data.synthetic import make_rows

    return make_rows(num_rows, 0, seed)[0]


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pytest_configure(config: pytest.Config) -> None:
    """All tests but those marked gpu run on the CPU, on a machine with GPUs too: the same everywhere."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU, and `make test-gpu`")


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE of 300 tokens with an end-of-sequence token (id 0)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((row["instruction"] + row["output"] for row in pool_rows(200)), trainer)
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def chat_tokenizer_dir(tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with `CHATML`, and the tokens that it writes."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_dir)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    folder = tmp_path_factory.mktemp("chat_tokenizer")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def sandbox() -> None:
    """Where a machine cannot shut programs in, only the refusal could be tested: skipped, but not on CI."""
    from utils.sandbox.run import run_program

    try:
        run_program("")
    except ValueError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture
def res_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("S2L_RES_DIR", str(tmp_path / "res"))
    return tmp_path / "res"


@pytest.fixture
def make_config(tmp_path: Path, res_dir: Path, tokenizer_dir: Path) -> Callable[..., Path]:
    """Writes a pool and the YAML of a tiny run on it: make_config("proxy", family="t5", seed=3) -> path."""

    def make(run_name: str, family: str = "gpt_neox", num_rows: int = 90, **settings: Any) -> Path:
        pool = tmp_path / "pool.jsonl"
        if not pool.exists():
            write_jsonl(pool, pool_rows(num_rows))
        values: dict[str, Any] = {
            "run_name": run_name,
            "model": {"architecture": ARCHITECTURES[family], "tokenizer": str(tokenizer_dir)},
            "data": {"path": str(pool), "max_length": 160},
            "global_batch_size": 16,
            "checkpoints": {"count": 3},
            "train_args": {"num_train_epochs": 2, "learning_rate": 1e-3, "per_device_train_batch_size": 4},
        }
        for key, value in settings.items():
            values[key] = {**values[key], **value} if isinstance(values.get(key), dict) else value
        path = tmp_path / f"{run_name}.yml"
        path.write_text(yaml.safe_dump(values))
        return path

    return make


@pytest.fixture
def make_target(tmp_path: Path, res_dir: Path) -> Callable[..., Path]:
    """Writes a pool, its losses and the YAML of a run that chooses by them.

    make_target(rows, losses_NT, budget=80, ...) -> path, with pool.jsonl and losses.npy beside it.
    """

    def make(rows: list[dict[str, Any]], losses_NT: np.ndarray, **subset: Any) -> Path:
        np.save(tmp_path / "losses.npy", losses_NT.astype(np.float32))
        values = {
            "run_name": "target",
            "data": {"path": str(write_jsonl(tmp_path / "pool.jsonl", rows))},
            "subset": {"trajectories_from": str(tmp_path / "losses.npy"), **subset},
        }
        path = tmp_path / "target.yml"
        path.write_text(yaml.safe_dump(values))
        return path

    return make


def in_one_line(text: str) -> str:
    """Terminal text without its line breaks, for tests that look for several words of it."""
    return " ".join(text.split())


def run_here(script: ModuleType, *words: str | Path) -> int:
    """The exit code of a script of the project, run in this process.

    Starting a process takes longer than the work of most tests.
    """
    return script.main([str(word) for word in words])


def run_script(
    *words: str | Path, check: bool = True, torchrun: int = 0, **environment: str
) -> subprocess.CompletedProcess:
    """Run a script of the project as a user would, in a process of its own (or several under torchrun)."""
    launcher = []
    if torchrun:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={torchrun}"]
    command = [sys.executable, *launcher, *map(str, words)]
    answer = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, env={**os.environ, **environment}, timeout=300
    )
    assert not check or answer.returncode == 0, f"{command}\n{answer.stdout}\n{answer.stderr}"
    return answer


def processes_with(word: str | Path) -> set[int]:
    """Ids of all processes but this one that have a word on their command lines and are not dead yet."""
    processes = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if int(folder.name) != os.getpid() and str(word).encode() in words and state != "Z":
                processes.add(int(folder.name))
    return processes


def plain_losses(model: Any, tokens: Any) -> np.ndarray:
    """The losses that others are compared with: one example at a time, through the model's own loss."""
    import torch

    losses = []
    for row in range(len(tokens)):
        encoded = tokens.row(row)
        ids, start = torch.tensor(encoded.ids)[None], encoded.start
        with torch.no_grad():
            if tokens.is_encoder_decoder:
                loss = model(input_ids=ids[:, :start], labels=ids[:, start:]).loss
            else:
                labels = ids.masked_fill(~torch.tensor(encoded.is_response)[None], -100)
                loss = model(input_ids=ids, labels=labels).loss
        losses.append(loss.item() if tokens.num_response_tokens[row] else np.nan)
    return np.array(losses)


def memory_of_reading(path: Path, res_dir: Path, num_rows: int) -> int:
    """kB by which a process grows that opens this pool, after a look at its number of rows."""
    code = (
        "import resource; from utils.config.schema import DataConfig; from utils.data.pool import Pool\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"assert len(Pool(DataConfig(path={str(path)!r}))) == {num_rows}\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    environment = {"S2L_RES_DIR": str(res_dir), "PATH": ""}
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, env=environment
    )
    assert said.returncode == 0, said.stderr
    return int(said.stdout)
