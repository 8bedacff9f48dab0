"""Checkpoints made elsewhere: folders without weights, weights that are none, or of another model."""

import json
import struct
from dataclasses import replace

from .cases import Case, Content, Folder, Gone, Link, Pipe, containing, npy, overridden

_CONFIG = json.dumps(
    {
        "model_type": "gpt_neox",
        "architectures": ["GPTNeoXForCausalLM"],
        "vocab_size": 300,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 512,
    }
)


def _checkpoint(**files: Content) -> Folder:
    """A folder of one checkpoint, of step 5. Files are named by their beginning."""
    names = {"config": "config.json", "weights": "model.safetensors", "adapter": "adapter_config.json"}
    named = {names.get(name, name): content for name, content in files.items()}
    return Folder({"checkpoint-5": Folder(named)})


def _safetensors(header: bytes, size: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if size is None else size) + header + data


_TENSOR = b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
FOLDERS: list[tuple[Content, str]] = [
    (Folder(), "bad holds no checkpoint-<step> folders (nor does its output/)"),
    (Folder({"checkpoint-5": "a file"}), "bad holds no checkpoint-<step> folders (nor does its output/)"),
    (Folder({"checkpoint-five": Folder()}), "bad holds no checkpoint-<step> folders (nor does its output/)"),
    (Folder({"checkpoint--5": Folder()}), "bad holds no checkpoint-<step> folders (nor does its output/)"),
    (Folder({"output": Folder()}), "bad holds no checkpoint-<step> folders (nor does its output/)"),
    (Folder({"output": "a file"}), "bad holds no checkpoint-<step> folders (nor does its output/)"),
    (Folder({f"checkpoint-{'9' * 200}": Folder()}), "found no checkpoint of step 5, expected some of 9999"),
    (Folder({"checkpoint-6": Folder()}), "found no checkpoint of step 5, expected some of 6, which are"),
    (Gone(), "bad does not exist: train first (train.py), or give --model_path"),
    (Pipe(), "bad does not exist: train first (train.py), or give --model_path"),
    (Link("/dev/zero"), "bad does not exist: train first (train.py), or give --model_path"),
    (Link("bad"), "bad does not exist: train first (train.py), or give --model_path"),
    (Link("nowhere"), "bad does not exist: train first (train.py), or give --model_path"),
    (_checkpoint(), "checkpoint 5 failed: bad/checkpoint-5 holds no config.json: expected"),
    (_checkpoint(config=_CONFIG), "checkpoint-5 holds no weight files (*.safetensors, pytorch_model*.bin,"),
    (_checkpoint(weights=_safetensors(_TENSOR, data=bytes(4))), "checkpoint-5 holds no config.json"),
    (_checkpoint(config=_CONFIG, weights=""), "bad/checkpoint-5: the model cannot be loaded"),
    (_checkpoint(config=_CONFIG, weights="weights"), "bad/checkpoint-5: the model cannot be loaded"),
    (_checkpoint(config=_CONFIG, weights=_safetensors(b"{}")), "bad/checkpoint-5: the weights are not the"),
    (_checkpoint(config=_CONFIG, weights=_safetensors(b"[]")), "bad/checkpoint-5: the model cannot be"),
    (_checkpoint(config=_CONFIG, weights=_safetensors(_TENSOR)), "bad/checkpoint-5: the model cannot be"),
    (_checkpoint(config=_CONFIG, weights=_safetensors(_TENSOR, data=bytes(4))), "bad/checkpoint-5: the"),
    (_checkpoint(config=_CONFIG, weights=_safetensors(_TENSOR, size=2**62)), "bad/checkpoint-5: the model"),
    (_checkpoint(config=_CONFIG, weights=_safetensors(b"[" * 100_000)), "bad/checkpoint-5: the model"),
    (_checkpoint(config=_CONFIG, weights=npy([1.0])), "bad/checkpoint-5: the model cannot be loaded"),
    (_checkpoint(config=_CONFIG, weights=Folder()), "bad/checkpoint-5/model.safetensors: found a folder"),
    (_checkpoint(config=_CONFIG, weights=Pipe()), "model.safetensors: found a named pipe, expected an"),
    (_checkpoint(config=_CONFIG, weights=Link("/dev/zero")), "model.safetensors: found a device, expected"),
    (_checkpoint(config=_CONFIG, weights=Link("nowhere")), "bad/checkpoint-5/model.safetensors does not"),
    (_checkpoint(config="", weights=_safetensors(_TENSOR, data=bytes(4))), "bad/checkpoint-5"),
    (_checkpoint(config="{}", weights=_safetensors(_TENSOR, data=bytes(4))), "bad/checkpoint-5"),
    (_checkpoint(config="[" * 100_000, weights=_safetensors(_TENSOR, data=bytes(4))), "bad/checkpoint-5"),
    (_checkpoint(config=Pipe(), weights=_safetensors(_TENSOR, data=bytes(4))), "bad/checkpoint-5 holds no"),
    (_checkpoint(config=Link("/dev/zero"), weights=_safetensors(_TENSOR)), "bad/checkpoint-5 holds no"),
    (_checkpoint(adapter="", weights=_safetensors(_TENSOR, data=bytes(4))), "bad/checkpoint-5: the adapter"),
    (_checkpoint(adapter="{}", weights=_safetensors(_TENSOR, data=bytes(4))), "bad/checkpoint-5: the"),
    (_checkpoint(adapter='{"peft_type": "NONE"}', weights=_safetensors(_TENSOR)), "bad/checkpoint-5: the"),
    (_checkpoint(adapter="[" * 100_000, weights=_safetensors(_TENSOR)), "bad/checkpoint-5: the adapter"),
    (_checkpoint(**{"config": _CONFIG, "pytorch_model.bin": ""}), "bad/checkpoint-5: the model cannot be"),
    (_checkpoint(**{"config": _CONFIG, "pytorch_model.bin": "cos\nsystem\n(S'id'\ntR."}), "bad/checkpoint-5"),
    (_checkpoint(**{"config": _CONFIG, "pytorch_model.bin": b"PK\x03\x04"}), "bad/checkpoint-5: the model"),
    (_checkpoint(**{"config": _CONFIG, "pytorch_model.bin": Pipe()}), "pytorch_model.bin: found a named"),
]

