"""Which settings of a subset change nothing, or little."""

import re
import unicodedata

from ..artifacts.trajectories.read import Trajectories
from ..config.names import LIMITS
from ..config.schema import SELECTION_PRESETS, RunConfig, SubsetConfig
from ..data.rows import Rows
from ..terminal import counted, first_of
from .methods.table import METHODS, Method, shares_by_source

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")


def unused_settings(config: RunConfig) -> set[str]:
    """The settings of the subset that change nothing of what is chosen."""
    return SubsetConfig.model_fields.keys() - _used_settings(config)


def settings_remarks(config: RunConfig) -> list[str]:
    """Which settings of the subset the method does not use."""
    return unused_remarks(
        config.subset_section, _used_settings(config), by=f"method {config.subset_section.method}"
    )


def _used_settings(config: RunConfig) -> set[str]:
    subset = config.subset_section
    method = METHODS[subset.method]
    used = {"trajectories_from", "method", "budget", "budget_tokens", "extend", *LIMITS, *method.settings}
    if used & SELECTION_PRESETS["paper"].keys():
        used.add("preset")
    if not shares_by_source(subset, method):
        used -= {"source_exponent", "source_weight"}
    elif subset.source_exponent == 0:
        used.discard("source_weight")
    if subset.trajectories_from is not None:
        used.add("steps")
    if config.data is None:
        used.add("sources_from")
    return used


def sources_remarks(config: RunConfig, method: Method, pool: Rows) -> list[str]:
    """What may not be meant of the sources that the budget is to be shared out over."""
    if not shares_by_source(config.subset_section, method):
        return []
    if config.data is not None:
        where = f"data.source_column: {config.data.source_column!r}"
    elif config.subset_section.sources_from is not None:
        where = f"subset.sources_from: {config.subset_section.sources_from}"
    else:
        where = "subset.sources_from is not set"
    if pool.source_names == [""]:
        return [f"no row has a source ({where}): the pool is one source"]
    remarks: list[str] = []
    num_without = int((pool.source_codes[~pool.excluded] == 0).sum()) if pool.source_names[0] == "" else 0
    if num_without:
        remarks.append(f"{counted(num_without, 'row')} without a source ({where}): together they are one")
    named = list(filter(None, pool.source_names))
    if all(_NUMBER.fullmatch(name) for name in named):
        remarks.append(f"the sources are numbers ({first_of(named)}; {where}): each number is a source")
    by_look: dict[str, list[str]] = {}
    for name in named:
        by_look.setdefault(unicodedata.normalize("NFKC", name).strip().casefold(), []).append(name)
    alike = [" and ".join(map(repr, names)) for names in by_look.values() if len(names) > 1]
    if alike:
        remarks.append(f"sources that look alike have a share each: {first_of(alike)} ({where})")
    return remarks


def other_tokens_remarks(config: RunConfig, trajectories: Trajectories | None) -> list[str]:
    """Whether this run cuts or asks otherwise than where its losses and numbers of tokens were made."""
    if trajectories is None or trajectories.manifest is None or config.data is None:
        return []
    # Behind the colon is which chat template it was.
    template, _, _ = trajectories.manifest.template.partition(":")
    there = {"max_length": trajectories.manifest.max_length, "template": template}
    here = {
        "max_length": config.data.max_length,
        "template": "chat" if config.data.has_chat_template else config.data.template,
    }
    other = [f"data.{name} {there[name]}" for name in here if there[name] != here[name]]
    if not other:
        return []
    now = ", ".join(f"data.{name} {value}" for name, value in here.items())
    return [
        f"losses and numbers of tokens are those of the scoring, at {' and '.join(other)}: "
        f"a training on this subset has {now}"
    ]


def unused_remarks(subset: SubsetConfig, used: set[str], by: str) -> list[str]:
    """Which settings differ from their defaults without being used."""
    untouched = SubsetConfig.model_validate({"preset": subset.preset})
    unused = [
        name
        for name in SubsetConfig.model_fields
        if name not in used | {"preset"} and getattr(subset, name) != getattr(untouched, name)
    ]
    return [f"{by} does not use subset.{', subset.'.join(unused)}"] if unused else []


def few_rows_of_each(settings: SubsetConfig, budget: int, num_clusters: int, num_sources: int) -> str:
    """What to say where most clusters give one row or none: chance decides then, not the clusters."""
    num_parts = num_sources if settings.per_source else 1
    fewer = budget // (10 * num_parts)
    # One cluster would be chance alone.
    advice = f"About ten of each come from subset.num_clusters={fewer}, or take" if fewer > 1 else "Take"
    return (
        f"most of {num_clusters:,} clusters give one row or none for a budget of {counted(budget, 'row')}: "
        "chance, more than the clusters, decides which rows. "
        f"{advice} more rows"
    )


def one_cluster(per_source: bool) -> str:
    """What to say where nothing is set apart by its losses."""
    return (
        f"one cluster{' in each source' if per_source else ''}: its rows are taken at random, "
        "and the losses decide nothing. Set subset.num_clusters "
        "(left out, it is a hundredth of the rows of the largest source)"
    )
