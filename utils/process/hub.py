"""The Hugging Face hub as this process sees it: asked once whether it answers, else the cache alone."""

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import explained

_PATIENCE = 5.0  # seconds for the one try; the library's own retries take a minute for each file


@contextlib.contextmanager
def looked_for(what: str, name: str, setting: str) -> Iterator[None]:
    """Around a library that loads something from a folder or from a name on the hub.

    Args:
        what: it loads, such as "tokenizer".
        name: of the folder, or on the hub.
        setting: the key of the config that holds the name.

    Raises:
        FileNotFoundError, ValueError: with the setting to correct.
    """
    look_for(name, setting)
    failed = f"{setting}: no {what} can be loaded from {name!r}"
    way_out = "give another, or copy its files again if they are damaged"
    if not Path(name).is_dir() and (reason := why_no_hub()) is not None:
        way_out = (
            f"there is no such folder and no such name among the hub's files cached here, and {reason}: "
            f"give a folder (current folder: {os.getcwd()}), or run where the hub can be reached"
        )
    with explained(failed, way_out):
        yield


def look_for(name: str, setting: str) -> None:
    """Call this before a library is asked for a folder or a name on the hub. The folder comes first.

    Raises:
        FileNotFoundError: for a name that can only be a folder, and is not there.
    """
    if Path(name).is_dir():
        return
    if can_only_be_a_path(name):
        raise FileNotFoundError(
            f"{setting}: found no folder {name} (current folder: {os.getcwd()}), "
            "expected one, or a name on the hub such as EleutherAI/pythia-70m"
        )
    why_no_hub()


def can_only_be_a_path(name: str) -> bool:
    """Whether this is no name on the hub, which is NAME or OWNER/NAME."""
    return name.startswith((".", "/", "~")) or name.endswith("/") or name.count("/") > 1


@functools.cache
def why_no_hub() -> str | None:
    """None if the hub answers this process, else why not. Afterwards the libraries use their cache alone."""
    from huggingface_hub import constants, get_session  # which selection does not need

    if constants.HF_HUB_OFFLINE:
        return f"{constants.ENDPOINT} is not asked (HF_HUB_OFFLINE is set)"
    try:
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
    except Exception as error:  # noqa: BLE001 (of whichever HTTP library huggingface_hub uses)
        constants.HF_HUB_OFFLINE = True
        return f"{constants.ENDPOINT} cannot be reached ({str(error) or type(error).__name__})"
    return None
