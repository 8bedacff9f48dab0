"""The losses of the steps of a training are read as they were logged, each once."""

import pytest

from utils.artifacts.metrics import read_losses_of_steps


def test_a_step_that_was_trained_again_counts_as_it_was_logged_last(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = ['{"step": 1, "loss": 3.0}', '{"step": 2, "loss": 2.0}', '{"step": 2, "loss": 2.5}']
    path.write_text("\n".join([*lines, '{"step": 3, "train_runtime": 1.0}', '{"step": 4, "lo']))
    assert read_losses_of_steps(path) == ([1, 2], [3.0, 2.5])


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 3.0}\n{"loss": 2.0}\n')
    with pytest.raises(ValueError, match="metrics.jsonl, line 2: found no step"):
        read_losses_of_steps(path)


def test_a_line_that_is_not_json_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "lo\n')
    with pytest.raises(ValueError, match="metrics.jsonl, line 2: not JSON"):
        read_losses_of_steps(path)
