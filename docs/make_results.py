"""Make docs/results.md, the study's answer, from docs/results: what people wrote, and what was measured.

    python docs/make_results.py               write the page and its figures
    python docs/make_results.py --no_figures  the page alone, which needs no matplotlib

docs/results/text.md is what people wrote. A line {{NAME}} in it stands for the tables of
docs/results/NAME.json, which benchmarks/study_results.py keeps of a comparison, or of
docs/results/analyses/NAME.json, which a script of benchmarks/ keeps of an analysis. {{pairs}},
{{presets}}, {{budgets}}, {{weights}}, {{noise_cost}} and {{balance}} are tables over several comparisons.
Every file needs a place, and every place a file, or an experiment or a script that is to make it.
tests/test_results.py fails where the page is not what these files say.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from docs.study import overviews  # noqa: E402
from docs.study import results as study  # noqa: E402
from docs.study.analysis_sections import ANALYSIS_SECTIONS  # noqa: E402
from docs.study.balance import balance_section  # noqa: E402
from docs.study.comparison_sections import comparison_section  # noqa: E402
from docs.study.figure import difference_chart, has_chart  # noqa: E402
from utils.reading import read_text  # noqa: E402
from utils.reporting.page.figure_files import write_figure_files  # noqa: E402

PAGE = PROJECT / "docs/results.md"
TEXT = study.RESULTS / "text.md"
_OF_ALL_RESULTS = {
    "pairs": overviews.pairs_section,
    "presets": overviews.presets_section,
    "budgets": overviews.budgets_section,
    "weights": overviews.weights_section,
    "noise_cost": overviews.noise_cost_section,
    "balance": balance_section,
}
_PLACE = re.compile(r"^.*\{\{.*$", re.MULTILINE)


def page(
    text: str,
    results: Mapping[str, study.Result],
    analyses: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    planned: Iterable[str] = (),
) -> str:
    """What people wrote, with the tables in their places.

    Args:
        results: comparisons by name.
        analyses: what was measured, by name.
        planned: comparisons that may have a place and no result, as an analysis may that has a script.

    Raises: ValueError for a result without a place in the text, and for a place of nothing.
    """
    if strange := sorted(analyses.keys() - ANALYSIS_SECTIONS.keys()):
        raise ValueError(f"{study.ANALYSES}: found {', '.join(strange)}, which no table is made of")
    tables = {name: f"*{name}: not run yet.*" for name in (*planned, *ANALYSIS_SECTIONS)}
    tables |= {name: section(results) for name, section in _OF_ALL_RESULTS.items()}
    tables |= {name: comparison_section(result) for name, result in results.items()}
    tables |= {name: ANALYSIS_SECTIONS[name](measured) for name, measured in analyses.items()}
    places = [line.strip("{}") for line in _PLACE.findall(text)]
    if left_out := sorted({*results, *analyses} - set(places)):
        raise ValueError(f"{TEXT}: found no place for {', '.join(left_out)}: add a line {{{{NAME}}}} of each")

    def filled(place: re.Match[str]) -> str:
        name = place[0].strip("{}")
        if name not in tables or place[0] != f"{{{{{name}}}}}":
            raise ValueError(
                f"{TEXT}: found {place[0]!r}, expected a line {{{{NAME}}}} of {', '.join(sorted(tables))}"
            )
        return tables[name]

    note = "<!-- Made by `python docs/make_results.py` from docs/results. Edit docs/results/text.md. -->\n\n"
    return note + _PLACE.sub(filled, text)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no_figures", action="store_true")
    arguments = parser.parse_args(argv)
    try:
        results = study.all_results()
        made = page(read_text(TEXT), results, study.all_analyses(), study.config_files())
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    PAGE.write_text(made, encoding="utf-8")
    if not arguments.no_figures:
        charts = [difference_chart(result) for result in results.values() if has_chart(result)]
        write_figure_files(charts, study.RESULTS, ["svg"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
