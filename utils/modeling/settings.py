"""What is wrong with a `model` section by itself, said before torch is imported."""

from collections.abc import Iterator
from pathlib import Path

from ..config.schema import ModelConfig
from ..data.containers import is_local


def model_problems(model: ModelConfig) -> Iterator[str]:
    """Folders that do not exist or hold no model, and a revision that nothing could have."""
    for key, name in (("name_or_path", model.name_or_path), ("tokenizer", model.tokenizer)):
        if name is not None and is_local(name) and not Path(name).is_dir():
            yield (
                f"model.{key}: {name} does not exist (current folder: {Path.cwd()}), "
                "expected a folder or a hub name"
            )
    folder = Path(model.name_or_path) if model.name_or_path is not None else None
    if folder is not None and folder.is_dir() and not (folder / "config.json").is_file():
        yield f"model.name_or_path: {folder} holds no config.json, expected a Hugging Face model folder"
    names = [name for name in (model.name_or_path, model.tokenizer) if name is not None]
    if model.revision is not None and all(Path(name).is_dir() for name in names):
        yield (
            f"model.revision: found {model.revision!r}, which only a model of the hub has, "
            f"but here all is read from {' and '.join(names)}: remove it"
        )
