"""From rows to tokens: nothing is dropped, shifted or doubled, and a bad row is named."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tests.conftest import pool_rows, write_jsonl
from utils.config.names import PromptTemplate
from utils.config.schema import DataConfig, ModelConfig
from utils.data.batching import IGNORED, pad_rows
from utils.data.formats import Example
from utils.data.pool import Pool
from utils.data.templates import TEMPLATES
from utils.data.token_rows import TokenRow
from utils.data.tokenization import special_tokens_around_text, tokenize_pool
from utils.data.truncation import truncation_of
from utils.modeling.loading import load_tokenizer

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(str.strip)


@pytest.fixture
def tokenizer(tokenizer_dir):
    return load_tokenizer(ModelConfig(name_or_path=str(tokenizer_dir)))


@pytest.fixture
def with_bos(tokenizer):
    return add_bos(tokenizer)


def add_bos(tokenizer: Any) -> Any:
    """The same tokenizer, made to put its special token in front of every text, as Llama's does."""
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    return tokenizer


def open_pool(path, rows, **data) -> Pool:
    return Pool(DataConfig(path=str(write_jsonl(path / "pool.jsonl", rows)), **data))


def tokenized(
    path, rows, tokenizer, max_length=1000, is_encoder_decoder=False, template: PromptTemplate = "alpaca"
):
    return tokenize_pool(open_pool(path, rows), tokenizer, template, max_length, is_encoder_decoder)


@settings(max_examples=60)
@given(instruction=TEXT, response=TEXT, bos=st.booleans(), max_length=st.integers(1, 120))
def test_sequence_is_what_the_model_sees_and_the_mask_starts_at_the_seam(
    tmp_path, res_dir, tokenizer_dir, instruction, response, bos, max_length
):
    tokenizer = load_tokenizer(ModelConfig(name_or_path=str(tokenizer_dir)))
    if bos:
        add_bos(tokenizer)
    tokens = tokenized(tmp_path, [{"instruction": instruction, "output": response}], tokenizer, max_length)
    encoded = tokens.row(0)
    ids, start = encoded.ids, encoded.start
    prompt = TEMPLATES["alpaca"](Example(instruction, response))
    plain = tokenizer(prompt + response, add_special_tokens=False)["input_ids"]
    assert ids.tolist() == ([0] * bos + plain + [0])[:max_length]
    # Bytes of the response that lie before the mask: none. The byte-level pieces are disjoint,
    # so this is exact.
    covered = str(tokenizer.decode(ids[start:], skip_special_tokens=True))
    assert max_length <= len(ids) or covered.endswith(response)
    assert start == min(max(start, 1), len(ids))


def test_token_across_the_seam_counts_as_response(tmp_path, res_dir, tokenizer_dir):
    """' +' is one token, so a prompt that ends in a space gives that space to the response's token."""
    tokenizer = load_tokenizer(ModelConfig(name_or_path=str(tokenizer_dir)))
    pieces = tokenizer.convert_ids_to_tokens(tokenizer("3 + 4")["input_ids"])
    assert "Ġ+" in pieces
    tokens = tokenized(tmp_path, [{"instruction": "3 ", "output": "+ 4"}], tokenizer, template="plain")
    encoded = tokens.row(0)
    ids, start = encoded.ids, encoded.start
    assert tokenizer.convert_ids_to_tokens(ids[start:].tolist()) == [
        "Ġ+",
        *pieces[pieces.index("Ġ+") + 1 :],
        "<|endoftext|>",
    ]


def test_end_of_sequence_is_there_once_and_not_in_a_cut_row(tmp_path, res_dir, tokenizer):
    rows = [{"instruction": "a", "output": text} for text in ("b", "b<|endoftext|>", "b" * 400)]
    tokens = tokenized(tmp_path, rows, tokenizer, max_length=120)
    ends = [(tokens.row(row).ids == 0).sum() for row in range(3)]
    assert ends == [1, 1, 0]
    assert [int(tokens.row(row).ids[-1]) == 0 for row in range(3)] == [True, True, False]


def test_beginning_of_sequence_is_there_if_the_tokenizer_adds_one(tmp_path, res_dir, with_bos):
    assert special_tokens_around_text(with_bos) == ([0], [])
    encoded = tokenized(tmp_path, [{"instruction": "a", "output": "b"}], with_bos).row(0)
    ids, start = encoded.ids, encoded.start
    assert ids[0] == 0 and ids[-1] == 0 and (ids == 0).sum() == 2
    assert with_bos.decode(ids[start:-1]) == "b"


