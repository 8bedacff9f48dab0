"""Files of rows with turns, each through the whole pipeline: train, score, select, write for every stack.

    python benchmarks/chat_files.py FOLDER OUT

FOLDER holds .json and .jsonl files as people have them: its format is guessed from the first row of each.
A tiny model with a tokenizer and a chat template of its own is trained for a few steps. OUT gets the runs.
Ends with an error if a file was refused by a stage that should have taken it; preference pairs and rows
that no text model can be trained on are to be refused in words, which are printed.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from transformers import PreTrainedTokenizerFast

_PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_PROJECT))

from utils.data.export.stacks import STACKS  # noqa: E402
from utils.data.small_tokenizer import train_tokenizer  # noqa: E402

_FORMATS = {"messages": "messages", "conversations": "sharegpt"}  # a field of the first row -> its format
STAGES = (("train.py",), ("run_distributed_trajectories.py",), ("select_s2l.py",))
_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_ARCHITECTURE = {
    "model_type": "llama",
    "vocab_size": 1026,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True)
    files = sorted(path.resolve() for path in arguments.folder.glob("*.json*"))
    make_tokenizer([path.read_text(encoding="utf-8") for path in files], out / "tokenizer")
    return int(any([is_stopped_midway(path, out) for path in files]))


def make_tokenizer(texts: list[str], folder: Path) -> None:
    train_tokenizer(texts, folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = _CHATML
    tokenizer.save_pretrained(folder)


def is_stopped_midway(path: Path, out: Path) -> bool:
    """Whether a stage refused what the first one took. Prints how far the file came."""
    config_file = out / f"{path.stem}.yml"
    config_file.write_text(yaml.safe_dump(config_of(path, out)))
    stacks = [
        *STAGES,
        *(("select_s2l.py", "--write_for", stack) for stack in STACKS),
        *(("select_s2l.py", "--write_for", stack, "--rendered") for stack in ("trl", "axolotl")),
    ]
    stopped = False
    print(f"{path.name}: {config_of(path, out)['data']}")
    for number, words in enumerate(stacks):
        said = refusal_of(words, config_file, out)
        print(f"  {' '.join(words)}: {said or 'done'}")
        if said and number == 0:
            return False
        if said and words in STAGES:
            return True
        stopped |= bool(said) and "cannot be written" not in said
    return stopped


def config_of(path: Path, out: Path) -> dict[str, Any]:
    row = first_row(path)
    data = {"path": str(path), "template": "chat", "max_length": 512}
    data["format"] = next((name for field, name in _FORMATS.items() if field in row), "alpaca")
    return {
        "run_name": path.stem,
        "model": {"architecture": _ARCHITECTURE, "tokenizer": str(out / "tokenizer")},
        "data": data,
        "checkpoints": {"count": 2},
        "global_batch_size": 16,
        "train_args": {"max_steps": 4, "per_device_train_batch_size": 8, "learning_rate": 1.0e-3},
        "subset": {"trajectories_from": path.stem, "budget": 0.2},
    }


def first_row(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    return json.loads(text)[0] if path.suffix == ".json" else json.loads(text.splitlines()[0])


def refusal_of(words: tuple[str, ...], config_file: Path, out: Path) -> str:
    """What the command says where it refuses, in one line, and nothing where it does its work."""
    script, *flags = words
    command = [sys.executable, script, "--config_file", str(config_file), *flags]
    if script == "train.py":
        command.append("subset=null")  # the proxy
    environment = {**os.environ, "S2L_RES_DIR": str(out / "res")}
    done = subprocess.run(command, cwd=_PROJECT, env=environment, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else " ".join(done.stderr.split())[-600:]


if __name__ == "__main__":
    sys.exit(main())
