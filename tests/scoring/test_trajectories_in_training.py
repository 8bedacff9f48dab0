"""Scoring inside a training gives the files of scoring afterwards, and does not touch the training."""

import shutil

import numpy as np
import pytest
import yaml

import run_distributed_trajectories
import select_s2l
import train
from tests.conftest import ARCHITECTURES, run_here, run_script
from utils.artifacts.checkpoints import find_checkpoints
from utils.config.load import load_config
from utils.scoring import callback
from utils.training import trainer

WITH_DROPOUT = {
    "architecture": {**ARCHITECTURES["gpt_neox"], "attention_dropout": 0.1, "hidden_dropout": 0.1}
}


def losses(run) -> dict[str, np.ndarray]:
    return {path.name: np.load(path) for path in sorted((run / "trajectories").glob("checkpoint-*.npy"))}


def saved_steps(run) -> set[int]:
    return set(find_checkpoints(run))


def test_losses_in_training_are_those_of_scoring_afterwards(make_config, res_dir):
    config = make_config("during", model=WITH_DROPOUT)
    assert train.main(["--config_file", str(config), "trajectories.during_training=true"]) == 0
    assert train.main(["--config_file", str(config), "run_name=after"]) == 0
    assert run_distributed_trajectories.main(["--config_file", str(config), "run_name=after"]) == 0
    during = losses(res_dir / "during")
    after = losses(res_dir / "after")
    assert list(during) == ["checkpoint-12.npy", "checkpoint-4.npy", "checkpoint-8.npy"]
    for name in after:
        np.testing.assert_array_equal(during[name], after[name])
    weights = [
        (res_dir / run / "checkpoint-12/model.safetensors").read_bytes() for run in ("during", "after")
    ]
    assert weights[0] == weights[1], "scoring draws no random number of the training's"
    assert run_distributed_trajectories.main(["--config_file", str(config)]) == 0, "they count as scored"


def test_two_ranks_of_a_training_share_the_scoring(make_config, res_dir):
    config = make_config("two", trajectories={"during_training": True, "examples_per_unit": 10})
    run_script("train.py", "--config_file", config, torchrun=2)
    words = ("--config_file", config, "run_name=after", "--model_path", res_dir / "two")
    assert run_here(run_distributed_trajectories, *words) == 0
    two = losses(res_dir / "two")
    after = losses(res_dir / "after")
    assert two.keys() == after.keys() and len(two) == 3
    for name in after:
        np.testing.assert_array_equal(two[name], after[name])


