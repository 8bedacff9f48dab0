"""Wall time of facility location and of k-center on made-up embeddings.

    python benchmarks/greedy.py [--num_examples 50000] [--num_dimensions 512] [--budget 0.1]

The embeddings lie around topics, in a space where all share a direction and later dimensions vary less,
as a language model's do. They are written and read as scoring does it.
Both methods are exact, so the figures depend on the pool.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.artifacts.paths import RunPaths
from utils.artifacts.trajectories.manifest import TrajectoriesManifest
from utils.artifacts.trajectories.read import read_trajectories
from utils.artifacts.trajectories.write import ScoringRequest, TrajectoryFolder
from utils.config.schema import SubsetConfig
from utils.selection.candidates import Candidates
from utils.selection.methods.table import METHODS

_RUN = "made_up"
_STEP = 1
_NUM_TOPICS = 300


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num_examples", type=lambda text: int(float(text)), default=50_000)
    parser.add_argument("--num_dimensions", type=int, default=512)
    parser.add_argument("--budget", type=float, default=0.1)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["S2L_RES_DIR"] = folder
        candidates = make_candidates(make_embeddings(arguments.num_examples, arguments.num_dimensions))
        rows = round(arguments.budget * arguments.num_examples)
        print(
            f"{arguments.num_examples:,} x {arguments.num_dimensions}, budget {rows:,}; "
            f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} at the start"
        )
        for method in ("facility_location", "k_center"):
            settings = SubsetConfig.model_validate(
                {"method": method, "trajectories_from": _RUN, "budget": rows}
            )
            start = time.perf_counter()
            processor_start = time.process_time()
            chosen = METHODS[method].choose(candidates, settings, rows, 0).rows
            seconds = time.perf_counter() - start
            processor = time.process_time() - processor_start
            assert len(np.unique(chosen)) == rows
            print(f"{method}: {seconds:.1f} s ({processor:.1f} s of processor)", flush=True)
    return 0


def make_embeddings(num_examples: int, num_dimensions: int) -> np.ndarray:
    """float16 (N, d)."""
    rng = np.random.default_rng(0)
    scale_d = np.arange(1, num_dimensions + 1, dtype=np.float32) ** -0.5
    topics = rng.standard_normal((_NUM_TOPICS, num_dimensions), np.float32)
    weights = rng.pareto(1.5, _NUM_TOPICS) + 0.1
    topic_N = rng.choice(_NUM_TOPICS, num_examples, p=weights / weights.sum())
    noise = rng.standard_normal((num_examples, num_dimensions), np.float32)
    return (scale_d + scale_d * (topics[topic_N] + noise)).astype(np.float16)


def make_candidates(embeddings_Nd: np.ndarray) -> Candidates:
    num_examples = len(embeddings_Nd)
    rows = np.arange(num_examples)
    folder = TrajectoryFolder(RunPaths(_RUN).trajectories)
    made_up = dict.fromkeys(TrajectoriesManifest.NAMED_INPUTS, "made up")
    inputs = {**made_up, "num_examples": num_examples, "max_length": 1}
    tokens = np.ones(num_examples, np.int32)
    folder.begin(ScoringRequest(inputs, {_STEP: "made up"}, tokens, ("loss", "embeddings")))
    scores = {"loss": np.ones(num_examples, np.float32), "embeddings": embeddings_Nd}
    folder.finish(_STEP, num_examples, [(rows, scores, 0.0)])
    trajectories = read_trajectories(_RUN, None, num_examples)
    return Candidates(
        rows, np.zeros(num_examples, np.int32), [""], num_examples, trajectories, np.empty(0, np.int64)
    )


if __name__ == "__main__":
    sys.exit(main())
