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
    from utils.config.command_line import read_config
    from utils.data.settings import read_pool
    from utils.scoring.checkpoints import CheckpointQuery, choose_checkpoints, sections_of_checkpoints
    from utils.stage_checks import scoring_checks

    query = CheckpointQuery(str(arguments.ckpt), arguments.model_path, arguments.subfolder)
    defaults = sections_of_checkpoints(query)
    checks = scoring_checks(query)
    config = read_config(arguments, needs=("model", "data"), checks=checks, defaults=defaults)
    chosen = choose_checkpoints(config.run_name, query, config.model_section.cache_dir)
    pool = read_pool(config)

    # All that needs no torch has been said. These import it.
    from utils.modeling.imports import import_transformers

    import_transformers()
    from utils.reporting.text.scoring import failed_text, scored_text, scoring_plan_text
    from utils.scoring.launch import Launch
    from utils.scoring.plan import plan_scoring
    from utils.scoring.run import run_scoring

    plan = plan_scoring(config, pool, chosen, arguments.overwrite)
    text = scoring_plan_text(plan.summary)
    print(text)
    if arguments.dry_run:
        print(failed_text(plan.unreadable), file=sys.stderr, end="")
        return int(bool(plan.unreadable))
    failed = run_scoring(config, plan, Launch(), arguments.overwrite, log_heading=text)
    print(scored_text(plan, failed))
    print(failed_text(failed), file=sys.stderr, end="")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
