"""The rows that the page holds with their texts: all of them, or of a large pool a seeded sample

Legend: N rows of the pool, n rows that the page holds, T checkpoints.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...process.reporter import reporter
from .facts import LossFacts, SubsetFacts
from .labels import harmless
from .packing import Packed, pack_array, pack_text, packed_size

if TYPE_CHECKING:
    from ...data.rows import Rows

_LENGTHS = (8000, 4000, 2000, 1000, 500, 250, 120)  # characters of a row that are kept, as many as fit
_NUM_WEIGHED = 2000  # rows that tell how much the others will take
_LISTED = 300  # characters of a conversation where it is one of a list
_MOST_OF_SUBSETS = 0.8  # of the rows of a page
_OF_A_CLUSTER = 3  # rows at least, where it has so many
END_OF_ROW = "\x00"
END_OF_PROMPT = "\x01"


@dataclass(frozen=True)
class HeldRows:
    """Rows of the page.

    Attributes:
        rows: int64 (n,), ascending row numbers of the pool.
        num_rows: N.
        characters: of a row's text at most; None where none was cut.
        packed: their arrays and texts.
    """

    rows: np.ndarray
    num_rows: int
    characters: int | None
    packed: list[Packed]

    @property
    def is_sample(self) -> bool:
        return len(self.rows) < self.num_rows


@dataclass(frozen=True)
class RowArrays:
    """What is known of each row of the pool.

    Attributes:
        num_rows: N.
        losses: None without trajectories.
        subsets: of the page.
        clusters_N: int32 (N,) of the subset whose clusters are shown, None without.
        cell_N: int32 (N,), place on the map, None without.
        source_codes_N: int32 (N,), None without a pool.
        pool: the texts, None without.
        reasons_N: uint8 (N,), why rows could not be chosen by the subset that is explained, None without.
    """

    num_rows: int
    losses: LossFacts | None
    subsets: list[SubsetFacts]
    clusters_N: np.ndarray | None
    cell_N: np.ndarray | None
    source_codes_N: np.ndarray | None
    pool: "Rows | None"
    reasons_N: np.ndarray | None = None

    def chosen_by(self, rows: np.ndarray) -> np.ndarray:
        """uint8 (n,): bit b = in the b-th subset."""
        bits_N = np.zeros(self.num_rows, np.uint8)
        for number, subset in enumerate(self.subsets):
            bits_N[subset.indices] |= np.uint8(1 << number)
        return bits_N[rows]

    def pack(self, rows: np.ndarray) -> list[Packed]:
        """All but the texts."""
        packed = [
            pack_array("rows-gap", np.diff(rows, prepend=0).astype(np.uint32)),
            pack_array("rows-chosen", self.chosen_by(rows)),
        ]
        if self.losses is not None:
            half_Tn = [np.asarray(column_N)[rows].astype(np.float16) for column_N in self.losses.columns]
            packed.append(pack_array("rows-losses", np.stack(half_Tn)))
            if self.losses.tokens_N is not None:
                packed.append(
                    pack_array("rows-tokens", np.asarray(self.losses.tokens_N)[rows].astype(np.int32))
                )
        if self.clusters_N is not None:
            packed.append(pack_array("rows-cluster", np.asarray(self.clusters_N)[rows]))
        if self.cell_N is not None:
            packed.append(pack_array("rows-cell", self.cell_N[rows].astype(np.int16)))
        if self.source_codes_N is not None:
            packed.append(pack_array("rows-source", np.asarray(self.source_codes_N)[rows].astype(np.int32)))
        if self.reasons_N is not None and np.any(self.reasons_N):
            packed.append(pack_array("rows-reason", np.asarray(self.reasons_N)[rows]))
        return packed


def hold_rows(arrays: RowArrays, num_bytes: int, seed: int) -> HeldRows:
    """As many rows as fit, with as much of their texts as fits.

    Args:
        arrays: of the pool.
        num_bytes: that rows and texts may take.
        seed: of the sample.
    """
    length, num_held = _how_many(arrays, num_bytes, seed)
    rows = np.arange(arrays.num_rows)
    if num_held < arrays.num_rows:
        rows = sample_rows(arrays, num_held, seed)
    packed = arrays.pack(rows)
    is_cut = False
    if arrays.pool is not None and arrays.pool.has_texts:
        texts = []
        progress = reporter.progress("texts of the page", "row", len(rows))
        for number, row in enumerate(rows.tolist()):
            text, was_cut = _text_of(arrays.pool, row, length)
            is_cut |= was_cut
            texts.append(text)
            if number % 1000 == 999:
                progress.advance(1000)
        progress.close()
        packed.append(pack_text("rows-text", "".join(texts)))
    return HeldRows(rows, arrays.num_rows, length if is_cut else None, packed)


def _how_many(arrays: RowArrays, num_bytes: int, seed: int) -> tuple[int, int]:
    """Characters of each text and rows that fit, by what some rows take. Texts are cut before rows go."""
    num_weighed = min(_NUM_WEIGHED, arrays.num_rows)
    some = np.sort(np.random.default_rng(seed).choice(arrays.num_rows, num_weighed, replace=False))
    per_row = sum(len(packed.data) for packed in arrays.pack(some)) / num_weighed
    if arrays.pool is None or not arrays.pool.has_texts:
        return _LENGTHS[-1], min(arrays.num_rows, int(num_bytes / per_row))
    with_text = per_row
    for length in _LENGTHS:
        texts = "".join(_text_of(arrays.pool, row, length)[0] for row in some.tolist())
        with_text = per_row + packed_size(texts.encode()) / num_weighed
        if with_text * arrays.num_rows <= num_bytes:
            return length, arrays.num_rows
    return _LENGTHS[-1], min(arrays.num_rows, int(num_bytes / with_text))


def sample_rows(arrays: RowArrays, num_rows: int, seed: int) -> np.ndarray:
    """int64 (num_rows,), ascending: chosen rows and some of each cluster first, then others at random.

    Where the chosen rows would take more than `_MOST_OF_SUBSETS` of the page, a sample of them is taken too.
    """
    key_N = np.random.default_rng(seed).random(arrays.num_rows)
    chosen_N = arrays.chosen_by(np.arange(arrays.num_rows)) > 0
    first_N = np.zeros(arrays.num_rows, bool)
    chosen = np.flatnonzero(chosen_N)
    if len(chosen) > _MOST_OF_SUBSETS * num_rows:
        chosen = chosen[np.argsort(key_N[chosen])[: int(_MOST_OF_SUBSETS * num_rows)]]
    first_N[chosen] = True
    if arrays.clusters_N is not None:
        order_N = np.lexsort((key_N, arrays.clusters_N))
        sorted_N = np.asarray(arrays.clusters_N)[order_N]
        start_N = np.flatnonzero(np.diff(sorted_N, prepend=sorted_N[0] - 1))
        place_N = np.arange(len(sorted_N)) - np.repeat(start_N, np.diff(start_N, append=len(sorted_N)))
        first_N[order_N[(place_N < _OF_A_CLUSTER) & (sorted_N >= 0)]] = True
    return np.sort(np.lexsort((key_N, ~first_N))[:num_rows])


def _text_of(pool: "Rows", row: int, length: int) -> tuple[str, bool]:
    """Prompt and response, ended as the page expects, and whether they were cut. The prompt gets half.

    Of a conversation its place in a list, nothing, then all its turns. Of many the middle is cut.
    """
    example = pool[row]
    if example.conversation is not None:
        listed = harmless(example.topic)[: min(_LISTED, length)]
        turns = [
            f"{turn.speaker}{' (scored)' if turn.is_scored else ''}:\n{turn.text}"
            for turn in example.conversation.turns()
        ]
        text = harmless("\n\n".join(turns))
        is_cut = len(text) > length
        if is_cut:
            text = f"{text[: length // 2]}\n…\n{text[-(length // 2) :]}"
        return f"{listed}{END_OF_PROMPT}{END_OF_PROMPT}{text}{END_OF_ROW}", is_cut
    prompt = harmless("\n".join(part for part in (example.instruction, example.input) if part))
    response = harmless(example.response)
    room = max(length - min(len(response), length // 2), 0)
    is_cut = len(prompt) > room
    prompt = prompt[: room - 1] + "…" if is_cut else prompt
    room = length - len(prompt)
    if len(response) > room:
        response = response[: max(room - 1, 0)] + "…"
        is_cut = True
    return f"{prompt}{END_OF_PROMPT}{response}{END_OF_ROW}", is_cut
