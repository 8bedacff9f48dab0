"""Score the pool with one checkpoint: the loss of every example, to res/<run_name>/trajectories/checkpoint-<step>.npy.

python get_trajectories.py --config_file configs/pythia-70m-deduped_checkpoints.yml --ckpt 1000
python get_trajectories.py --config_file C --ckpt 0      the base model, before fine-tuning
python get_trajectories.py --config_file C --ckpt -1     the newest checkpoint
python get_trajectories.py --config_file C --ckpt 1000 --model_path /path/to/checkpoints
"""

import sys

import utils.process.environment  # noqa: F401 (first, for its message)


def main(argv: list[str] | None = None) -> int:
    from utils.config.command_line import make_parser, parse_arguments, read_config, run_command
    from utils.scoring.lifetime import stop_on_sigterm

    stop_on_sigterm()
    parser = make_parser(__doc__)
    parser.add_argument("--ckpt", type=int, required=True, help="step of the checkpoint; 0: base model, -1: newest")
    parser.add_argument("--model_path", help="folder of checkpoint-<step> folders; default: the run's own")
    arguments = parse_arguments(parser, argv)
    return run_command(lambda: _score(arguments, read_config(arguments, needs=("model", "data"))))


def _score(arguments, config) -> int:
    from utils.scoring.launch import Launch
    from utils.scoring.plan import plan_scoring
    from utils.scoring.workers import print_outcome, score

    plan = plan_scoring(config, arguments.model_path, str(arguments.ckpt))
    print(plan.describe(config))
    if arguments.dry_run:
        return 0
    return print_outcome(plan, score(config, plan, Launch(), arguments.overwrite))


if __name__ == "__main__":
    sys.exit(main())
