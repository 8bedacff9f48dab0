"""Names a user writes: those that the schema takes, and the one that was probably meant."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Literal, TypeVar

from ..terminal import first_of, visible

# The schema takes these names, and the code that knows what each stands for lies where it is used.
# So a wrong name is refused with the YAML, and no stage needs another's table.
# tests/config/test_names.py compares names and tables.
SelectionMethod = Literal[
    "s2l",
    "prune_then_select",
    "random",
    "random_per_source",
    "least_confidence",
    "lowest_max_probability",
    "middle_perplexity",
    "high_learnability",
    "longest",
    "cld",
    "tacs",
    "facility_location",
    "k_center",
]
DataFormat = Literal["alpaca", "prompt_completion", "question_answer", "messages", "sharegpt"]
PromptTemplate = Literal["alpaca", "plain", "radiology", "chat"]
Speaker = Literal["assistant", "tool_call", "tool", "user", "system"]
ExportTarget = Literal["trl", "axolotl", "llama_factory", "openai", "parquet"]  # stacks that read a subset
SelectionPreset = Literal["released", "paper", "fall"]
Features = Literal["losses", "shape", "reductions", "whitened", "embeddings"]  # what is clustered
Pick = Literal["random", "stable", "brittle"]  # which rows of a cluster come first
KMeansInit = Literal["random", "kmeans++"]
KeptScore = Literal["confidence", "embeddings"]  # what scoring keeps besides the losses
DroppedKind = Literal["never_learnt", "forgotten", "known", "identical"]
TrajectoryKind = Literal[DroppedKind, "unscorable"]
FIGURE_FORMATS = ("pdf", "png", "svg")  # of a page's figures as files
# Sets of questions that the paper scores, read by its rules. A benchmark may have any other name.
PaperSet = Literal["gsm8k", "math", "numglue", "svamp", "mathematics", "simuleq"]

# Keys of `subset` that bound a choice.
LIMITS = ("include", "exclude", "drop", "deduplicate", "decontaminate", "min_per_source", "max_per_source")
T = TypeVar("T")
_NUM_SHOWN = 20  # known names in a message

# What a setting is called here -> what it is called elsewhere.
_CALLED_ELSEWHERE = {
    "subset.num_clusters": "k n_clusters clusters n_components",
    "subset.num_restarts": "n_init restarts",
    "subset.iterations": "niter n_iter max_iter num_iterations",
    "subset.budget": "size subset_size fraction ratio num_rows",
    "subset.method": "strategy algorithm selection_method",
    "subset.trajectories_from": "trajectories_path losses ref_model reference",
    "train_args.learning_rate": "lr",
    "train_args.num_train_epochs": "epochs num_epochs n_epochs",
    "train_args.max_steps": "num_steps total_steps",
    "train_args.lr_scheduler_type": "scheduler lr_scheduler",
    "global_batch_size": "batch_size train_batch_size gradient_accumulation_steps grad_accum accumulation",
    "train_args.per_device_train_batch_size": "batch_size train_batch_size",
    "data.max_length": (
        "max_len max_seq_length max_seq_len model_max_length cutoff_len seq_len sequence_length"
    ),
    "data.path": "dataset datasets data_path data_files train_file full_data_path file",
    "data.template": "prompt_template prompt",
    "data.validation": "validation_file val_file dev_file",
    "data.source_column": "source_key source_field category",
    "data.limit": "max_samples num_samples max_rows",
    "model.name_or_path": "model_name model_name_or_path base_model pretrained",
    "model.tokenizer": "tokenizer_name tokenizer_path",
    "model.dtype": "torch_dtype",
    "model.lora.r": "lora_r lora_rank rank",
    "model.lora.alpha": "lora_alpha",
    "checkpoints.count": "num_checkpoints n_checkpoints num_loss_ckpts",
    "checkpoints.every": "save_steps save_every",
    "seed": "random_seed random_state",
    "run_name": "output_dir result_dir experiment_name",
    "tracking.project": "wandb_project project_name",
    "evaluation.max_new_tokens": "max_tokens max_gen_toks",
    "evaluation.num_fewshot": "n_shot num_shots few_shot",
}
# What a setting is called elsewhere -> what it may be called here.
SYNONYMS: dict[str, tuple[str, ...]] = {
    name: tuple(key for key, names in _CALLED_ELSEWHERE.items() if name in names.split())
    for name in " ".join(_CALLED_ELSEWHERE.values()).split()
}


def is_chat_template(template: str) -> bool:
    """Whether `data.template`, or the template in a manifest, renders conversations."""
    return template.partition(":")[0] == "chat" or template.endswith(".jinja")


def look_up(table: Mapping[str, T], name: str, setting: str) -> T:
    """Raises: ValueError naming the setting, the nearest known name and all known names."""
    if name in table:
        return table[name]
    near = nearest(name, table)
    hint = f"did you mean {near!r}? " if near else ""
    known = (visible(one) or "'' (rows without one)" for one in table)  # of sources
    raise ValueError(f"{setting}: unknown name {name!r}; {hint}known: {first_of(known, _NUM_SHOWN)}")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that differs from this one by case, hyphens or a slip of the pen, if there is one."""
    plain = {_plain(one): one for one in known}
    found = difflib.get_close_matches(_plain(name), plain, n=1)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_")


def meant_key(key: str, known: Iterable[str]) -> str | None:
    """Which of the known keys an unknown one stands for.

    In this order: the same name in another section of ours, what the name is a synonym of, the same name in
    train_args (many of whose names are ours to set), a slip of the pen in the same section, one in another.

    Args:
        key: dotted, such as "subset.k".
        known: dotted, such as "subset.num_clusters".

    Returns:
        One key, several joined by " or ", or None if nobody can tell.
    """
    known = list(known)
    section, _, name = key.rpartition(".")
    elsewhere = [other for other in known if other.rpartition(".")[2] == name]
    synonyms = [other for other in SYNONYMS.get(_plain(name), ()) if other in known and other != key]
    ours = [other for other in elsewhere if not other.startswith("train_args.")]
    if exact := ours or synonyms or elsewhere:
        return " or ".join(exact[:3])
    here = {other.rpartition(".")[2]: other for other in known if other.rpartition(".")[0] == section}
    anywhere = {other.rpartition(".")[2]: other for other in known}
    for table in (here, anywhere):
        if (near := nearest(name, table)) is not None:
            return table[near]
    return None
