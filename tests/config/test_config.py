"""Configs: every error at once and in words; every YAML of the project and of the released code loads."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT
from utils.artifacts.configs import write_config
from utils.artifacts.paths import RunPaths
from utils.config.experiment import load_experiment
from utils.config.load import as_yaml, load_config
from utils.config.names import SYNONYMS
from utils.config.problems import known_keys
from utils.config.released import translate_released_config
from utils.config.schema import RunConfig, SubsetConfig, TrajectoriesConfig
from utils.config.train_arg_names import train_arg_kinds
from utils.config.train_args import train_args_problems

MINIMAL = "run_name: r\nmodel: {name_or_path: m}\ndata: {path: p}\n"

# The two YAMLs of the released code, by their keys.
RELEASED_PROXY = """
full_data_path: TIGER-Lab/MathInstruct
model_name_or_path: EleutherAI/pythia-70m-deduped
cache_dir: /data/huggingface_models
model_max_length: 512
schedule_name: Full
result_dir_name: full_mathinstruct_pythia-70m-deduped_3epochs_512_checkpoints
train_args:
  optim: adamw_torch
  num_train_epochs: 3
  per_device_train_batch_size: 4
  per_device_eval_batch_size: 4
  gradient_accumulation_steps: 8
  eval_strategy: "no"
  save_strategy: "steps"
  save_steps: 500
  save_total_limit: 12
  learning_rate: 2.0e-5
  weight_decay: 0.
  warmup_ratio: 0.03
  lr_scheduler_type: cosine
  logging_steps: 1
  fsdp: "full_shard auto_wrap"
  fsdp_config:
    transformer_layer_cls_to_wrap: "GPTNeoXLayer"
  bf16: TRUE
  tf32: TRUE
  group_by_length: TRUE
  full_determinism: TRUE
  seed: 42
"""
RELEASED_TARGET = """
full_data_path: TIGER-Lab/MathInstruct
model_name_or_path: microsoft/Phi-3-mini-4k-instruct
cache_dir: /data/huggingface_models
model_max_length: 512
schedule_name: S2L
result_dir_name: full-70m_100_phi-3-mini-4k-instruct_130k_3epochs
ref_model_path: res/full_mathinstruct_pythia-70m-deduped_3epochs_512_checkpoints/output
n_components: 100
num_loss_ckpts: -1
distance: euclidean
init_label_num: 131020
n_round: 0
n_query: 0
train_args:
  num_train_epochs: 3
  per_device_train_batch_size: 4
  gradient_accumulation_steps: 8
  evaluation_strategy: "no"
  save_strategy: "no"
  learning_rate: 2e-5
  warmup_ratio: 0.03
  fsdp: "full_shard auto_wrap"
  fsdp_config: {fsdp_transformer_layer_cls_to_wrap: [Phi3DecoderLayer]}
  bf16: TRUE
  tf32: TRUE
