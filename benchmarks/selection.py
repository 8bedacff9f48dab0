"""Wall time and peak memory of select_s2l.py on made-up loss trajectories of a given size.

    python benchmarks/selection.py                 as MathInstruct: 262,039 rows, texts, 14 sources
    python benchmarks/selection.py --num_examples 1e7 --without_texts --num_sources 1
    python benchmarks/selection.py --num_examples 1e8 --without_texts --num_sources 1 --budget 0.01
    python benchmarks/selection.py --num_examples 1e6 --without_texts --num_sources 1e6 --num_checkpoints 6
    python benchmarks/selection.py --compare       k-means beside faiss.Kmeans and scikit-learn

Makes trajectories (and a pool, unless --without_texts) in a temporary folder and runs the real command on
them, once per preset, then each way to look at the subset. With texts it chooses twice, since the second
time finds the pool read. With as many sources as rows each row is a source. Peak memory is what the process
holds itself (anonymous), beside the pages of mapped files, which the system takes back when it needs them.
--compare needs scikit-learn for its own line, and leaves it out where it is not installed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

_PROJECT_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_PROJECT_ROOT))

if TYPE_CHECKING:
    from utils.config.names import KMeansInit

_NUM_TEXTS = 1000
_MEAN_CHARACTERS = 250  # of instruction and of response, each. MathInstruct's rows have some 560 bytes
_ROWS_AT_ONCE = 2**20

_LOOKS = {"inspect": ["--inspect"], "explain": ["--explain", "0"], "stability": ["--stability"]}

Clustering = Callable[[int], tuple[np.ndarray, np.ndarray]]  # seed -> each row's cluster, centroids


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num_examples", type=lambda text: int(float(text)), default=262_039)
    parser.add_argument("--num_checkpoints", type=int, default=12)
    parser.add_argument("--num_sources", type=lambda text: int(float(text)), default=14)
    parser.add_argument("--budget", type=float, default=0.5)
    parser.add_argument("--presets", nargs="+", default=["released", "paper"])
    parser.add_argument("--without_texts", action="store_true", help="choose row numbers only")
    parser.add_argument("--compare", action="store_true", help="k-means alone, beside other implementations")
    parser.add_argument(
        "--folder", type=Path, help="where the files go, default: the system's temporary folder"
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        rng = np.random.default_rng(0)
        source_N = make_sources(arguments.num_examples, arguments.num_sources, rng)
        make_trajectories(folder / "losses.npy", source_N, arguments.num_checkpoints, rng)
        print(
            f"{arguments.num_examples:,} rows, {arguments.num_sources} sources, "
            f"{arguments.num_checkpoints} checkpoints, {os.cpu_count()} CPUs, "
            f"load {os.getloadavg()[0]:.1f} at the start"
        )
        if arguments.compare:
            compare(np.load(folder / "losses.npy"))
            return 0
        if arguments.without_texts:
            np.save(folder / "sources.npy", source_N)
        else:
            make_pool(folder / "pool.jsonl", source_N, rng)
        for preset in arguments.presets:
            runs = {"first": ["--overwrite"], "again": ["--overwrite"]}
            if arguments.without_texts:
                del runs["again"]
            for run, words in {**runs, **_LOOKS}.items():
                seen = run_selection(folder, preset, arguments.budget, words)
                print(f"preset {preset}, {run}: {seen}", flush=True)
    return 0


def make_sources(num_examples: int, num_sources: int, rng: np.random.Generator) -> np.ndarray:
    if num_sources == num_examples:
        return rng.permutation(num_examples).astype(np.int32)
    # The i-th largest source is proportional to 1/i, as uneven as MathInstruct's.
    weights = 1 / np.arange(1, num_sources + 1)
    ends = np.cumsum(weights / weights.sum())
    source_N = np.searchsorted(ends, rng.random(num_examples, np.float32))
    return np.minimum(source_N, num_sources - 1).astype(np.int8 if num_sources <= 128 else np.int32)


def make_pool(path: Path, source_N: np.ndarray, rng: np.random.Generator) -> None:
    words = [
        "solve",
        "for",
        "the",
        "sum",
        "of",
        "\\frac{1}{2}",
        "x^2",
        "answer",
        "is",
        "42",
        "then",
        "\n",
        "therefore",
    ]
    lengths = rng.gamma(2, _MEAN_CHARACTERS / 10, _NUM_TEXTS).astype(int) + 1  # in words of 5 characters
    texts = [" ".join(rng.choice(words, length)) for length in lengths]
    with open(path, "w", encoding="utf-8") as file:
        for row, source in enumerate(source_N.tolist()):
            example = {
                "source": f"data/source_{source}.json",
                "instruction": f"{row} {texts[row % _NUM_TEXTS]}",
                "output": texts[row * 7 // 3 % _NUM_TEXTS],
            }
            file.write(json.dumps(example) + "\n")


def make_trajectories(
    path: Path, source_N: np.ndarray, num_checkpoints: int, rng: np.random.Generator
) -> None:
    """Losses that fall at a pace of their own from a start that depends on the source, piece by piece."""
    num_examples = len(source_N)
    start_S = rng.gamma(4, 0.4, int(source_N.max()) + 1).astype(np.float32)
    times_T = np.linspace(1 / num_checkpoints, 1, num_checkpoints, dtype=np.float32)
    losses_NT = np.lib.format.open_memmap(path, "w+", np.float32, (num_examples, num_checkpoints))
    for first in range(0, num_examples, _ROWS_AT_ONCE):
        source_m = source_N[first : first + _ROWS_AT_ONCE]
        starts = start_S[source_m] * np.exp(0.4 * rng.standard_normal(len(source_m), np.float32))
        paces = rng.standard_gamma(2, len(source_m), np.float32) * np.float32(0.4)
        noise_mT = rng.standard_normal((len(source_m), num_checkpoints), np.float32)
        falling_mT = starts[:, None] * np.exp(-paces[:, None] * times_T)
        losses_NT[first : first + _ROWS_AT_ONCE] = np.abs(falling_mT + np.float32(0.02) * noise_mT)
    losses_NT.flush()


def run_selection(folder: Path, preset: str, budget: float, words: list[str]) -> str:
    """Seconds of wall time and of processor, peak memory, and the command's own account of its time."""
    config = folder / "selection.yml"
    subset = {"preset": preset, "trajectories_from": str(folder / "losses.npy"), "budget": budget}
    values = {"run_name": f"benchmark-{preset}", "subset": subset}
    if (folder / "pool.jsonl").exists():
        values["data"] = {"path": str(folder / "pool.jsonl")}
    else:
        subset["sources_from"] = str(folder / "sources.npy")
    config.write_text(json.dumps(values))
    with open(folder / "output.txt", "w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, _PROJECT_ROOT / "select_s2l.py", "--config_file", config, *words],
            stdout=output,
            env={**os.environ, "S2L_RES_DIR": str(folder / "res")},
        )
        peak_anonymous = 0
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            peak_anonymous = max(peak_anonymous, anonymous_bytes(process.pid))
            time.sleep(0.02)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"select_s2l.py ended with exit code {process.returncode}")
        seen = (
            f"{seconds:.2f} s ({usage.ru_utime + usage.ru_stime:.2f} s of processor), "
            f"{peak_anonymous / 1e6:.0f} MB own, {usage.ru_maxrss * 1024 / 1e6:.0f} MB with mapped files"
        )
        if "--overwrite" in words:
            output.seek(0)
            seen += f"   ({output.read().splitlines()[-1]})"
        return seen


