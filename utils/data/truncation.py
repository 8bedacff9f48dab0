"""What `data.max_length` cuts off the examples, and the lengths that would cut off less."""

from dataclasses import dataclass

import numpy as np

from ..terminal import counted, wrapped
from .tokenization import TokenizedPool

_SHARES = (0.95, 0.99, 1.0)  # of the examples to keep whole
_TOLERABLE_LOST, _TOLERABLE_CUT = 0.01, 0.05  # above these shares of the examples it is worth a warning


@dataclass(frozen=True)
class Truncation:
    """Attributes:
    num_examples: those with text, whose truncation this is.
    num_lost: examples without a response token left; they teach nothing and cannot be scored.
    num_cut: examples that keep a part of their response. With an encoder and a decoder, or of their prompt.
    response_tokens_kept: the share of the examples' response tokens that is left.
    lengths: share of the examples -> the least max_length at which that many are whole.
    """

    max_length: int
    num_examples: int
    num_lost: int
    num_cut: int
    response_tokens_kept: float
    lengths: dict[float, int]

    @property
    def is_severe(self) -> bool:
        num_tolerable = _TOLERABLE_LOST * self.num_examples, _TOLERABLE_CUT * self.num_examples
        return self.num_lost > num_tolerable[0] or self.num_lost + self.num_cut > num_tolerable[1]

    def describe(self) -> list[str]:
        """Lines for a plan."""
        if self.num_lost + self.num_cut == 0:
            return wrapped(
                f"max_length {self.max_length} cuts nothing off: the longest example has {self.lengths[1.0]} tokens"
            )
        warning = "WARNING: " if self.is_severe else ""
        enough = [
            f"{_percent(share)} of the examples whole at {length}" for share, length in self.lengths.items()
        ]
        parts = []
        if self.num_lost:
            parts.append(
                f"the whole response of {self._share(self.num_lost)}, which teach nothing and have no loss"
            )
        if self.num_cut:
            parts.append(f"a part of {self._share(self.num_cut)}")
        return [
            *wrapped(
                f"{warning}max_length {self.max_length} cuts off {', and '.join(parts)}; "
                f"{_percent(self.response_tokens_kept)} of the response tokens are left"
            ),
            *wrapped(f"  data.max_length keeps {', '.join(enough)}", indent="    "),
        ]

    def _share(self, number: int) -> str:
        return f"{counted(number, 'example')} ({_percent(number / self.num_examples)})"


def truncation_of(tokens: TokenizedPool, rows: np.ndarray) -> Truncation:
    """Args: rows: row numbers; those without text do not count, and at least one has text."""
    rows = rows[tokens.whole_lengths[rows] > 0]
    max_length, whole_lengths = tokens.inputs["max_length"], tokens.whole_lengths[rows]
    is_lost = tokens.num_response_tokens[rows] == 0
    return Truncation(
        max_length=max_length,
        num_examples=len(rows),
        num_lost=int(is_lost.sum()),
        num_cut=int((~is_lost & (whole_lengths > max_length)).sum()),
        response_tokens_kept=float(
            tokens.num_response_tokens[rows].sum() / tokens.whole_responses[rows].sum(dtype=np.int64)
        ),
        lengths={share: int(np.quantile(whole_lengths, share, method="inverted_cdf")) for share in _SHARES},
    )


def _percent(share: float) -> str:
    """Only nothing is 0 %, only all is 100 %."""
    percent = min(max(100 * share, 0.1), 99.9) if 0 < share < 1 else 100 * share
    return f"{percent:.3g} %"