"""


@pytest.fixture
def yaml_file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "config.yml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_all_errors_come_at_once_with_the_nearest_names(yaml_file):
    path = yaml_file(
        "run_nmae: r\nrun_name: a/b\nmodel: {name_or_path: m}\n"
        "data: {path: 3, max_lenght: 9}\nsubset: {budget: 0}\n"
    )
    with pytest.raises(ValueError, match="5 problems") as refusal:
        load_config(path)
    message = str(refusal.value)
    for words in (
        str(path),
        "did you mean run_name?",
        "a/b",
        "data.path: found 3",
        "data.max_length",
        "subset.budget: found 0",
    ):
        assert words in message, f"{words!r} is missing in\n{message}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("run_name: r\nseed: 1\nseed: 2\n", ["line 3", "'seed'", "line 2"]),
        ("- a\n- b\n", ["found list", "expected a mapping"]),
        ("run_name: [\n", ["not readable as YAML"]),
        ("run_name: Comparisons\n", ["run_name", "'Comparisons'", "no run in res/", "another name"]),
        ("run_name: r\nmodel: {}\n", ["model", "exactly one of name_or_path"]),
        (MINIMAL + "checkpoints: {count: 3, every: 4}\n", ["count and every"]),
        (MINIMAL + "subset: {budget: -5}\n", ["found -5"]),
        (MINIMAL + "subset: {budget: 1.5}\n", ["found 1.5"]),
        (MINIMAL + "subset: {budget: true}\n", ["found True"]),
        (MINIMAL + "subset: {preset: relased}\n", ["relased", "'released', 'paper' or 'fall'"]),
        (MINIMAL + "seed: -1\n", ["seed: found -1"]),
    ],
)
def test_wrong_yaml_is_refused_in_words(yaml_file, text, words):
    with pytest.raises(ValueError) as refusal:
        load_config(yaml_file(text), needs=["model"])
    assert all(word in str(refusal.value) for word in words), refusal.value


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("learning_rate: 1e-3", "train_args.learning_rate"),
        ("lr: 1e-3", "train_args.learning_rate"),
        ("warmup_steps: 3", "train_args.warmup_steps"),
        ("epochs: 3", "train_args.num_train_epochs"),
        ("batch_size: 4", "global_batch_size or train_args.per_device_train_batch_size"),
        ("gradient_accumulation_steps: 4", "global_batch_size"),
        ("output_dir: x", "run_name"),
        ("max_len: 9", "data.max_length"),
        ("max_length: 9", "data.max_length"),
        ("budget: 9", "subset.budget"),
        ("global-batch-size: 9", "global_batch_size"),
        ("limit: 9", "data.limit or evaluation.limit"),
        ("subset: {k: 3}", "subset.num_clusters"),
        ("subset: {n_clusters: 3}", "subset.num_clusters"),
        ("subset: {clusters: 20}", "subset.num_clusters"),
        ("subset: {learning_rate: 3}", "train_args.learning_rate"),
        ("subset: {seed: 3}", "seed"),
        ("subset: {budgett: 3}", "subset.budget"),
        ("trajectories: {max_length: 3}", "data.max_length"),
        ("model: {name_or_path: m, lora: {rank: 3}}", "model.lora.r"),
        ("checkpoints: {save_steps: 3}", "checkpoints.every"),
    ],
)
def test_a_key_in_the_wrong_place_or_by_another_name_is_told_where_it_belongs(yaml_file, line, meant):
    text = MINIMAL if not line.startswith("model") else "run_name: r\ndata: {path: p}\n"
    with pytest.raises(ValueError) as refusal:
        load_config(yaml_file(f"{text}{line}\n"))
    assert str(refusal.value).endswith(f"did you mean {meant}?")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("learning_rat", "train_args.learning_rate"),
        ("lr", "train_args.learning_rate"),
        ("max_length", "data.max_length"),
        ("global_batch_size", "global_batch_size"),
        ("num_clusters", "subset.num_clusters"),
    ],
)
def test_a_setting_that_is_none_of_transformers_is_told_where_it_belongs(name, meant):
    (problem,) = train_args_problems({name: 1})
    assert f"did you mean {meant}?" in problem


def test_every_synonym_stands_for_a_key_that_is_there():
    known = known_keys(RunConfig)
    assert {key for keys in SYNONYMS.values() for key in keys} <= set(known)
    taken = {key.rpartition(".")[2] for key in known if not key.startswith("train_args.")}
    assert not taken & SYNONYMS.keys(), "what is a key of ours stands for itself"


def test_no_words_of_pydantic_reach_a_user(yaml_file):
    """One wrong value of each kind."""
    wrong = """
