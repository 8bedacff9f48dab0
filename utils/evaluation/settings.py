"""What is wrong with an `evaluation` section by itself, and which checkpoint is evaluated, without torch."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from ..artifacts.checkpoints import find_checkpoints
from ..artifacts.evaluations import HELDOUT
from ..artifacts.paths import RunPaths
from ..config.names import nearest
from ..config.schema import NAME_PATTERN, EvaluationConfig
from ..process import torchrun
from .questions.files import PUBLIC


def evaluation_problems(evaluation: EvaluationConfig) -> list[str]:
    """Nothing to evaluate, names that no result can have, missing files, packages that are not installed."""
    checks = (_name_problems, _limit_problems, _file_problems, _package_problems)
    problems = [problem for check in checks for problem in check(evaluation)]
    if torchrun.world_size() > 1:
        problems.append(
            "evaluate_run.py runs as one process: start it with `python evaluate_run.py`, not with torchrun"
        )
    return problems


def named_tasks(evaluation: EvaluationConfig) -> list[tuple[str, str]]:
    """The result's name and lm-eval's name of each of `evaluation.tasks`."""
    return [(Path(task).stem if _is_file(task) else task, task) for task in evaluation.tasks]


def _is_file(task: str) -> bool:
    return task.endswith((".yaml", ".yml"))


def _name_problems(evaluation: EvaluationConfig) -> Iterator[str]:
    names = [name for name, _ in named_tasks(evaluation)]
    for name in dict.fromkeys(names):
        if names.count(name) > 1 or name in evaluation.benchmarks:
            yield f"evaluation.tasks: found {name!r} twice (in tasks or benchmarks), expected each name once"
    for setting, found in (("benchmarks", evaluation.benchmarks), ("tasks", names)):
        for name in found:
            if not re.fullmatch(NAME_PATTERN, name) or name in (HELDOUT, "manifest"):
                yield (
                    f"evaluation.{setting}: found the name {name!r}, expected one that can name a file "
                    f"(letters, digits, ._+=-) and is neither {HELDOUT!r} nor 'manifest': rename it"
                )
    if evaluation.heldout is None and not evaluation.benchmarks and not names:
        yield (
            "evaluation: found neither heldout nor benchmarks nor tasks, expected at least one: "
            "add `evaluation: {heldout: FILE.jsonl}` (rows like the pool's) or "
            '`evaluation: {benchmarks: {NAME: FILE.jsonl}}` (lines of {"instruction", "answer"})'
        )


def _limit_problems(evaluation: EvaluationConfig) -> Iterator[str]:
    heldout = [HELDOUT] if evaluation.heldout else []
    known = [*heldout, *evaluation.benchmarks, *(name for name, _ in named_tasks(evaluation))]
    for name in evaluation.limit if isinstance(evaluation.limit, dict) else ():
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near!r}? " if near else ""
            yield f"evaluation.limit: unknown name {name!r}; {hint}known: {', '.join(known)}"


def _file_problems(evaluation: EvaluationConfig) -> Iterator[str]:
    files = {
        f"evaluation.benchmarks.{name}": path
        for name, path in evaluation.benchmarks.items()
        if path != PUBLIC
    }
    files |= {f"evaluation.{name}": getattr(evaluation, name) for name in ("heldout", "fewshot")}
    for setting, path in files.items():
        if path is not None and not Path(path).is_file():
            yield f"{setting}: {path} is not a file (current folder: {Path.cwd()}): correct the path"
    for task in filter(_is_file, evaluation.tasks):
        if not Path(task).is_file():
            yield f"evaluation.tasks: {task} is not a file (current folder: {Path.cwd()}): correct the path"


def _package_problems(evaluation: EvaluationConfig) -> Iterator[str]:
    if evaluation.backend == "vllm" and importlib.util.find_spec("vllm") is None:
        yield (
            "evaluation.backend: found vllm, which is not installed: "
            "pip install '.[vllm]', or set evaluation.backend=hf"
        )
    if "bert_score" in evaluation.text_metrics and importlib.util.find_spec("bert_score") is None:
        yield (
            "evaluation.text_metrics: bert_score needs the package bert_score, which is not installed: "
            "pip install '.[text]', or leave bert_score out"
        )


def choose_checkpoint(run_name: str, ckpt: int) -> tuple[int, Path | None]:
    """The step and the folder of the checkpoint, None for the base model.

    Args:
        run_name: the run that was trained.
        ckpt: a step, 0 for the base model, -1 for the newest checkpoint.

    Raises:
        FileNotFoundError: if the run has no checkpoint.
        ValueError: if it has none of this step.
    """
    if ckpt == 0:
        return 0, None
    root = RunPaths(run_name).root
    try:
        found = find_checkpoints(root)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"run {run_name!r} has no checkpoint in {root}: train it first with "
            "`python train.py --config_file <this YAML>`, or evaluate the base model with --ckpt 0"
        ) from None
    step = max(found) if ckpt == -1 else ckpt
    if step not in found:
        raise ValueError(
            f"--ckpt: found {ckpt}, but no checkpoint of step {ckpt} in {root}: "
            f"give one of {list(found)}, 0 (base) or -1 (newest)"
        )
    return step, found[step]


def checkpoint_problems(run_name: str, ckpt: int) -> list[str]:
    """The error of `choose_checkpoint`, if it would raise one."""
    try:
        choose_checkpoint(run_name, ckpt)
    except (ValueError, FileNotFoundError) as error:
        return [str(error)]
    return []
