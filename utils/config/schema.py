"""The one schema of a run: every key a YAML may contain, its default and its limits.

Each class is one section of the YAML. Unknown keys are refused. A stage asks for the sections it needs
(`load.load_config(..., needs=...)`), so selection never looks for a model.
The descriptions become docs/config.md.
"""

from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ..terminal import first_of
from .names import (
    DataFormat,
    DroppedKind,
    Features,
    KeptScore,
    KMeansInit,
    PaperSet,
    Pick,
    PromptTemplate,
    SelectionMethod,
    SelectionPreset,
    Speaker,
    is_chat_template,
    nearest,
)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._+=-]*$"  # of what becomes the name of a folder
_OTHERS_IN_RESULTS = ("comparisons", "quickstart_data", "readme.md")  # lie in res/ and are no runs
# Whole numbers only: without `strict`, `limit: true` would be one row.
PositiveInt = Annotated[int, Field(strict=True, gt=0, lt=2**63)]
NonNegativeInt = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
_NUM_PARTS_SHOWN = 3  # of a pool of many files
Text = Annotated[str, Field(min_length=1)]  # an empty name or path is a slip, and some libraries take it

SELECTION_PRESETS: dict[str, dict[str, Any]] = {
    # What the released code does, its silent k-means and small-cluster rules included.
    "released": {
        "per_source": True,
        "min_cluster_size": 3,
        "max_points_per_centroid": 256,
        "iterations": 20,
        "init": "random",
        "num_restarts": 1,
    },
    # Algorithm 1 of the paper: one clustering of the whole pool on all its points, with no exception
    # for small clusters.
    "paper": {
        "per_source": False,
        "min_cluster_size": 1,
        "max_points_per_centroid": None,
        "iterations": 20,
        "init": "random",
        "num_restarts": 1,
    },
}
# Ours, of docs/results.md: as released, but the budget goes to the sources whose losses fall most.
SELECTION_PRESETS["fall"] = {**SELECTION_PRESETS["released"], "source_exponent": 1.0, "source_weight": "fall"}
_PRESETS_ARE_OF = ("s2l", "prune_then_select")  # methods. A random control beside them keeps its own shares.


def check_budget(value: Any) -> Any:
    """Rows, a fraction, or a list of those. pydantic would read `budget: true` as 1: one example.

    Raises: ValueError for anything else.
    """
    for budget in value if isinstance(value, list) and value else [value]:
        is_rows = isinstance(budget, int) and not isinstance(budget, bool) and budget >= 1
        is_fraction = isinstance(budget, float) and 0 < budget <= 1
        if not is_rows and not is_fraction:
            raise ValueError(
                f"found {budget!r}, expected a whole number of rows (at least 1) "
                "or a fraction in (0, 1] such as 0.11, or a list of such numbers"
            )
    return value


# The limits are those of check_budget, once more for editors that read the JSON schema.
Budget = PositiveInt | Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """A section of the YAML: immutable, and closed to unknown keys."""

    # No number may be infinite or NaN: nothing here means anything by it, and JSON has neither.
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class LoraConfig(Section):
    """Low-rank adaptation through peft: checkpoints hold the adapter, scored merged into the base model."""

    r: PositiveInt = Field(default=16, description="rank of the adapter")
    alpha: PositiveInt = Field(default=32, description="scale of the adapter")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout in front of the adapter")
    target_modules: str | list[str] = Field(
        default="all-linear", description="names of the layers that get one"
    )


