"""Whether the held-out rows are of the kind that `data.validation` aims at: what to say where they are not"""

from collections.abc import Iterator, Sequence

from ..artifacts.configs import recorded_config
from ..artifacts.evaluations import HELDOUT
from ..artifacts.paths import RunPaths
from ..config.schema import DataConfig
from ..data.pool import Pool
from ..terminal import counted, first_of
from .runs import EvaluatedRun


def remarks_on_aim(runs: Sequence[EvaluatedRun]) -> list[str]:
    """One for each file of validation rows, where held-out rows are of other sources too."""
    results = [run.results[HELDOUT] for run in runs if HELDOUT in run.results]
    measured = sorted({source for result in results for source in result.by_source})
    sections = [recorded_config(RunPaths(run.name)).get("data") for run in runs]
    return list(dict.fromkeys(remark for data in sections for remark in _remarks(data, measured)))


def _remarks(section: object, measured: Sequence[str]) -> Iterator[str]:
    """Args: section: `data` of a run's config. measured: the sources of the held-out rows."""
    try:
        data = DataConfig.model_validate(section).validation_data if section and measured else None
        aimed = set() if data is None else set(Pool(data).source_names)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        yield f"Whether the held-out rows are of the kind of data.validation is not known: {reason}."
        return
    others = [source for source in measured if source not in aimed]
    if data is not None and others and aimed != {""}:
        yield (
            f"data.validation ({data.origin}) aims at {_named(sorted(aimed))}. The held-out rows are also of "
            f"{_named(others)}, so an average over all sources is not what was aimed at: go by the loss of "
            "each source, or measure with an evaluation.heldout that holds rows of the aimed kind only."
        )


def _named(sources: Sequence[str]) -> str:
    return f"{counted(len(sources), 'source')} ({first_of(source or 'no source' for source in sources)})"
