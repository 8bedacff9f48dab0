"""Plan a page and make it: gather, render, write"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...artifacts.files import atomic_write, remove_leftovers
from ...artifacts.locks import locked
from ...artifacts.paths import figures_in, report_path
from ...config.names import FIGURE_FORMATS
from .facts import Missing, PageFacts
from .gathering.page_facts import gather_experiment, gather_runs
from .gathering.subjects import ExperimentSubjects, OpenedPool, Subject


@dataclass(frozen=True)
class PageRequest:
    """What a page is to be about.

    Attributes:
        subjects: the runs.
        experiment: that they are of, None for runs that were named one by one.
        pool: their rows.
    """

    subjects: Sequence[Subject]
    experiment: ExperimentSubjects | None
    pool: OpenedPool


@dataclass(frozen=True)
class PagePlan:
    """A page to be made. Attributes: facts: what it shows. pool: its texts. path: where it goes."""

    facts: PageFacts
    pool: OpenedPool
    path: Path

    @property
    def missing(self) -> list[Missing]:
        """What the page will say is not there."""
        return [each for of_section in self.facts.missing.values() for each in of_section]


@dataclass(frozen=True)
class PageFiles:
    """What was written.

    Attributes:
        path: the page.
        num_bytes: its size.
        figures: files of figures.
        others: files of figures beside them that this page did not write.
    """

    path: Path
    num_bytes: int
    figures: list[Path]
    others: list[Path]


def plan_page(request: PageRequest) -> PagePlan:
    """Read all that the page shows but its texts.

    Raises: FileNotFoundError, ValueError for damaged artifacts, or for subsets of different pools.
    """
    if request.experiment is not None:
        facts = gather_experiment(request.experiment, request.pool)
    else:
        facts = gather_runs(request.subjects, request.pool)
    return PagePlan(facts, request.pool, report_path(facts.folder))


def make_page(plan: PagePlan, figure_formats: Sequence[str] = ()) -> PageFiles:
    """Write the page, whole or not at all, and its figures as files."""
    from .figure_files import write_figure_files
    from .render import render_page

    page = render_page(plan.facts, plan.pool.rows)
    figures: list[Path] = []
    others: list[Path] = []
    with locked(plan.path):
        remove_leftovers(plan.path.parent, plan.path.name)
        with atomic_write(plan.path) as file:
            file.write(page.html)
        if figure_formats:
            figures = write_figure_files(page.charts, figures_in(plan.path.parent), figure_formats)
            others = _others(figures)
    return PageFiles(plan.path, plan.path.stat().st_size, figures, others)


def _others(figures: Sequence[Path]) -> list[Path]:
    """What could pass for a figure of this page beside these."""
    there = sorted(figures[0].parent.iterdir()) if figures else []
    return [path for path in there if path.suffix[1:] in FIGURE_FORMATS and path not in figures]
