"""What a page will lack, and where it was written"""

from typing import TYPE_CHECKING

from ...terminal import counted, first_of, size, unbroken, wrapped

if TYPE_CHECKING:
    from ..page.make import PageFiles, PagePlan


def page_plan_text(plan: "PagePlan") -> str:
    facts = plan.facts
    rows = "no rows" if facts.num_rows is None else counted(facts.num_rows, "row")
    lines = [f"page of {facts.title}: {rows}, {counted(len(facts.subsets), 'subset')}"]
    for missing in plan.missing:
        lines += wrapped(f"not there: {missing.what}")
        lines += [f"    {line}" for line in missing.command.splitlines()]
    return "\n".join(lines)


def page_text(files: "PageFiles") -> str:
    lines = []
    if files.figures:
        folder = unbroken(files.figures[0].parent)
        lines += wrapped(f"{counted(len(files.figures), 'file')} of figures in {folder}")
    if files.others:
        names = first_of(path.name for path in files.others)
        lines += wrapped(f"not of this page, but there: {names}")
    lines += [f"open {files.path} in a browser ({size(files.num_bytes)})"]
    return "\n".join(lines)
