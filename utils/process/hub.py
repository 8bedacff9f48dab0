"""The Hugging Face hub as this process sees it: asked once whether it answers, else the cache alone."""

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from .libraries import explained

_PATIENCE = 5.0  # seconds for the one try; the library's own retries take a minute for each file
_reasons: list[str] = []  # why it did not answer


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
    is_reachable = Path(name).is_dir() or hub_answers()
    way_out = "give another, or copy its files again if they are damaged"
    with explained(failed, way_out if is_reachable else _way_to_the_hub()):
        yield


def look_for(name: str, setting: str) -> None:
    """Call this before a library is asked for a folder or a name on the hub. The folder comes first.

    Raises:
        FileNotFoundError: for a name that can only be a folder, and is not there.
    """
    if Path(name).is_dir():
        return
    if name.startswith((".", "/", "~")) or name.endswith("/") or name.count("/") > 1:
        raise FileNotFoundError(
            f"{setting}: found no folder {name} (current folder: {os.getcwd()}), "
            "expected one, or a name on the hub such as EleutherAI/pythia-70m"
        )
    hub_answers()


@functools.cache
def hub_answers() -> bool:
    """Whether the hub answers this process, asked once. If not, the libraries look in their cache only."""
    from huggingface_hub import constants, get_session  # which selection does not need

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
    except Exception as error:  # noqa: BLE001 (of whichever HTTP library huggingface_hub uses)
        constants.HF_HUB_OFFLINE = True
        _reasons.append(str(error) or type(error).__name__)
        return False
    return True


def _way_to_the_hub() -> str:
    """Why a name on the hub is not found, and what to do."""
    from huggingface_hub import constants

    reason = f"cannot be reached ({_reasons[0]})" if _reasons else "is not asked (HF_HUB_OFFLINE is set)"
    return (
        "there is no such folder and no such name among the hub's files cached here, "
        f"and {constants.ENDPOINT} {reason}: "
        f"give a folder (current folder: {os.getcwd()}), or run where the hub can be reached"
    )
