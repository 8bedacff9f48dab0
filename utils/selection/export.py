"""Write a subset that is there as other stacks read it, and upload it to the hub."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..artifacts.checksums import checksum
from ..artifacts.exports import README, ExportManifest, write_export
from ..artifacts.files import atomic_write
from ..artifacts.locks import locked
from ..artifacts.manifests import Provenance
from ..artifacts.paths import RunPaths, export_in, manifest_in, run_named
from ..artifacts.subsets import SubsetManifest, read_clusters, read_composition, read_subset
from ..artifacts.trajectories.manifest import TrajectoriesManifest
from ..config.names import ExportTarget, look_up
from ..config.schema import RunConfig
from ..data.containers import is_local
from ..data.export.card import dataset_card
from ..data.export.messages import answers_once, conversation_of, is_scored_by_role
from ..data.export.origin import ORIGINS_FILE, TABLE_FILE, Origin
from ..data.export.readme import RowFacts, readme
from ..data.export.segments import (
    Segment,
    SpecialTexts,
    completion_fault,
    segments_of,
    segments_of_chat,
    with_special_texts,
    without_beginning,
)
from ..data.export.stacks import DATA_FILE, STACKS, Form, PastedValues, Stack
from ..data.export.table import write_table
from ..data.export.upload import check_upload, upload_dataset
from ..data.formats import Example
from ..data.rows import Rows
from ..terminal import first_of
from .checks.inspection import write_row_list
from .named_rows import read_rows
from .reopen import SubsetAndPool, own_subset

if TYPE_CHECKING:
    from ..data.chat import ChatTemplate  # of transformers, which selection does without

CARD: ExportTarget = "parquet"  # whose files a dataset on the hub consists of
_UPLOADED = (README, TABLE_FILE, ORIGINS_FILE)  # and no manifest, which names folders of this machine


@dataclass(frozen=True)
class Export:
    """The files for one stack.

    Attributes:
        stack: its name.
        form: of the rows, None where their columns stay as they are.
        rows: int64, row numbers of the pool, in the order in which they are written.
        folder: to write.
    """

    stack: ExportTarget
    form: Form | None
    rows: np.ndarray
    folder: Path


@dataclass(frozen=True)
class Refusals:
    """Rows that stacks cannot take. Nothing is written for these stacks.

    Attributes:
        faults: of each stack, what is wrong -> rows of the subset, by their number in the pool.
        num_rows: of the subset.
        excluded: int64, all rows of the pool that one of these stacks cannot take, and those that
            `subset.exclude` names already: what it has to name for a choice that can be written.
        path: of a file with these.
    """

    faults: dict[ExportTarget, dict[str, list[int]]]
    num_rows: int
    excluded: np.ndarray
    path: Path


@dataclass(frozen=True)
class ExportPlan:
    """What is written of a subset.

    Attributes:
        config: of the run.
        own: its subset and pool.
        exports: one for each stack that can take every row.
        refusals: of the other stacks, None without.
        renderer: of exact texts, None where the rows are messages.
        turns: what the rows have in common.
        origin: for the README of each.
        repo: the dataset on the hub that is made, None for none.
    """

    config: RunConfig
    own: SubsetAndPool
    exports: list[Export]
    refusals: Refusals | None
    renderer: "_Renderer | None"
    turns: "_Turns"
    origin: Origin
    repo: str | None


def plan_export(config: RunConfig, stacks: Sequence[str], is_rendered: bool, repo: str | None) -> ExportPlan:
    """Open the subset of a run, and look at every row that is to be written.

    Args:
        config: with a data section.
        stacks: names as a person gives them.
        is_rendered: write exact texts instead of messages.
        repo: OWNER/NAME of a dataset to make on the hub.

    Raises:
        FileNotFoundError: there is no subset yet.
        ValueError: an unknown stack, one that takes no exact texts, a subset that was made from something
            else, or a dataset that cannot be made.
    """
    known: dict[str, ExportTarget] = {name: name for name in STACKS}
    targets: list[ExportTarget] = [look_up(known, name, "--write_for") for name in dict.fromkeys(stacks)]
    if is_rendered:
        _refuse_to_render(targets)
    if repo is not None:
        targets = list(dict.fromkeys([*targets, CARD]))
    own = own_subset(config)
    if not own.pool.has_texts:
        raise ValueError(
            f"--write_for: found row numbers alone ({own.pool.name}), expected rows with texts: "
            "add a `data:` section"
        )
    renderer = _renderer(config, targets) if is_rendered else None
    turns, faults = _look_at_rows(targets, own, renderer)
    if repo is not None:
        check_upload(repo)
    return ExportPlan(
        config=config,
        own=own,
        exports=[_export(target, own, is_rendered, turns) for target in targets if target not in faults],
        refusals=_refusals(faults, config, own, renderer) if faults else None,
        renderer=renderer,
        turns=turns,
        origin=_origin(config, own),
        repo=repo,
    )


def _refuse_to_render(targets: list[ExportTarget]) -> None:
    takes_texts = [name for name, stack in STACKS.items() if stack.rendered is not None]
    others = [target for target in targets if target not in takes_texts]
    if others:
        raise ValueError(
            f"--rendered: found {', '.join(others)}, expected {' or '.join(takes_texts)}, which alone take "
            "exact texts: write for the others in a command without --rendered"
        )


@dataclass(frozen=True)
class _Renderer:
    """Rows as exact texts.

    Attributes:
        template: of texts, by name.
        chat: the chat template, in place of that.
        special: the tokenizer's special tokens, None where no form needs them.
    """

    template: str
    chat: "ChatTemplate | None"
    special: SpecialTexts | None

    def segments(self, example: Example, form: Form) -> list[Segment]:
        """Raises: ValueError if the chat template cannot render the row."""
        if self.chat is None:
            segments = segments_of(example, self.template)
            if not form.needs_special_texts:
                return segments
            assert self.special is not None
            return with_special_texts(segments, self.special)
        segments = segments_of_chat(conversation_of(example), self.chat)
        assert self.special is not None
        return segments if form.needs_special_texts else without_beginning(segments, self.special)


def _renderer(config: RunConfig, targets: list[ExportTarget]) -> _Renderer:
    data = config.data_section
    forms = [STACKS[target].rendered for target in targets]
    if not data.has_chat_template and not any(form and form.needs_special_texts for form in forms):
        return _Renderer(data.template, None, None)
    # Transformers, which selection does without.
    from ..data.chat import chat_template_of
    from ..data.tokenization import check_tokenizer, special_tokens_around_text
    from ..modeling.loading import load_tokenizer

    tokenizer = load_tokenizer(config.model_section)
    check_tokenizer(tokenizer)
    before, _ = special_tokens_around_text(tokenizer)
    special = SpecialTexts("".join(tokenizer.convert_ids_to_tokens(before)), str(tokenizer.eos_token))
    return _Renderer(data.template, chat_template_of(data.template, tokenizer), special)


@dataclass(frozen=True)
class _Turns:
    """What the rows have in common.

    Attributes:
        are_answered_once: whether of each row the last turn alone is scored, an answer.
        num_not_by_role: rows in which other turns are scored than all of the assistant.
        have_tools: whether some rows come with tools.
        leading: the first row with each kind of turn: by the fields that it has (`tool_calls`, `name`) and by
            what they hold, such as the arguments of a call. `datasets` takes the types of a column from the
            first 10 MB of a file, and ends where a turn has another field behind that.
    """

    are_answered_once: bool
    num_not_by_role: int
    have_tools: bool
    leading: list[int]


_Faults = dict[ExportTarget, dict[str, list[int]]]  # as in `Refusals`


def _look_at_rows(
    targets: list[ExportTarget], own: SubsetAndPool, renderer: _Renderer | None
) -> tuple[_Turns, _Faults]:
    """What the rows of the subset have in common, and which of them cannot go."""
    faults: _Faults = {}
    are_answered_once = True
    num_not_by_role = 0
    have_tools = False
    leading: dict[tuple[bool, Any], int] = {}
    stacks: dict[ExportTarget, Stack] = {
        target: STACKS[target] for target in targets if STACKS[target].answered_once is not None
    }
    for row in own.indices.tolist() if stacks else ():
        example = own.pool[row]
        conversation = conversation_of(example)
        for target, stack in stacks.items():
            fault = _fault(example, stack, renderer)
            if fault is not None:
                faults.setdefault(target, {}).setdefault(fault, []).append(row)
        are_answered_once &= answers_once(conversation)
        num_not_by_role += not is_scored_by_role(conversation)
        have_tools |= bool(conversation.tools)
        for number, message in enumerate(conversation.messages, start=1):
            # TRL's completions are a column of their own.
            is_last = number == len(conversation.messages)
            leading.setdefault((is_last, _shape(message)), row)
    turns = _Turns(are_answered_once, num_not_by_role, have_tools, list(dict.fromkeys(leading.values())))
    return turns, faults


def _refusals(faults: _Faults, config: RunConfig, own: SubsetAndPool, renderer: _Renderer | None) -> Refusals:
    """Looks at all rows of the pool: without those of the subset alone the next choice has others."""
    stacks = [STACKS[target] for target in faults]
    unfit = [
        row
        for row in np.flatnonzero(~own.pool.excluded).tolist()
        if any(_fault(own.pool[row], stack, renderer) is not None for stack in stacks)
    ]
    excluded = np.union1d(
        np.array(unfit, np.int64), read_rows(config.subset_section.exclude, "exclude", own.pool)
    )
    return Refusals(faults, len(own.indices), excluded, RunPaths(config.run_name).not_for(list(faults)))


def _shape(value: Any) -> Any:
    """The type that a loader would take a value for, the same for the same type."""
    if isinstance(value, Mapping):
        return frozenset((key, _shape(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return "list", frozenset(map(_shape, value))
    return type(value).__name__


def _fault(example: Example, stack: Stack, renderer: _Renderer | None) -> str | None:
    """Why a stack cannot take a row, None where it can."""
    if renderer is None:
        return stack.fault(conversation_of(example))
    assert stack.rendered is not None
    try:
        segments = renderer.segments(example, stack.rendered)
    except ValueError as error:
        return str(error)
    return None if stack.rendered.needs_special_texts else completion_fault(segments)


def _export(target: ExportTarget, own: SubsetAndPool, is_rendered: bool, turns: _Turns) -> Export:
    stack = STACKS[target]
    rows = own.indices
    form = stack.answered_once if turns.are_answered_once else stack.answered_often
    if is_rendered and stack.rendered is not None:
        form = stack.rendered
    elif form is not None:
        others = rows[~np.isin(rows, turns.leading)]
        rows = np.concatenate([np.array(turns.leading, dtype=rows.dtype), others])
    folder = export_in(own.folder, target)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ValueError(
            f"{folder}: found a link or a file, expected a folder that --write_for wrote, or nothing: "
            "move it away"
        )
    return Export(target, form, rows, folder)


def _origin(config: RunConfig, own: SubsetAndPool) -> Origin:
    manifest = own.subset.manifest
    scoring = _scoring(manifest)
    return Origin(
        run_name=config.run_name,
        num_rows=len(own.indices),
        pool_name=", ".join(_public_name(part.path) for part in config.data_section.parts),
        pool_fingerprint=manifest.pool,
        num_pool_rows=manifest.num_examples,
        num_selectable=manifest.num_selectable,
        method=manifest.method,
        seed=manifest.seed,
        losses=_losses(manifest, scoring),
        template=_public_name(config.data_section.template),
        scored_turns=tuple(config.data_section.score_roles),
        scored_last=config.data_section.score_turns == "last",
        scored=None if scoring is None else (scoring.template, scoring.max_length),
        sources=read_composition(own.folder, manifest)["sources"],
    )


def _scoring(manifest: SubsetManifest) -> TrajectoriesManifest | None:
    """What made the losses. None without losses, for those made elsewhere, and where they are gone."""
    if manifest.trajectories_from is None:
        return None
    path = RunPaths(run_named(manifest.trajectories_from)).trajectories_manifest
    return TrajectoriesManifest.read(path) if path.is_file() else None


def _losses(manifest: SubsetManifest, scoring: TrajectoriesManifest | None) -> str | None:
    if manifest.trajectories_from is None:
        return None
    words = f"of {_public_name(manifest.trajectories_from)}"
    model = (scoring.model or {}) if scoring is not None else {}
    if model.get("name_or_path"):
        words += f", a fine-tuned {_public_name(model['name_or_path'])}"
    return words if manifest.steps is None else f"{words}, at steps {first_of(manifest.steps)}"


def _public_name(path: str) -> str:
    """A name on the hub as it is, of a path the last part: where it lies here is nobody's business."""
    return Path(path).name if is_local(path) or Path(path).exists() else path


