"""One example as a model sees it: its tokens, and those that the loss is taken over."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A row of tokens, cut to max_length.

    Attributes:
        ids: int64 (length,). For an encoder-decoder first those of its encoder, then those of its decoder.
        is_response: bool (length,), in one stretch or, of several turns, in several.
    """

    ids: np.ndarray
    is_response: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def start(self) -> int:
        """Where its first response token is, or its length without one."""
        return int(self.is_response.argmax()) if self.is_response.any() else len(self.ids)

    def after(self, length: int) -> "TokenRow":
        """Without so many tokens at its beginning."""
        return TokenRow(self.ids[length:], self.is_response[length:])
