"""The fields of transformers.TrainingArguments, read from its source: importing it would import torch."""

import ast
import functools
import importlib.util
from pathlib import Path


@functools.cache
def train_arg_kinds() -> dict[str, frozenset[str]]:
    """Name -> the kinds of value that its annotation allows, such as {"float", "None"}.

    Of the installed version. Empty where transformers is not installed.
    """
    package = importlib.util.find_spec("transformers")
    if package is None or package.origin is None:
        return {}
    source = Path(package.origin).with_name("training_args.py").read_text(encoding="utf-8")
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    (arguments,) = (node for node in classes if node.name == "TrainingArguments")
    return {
        node.target.id: frozenset(ast.unparse(node.annotation).split(" | "))
        for node in arguments.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not node.target.id.startswith("_")
    }


def train_arg_names() -> tuple[str, ...]:
    return tuple(train_arg_kinds())
