"""The names of transformers.TrainingArguments, read from its source: importing it would import torch."""

import ast
import functools
import importlib.util
from pathlib import Path


@functools.cache
def train_arg_names() -> tuple[str, ...]:
    """Of the installed version; empty where transformers is not installed."""
    package = importlib.util.find_spec("transformers")
    if package is None or package.origin is None:
        return ()
    path = Path(package.origin).with_name("training_args.py")
    classes = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    (arguments,) = (node for node in classes if node.name == "TrainingArguments")
    fields = [node.target for node in arguments.body if isinstance(node, ast.AnnAssign)]
    return tuple(field.id for field in fields if isinstance(field, ast.Name) and not field.id.startswith("_"))
