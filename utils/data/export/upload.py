"""Upload a subset to the hub as a dataset, where a person asks for it.

The key is the one in $HF_TOKEN, and no other.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...process.errors import explained
from ...process.hub import why_no_hub

_TOKEN = "HF_TOKEN"  # noqa: S105 (the name of the variable, not a key)
_MADE_BY_HUB = {".gitattributes"}  # lies in every new dataset


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
    if (reason := why_no_hub()) is not None:
        raise ValueError(f"--push_to_hub: {reason}, expected it to answer: run this where it can be reached")
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
