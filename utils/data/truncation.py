"""What `data.max_length` cuts off the examples, and the lengths that would cut off less."""

from dataclasses import dataclass

import numpy as np

from .tokenization import TokenizedPool

_SHARES = (0.95, 0.99, 1.0)  # of the examples to keep whole
_TOLERABLE_LOST = 0.01  # of the examples
_TOLERABLE_CUT = 0.05  # of the examples, the lost ones among them; and of the response tokens


@dataclass(frozen=True)
class Truncation:
    """What a max_length does to some examples.

    Attributes:
        max_length: in tokens.
        num_examples: those with text, whose truncation this is.
        num_lost: examples without a response token left. They teach nothing and cannot be scored.
        num_cut: examples that keep a part of their response (of an encoder-decoder, or of their prompt).
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
        """Whether it is worth a warning."""
        loses_many = self.num_lost > _TOLERABLE_LOST * self.num_examples
        cuts_many = self.num_lost + self.num_cut > _TOLERABLE_CUT * self.num_examples
        cuts_much = self.response_tokens_kept < 1 - _TOLERABLE_CUT  # a few answers may be most of the tokens
        return loses_many or cuts_many or cuts_much


def truncation_of(tokens: TokenizedPool, rows: np.ndarray) -> Truncation:
    """What `max_length` did to these rows, by number. Rows without text do not count. One has text."""
    rows = rows[tokens.whole_lengths[rows] > 0]
    max_length = tokens.manifest.max_length
    whole_lengths = tokens.whole_lengths[rows]
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
