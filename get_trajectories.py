"""Score the pool with one checkpoint: the loss of every example.

python get_trajectories.py --config_file configs/pythia-70m-deduped_checkpoints.yml --ckpt 1000
python get_trajectories.py --config_file C --ckpt 0      the base model, before fine-tuning
python get_trajectories.py --config_file C --ckpt -1     the newest checkpoint
python get_trajectories.py --config_file C --ckpt 1000 --model_path /path/to/checkpoints

The losses go to res/<run_name>/trajectories/checkpoint-<step>.npy.
"""

import sys

import utils.process.environment  # noqa: F401 (first, for its message)


def main(argv: list[str] | None = None) -> int:
    from utils.process.lifetime import end_on_signals

    end_on_signals()
    from utils.config.command_line import add_checkpoint_flags, make_parser, parse_arguments, run_command

    parser = make_parser(__doc__)
    parser.add_argument(
        "--ckpt", type=int, required=True, help="step of the checkpoint; 0: base model, -1: newest"
    )
    add_checkpoint_flags(parser)
    arguments = parse_arguments(parser, argv)
    return run_command(lambda: _score(arguments))


def _score(arguments) -> int:
    from utils import stages
    from utils.config.command_line import read_config
    from utils.scoring.checkpoints import CheckpointQuery, sections_of_checkpoints
    from utils.stage_checks import scoring_checks

    query = CheckpointQuery(str(arguments.ckpt), arguments.model_path, arguments.subfolder)
    config = read_config(arguments, ("model", "data"), scoring_checks(query), sections_of_checkpoints(query))
    scoring = stages.prepare_scoring(stages.read_scoring_inputs(config, query), arguments.overwrite)
    failed = scoring.plan.unreadable if arguments.dry_run else stages.score(scoring)
    return stages.say_failed(failed)


if __name__ == "__main__":
    sys.exit(main())
