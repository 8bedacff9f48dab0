"""Training: its result follows from the config, not from devices, batch shapes or restarts."""

import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

import get_trajectories
import run_distributed_trajectories
import train
from tests.conftest import (
    ARCHITECTURES,
    PROJECT,
    plain_losses,
    pool_rows,
    processes_with,
    run_here,
    run_script,
    write_jsonl,
)
from tests.modeling.test_model_families import tiny_architecture
from utils.artifacts.paths import step_of
from utils.config.counts import scheduled_steps
from utils.config.load import load_config
from utils.config.schema import CheckpointsConfig, DataConfig, ModelConfig
from utils.data.pool import Pool
from utils.data.tokenization import tokenize_pool
from utils.modeling.loading import load_base_model, load_tokenizer
from utils.process.lifetime import INTERRUPTED
from utils.training import order as order_of_rows
from utils.training.order import FILLER, GlobalBatchOrder, TrainingRows, choose_num_micro_batches, deal
from utils.training.settings import plan_batches

SECONDS_TO_END = 10.0


def metrics(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in metrics(run)]


def weights(checkpoint: Path) -> dict[str, np.ndarray]:
    adapter = checkpoint / "adapter_model.safetensors"
    return load_file(adapter if adapter.exists() else checkpoint / "model.safetensors")


def assert_same_weights(one: Path, other: Path, tolerance: float) -> None:
    first = weights(one)
    second = weights(other)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(first[name], second[name], atol=tolerance, err_msg=name)


@given(
    num_rows=st.integers(1, 60),
    global_batch=st.integers(1, 20),
    devices=st.integers(1, 5),
    per_device=st.integers(1, 9),
    strategy=st.sampled_from(["random", "group_by_length", "sequential"]),
    epoch=st.integers(0, 3),
)
def test_each_optimizer_step_takes_the_same_examples_on_any_devices(
    num_rows, global_batch, devices, per_device, strategy, epoch
):
    lengths = np.arange(num_rows) % 7
    plan = plan_batches(global_batch, devices, per_device)
    assert plan.per_device <= per_device and plan.per_device * plan.micro_batches >= global_batch
    order = GlobalBatchOrder(lengths, global_batch, plan.micro_batches, strategy, seed=3)
    order.epoch = epoch
    dealt = list(order)
    assert len(dealt) == len(order) == order.steps_per_epoch * plan.micro_batches
    positions = order.positions(epoch)
    for step in range(order.steps_per_epoch):
        of_step = dealt[step * plan.micro_batches : (step + 1) * plan.micro_batches]
        rows = [row for micro_batch in of_step for row in micro_batch if row != FILLER]
        assert sorted(rows) == sorted(positions[step * global_batch : (step + 1) * global_batch])
    assert sorted(positions) == list(range(num_rows)), "an epoch is every row once"


