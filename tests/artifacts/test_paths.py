"""Names of runs: a person may type a run's folder, as the shell completes it, in place of its name."""

from pathlib import Path

import pytest

from utils.artifacts.paths import RunPaths, named_subset, run_named
from utils.artifacts.trajectories.write import TrajectoryFolder


@pytest.mark.parametrize("root", ["res", "elsewhere/results"])
def test_a_runs_folder_is_the_run(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2L_RES_DIR", root)
    for text in (
        "NAME",
        f"{root}/NAME",
        f"{root}/NAME/",
        f"./{root}/NAME",
        str(Path(root, "NAME").absolute()),
    ):
        assert run_named(text) == "NAME", text


def test_a_file_in_the_place_of_a_run_is_refused(res_dir):
    res_dir.mkdir()
    (res_dir / "notes.txt").write_text("my own")
    with pytest.raises(ValueError, match="notes.txt is no folder"):
        RunPaths("notes.txt").check_place()


def test_a_file_whose_step_is_written_otherwise_is_no_second_checkpoint(res_dir):
    folder = RunPaths("run").trajectories
    folder.mkdir(parents=True)
    for name in ("checkpoint-19.npy", "checkpoint-019.npy", "checkpoint-5.npy"):
        (folder / name).touch()
    assert TrajectoryFolder(folder).scored_steps() == [5, 19]


def test_what_is_no_runs_folder_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in (
        "NAME",
        "other/NAME",
        "res",
        "res/",
        "/",
        "res/NAME/losses.npy",
        "../res/NAME",
        "losses.npy",
    ):
        assert run_named(text) == text


@pytest.mark.parametrize("prefix", ["", "res/", "./res/"])
def test_a_subset_is_named_by_its_run_or_as_one_of_several(prefix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in (f"{prefix}NAME", f"{prefix}NAME/"):
        assert named_subset(text) == RunPaths("NAME").subset
    assert named_subset(f"{prefix}NAME/subset-50") == RunPaths("NAME").subset_of(50)