class ModelConfig(Section):
    """The model to fine-tune: a folder or hub name, or an architecture to start from random weights."""

    name_or_path: Text | None = Field(
        default=None, description="a folder, or a name on the hub; either this or architecture"
    )
    architecture: dict[str, Any] | None = Field(
        default=None,
        description="keys of a transformers config, `model_type` among them: starts from random weights",
    )
    tokenizer: Text | None = Field(default=None, description="folder or hub name; default: the model's own")
    revision: Text | None = Field(default=None, description="branch, tag or commit on the hub")
    cache_dir: Text | None = Field(
        default=None, description="where files of the hub are kept; default: the hub library's own folder"
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32",
        description="of the weights as they are loaded for training. With bf16 or fp16 in train_args those "
        "that are trained are float32, on any devices",
    )
    attn_implementation: Text | None = Field(
        default=None,
        description="as in from_pretrained; default: what transformers chooses. With flash attention a "
        "training packs the rows of a micro-batch one behind the other, without padding",
    )
    lora: LoraConfig | None = Field(
        default=None, description="train a low-rank adapter in place of all weights"
    )
    trust_remote_code: bool = Field(
        default=False, description="run the code that lies with the model on the hub"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> "ModelConfig":
        if (self.name_or_path is None) == (self.architecture is None):
            both = (
                ": leave one out, by model.architecture=null model.tokenizer=null or model.name_or_path=null"
            )
            raise ValueError(
                f"found {'both' if self.architecture else 'neither'}, expected exactly one of name_or_path "
                f"(fine-tune) and architecture (start from scratch){both if self.architecture else ''}"
            )
        if self.architecture is not None and "model_type" not in self.architecture:
            raise ValueError("architecture has no model_type: add one, e.g. model_type: gpt_neox")
        if self.architecture is not None and self.tokenizer is None:
            raise ValueError(
                "architecture has no tokenizer of its own: set model.tokenizer to a folder or hub name"
            )
        if self.architecture is not None and self.lora is not None:
            raise ValueError(
                "lora adapts a trained model: set name_or_path instead of architecture, or remove lora"
            )
        return self


class PoolPart(Section):
    """An entry of `data.path`, which may say where its rows come from and how they are read."""

    path: Text = Field(description="a file, pattern, folder or hub name, as in data.path")
    source: Text | None = Field(
        default=None, description="of all its rows, whatever their source_column says"
    )
    format: DataFormat | None = Field(default=None, description="default: data.format")
    columns: dict[str, Text] | None = Field(
        default=None, description="default: data.columns, and none where the entry has a format"
    )


class DataConfig(Section):
    """The pool: where its rows are and how a row becomes a prompt and a response."""

    path: Text | Annotated[list[Text | PoolPart], Field(min_length=1)] = Field(
        description="a .jsonl, .json, .csv or .parquet file (the first three also with .gz or .zst behind), "
        "a pattern such as data/*.jsonl, a folder that `datasets` saved, a dataset's hub name, "
        "or a list of these, each a text or {path: ..., source: ..., format: ..., columns: ...} with "
        "the source of all its rows and how they are read, as far as that is its own; "
        "relative paths, here and everywhere, count from the folder the command is run in"
    )
    split: Text = Field(
        default="train", description="of datasets on the hub, and of folders that datasets saved"
    )
    name: Text | None = Field(default=None, description="configuration name of a hub dataset")
    revision: Text | None = Field(
        default=None,
        description="of a hub dataset: a commit, tag or branch; default: its newest, which may change",
    )
    format: DataFormat = Field(
        default="alpaca",
        description="which fields a row has; alpaca: instruction, input, output; "
        "prompt_completion: prompt, completion, texts or lists of turns; "
        "question_answer: question, context, answer; messages: messages, turns of role and content; "
        "sharegpt: conversations, turns of from and value; those with turns take system and tools, too",
    )
    template: Text = Field(
        default="alpaca",
        description="how a row becomes a prompt: alpaca, plain (the instruction as it is), radiology, "
        "chat (the tokenizer's own chat template), or a .jinja file with a chat template; "
        "rows with turns need one of the last two",
    )
    score_turns: Literal["all", "last"] = Field(
        default="all",
        description="of a row with turns: over which of the scored ones the loss is taken",
    )
    score_roles: list[Speaker] = Field(
        default=["assistant"],
        min_length=1,
        description="whose turns the loss is taken over; a turn whose weight is 0 never counts",
    )
    max_length: PositiveInt = Field(
        default=512,
        description="tokens of prompt and response together (of each, with an encoder and a decoder); "
        "the rest is cut off, and the plan says of how many examples "
        "and which lengths would keep them whole",
    )
    columns: dict[str, Text] = Field(
        default_factory=dict, description="field of the format -> your column's name"
    )
    source_column: Text = Field(default="source", description="the tag that says where a row came from")
    limit: PositiveInt | None = Field(
        default=None, description="use the first n rows only; that is a pool of its own"
    )
    validation: Text | None = Field(
        default=None,
        description="rows of what the target is to be good at, in the pool's own form: a file, pattern, "
        "folder or hub name; scored at the same checkpoints, and never chosen; methods cld and tacs "
        "choose by them",
    )
    invalid_rows: Literal["error", "drop"] = Field(
        default="error",
        description="a row without instruction or response, or with a list, object, date or NaN "
        "in a column that is read; a dropped row keeps its number but is never used",
    )

    @field_validator("template")
    @classmethod
    def _known_template(cls, template: str) -> str:
        known = get_args(PromptTemplate)
        if template not in known and not template.endswith(".jinja"):
            near = nearest(template, known)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ValueError(f"found {template!r}, expected {', '.join(known)} or a .jinja file{hint}")
        return template

    @model_validator(mode="after")
    def _turns_need_a_chat_template(self) -> "DataConfig":
        for name in (self.format, *(part.format for part in self.parts)):
            if name in ("messages", "sharegpt") and not self.has_chat_template:
                raise ValueError(
                    f"format {name} has turns, found template {self.template}, which takes a question and "
                    "an answer: set template to chat, or to a .jinja file"
                )
        return self

    @model_validator(mode="after")
    def _sources_are_read(self) -> "DataConfig":
        if self.source_column != "source" and all(part.source is not None for part in self.parts):
            raise ValueError(
                f"found source_column {self.source_column!r}, but each entry of path names the source of its "
                "rows: remove one of the two"
            )
        return self

    @property
    def has_chat_template(self) -> bool:
        """Whether rows become conversations."""
        return is_chat_template(self.template)

    @property
    def parts(self) -> list[PoolPart]:
        """The entries of `path` in their order. A single text is one."""
        entries = self.path if isinstance(self.path, list) else [self.path]
        return [PoolPart(path=entry) if isinstance(entry, str) else entry for entry in entries]

    def read_as(self, part: PoolPart) -> "DataConfig":
        """How the rows of an entry of `path` are read."""
        columns = self.columns if part.format is None else {}
        own = {"format": part.format or self.format, "columns": part.columns or columns}
        return self.model_copy(update=own)

    @property
    def validation_data(self) -> "DataConfig | None":
        """How the validation rows are read: as the pool, whole. None where there are none."""
        if self.validation is None:
            return None
        whole = {"path": self.validation, "limit": None, "revision": None, "validation": None}
        return self.model_copy(update=whole)

    @property
    def origin(self) -> str:
        """Where the rows come from, for messages."""
        return path_in_words([part.model_dump() for part in self.parts])


def path_in_words(path: Any) -> str:
    """A `data.path` in one line, as it was recorded."""
    entries = path if isinstance(path, list) else [path]
    names = [entry.get("path") if isinstance(entry, dict) else entry for entry in entries]
    return first_of(names, _NUM_PARTS_SHOWN)


class CheckpointsConfig(Section):
    """Which optimizer steps leave a checkpoint, by one of the first three. The last step is always saved."""

    count: PositiveInt | None = Field(
        default=None, description="this many checkpoints, evenly spaced over the training"
    )
    steps: list[PositiveInt] | None = Field(default=None, description="checkpoints at these steps")
    every: PositiveInt | None = Field(default=None, description="a checkpoint at every n-th step")
    keep: Literal["all", "last"] = Field(
        default="all",
        description="last: train.py removes a checkpoint once a newer one is saved "
        "and the losses at both are on disk; needs trajectories.during_training",
    )

    @model_validator(mode="after")
    def _one_rule(self) -> "CheckpointsConfig":
        given = [name for name in ("count", "steps", "every") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"found {' and '.join(given) or 'none'}, expected exactly one of count, steps, every"
            )
        return self


class TrajectoriesConfig(Section):
    """How the pool is scored."""

    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        default="float32",
        description="precision of the scoring; losses of different precisions are kept apart and never mixed",
    )
    max_tokens_per_batch: PositiveInt | None = Field(
        default=None, description="default: from the free memory"
    )
    examples_per_unit: PositiveInt = Field(
        default=8192,
        description="rows scored between two saves: a killed run loses at most so many per device; "
        "changes no loss",
    )
    also: list[KeptScore] = Field(
        default_factory=list,
        description="kept of each checkpoint besides the losses; confidence: the mean probability "
        "of the response tokens, and that of the likeliest tokens at their places",
    )
    during_training: bool = Field(
        default=False, description="train.py scores each checkpoint right after saving it"
    )
    workers: PositiveInt | None = Field(
        default=None,
        description="processes on a machine without GPUs, when started plainly (default: one); "
        "each visible GPU has one worker",
    )

    @model_validator(mode="before")
    @classmethod
    def _without_compile(cls, value: Any) -> Any:
        # Earlier versions had `compile`, which changed no loss, and wrote it into each run's config.yml.
        if not isinstance(value, dict) or not isinstance(value.get("compile"), bool):
            return value
        return {name: setting for name, setting in value.items() if name != "compile"}


