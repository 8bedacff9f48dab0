"""Make docs/results.md, the study's answer, from docs/results: what people wrote, and what was measured.

    python docs/make_results.py               write the page and its figures
    python docs/make_results.py --no_figures  the page alone, which needs no matplotlib

docs/results/text.md is what people wrote. A line {{NAME}} in it stands for the tables of
docs/results/NAME.json, which benchmarks/study_results.py keeps of a comparison, or of
docs/results/analyses/NAME.json, which a script of benchmarks/ keeps of an analysis. {{presets}},
{{budgets}} and {{weights}} are tables over several comparisons. tests/test_results.py fails where the page is
not what these files say.
"""

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from docs.study import results as study  # noqa: E402
from docs.study.analysis_sections import ANALYSIS_SECTIONS  # noqa: E402
from docs.study.comparison_sections import comparison_section  # noqa: E402
from docs.study.figure import difference_chart  # noqa: E402
from docs.study.kept import KeptAnalysis  # noqa: E402
from docs.study.overviews import budgets_section, presets_section, weights_section  # noqa: E402
from utils.reporting.page.figure_files import write_figure_files  # noqa: E402

PAGE = PROJECT / "docs/results.md"
TEXT = study.RESULTS / "text.md"
_OF_ALL_RESULTS = {"presets": presets_section, "budgets": budgets_section, "weights": weights_section}
_PLACE = re.compile(r"^\{\{(.+)\}\}$", re.MULTILINE)


def page(text: str, results: Mapping[str, study.Result]) -> str:
    """What people wrote, with the tables in their places.

    Raises: ValueError for a result that has no place in the text: none may be left out.
    """
    places = _PLACE.findall(text)
    if left_out := sorted(results.keys() - set(places)):
        raise ValueError(f"{TEXT}: found no place for {', '.join(left_out)}: add a line {{{{NAME}}}} of each")

    def filled(place: re.Match[str]) -> str:
        name = place[1]
        if name in _OF_ALL_RESULTS:
            return _OF_ALL_RESULTS[name](results)
        if (analysis := study.ANALYSES / f"{name}.json").is_file():
            return ANALYSIS_SECTIONS[name](KeptAnalysis.read(analysis).measured)
        return comparison_section(results[name]) if name in results else f"*{name}: not run yet.*"

    note = "<!-- Made by `python docs/make_results.py` from docs/results. Edit docs/results/text.md. -->\n\n"
    return note + _PLACE.sub(filled, text)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no_figures", action="store_true")
    arguments = parser.parse_args(argv)
    results = study.all_results()
    PAGE.write_text(page(TEXT.read_text(encoding="utf-8"), results), encoding="utf-8")
    if not arguments.no_figures:
        write_figure_files([difference_chart(result) for result in results.values()], study.RESULTS, ["svg"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
