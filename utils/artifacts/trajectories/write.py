"""The folder that scoring fills: losses, numbers of response tokens, unfinished parts, manifest.

Legend: N examples of the pool.
"""

import contextlib
import shutil
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...process.reporter import reporter
from ...reading import load_npy
from ..checksums import checksum, checksums_of
from ..files import array_in_place, remove_leftovers
from ..locks import locked
from ..manifests import Provenance, check_inputs
from ..paths import checkpoint_name, lock_of, manifest_in, step_of, validation_in
from .manifest import ScoringRecord, TrajectoriesManifest

LOSS = "loss"
KEPT = {  # what a word of `trajectories.also` keeps of each checkpoint besides the losses
    "confidence": ("probability", "max_probability"),
    "embeddings": ("embeddings",),
}
BASE_LOSSES = "losses of the base model"  # step 0, which is scored only where it is asked for
VALIDATION = "losses of validation rows"  # of data.validation, where it is set
UNREADABLE = "unreadable"  # in place of a checkpoint's fingerprint


def _began_from(record: ScoringRecord, there: ScoringRecord) -> str | None:
    """The base model, by the record of now or of the launches before it, which may be all that know it."""
    return record.base_model or there.base_model


def quantities_of(also: Iterable[str]) -> tuple[str, ...]:
    """All that a scoring pass keeps of each checkpoint, the losses first."""
    return (LOSS, *(quantity for word in also for quantity in KEPT[word]))


@dataclass(frozen=True)
class ScoringRequest:
    """What a launch is about to score.

    Attributes:
        inputs: pool, tokens and precision.
        checkpoints: step -> checkpoint fingerprint.
        num_response_tokens: whole numbers (N,). The losses of rows with 0 will be NaN.
        quantities: what is kept of each checkpoint, the losses among them.
        unreadable: steps that were asked for and cannot be scored. They are recorded,
            so that no selection goes on without them.
        record: kept in the manifest as it is and compared with nothing.
    """

    inputs: dict[str, Any]
    checkpoints: dict[int, str]
    num_response_tokens: np.ndarray
    quantities: tuple[str, ...] = (LOSS,)
    unreadable: tuple[int, ...] = ()
    record: ScoringRecord = field(default_factory=ScoringRecord)


