"""Bytes inside a page: deflated, as base64, to be opened by the browser's own DecompressionStream"""

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

_LEVEL = 6


@dataclass(frozen=True)
class Packed:
    """An array or text as the page holds it.

    Attributes:
        name: id of its element.
        type: of the values: a type of numpy, or text.
        data: base64 of the deflated bytes.
    """

    name: str
    type: str
    data: str


def pack_text(name: str, text: str) -> Packed:
    return _packed(name, "text", text.encode())


def pack_array(name: str, array: np.ndarray) -> Packed:
    """The bytes of equal significance stand together, which deflates better."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    width = little.dtype.itemsize
    planes = little.view(np.uint8).reshape(-1, width).T
    return _packed(name, array.dtype.name, planes.tobytes())


def _packed(name: str, kind: str, content: bytes) -> Packed:
    return Packed(name, kind, base64.b64encode(zlib.compress(content, _LEVEL)).decode("ascii"))


def packed_size(content: bytes) -> int:
    """Characters that so many bytes will take."""
    return -(-len(zlib.compress(content, _LEVEL)) // 3) * 4


def json_in_html(value: Any) -> str:
    """JSON for a script element: no character in it can end the element or begin another."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
