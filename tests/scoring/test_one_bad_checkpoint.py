"""One bad checkpoint, whatever is wrong with it, is named with its reason. The others are scored."""

import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import run_distributed_trajectories
import train
from tests.conftest import ARCHITECTURES, pool_rows, run_here, write_jsonl

STEPS = (2, 4, 6)
BAD = 2  # the first, to which the others might be compared
TENSOR = "gpt_neox.layers.0.attention.dense.weight"


class RunsCode:
    """A pickle that leaves a trace where it is read."""

    def __init__(self, trace: Path):
        self._trace = trace

    def __reduce__(self) -> tuple:
        return Path.touch, (self._trace,)


def in_json(name: str, **settings: object) -> Callable[[Path], object]:
    """Damage: settings of a JSON file changed. None takes one out."""

    def damage(folder: Path) -> None:
        values = {**json.loads((folder / name).read_text()), **settings}
        known = {key: value for key, value in values.items() if value is not None}
        (folder / name).write_text(json.dumps(known))

    return damage


def in_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return damage


def pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(RunsCode(folder / "executed")))


def another_tokenizer(folder: Path) -> None:
    values = json.loads((folder / "tokenizer.json").read_text())
    values["normalizer"] = {"type": "Lowercase"}
    (folder / "tokenizer.json").write_text(json.dumps(values))


def replaced(name: str, contents: bytes | None) -> Callable[[Path], object]:
    """Damage: other contents of a file, None for a folder in its place."""

    def damage(folder: Path) -> None:
        (folder / name).unlink()
        if contents is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(contents)

    return damage


def cut(name: str, num_bytes: int) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:num_bytes])

    return damage


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "empty weights": cut("model.safetensors", 0),
    "cut weights": cut("model.safetensors", 1000),
    "weights of another kind": replaced("model.safetensors", b"\x93NUMPY" * 100),
    "a folder of the weights' name": replaced("model.safetensors", None),
    "a pickle that runs code": pickled_weights,
    "a tensor is missing": in_weights(lambda tensors: tensors.pop(TENSOR)),
    "a tensor of another shape": in_weights(lambda tensors: tensors.update({TENSOR: torch.ones(3)})),
    "weights that are no numbers": in_weights(lambda tensors: tensors[TENSOR].fill_(torch.nan)),
    "no config": lambda folder: (folder / "config.json").unlink(),
    "a config that is no JSON": replaced("config.json", b"{"),
    "a config that is a list": replaced("config.json", b"[]"),
    "a config of wrong types": in_json("config.json", hidden_size="large"),
    "a config without a type": in_json("config.json", model_type=None),
    "a config of an unknown type": in_json("config.json", model_type="gpt_neoxx"),
    "a config whose type is a number": in_json("config.json", model_type=3),
    "an unknown activation": in_json("config.json", hidden_act="gelx"),
    "another activation": in_json("config.json", hidden_act="relu"),
    "heads that do not divide": in_json("config.json", num_attention_heads=5),
    "no heads": in_json("config.json", num_attention_heads=0),
    "fewer words": in_json("config.json", vocab_size=10),
    "another size": in_json("config.json", hidden_size=64),
    "a tokenizer that is no JSON": replaced("tokenizer.json", b"{"),
    "a tokenizer of another kind": replaced("tokenizer.json", b'{"version": "9"}'),
    "another tokenizer": another_tokenizer,
    "another end of sequence": in_json("tokenizer_config.json", eos_token="!"),
}  # fmt: skip
ADAPTER_DAMAGES: dict[str, Callable[[Path], object]] = {
    "an unknown peft_type": in_json("adapter_config.json", peft_type="LORAX"),
    "no peft_type": in_json("adapter_config.json", peft_type=None),
    "an adapter's config that is no JSON": replaced("adapter_config.json", b"{"),
    "an adapter's config of wrong types": in_json("adapter_config.json", r="two"),
    "an unknown key": in_json("adapter_config.json", target_modules=["nowhere"]),
    "no adapter": lambda folder: (folder / "adapter_model.safetensors").unlink(),
    "a cut adapter": cut("adapter_model.safetensors", 300),
    "an adapter of another rank": in_json("adapter_config.json", r=3),
}


class Proxy:
    """A trained run and its losses."""

    def __init__(self, folder: Path, model: dict[str, Any]):
        self.folder = folder
        self.config = folder / "proxy.yml"
        values = {
            "run_name": "proxy",
            "model": model,
            "data": {"path": str(write_jsonl(folder / "pool.jsonl", pool_rows(48))), "max_length": 160},
            "global_batch_size": 8,
            "checkpoints": {"count": len(STEPS)},
            "train_args": {"num_train_epochs": 1, "learning_rate": 1e-3},
        }
        self.config.write_text(yaml.safe_dump(values))
        assert run_here(train, "--config_file", self.config) == 0
        assert run_here(run_distributed_trajectories, "--config_file", self.config) == 0
        self.expected = self.losses("proxy")

    def losses(self, run_name: str) -> dict[int, bytes]:
        folder = self.folder / "res" / run_name / "trajectories"
        files = {step: folder / f"checkpoint-{step}.npy" for step in STEPS}
        return {step: file.read_bytes() for step, file in files.items() if file.is_file()}

    def damaged(self, run_name: str, damage: Callable[[Path], object]) -> Path:
        """Copies of the checkpoints, one of them damaged."""
        copies = self.folder / "copies" / run_name
        for step in STEPS:
            name = f"checkpoint-{step}"
            shutil.copytree(self.folder / "res/proxy" / name, copies / name)
            (copies / name / "checksums.json").unlink()  # a checkpoint made elsewhere has none
        damage(copies / f"checkpoint-{BAD}")
        return copies


@pytest.fixture(scope="module")
def proxies(tmp_path_factory, tokenizer_dir) -> Iterator[dict[str, Proxy]]:
    with pytest.MonkeyPatch.context() as patch:
        folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("model", "adapter")}
        patch.setenv("S2L_RES_DIR", str(folders["model"] / "res"))
        model = {"architecture": ARCHITECTURES["gpt_neox"], "tokenizer": str(tokenizer_dir)}
        made = {"model": Proxy(folders["model"], model)}
        patch.setenv("S2L_RES_DIR", str(folders["adapter"] / "res"))
        base = str(folders["model"] / "res/proxy/checkpoint-6")
        made["adapter"] = Proxy(folders["adapter"], {"name_or_path": base, "lora": {"r": 2}})
        yield made


@pytest.mark.parametrize("name", [*DAMAGES, *ADAPTER_DAMAGES])
def test_one_bad_checkpoint_is_named_and_the_others_are_scored(proxies, capsys, monkeypatch, name):
    proxy = proxies["adapter" if name in ADAPTER_DAMAGES else "model"]
    monkeypatch.setenv("S2L_RES_DIR", str(proxy.folder / "res"))
    run_name = name.replace(" ", "_").replace("'", "")
    copies = proxy.damaged(run_name, {**DAMAGES, **ADAPTER_DAMAGES}[name])
    words = ("--config_file", proxy.config, f"run_name={run_name}", "--model_path", copies)
    capsys.readouterr()
    assert run_here(run_distributed_trajectories, *words) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and errors[0].startswith(f"error: checkpoint {BAD} failed: "), errors
    good = {step: losses for step, losses in proxy.expected.items() if step != BAD}
    assert proxy.losses(run_name) == good
    assert not list(copies.rglob("executed"))