def test_encoder_decoder_gets_prompt_and_response_on_their_sides(tmp_path, res_dir, tokenizer):
    rows = [{"instruction": "add 1 and 2", "output": "3"}, {"instruction": "x" * 300, "output": "4" * 300}]
    tokens = tokenized(tmp_path, rows, tokenizer, max_length=50, is_encoder_decoder=True)
    encoded = tokens.row(0)
    ids, start = encoded.ids, encoded.start
    assert start <= 50 and tokenizer.decode(ids[start:]) == "3<|endoftext|>"
    encoded = tokens.row(1)
    long_ids, long_start = encoded.ids, encoded.start
    assert long_start == 50 and len(long_ids) == 100, "each side is cut on its own"
    batch = pad_rows([tokens.row(0), tokens.row(1)], 0, True)
    assert batch["labels"][0, 2:].eq(IGNORED).all() and batch["attention_mask"].sum(1).tolist() == [start, 50]


def test_tokens_are_made_once_per_pool_template_tokenizer_and_length(tmp_path, res_dir, tokenizer):
    def folders():
        return {path.parent.name for path in (res_dir / ".cache/tokens").glob("*/tokens.bin")}

    rows = pool_rows(20)
    tokenized(tmp_path, rows, tokenizer)
    (first,) = folders()
    modified_ns = (res_dir / ".cache/tokens" / first / "tokens.bin").stat().st_mtime_ns
    tokenized(tmp_path, rows, tokenizer)
    assert folders() == {first}
    assert (res_dir / ".cache/tokens" / first / "tokens.bin").stat().st_mtime_ns == modified_ns
    tokenized(tmp_path, rows, tokenizer, template="plain")
    tokenized(tmp_path, rows, tokenizer, max_length=50)
    tokenized(tmp_path, rows[1:], tokenizer)
    assert len(folders()) == 4


def test_padding_never_enters_a_mask_or_a_label():
    batch = pad_rows(
        [TokenRow(np.arange(5), np.arange(5) >= 2), TokenRow(np.arange(3), np.zeros(3, bool))],
        pad_id=9,
        is_encoder_decoder=False,
    )
    assert batch["input_ids"].tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, IGNORED, 2, 3, 4], [IGNORED] * 5]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"instruction": "a", "output": "b"}\n{"instruction": "a", \n', ["line 2", "not JSON"]),
        (
            b'{"instruction": "a", "output": "b"}\n\n{"instruction": "a", "output": "b"}\n',
            ["line 2", "not JSON"],
        ),
        (b'{"instruction": "a", "output": "caf\xe9"}\n', ["line 1", "not UTF-8"]),
        (b'["a", "b"]\n', ["line 1", "list"]),
        (b'{"instruction": "a", "answer": "b"}\n', ["no column 'output'", "'answer'", "data.columns"]),
        (b'{"instruction": ["a"], "output": "b"}\n', ["1 of 1 row", "a list in 'instruction'", "(0)"]),
        (b'{"instruction": "a", "output": "\\ud800"}\n', ["row 0", "surrogate"]),
        (b"", ["found no rows"]),
    ],
)
def test_malformed_pool_is_refused_naming_the_place(tmp_path, content, words):
    path = tmp_path / "pool.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError) as refusal:
        Pool(DataConfig(path=str(path)))
    assert all(word in str(refusal.value) for word in [str(path), *words]), refusal.value


def test_missing_pool_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data\.path.*nowhere\.jsonl"):
        Pool(DataConfig(path=str(tmp_path / "nowhere.jsonl")))


def test_rows_without_text_are_an_error_or_keep_their_numbers_unused(tmp_path, res_dir, tokenizer):
    rows = [
        {"instruction": "a", "output": "b"},
        {"instruction": "", "output": "b"},
        {"instruction": "a", "output": "  "},
        {"instruction": "a", "output": None},
        {"instruction": "c", "output": "d"},
    ]
    faults = (
        r"3 of 5 rows[\s\S]*'instruction': 1 row \(1\)"
        r"[\s\S]*'output': 2 rows \(2, 3\)[\s\S]*invalid_rows=drop"
    )
    with pytest.raises(ValueError, match=faults):
        open_pool(tmp_path, rows)
    pool = open_pool(tmp_path, rows, invalid_rows="drop")
    assert len(pool) == 5 and pool.usable_rows.tolist() == [0, 4]
    tokens = tokenize_pool(pool, tokenizer, "alpaca", 100, False)
    assert (tokens.lengths > 0).tolist() == [True, False, False, False, True]


def test_fingerprint_follows_texts_order_and_sources_only(tmp_path):
    rows = pool_rows(10)

    def fingerprint(rows, **data):
        return open_pool(tmp_path, rows, **data).fingerprint

    first = fingerprint(rows)
    assert fingerprint([{**row, "note": "x"} for row in rows]) == first, "other columns do not count"
    assert fingerprint(rows, limit=10) == first
    for other in (
        rows[::-1],
        rows[:9],
        [{**rows[0], "source": "elsewhere"}, *rows[1:]],
        [{**rows[0], "input": "context"}, *rows[1:]],
        [
            {
                **rows[0],
                "instruction": rows[0]["instruction"] + rows[0]["output"][:1],
                "output": rows[0]["output"][1:],
            },
            *rows[1:],
        ],
    ):
        assert fingerprint(other) != first


