r"""What the released code's fault does to clusters: the end-of-sequence row is overwritten before scoring.

    python benchmarks/study_end_token.py study_proxy_seed0 study_proxy_seed1

The proxies are runs that scored a pool. The script copies their checkpoints, overwrites the embeddings of the
end-of-sequence token with the mean of all others, as the released get_trajectories.py does where a tokenizer
lacks Llama's special tokens (docs/deviations.md), scores the pool with the copies, and sets losses, clusters
and subsets with and without the fault side by side. The copies go to res/<proxy>_end_token. All is kept in
docs/results/analyses/end_token.json, which `python docs/make_results.py` makes a table of.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.study_runs import chosen, made_by, pool_of
from docs.study.kept import keep_analysis
from docs.study.results import ANALYSES
from utils.artifacts.checkpoints import checkpoint_fingerprint, checkpoints_in
from utils.artifacts.files import folder_beside, read_json, write_json
from utils.artifacts.paths import RunPaths
from utils.artifacts.trajectories.read import read_num_response_tokens, read_trajectories
from utils.data.pool import Pool
from utils.selection.candidates import find_candidates
from utils.selection.methods.rand_index import adjusted_rand_index

_BUDGET = 0.11
_SEED, _OTHER_SEED = 0, 1


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("proxies", nargs="+", metavar="PROXY", help="run name")
    parser.add_argument("--output", type=Path, default=ANALYSES / "end_token.json")
    arguments = parser.parse_args(argv)
    pool = pool_of(arguments.proxies[0])
    measured = []
    for proxy in arguments.proxies:
        score_with_fault(proxy)
        measured.append(with_and_without(pool, proxy))
    kept = {
        "proxies": arguments.proxies,
        **made_by(arguments.proxies),
        "pool": pool.fingerprint,
        "budget": _BUDGET,
        "measured": measured,
    }
    keep_analysis(arguments.output, arguments.proxies, kept)
    print(arguments.output)
    return 0


def score_with_fault(proxy: str) -> None:
    """Score the pool of a run with copies of its checkpoints that have the fault, in a run of their own."""
    copies = RunPaths(_faulty(proxy)).root / "copies"
    checkpoints = checkpoints_in(RunPaths(proxy).root)
    of_these = {str(step): checkpoint_fingerprint(checkpoint) for step, checkpoint in checkpoints.items()}
    copied = copies / "copied.json"
    if not copied.is_file() or read_json(copied) != of_these:
        shutil.rmtree(RunPaths(_faulty(proxy)).root, ignore_errors=True)  # of a proxy that was trained again
        unfinished = copies.with_name("unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        with folder_beside(unfinished, copies):
            for step, checkpoint in checkpoints.items():
                copy_with_fault(checkpoint, unfinished / f"checkpoint-{step}")
            write_json(unfinished / copied.name, of_these)
    script = Path(__file__).resolve().parents[1] / "run_distributed_trajectories.py"
    settings = [f"run_name={_faulty(proxy)}", "trajectories.also=[]"]
    command = [sys.executable, str(script), "--config_file", str(RunPaths(proxy).config)]
    subprocess.run([*command, "--model_path", str(copies), *settings], check=True)


def copy_with_fault(checkpoint: Path, copy: Path) -> None:
    """The checkpoint with the mean of all other rows where the end-of-sequence token's embeddings were."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    end = tokenizer.eos_token_id
    for embeddings in (model.get_input_embeddings(), model.get_output_embeddings()):
        weight = cast(torch.nn.Embedding | torch.nn.Linear, embeddings).weight.data
        others = torch.arange(len(weight)) != end
        weight[end] = weight[others].mean(dim=0)
    model.save_pretrained(copy)
    tokenizer.save_pretrained(copy)
    # What each checkpoint was trained on, which scoring compares with the config.
    shutil.copy(checkpoint / "trainer_state.json", copy)


def with_and_without(pool: Pool, proxy: str) -> dict[str, Any]:
    """What the fault changes for one proxy.

    Returns:
        added_loss: nats that the fault adds at the last checkpoint, by response length: for each tenth of the
            rows [shortest, longest, rows, mean nats].
        level_and_length: Spearman's correlation over rows of the mean loss with the response's length.
        length_by_cluster: the share of the variance of the logarithm of a response's length that lies between
            the clusters of a source.
        same_clusters: adjusted Rand index of the clusters with and without the fault; of two seeds of k-means
            without it, for comparison.
        same_rows: share of the chosen rows that are the same with and without the fault; with and without
            clusters, for comparison. The random order of the rows is one for all of these.
        response_tokens: of a chosen row, on average.
    """
    sound, _ = find_candidates(pool, read_trajectories(proxy))
    faulty, _ = find_candidates(pool, read_trajectories(_faulty(proxy)))
    assert sound.trajectories is not None
    length_N = read_num_response_tokens(sound.trajectories)
    length_n = length_N[sound.rows]
    choices = {
        "sound": chosen(sound, _BUDGET, _SEED),
        "other_seed": chosen(sound, _BUDGET, _OTHER_SEED),
        "faulty": chosen(faulty, _BUDGET, _SEED),
        "no_clusters": chosen(sound, _BUDGET, _SEED, method="random_per_source"),
    }
    losses = {"sound": sound.read_losses(slice(None)), "faulty": faulty.read_losses(slice(None))}
    return {
        "added_loss": added_by_length(losses["faulty"][:, -1] - losses["sound"][:, -1], length_n),
        "level_and_length": {
            name: float(cast(Any, spearmanr(losses_nT.mean(axis=1), length_n)).statistic)
            for name, losses_nT in losses.items()
        },
        "length_by_cluster": {
            name: share_between(choices[name].clusters_N[sound.rows], sound.source_codes_n, np.log(length_n))
            for name in losses
        },
        "same_clusters": {
            name: adjusted_rand_index(
                sound.source_codes_n,
                choices["sound"].clusters_N[sound.rows],
                choices[name].clusters_N[sound.rows],
            )
            for name in ("faulty", "other_seed")
        },
        "same_rows": {
            name: float(np.isin(choices["sound"].rows, choices[name].rows).mean())
            for name in ("faulty", "no_clusters")
        },
        "response_tokens": {name: float(length_N[choices[name].rows].mean()) for name in losses},
    }


def added_by_length(added_n: np.ndarray, length_n: np.ndarray) -> list[list[float]]:
    """Mean of what is added, in tenths of the rows by response length."""
    order_n = np.argsort(length_n, kind="stable")
    tenths = np.array_split(order_n, 10)
    return [
        [int(length_n[rows].min()), int(length_n[rows].max()), len(rows), float(added_n[rows].mean())]
        for rows in tenths
    ]


def share_between(clusters_n: np.ndarray, source_codes_n: np.ndarray, value_n: np.ndarray) -> float:
    """Of the variance of a value inside the sources, the share that lies between their clusters."""
    inside_sources = value_n - _group_means(source_codes_n, value_n)
    inside_clusters = value_n - _group_means(clusters_n, value_n)
    return float(1 - (inside_clusters**2).sum() / (inside_sources**2).sum())


def _group_means(groups_n: np.ndarray, value_n: np.ndarray) -> np.ndarray:
    """float64 (n,): of each row, the mean of its group."""
    _, numbers_n = np.unique(groups_n, return_inverse=True)
    return (np.bincount(numbers_n, value_n) / np.bincount(numbers_n))[numbers_n]


def _faulty(proxy: str) -> str:
    return f"{proxy}_end_token"


if __name__ == "__main__":
    sys.exit(main())