run_name: a/b
seed: -1
model: {name_or_path: 3, dtype: float33, trust_remote_code: 7, lora: {r: x, dropout: 1.0}}
data: {path: [3], max_length: 0, columns: {a: 3}, limit: 1.5}
checkpoints: 3
train_args: 7
trajectories: {also: [confidenc]}
subset: {features: 3, steps: [a], min_per_source: x, max_per_source: {a: 0}, decontaminate: x, min_slope: -1}
evaluation: {limit: x, benchmarks: [a]}
"""
    with pytest.raises(ValueError) as refusal:
        load_config(yaml_file(wrong))
    _, *lines = str(refusal.value).splitlines()
    assert len(lines) == 22
    assert all(": found " in line and ", expected " in line for line in lines), "\n".join(lines)
    assert not any("nput should" in line or "tring should" in line or "constrained" in line for line in lines)


def test_a_stage_asks_only_for_what_it_uses(yaml_file):
    path = yaml_file("run_name: r\ndata: {path: p}\n")
    assert load_config(path, needs=["data"])[0].model is None
    with pytest.raises(ValueError, match="model: missing"):
        load_config(path, needs=["model", "data"])


def test_missing_and_undecodable_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yml"):
        load_config(tmp_path / "nowhere.yml")
    (tmp_path / "latin.yml").write_bytes("run_name: caf\xe9".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8"):
        load_config(tmp_path / "latin.yml")


def test_number_without_a_dot_is_a_number(yaml_file):
    config, _ = load_config(yaml_file(MINIMAL + "train_args: {learning_rate: 2e-5, run: 1e3x}\n"))
    assert config.train_args == {"learning_rate": 2e-5, "run": "1e3x"}


def test_numbers_are_those_of_yaml_1_2(yaml_file):
    text = "{a: 1:30, b: 010, c: 1_000, d: 0x10, e: 1e3, f: -.5, g: 1.5E-3, h: 190:20:30.15}"
    config, _ = load_config(yaml_file(MINIMAL + f"train_args: {text}\n"))
    numbers = {"c": 1000, "d": 16, "e": 1e3, "f": -0.5, "g": 1.5e-3}
    assert config.train_args == {**numbers, "a": "1:30", "b": "010", "h": "190:20:30.15"}


@pytest.mark.parametrize("override", [
    "subset.min_slope=.inf", "subset.min_slope=.nan", "subset.budget=.inf", "model.lora={dropout: .nan}",
    "subset.num_clusters=99999999999999999999", "global_batch_size=99999999999999999999",
    f"run_name={'n' * 300}",
])  # fmt: skip
def test_numbers_and_names_that_nothing_could_hold_are_refused(yaml_file, override):
    key = override.split("=")[0]
    with pytest.raises(ValueError, match=key.split(".")[-1]):
        load_config(yaml_file(MINIMAL), [override])


def test_command_line_wins_over_yaml_and_yaml_over_defaults(yaml_file):
    path = yaml_file(MINIMAL + "seed: 5\nglobal_batch_size: 8\n")
    config, _ = load_config(
        path, ["seed=6", "subset.budget=0.5", "train_args.learning_rate=1e-4", "data.limit=10"]
    )
    assert (config.seed, config.global_batch_size, config.checkpoints.count) == (6, 8, 12)
    assert config.subset is not None
    assert (config.subset.budget, config.train_args["learning_rate"]) == (0.5, 1e-4)
    for wrong in ("seed", "=3", "seed.deep=3", "a..b=1"):
        with pytest.raises(ValueError, match="found|plain value"):
            load_config(path, [wrong])


def test_a_config_of_an_earlier_version_which_could_compile_loads(yaml_file):
    for compiled in ("false", "true"):
        text = f"run_name: r\ntrajectories: {{precision: tf32, compile: {compiled}}}\n"
        assert load_config(yaml_file(text))[0].trajectories == TrajectoriesConfig(precision="tf32")


def test_presets_fill_what_is_not_written(yaml_file):
    config, _ = load_config(yaml_file(MINIMAL + "subset: {preset: paper, iterations: 7}\n"))
    assert config.subset is not None
    assert (config.subset.per_source, config.subset.min_cluster_size, config.subset.iterations) == (
        False,
        1,
        7,
    )
    released = load_config(yaml_file(MINIMAL + "subset: {}\n"))[0].subset
    assert released is not None
    assert (released.per_source, released.min_cluster_size, released.max_points_per_centroid) == (
        True,
        3,
        256,
    )


def test_the_preset_of_falls_is_released_with_other_shares_and_leaves_its_control_alone(yaml_file):
    def of(subset: str) -> dict[str, Any]:
        section = load_config(yaml_file(MINIMAL + f"subset: {subset}\n"))[0].subset
        assert section is not None
        return section.model_dump(exclude={"preset", "method"})

    shares = {"source_exponent": 1.0, "source_weight": "fall"}
    assert of("{preset: fall}") == {**of("{preset: released}"), **shares}
    assert of("{preset: fall, source_exponent: 0.5}") == {**of("{preset: fall}"), "source_exponent": 0.5}
    assert of("{preset: fall, method: random_per_source}") == of("{method: random_per_source}")


def test_editors_are_told_the_limits_of_a_budget():
    budget = SubsetConfig.model_json_schema()["properties"]["budget"]["anyOf"]
    numbers = [*budget[:-1], *budget[-1]["items"]["anyOf"]]
    assert [(each["type"], each["exclusiveMinimum"], each.get("maximum")) for each in numbers] == [
        ("integer", 0, None),
        ("number", 0, 1),
    ] * 2


@pytest.mark.parametrize(
    "path",
    sorted(path for path in (PROJECT / "configs").rglob("*.yml") if not path.name.startswith("experiment")),
    ids=str,
)
def test_each_shipped_yaml_loads_and_says_how_to_launch_it(path):
    config, translations = load_config(path, needs=["model", "data"])
    assert not translations
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any("Launch:" in line for line in header) and any("Before:" in line for line in header)
    assert not train_args_problems(config.train_args)


def test_released_proxy_yaml_loads_unchanged_and_says_what_became_of_it(yaml_file):
    config, lines = load_config(yaml_file(RELEASED_PROXY))
    assert config.run_name == "full_mathinstruct_pythia-70m-deduped_3epochs_512_checkpoints"
    assert config.global_batch_size == 128
    assert config.checkpoints.count == 12
    assert config.subset is None
    assert config.train_args["warmup_steps"] == 0.03
    assert config.train_args["train_sampling_strategy"] == "group_by_length"
    assert config.train_args["fsdp"] is True
    assert not train_args_problems(config.train_args)
    for old in (
        "warmup_ratio",
        "group_by_length",
        "save_total_limit",
        "fsdp",
        "gradient_accumulation_steps",
        "eval_strategy",
    ):
        assert any(old in line for line in lines), f"nothing is said of {old}"


def released_yaml(**changes) -> dict:
    values = yaml.safe_load(RELEASED_TARGET)
    values["train_args"] |= changes.pop("train_args", {})
    return values | changes


@pytest.mark.parametrize(
    "values",
    [
        yaml.safe_load(RELEASED_PROXY),
        released_yaml(),
        released_yaml(seed=7, train_args={"seed": 8, "save_steps": 500, "save_total_limit": 3}),
        released_yaml(schedule_name="Full", train_args={"save_strategy": "epoch", "save_steps": 500}),
        released_yaml(
            train_args={"fsdp": "", "report_to": ["wandb", "tensorboard"], "lr_scheduler_type": "cosine"}
        ),
        released_yaml(train_args={"fsdp": True, "report_to": None, "warmup_steps": 9, "max_steps": 5}),
    ],
    ids=str,
)
def test_every_key_of_a_released_yaml_is_named_in_what_is_said_of_it(values):
    _, lines = translate_released_config(values)
    said = re.findall(r"\w+", " ".join(line.partition(" -> ")[0] for line in lines))
    keys = {*values, *values["train_args"]} - {"train_args"}
    assert keys <= set(said), f"nothing is said of {keys - set(said)}"


def test_released_target_yaml_means_our_target_yaml(yaml_file):
    config, _ = load_config(yaml_file(RELEASED_TARGET))
    ours, _ = load_config(PROJECT / "configs/s2l/full-70m_100_phi-3-mini-4k-instruct_130k_3epochs.yml")
    assert config.subset == ours.subset
    assert config.run_name == ours.run_name
    assert config.global_batch_size == ours.global_batch_size


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("n_components: 100", "n_componets: 100", "n_componets"),
        ("schedule_name: S2L", "schedule_name: S2l", "expected Full or S2L"),
        ("num_loss_ckpts: -1", "num_loss_ckpts: 5", "subset.steps"),
        ("init_label_num: 131020", "init_label_num: -1", "init_label_num"),
        ('evaluation_strategy: "no"', 'evaluation_strategy: "steps"', "evaluate_run.py"),
    ],
)
def test_released_yaml_that_could_not_have_run_is_refused(yaml_file, old, new, words):
    assert old in RELEASED_TARGET
    with pytest.raises(ValueError, match=words):
        load_config(yaml_file(RELEASED_TARGET.replace(old, new)))


def test_train_args_are_known_without_importing_transformers():
    """Their names and kinds are read from its source; here against the class itself."""
    import dataclasses

    from transformers import TrainingArguments

    fields = {field.name: field for field in dataclasses.fields(TrainingArguments)}
    kinds = train_arg_kinds()
    assert kinds.keys() == fields.keys()
    for name, field in fields.items():
        if isinstance(field.type, type):
            assert kinds[name] == {field.type.__name__}
    defaults = {
        name: field.default
        for name, field in fields.items()
        if kinds[name] <= {"int", "float", "bool", "str", "None"}
    }
    problems = train_args_problems(
        {name: value for name, value in defaults.items() if not name.startswith("fsdp")}
    )
    assert not [problem for problem in problems if "found" in problem], "defaults are values that we honour"


NUMBERS = sorted(
    name
    for name, kinds in train_arg_kinds().items()
    if kinds & {"int", "float"}
    and not train_args_problems({name: None if "None" in kinds else 1 if "int" in kinds else 0.5})
)


@pytest.mark.parametrize("name", NUMBERS)
def test_each_number_of_train_args_is_checked(name):
    for wrong in ("fast", "2e-3", True, float("nan"), float("inf"), [1], {"a": 1}, -2):
        problems = train_args_problems({name: wrong})
        assert len(problems) == 1 and f"train_args.{name}: found {wrong!r}" in problems[0], problems


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("learning_rate", "2e-3", "without quotes"),
        ("learning_rate", None, "a number of at least 0"),
        ("adam_beta1", 2, "from 0 to below 1"),
        ("adam_beta2", 1, "from 0 to below 1"),
        ("num_train_epochs", 0, "above 0"),
        ("max_steps", 0, "or -1"),
        ("logging_steps", 1.5, "a fraction above 0"),
        ("bf16", "yes", "true or false"),
        ("full_determinism", 1, "true or false"),
        ("optim_args", 3, "a text"),
        ("learning_rat", 1, "did you mean train_args.learning_rate"),
        ("gradient_accumulation_steps", 2, "global_batch_size"),
        ("save_steps", 10, "checkpoints"),
        ("fsdp_config", "c.json", "a mapping"),
    ],
)
def test_wrong_train_args_are_refused_in_words(name, wrong, words):
    (problem,) = train_args_problems({name: wrong})
    assert problem.startswith(f"train_args.{name}: ") and words in problem


def test_problems_of_whole_sections_come_with_those_of_broken_ones(yaml_file):
    path = yaml_file(MINIMAL + "checkpoints: {cuont: 3}\ntrain_args: {learning_rate: fast}\nseed: -1\n")
    checks = {"train_args": train_args_problems, "data": lambda data: [f"data.path: {data.path}?"]}
    with pytest.raises(ValueError, match="7 problems") as refusal:
        load_config(path, ["a", "b.c"], ["subset"], checks)
    for words in (
        "checkpoints.cuont: unknown key",
        "learning_rate: found 'fast'",
        "data.path: p?",
        "seed",
        "subset: missing",
        "'a'",
        "'b.c'",
    ):
        assert words in str(refusal.value)


@pytest.mark.parametrize(
    "value", ["1e-5", "2E3", 1e-5, 5, True, None, "a: b", "x\ny", [1, "1e5"], {"a": "1e3"}, "yes", "", " a"]
)
def test_a_value_survives_the_command_line_and_the_config_that_is_written(value, res_dir, tmp_path):
    path = tmp_path / "run.yml"
    path.write_text("run_name: a\nmodel: {name_or_path: m}\n")
    config, _ = load_config(path, [f"train_args.any={as_yaml(value)}"])
    assert config.train_args["any"] == value and type(config.train_args["any"]) is type(value)
    write_config(RunPaths("a"), config)
    assert load_config(RunPaths("a").config)[0] == config


def test_the_yaml_of_a_run_and_that_of_an_experiment_are_told_apart():
    with pytest.raises(ValueError, match=r"the YAML of an experiment.*give it to run_experiment\.py"):
        load_config(PROJECT / "configs/quickstart/experiment.yml")
    with pytest.raises(ValueError, match="the YAML of a run, expected one of an experiment"):
        load_experiment(PROJECT / "configs/quickstart/proxy.yml")
