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
    from utils import stages
    from utils.config.command_line import read_config
    from utils.process.lifetime import is_worker
    from utils.scoring.checkpoints import CheckpointQuery, sections_of_checkpoints
    from utils.stage_checks import scoring_checks

    query = CheckpointQuery(arguments.checkpoints, arguments.model_path, arguments.subfolder)
    config = read_config(arguments, ("model", "data"), scoring_checks(query), sections_of_checkpoints(query))
    inputs = stages.read_scoring_inputs(config, query)

    # All that needs no torch has been said. This imports it, but not transformers: a launcher needs none.
    from utils.scoring.launch import launch_workers, num_workers

    workers = 1 if is_worker() else num_workers(config.trajectories)
    if workers > 1 and not arguments.dry_run:
        return launch_workers(__file__, arguments.words, workers)
    scoring = stages.prepare_scoring(inputs, arguments.overwrite, workers)
    if not arguments.dry_run:
        return stages.say_failed(stages.score(scoring))
    code = stages.say_failed(scoring.plan.unreadable)
    stages.show_tokens_to_score(scoring, arguments.show)
    return code


if __name__ == "__main__":
    sys.exit(main())
