"""One YAML that stands for many runs: methods x budgets x seeds over one pool, proxy and target."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from ..terminal import one_line
from .load import (
    NO_CHECKS,
    Checks,
    apply_overrides,
    as_yaml,
    load_config,
    read_translated,
    read_values,
    validated,
)
from .names import SelectionMethod, nearest
from .problems import listing
from .schema import NAME_PATTERN, Budget, PositiveInt, RunConfig, Section, Seed, Text, check_budget

WHOLE_POOL = "full"  # the method that chooses nothing: the whole pool, whatever the budgets
# What an experiment sets in each of its runs, and which of its own keys says it.
CONTROLLED = {
    "run_name": "name",
    "seed": "seeds",
    "subset.method": "methods",
    "subset.budget": "budgets",
    "subset.budget_tokens": "budgets",
    "subset.same_as": "methods",
    "subset.trajectories_from": "proxy, or trajectories_from of a method",
}
_A_METHODS_OWN = {"method", "trajectories_from"}  # of these, what a method may say of its subset

Item = TypeVar("Item")


def _each_once(items: list[Item]) -> list[Item]:
    repeated = [text for text, times in Counter(map(str, items)).items() if times > 1]
    if repeated:
        raise ValueError(f"found {', '.join(repeated)} more than once, expected each once: remove the others")
    return items


def _dotted(settings: Any) -> Any:
    """A section's settings each by itself, so that the target's others stay.

    `train_args: {max_steps: 5}` becomes `train_args.max_steps: 5`.

    Raises: ValueError for the same setting twice.
    """
    if not isinstance(settings, dict):
        return settings
    pairs: list[tuple[str, Any]] = []
    for key, value in settings.items():
        is_section = isinstance(value, dict) and "." not in str(key)
        if is_section:
            pairs += [(f"{key}.{name}", inner) for name, inner in value.items()]
        else:
            pairs.append((key, value))
    keys = [str(key) for key, _ in pairs]
    nested = {f"{one} and {other}" for one in keys for other in keys if other.startswith(f"{one}.")}
    if repeated := sorted({key for key in keys if keys.count(key) > 1} | nested):
        raise ValueError(f"found {', '.join(repeated)}, which set the same twice: keep one of them")
    return dict(pairs)


def _target_key(key: str) -> str:
    if key in CONTROLLED:
        raise ValueError(
            f"found here, but the experiment sets it in every run, by its {CONTROLLED[key]}: remove it"
        )
    if key == "subset":
        raise ValueError(
            "found a value for the whole section, expected its keys, such as subset.num_clusters: 50"
        )
    if "=" in key or not all(key.split(".")):
        raise ValueError("expected the key of a run's YAML, such as train_args.max_steps")
    return key


def is_a_methods_own(key: str) -> bool:
    """Whether a method of an experiment may say this of its subset."""
    return f"subset.{key}" not in CONTROLLED or key in _A_METHODS_OWN


def _method_key(key: str) -> str:
    if not is_a_methods_own(key):
        whose = CONTROLLED[f"subset.{key}"]
        raise ValueError(f"found here, but the experiment sets it in every run, by its {whose}: remove it")
    return key


def _names_as_mapping(methods: Any) -> Any:
    """`methods: [s2l, random]`, and `random:` with nothing after it."""
    if isinstance(methods, list) and all(isinstance(method, str) for method in methods):
        return {label: {} for label in _each_once(methods)}
    if isinstance(methods, dict):
        return {label: {} if settings is None else settings for label, settings in methods.items()}
    raise ValueError(
        f"found {methods!r}, expected names, as in [s2l, random], or name: settings of its subset"
    )


_Budget = Annotated[Budget, BeforeValidator(check_budget)]
Label = Annotated[str, Field(pattern=NAME_PATTERN)]
TargetSettings = Annotated[dict[Annotated[str, AfterValidator(_target_key)], Any], BeforeValidator(_dotted)]
MethodSettings = dict[Annotated[str, AfterValidator(_method_key)], Any]
# As they may be written in a YAML.
WrittenMethods = (
    Annotated[list[Label], Field(min_length=1)]
    | Annotated[dict[Label, dict[str, Any] | None], Field(min_length=1)]
)
Methods = Annotated[
    dict[Label, MethodSettings], BeforeValidator(_names_as_mapping, json_schema_input_type=WrittenMethods)
]


class ExperimentConfig(Section):
    """Which runs an experiment is made of. Their names are <name>_<method>_<budget>_seed<seed>."""

    name: str = Field(
        pattern=NAME_PATTERN, max_length=100, description="what the names of all its runs begin with"
    )
    proxy: Text = Field(
        description="the run whose trajectories the methods use, by its YAML "
        "(or by its name, if it was trained before); trained and scored first"
    )
    references: Annotated[list[Text], AfterValidator(_each_once)] = Field(
        default_factory=list,
        description="further runs to train and score, for methods with a trajectories_from of their own",
    )
    score_base_model: bool = Field(
        default=False,
        description="score step 0 of the proxy and the references too, as high_learnability needs",
    )
    target: Text = Field(
        description="the target's YAML; the plan names what the experiment sets in place of it "
        "(seed, method, budget, ...)"
    )
    settings: TargetSettings = Field(
        default_factory=dict, description="key.sub -> value, over the target's YAML in every arm"
    )
    methods: Methods = Field(
        min_length=1,
        description="label -> settings of its subset; the label is the method unless `method` is among them; "
        "`full` is the whole pool. A list of labels does where no method has settings",
    )
    budgets: Annotated[list[_Budget], AfterValidator(_each_once)] = Field(
        default_factory=list, description="each as subset.budget; none if the whole pool is the only method"
    )
    seeds: Annotated[list[Seed], AfterValidator(_each_once)] = Field(
        min_length=1, description="one run of each method and budget for each seed"
    )
    proxy_per_seed: bool = Field(
        default=False,
        description="train and score the proxy and the references anew with each seed, as <run>_seed<seed>, "
        "so that intervals hold their chance too",
    )
    processes: PositiveInt = Field(
        default=1, le=1024, description="of a training, under torchrun: one per GPU"
    )
    at_once: PositiveInt = Field(
        default=1,
        le=1024,
        description="runs made side by side; they share the cores, and are dealt to the GPUs in turn",
    )

    @field_validator("at_once")
    @classmethod
    def _one_way_to_use_several_gpus(cls, at_once: int, info: ValidationInfo) -> int:
        if at_once > 1 and info.data.get("processes", 1) > 1:
            raise ValueError(
                f"found {at_once} with processes {info.data['processes']}: "
                "give the GPUs to one training, or a training to each GPU"
            )
        return at_once

    @field_validator("methods")
    @classmethod
    def _nothing_is_overruled(cls, methods: Methods, info: ValidationInfo) -> Methods:
        problems = []
        if settings := methods.get(WHOLE_POOL):
            problems.append(
                f"{WHOLE_POOL}: found {', '.join(settings)}, but it is the whole pool, which is not chosen: "
                "remove the settings, or use another label"
            )
        folded = Counter(label.casefold() for label in methods)
        if alike := [label for label in methods if folded[label.casefold()] > 1]:
            problems.append(
                f"found {', '.join(alike)}, which some file systems do not tell apart: rename one"
            )
        for label, settings in methods.items():
            if "method" not in settings and label not in (WHOLE_POOL, *get_args(SelectionMethod)):
                near = nearest(label, get_args(SelectionMethod))
                problems.append(
                    f"{label}: found no `method`, so that the label is taken as the method, and it is none: "
                    f"add `method: {near or 's2l'}`" + (f", or did you mean {near}?" if near else "")
                )
            if both := [key for key in settings if f"subset.{key}" in info.data.get("settings", {})]:
                problems.append(
                    f"{label}: found {', '.join(both)} here and in `settings`, which hold in every arm: "
                    "keep one of them"
                )
        if problems:
            raise ValueError("; ".join(problems))
        return methods

    @field_validator("budgets")
    @classmethod
    def _fit_the_methods(cls, budgets: list[Budget], info: ValidationInfo) -> list[Budget]:
        methods = info.data.get("methods")
        if methods is None:
            return budgets
        chooses = set(methods) != {WHOLE_POOL}
        if chooses and not budgets:
            raise ValueError("found none, expected how many rows the methods choose, such as [1000] or [0.1]")
        if budgets and not chooses:
            raise ValueError(
                f"found {budgets}, but the only method is {WHOLE_POOL}, the whole pool: remove them "
                "(budgets=[] on a command line)"
            )
        return budgets


@dataclass(frozen=True)
class ExperimentRun:
    """One run of an experiment.

    Attributes:
        label: of its method.
        budget: None for the whole pool.
        seed: of the run.
        overrides: what its command line says after the target's YAML.
        config: what both come to.
    """

    label: str
    budget: int | float | None
    seed: int
    overrides: tuple[str, ...]
    config: RunConfig


def load_experiment(config_file: str | Path, overrides: Iterable[str] = ()) -> ExperimentConfig:
    """The experiment. Overrides that list methods by their labels make these of the YAML's.

    Raises: FileNotFoundError; ValueError with all problems of the YAML.
    """
    path = Path(config_file)
    values = read_values(path)
    if "run_name" in values and "proxy" not in values:
        raise ValueError(
            f"{path}: found the YAML of a run, expected one of an experiment, such as "
            "configs/quickstart/experiment.yml"
        )
    problems = []
    for override in overrides:  # one by one, so that labels keep what an override before them sets
        methods = values.get("methods")
        problems += apply_overrides(values, [override])
        if "methods" in values:
            values["methods"] = _with_their_settings(values["methods"], methods)
    experiment, more_problems = validated(ExperimentConfig, values, ())
    problems += more_problems
    if experiment is None or problems:
        raise ValueError(listing(path, problems))
    return experiment


def _with_their_settings(labels: Any, methods: Any) -> Any:
    """A list of labels as a mapping to what the methods until now say of them; anything else as it is."""
    is_list = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
    if not is_list or not isinstance(methods, dict) or len(set(labels)) < len(labels):
        return labels
    return {label: methods.get(label) for label in labels}


def load_whole(config_file: str | Path, experiment: ExperimentConfig) -> ExperimentConfig:
    """What a YAML alone says of an experiment, of which a command line may name some runs only.

    Args:
        experiment: what both say. It is the whole where the YAML is no experiment of this name.
    """
    try:
        alone = load_experiment(config_file)
    except ValueError:
        return experiment
    return alone if alone.name == experiment.name else experiment


def arms_and_seeds(experiment: ExperimentConfig) -> Iterator[tuple[str, int | float | None, int]]:
    """(label, budget, seed) of every run, all methods and budgets of a seed before the next seed."""
    for seed in experiment.seeds:
        for label in experiment.methods:
            for budget in [None] if label == WHOLE_POOL else experiment.budgets:
                yield label, budget, seed


def runs_of(experiment: ExperimentConfig, checks: Checks = NO_CHECKS) -> list[ExperimentRun]:
    """Every run, in the order of `arms_and_seeds`.

    Args:
        experiment: whose runs.
        checks: of the sections of their configs, as for `load_config`.

    Raises:
        FileNotFoundError: no such YAML.
        ValueError: the settings of all runs that cannot be made, or a proxy that was trained on another pool.
    """
    proxy, _ = load_config(experiment.proxy, needs=("model", "data"))
    references = {load_config(path)[0].run_name for path in experiment.references} | {proxy.run_name}
    # A key that the target's YAML gives and that excludes what the experiment sets in its place.
    replaced = replaced_keys(experiment)
    cleared = {key: None for key in ("subset.budget_tokens", "subset.same_as") if key in replaced}
    runs: list[ExperimentRun] = []
    problems: dict[str, str] = {}  # what is wrong -> where first: most mistakes hold in many runs
    for label, budget, seed in arms_and_seeds(experiment):
        origin = str(experiment.methods[label].get("trajectories_from", proxy.run_name))
        if experiment.proxy_per_seed and origin in references:
            origin = of_seed(origin, seed)
        subset = {**cleared, "subset.method": label, "subset.trajectories_from": origin}
        overrides = _overrides(experiment, label, budget, seed, subset)
        try:
            config, _ = load_config(experiment.target, overrides, ("model", "data"), checks)
        except ValueError as error:
            problems.setdefault(str(error), f"methods.{label}")
            continue
        runs.append(ExperimentRun(label, budget, seed, overrides, config))
    if problems:
        raise ValueError("\n".join(f"{where}: {problem}" for problem, where in problems.items()))
    for run in runs:
        if problem := _other_rows(experiment, proxy, run.config):
            raise ValueError(problem)
    return runs


def _other_rows(experiment: ExperimentConfig, proxy: RunConfig, target: RunConfig) -> str | None:
    """In which settings the proxy and a target read other rows, and what to do. None where they don't."""
    ours, theirs = _rows_of(proxy), _rows_of(target)
    differing = [key for key in ours if ours[key] != theirs[key]]
    if not differing:
        return None
    found = ", ".join(
        f"data.{key} {'unset' if ours[key] is None else one_line(str(ours[key]))} there and "
        f"{'unset' if theirs[key] is None else one_line(str(theirs[key]))} here"
        for key in differing
    )
    whose = f"the proxy ({experiment.proxy}) and the target ({experiment.target})"
    if differing == ["validation"]:
        return (
            f"{whose} name other validation rows: found {found}, expected the same in both, since the proxy "
            f"scores what the methods read: set data.validation in {experiment.proxy}, and in the target "
            "(or `settings`)"
        )
    return f"{whose} read other pools: found {found}, expected the same in both"


