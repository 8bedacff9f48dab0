"""The Hugging Face hub as this process sees it: asked once whether it answers, else the cache alone.

A dataset is uploaded only where a person asks for it, with the key in $HF_TOKEN and no other.
"""

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .libraries import explained

_PATIENCE = 5.0  # seconds for the one try; the library's own retries take a minute for each file
_TOKEN = "HF_TOKEN"  # noqa: S105 (the name of the variable, not a key)
_MADE_BY_HUB = {".gitattributes"}  # lies in every new dataset
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
    if can_only_be_a_path(name):
        raise FileNotFoundError(
            f"{setting}: found no folder {name} (current folder: {os.getcwd()}), "
            "expected one, or a name on the hub such as EleutherAI/pythia-70m"
        )
    hub_answers()


def can_only_be_a_path(name: str) -> bool:
    """Whether this is no name on the hub, which is NAME or OWNER/NAME."""
    return name.startswith((".", "/", "~")) or name.endswith("/") or name.count("/") > 1


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
    return (
        f"there is no such folder and no such name among the hub's files cached here, and "
        f"{_why_no_answer()}: "
        f"give a folder (current folder: {os.getcwd()}), or run where the hub can be reached"
    )


def _why_no_answer() -> str:
    from huggingface_hub import constants

    reason = f"cannot be reached ({_reasons[0]})" if _reasons else "is not asked (HF_HUB_OFFLINE is set)"
    return f"{constants.ENDPOINT} {reason}"


def check_upload(repo: str) -> None:
    """Look at all that would keep a dataset from being made on the hub. Nothing is written.

    Raises: ValueError without a key or a hub that answers, and for a dataset that holds files already.
    """
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise ValueError(f"--push_to_hub: found {repo!r}, expected OWNER/NAME, your account and a new name")
    if not os.environ.get(_TOKEN):
        raise ValueError(
            f"--push_to_hub: found no {_TOKEN} in the environment, expected a key that may write: "
            f"make one in the settings of your account on the hub, then `export {_TOKEN}=...`"
        )
    if not hub_answers():
        raise ValueError(
            f"--push_to_hub: {_why_no_answer()}, expected it to answer: run this where it can be reached"
        )
    hub = _hub()
    with explained(f"--push_to_hub: {repo} cannot be looked up", f"is {_TOKEN} right?"):
        is_there = hub.repo_exists(repo, repo_type="dataset")
        files = set(hub.list_repo_files(repo, repo_type="dataset")) if is_there else set()
    if files - _MADE_BY_HUB:
        raise ValueError(
            f"--push_to_hub: found a dataset {repo} with files in it, expected a new name: its card may say "
            "what this one would not, such as a licence. Choose another name, or delete it on the hub first"
        )


def upload_dataset(repo: str, folder: Path, names: Sequence[str]) -> str:
    """Make a dataset that only its owner sees, and upload these files of a folder in one commit.

    Returns: its address.

    Raises: ValueError with the hub's own words.
    """
    from huggingface_hub import constants

    hub = _hub()
    way_out = f"the files are in {folder}: may {_TOKEN} write to {repo}?"
    with explained(f"--push_to_hub: {repo} cannot be written", way_out):
        hub.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        hub.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=folder,
            allow_patterns=list(names),
            commit_message="Add the subset",
        )
    return f"{constants.ENDPOINT}/datasets/{repo}"


def _hub() -> Any:
    from huggingface_hub import HfApi

    return HfApi(token=os.environ[_TOKEN])