def anonymous_bytes(process: int) -> int:
    """Resident memory of a process (Linux) that no file lies behind."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def compare(losses_NT: np.ndarray) -> None:
    """k-means alone, K = 100, over all rows.

    Measured are the sum of squared distances to the nearest centroid, the same for all in float64,
    and the adjusted Rand index between the clusters of two seeds.
    """
    import faiss

    from utils.selection.methods.kmeans import KMeansSettings, cluster_rows
    from utils.selection.methods.rand_index import adjusted_rand_index

    num_rows, num_columns = losses_NT.shape

    def ours(init: "KMeansInit", num_restarts: int, iterations: int, cap: int | None) -> Clustering:
        settings = KMeansSettings(100, cap, iterations, init, num_restarts)
        return lambda seed: cluster_rows(losses_NT.__getitem__, num_rows, settings, seed)

    def plain_faiss(seed: int) -> tuple[np.ndarray, np.ndarray]:
        kmeans = faiss.Kmeans(num_columns, 100, niter=20, seed=1234 + seed)
        kmeans.train(losses_NT)
        assert kmeans.centroids is not None
        return kmeans.assign(losses_NT)[1], kmeans.centroids

    def scikit_learn(seed: int) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.cluster import KMeans

        # n_init is a number or "auto", of which pyright sees the default only.
        kmeans = KMeans(100, n_init=10, random_state=seed)  # pyright: ignore[reportArgumentType]
        labels_N = kmeans.fit_predict(losses_NT)
        return labels_N, kmeans.cluster_centers_.astype(np.float32)

    ways: dict[str, Clustering] = {
        "preset released (one restart, 20 iterations, at most 256 points per centroid)": ours(
            "random", 1, 20, 256
        ),
        "preset paper (one restart, 20 iterations, all points)": ours("random", 1, 20, None),
        "paper, num_restarts 3": ours("random", 3, 20, None),
        "paper, num_restarts 10": ours("random", 10, 20, None),
        "kmeans++, 100 iterations, all points": ours("kmeans++", 1, 100, None),
        "kmeans++, num_restarts 3, 100 iterations, all points": ours("kmeans++", 3, 100, None),
        "kmeans++, num_restarts 10, 100 iterations, all points": ours("kmeans++", 10, 100, None),
        "faiss.Kmeans as it is (20 iterations)": plain_faiss,
        "scikit-learn KMeans, n_init 10": scikit_learn,
    }
    for name, way in ways.items():
        start = time.perf_counter()
        processor_start = time.process_time()
        try:
            labels_N, centroids_KT = way(0)
        except ModuleNotFoundError:
            print(f"{name}: scikit-learn is not installed")
            continue
        seconds = time.perf_counter() - start
        processor = time.process_time() - processor_start
        agreement = adjusted_rand_index(np.zeros(num_rows, np.int32), labels_N, way(1)[0])
        print(
            f"{name}: objective {objective(losses_NT, centroids_KT):.6g}, "
            f"{seconds:.1f} s ({processor:.1f} s of processor), another seed agrees at {agreement:.3f}",
            flush=True,
        )


def objective(losses_NT: np.ndarray, centroids_KT: np.ndarray) -> float:
    total = 0.0
    centroids = centroids_KT.astype(np.float64)
    for first in range(0, len(losses_NT), 2**14):
        losses_mT = losses_NT[first : first + 2**14].astype(np.float64)
        squares = (losses_mT**2).sum(1)[:, None] + (centroids**2).sum(1) - 2 * losses_mT @ centroids.T
        total += squares.min(1).sum()
    return total


if __name__ == "__main__":
    sys.exit(main())
