"""A public model's own checkpoints: revisions of a repository on the hub, or folders in one, by their steps.

`NAME@step1000,step2000` or `NAME@step*`. Many models are published with the checkpoints of their training,
most with one in each branch: Pythia (`step1000`), OLMo (`step1000-tokens4B`,
`stage2-ingredient1-step1000-tokens3B`), SmolLM3 (`stage1-step-40000`). Others have them in the folders of one
branch.
"""

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..process import torchrun
from ..process.errors import explained
from ..process.hub import can_only_be_a_path, look_for, why_no_hub
from ..process.reporter import reporter
from ..terminal import first_of

_SETTING = "--model_path"
_STEP = re.compile(r"(?:^|[^a-z])(?:step|iter|checkpoint|ckpt|epoch)[-_]?(\d{1,9})(?!\d)", re.IGNORECASE)
_STAGE = re.compile(r"(?:^|[^a-z])stage[-_]?(\d{1,6})(?!\d)", re.IGNORECASE)
# Steps are counted anew in every stage: those of a later stage get numbers above all of an earlier one.
_STEPS_OF_A_STAGE = 10**9
_SMALL_FILES = (".json", ".txt", ".model", ".jinja", ".py", ".tiktoken")  # config, tokenizer, code


@dataclass(frozen=True)
class RevisionQuery:
    """What `NAME@PATTERN,PATTERN` and --subfolder say.

    Attributes:
        model: a name on the hub.
        patterns: names of revisions, or patterns of them (`step*`).
        subfolder: of each revision, in which the model lies: a name or a pattern. None = at its top.
        cache_dir: where files of the hub are kept. None = the hub library's own folder.
    """

    model: str
    patterns: tuple[str, ...]
    subfolder: str | None = None
    cache_dir: str | None = None

    @property
    def cached(self) -> Path:
        """The folder of the repository in the cache."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        name = repo_folder_name(repo_id=self.model, repo_type="model")
        return Path(self.cache_dir or constants.HF_HUB_CACHE) / name


@dataclass(frozen=True)
class Revision:
    """One checkpoint of a public model.

    Attributes:
        name: of a branch or a tag.
        folder: of the repository, in which the model lies.
    """

    name: str
    folder: str = "."

    def __str__(self) -> str:
        return self.name if self.folder == "." else f"{self.name}/{self.folder}"

    @property
    def step(self) -> int | None:
        """The number in its name, in the order of training, None where there is none."""
        step = _STEP.search(str(self))
        stage = _STAGE.search(str(self))
        if step is None:
            return None
        return int(step.group(1)) + _STEPS_OF_A_STAGE * max(0, int(stage.group(1)) - 1 if stage else 0)


def revisions_named(
    model_path: str | None, subfolder: str | None = None, cache_dir: str | None = None
) -> RevisionQuery | None:
    """None for a folder. Raises: ValueError for what can be neither a folder nor a model with revisions."""
    if model_path is None or "@" not in model_path or Path(model_path).exists():
        return None
    model, _, names = model_path.rpartition("@")
    patterns = tuple(name.strip() for name in names.split(","))
    if not model or not all(patterns):
        raise ValueError(
            f"{_SETTING}: found {model_path!r}, expected a folder, or a model on the hub with its revisions, "
            "such as EleutherAI/pythia-70m@step1000,step2000 or EleutherAI/pythia-70m@step*"
        )
    if Path(model).is_dir() and can_only_be_a_path(model):
        raise ValueError(
            f"{_SETTING}: found {model_path!r}, expected a model on the hub before the @, as only that has "
            "revisions: name a folder of checkpoints alone, and its steps with --checkpoints"
        )
    return RevisionQuery(model, patterns, subfolder, cache_dir)


def find_revisions(query: RevisionQuery) -> dict[int, Revision]:
    """Step -> revision, ascending: by stage, then by step.

    The number in the name is the step. Steps of stage 2 count from 1,000,000,000, of stage 3 from
    2,000,000,000.

    Raises: ValueError, FileNotFoundError if the hub has no such model or revision, a name has no step, or
        two have the same.
    """
    look_for(query.model, _SETTING)
    there = _all_names(query)
    found: dict[int, Revision] = {}
    for pattern in query.patterns:
        names = sorted(fnmatch.filter(there, pattern))
        if not names:
            known = sorted(there, key=lambda name: (Revision(name).step is None, Revision(name).step, name))
            raise ValueError(
                f"{_SETTING}: {query.model} has no revision {pattern!r}, expected some of {first_of(known)}"
            )
        for revision in [revision for name in names for revision in _in_folders(query, name)]:
            if revision.step is None:
                raise ValueError(
                    f"{_SETTING}: {query.model}@{revision} has no step in its name, expected one like "
                    f"step1000: leave it out, or score it as a base model (model.revision={revision.name})"
                )
            if found.setdefault(revision.step, revision) != revision:
                raise ValueError(
                    f"{_SETTING}: {found[revision.step]} and {revision} of {query.model} are of one stage "
                    "and step, expected one path of training: name the revisions of one of them"
                )
    return dict(sorted(found.items()))


def _all_names(query: RevisionQuery) -> set[str]:
    """Branches and tags on the hub; of a hub that does not answer, those that are in the cache."""
    from huggingface_hub import HfApi

    if why_no_hub() is None:
        way_out = "correct the name, or log in to the hub"
        with explained(f"{_SETTING}: the revisions of {query.model} cannot be listed", way_out):
            refs = HfApi().list_repo_refs(query.model)
        return {ref.name for ref in [*refs.branches, *refs.tags]}
    refs_folder = query.cached / "refs"
    names = {path.relative_to(refs_folder).as_posix() for path in refs_folder.rglob("*") if path.is_file()}
    if not names:
        raise FileNotFoundError(
            f"{_SETTING}: the hub is not reached, and no revision of {query.model} lies in "
            f"{query.cached.parent}: run this once where the hub answers, or give a folder"
        )
    if torchrun.is_first():
        reporter.warn(f"note: the hub is not reached: only revisions of {query.model} that lie here are seen")
    return names


def _in_folders(query: RevisionQuery, name: str) -> list[Revision]:
    """A revision in each of its folders that the query means."""
    if query.subfolder is None:
        return [Revision(name)]
    parents = {str(parent) for file in _files(query, name) for parent in PurePosixPath(file).parents}
    folders = sorted(fnmatch.filter(parents, query.subfolder))
    if not folders:
        raise ValueError(
            f"--subfolder: {query.model}@{name} has no folder {query.subfolder!r}, expected some of "
            f"{first_of(sorted(parents - {'.'})) or 'its folders, of which it has none'}"
        )
    return [Revision(name, folder) for folder in folders]


def _files(query: RevisionQuery, name: str) -> list[str]:
    """All files of a revision; of a hub that does not answer, those that are in the cache."""
    from huggingface_hub import HfApi

    if why_no_hub() is None:
        with explained(f"{_SETTING}: the files of {query.model}@{name} cannot be listed", "try again"):
            return HfApi().list_repo_files(query.model, revision=name)
    folder = _cached_snapshot(query, name)
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _cached_snapshot(query: RevisionQuery, name: str) -> Path:
    return query.cached / "snapshots" / (query.cached / "refs" / name).read_text().strip()


def fetch_revision(query: RevisionQuery, revision: Revision) -> Path:
    """The folder of a revision in the cache, with what a checkpoint needs: config, tokenizer, weights.

    Raises: ValueError.
    """
    from huggingface_hub import snapshot_download

    if why_no_hub() is not None:
        return _cached_snapshot(query, revision.name) / revision.folder
    files = _files_of_a_model(_files(query, revision.name), PurePosixPath(revision.folder))
    if torchrun.is_first():
        reporter.say(f"fetching {query.model}@{revision} unless it lies here already")
    with explained(f"{_SETTING}: {query.model}@{revision} cannot be fetched", "try again, or leave it out"):
        snapshot = snapshot_download(
            query.model, revision=revision.name, cache_dir=query.cache_dir, allow_patterns=files
        )
    return Path(snapshot) / revision.folder


def _files_of_a_model(files: list[str], folder: PurePosixPath) -> list[str]:
    """Of a repository's files those that the model in a folder is loaded from, its weights in one format."""
    here = [file for file in files if PurePosixPath(file).parent == folder]
    weights = [file for file in here if file.endswith(".safetensors")]
    if not weights:
        weights = [file for file in here if file.endswith(".bin")]
    return weights + [file for file in here if file.endswith(_SMALL_FILES)]
