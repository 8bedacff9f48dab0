"""Fine-tune one model, proxy or target, from a YAML. The same command continues after a kill.

    python train.py --config_file configs/pythia-70m-deduped_checkpoints.yml
    torchrun --nproc_per_node=8 train.py --config_file configs/pythia-70m-deduped_checkpoints.yml seed=1

Checkpoints go to res/<run_name>/checkpoint-<step>. With a `subset:` section it trains on exactly those rows,
and makes the subset first if it is not there, as `select_s2l.py` would.
"""

import sys
from typing import TYPE_CHECKING

import utils.process.environment  # noqa: F401 (first, for its message)

if TYPE_CHECKING:
    import argparse

    import numpy as np

    from utils.config.schema import RunConfig
    from utils.training.plan import TrainingPlan, TrainingSetup


def main(argv: list[str] | None = None) -> int:
    from utils.process.lifetime import end_on_signals

    end_on_signals()
    from utils.config.command_line import add_show, make_parser, parse_arguments, run_command

    parser = make_parser(__doc__)
    add_show(parser)
    parser.add_argument("--wandb_key", help="better: set WANDB_API_KEY. torchrun shows arguments in `ps`")
    arguments = parse_arguments(parser, argv, takes_wandb_key=True)
    return run_command(lambda: _train(arguments))


def _train(arguments: "argparse.Namespace") -> int:
    from utils.checks import training_checks
    from utils.config.command_line import read_config
    from utils.data.settings import read_pool
    from utils.training.tracking import prepare_tracking

    config = read_config(arguments, needs=("model", "data"), checks=training_checks())

    # What the YAML alone says has been said. These import faiss.
    from utils.config.counts import scheduled_steps, total_steps
    from utils.reporting.text.scoring import failed_text
    from utils.reporting.text.selection import remarks_text, selection_plan_text, selection_text
    from utils.reporting.text.training import training_plan_text
    from utils.selection.plan import SelectionPlan, plan_selection
    from utils.selection.resolve import chosen_rows, rows_of_subset
    from utils.selection.run import run_selection

    pool = read_pool(config)
    # The rows, or the plan by which they are chosen first.
    chosen = chosen_rows(config, pool) or plan_selection(config, pool)
    num_rows = chosen.budgets[0] if isinstance(chosen, SelectionPlan) else len(chosen.rows)
    scheduled_steps(config.checkpoints, total_steps(config, num_rows))

    # All that needs no torch has been said. These import it.
    from utils.modeling.imports import import_transformers

    import_transformers()
    from utils.training.plan import check_training, plan_training
    from utils.training.settings import launch_state

    state = launch_state(shards=bool(config.train_args.get("fsdp")))
    config = prepare_tracking(config, arguments.wandb_key)
    with state.main_process_first():
        if isinstance(chosen, SelectionPlan):
            if state.is_main_process:
                setup = check_training(config, pool, num_rows)  # before the time that choosing takes
                print(remarks_text(chosen.remarks, chosen.warnings), file=sys.stderr, end="")
                print(selection_plan_text(chosen))
                if arguments.dry_run:
                    print(training_plan_text(setup.summary))
                    _show_tokens(config, setup, pool.usable_rows, arguments.show)
                else:
                    result = run_selection(chosen)
                    print(remarks_text(result.remarks, result.warnings), file=sys.stderr, end="")
                    print(selection_text(result))
            if arguments.dry_run:
                return 0
            chosen = rows_of_subset(config, pool)
        plan = plan_training(config, pool, chosen.rows, chosen.subset_manifest, arguments.overwrite)
    text = training_plan_text(plan.summary)
    if state.is_main_process:
        print(remarks_text(chosen.remarks), file=sys.stderr, end="")
        print(text, flush=True)
    if arguments.dry_run:
        if state.is_main_process:
            _show_tokens(config, plan.setup, plan.rows, arguments.show)
        return 0
    failed = _run(config, plan, text)
    if state.is_main_process:
        print(failed_text(failed), file=sys.stderr, end="")
    return int(bool(failed))


def _show_tokens(config: "RunConfig", setup: "TrainingSetup", rows: "np.ndarray", wanted: int | None) -> None:
    from utils.data.shown_tokens import shown_rows
    from utils.modeling.loading import load_tokenizer
    from utils.reporting.text.tokens import shown_tokens_text

    tokenizer = load_tokenizer(config.model_section)
    print(shown_tokens_text(shown_rows(setup.tokens, tokenizer, rows, wanted)))


def _run(config: "RunConfig", plan: "TrainingPlan", text: str) -> dict[int, str]:
    """Train as planned. Returns: step -> why its losses, which were to be taken meanwhile, are not there."""
    from utils.training.run import run_training

    if not config.trajectories.during_training:
        run_training(config, plan, [], log_heading=text)
        return {}
    from utils.scoring.callback import TrajectoryCallback

    scoring = TrajectoryCallback(config)
    run_training(config, plan, [scoring], log_heading=text)
    scoring.score_missing()
    return scoring.failed


if __name__ == "__main__":
    sys.exit(main())