def run_export(plan: ExportPlan) -> str | None:
    """Write the files for each stack, then upload.

    Returns: the address of the dataset on the hub, None without.

    Raises: ValueError if another command is choosing for this run, or has chosen since the plan was made.
    """
    own = plan.own
    with locked(own.folder, "another command is choosing the rows of this run"):
        if not np.array_equal(read_subset(own.folder).indices, own.indices):
            raise ValueError(f"{own.folder}: found another subset than a moment ago: run the command again")
        for export in plan.exports:
            write_export(export.folder, _manifest(plan, export), partial(_write_files, plan, export))
        if plan.refusals is not None:
            write_row_list(plan.refusals.excluded, plan.refusals.path)
    if plan.repo is None:
        return None
    return upload_dataset(plan.repo, export_in(own.folder, CARD), _UPLOADED)


def _manifest(plan: ExportPlan, export: Export) -> ExportManifest:
    data = plan.config.data_section
    inputs = {
        "subset": checksum(manifest_in(plan.own.folder)),
        "stack": export.stack,
        "is_rendered": plan.renderer is not None and export.form is not None,
        "template": data.template,
        "max_length": data.max_length,
    }
    return ExportManifest(status="complete", inputs=inputs, provenance=Provenance.now())


def _write_files(plan: ExportPlan, export: Export, folder: Path) -> None:
    own = plan.own
    _write_lines(folder / ORIGINS_FILE, _origins(own, export.rows))
    if export.form is None:
        write_table(folder / TABLE_FILE, own.pool, export.rows)
        _write_text(folder / README, dataset_card(plan.origin))
        return
    _write_lines(folder / DATA_FILE, _rows(plan, export.form, own.pool, export.rows.tolist()))
    model = plan.config.model
    values = PastedValues(
        dataset=plan.config.run_name,
        folder=str(export.folder),
        model=(model.name_or_path if model is not None else None) or "YOUR_MODEL",
        max_length=plan.config.data_section.max_length,
        have_tools=plan.turns.have_tools,
    )
    for name, text in export.form.configs(values).items():
        _write_text(folder / name, text)
    title = STACKS[export.stack].title
    facts = RowFacts(
        are_rendered=plan.renderer is not None,
        special=plan.renderer.special if plan.renderer is not None else None,
        num_not_by_role=plan.turns.num_not_by_role if export.form.by_role else 0,
        have_tools=plan.turns.have_tools and plan.renderer is None,
    )
    _write_text(folder / README, readme(title, export.form, values.folder, plan.origin, facts))


def _rows(plan: ExportPlan, form: Form, pool: Rows, rows: Iterable[int]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if plan.renderer is None:
            yield form.line(conversation_of(pool[row]), plan.turns.have_tools)
        else:
            yield form.row(plan.renderer.segments(pool[row], form))


def _origins(own: SubsetAndPool, rows: np.ndarray) -> Iterator[dict[str, Any]]:
    clusters_N = read_clusters(own.folder, own.subset.manifest)
    names = own.pool.source_names
    for row in rows.tolist():
        cluster = int(clusters_N[row])
        source = names[own.pool.source_codes[row]]
        yield {"row": row, "source": source or None, "cluster": None if cluster < 0 else cluster}


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with atomic_write(path) as file:
        file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text)
