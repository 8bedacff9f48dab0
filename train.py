"""Fine-tune one model, proxy or target, from a YAML. The same command continues after a kill.

    python train.py --config_file configs/pythia-70m-deduped_checkpoints.yml
    torchrun --nproc_per_node=8 train.py --config_file configs/pythia-70m-deduped_checkpoints.yml seed=1

Checkpoints go to res/<run_name>/checkpoint-<step>. With a `subset:` section it trains on exactly those rows,
and makes the subset first if it is not there, as `select_s2l.py` would.
"""

import sys

import utils.process.environment  # noqa: F401 (first, for its message)


def main(argv: list[str] | None = None) -> int:
    from utils.process.lifetime import end_on_signals

    end_on_signals()
    from utils.config.command_line import add_show, make_parser, parse_arguments, run_command

    parser = make_parser(__doc__)
    add_show(parser)
    parser.add_argument("--wandb_key", help="better: set WANDB_API_KEY. torchrun shows arguments in `ps`")
    arguments = parse_arguments(parser, argv, takes_wandb_key=True)
    return run_command(lambda: _train(arguments))


def _train(arguments) -> int:
    from utils import stages
    from utils.config.command_line import read_config
    from utils.stage_checks import training_checks

    config = read_config(arguments, needs=("model", "data"), checks=training_checks())
    failed = stages.train(config, arguments.overwrite, arguments.dry_run, arguments.show, arguments.wandb_key)
    return stages.say_failed(failed)


if __name__ == "__main__":
    sys.exit(main())
