"""Fine-tune one model, proxy or target, from a YAML; the same command continues after a kill.

    python train.py --config_file configs/pythia-70m-deduped_checkpoints.yml
    torchrun --nproc_per_node=8 train.py --config_file configs/pythia-70m-deduped_checkpoints.yml seed=1

Checkpoints go to res/<run_name>/checkpoint-<step>. With a `subset:` section it trains on exactly those rows, and makes
the subset first if it is not there, as `select_s2l.py` would.
"""

import os
import sys

import utils.process.environment  # noqa: F401 (first, for its message)


def main(argv: list[str] | None = None) -> int:
    from utils.config.command_line import make_parser, parse_arguments, read_config, run_command

    parser = make_parser(__doc__)
    parser.add_argument("--wandb_key", help="better: set WANDB_API_KEY; torchrun shows arguments in `ps`")
    arguments = parse_arguments(parser, argv, takes_wandb_key=True)
    is_first = os.environ.get("RANK", "0") == "0"
    return run_command(lambda: _train(arguments, read_config(arguments, needs=("model", "data"), quiet=not is_first)))


def _train(arguments, config) -> int:
    from utils.artifacts.paths import RunPaths
    from utils.data.pool import Pool
    from utils.scoring.callback import TrajectoryCallback
    from utils.selection.made_subset import resolve_subset
    from utils.selection.stage import select
    from utils.training.settings import launch_state
    from utils.training.stage import plan_training, train
    from utils.training.tracking import prepare_tracking

    state, pool = launch_state(), Pool(config.data)
    rows, subset_manifest = pool.usable_rows, None
    if config.subset is not None:
        with state.main_process_first():
            is_missing = (
                config.subset.same_as is None and not (RunPaths(config.run_name).subset / "manifest.json").exists()
            )
            if state.is_main_process and is_missing:
                select(config, dry_run=arguments.dry_run, pool=pool)
        if is_missing and arguments.dry_run:
            return 0
        subset = resolve_subset(config, pool)
        rows, subset_manifest = subset.indices, subset.manifest
    config = prepare_tracking(config, arguments.wandb_key)
    with state.main_process_first():
        plan = plan_training(config, pool, rows, subset_manifest)
    if state.is_main_process:
        print(plan.describe(config), flush=True)
    if not arguments.dry_run:
        callbacks = [TrajectoryCallback(config)] if config.trajectories.during_training else []
        train(config, plan, arguments.overwrite, callbacks)
        for callback in callbacks:
            callback.make_up()
    return 0


if __name__ == "__main__":
    sys.exit(main())
