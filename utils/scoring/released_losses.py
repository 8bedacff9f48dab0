"""Turn the released code's losses into a file that selection reads.

    python -m utils.scoring.released_losses FOLDER losses.npz

FOLDER holds checkpoint-<step>/losses.pt (or output/checkpoint-<step>/losses.pt) of one run: a list of one
number per row of the training data, in order. They are read by torch with weights_only=True, so a file cannot
run code. Therefore this lives here and not with selection, which does without torch. In those losses rows
without a response token are NaN, which means the same here. Note that the released code overwrites the
end-of-sequence token before it scores.
"""

import pickle
import sys
from pathlib import Path

import numpy as np
import torch

from ..artifacts.files import save_arrays
from ..artifacts.paths import step_of
from ..config.command_line import run_command
from ..config.flags import CommandParser
from ..process.errors import in_words
from ..process.reporter import reporter


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(__doc__)
    parser.add_argument("folder", type=Path, help="holds checkpoint-<step>/losses.pt")
    parser.add_argument("target", type=Path, help="the .npz to write")
    arguments = parser.parse_args(argv)

    def command() -> int:
        steps, losses_NT = read_released_losses(arguments.folder)
        if arguments.target.suffix != ".npz":
            raise ValueError(f"found {arguments.target}, expected a name that ends in .npz")
        save_arrays(arguments.target, {"losses": losses_NT, "steps": np.array(steps)})
        reporter.say(f"{arguments.target}: {losses_NT.shape[0]:,} rows, steps {', '.join(map(str, steps))}")
        return 0

    return run_command(command)


def read_released_losses(folder: Path) -> tuple[list[int], np.ndarray]:
    """Steps, ascending, and float32 (N, T).

    Raises:
        FileNotFoundError: there is none.
        ValueError: checkpoints of several runs, a checkpoint without losses, a file that is not such a list
            or of another length.
    """
    places = [path for path in folder.glob("**/checkpoint-*/") if step_of(path) is not None]
    scored = [place for place in places if (place / "losses.pt").is_file()]
    if not scored:
        raise FileNotFoundError(
            f"{folder} holds no checkpoint-<step>/losses.pt: give the folder above the checkpoints"
        )
    runs = sorted({str(place.parent) for place in scored})
    if len(runs) > 1:
        raise ValueError(
            f"{folder} holds the losses of several runs, expected one: found {', '.join(runs)}: "
            "give one of these folders"
        )
    without = sorted(place.name for place in places if str(place.parent) == runs[0] and place not in scored)
    if without:
        raise ValueError(
            f"{runs[0]}: {', '.join(without)} without losses.pt, expected losses at every checkpoint: "
            "score them, or move them elsewhere to do without"
        )
    files = {step: place / "losses.pt" for place in scored if (step := step_of(place)) is not None}
    steps = sorted(files)
    columns = [_read(files[step]) for step in steps]
    for step, column in zip(steps, columns, strict=True):
        if len(column) != len(columns[0]):
            raise ValueError(
                f"{files[step]} holds {len(column)} losses, but {files[steps[0]]} {len(columns[0])}: "
                "expected one for each row in every file"
            )
    return steps, np.stack(columns, axis=1)


def _read(path: Path) -> np.ndarray:
    try:
        losses = torch.load(path, map_location="cpu", weights_only=True)
        return np.array([float(loss) for loss in losses], np.float32)
    except (RuntimeError, TypeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} is not a list of one loss per row that torch.save wrote ({in_words(error)})"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
