"""A name that is on no disk: a folder comes first, then one try of the hub, and the error says which."""

import time

import pytest
from huggingface_hub import constants

from utils.config.schema import ModelConfig
from utils.modeling.loading import base_config, load_tokenizer
from utils.process.hub import why_no_hub


@pytest.fixture
def unreachable_hub(monkeypatch, tmp_path):
    """A hub at a port where nobody listens, and an empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    why_no_hub.cache_clear()
    yield
    why_no_hub.cache_clear()


@pytest.mark.parametrize(
    ("setting", "load", "model"),
    [
        ("model.tokenizer", load_tokenizer, ModelConfig(name_or_path="m", tokenizer="pythia")),
        ("model.name_or_path", load_tokenizer, ModelConfig(name_or_path="pythia")),
        ("model.name_or_path", base_config, ModelConfig(name_or_path="pythia")),
    ],
)
def test_an_unreachable_hub_is_tried_once(unreachable_hub, setting, load, model):
    begun = time.monotonic()
    for _ in range(2):
        with pytest.raises(
            ValueError, match=rf"{setting}: no .* from 'pythia'.*127\.0\.0\.1:9 cannot be reached"
        ):
            load(model)
    assert time.monotonic() - begun < 20, "the library would retry for a minute"
    assert constants.HF_HUB_OFFLINE, "what else is asked of the hub fails at once"


def test_what_can_only_be_a_folder_asks_nobody(unreachable_hub):
    for name in ("./pythia", "/nowhere/pythia", "res/my_run/checkpoint-3", "pythia/"):
        with pytest.raises(FileNotFoundError, match=r"model.tokenizer: found no folder .*current folder"):
            load_tokenizer(ModelConfig(name_or_path="m", tokenizer=name))
    assert not constants.HF_HUB_OFFLINE, "nobody was asked"


def test_a_folder_asks_nobody(unreachable_hub, tokenizer_dir):
    assert len(load_tokenizer(ModelConfig(name_or_path=str(tokenizer_dir)))) == 300
    assert not constants.HF_HUB_OFFLINE