def test_lines_are_the_rows_byte_for_byte(tmp_path):
    lines = [
        b'{"instruction":"a",  "output":"b\\u00e9"}',
        '{"output": "é", "instruction": "x", "k": 1.50}'.encode(),
    ]
    (tmp_path / "pool.jsonl").write_bytes(b"\n".join(lines) + b"\r\n\n")
    pool = Pool(DataConfig(path=str(tmp_path / "pool.jsonl")))
    assert len(pool) == 2
    assert [pool.line(row) for row in range(2)] == lines


def test_own_columns_and_formats(tmp_path):
    rows = [{"question": "a", "reply": "b", "origin": "s"}]
    columns = {"instruction": "question", "output": "reply"}
    example = open_pool(tmp_path, rows, columns=columns, source_column="origin")[0]
    assert example == Example("a", "b", source="s")
    example = open_pool(tmp_path, [{"prompt": "a", "completion": "b"}], format="prompt_completion")[0]
    assert example == Example("a", "b")
    with pytest.raises(ValueError, match=r"data\.columns.*did you mean 'instruction'"):
        open_pool(tmp_path, rows, columns={"instructions": "question"})


def test_alpaca_template_has_an_input_section_only_with_an_input():
    without, with_input = (TEMPLATES["alpaca"](Example("do {it}", "r", text)) for text in ("", "on {input}"))
    assert without.endswith("### Instruction:\ndo {it}\n\n### Response:") and "### Input" not in without
    assert "### Instruction:\ndo {it}\n\n### Input:\non {input}\n\n### Response:" in with_input


@pytest.mark.parametrize("is_encoder_decoder", [False, True])
def test_truncation_is_what_the_uncut_rows_say(tmp_path, res_dir, tokenizer, is_encoder_decoder):
    rows = [
        *pool_rows(30),
        {"instruction": "long", "output": "z" * 300},
        {"instruction": "y" * 300, "output": "b"},
    ]
    rows.append({"instruction": "no response", "output": ""})
    pool = open_pool(tmp_path, rows, invalid_rows="drop")
    whole = tokenize_pool(pool, tokenizer, "alpaca", 10_000, is_encoder_decoder)
    used = np.arange(32)
    sizes = (
        whole.lengths
        if not is_encoder_decoder
        else np.maximum(whole.response_starts, whole.num_response_tokens)
    )
    for max_length in (50, 150, 180, 10_000):
        tokens = tokenize_pool(pool, tokenizer, "alpaca", max_length, is_encoder_decoder)
        assert np.array_equal(tokens.whole_lengths, sizes)
        assert np.array_equal(tokens.whole_responses, whole.num_response_tokens)
        cut = truncation_of(tokens, np.arange(33))
        lost = tokens.num_response_tokens[used] == 0
        assert (cut.num_examples, cut.num_lost) == (32, lost.sum())
        assert cut.num_cut == (~lost & (tokens.lengths < whole.lengths)[used]).sum()
        assert cut.response_tokens_kept == tokens.num_response_tokens.sum() / whole.num_response_tokens.sum()
        assert bool(cut.num_lost + cut.num_cut) == (max_length < 10_000)
        for share, length in cut.lengths.items():
            assert (sizes[used] <= length).mean() >= share > (sizes[used] < length).mean()


def test_truncation_warns_where_much_is_lost(tmp_path, res_dir, tokenizer):
    rows = [*pool_rows(99), {"instruction": "y" * 300, "output": "b"}]
    tokens = tokenized(tmp_path, rows, tokenizer, 100)
    cut = truncation_of(tokens, np.arange(100))
    assert cut.is_severe
    longest = int(tokens.whole_lengths[:99].max())
    cut = truncation_of(tokenized(tmp_path, rows, tokenizer, longest), np.arange(100))
    assert (cut.num_lost, cut.num_cut, cut.is_severe) == (1, 0, False)
    assert cut.lengths == {0.95: cut.lengths[0.95], 0.99: longest, 1.0: int(tokens.whole_lengths.max())}


def test_tokens_of_an_earlier_layout_are_made_anew(tmp_path, res_dir, tokenizer):
    rows = pool_rows(10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.artifacts.tokens._LAYOUT", 1)
        earlier = tokenized(tmp_path, rows, tokenizer)
    for name in ("whole_lengths.npy", "whole_responses.npy"):
        (earlier.folder / name).unlink()
    tokens = tokenized(tmp_path, rows, tokenizer)
    assert tokens.folder != earlier.folder and np.array_equal(tokens.whole_lengths, tokens.lengths)


def test_tokens_are_kept_whatever_their_numbers(tmp_path, res_dir):
    """A vocabulary may be small and have gaps."""
    vocabulary = {"<unk>": 0, "a": 1, "b": 70_000}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    gapped = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="<unk>")
    rows = [{"instruction": "a", "output": "b b"}]
    pool = Pool(DataConfig(path=str(write_jsonl(tmp_path / "pool.jsonl", rows)), template="plain"))
    tokens = tokenize_pool(pool, gapped, "plain", 10, False)
    assert tokens.row(0).ids.tolist().count(70_000) == 1
