"""Where a subset comes from, as the documents beside its rows say it."""

from dataclasses import dataclass
from typing import Any

from ...config.names import Speaker

TABLE_FILE = "train.parquet"
ORIGINS_FILE = "rows.jsonl"


@dataclass(frozen=True)
class Origin:
    """What made a subset. No path of the machine is in it.

    Attributes:
        run_name: of the run that chose it.
        num_rows: of the subset.
        pool_name: a file's name without its folder, or a name on the hub.
        pool_fingerprint: sha256.
        num_pool_rows: of the pool.
        num_selectable: rows that it was chosen from.
        method: of choosing.
        seed: of the run.
        losses: whose they are, and of which steps. None where none decided.
        template: of the prompts of this run.
        scored_turns: of a conversation, those who speak in turns that are scored.
        scored_last: whether of these turns the last alone is scored.
        scored: template and most tokens of a row with which S2L scored the pool.
            None where it did not, or the scores are gone.
        sources: source -> what composition.json says of it.
    """

    run_name: str
    num_rows: int
    pool_name: str
    pool_fingerprint: str
    num_pool_rows: int
    num_selectable: int
    method: str
    seed: int
    losses: str | None
    template: str
    scored_turns: tuple[Speaker, ...]
    scored_last: bool
    scored: tuple[str, int] | None
    sources: dict[str, Any]