def test_callback_in_a_trainer_of_ones_own(make_config, res_dir, tmp_path):
    """The example of utils/scoring/callback.py, whole."""
    from torch.utils.data import Dataset
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        Trainer,
        TrainingArguments,
        default_data_collator,
    )

    from utils.scoring.callback import TrajectoryCallback

    base = make_config("base", num_rows=30, checkpoints={"count": 1})
    assert train.main(["--config_file", str(base)]) == 0
    folder = str(res_dir / "base/checkpoint-4")
    (tmp_path / "my_proxy.yml").write_text(
        yaml.safe_dump(
            {
                "run_name": "mine",
                "model": {"name_or_path": folder},
                "data": {"path": str(tmp_path / "pool.jsonl")},
            }
        )
    )

    class Rows(Dataset):
        def __len__(self):
            return 16

        def __getitem__(self, row):
            return {"input_ids": [row % 9 + 1] * 8, "labels": [row % 9 + 1] * 8}

    own = Trainer(
        model=AutoModelForCausalLM.from_pretrained(folder),
        args=TrainingArguments(
            str(tmp_path / "output"),
            per_device_train_batch_size=4,
            max_steps=4,
            save_steps=2,
            report_to="none",
            use_cpu=True,
        ),
        train_dataset=Rows(),
        data_collator=default_data_collator,
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    config, _ = load_config(tmp_path / "my_proxy.yml")
    own.add_callback(TrajectoryCallback(config))
    own.train()
    by_name = losses(res_dir / "mine")
    assert list(by_name) == ["checkpoint-2.npy", "checkpoint-4.npy"]
    assert all(values.shape == (30,) and np.isfinite(values).all() for values in by_name.values())
    assert not np.array_equal(by_name["checkpoint-2.npy"], by_name["checkpoint-4.npy"])


def test_what_a_kill_left_unscored_is_made_up_for(make_config, res_dir):
    config = make_config("run")
    arguments = ["--config_file", str(config), "trajectories.during_training=true"]
    assert train.main(arguments) == 0
    (res_dir / "run/trajectories/checkpoint-8.npy").unlink()
    from utils.scoring.callback import TrajectoryCallback

    class State:
        global_step = 12

    class Arguments:
        output_dir = str(res_dir / "run/parts")

    TrajectoryCallback(load_config(config)[0]).on_train_begin(Arguments(), State(), None)
    assert (res_dir / "run/trajectories/checkpoint-8.npy").is_file()


def test_kept_last_checkpoint_trains_resumes_and_selects_as_all(make_config, res_dir):
    """checkpoints.keep: last leaves one checkpoint and all losses, and a kill in between changes nothing."""
    settings = {"trajectories": {"during_training": True}, "checkpoints": {"count": 3, "keep": "last"}}
    all_kept = make_config("all", trajectories={"during_training": True})
    assert train.main(["--config_file", str(all_kept)]) == 0
    config = make_config("last", **settings)
    arguments = ["--config_file", str(config)]
    with pytest.MonkeyPatch.context() as patch:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(callback, "remove_older_scored_checkpoints", killed)  # after the first save was scored
        assert train.main(arguments) == 130
    assert saved_steps(res_dir / "last") == {4} and list(losses(res_dir / "last")) == ["checkpoint-4.npy"]
    assert train.main(arguments) == 0
    assert saved_steps(res_dir / "last") == {12}, "what was removed had been scored"
    assert losses(res_dir / "last").keys() == losses(res_dir / "all").keys()
    for name, values in losses(res_dir / "all").items():
        np.testing.assert_array_equal(values, losses(res_dir / "last")[name])
    assert train.main(arguments) == 0, "what is gone is not missed"
    assert run_distributed_trajectories.main(arguments) == 0
    target = make_config("target", subset={"trajectories_from": "last", "budget": 20, "num_clusters": 3})
    assert select_s2l.main(["--config_file", str(target)]) == 0
    shutil.rmtree(res_dir / "last/checkpoint-12")
    assert train.main(arguments) == 1, "the last one is missed"


def test_kill_between_the_last_save_and_its_scoring_is_made_up_for(make_config, res_dir):
    config = make_config("run", trajectories={"during_training": True})
    arguments = ["--config_file", str(config)]
    assert train.main(arguments) == 0
    (res_dir / "run/trajectories/checkpoint-12.npy").unlink()
    assert train.main(arguments) == 0
    assert (res_dir / "run/trajectories/checkpoint-12.npy").is_file()


def test_keeping_the_last_only_without_scoring_is_refused(make_config, capsys):
    config = make_config("run", checkpoints={"count": 3, "keep": "last"})
    assert train.main(["--config_file", str(config)]) == 1
    assert "needs trajectories.during_training" in capsys.readouterr().err


def test_a_checkpoint_that_cannot_be_scored_ends_no_training(make_config, res_dir, monkeypatch, capsys):
    whole = make_config("whole", trajectories={"during_training": True})
    assert run_here(train, "--config_file", whole) == 0
    publish = trainer.publish_folder

    def publish_damaged(temporary, final) -> None:
        publish(temporary, final)
        if final.name == "checkpoint-4":
            weights = final / "model.safetensors"
            weights.write_bytes(weights.read_bytes()[:1000])

    monkeypatch.setattr(trainer, "publish_folder", publish_damaged)
    config = make_config("damaged", trajectories={"during_training": True})
    for _ in range(2):  # and the same command says it again
        capsys.readouterr()
        assert run_here(train, "--config_file", config) == 1
        lines = capsys.readouterr().err.splitlines()
        assert [line[:26] for line in lines if line.startswith("error")] == ["error: checkpoint 4 failed"]
    expected = losses(res_dir / "whole")
    del expected["checkpoint-4.npy"]
    found = losses(res_dir / "damaged")
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name])


def test_two_ranks_agree_on_what_cannot_be_scored(make_config, res_dir):
    config = make_config("two")
    assert run_here(train, "--config_file", config) == 0
    (res_dir / "two/checkpoint-8/config.json").write_text("[]")
    words = ("train.py", "--config_file", config, "trajectories.during_training=true")
    answer = run_script(*words, torchrun=2, check=False)
    assert answer.returncode == 1
    assert (
        answer.stderr.count("error: checkpoint 8 failed") == 1 and "error: checkpoint 4" not in answer.stderr
    )
    assert list(losses(res_dir / "two")) == ["checkpoint-12.npy", "checkpoint-4.npy"]
