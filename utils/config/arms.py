"""One YAML that stands for many runs: methods x budgets x seeds over one pool, proxy and target."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, PositiveInt, field_validator

from utils.config.load import load_config, read_values, validated
from utils.config.schema import RunConfig, Section, SubsetConfig

WHOLE_POOL = "full"  # the method that chooses nothing: the whole pool, whatever the budgets
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._+=-]*$"


def _no_settings_is_none(value: Any) -> Any:
    """`random:` with nothing after it."""
    return {name: settings or {} for name, settings in value.items()} if isinstance(value, dict) else value


class ArmsConfig(Section):
    """Which runs an experiment is made of. Their names are <name>_<method>_<budget>_seed<seed>."""

    name: str = Field(pattern=_NAME, description="what the names of all its runs begin with")
    proxy: str = Field(description="YAML of the run whose trajectories the methods use; trained and scored first")
    references: list[str] = Field(
        default_factory=list,
        description="YAMLs of further runs to train and score, for methods with a trajectories_from of their own",
    )
    score_base_model: bool = Field(
        default=False, description="score step 0 of the proxy and the references too, as high_learnability needs"
    )
    target: str = Field(
        description="YAML of the target; its run_name, seed and subset's method and budget are not used"
    )
    settings: dict[str, Any] = Field(
        default_factory=dict, description="key.sub -> value, over the target's YAML in every arm"
    )
    methods: Annotated[dict[str, dict[str, Any]], BeforeValidator(_no_settings_is_none)] = Field(
        min_length=1,
        description="label -> settings of its subset; the label is the method unless `method` is among them; `full` is "
        "the whole pool",
    )
    budgets: list[int | float] = Field(min_length=1, description="each as subset.budget")
    seeds: list[int] = Field(min_length=1)
    processes: PositiveInt = Field(default=1, description="of a training, under torchrun: one per GPU")

    @field_validator("budgets")
    @classmethod
    def _are_budgets(cls, budgets: list[int | float]) -> list[int | float]:
        for budget in budgets:
            SubsetConfig.model_validate({"budget": budget})
        return budgets


class Arm(Section):
    """One run of an experiment.

    Attributes: overrides: what its command line says after the target's YAML; config: what both come to.
    """

    label: str
    budget: int | float | None
    overrides: tuple[str, ...]
    config: RunConfig


def load_arms(config_file: str | Path, overrides: Iterable[str] = ()) -> ArmsConfig:
    """Raises: FileNotFoundError; ValueError with all problems of the YAML."""
    path = Path(config_file)
    return validated(ArmsConfig, path, read_values(path), overrides)


def arms_of(arms: ArmsConfig) -> list[Arm]:
    """Every run, all methods and budgets of a seed before the next seed.

    Raises: FileNotFoundError, ValueError: a YAML or a setting that no run could be made of; two runs of one name; a proxy
    that was trained on another pool than the target is.
    """
    proxy, _ = load_config(arms.proxy, needs=("model", "data"))
    found = []
    for seed in arms.seeds:
        for label, subset in arms.methods.items():
            for budget in [None] if label == WHOLE_POOL else arms.budgets:
                found.append(_arm(arms, proxy, label, subset, budget, seed))
    names = [arm.config.run_name for arm in found]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"found two runs named {', '.join(repeated)}, expected each budget and seed once")
    for arm in found:
        if arm.config.data != proxy.data:
            raise ValueError(
                f"the proxy ({arms.proxy}) and the target ({arms.target}) read other pools: found {proxy.data} and "
                f"{arm.config.data}, expected the same `data` section in both"
            )
    return found


def _arm(
    arms: ArmsConfig, proxy: RunConfig, label: str, subset: dict[str, Any], budget: int | float | None, seed: int
) -> Arm:
    parts = [arms.name, label, *([] if budget is None else [str(budget)]), f"seed{seed}"]
    values: dict[str, Any] = {"run_name": "_".join(parts), "seed": seed, **arms.settings}
    if budget is None:
        values["subset"] = None
    else:
        own = {"method": label, "trajectories_from": proxy.run_name, **subset, "budget": budget}
        values |= {f"subset.{name}": value for name, value in own.items()}
    overrides = tuple(f"{key}={_as_yaml(value)}" for key, value in values.items())
    return Arm(label=label, budget=budget, overrides=overrides, config=load_config(arms.target, overrides)[0])


def _as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
