"""The tokens of some rows, for a person to check what is scored."""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...terminal import counted, unbroken, wrapped

if TYPE_CHECKING:
    from ...data.shown_tokens import ShownRow

_LABELS = {True: "SCORED", False: "read"}
_PART = re.compile("[\udc80-\udcff]")  # Python's `surrogateescape`
_MARGIN = " " * 9


def shown_tokens_text(rows: Sequence["ShownRow"]) -> str:
    """The tokens of each row, in quotation marks, those that are scored apart from those that are not."""
    lines: list[str] = []
    for row in rows:
        lines.append(_heading(row))
        for stretch in row.stretches:
            if stretch.is_scored is None:
                scored = f"{stretch.num_scored:,} of them scored" if stretch.num_scored else "none scored"
                lines.append(f"  ... {counted(stretch.num_tokens, 'token')}, {scored} (--show {row.row}) ...")
                continue
            quoted = " ".join(unbroken(_quoted(text)) for text in stretch.texts)
            first, *others = wrapped(quoted, indent="")
            lines.append(f"  {_LABELS[stretch.is_scored]:<7}{first}")
            lines += [_MARGIN + line for line in others]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    r"""In quotation marks, bytes that are a part of a character as `\xd7`."""
    return _PART.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", json.dumps(text, ensure_ascii=False))


def _heading(row: "ShownRow") -> str:
    scored = f"{row.num_scored} of {counted(row.num_tokens, 'token')} scored"
    cut = f", {row.num_cut} cut off, {row.num_scored_cut} of them scored" if row.num_cut else ""
    if row.num_cut:
        end = "its end is cut off"
    elif row.end is None:
        end = "no special token ends what is scored"
    else:
        end = f"scored up to {row.end}"
    return f"row {row.row}: {scored}{cut}; {end}"
