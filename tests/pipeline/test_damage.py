"""What lies on disk is damaged between two commands: one clear error, or the result of an undamaged run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import evaluate_run
import run_distributed_trajectories
import select_s2l
import train
from tests.conftest import ARCHITECTURES, pool_rows, run_here, write_jsonl
from utils.evaluation.models import load as evaluation
from utils.modeling.loading import load_checkpoint
from utils.scoring import checkpoint_scorer as scoring
from utils.scoring.units import Units
from utils.training import trainer

STEPS = (2, 4, 6)


def changed(path: Path) -> None:
    """Another byte in the middle, and as many of them."""
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 0x15
    path.write_bytes(contents)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def gone(path: Path) -> None:
    path.unlink()


DAMAGES = [changed, cut, gone]


class Pipeline:
    """Results of a small run in copies that may be damaged.

    Attributes:
        config: its YAML.
        whole: a folder of results of all stages.
        stopped: one in which the training was interrupted after its second checkpoint.
        res: the copy that commands read and write.
    """

    def __init__(self, folder: Path, tokenizer_dir: Path):
        self.config = folder / "proxy.yml"
        self.whole = folder / "whole"
        self.stopped = folder / "stopped"
        self.res = folder / "res"
        values = {
            "run_name": "proxy",
            "model": {"architecture": ARCHITECTURES["gpt_neox"], "tokenizer": str(tokenizer_dir)},
            "data": {"path": str(write_jsonl(folder / "pool.jsonl", pool_rows(48))), "max_length": 160},
            "global_batch_size": 8,
            "checkpoints": {"count": len(STEPS)},
            "train_args": {"num_train_epochs": 1, "learning_rate": 1e-3, "logging_steps": 1},
            "evaluation": {"heldout": str(write_jsonl(folder / "heldout.jsonl", pool_rows(10, seed=1)))},
        }
        self.config.write_text(yaml.safe_dump(values))

    def run(self, script, *words: str) -> int:
        return run_here(script, "--config_file", self.config, *words)

    def copy(self, origin: Path) -> Path:
        """The run's folder in a new copy of these results."""
        shutil.rmtree(self.res, ignore_errors=True)
        shutil.copytree(origin, self.res)
        return self.res / "proxy"

    def losses(self, run_name: str = "proxy", res: Path | None = None) -> dict[int, bytes]:
        folder = (res or self.res) / run_name / "trajectories"
        files = {step: folder / f"checkpoint-{step}.npy" for step in STEPS}
        return {step: file.read_bytes() for step, file in files.items() if file.is_file()}


TARGET = (
    "run_name=target", "subset.trajectories_from=proxy", "subset.budget=16", "subset.num_clusters=3",
)  # fmt: skip


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory, tokenizer_dir) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path_factory.mktemp("damage"), tokenizer_dir)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2L_RES_DIR", str(made.whole))
        assert made.run(train) == 0
        assert made.run(run_distributed_trajectories) == 0
        assert made.run(evaluate_run) == 0
        assert made.run(select_s2l, *TARGET) == 0
        patch.setenv("S2L_RES_DIR", str(made.stopped))
        with pytest.MonkeyPatch.context() as once:

            def interrupted(paths, newest: int) -> None:
                if newest == STEPS[1]:
                    raise KeyboardInterrupt

            once.setattr(trainer, "remove_older_training_state", interrupted)
            assert made.run(train) == 130
        shutil.copytree(made.whole / ".cache", made.stopped / ".cache", dirs_exist_ok=True)
        patch.setenv("S2L_RES_DIR", str(made.res))
        yield made


def the_error(capsys) -> str:
    """The one error that was said."""
    said = capsys.readouterr().err
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "Traceback" not in said, said
    return errors[0]


# ---------------------------------------------------------------------------------------------- training

STATE = (
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "model.safetensors",
    "config.json",
)


@pytest.mark.parametrize("name", [*STATE, "checksums.json"])
def test_training_never_continues_from_a_damaged_state(pipeline, capsys, name):
    for damage in DAMAGES:
        run = pipeline.copy(pipeline.stopped)
        damage(run / f"checkpoint-{STEPS[1]}" / name)
        capsys.readouterr()
        code = pipeline.run(train)
        if code == 0:
            # Without checksums, as of earlier versions. Without a state, from the checkpoint before.
            assert damage is gone
            weights = f"proxy/checkpoint-{STEPS[2]}/model.safetensors"
            assert (pipeline.res / weights).read_bytes() == (pipeline.whole / weights).read_bytes()
            continue
        error = the_error(capsys)
        assert code == 1 and str(run) in error and ("overwrite" in error or "remove it" in error), error
        assert (run / f"checkpoint-{STEPS[1]}").is_dir() and not (run / f"checkpoint-{STEPS[2]}").exists()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_log_of_steps_keeps_no_training_from_continuing(pipeline, damage):
    run = pipeline.copy(pipeline.stopped)
    damage(run / "metrics.jsonl")
    assert pipeline.run(train) == 0
    weights = f"checkpoint-{STEPS[2]}/model.safetensors"
    assert (run / weights).read_bytes() == (pipeline.whole / "proxy" / weights).read_bytes()


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_target_is_trained_on_a_damaged_subset(pipeline, capsys, damage):
    pipeline.copy(pipeline.whole)
    damage(pipeline.res / "target/subset/indices.npy")
    capsys.readouterr()
    assert pipeline.run(train, *TARGET) == 1
    assert "indices.npy" in the_error(capsys)