def _rows_of(config: RunConfig) -> dict[str, Any]:
    """Which rows a run reads. How a model is shown them may differ: a proxy may know no chat template."""
    return config.data_section.model_dump(exclude={"template", "max_length", "score_turns", "score_roles"})


def reads_other_rows(config: RunConfig, other: RunConfig) -> bool:
    """Whether two runs read other pools. Which rows they are validated on may differ."""
    return {**_rows_of(config), "validation": None} != {**_rows_of(other), "validation": None}


def run_name_of(experiment: ExperimentConfig, label: str, budget: int | float | None, seed: int) -> str:
    """<name>_<label>_<budget>_seed<seed>. Args: budget: None for the whole pool."""
    size = [] if budget is None else [str(budget)]
    return "_".join([experiment.name, label, *size, f"seed{seed}"])


def comparison_of_budget(experiment: ExperimentConfig, budget: int | float | None) -> str:
    """<name>_<budget>. Args: budget: None where the whole pool is all that is trained on."""
    return experiment.name if budget is None else f"{experiment.name}_{budget}"


def of_seed(reference: str, seed: int) -> str:
    """The name of the proxy, or of another reference, that is made anew with a seed."""
    return f"{reference}_seed{seed}"


def replaced_keys(experiment: ExperimentConfig) -> dict[str, Any]:
    """What the target's YAML says of the keys that the experiment sets, its run_name set aside."""
    values, _ = read_translated(Path(experiment.target))
    subset = values.get("subset")
    of_subset = {f"subset.{key}": value for key, value in subset.items()} if isinstance(subset, dict) else {}
    sets = CONTROLLED.keys() - {"run_name"}
    return {key: value for key, value in (values | of_subset).items() if key in sets and value is not None}


def _overrides(
    experiment: ExperimentConfig, label: str, budget: int | float | None, seed: int, subset: dict[str, Any]
) -> tuple[str, ...]:
    """What a run's command line says.

    Args:
        experiment: whose run.
        label: of its method.
        budget: None for the whole pool.
        seed: of the run.
        subset: the settings of its subset that those of the method win over.
    """
    values: dict[str, Any] = {"run_name": run_name_of(experiment, label, budget, seed), "seed": seed}
    if budget is None:
        values |= {key: value for key, value in experiment.settings.items() if not key.startswith("subset.")}
        values["subset"] = None
    else:
        own = {**experiment.methods[label], "budget": budget}
        own.pop("trajectories_from", None)  # it is in `subset` already
        values |= experiment.settings | subset | {f"subset.{key}": value for key, value in own.items()}
    return tuple(f"{key}={as_yaml(value)}" for key, value in values.items())
