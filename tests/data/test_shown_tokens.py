"""Rows of tokens as a person reads them: what is scored can be seen, and no row floods the terminal."""

import re
from typing import Any

import numpy as np
import pytest

from tests.conftest import write_jsonl
from utils.config.schema import DataConfig
from utils.data import shown_tokens
from utils.data.pool import Pool
from utils.data.shown_tokens import ShownRow, shown_rows
from utils.data.tokenization import tokenize_pool
from utils.reporting.text import tokens as tokens_text
from utils.reporting.text.tokens import shown_tokens_text


@pytest.fixture
def show(tmp_path, res_dir, tokenizer_dir):
    """show(rows, wanted) -> what is shown of a pool of these (prompt, response)."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(tokenizer_dir)

    def shown(pairs: list[tuple[str, str]], wanted: int | None = None, max_length: int = 10**6) -> Any:
        rows = [{"prompt": prompt, "completion": completion} for prompt, completion in pairs]
        path = str(write_jsonl(tmp_path / "pool.jsonl", rows))
        pool = Pool(DataConfig(path=path, format="prompt_completion", template="plain"))
        tokens = tokenize_pool(pool, tokenizer, "plain", max_length, False)
        return shown_rows(tokens, tokenizer, np.arange(len(rows)), wanted)

    return shown


def tokens_of(row: ShownRow, is_scored: bool | None) -> int:
    return sum(stretch.num_tokens for stretch in row.stretches if stretch.is_scored is is_scored)


def test_of_a_long_row_the_ends_and_the_seam_are_shown(show):
    long = ("begin " + "word " * 5000 + "asked", "answered " + "word " * 5000 + "done")
    (row,) = show([long])
    text = shown_tokens_text([row])
    assert len(text.splitlines()) < 60
    for word in ("be", "asked", "answered", "done"):
        assert word in re.sub(r'"\s+(SCORED )?"', "", text)
    left_out = [stretch for stretch in row.stretches if stretch.is_scored is None]
    read, scored = (stretch.num_tokens for stretch in left_out)
    assert f"... {read:,} tokens, none scored (--show 0) ..." in text
    assert f"... {scored:,} tokens, {scored:,} of them scored (--show 0) ..." in text
    assert sum(stretch.num_tokens for stretch in row.stretches) == row.num_tokens
    (whole,) = show([long], wanted=0)
    assert tokens_of(whole, None) == 0 and tokens_of(whole, True) == row.num_scored
    (short,) = show([("a", "word " * 100)])
    assert tokens_of(short, None) == 0


def test_a_token_that_is_a_part_of_a_character_is_shown_as_bytes(show):
    hebrew = "\u05e9\u05d1\u05d5\u05e8"
    (row,) = show([("a", f"{hebrew} \\xd7")])
    text = shown_tokens_text([row])
    bytes_shown = bytes(int(byte, 16) for byte in re.findall(r"(?<!\\)\\x([0-9a-f]{2})", text))
    assert bytes_shown.decode() == hebrew and "\u00d7" not in text
    assert r"\\" in text, "what is written so in the row has two backslashes, as JSON has it"


@pytest.mark.parametrize(("name", "shown"), [("<0xD7>", r'"\xd7"'), ("\u00d7\u00a9\u00d7", '"\u05e9\\xd7"')])
def test_bytes_of_each_kind_of_vocabulary_are_known(name, shown):
    class Named:
        def decode(self, tokens, clean_up_tokenization_spaces):
            return "\ufffd"

        def convert_ids_to_tokens(self, token):
            return name

    tokenizer: Any = Named()
    assert tokens_text._quoted(shown_tokens._text(tokenizer, 0)) == shown


@pytest.mark.parametrize("max_length", [8, 10**6])
def test_three_rows_are_shown_whichever_is_the_longest(show, max_length):
    lengths = [50, 30, 20, 40, 30]
    rows = show([("a", "word " * length) for length in lengths], max_length=max_length)
    assert [row.row for row in rows] == [0, 2, 3]
    assert [row.row for row in show([("a", "b"), ("c", "d")])] == [0, 1]
    assert [row.row for row in show([("a", "b")])] == [0]
