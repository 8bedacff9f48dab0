"""Text files that people give: UTF-8, with or without a byte-order mark, and any line ends.

Anything else is named in the refusal.
"""

import codecs
from pathlib import Path

_OTHER_BEGINNINGS = (
    (b"\x1f\x8b", "compressed by gzip: unpack it first (gunzip)"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first (unzstd)"),
    (b"\xfd7zXZ\x00", "compressed by xz: unpack it first (unxz)"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"version https://git-lfs", "a pointer of Git LFS and not the data: fetch it (git lfs pull)"),
    (b"PAR1", "a Parquet file: let its name end in .parquet"),
    (codecs.BOM_UTF16_LE, "UTF-16 or UTF-32: save it as UTF-8"),
    (codecs.BOM_UTF16_BE, "UTF-16 or UTF-32: save it as UTF-8"),
)


def text_start(path: Path) -> int:
    """Bytes before the text: 3 where the file begins with a byte-order mark, else 0.

    Raises: ValueError for a file that is not UTF-8 text by its beginning.
    """
    with open(path, "rb") as file:
        beginning = file.read(32)
    for other, fault in _OTHER_BEGINNINGS:
        if beginning.startswith(other):
            raise ValueError(f"{path}: found a file that is {fault}")
    if b"\0" in beginning[:4]:  # as in every ASCII text in UTF-16 or UTF-32
        raise ValueError(
            f"{path}: found NUL bytes at its beginning, as in UTF-16 or UTF-32: save it as UTF-8"
        )
    return len(codecs.BOM_UTF8) if beginning.startswith(codecs.BOM_UTF8) else 0


def read_text(path: Path) -> str:
    r"""All of a small file, with `\n` at the end of every line.

    Raises: FileNotFoundError, and ValueError for what is not UTF-8.
    """
    text_start(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes().count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}: line {line} is not UTF-8 (byte {error.start}): save the file as UTF-8"
        ) from None
