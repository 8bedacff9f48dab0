"""Environments: results that have nowhere to go, variables that are wrong or missing."""

from .cases import Case, Folder, Gone, Link

_PICK = "select_s2l.py --config_file pick.yml"
_TRAIN = "train.py --config_file fresh.yml"
_SCORE = "get_trajectories.py --config_file proxy.yml --ckpt 2"


def _results_in(folder: str, words: str, command: str = _PICK) -> Case:
    return Case(command, words, environment={"S2L_RES_DIR": folder})


def _in_the_way(command: str, folder: str, name: str, words: str) -> Case:
    """A folder where a file must lie, or a file where a folder must."""
    content = Folder() if "." in name else "a file in the way"
    return Case(command, words, {folder: Folder({name: content})}, leaves=folder)


def _of_launch(command: str, world_size: str) -> Case:
    """What a job script left behind in a variable of torchrun's."""
    words = f"the environment variable WORLD_SIZE: found {world_size!r}, expected a whole number"
    return Case(command, words, environment={"WORLD_SIZE": world_size})


def _of_accelerate(name: str, value: str, words: str) -> Case:
    """What `accelerate launch` makes of its own configuration."""
    return Case(_TRAIN, f"accelerate launch{words}", environment={f"ACCELERATE_{name}": value})


CASES: list[Case] = [
    *(
        _of_launch(command, size)
        for command in (_TRAIN, _SCORE)
        for size in ("two", "-1", "", "1e1", "\u0662")
    ),
    _of_accelerate("MIXED_PRECISION", "bf16", " asks for mixed precision bf16"),
    _of_accelerate("MIXED_PRECISION", "fp8", " asks for mixed precision fp8"),
    _of_accelerate("USE_FSDP", "true", ": found FSDP in its configuration"),
    _of_accelerate("USE_DEEPSPEED", "true", ": found DeepSpeed in its configuration"),
    _of_launch("evaluate_run.py --config_file target.yml --overwrite", "two"),
    _results_in("pool.jsonl", "pool.jsonl"),
    _results_in("pool.jsonl/res", "pool.jsonl"),
    _results_in("/dev/null", "/dev/null"),
    _results_in("/dev/null/res", "/dev/null"),
    _results_in("/proc/nowhere", "/proc/nowhere"),
    _results_in("/sys/nowhere", "/sys/nowhere"),
    _results_in("a" * 300, "File name too long"),
    _results_in("a/" * 3000, "File name too long"),
    _results_in("pool.jsonl", "pool.jsonl", _TRAIN),
    _results_in("pool.jsonl/res", "pool.jsonl", _TRAIN),
    _results_in("/dev/null", "/dev/null", _TRAIN),
    _results_in("/proc/nowhere", "/proc/nowhere", _TRAIN),
    _results_in("a" * 300, "File name too long", _TRAIN),
    _results_in(
        "nowhere", "nowhere/proxy does not exist: train first (train.py), or give --model_path", _SCORE
    ),
    _results_in("pool.jsonl", "pool.jsonl/proxy does not exist: train first (train.py)", _SCORE),
    _results_in("nowhere", "has no checkpoint in nowhere/target", "evaluate_run.py --config_file target.yml"),
    _results_in("nowhere", "has no evaluation in nowhere/target/evaluation", "compare_runs.py target other"),
    _results_in("\x1b[31mred", "has no evaluation in \\x1b[31mred/target", "compare_runs.py target other"),
    _results_in("pool.jsonl", "pool.jsonl", "run_experiment.py --config_file experiment.yml"),
    Case(_PICK, "res/pick is no folder, expected one", files={"res/pick": "a file in the way"}),
    Case(f"{_PICK} --dry_run", "res/pick is no folder", files={"res/pick": "a file in the way"}),
    Case(_PICK, "res", files={"res/pick": Link("/dev/null")}),
    _in_the_way(_PICK, "res/pick", "subset", "Not a directory"),
    _in_the_way(_PICK, "res/pick", "config.yml", "Is a directory"),
    Case(_TRAIN, "res/fresh is no folder", files={"res/fresh": "a file in the way"}),
    Case(f"{_TRAIN} --dry_run", "res/fresh is no folder", files={"res/fresh": "a file in the way"}),
    _in_the_way(_TRAIN, "res/fresh", "manifest.json", "Is a directory"),
    _in_the_way(_TRAIN, "res/fresh", "parts", "File exists"),
    Case(_SCORE, "res/proxy", files={"res/proxy/trajectories": "a file in the way"}),
    Case(_TRAIN, "res/.cache", files={"res/.cache": "a file in the way"}),
    Case(_PICK, "pool.jsonl", files={"pool.jsonl": Gone()}, environment={"HOME": None}),
    Case(f"{_TRAIN} model.tokenizer=nobody", "model.tokenizer", environment={"HOME": None}),
    Case(f"{_TRAIN} model.tokenizer=nobody", "model.tokenizer", environment={"HOME": "/proc/nowhere"}),
    Case(f"{_TRAIN} model.tokenizer=nobody", "model.tokenizer", environment={"HF_HOME": "/dev/null"}),
    Case(f"{_TRAIN} sed=1", "sed: unknown key", environment={"WANDB_API_KEY": ""}),
    Case(f"{_TRAIN} sed=1", "sed: unknown key", environment={"COLUMNS": "-1"}),
    Case(f"{_TRAIN} sed=1", "sed: unknown key", environment={"OMP_NUM_THREADS": "many"}),
    Case(_PICK, "pool.jsonl", files={"pool.jsonl": Gone()}, environment={"PYTHONHASHSEED": "none"}),
]
