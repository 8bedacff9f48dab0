"""Validation rows are scored beside the pool, at the same checkpoints, and leave its losses as they are."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import get_trajectories
import run_distributed_trajectories
import select_s2l
import train
from tests.conftest import pool_rows, run_here, run_script, write_jsonl


@pytest.fixture
def aim(tmp_path: Path) -> Path:
    """Rows like those of the pool, and two of the pool itself."""
    return write_jsonl(tmp_path / "aim.jsonl", [*pool_rows(12, seed=5), *pool_rows(90)[:2]])


def losses_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("checkpoint-*.npy")}


def test_the_pool_is_scored_as_without_and_validation_rows_as_a_pool_of_their_own(
    make_config, res_dir, aim, capfd
):
    config = make_config("proxy", checkpoints={"count": 4}, trajectories={"examples_per_unit": 10})
    assert run_here(train, "--config_file", config) == 0
    capfd.readouterr()
    assert run_here(train, "--config_file", config, "--dry_run") == 0
    assert "time        none: it is there already" in capfd.readouterr().out
    words = ("--config_file", config, "--model_path", res_dir / "proxy")
    assert run_here(run_distributed_trajectories, *words, "run_name=without") == 0
    assert run_here(run_distributed_trajectories, *words, "run_name=alone", f"data.path={aim}") == 0
    setting = f"data.validation={aim}"
    capfd.readouterr()
    assert run_here(run_distributed_trajectories, *words, setting) == 0
    assert "14 rows of validation are scored, too" in capfd.readouterr().out
    pool = losses_in(res_dir / "proxy/trajectories")
    validation = losses_in(res_dir / "proxy/trajectories/validation")
    assert len(pool) == 4 and pool == losses_in(res_dir / "without/trajectories")
    assert validation == losses_in(res_dir / "alone/trajectories")

    # Where the pool is scored already, the validation rows are made up for.
    shutil.rmtree(res_dir / "proxy/trajectories/validation")
    capfd.readouterr()
    assert run_here(run_distributed_trajectories, *words, setting) == 0
    said = capfd.readouterr().out
    assert "4 checkpoints scored already; 0 units to do" in said
    assert "now the 14 rows of data.validation:\n  0 checkpoints scored already; " in said
    assert losses_in(res_dir / "proxy/trajectories/validation") == validation
    assert run_here(run_distributed_trajectories, *words, setting, "--dry_run") == 0
    assert "time        none: it is there already" in capfd.readouterr().out
    shutil.rmtree(res_dir / "proxy/trajectories")
    run_script("run_distributed_trajectories.py", *words, setting, torchrun=2)
    assert losses_in(res_dir / "proxy/trajectories") == pool
    assert losses_in(res_dir / "proxy/trajectories/validation") == validation

    select = ("--config_file", config, setting, "run_name=aimed", "subset.trajectories_from=proxy")
    assert run_here(select_s2l, *select, "subset.method=cld", "subset.budget=20") == 0
    rows = np.load(res_dir / "aimed/subset/indices.npy")
    assert len(rows) == 20 and not {0, 1} & set(rows.tolist())


def test_a_proxy_scores_validation_rows_while_it_is_trained(make_config, res_dir, aim):
    config = make_config("during", trajectories={"during_training": True}, data={"validation": str(aim)})
    assert run_here(train, "--config_file", config) == 0
    during = losses_in(res_dir / "during/trajectories/validation")
    assert run_here(run_distributed_trajectories, "--config_file", config, "--overwrite") == 0
    assert len(during) == 3 and losses_in(res_dir / "during/trajectories/validation") == during


def test_tacs_by_a_proxy_that_was_trained_on_the_validation_rows(make_config, res_dir, aim):
    config = make_config("aimed", checkpoints={"count": 1})
    assert run_here(train, "--config_file", config, f"data.path={aim}") == 0
    words = ("--config_file", config, "run_name=aimed_on_pool", "--model_path", res_dir / "aimed")
    assert run_here(get_trajectories, *words, "--ckpt", "0") == 0
    assert run_here(get_trajectories, *words, "--ckpt", "-1") == 0
    select = ("--config_file", config, f"data.validation={aim}", "run_name=target")
    subset = ("subset.trajectories_from=aimed_on_pool", "subset.method=tacs", "subset.budget=20")
    assert run_here(select_s2l, *select, *subset) == 0
    first_N, last_N = (
        np.load(path) for path in sorted((res_dir / "aimed_on_pool/trajectories").glob("checkpoint-*.npy"))
    )
    share_N = (first_N.astype(float) - last_N) / first_N
    share_N[:2] = np.nan  # the two that are validation rows
    rows = np.load(res_dir / "target/subset/indices.npy")
    assert sorted(np.argsort(-share_N, kind="stable")[:20].tolist()) == rows.tolist()


def test_step_0_is_the_model_that_a_proxy_was_tuned_from(
    make_config, res_dir, aim, tmp_path, monkeypatch, capfd
):
    """A proxy that is tuned further on the validation rows did not begin from the first weights of all."""
    config = make_config("proxy", checkpoints={"count": 1})
    assert run_here(train, "--config_file", config) == 0
    (checkpoint,) = (res_dir / "proxy").glob("checkpoint-*")
    from_proxy = (f"model.name_or_path={checkpoint}", "model.architecture=null", "model.tokenizer=null")
    words = ("--config_file", config, f"data.path={aim}", "run_name=tuned", *from_proxy)
    assert run_here(train, *words) == 0
    (tuned,) = (res_dir / "tuned").glob("checkpoint-*")
    linked = tmp_path / "linked" / tuned.name
    linked.parent.mkdir()
    linked.symlink_to(tuned)
    monkeypatch.chdir(tuned)
    for place in (res_dir / "tuned", tuned, linked, linked.parent, "."):
        step_0 = ("--config_file", config, "run_name=on_pool", "--model_path", place, "--ckpt", "0")
        capfd.readouterr()
        assert run_here(get_trajectories, *step_0) == 1
        assert "step 0 is the model that a training began from" in capfd.readouterr().err
        assert not (res_dir / "on_pool").exists()
        assert run_here(get_trajectories, *step_0, *from_proxy, "--overwrite") == 0
        shutil.rmtree(res_dir / "on_pool")
    own = ("--config_file", config, "--ckpt", "0")
    assert run_here(get_trajectories, *own, "seed=99") == 1
    assert "step 0 is the model that a training began from" in capfd.readouterr().err
    assert run_here(get_trajectories, *own) == 0


@pytest.mark.parametrize("first", ["0", "-1"])
def test_step_0_is_compared_with_what_was_scored_before(make_config, res_dir, capfd, first):
    """Only one of the two commands says where the checkpoints lie, in whichever order they come."""
    config = make_config("proxy", checkpoints={"count": 1})
    assert run_here(train, "--config_file", config, "seed=7") == 0
    words = ("--config_file", config, "run_name=on_pool", "--ckpt")
    of_checkpoint = ("-1", "--model_path", res_dir / "proxy")
    of_step_0 = ("0",)
    commands = [of_step_0, of_checkpoint] if first == "0" else [of_checkpoint, of_step_0]
    assert run_here(get_trajectories, *words, *commands[0]) == 0
    scored = losses_in(res_dir / "on_pool/trajectories")
    capfd.readouterr()
    assert run_here(get_trajectories, *words, *commands[1]) == 1
    assert "step 0 is the model that a training began from" in capfd.readouterr().err
    assert losses_in(res_dir / "on_pool/trajectories") == scored
    assert run_here(get_trajectories, *words, "0", "seed=7", "--overwrite") == 0
    assert run_here(get_trajectories, *words, *of_checkpoint) == 0
    assert len(losses_in(res_dir / "on_pool/trajectories")) == 2

    # The proxy is trained anew from other weights: its step 0 does not stay.
    assert run_here(train, "--config_file", config, "seed=8", "--overwrite") == 0
    assert run_here(get_trajectories, *words, *of_checkpoint, "--overwrite") == 1
    assert "step 0 is the model that a training began from" in capfd.readouterr().err


def test_checkpoints_in_a_folder_of_a_run_are_not_its_own(make_config, res_dir):
    config = make_config("proxy", checkpoints={"count": 1})
    assert run_here(train, "--config_file", config, "seed=7") == 0
    (checkpoint,) = (res_dir / "proxy").glob("checkpoint-*")
    shutil.copytree(checkpoint, res_dir / "proxy/averaged" / checkpoint.name)
    words = ("--config_file", config, "run_name=averaged", "--model_path", res_dir / "proxy/averaged")
    assert run_here(get_trajectories, *words, "--ckpt", "0", "--dry_run") == 0


def test_a_validation_file_that_is_not_there_is_named(make_config, res_dir, capfd):
    config = make_config("proxy", data={"validation": "nowhere.jsonl"})
    assert run_here(get_trajectories, "--config_file", config, "--ckpt", "0", "--dry_run") == 1
    assert "data.validation: nowhere.jsonl does not exist" in capfd.readouterr().err