class SubsetConfig(Section):
    """Which rows of the pool the target is trained on. Keys left out come from the preset."""

    preset: SelectionPreset = Field(
        default="released",
        description="where the keys of the clustering come from that the YAML leaves out; "
        "fall: as released, but the budget goes to the sources by how far their losses fall",
    )
    trajectories_from: Text | None = Field(
        default=None,
        description="a run's name or folder (of the released code too), "
        "or a file of losses in pool order: .npy, .npz, .parquet",
    )
    sources_from: Text | None = Field(
        default=None,
        description="without a data section: each row's source, "
        "a .npy of N numbers or texts or a .txt of N lines, without a header",
    )
    method: SelectionMethod = Field(
        default="s2l", description="s2l, or what it is compared with: see [choosing](choosing.md)"
    )
    same_as: Text | None = Field(
        default=None,
        description="train on the subset of this run (RUN, or RUN/subset-<rows> of several) "
        "instead of making one",
    )
    extend: Text | None = Field(
        default=None,
        description="keep all rows of this run's subset, whose pool is the beginning of this one",
    )
    budget: Annotated[Budget | list[Budget], BeforeValidator(check_budget)] = Field(
        default=1.0,
        description="rows (int), or a fraction of the selectable rows (float in (0, 1], rounded half up); "
        "a list makes one subset of each",
    )
    budget_tokens: PositiveInt | None = Field(
        default=None, description="instead of budget: as many rows as fit into this many response tokens"
    )
    num_clusters: PositiveInt | Literal["auto"] | None = Field(
        default=None,
        description="clusters per source (or of the pool), at most. auto: the largest number whose "
        "clusterings agree between seeds. Default: one per 100 rows of the largest source (or of the pool), "
        "from 1 to 100",
    )
    features: Features = Field(
        default="losses",
        description="what is clustered; shape: losses less the row's own mean; reductions: by what share "
        "of itself a loss falls from checkpoint to checkpoint; whitened: losses, the columns decorrelated "
        "over the pool; embeddings: mean response embeddings of the last checkpoint",
    )
    pick: Pick = Field(
        default="random",
        description="which rows of a cluster come first; stable: whose loss moves least from checkpoint to "
        "checkpoint; brittle: whose last loss is farthest from the first",
    )
    source_exponent: float = Field(
        default=0.0,
        ge=0,
        le=4,
        description="a source's share of the budget is proportional to its source_weight to this power; "
        "0: even shares; what an exhausted source leaves goes to the others",
    )
    source_weight: Literal["rows", "fall"] = Field(
        default="rows",
        description="what a source's weight is: its number of rows, or how far its losses fall from the "
        "first checkpoint to the last, on average",
    )
    cluster_exponent: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="a cluster's share of what its source gives is proportional to its rows to this power",
    )
    min_slope: float = Field(
        default=0.02,
        ge=0,
        description="prune_then_select: a loss that falls by less per checkpoint is pruned (nats)",
    )
    steps: list[int] | None = Field(default=None, description="checkpoints to use; default: all after step 0")
    min_per_source: PositiveInt | dict[str, PositiveInt] | None = Field(
        default=None,
        description="rows at least, of every source or by name; a smaller source gives what it has",
    )
    max_per_source: PositiveInt | dict[str, PositiveInt] | None = Field(
        default=None, description="rows at most, of every source or by name"
    )
    include: Text | None = Field(
        default=None,
        description="rows that must be in: a .npy or .txt of row numbers, or a column of true and false",
    )
    exclude: Text | None = Field(default=None, description="rows that must be out, given in the same way")
    drop: list[DroppedKind] = Field(
        default_factory=list,
        description="rows of these kinds are out, as --inspect finds them: [never_learnt], for example",
    )
    deduplicate: Literal["none", "exact"] = Field(
        default="none", description="exact: of rows with the same response only the first can be chosen"
    )
    decontaminate: list[Text] = Field(
        default_factory=list,
        description="files of benchmark questions (.jsonl or .txt): "
        "rows that share ten words in a row are out, or twenty characters where no spaces are written",
    )
    per_source: bool = Field(
        description="share the budget over the sources first, and cluster each source by itself"
    )
    min_cluster_size: PositiveInt = Field(
        description="smaller clusters give rows only when all others are exhausted"
    )
    max_points_per_centroid: PositiveInt | None = Field(
        description="k-means is fitted on at most so many rows of each cluster; null: on all"
    )
    iterations: PositiveInt = Field(le=10_000, description="iterations of k-means")
    init: KMeansInit = Field(description="how k-means starts")
    num_restarts: PositiveInt = Field(
        le=10_000, description="k-means runs so often, and the best result counts"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        # An unknown preset is refused as such. Without the keys of some preset, each of them would be
        # called missing besides.
        preset = SELECTION_PRESETS["released"]
        if value.get("method", "s2l") in _PRESETS_ARE_OF:
            preset = SELECTION_PRESETS.get(str(value.get("preset")), preset)
        return {**preset, **_with_features(value)}

    @model_validator(mode="after")
    def _one_budget(self) -> "SubsetConfig":
        if self.budget_tokens is not None and "budget" in self.model_fields_set:
            raise ValueError(
                f"found both budget ({self.budget}) and budget_tokens ({self.budget_tokens}): "
                "keep one of them"
            )
        return self


def _with_features(subset: dict[str, Any]) -> dict[str, Any]:
    """`clusters`, as earlier versions called it, as `features`."""
    named = {"trajectories": "losses", "embeddings": "embeddings"}
    if "features" in subset or subset.get("clusters") not in list(named):
        return subset
    others = {name: value for name, value in subset.items() if name != "clusters"}
    return {**others, "features": named[subset["clusters"]]}


class TrackingConfig(Section):
    """Where training metrics go besides res/<run_name>/metrics.jsonl."""

    report_to: Literal["none", "wandb", "tensorboard", "trackio"] = Field(
        default="none", description="the tracker; it must be installed"
    )
    project: Text = Field(default="s2l", description="its project")


class EvaluationConfig(Section):
    """What evaluate_run.py measures on a trained model, and how it is asked."""

    heldout: Text | None = Field(
        default=None, description="rows in the pool's own format: response loss and accuracy per source"
    )
    benchmarks: dict[str, Text] = Field(
        default_factory=dict,
        description='name -> a file of the set as published or of lines of {"instruction", "answer"}, '
        "or `public`; asked with data.template. "
        f"The paper's own rules read {', '.join(get_args(PaperSet))}",
    )
    tasks: list[Text] = Field(
        default_factory=list,
        description="tasks that lm-eval ships, by name (or a task's YAML), with their own prompts",
    )
    text_metrics: list[Literal["bleu", "rouge_l", "bert_score"]] = Field(
        default_factory=list,
        description="compare held-out responses with these as texts, instead of judging answers",
    )
    bert_score_model: Text = Field(
        default="roberta-large", description="hub name or folder; its scores compare to no other's"
    )
    program_of_thought: bool = Field(
        default=False,
        description="ask benchmarks for programs, run them shut off from the machine (Linux), "
        "fall back on words",
    )
    backend: Literal["hf", "vllm"] = Field(default="hf", description="what generates; vllm is an extra")
    tensor_parallel: PositiveInt = Field(default=1, description="GPUs that share the model, with vllm")
    max_new_tokens: NonNegativeInt = Field(
        default=256,
        description="of a response; 0: nothing is generated, only the held-out loss measured",
    )
    stop: list[Text] = Field(
        default=["### Instruction"], description="texts that end a response, besides its own end"
    )
    num_fewshot: NonNegativeInt | None = Field(
        default=None,
        description="solved examples before each question; default: none, and what a task of lm-eval says",
    )
    fewshot: Text | None = Field(
        default=None, description="where they come from: a file like the pool's, its first rows"
    )
    chat_template: bool = Field(
        default=False,
        description="ask in the model's own chat format also where data.template is not a chat template",
    )
    max_tokens_per_batch: PositiveInt = Field(
        default=8192, description="the size of a batch; changes no answer"
    )
    limit: PositiveInt | dict[str, PositiveInt] | None = Field(
        default=None,
        description="use the first n questions only: of everything, "
        "or by name (heldout, a benchmark, a task)",
    )

    @model_validator(mode="after")
    def _settings_fit(self) -> "EvaluationConfig":
        if self.num_fewshot and self.fewshot is None and (self.heldout or self.benchmarks):
            raise ValueError(
                f"found num_fewshot {self.num_fewshot} without examples: "
                "set fewshot to a file like the pool's"
            )
        if not self.max_new_tokens and (self.benchmarks or self.tasks or self.text_metrics):
            raise ValueError(
                "found max_new_tokens 0, with which nothing is generated, "
                "and benchmarks, tasks or text_metrics: remove them, or allow responses of some tokens"
            )
        if self.text_metrics and self.heldout is None:
            raise ValueError("found text_metrics without heldout, whose responses they compare: set heldout")
        if self.program_of_thought and self.num_fewshot:
            raise ValueError(
                f"found program_of_thought with num_fewshot {self.num_fewshot}, "
                "whose solved examples are in words: remove one of them"
            )
        if self.tensor_parallel > 1 and self.backend != "vllm":
            raise ValueError(
                f"found tensor_parallel {self.tensor_parallel} with backend hf: set backend to vllm"
            )
        return self

    def limit_of(self, question_set: str) -> int | None:
        return self.limit.get(question_set) if isinstance(self.limit, dict) else self.limit


Config = TypeVar("Config", bound=Section)


def _there(section: Config | None, name: str) -> Config:
    if section is None:
        raise ValueError(missing_section(name))
    return section


def missing_section(name: str) -> str:
    return f"{name}: missing, and this command needs it: add a `{name}:` section"


class RunConfig(Section):
    """One YAML = one run. Its results go to res/<run_name>."""

    run_name: str = Field(pattern=NAME_PATTERN, max_length=200, description="folder under res/")
    seed: Seed = Field(
        default=42,
        description="of weights that start at random, the order of rows, dropout, k-means and draws",
    )
    model: ModelConfig | None = Field(
        default=None, description="the model to fine-tune; selection needs none"
    )
    data: DataConfig | None = Field(default=None, description="the pool")
    checkpoints: CheckpointsConfig = Field(
        default=CheckpointsConfig(count=12), description="which optimizer steps are saved"
    )
    global_batch_size: PositiveInt = Field(
        default=128, description="examples per optimizer step, on any number of devices"
    )
    train_args: dict[str, Any] = Field(
        default_factory=dict, description="names of transformers.TrainingArguments"
    )
    trajectories: TrajectoriesConfig = Field(
        default=TrajectoriesConfig(), description="how the pool is scored"
    )
    subset: SubsetConfig | None = Field(
        default=None, description="which rows the target is trained on; left out: all"
    )
    tracking: TrackingConfig = Field(
        default=TrackingConfig(), description="where metrics go besides metrics.jsonl"
    )
    evaluation: EvaluationConfig = Field(default=EvaluationConfig(), description="what evaluate_run.py asks")

    # The sections that a stage cannot do without. A script has seen to them by `needs` of `load_config`.
    # Who calls a stage from a program of their own is told here.

    @property
    def model_section(self) -> ModelConfig:
        """Raises: ValueError where there is none."""
        return _there(self.model, "model")

    @property
    def data_section(self) -> DataConfig:
        """Raises: ValueError where there is none."""
        return _there(self.data, "data")

    @property
    def subset_section(self) -> SubsetConfig:
        """Raises: ValueError where there is none."""
        return _there(self.subset, "subset")

    @field_validator("run_name")
    @classmethod
    def _is_no_other_name_of_results(cls, run_name: str) -> str:
        if run_name.casefold() in _OTHERS_IN_RESULTS:  # some file systems do not tell A from a
            raise ValueError(f"found {run_name!r}, which is no run in res/, expected another name")
        return run_name

    @model_validator(mode="after")
    def _scored_before_removed(self) -> "RunConfig":
        if self.checkpoints.keep == "last" and not self.trajectories.during_training:
            raise ValueError(
                "checkpoints.keep: found last, which needs trajectories.during_training: true "
                "(a checkpoint that is gone cannot be scored): set it, or keep: all"
            )
        return self
