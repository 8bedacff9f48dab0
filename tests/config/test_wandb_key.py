"""A wandb key reaches no message, however it is spelt, and takes no other word of the command with it."""

import importlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_architecture import OF_A_CONFIG
from utils.config.command_line import run_command
from utils.config.wandb_key import take_wandb_key, without_keys

KEYS = ["0123456789abcdef0123456789abcdef01234567", "wandb_v1_" + "aB3_" * 17, "local-" + "0123456789" * 4]
SPELLINGS = [
    ["--wandb_key", "KEY"],
    ["--wandb_key=KEY"],
    ["--wandb-key", "KEY"],
    ["--wandb-key=KEY"],
    ["--wandb_keyKEY"],
    ["--WANDB_KEY", "KEY"],
    ["--wandb_api_key=KEY"],
    ["-wandb_key", "KEY"],
    ["wandb_key=KEY"],
    ["tracking.wandb_key=KEY"],
    ["train_args.WANDB_API_KEY=KEY"],
    ["wandb_key", "KEY"],
    ["KEY"],
]
OTHER_WORDS = ["--dry_run", "--overwrite", "--config_file", "c.yml", "seed=1", "data.path=a/b.jsonl"]


def run(script: str, config: Path, words: list[str]) -> int | str | None:
    """The exit code of a script, run with what its own command line needs."""
    own = {"get_trajectories": ["--ckpt", "0"]}.get(script, [])
    try:
        return importlib.import_module(script).main(["--config_file", str(config), *own, *words])
    except SystemExit as exit:
        return exit.code


@pytest.fixture
def broken_config(tmp_path, res_dir) -> Path:
    """No command gets past it."""
    path = tmp_path / "config.yml"
    path.write_text("run_name: r\nmodell: {}\n")
    return path


@pytest.mark.parametrize("spelling", SPELLINGS, ids=" ".join)
@pytest.mark.parametrize("script", OF_A_CONFIG)
def test_a_key_reaches_no_message_of_any_script(script, spelling, broken_config, capfd):
    for key in KEYS:
        words = [word.replace("KEY", key) if word != "--WANDB_KEY" else word for word in spelling]
        words = [word.replace(f"WANDB_API_{key}", "WANDB_API_KEY") for word in words]
        assert any(key in word for word in words)
        assert run(script, broken_config, words) not in (0, None)
        written = capfd.readouterr()
        assert key not in written.out + written.err
        assert written.err


@pytest.mark.parametrize(
    "text",
    [
        "run_name: r\nwandb_key: KEY\n",
        "run_name: r\ntracking: {wandb_key: KEY}\n",
        "run_name: r\ntracking: [{wandb_key: KEY}]\n",
        "run_name: r\ntrain_args: {wandb_key: KEY}\n",
        "run_name: r\nwandb_key: KEY: x\n",
        "run_name: r\nwandb_key: [KEY\n",
        "run_name: r\nwandb_key: KEY\nwandb_key: KEY\n",
        "full_data_path: p\nmodel_name_or_path: m\nresult_dir_name: r\nwandb_key: KEY\n",
    ],
)
@pytest.mark.parametrize("script", OF_A_CONFIG)
def test_a_key_in_a_yaml_is_refused_and_not_shown(script, text, tmp_path, res_dir, capfd):
    config = tmp_path / "config.yml"
    config.write_text(text.replace("KEY", KEYS[0]))
    assert run(script, config, []) == 1
    written = capfd.readouterr()
    assert KEYS[0] not in written.out + written.err
    assert not res_dir.exists()


@given(
    before=st.lists(st.sampled_from(OTHER_WORDS), max_size=3),
    after=st.lists(st.sampled_from(OTHER_WORDS), max_size=3),
    key=st.sampled_from(KEYS),
    in_one_word=st.booleans(),
)
def test_a_key_is_taken_and_all_other_words_are_left(before, after, key, in_one_word):
    given_as = [f"--wandb_key={key}"] if in_one_word else ["--wandb_key", key]
    assert take_wandb_key([*before, *given_as, *after]) == ([*before, *after], key)
    assert take_wandb_key([*before, *after]) == ([*before, *after], None)


@given(
    before=st.lists(st.sampled_from(OTHER_WORDS), max_size=3),
    after=st.lists(st.sampled_from(OTHER_WORDS), max_size=3),
)
def test_without_a_key_no_word_is_taken_for_it(before, after):
    """As an unset variable leaves it: --wandb_key $EMPTY --dry_run."""
    for flag in (["--wandb_key"], ["--wandb_key="], ["--wandb_key", ""]):
        with pytest.raises(ValueError, match="found no key"):
            take_wandb_key([*before, *flag, *after])


def test_an_unset_key_does_not_train(make_config, res_dir):
    assert run("train", make_config("run"), ["--wandb_key", "--dry_run"]) == 2
    assert not res_dir.exists()


def test_the_key_of_the_environment_is_in_no_error(monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", KEYS[0])

    def fail() -> int:
        raise OSError(5, f"cannot send {KEYS[0]}")

    assert run_command(fail) == 1
    assert "cannot send ***" in capsys.readouterr().err
    assert without_keys("wandb_key: found no key after it") == "wandb_key: found no key after it"