@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=12), count=st.integers(1, 5))
def test_rows_are_dealt_so_that_no_micro_batch_could_be_smaller(lengths, count):
    def largest(micro_batches):
        return max(
            max((max(lengths[row], 1) for row in rows), default=0) * len(rows) for rows in micro_batches
        )

    dealt = deal(np.array(lengths), count)
    assert len(dealt) == count and sorted(row for rows in dealt for row in rows) == list(range(len(lengths)))
    by_length = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    cuts = itertools.combinations_with_replacement(range(len(lengths) + 1), count - 1)
    parts = ([by_length[a:b] for a, b in itertools.pairwise([0, *cut, len(lengths)])] for cut in cuts)
    assert largest(dealt) == min(map(largest, parts))
    most_rows = -(-len(lengths) // count)
    assert largest(dealt) <= most_rows * max(*lengths, 1)


@given(
    lengths=st.lists(st.integers(1, 500), min_size=1, max_size=40),
    global_batch=st.integers(1, 32),
    fewest=st.integers(1, 8),
)
def test_more_micro_batches_are_taken_only_where_rows_differ_in_length(lengths, global_batch, fewest):
    lengths = np.array(lengths)
    count = choose_num_micro_batches(lengths, global_batch, fewest, on_gpu=False)
    assert count == fewest or (count <= global_batch and math.log2(count / fewest).is_integer())
    assert choose_num_micro_batches(np.full(40, 300), global_batch, fewest, on_gpu=False) == fewest


def test_short_rows_beside_long_ones_are_dealt_to_micro_batches_of_their_own():
    lengths = np.array([20, 500] * 50)
    assert choose_num_micro_batches(lengths, 32, 1, on_gpu=False) == 4
    assert choose_num_micro_batches(lengths, 32, 1, on_gpu=True) == 1


def test_another_epoch_or_seed_is_another_order():
    def positions(seed, epoch):
        return GlobalBatchOrder(np.ones(50), 8, 8, "random", seed).positions(epoch).tolist()

    assert positions(0, 0) == positions(0, 0)
    assert positions(0, 0) != positions(0, 1) and positions(0, 0) != positions(1, 0)


@given(count=st.integers(1, 40), total=st.integers(1, 500))
def test_counted_checkpoints_are_evenly_spaced_and_end_at_the_last_step(count, total):
    if count > total:
        with pytest.raises(ValueError, match="at most"):
            scheduled_steps(CheckpointsConfig(count=count), total)
        return
    steps = scheduled_steps(CheckpointsConfig(count=count), total)
    assert len(set(steps)) == count and steps[-1] == total
    assert max(np.diff([0, *steps])) - min(np.diff([0, *steps])) <= 1


@pytest.mark.parametrize("family", ["gpt_neox", "t5"])
def test_training_is_the_same_however_the_rows_of_a_step_are_dealt(make_config, res_dir, family, monkeypatch):
    config = make_config("by_length", family, num_rows=40, global_batch_size=16)
    assert run_here(train, "--config_file", config, "train_args.per_device_train_batch_size=4") == 0
    monkeypatch.setattr(
        order_of_rows, "deal", lambda lengths, count: np.array_split(np.arange(len(lengths)), count)
    )
    words = ("run_name=in_turn", "train_args.per_device_train_batch_size=4")
    assert run_here(train, "--config_file", config, *words) == 0
    np.testing.assert_allclose(losses(res_dir / "by_length"), losses(res_dir / "in_turn"), atol=1e-5)
    (last,) = {path.name for path in (res_dir / "by_length").glob("checkpoint-6*")}
    assert_same_weights(res_dir / "by_length" / last, res_dir / "in_turn" / last, 1e-4)


@pytest.mark.parametrize("family", ["gpt_neox", "t5"])
def test_batch_shape_does_not_change_training(make_config, res_dir, family):
    """8 x 1 against 2 x 4: the loss is normalised over the tokens of the global batch for every family."""
    config = make_config("wide", family, num_rows=40, global_batch_size=8)
    assert train.main(["--config_file", str(config), "train_args.per_device_train_batch_size=8"]) == 0
    assert (
        train.main(
            ["--config_file", str(config), "run_name=narrow", "train_args.per_device_train_batch_size=2"]
        )
        == 0
    )
    np.testing.assert_allclose(losses(res_dir / "wide"), losses(res_dir / "narrow"), atol=1e-5)
    assert_same_weights(res_dir / "wide/checkpoint-10", res_dir / "narrow/checkpoint-10", 1e-4)


@pytest.mark.parametrize("family", ["gpt_neox", "t5"])
def test_one_and_two_processes_train_the_same(make_config, res_dir, family):
    config = make_config("one", family)  # 90 rows in batches of 16: the last step of an epoch has 10
    assert train.main(["--config_file", str(config)]) == 0
    run_script("train.py", "--config_file", config, "run_name=two", torchrun=2)
    assert len(losses(res_dir / "one")) == 12
    np.testing.assert_allclose(losses(res_dir / "one"), losses(res_dir / "two"), atol=1e-5)
    assert_same_weights(res_dir / "one/checkpoint-12", res_dir / "two/checkpoint-12", 1e-4)


def test_two_processes_train_a_model_whose_vision_tower_no_row_reaches(make_config, res_dir):
    model = {"architecture": tiny_architecture("gemma3")}
    config = make_config("one", model=model, num_rows=64, train_args={"num_train_epochs": 1})
    assert run_here(train, "--config_file", config) == 0
    run_script("train.py", "--config_file", config, "run_name=two", torchrun=2)
    np.testing.assert_allclose(losses(res_dir / "one"), losses(res_dir / "two"), atol=1e-5)


def test_a_filler_is_a_token_of_a_row_and_has_no_label(make_config, res_dir):
    """gemma3n's norm of the embedding of zeros that padding has gives gradients that are no numbers."""
    config, _ = load_config(make_config("run", num_rows=12))
    tokens = tokenize_pool(
        Pool(config.data_section), load_tokenizer(config.model_section), "alpaca", 160, False
    )
    (filler,) = TrainingRows(tokens, np.array([3, 4]))[(FILLER,)]
    assert filler.ids.tolist() == tokens.row(3).ids[:1].tolist() and not filler.is_response.any()


@pytest.mark.slow
def test_accelerate_launch_trains_the_same(make_config, res_dir, tmp_path):
    """With --multi_gpu it starts two processes, which need no GPU, with --cpu one, whatever it is told."""
    config = make_config("plain", num_rows=30)
    assert run_here(train, "--config_file", config) == 0
    for name, flags in (("two", ("--multi_gpu", "--main_process_port", "0")), ("one", ("--cpu",))):
        launch = ("-m", "accelerate.commands.launch", "--num_processes", "2", *flags)
        # A home without a configuration of accelerate.
        words = ("train.py", "--config_file", config, f"run_name={name}")
        run_script(*launch, *words, HF_HOME=str(tmp_path / "home"))
        np.testing.assert_allclose(losses(res_dir / "plain"), losses(res_dir / name), atol=1e-5)


@pytest.fixture
def make_lora(make_config, tmp_path, tokenizer_dir) -> Callable[..., Path]:
    """The YAML of a run that adapts a saved model."""

    def make(run_name: str, **settings: Any) -> Path:
        origin = ModelConfig(architecture=ARCHITECTURES["llama"], tokenizer=str(tokenizer_dir))
        tokenizer = load_tokenizer(origin)
        load_base_model(origin, tokenizer, seed=0).save_pretrained(tmp_path / "base")
        tokenizer.save_pretrained(tmp_path / "base")
        lora = {"r": 4, **settings.pop("lora", {})}
        model = {
            "architecture": None,
            "tokenizer": None,
            "name_or_path": str(tmp_path / "base"),
            "lora": lora,
        }
        return make_config(run_name, model=model, **settings)

    return make


def test_a_run_gives_the_same_bits_each_time_with_dropout(make_config, res_dir):
    dropout = {"architecture": {**ARCHITECTURES["gpt_neox"], "attention_dropout": 0.1, "hidden_dropout": 0.1}}
    config = make_config("first", model=dropout, num_rows=40)
    torch.manual_seed(time.time_ns())  # what a process drew before is no part of the run
    assert train.main(["--config_file", str(config)]) == 0
    run_script("train.py", "--config_file", config, "run_name=second")
    assert losses(res_dir / "first") == losses(res_dir / "second")
    assert_same_weights(res_dir / "first/checkpoint-6", res_dir / "second/checkpoint-6", 0)
    assert train.main(["--config_file", str(config), "run_name=other", "seed=1"]) == 0
    assert losses(res_dir / "first") != losses(res_dir / "other")


def test_an_adapter_gives_the_same_bits_each_time_and_after_a_kill_before_the_first_checkpoint(
    make_lora, res_dir
):
    config = make_lora("first", lora={"dropout": 0.1}, checkpoints={"count": None, "steps": [1, 12]})
    torch.manual_seed(time.time_ns())
    assert train.main(["--config_file", str(config)]) == 0
    command = [sys.executable, "train.py", "--config_file", str(config), "run_name=second"]
    kill_once_there(command, res_dir / "second/manifest.json")  # written once the model is loaded
    assert not (res_dir / "second/checkpoint-12").exists()
    assert run_here(train, *command[2:]) == 0
    assert losses(res_dir / "first") == losses(res_dir / "second")
    for step in (1, 12):
        assert_same_weights(res_dir / f"first/checkpoint-{step}", res_dir / f"second/checkpoint-{step}", 0)


def test_one_and_two_processes_train_the_same_adapter(make_lora, res_dir):
    config = make_lora("one")
    assert train.main(["--config_file", str(config)]) == 0
    run_script("train.py", "--config_file", config, "run_name=two", torchrun=2)
    np.testing.assert_allclose(losses(res_dir / "one"), losses(res_dir / "two"), atol=1e-5)
    assert_same_weights(res_dir / "one/checkpoint-12", res_dir / "two/checkpoint-12", 1e-4)


def started_until_there(command: list[str], path: Path) -> subprocess.Popen[str]:
    """Start a command in its own process group and wait until `path` exists."""
    process = subprocess.Popen(
        command,
        cwd=PROJECT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, f"{command} ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def kill_once_there(command: list[str], path: Path) -> None:
    """SIGKILL the command and its process group as soon as `path` exists."""
    process = started_until_there(command, path)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def under_torchrun(*words: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *words]


def test_killed_training_ends_in_the_weights_of_an_uninterrupted_one(make_config, res_dir):
    config = make_config("whole", train_args={"num_train_epochs": 6}, checkpoints={"count": 9})
    assert run_here(train, "--config_file", config) == 0
    command = [sys.executable, "train.py", "--config_file", str(config), "run_name=killed"]
    kill_once_there(command, res_dir / "killed/checkpoint-8")
    assert not (res_dir / "killed/checkpoint-36").exists()
    assert run_here(train, *command[2:]) == 0
    steps = [line["step"] for line in metrics(res_dir / "killed")]
    assert steps == list(range(1, 37)), "no step is lost or logged twice"
    assert losses(res_dir / "killed") == losses(res_dir / "whole")
    for step in (12, 36):
        assert_same_weights(res_dir / f"whole/checkpoint-{step}", res_dir / f"killed/checkpoint-{step}", 0)
    assert not (res_dir / "killed/checkpoint-4/optimizer.pt").exists(), "optimizer state only in the newest"
    assert (res_dir / "killed/checkpoint-36/optimizer.pt").exists()


def test_one_process_continues_what_two_began(make_config, res_dir):
    config = make_config("whole", train_args={"num_train_epochs": 6}, checkpoints={"count": 9})
    assert run_here(train, "--config_file", config) == 0
    script = ["train.py", "--config_file", str(config), "run_name=killed"]
    # torchrun puts its workers into sessions of their own, which the kill does not reach.
    kill_once_there(under_torchrun(*script), res_dir / "killed/checkpoint-8")
    assert_all_end(config)
    assert run_here(train, *script[1:]) == 0
    np.testing.assert_allclose(losses(res_dir / "killed"), losses(res_dir / "whole"), atol=1e-4)
    assert_same_weights(res_dir / "whole/checkpoint-36", res_dir / "killed/checkpoint-36", 1e-4)


def assert_all_end(config: Path) -> None:
    """No process with this config outlives a few seconds."""
    deadline = time.monotonic() + SECONDS_TO_END
    while processes_with(config):
        assert time.monotonic() < deadline, "an orphan goes on"
        time.sleep(0.05)


def test_interrupted_training_ends_at_once_and_continues(make_config, res_dir):
    """A scheduler ends one process, a terminal the group, and torchrun its workers."""
    config = make_config("whole", train_args={"num_train_epochs": 20}, checkpoints={"count": 40})
    script = ["train.py", "--config_file", str(config), "run_name=stopped"]
    alone = [sys.executable, *script]
    launches = ((3, alone, signal.SIGTERM), (6, under_torchrun(*script), signal.SIGINT))
    for step, command, number in launches:
        process = started_until_there(command, res_dir / f"stopped/checkpoint-{step}")
        begun = time.monotonic()
        os.killpg(process.pid, number)
        output, _ = process.communicate(timeout=60)
        assert time.monotonic() - begun < SECONDS_TO_END, output
        assert_all_end(config)
        assert process.returncode != 0
        if command is alone:
            assert process.returncode == 130 and output.endswith(f"{INTERRUPTED}\n"), output
            assert "Traceback" not in output
    saved = sorted(step for path in (res_dir / "stopped").iterdir() if (step := step_of(path)) is not None)
    assert 6 <= max(saved) < 120, "each was interrupted half way"


def test_two_folders_of_one_step_are_refused_by_name(make_config, res_dir, capsys):
    config = make_config("twice", num_rows=20, checkpoints={"count": 1})
    assert run_here(train, "--config_file", config) == 0
    (checkpoint,) = (res_dir / "twice").glob("checkpoint-*")
    step = checkpoint.name.removeprefix("checkpoint-")
    shutil.copytree(checkpoint, checkpoint.with_name(f"checkpoint-0{step}"))
    for script in (train, run_distributed_trajectories):
        capsys.readouterr()
        assert run_here(script, "--config_file", config) == 1
        assert f"found checkpoint-0{step} and checkpoint-{step}" in capsys.readouterr().err


def test_step_without_any_label_changes_no_weight(make_config, res_dir, tmp_path):
    rows = pool_rows(32)
    for row in rows[8:16]:  # the whole second batch loses its response to the length
        row["instruction"] = "x " * 300
    write_jsonl(tmp_path / "pool.jsonl", rows)
    config = make_config(
        "run", global_batch_size=8, checkpoints={"count": None, "steps": [1, 2, 3]},
        train_args={"train_sampling_strategy": "sequential", "num_train_epochs": 1, "weight_decay": 0.1},
    )  # fmt: skip
    assert train.main(["--config_file", str(config)]) == 0
    assert_same_weights(res_dir / "run/checkpoint-1", res_dir / "run/checkpoint-2", 0)
    assert not np.array_equal(
        weights(res_dir / "run/checkpoint-2")["gpt_neox.final_layer_norm.weight"],
        weights(res_dir / "run/checkpoint-3")["gpt_neox.final_layer_norm.weight"],
    )


def test_other_inputs_in_the_same_folder_are_refused_and_named(make_config, capsys):
    config = make_config("run", num_rows=20)
    assert train.main(["--config_file", str(config)]) == 0
    assert train.main(["--config_file", str(config), "train_args.learning_rate=1e-4"]) == 1
    message = capsys.readouterr().err
    assert "train_args" in message and "seed" not in message and "--overwrite" in message
    assert train.main(["--config_file", str(config), "train_args.logging_steps=2"]) == 0, (
        "execution only: same run"
    )


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train_args.learning_rat=1", "learning_rate"),
        ("train_args.gradient_accumulation_steps=2", "global_batch_size"),
        ("train_args.save_steps=10", "checkpoints"),
        ("train_args.tf32=true", "train_args.tf32=false"),
        ("checkpoints.count=500", "at most"),
        ("data.max_length=10", "raise it"),
        ("model.architecture.model_type=gpt_noex", "gpt_noex"),
    ],
)
def test_wrong_settings_fail_before_training(make_config, res_dir, capsys, override, expected):
    config = make_config("run", num_rows=20)
    assert train.main(["--config_file", str(config), override]) == 1
    assert expected in capsys.readouterr().err
    assert not (res_dir / "run").exists(), "nothing is written for a run that cannot start"