# ----------------------------------------------------------------------------------------------- scoring


@pytest.mark.parametrize(
    "name",
    [
        "tokens.bin",
        "offsets.npy",
        "is_response.bin",
        "response_starts.npy",
        "whole_lengths.npy",
        "manifest.json",
    ],
)
def test_a_damaged_cache_of_tokens_is_made_again(pipeline, capsys, name):
    for damage in DAMAGES:
        pipeline.copy(pipeline.whole)
        for file in (pipeline.res / ".cache/tokens").glob(f"*/{name}"):
            damage(file)
        capsys.readouterr()
        words = ("run_name=again", "--model_path", str(pipeline.res / "proxy"))
        assert pipeline.run(run_distributed_trajectories, *words) == 0
        assert capsys.readouterr().err.count("is tokenized again") == 1
        assert pipeline.losses("again") == pipeline.losses(res=pipeline.whole)


@pytest.mark.parametrize("name", ["checkpoint-4.npy", "num_response_tokens.npy"])
def test_damaged_losses_are_scored_again(pipeline, capsys, name):
    for damage in DAMAGES:
        run = pipeline.copy(pipeline.whole)
        damage(run / "trajectories" / name)
        capsys.readouterr()
        assert pipeline.run(run_distributed_trajectories) == 0
        assert capsys.readouterr().err.count("it is made again") == (damage is not gone)
        assert pipeline.losses() == pipeline.losses(res=pipeline.whole)
        assert pipeline.run(select_s2l, *TARGET, "--explain", "1") == 0


def test_a_damaged_part_of_a_checkpoint_is_scored_again(pipeline, monkeypatch):
    words = (
        "run_name=parts",
        "trajectories.examples_per_unit=10",
        "--model_path",
        str(pipeline.res / "proxy"),
    )
    finish = Units.finish
    for damage in DAMAGES:
        pipeline.copy(pipeline.whole)

        def interrupted(self, unit, *results) -> None:
            finish(self, unit, *results)
            if unit.number == 1:
                raise KeyboardInterrupt

        monkeypatch.setattr(Units, "finish", interrupted)
        assert pipeline.run(run_distributed_trajectories, *words) == 130
        monkeypatch.setattr(Units, "finish", finish)
        (part,) = (pipeline.res / "parts/trajectories/parts").glob("*/*/unit-1.npz")
        damage(part)
        assert pipeline.run(run_distributed_trajectories, *words) == 0
        assert pipeline.losses("parts") == pipeline.losses(res=pipeline.whole)


@pytest.mark.parametrize("damage", DAMAGES)
def test_changed_weights_are_not_scored_evaluated_or_trained_on(pipeline, capsys, damage):
    run = pipeline.copy(pipeline.whole)
    damage(run / "checkpoint-6/model.safetensors")
    capsys.readouterr()
    again = ("run_name=again", "--model_path", str(run))
    assert pipeline.run(run_distributed_trajectories, *again) == 1
    assert the_error(capsys).startswith("error: checkpoint 6 failed: ")
    assert pipeline.losses("again").keys() == {2, 4}
    assert pipeline.run(evaluate_run, "--overwrite") == 1
    assert "checkpoint-6" in the_error(capsys)
    values = yaml.safe_load(pipeline.config.read_text())
    on = pipeline.config.with_name("on.yml")
    on.write_text(
        yaml.safe_dump({**values, "run_name": "on", "model": {"name_or_path": f"{run}/checkpoint-6"}})
    )
    assert run_here(train, "--config_file", on) == 1
    assert "checkpoint-6" in the_error(capsys)


def test_weights_that_are_trained_anew_meanwhile_are_not_taken_for_those_before(
    pipeline, capsys, monkeypatch
):
    run = pipeline.copy(pipeline.whole)

    def trained_anew(folder, *arguments):
        if folder.name == "checkpoint-6":
            shutil.copyfile(
                folder.with_name("checkpoint-4") / "model.safetensors", folder / "model.safetensors"
            )
        return load_checkpoint(folder, *arguments)

    monkeypatch.setattr(scoring, "load_checkpoint", trained_anew)
    monkeypatch.setattr(evaluation, "load_checkpoint", trained_anew)
    capsys.readouterr()
    assert pipeline.run(run_distributed_trajectories, "run_name=again", "--model_path", str(run)) == 1
    assert "found other files than when this command began" in the_error(capsys)
    assert pipeline.losses("again").keys() == {2, 4}
    pipeline.copy(pipeline.whole)
    before = (run / "evaluation/heldout.json").read_bytes()
    assert pipeline.run(evaluate_run, "--overwrite") == 1
    assert "found other files than when this command began" in the_error(capsys)
    assert (run / "evaluation/heldout.json").read_bytes() == before


# -------------------------------------------------------------------------------------------- evaluation


@pytest.mark.parametrize("name", ["manifest.json", "heldout.json", "heldout.predictions.jsonl"])
def test_a_damaged_evaluation_is_named_or_made_again(pipeline, capsys, name):
    for damage in DAMAGES:
        run = pipeline.copy(pipeline.whole)
        damage(run / "evaluation" / name)
        capsys.readouterr()
        if pipeline.run(evaluate_run) == 1:
            assert name in the_error(capsys) and damage is not gone
            assert pipeline.run(evaluate_run, "--overwrite") == 0
        expected = (pipeline.whole / "proxy/evaluation/heldout.predictions.jsonl").read_bytes()
        assert (run / "evaluation/heldout.predictions.jsonl").read_bytes() == expected
