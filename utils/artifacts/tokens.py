"""The tokens of a pool in the cache: res/.cache/tokens/<key>/."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import NonNegativeInt, PositiveInt

from .checksums import checksum_of_json
from .manifests import PoolManifest
from .paths import cache_root, manifest_in

_LAYOUT = 4  # of a folder of tokens, part of its name. Another one is made anew, never misread


@dataclass(frozen=True, kw_only=True)
class TokensManifest(PoolManifest):
    """What a pool's tokens were made from."""

    KIND: ClassVar[str] = "tokens"
    AGAIN: ClassVar[str] = "remove its folder: tokens are made again when they are needed"
    NAMED_INPUTS: ClassVar[Mapping[str, Any]] = {
        **PoolManifest.NAMED_INPUTS,
        "num_excluded": NonNegativeInt,
        "template": str,
        "tokenizer": str,
        "max_length": PositiveInt,
        "is_encoder_decoder": bool,
    }

    @property
    def num_excluded(self) -> int:
        """Rows of the pool without instruction or response."""
        return self.inputs["num_excluded"]

    @property
    def template(self) -> str:
        """The name of a template, of a chat template with its fingerprint."""
        return self.inputs["template"]

    @property
    def tokenizer(self) -> str:
        """Fingerprint."""
        return self.inputs["tokenizer"]

    @property
    def max_length(self) -> int:
        """Tokens of a row at most."""
        return self.inputs["max_length"]

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether prompt and response go to the two sides of the model."""
        return self.inputs["is_encoder_decoder"]

    @property
    def folder(self) -> Path:
        """Where such tokens lie."""
        key = checksum_of_json([_LAYOUT, self.inputs])[:16]
        return cache_root() / "tokens" / key


@dataclass(frozen=True)
class TokensFolder:
    """The files of a folder of tokens."""

    path: Path

    @property
    def manifest(self) -> Path:
        return manifest_in(self.path)

    @property
    def tokens(self) -> Path:
        """All rows' token ids end to end, 2 or 4 bytes each."""
        return self.path / "tokens.bin"

    @property
    def offsets(self) -> Path:
        return self.path / "offsets.npy"

    @property
    def is_response(self) -> Path:
        """Of each of them whether the loss is taken over it, a byte each."""
        return self.path / "is_response.bin"

    @property
    def num_response_tokens(self) -> Path:
        return self.path / "num_response_tokens.npy"

    @property
    def response_starts(self) -> Path:
        return self.path / "response_starts.npy"

    @property
    def whole_lengths(self) -> Path:
        return self.path / "whole_lengths.npy"

    @property
    def whole_responses(self) -> Path:
        return self.path / "whole_responses.npy"

    @property
    def left_out(self) -> Path:
        """In how many rows a chat template does not show all turns or tools. Earlier versions wrote none."""
        return self.path / "left_out.json"
