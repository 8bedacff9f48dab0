"""A pool's tokens: made once per (pool, template, tokenizer, length) and memory-mapped by every stage.

A row is stored as its tokens, and which of them the loss is taken over. For causal models they are the
sequence itself. For encoder-decoder models the prompt's tokens and the response's go to the two sides.

Legend: N examples of the pool, S tokens of all examples.
"""

import dataclasses
import hashlib
import json
import platform
import shutil
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from tokenizers import Encoding, Tokenizer
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from ..artifacts.checksums import check_contents, checksums_of
from ..artifacts.files import publish_folder, read_json, save_array, write_json
from ..artifacts.locks import locked
from ..artifacts.tokens import TokensFolder, TokensManifest
from ..process.errors import naming
from ..process.reporter import reporter
from ..reading import load_npy
from .chat import ChatTemplate, Rendered, chat_template_of
from .formats import Example
from .pool import Pool
from .templates import TEMPLATES, as_conversation
from .token_rows import TokenRow

_EXAMPLES_PER_CALL = 1000  # enough to keep the tokenizer's threads busy, small enough to bound memory
_TOKENS_COMPARED_AT_ONCE = 2**20


@dataclass(frozen=True)
class TokenizedPool:
    """To another process it travels as the name of its folder, and is memory-mapped there.

    Attributes:
        folder: where it lies in the cache.
        tokens_S: all rows' token ids end to end, memory-mapped.
        offsets: int64 (N + 1,). Row i is tokens_S[offsets[i]:offsets[i + 1]], empty where it is excluded.
        is_response_S: bool, which of all rows' tokens the loss is taken over, memory-mapped.
        response_starts: where a row's first response token is, or its length without one, int32 (N,).
        num_response_tokens: tokens that the loss is taken over, int32 (N,). A row of 0 cannot be scored.
        whole_lengths: the least max_length that cuts nothing off a row, 0 if it is excluded, int32 (N,).
        whole_responses: response tokens of a row before anything is cut off, int32 (N,).
        manifest: what these tokens were made from.
        left_out: "turns" or "tools" -> rows of which a chat template does not show them all. None for tokens
            that an earlier version made: it did not look.
    """

    folder: Path
    tokens_S: np.ndarray
    offsets: np.ndarray
    is_response_S: np.ndarray
    response_starts: np.ndarray
    num_response_tokens: np.ndarray
    whole_lengths: np.ndarray
    whole_responses: np.ndarray
    manifest: TokensManifest
    left_out: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self.response_starts)

    def __reduce__(self) -> tuple[Any, ...]:
        return open_tokens, (self.folder,)

    def row(self, row: int) -> TokenRow:
        start, end = self.offsets[row : row + 2]
        return TokenRow(self.tokens_S[start:end].astype(np.int64), self.is_response_S[start:end])

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether the two parts of a row go to the two sides of the model."""
        return self.manifest.is_encoder_decoder

    @cached_property
    def lengths(self) -> np.ndarray:
        """int64 (N,): tokens of each row."""
        return np.diff(self.offsets)

    @cached_property
    def scorable_rows(self) -> np.ndarray:
        """int64, ascending: the rows with a response token."""
        return np.flatnonzero(self.num_response_tokens > 0)


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """sha256 of the tokenizer's definition and end-of-sequence token. Raises: as `check_tokenizer`."""
    check_tokenizer(tokenizer)
    definition = json.loads(cast(Tokenizer, tokenizer.backend_tokenizer).to_str())
    for state in ("truncation", "padding"):  # left behind by earlier calls, no part of the tokenizer
        definition.pop(state, None)
    text = json.dumps([definition, tokenizer.eos_token_id], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def check_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises: ValueError for a tokenizer without character offsets or end-of-sequence token."""
    if not tokenizer.is_fast:
        raise ValueError(
            f"{type(tokenizer).__name__} gives no character offsets, which the prompt mask needs: "
            "use the model's fast tokenizer (a tokenizer.json in its folder)"
        )
    if tokenizer.eos_token_id is None:
        raise ValueError(
            "the tokenizer has no end-of-sequence token: set eos_token in its tokenizer_config.json"
        )


def tokenize_pool(
    pool: Pool,
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    max_length: int,
    is_encoder_decoder: bool,
) -> TokenizedPool:
    """The pool's tokens, from the cache under res/ or made now. Processes that ask at once make them once.

    Args:
        template: as `data.template`.

    Raises:
        FileNotFoundError: no such template.
        ValueError: for an unusable tokenizer, or a conversation that the template does not take.
    """
    chat = chat_template_of(template, tokenizer)
    if chat is not None and is_encoder_decoder:
        raise ValueError("data.template: a chat template needs a model without an encoder of its own")
    inputs = {
        "pool": pool.fingerprint,
        "num_examples": len(pool),
        "num_excluded": int(pool.excluded.sum()),
        "template": template if chat is None else f"chat:{chat.fingerprint}",
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "max_length": max_length,
        "is_encoder_decoder": is_encoder_decoder,
    }
    manifest = TokensManifest(status="complete", inputs=inputs)
    folder = manifest.folder
    if not _is_whole(folder):
        with locked(folder):
            if not _is_whole(folder):  # nor did another process make it meanwhile
                if folder.is_dir():
                    reporter.warn(f"note: {folder} is damaged: the pool is tokenized again")
                _write_tokens(folder, pool, _Encoder(tokenizer, chat, manifest), manifest)
    return open_tokens(folder)


def _is_whole(folder: Path) -> bool:
    """Whether all that was written of the tokens is there, as it was."""
    try:
        recorded = TokensManifest.read(TokensFolder(folder).manifest).checksums or {}
        for name in recorded:
            check_contents(folder / name, recorded, way_out="")
    except (ValueError, FileNotFoundError):
        return False
    return bool(recorded)


def open_tokens(folder: Path) -> TokenizedPool:
    """What `tokenize_pool` left in a folder. Raises: FileNotFoundError where the folder cannot be seen."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder.absolute()} cannot be seen from {platform.node()}: put res/ on a disk that all "
            "machines see (S2L_RES_DIR) and start them in the same folder"
        )
    files = TokensFolder(folder)
    manifest = TokensManifest.read(files.manifest)
    offsets = np.asarray(load_npy(files.offsets))
    num_tokens = int(offsets[-1])
    num_bytes = files.tokens.stat().st_size
    dtype = np.uint16 if num_bytes == max(1, num_tokens) * 2 else np.uint32  # see `_Encoder`
    tokens_S = np.memmap(files.tokens, dtype, "r", shape=(num_tokens,))
    is_response_S = np.memmap(files.is_response, bool, "r", shape=(num_tokens,))
    return TokenizedPool(
        folder=folder,
        tokens_S=np.asarray(tokens_S),  # a plain array is faster to slice
        offsets=offsets,
        is_response_S=np.asarray(is_response_S),
        response_starts=np.asarray(load_npy(files.response_starts)),
        num_response_tokens=np.asarray(load_npy(files.num_response_tokens)),
        whole_lengths=np.asarray(load_npy(files.whole_lengths)),
        whole_responses=np.asarray(load_npy(files.whole_responses)),
        manifest=manifest,
        left_out=read_json(files.left_out) if files.left_out.is_file() else None,
    )


