"""The runs below res/ as a table."""

from ...artifacts.runs import Run
from ...terminal import counted, size, table

_NOUNS = {  # kind of work -> what it leaves
    "training": "checkpoint",
    "trajectories": "scored checkpoint",
    "subset": "row",
    "evaluation": "result",
}


def run_table(runs: list[Run]) -> list[str]:
    """The runs for people: a line for each thing that was done."""
    rows = []
    for run in runs:
        for number, work in enumerate(run.works):
            name, num_bytes = (run.name, size(run.num_bytes)) if number == 0 else ("", "")
            so_far = "" if work.planned in (None, work.done) else f"{work.done:,} of "
            noun = _NOUNS[work.kind.partition("-")[0]]
            amount = counted(work.done if work.planned is None else work.planned, noun)
            when = work.time[:16].replace("T", " ")
            rows.append((name, work.kind, work.status, when, so_far + amount, num_bytes, work.made_from))
    return table(["run", "work", "status", "when (UTC)", "how far", "size", "from"], rows, align="<<<<<><")