# Settings that the run's own checkpoints were not made with.
SETTINGS = {
    "data.max_length=200": "res/proxy/trajectories was made from other inputs",
    "data.path=heldout.jsonl": "res/proxy/trajectories was made from other inputs",
    "data.template=plain": "res/proxy/trajectories was made from other inputs",
    "data.limit=5": "res/proxy/trajectories was made from other inputs",
    "trajectories.precision=bfloat16": "res/proxy/trajectories was made from other inputs",
    "trajectories.workers=1000000000": "trajectories.workers: found 1,000,000,000, expected at most",
    "trajectories.workers=9223372036854775807": "trajectories.workers: found 9,223,372,036,854,775,807,",
    "trajectories.max_tokens_per_batch=0": "trajectories.max_tokens_per_batch: found 0, expected a number",
    "trajectories.examples_per_unit=0": "trajectories.examples_per_unit: found 0, expected a number above 0",
    "trajectories.also=[losses]": "trajectories.also.0: found 'losses', expected",
    "model=null": "model: missing, and this command needs it: add a `model:` section",
    "data=null": "data: missing, and this command needs it: add a `data:` section",
    "run_name=nobody": "res/nobody does not exist: train first (train.py), or give --model_path",
    "run_name=comparisons": "run_name: found 'comparisons', which is no run in res/, expected another name",
    "model.tokenizer=nowhere/at/all": "model.tokenizer: nowhere/at/all does not exist",
}

_SCORE = "get_trajectories.py --config_file proxy.yml --ckpt 5 --model_path bad run_name=new"
CASES: list[Case] = [
    *(replace(case, leaves="res/new") for case in containing(_SCORE, "bad", FOLDERS)),
    *overridden("run_distributed_trajectories.py --config_file proxy.yml", SETTINGS),
]
