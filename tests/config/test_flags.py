"""A mistyped command line is refused in one line that names what was meant, by every script."""

import importlib

import pytest

import select_s2l
from tests.test_architecture import OF_A_CONFIG
from utils.config.command_line import make_parser, parse_arguments

SHARED = [
    (["--config", "x.yml"], "found --config, expected --config_file"),
    (["--config-file", "x.yml"], "found --config-file, expected --config_file"),
    (["--config-file=x.yml"], "found --config-file, expected --config_file"),
    (["-config_file", "x.yml"], "found -config_file, expected --config_file"),
    (["--confg_file", "x.yml"], "found --confg_file, expected --config_file"),
    (["--config_file", "x.yml", "--dry-run"], "found --dry-run, expected --dry_run"),
    (["--config_file", "x.yml", "--dry"], "found --dry, expected --dry_run"),
    (["--config_file", "x.yml", "--DRY_RUN"], "found --DRY_RUN, expected --dry_run"),
    (["--config_file", "x.yml", "--overwite"], "found --overwite, expected --overwrite"),
    (["--config_file", "x.yml", "--force"], "found --force, expected --overwrite"),
    (["proxy.yml"], "found proxy.yml without a flag, expected --config_file proxy.yml"),
    (["--dry_run", "proxy.yaml"], "found proxy.yaml without a flag, expected --config_file proxy.yaml"),
    (
        ["--config_file", "x.yml", "--seed", "3"],
        "found --seed, expected a setting without dashes, such as seed=value",
    ),
    (
        ["--config_file", "x.yml", "--lr=3"],
        "a setting without dashes, such as train_args.learning_rate=value",
    ),
    (["--config_file", "x.yml", "--data.limit=3"], "a setting without dashes, such as data.limit=value"),
]
OF_ONE_SCRIPT = [
    (
        "get_trajectories",
        ["--config_file", "x.yml", "--checkpoint", "3"],
        "found --checkpoint, expected --ckpt",
    ),
    (
        "get_trajectories",
        ["--config_file", "x.yml", "--model-path", "3"],
        "found --model-path, expected --model_path",
    ),
    (
        "run_distributed_trajectories",
        ["--config_file", "x.yml", "--ckpt", "3"],
        "found --ckpt, expected --checkpoints",
    ),
    ("select_s2l", ["--config_file", "x.yml", "--explian", "3"], "found --explian, expected --explain"),
    (
        "compare_runs",
        ["a", "b", "--allow-differences"],
        "found --allow-differences, expected --allow_differences",
    ),
    ("report", ["--run", "mine"], "found --run, expected --config_file or --experiment"),
    ("report", ["mine"], "found mine without a flag, expected --config_file YAML or --experiment mine"),
    ("report", ["--dry_run", "mine.yml"], "expected --config_file mine.yml"),
    ("utils.data.synthetic", ["--output-dir", "x"], "found --output-dir, expected --output_dir"),
    ("utils.data.synthetic", ["--number", "x"], "expected one of --help, --output_dir"),
]


@pytest.mark.parametrize(
    ("script", "words", "message"),
    [*((script, *case) for script in OF_A_CONFIG for case in SHARED), *OF_ONE_SCRIPT],
    ids=str,
)
def test_what_was_meant_is_named_in_one_line(script, words, message, capsys):
    with pytest.raises(SystemExit) as end:
        importlib.import_module(script).main(words)
    text = capsys.readouterr().err
    assert end.value.code == 2 and message in text and text.count("\n") == 1


def test_values_of_flags_are_no_flags(tmp_path, capsys):
    """A negative number, a YAML that belongs to a flag, and what follows an unknown flag."""
    missing = str(tmp_path / "missing.yml")
    assert select_s2l.main(["--config_file", missing, "--explain", "-1"]) == 1
    assert select_s2l.main([f"--config_file={missing}", f"data.path={missing}"]) == 1
    assert capsys.readouterr().err.count("does not exist") == 2
    parser = make_parser(None)
    parser.add_argument("--other")
    assert parse_arguments(parser, ["--config_file", "x.yml", "--other", missing]).other == missing
    with pytest.raises(SystemExit):
        select_s2l.main(["--api-token", "secret-of-mine", "--config_file", missing])
    assert "secret" not in capsys.readouterr().err
