"""Score the pool with many checkpoints on every GPU of every machine. The same command goes on after a kill.

    python run_distributed_trajectories.py --config_file configs/pythia-70m-deduped_checkpoints.yml
    python run_distributed_trajectories.py --config_file C --model_path res/RUN --checkpoints 1000,2000
    python run_distributed_trajectories.py --config_file C --checkpoints 1000:5000:1000      (5000 included)
    python run_distributed_trajectories.py --config_file C --model_path "EleutherAI/pythia-70m@step*000"
    torchrun --nnodes=4 --nproc_per_node=8 --rdzv_backend=c10d --rdzv_endpoint=FIRST_MACHINE:29500 \
        run_distributed_trajectories.py --config_file C

Started plainly it runs one worker on each visible GPU (CUDA_VISIBLE_DEVICES is respected), or
`trajectories.workers` of them on the CPU (default one). A worker that is killed is started again, three times
at most.
"""

import sys

import utils.process.environment  # noqa: F401 (first, for its message)


def main(argv: list[str] | None = None) -> int:
    from utils.process.lifetime import end_on_signals

    end_on_signals()
    from utils.config.command_line import (
        add_checkpoint_flags,
        add_show,
        make_parser,
        parse_arguments,
        run_command,
    )

    parser = make_parser(__doc__)
    add_checkpoint_flags(parser)
    parser.add_argument("--checkpoints", default="all", help="all (default), 1000,2000 or start:end:step")
    add_show(parser)
    arguments = parse_arguments(parser, argv)
    return run_command(lambda: _score(arguments))


def _score(arguments) -> int:
    from utils.config.command_line import read_config
    from utils.data.settings import read_pool
    from utils.process import torchrun
    from utils.process.lifetime import is_worker
    from utils.scoring.checkpoints import CheckpointQuery, choose_checkpoints, sections_of_checkpoints
    from utils.stage_checks import scoring_checks

    query = CheckpointQuery(arguments.checkpoints, arguments.model_path, arguments.subfolder)
    defaults = sections_of_checkpoints(query)
    checks = scoring_checks(query)
    config = read_config(arguments, needs=("model", "data"), checks=checks, defaults=defaults)
    chosen = choose_checkpoints(config.run_name, query, config.model_section.cache_dir)
    plans_for_all = torchrun.is_first()
    pool = read_pool(config) if plans_for_all else None

    # All that needs no torch has been said. This imports it.
    from utils.scoring.launch import Launch, launch_workers, num_workers

    workers = 1 if is_worker() else num_workers(config.trajectories)
    if workers > 1 and not arguments.dry_run:
        return launch_workers(__file__, arguments.words, workers)

    # They import transformers too, which a launcher has no use for.
    from utils.modeling.imports import import_transformers

    import_transformers()
    from utils.reporting.text.scoring import failed_text, scored_text, scoring_plan_text
    from utils.scoring.plan import ScoringPlan, plan_scoring
    from utils.scoring.run import run_scoring

    launch = Launch()
    num_devices = max(launch.size, workers)
    overwrite = arguments.overwrite and not torchrun.is_restart()

    def plan_for_all() -> ScoringPlan:
        assert pool is not None
        return plan_scoring(config, pool, chosen, overwrite, num_devices)

    plan = launch.first(plan_for_all)
    text = scoring_plan_text(plan.summary)
    if launch.rank == 0:
        print(text)
    if arguments.dry_run:
        print(failed_text(plan.unreadable), file=sys.stderr, end="")
        if launch.rank == 0:
            _show_tokens(config, plan, arguments.show)
        return int(bool(plan.unreadable))
    failed = run_scoring(config, plan, launch, overwrite, log_heading=text)
    if launch.rank == 0:
        print(scored_text(plan, failed))
        print(failed_text(failed), file=sys.stderr, end="")
    return int(bool(failed))


def _show_tokens(config, plan, wanted: int | None) -> None:
    from utils.data.shown_tokens import shown_rows
    from utils.modeling.loading import load_checkpoint_tokenizer, load_tokenizer
    from utils.reporting.text.tokens import shown_tokens_text

    folders = [folder for folder in plan.checkpoints.values() if folder is not None]
    settings = config.model_section
    tokenizer = load_checkpoint_tokenizer(folders[0], settings) if folders else load_tokenizer(settings)
    print(shown_tokens_text(shown_rows(plan.tokens, tokenizer, plan.tokens.scorable_rows, wanted)))


if __name__ == "__main__":
    sys.exit(main())