def test_training_that_diverges_stops_with_its_step(make_config, capsys):
    config = make_config("run", num_rows=40, train_args={"learning_rate": 1e30, "max_grad_norm": 0})
    assert train.main(["--config_file", str(config)]) == 1
    assert "step" in capsys.readouterr().err


def test_dry_run_writes_nothing(make_config, res_dir, capsys):
    config = make_config("run", num_rows=20)
    assert train.main(["--config_file", str(config), "--dry_run"]) == 0
    assert "optimizer steps" in capsys.readouterr().out
    assert not (res_dir / "run").exists()


def test_lora_trains_an_adapter_that_is_scored_merged(make_config, res_dir):
    """The whole way: a saved base model, an adapter trained on it, losses of base + adapter."""
    from peft import AutoPeftModelForCausalLM

    base = make_config("base", num_rows=40, checkpoints={"count": 1})
    assert train.main(["--config_file", str(base)]) == 0
    folder = str(res_dir / "base/checkpoint-6")
    lora = make_config(
        "lora", model={"architecture": None, "tokenizer": None, "name_or_path": folder, "lora": {"r": 4}}
    )
    assert train.main(["--config_file", str(lora)]) == 0
    assert (res_dir / "lora/checkpoint-6/adapter_model.safetensors").is_file()
    assert get_trajectories.main(["--config_file", str(lora), "--ckpt", "6"]) == 0
    merged = AutoPeftModelForCausalLM.from_pretrained(res_dir / "lora/checkpoint-6").eval()
    pool = Pool(DataConfig(path=str(lora.parent / "pool.jsonl")))
    tokens = tokenize_pool(pool, load_tokenizer(ModelConfig(name_or_path=folder)), "alpaca", 160, False)
    scored = np.load(res_dir / "lora/trajectories/checkpoint-6.npy")
    np.testing.assert_allclose(scored, plain_losses(merged, tokens), atol=1e-4)


def test_overwriting_one_checkpoint_keeps_the_losses_of_the_others(make_config, res_dir):
    config = make_config("proxy", num_rows=20)
    assert train.main(["--config_file", str(config)]) == 0
    for ckpt in ("1", "3", "4"):
        assert get_trajectories.main(["--config_file", str(config), "--ckpt", ckpt]) == 0
    kept = (res_dir / "proxy/trajectories/checkpoint-4.npy").stat().st_mtime_ns
    assert get_trajectories.main(["--config_file", str(config), "--ckpt", "1", "--overwrite"]) == 0
    assert (res_dir / "proxy/trajectories/checkpoint-4.npy").stat().st_mtime_ns == kept
    changed = ["--config_file", str(config), "--ckpt", "1", "data.max_length=150"]
    assert get_trajectories.main(changed) == 1
    assert get_trajectories.main([*changed, "--overwrite"]) == 0
    assert [path.name for path in (res_dir / "proxy/trajectories").glob("checkpoint-*.npy")] == [
        "checkpoint-1.npy"
    ]