@dataclass(frozen=True)
class TrajectoryFolder:
    """One float32 (N,) file per checkpoint, and what belongs to it."""

    path: Path

    def quantity(self, step: int, quantity: str = LOSS) -> Path:
        """`checkpoint-<step>.npy` for the losses, `checkpoint-<step>.<quantity>.npy` for another quantity."""
        suffix = "" if quantity == LOSS else f".{quantity}"
        return self.path / f"{checkpoint_name(step)}{suffix}.npy"

    @property
    def num_response_tokens(self) -> Path:
        """int32 (N,): how many tokens each example's losses are the mean of. 0 = unscorable."""
        return self.path / "num_response_tokens.npy"

    @property
    def parts(self) -> Path:
        """Where the pieces of unfinished checkpoints lie."""
        return self.path / "parts"

    def parts_of(self, step: int) -> Path:
        """`checkpoint-<step>`. The pieces lie in folders of it that are named by what they were made from."""
        return self.parts / checkpoint_name(step)

    @property
    def batching(self) -> Path:
        """With what batches the checkpoints are scored, which a restart keeps to."""
        return self.path / "batching.json"

    def scored_steps(self, quantities: Iterable[str] = (LOSS,)) -> list[int]:
        """Steps of which all these quantities are whole on disk, ascending."""
        steps = {step for path in self.path.glob("checkpoint-*.npy") if (step := step_of(path)) is not None}
        return sorted(
            step for step in steps if all(self.quantity(step, quantity).is_file() for quantity in quantities)
        )

    def recorded_steps(self, quantities: Iterable[str]) -> list[int]:
        """As `scored_steps`, without those that a launch was killed over before its manifest had them."""
        path = manifest_in(self.path)
        recorded = set(TrajectoriesManifest.read(path).steps) if path.is_file() else set()
        return [step for step in self.scored_steps(quantities) if step in recorded]

    def holds(self, kept: str) -> bool:
        """Whether the checkpoints scored so far have it.

        Args:
            kept: a word of `trajectories.also`, BASE_LOSSES or VALIDATION.
        """
        if kept == BASE_LOSSES:
            return self.quantity(0).is_file()
        if kept == VALIDATION:
            return manifest_in(validation_in(self.path)).is_file()
        scored = self.scored_steps()
        return bool(scored) and set(scored) <= set(self.scored_steps(KEPT[kept]))

    @contextlib.contextmanager
    def scoring(self, request: ScoringRequest, overwrite: bool = False) -> Iterator[list[int]]:
        """`begin`, and keep other launches from scoring the same checkpoints as long as the context lasts.

        Each checkpoint has a lock of its own, so that jobs for different ones may run side by side.
        """
        with contextlib.ExitStack() as held:
            with locked(self.path):
                for step in request.checkpoints:
                    refusal = f"another launch is scoring checkpoint {step}"
                    held.enter_context(locked(self.quantity(step), refusal))
                pending = self.begin(request, overwrite)
            yield pending

    def begin(self, request: ScoringRequest, overwrite: bool = False) -> list[int]:
        """Open the folder for what is requested, or refuse if what lies there was made from other inputs.

        The caller holds the locks of the folder and of these checkpoints. What a killed launch left half
        written goes.

        Args:
            request: the checkpoints and what they are scored on.
            overwrite: drop these checkpoints' losses first, or all losses if they were made
                from other inputs.

        Returns:
            The steps of which some quantity is not there yet, ascending.

        Raises:
            ValueError: naming the differing entries.
        """
        checkpoints = request.checkpoints
        self._move_earlier_parts(checkpoints)
        if overwrite:
            self._drop(request.inputs, checkpoints)
        there = self.check(request.inputs, checkpoints, request.record)
        recorded_files = {} if there is None else there.checksums or {}
        self._remove_changed(recorded_files, checkpoints)
        pending = sorted(checkpoints.keys() - set(self.scored_steps(request.quantities)))
        self._remove_leftovers(checkpoints, checkpoints.keys() - pending)
        self._save_num_response_tokens(request.num_response_tokens)
        known = {} if there is None else there.checkpoints
        record = request.record
        if there is not None:  # a launch of step 0 alone may know no training
            trained_on = record.trained_on or there.trained_on
            record = replace(record, trained_on=trained_on, base_model=_began_from(record, there))
        recorded = {**dict.fromkeys(request.unreadable, UNREADABLE), **known, **checkpoints}
        manifest = TrajectoriesManifest(
            inputs=request.inputs,
            checkpoints={step: recorded[step] for step in sorted(recorded)},
            device_seconds={} if there is None else there.device_seconds,
            checksums=self._checksums(recorded_files, written_anew=pending),
            **self._state(recorded),
            **vars(record),
        )
        # Where all is scored already, the record stays that of the launch that scored it.
        if pending or there is None or there.checkpoints != recorded or not there.is_complete:
            manifest.write(manifest_in(self.path))
        elif there.texts is None and request.record.texts is not None:  # earlier versions did not record it
            replace(there, texts=request.record.texts).write(manifest_in(self.path))
        return pending

    def check(
        self, inputs: dict[str, Any], checkpoints: dict[int, str], record: ScoringRecord
    ) -> TrajectoriesManifest | None:
        """Refuse losses that were made from other inputs, and a step 0 that training did not begin from.

        Args: as in `ScoringRequest`.

        Returns:
            The manifest that is there, None if there is none.

        Raises:
            ValueError: naming the differing entries.
        """
        ways_out = "Ways out: --overwrite scores everything again; another run_name keeps both."
        path = manifest_in(self.path)
        done = set(self.scored_steps())
        if not path.is_file():
            if done:
                raise ValueError(
                    f"{self.path}: found losses, expected also a manifest.json that says what made them. "
                    f"{ways_out}"
                )
            self._check_step_0(checkpoints, record.base_model)
            return None
        manifest = TrajectoriesManifest.read(path)
        check_inputs(path, manifest.inputs, inputs, ways_out, record.data)
        reused = [step for step in checkpoints if step in done]
        check_inputs(
            path,
            {checkpoint_name(step): manifest.checkpoints.get(step) for step in reused},
            {checkpoint_name(step): checkpoints[step] for step in reused},
            ways_out,
        )
        self._check_step_0({**manifest.checkpoints, **checkpoints}, _began_from(record, manifest))
        return manifest

    def _check_step_0(self, checkpoints: Mapping[int, str], began_from: str | None) -> None:
        """Raises: ValueError if step 0 is another model than that which the training began from."""
        found = checkpoints.get(0, UNREADABLE)
        if began_from is not None and found not in (began_from, UNREADABLE):
            raise ValueError(
                f"{self.path}: step 0 is the model that a training began from. That of the checkpoints began "
                f"from {began_from[:12]}, and step 0 is {found[:12]}, another one or one that has changed: "
                "score it with the `model` and `seed` of that training (its config.yml; --ckpt 0 --overwrite "
                "where it is scored already)"
            )

    def finish(
        self,
        step: int,
        num_examples: int,
        pieces: Iterable[tuple[np.ndarray, dict[str, np.ndarray], float]],
    ) -> None:
        """Put one checkpoint's results in place and bring the manifest up to date.

        The caller holds the lock of the folder.

        Args:
            num_examples: N.
            pieces: (row numbers, quantity -> array in their order, seconds that a device took), read one at
                a time. Rows in no piece are NaN.
        """
        device_seconds = 0.0
        with contextlib.ExitStack() as files:
            targets: dict[str, np.ndarray] = {}
            for rows, scores, seconds in pieces:
                device_seconds += seconds
                # The losses are opened first and so take their name last: where they are, all is.
                for quantity in sorted(scores, key=lambda quantity: quantity != LOSS):
                    values = scores[quantity]
                    if quantity not in targets:
                        shape = (num_examples, *values.shape[1:])
                        place = array_in_place(self.quantity(step, quantity), shape, values.dtype)
                        targets[quantity] = files.enter_context(place)
                        targets[quantity][:] = np.nan
                    targets[quantity][rows] = values
            # Before the losses take their name: after a kill the rest can be found out anew, and this cannot.
            manifest = TrajectoriesManifest.read(manifest_in(self.path))
            known = {**manifest.device_seconds, step: round(device_seconds, 3)}
            manifest = replace(manifest, device_seconds=known)
            manifest.write(manifest_in(self.path))
        # Before the record says that this checkpoint is done: after a kill nobody looks for parts of it then.
        self._remove_parts([step])
        written = checksums_of(self._files(step))
        manifest = replace(
            manifest,
            checksums=dict(sorted({**(manifest.checksums or {}), **written}.items())),
            **self._state(manifest.checkpoints),
        )
        manifest.write(manifest_in(self.path))

    def remove(self) -> None:
        """Remove all of it. Raises: ValueError while a launch fills it."""
        with locked(self.path):
            self._refuse_others(own=())
            shutil.rmtree(self.path)

    def _refuse_others(self, own: Container[int]) -> None:
        """Refuse while somebody scores another checkpoint than our own. No launch can begin meanwhile."""
        for lock in lock_of(self.quantity(0)).parent.glob("checkpoint-*"):
            step = step_of(Path(lock.stem))
            if step is not None and step not in own:
                with locked(self.quantity(step), f"another launch is scoring checkpoint {step}"):
                    pass

    def _files(self, step: int) -> list[Path]:
        """All quantities of a checkpoint that are there."""
        return list(self.path.glob(f"{checkpoint_name(step)}.*npy"))

    def is_whole(self, steps: Iterable[int], quantities: Iterable[str]) -> bool:
        """Whether a launch that asks for these quantities of these checkpoints would find nothing to do."""
        path = manifest_in(self.path)
        if not path.is_file() or not self.num_response_tokens.is_file():
            return False
        manifest = TrajectoriesManifest.read(path)
        steps = set(steps)
        is_there = manifest.is_complete and steps <= set(self.recorded_steps(quantities))
        return is_there and not any(self._changed(manifest.checksums or {}, steps))

    def _remove_changed(self, recorded: Mapping[str, str], steps: Iterable[int]) -> None:
        """Remove those files of these checkpoints that have changed since they were written."""
        for file in self._changed(recorded, steps):
            reporter.warn(f"  {file}: other contents than were written (sha256), it is made again")
            file.unlink()

    def _changed(self, recorded: Mapping[str, str], steps: Iterable[int]) -> Iterator[Path]:
        for file in [self.num_response_tokens, *(file for step in steps for file in self._files(step))]:
            if file.name in recorded and file.exists() and checksum(file) != recorded[file.name]:
                yield file

    def _checksums(self, recorded: Mapping[str, str], written_anew: Iterable[int]) -> dict[str, str]:
        """Of all whole files, taken now where no record has them, and without those that will be replaced."""
        replaced = {file for step in written_anew for file in self._files(step)}
        whole = set(self.path.glob("checkpoint-*.npy")) - replaced
        known = {file.name: recorded[file.name] for file in whole if file.name in recorded}
        unknown = [file for file in whole if file.name not in recorded]
        return dict(sorted({**known, **checksums_of([*unknown, self.num_response_tokens])}.items()))

    def _drop(self, inputs: dict[str, Any], checkpoints: dict[int, str]) -> None:
        """Remove what is asked for and no more: another job may be scoring other checkpoints of this run.

        Raises: ValueError if all losses would have to go, and one does.
        """
        path = manifest_in(self.path)
        same_inputs = path.is_file() and TrajectoriesManifest.read(path).inputs == inputs
        if not same_inputs:
            self._refuse_others(own=checkpoints)
        for step in checkpoints if same_inputs else self.scored_steps():
            for file in self._files(step):
                file.unlink()
        if same_inputs:
            self._remove_parts(checkpoints)
            return
        if self.parts.is_dir():
            shutil.rmtree(self.parts)
        path.unlink(missing_ok=True)

    def _remove_leftovers(self, checkpoints: Iterable[int], done: Iterable[int]) -> None:
        """Half-written files of a killed launch, and the parts of checkpoints that it had put together."""
        of_all = (manifest_in(self.path), self.num_response_tokens, self.batching)
        for name in (*(path.name for path in of_all), *map(checkpoint_name, checkpoints)):
            remove_leftovers(self.path, name)
        self._remove_parts(done)

    def _move_earlier_parts(self, steps: Iterable[int]) -> None:
        """Parts in folders named <step>-<key>, as earlier versions did, count as those in <step>/<key>."""
        for step in steps:
            for folder in self.parts.glob(f"{checkpoint_name(step)}-*"):
                place = self.parts_of(step) / folder.name.rpartition("-")[2]
                place.parent.mkdir(exist_ok=True)
                if place.exists():
                    shutil.rmtree(folder)
                else:
                    folder.rename(place)

    def _remove_parts(self, steps: Iterable[int]) -> None:
        for folder in filter(Path.is_dir, map(self.parts_of, steps)):
            shutil.rmtree(folder)
        with contextlib.suppress(OSError):  # another launch has parts there, or there are none
            self.parts.rmdir()

    def _save_num_response_tokens(self, num_response_tokens: np.ndarray) -> None:
        path = self.num_response_tokens
        if path.is_file() and np.array_equal(load_npy(path), num_response_tokens):
            return
        with array_in_place(path, num_response_tokens.shape, np.dtype(np.int32)) as array:
            array[:] = num_response_tokens

    def _state(self, checkpoints: dict[int, str]) -> dict[str, Any]:
        """What a manifest says of how far the scoring of these checkpoints is."""
        done = self.scored_steps()
        status = "complete" if set(done) >= checkpoints.keys() else "running"
        return {"status": status, "steps": done, "provenance": Provenance.now()}