def shared_prefix(tokens: TokenizedPool, rows: np.ndarray) -> np.ndarray:
    """The longest run of tokens that all these rows begin with, int64. For causal models.

    At least one token is left before each response.
    """
    if not len(rows):
        return np.zeros(0, np.int64)
    # The token before a response predicts the response's first: it is computed with the row.
    prefix = tokens.row(int(rows[0])).ids[: int(tokens.response_starts[rows].min()) - 1]
    start = 0
    while start < len(rows) and len(prefix):
        part = rows[start : start + max(1, _TOKENS_COMPARED_AT_ONCE // len(prefix))]
        beginnings = tokens.tokens_S[tokens.offsets[part][:, None] + np.arange(len(prefix))]
        same = (beginnings == prefix).all(axis=0)
        if not same.all():
            prefix = prefix[: int(np.argmin(same))]
        start += len(part)
    return prefix


class _Encoded(NamedTuple):
    """A row cut to max_length, and what it was before."""

    row: TokenRow
    whole_length: int  # as in `TokenizedPool`
    whole_response: int


class _Encoder:
    """Makes tokens of examples.

    Args:
        tokenizer: whose tokens.
        chat: renders conversations. None for a template of texts.
        manifest: what they are made from.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, chat: ChatTemplate | None, manifest: TokensManifest
    ):
        self._tokenizer = tokenizer
        self._chat = chat
        self._manifest = manifest
        self.left_out: Counter[str] = Counter()  # as in `TokenizedPool`
        # Not by their number: ids may have gaps.
        self.dtype = np.uint16 if max(tokenizer.get_vocab().values()) < 2**16 else np.uint32

    def encode(self, rows: list[int], examples: list[Example]) -> Iterator[_Encoded]:
        """Of each example its tokens.

        Args:
            rows: their numbers, for messages.
            examples: with text.

        Raises: ValueError for a conversation that cannot be rendered.
        """
        max_length = self._manifest.max_length
        if self._chat is not None:
            rendered = [self._rendered(row, example) for row, example in zip(rows, examples, strict=True)]
            return _encode_conversations(self._tokenizer, rendered, max_length)
        with_turns = [row for row, example in zip(rows, examples, strict=True) if example.conversation]
        if with_turns:
            raise ValueError(
                f"row {with_turns[0]} has turns, which data.template {self._manifest.template} does not "
                "take: set data.template to chat"
            )
        encode = _encode_two_sides if self._manifest.is_encoder_decoder else _encode_one_sequence
        prompts = [TEMPLATES[self._manifest.template](example) for example in examples]
        return encode(self._tokenizer, prompts, [example.response for example in examples], max_length)

    def _rendered(self, row: int, example: Example) -> Rendered:
        assert self._chat is not None
        conversation = example.conversation or as_conversation(example)
        try:
            rendered = self._chat.render(conversation.messages, conversation.is_scored, conversation.tools)
            self.left_out.update(self._chat.left_out(rendered, conversation))
        except ValueError as error:
            raise ValueError(f"row {row} (counted from 0): {error}") from error
        return rendered


def _write_tokens(folder: Path, pool: Pool, encoder: _Encoder, manifest: TokensManifest) -> None:
    temporary = folder.with_name(f".{folder.name}.parts")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    files = TokensFolder(temporary)
    lengths = np.zeros(len(pool), np.int64)
    starts, counts, whole_lengths, whole_responses = (np.zeros(len(pool), np.int32) for _ in range(4))
    with (
        naming(folder),
        open(files.tokens, "wb") as tokens_file,
        open(files.is_response, "wb") as is_response_file,
    ):
        progress = tqdm(total=len(pool), desc="tokenize", unit=" examples", disable=None)
        for first in range(0, len(pool), _EXAMPLES_PER_CALL):
            rows = range(first, min(first + _EXAMPLES_PER_CALL, len(pool)))
            used = [row for row in rows if not pool.excluded[row]]
            examples = [pool[row] for row in used]
            for row, encoded in zip(used, encoder.encode(used, examples), strict=True):
                lengths[row] = len(encoded.row)
                starts[row] = encoded.row.start
                counts[row] = encoded.row.is_response.sum()
                whole_lengths[row] = encoded.whole_length
                whole_responses[row] = encoded.whole_response
                tokens_file.write(encoded.row.ids.astype(encoder.dtype).tobytes())
                is_response_file.write(encoded.row.is_response.tobytes())
            progress.update(len(rows))
        progress.close()
        if not lengths.any():  # an empty file cannot be memory-mapped
            tokens_file.write(bytes(np.dtype(encoder.dtype).itemsize))
            is_response_file.write(bytes(1))
    save_array(files.offsets, np.concatenate([[0], np.cumsum(lengths)]))
    save_array(files.response_starts, starts)
    save_array(files.num_response_tokens, counts)
    save_array(files.whole_lengths, whole_lengths)
    save_array(files.whole_responses, whole_responses)
    write_json(files.left_out, dict(encoder.left_out))
    checksums = checksums_of(temporary.iterdir())
    dataclasses.replace(manifest, checksums=checksums).write(files.manifest)
    publish_folder(temporary, folder)


def _cut(ids: list[int], start: int, max_length: int) -> TokenRow:
    """The first tokens of a row whose response is all that follows `start`."""
    kept = np.array(ids[:max_length], np.int64)
    return TokenRow(kept, np.arange(len(kept)) >= start)


def _encode_one_sequence(
    tokenizer: PreTrainedTokenizerBase, prompts: list[str], responses: list[str], max_length: int
) -> Iterator[_Encoded]:
    """Causal: [beginning of sequence, if the tokenizer adds one] + prompt + response + one end of sequence.

    It is cut on the right. Prompt and response are tokenized together, as a model sees them.
    A token that crosses the seam belongs to the response, since it ends there.
    """
    if not prompts:
        return
    prefix, _ = special_tokens_around_text(tokenizer)
    texts = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
    encodings = cast(list[Encoding], tokenizer(texts, add_special_tokens=False, verbose=False).encodings)
    for prompt, encoding in zip(prompts, encodings, strict=True):
        ids = encoding.ids
        # How many tokens end in the prompt.
        seam = bisect_right(encoding.offsets, len(prompt), key=lambda span: span[1])
        if not ids or ids[-1] != tokenizer.eos_token_id:
            ids = [*ids, tokenizer.eos_token_id]
        ids = [*prefix, *ids]
        start = max(len(prefix) + seam, 1)  # the very first token has no context to be predicted from
        yield _Encoded(_cut(ids, start, max_length), len(ids), len(ids) - start)


def _encode_two_sides(
    tokenizer: PreTrainedTokenizerBase, prompts: list[str], responses: list[str], max_length: int
) -> Iterator[_Encoded]:
    """Encoder-decoder: the prompt with the tokenizer's special tokens, then response + one end of sequence.

    Each is cut on the right to max_length.
    """
    if not prompts:
        return
    prefix, suffix = special_tokens_around_text(tokenizer)
    room = max_length - len(prefix) - len(suffix)
    prompt_ids = tokenizer(prompts, add_special_tokens=False, verbose=False)["input_ids"]
    response_ids = tokenizer(responses, add_special_tokens=False, verbose=False)["input_ids"]
    for prompt, response in zip(prompt_ids, response_ids, strict=True):
        source = [*prefix, *prompt[:room], *suffix]
        if not response or response[-1] != tokenizer.eos_token_id:
            response = [*response, tokenizer.eos_token_id]
        whole_length = max(len(prefix) + len(prompt) + len(suffix), len(response))
        row = _cut([*source, *response[:max_length]], len(source), len(source) + max_length)
        yield _Encoded(row, whole_length, len(response))


def _encode_conversations(
    tokenizer: PreTrainedTokenizerBase, rendered: list[Rendered], max_length: int
) -> Iterator[_Encoded]:
    """Causal: the text as it was rendered, with no special token of ours, cut on the right.

    A token that overlaps a scored stretch is scored. White space that an added token swallows, as Phi 3's
    headers do with the beginning of an answer, is no part of that token.
    """
    if not rendered:
        return
    added = np.array(sorted(tokenizer.added_tokens_decoder), np.int64)
    texts = [conversation.text for conversation in rendered]
    encodings = cast(list[Encoding], tokenizer(texts, add_special_tokens=False, verbose=False).encodings)
    for conversation, encoding in zip(rendered, encodings, strict=True):
        starts, ends = np.array(encoding.offsets, np.int64).reshape(-1, 2).T
        for token in np.flatnonzero(np.isin(encoding.ids, added)):
            text = conversation.text[starts[token] : ends[token]]
            if text.strip():  # else white space is all there is of it
                starts[token] += len(text) - len(text.lstrip())
                ends[token] -= len(text) - len(text.rstrip())
        is_response = np.zeros(len(starts), bool)
        for start, end in conversation.spans:
            is_response |= (starts < end) & (ends > start)
        is_response[:1] = False  # the very first token has no context to be predicted from
        kept = TokenRow(np.array(encoding.ids[:max_length], np.int64), is_response[:max_length])
        yield _Encoded(kept, len(starts), int(is_response.sum()))


def special_tokens_around_text(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after a text, found by asking it."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    dressed = tokenizer("a")["input_ids"]
    for start in range(len(dressed) - len(bare) + 1):
        if dressed[start : start + len(bare)] == bare:
            return dressed[:start], dressed[start + len(bare) :]
    raise ValueError(
        "the tokenizer changes a text's tokens when it adds special tokens: found "
        f"{bare} without and {dressed} with them, expected the former inside the latter"
    )
