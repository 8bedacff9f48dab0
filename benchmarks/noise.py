r"""How much planted noise the kinds of --inspect hold, and how much each way of choosing takes.

    python -m utils.data.synthetic --output_dir res/quickstart_data
    python benchmarks/noise.py --config_file configs/quickstart/proxy.yml [--share 0.2] [--seed 0] [key=value]

A share of the rows of every source get each other's responses: well-formed, and wrong. A proxy is trained on
that pool and scores it, by the ordinary scripts, as the run noise_<share>_seed<seed>. Printed is, for each
kind that `subset.drop` can leave out, which part of the noise and of all other rows is of it, and for
ways of choosing the part of the subset that is noise. Run again, it only counts.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.artifacts.files import atomic_write
from utils.artifacts.paths import results_root
from utils.artifacts.trajectories.read import read_trajectories
from utils.config.load import load_config
from utils.config.schema import RunConfig, SubsetConfig
from utils.data.formats import row_reader
from utils.data.pool import Pool
from utils.selection.candidates import Candidates, find_candidates
from utils.selection.kinds import classify_rows
from utils.selection.methods.table import METHODS

_PROJECT = Path(__file__).resolve().parents[1]
_BUDGET = 0.11
_THOROUGH = {"init": "kmeans++", "num_restarts": 10, "num_clusters": 20}
_WAYS: dict[str, dict[str, Any]] = {
    "random": {"method": "random"},
    "random_per_source": {"method": "random_per_source"},
    "s2l": {"num_clusters": 20},
    "s2l, pick stable": {**_THOROUGH, "pick": "stable"},
    "s2l, pick brittle": {**_THOROUGH, "pick": "brittle"},
    "s2l, features shape": {**_THOROUGH, "features": "shape"},
    "s2l, features reductions": {**_THOROUGH, "features": "reductions"},
    "s2l, features whitened": {**_THOROUGH, "features": "whitened"},
    "middle_perplexity": {"method": "middle_perplexity"},
    "prune_then_select": {"method": "prune_then_select", "num_clusters": 20},
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config_file", required=True)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("settings", nargs="*", help="key.sub=value")
    arguments = parser.parse_args(argv)
    config, _ = load_config(arguments.config_file, arguments.settings, needs=("data",))
    run_name = f"noise_{arguments.share:g}_seed{arguments.seed}"
    folder = results_root() / "noise_data"
    noisy_file = folder / f"{run_name}.jsonl"
    noise = plant(config, noisy_file, arguments.share, arguments.seed)
    words = [*arguments.settings, f"run_name={run_name}", f"data.path={noisy_file}", f"seed={arguments.seed}"]
    for script in ("train.py", "run_distributed_trajectories.py"):
        command = [sys.executable, str(_PROJECT / script), "--config_file", arguments.config_file, *words]
        subprocess.run(command, check=True, stdout=sys.stderr)
    pool = Pool(config.data_section.model_copy(update={"path": str(noisy_file)}))
    candidates, _ = find_candidates(pool, read_trajectories(run_name))
    report(candidates, noise, arguments.seed)
    return 0


def plant(config: RunConfig, noisy_file: Path, share: float, seed: int) -> np.ndarray:
    """Write the pool with responses exchanged. Returns: ascending row numbers of the exchanged ones."""
    data = config.data_section
    pool = Pool(data)
    column = row_reader(data).response
    rng = np.random.default_rng(seed)
    giver_N = np.arange(len(pool))
    for source in range(len(pool.source_names)):
        of_source = np.flatnonzero((pool.source_codes == source) & ~pool.excluded)
        some = rng.permutation(of_source)[: round(share * len(of_source))]
        giver_N[some] = np.roll(some, 1)
    noisy_file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(noisy_file) as file:
        for row, giver in enumerate(giver_N.tolist()):
            values = json.loads(pool.line(row)) | {column: json.loads(pool.line(giver))[column]}
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
    is_other = [pool[row].response != pool[giver].response for row, giver in enumerate(giver_N.tolist())]
    return np.flatnonzero(is_other)


def report(candidates: Candidates, noise: np.ndarray, seed: int) -> None:
    rows = candidates.rows
    is_noise_n = np.isin(rows, noise)
    print(f"{len(rows):,} rows, {is_noise_n.sum():,} of them noise ({100 * is_noise_n.mean():.1f} %)")
    print("kind: % of the noise, % of all other rows")
    for kind, of_kind in classify_rows(candidates).rows.items():
        is_kind_n = np.isin(rows, of_kind)
        parts = (is_kind_n[is_noise_n].mean(), is_kind_n[~is_noise_n].mean())
        print(f"  {kind}: {100 * parts[0]:.1f}, {100 * parts[1]:.1f}")
    last_n = candidates.read_losses(slice(None))[:, -1]
    is_high_n = np.zeros(len(rows), bool)
    for source in np.unique(candidates.source_codes_n):
        of_source = np.flatnonzero(candidates.source_codes_n == source)
        highest = np.argsort(-last_n[of_source], kind="stable")[: round(is_noise_n[of_source].sum())]
        is_high_n[of_source[highest]] = True
    parts = (is_high_n[is_noise_n].mean(), is_high_n[~is_noise_n].mean())
    shown = f"{100 * parts[0]:.1f}, {100 * parts[1]:.1f}"
    print(f"  highest last losses of a source, as many as its noise: {shown}")
    budget = round(_BUDGET * len(rows))
    print(f"way of choosing {budget:,} rows: % of them that are noise")
    for name, settings in _WAYS.items():
        subset = SubsetConfig.model_validate({"trajectories_from": "noise", **settings})
        chosen = METHODS[subset.method].choose(candidates, subset, budget, seed).rows
        print(f"  {name}: {100 * np.isin(chosen, noise).mean():.1f}")


if __name__ == "__main__":
    sys.exit(main())
