"""The card of a subset that is a dataset on the hub."""

from collections.abc import Iterator
from typing import Any

from ...terminal import counted, visible
from .origin import ORIGINS_FILE, TABLE_FILE, Origin

_NUM_SOURCES = 40  # in the table
_CARD = """\
---
configs:
- config_name: default
  data_files: {table_file}
tags:
- data-selection
---

# {run_name}

{num_rows} of {num_pool_rows} of a fine-tuning set, chosen with the code of SmallToLarge
(S2L, [arXiv:2403.07384](https://arxiv.org/abs/2403.07384)).

- **Method**: {method}, seed {seed}
- **Losses**: {losses}
- **Pool**: {pool_name}, {num_pool_rows}, fingerprint `{pool_fingerprint}`
- **Budget**: {num_rows} of {num_selectable:,} selectable ones, {share:.1f} %

## Files

- `{table_file}`: the chosen rows with their columns as they were, in the order of the pool. A column whose
  values have no type in common holds texts, and what was none as JSON.
- `{origins_file}`: of each of these rows its number in the pool (from 0), its source and its cluster.

## Composition

| source | rows of the pool | chosen | % of the subset |
|---|---|---|---|
{composition}

## Licence

Not stated. The rows have the licence of the pool that they come from. Write it here, and as `license:` at the
top, before others see them.
"""


def dataset_card(origin: Origin) -> str:
    """Markdown, with the header that the hub and `datasets` read. The licence is left to the user."""
    return _CARD.format(
        table_file=TABLE_FILE,
        origins_file=ORIGINS_FILE,
        run_name=origin.run_name,
        num_rows=counted(origin.num_rows, "row"),
        num_pool_rows=counted(origin.num_pool_rows, "row"),
        method=origin.method,
        seed=origin.seed,
        losses="none, the method looks at none" if origin.losses is None else _markdown(origin.losses),
        pool_name=_markdown(origin.pool_name),
        pool_fingerprint=origin.pool_fingerprint,
        num_selectable=origin.num_selectable,
        share=100 * origin.num_rows / origin.num_selectable,
        composition="\n".join(_lines_of_sources(origin.sources)),
    )


def _lines_of_sources(sources: dict[str, Any]) -> Iterator[str]:
    largest = sorted(sources, key=lambda name: (-sources[name]["pool_rows"], name))[:_NUM_SOURCES]
    for name in sorted(largest):
        counts = sources[name]
        share = 100 * counts["share_of_subset"]
        shown = _markdown(name) or "(none)"
        yield f"| {shown} | {counts['pool_rows']:,} | {counts['chosen']:,} | {share:.1f} |"
    if len(sources) > len(largest):
        yield f"| and {len(sources) - len(largest):,} smaller sources | | | |"


def _markdown(text: str) -> str:
    """A name that somebody gave, as plain text within Markdown."""
    return "".join(f"\\{letter}" if letter in r"\`*_[]<>|#" else letter for letter in visible(text))
