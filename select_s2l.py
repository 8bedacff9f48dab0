"""Choose the subset of a run: loss trajectories in, res/<run_name>/subset out. Needs no GPU and no model.

    python select_s2l.py --config_file configs/<target>.yml
    python select_s2l.py --config_file configs/<target>.yml --dry_run
    python select_s2l.py --config_file configs/<target>.yml subset.budget=0.11 run_name=<another run>
    python select_s2l.py --config_file configs/<target>.yml --overwrite
    python select_s2l.py --config_file configs/<target>.yml --stability
    python select_s2l.py --config_file configs/<target>.yml --explain 1234
    python select_s2l.py --config_file configs/<target>.yml --inspect --export never_learnt rows.txt
    python select_s2l.py --config_file configs/<target>.yml --write_for trl axolotl llama_factory
    python select_s2l.py --config_file configs/<target>.yml --write_for trl axolotl --rendered
    python select_s2l.py --config_file configs/<target>.yml --push_to_hub OWNER/NAME

The config's subset section says how. Before it, the proxy's trajectories must be there
(run_distributed_trajectories.py), or a file of losses (.npy, .npz, .parquet), one row per example and one
column per checkpoint. A smaller budget chooses a part of what a larger one chooses.

Three ways to look instead of choosing: --stability asks whether other seeds or checkpoints would have chosen
the same (writes subset/stability.json), --explain why one row is in the subset or not, --inspect which
trajectories were never learnt, forgotten, known from the start, identical or unscorable (needs no subset).

A subset that was made goes elsewhere by --write_for: subset/for_<stack>/ gets the rows as that stack reads
them, its config to paste, and a README that says which tokens it trains on.
"""

import sys
from typing import TYPE_CHECKING, get_args

import utils.process.environment  # noqa: F401 (first, for its message)

if TYPE_CHECKING:
    import argparse

    from utils.config.schema import RunConfig
    from utils.selection.checks.inspection import RowList


def main(argv: list[str] | None = None) -> int:
    from utils.process.lifetime import end_on_signals

    end_on_signals()
    from utils.config.command_line import make_parser, parse_arguments, read_config, run_command
    from utils.config.names import ExportTarget, TrajectoryKind
    from utils.stage_checks import selection_checks

    kinds = ", ".join(get_args(TrajectoryKind))
    parser = make_parser(__doc__)
    look = parser.add_mutually_exclusive_group()
    look.add_argument(
        "--stability", action="store_true", help="how far the clusters of the run's subset can be trusted"
    )
    look.add_argument(
        "--explain",
        type=int,
        metavar="ROW",
        help="say why this row (from 0) is in the run's subset or not",
    )
    look.add_argument(
        "--inspect", action="store_true", help="what the trajectories are like, by source, with examples"
    )
    look.add_argument(
        "--write_for",
        nargs="+",
        metavar="STACK",
        help=f"write the run's subset as these stacks read it ({', '.join(get_args(ExportTarget))})",
    )
    parser.add_argument(
        "--rendered",
        action="store_true",
        help="with --write_for trl or axolotl: exact texts by data.template, for equal prompts everywhere",
    )
    parser.add_argument(
        "--push_to_hub",
        metavar="OWNER/NAME",
        help="make a private dataset of the run's subset on the hub, with a card; the key is $HF_TOKEN",
    )
    parser.add_argument(
        "--export",
        nargs=2,
        action="append",
        default=[],
        metavar=("KIND", "FILE"),
        help=f"with --inspect: write the rows of a kind ({kinds}) to a .txt or .npy",
    )
    arguments = parse_arguments(parser, argv)
    if arguments.export and not arguments.inspect:
        parser.error("--export: found no --inspect beside it, expected both: --inspect --export KIND FILE")
    if arguments.rendered and not arguments.write_for:
        parser.error("--rendered: found no --write_for beside it, expected both: --write_for trl --rendered")
    if arguments.push_to_hub and (arguments.stability or arguments.inspect or arguments.explain is not None):
        parser.error(
            "--push_to_hub: found --stability, --explain or --inspect beside it, "
            "expected --write_for or nothing"
        )
    _give_settings_back(arguments)
    if arguments.write_for == []:
        parser.error("--write_for: found settings alone, expected names of stacks behind it")

    def command() -> int:
        config = read_config(arguments, needs=("subset",), checks=selection_checks())
        _run(arguments, config)
        return 0

    return run_command(command)


def _give_settings_back(arguments: "argparse.Namespace") -> None:
    """--write_for takes all words up to the next flag, settings that stand behind its stacks among them."""
    if arguments.write_for is not None:
        arguments.overrides += [word for word in arguments.write_for if "=" in word]
        arguments.write_for = [word for word in arguments.write_for if "=" not in word]


def _run(arguments: "argparse.Namespace", config: "RunConfig") -> None:
    from utils import stages
    from utils.reporting.text.explanation import explanation_text
    from utils.selection.checks.explain import explain_row
    from utils.selection.checks.inspection import row_lists_of

    if arguments.stability:
        _measure_stability(config, arguments.dry_run)
    elif arguments.explain is not None:
        print(explanation_text(explain_row(config, arguments.explain)))
    elif arguments.inspect:
        _inspect(config, row_lists_of(arguments.export), arguments.dry_run)
    elif arguments.write_for or arguments.push_to_hub:
        _write_for(arguments, config)
    else:
        stages.select(config, arguments.overwrite, arguments.dry_run)


def _measure_stability(config: "RunConfig", dry_run: bool) -> None:
    from utils.reporting.text.stability import stability_plan_text, stability_text
    from utils.selection.checks.stability import plan_stability, run_stability

    plan = plan_stability(config)
    text = stability_plan_text(plan)
    if dry_run:
        print(f"dry run: nothing measured, nothing written. Without --dry_run: {text}, into {plan.path}")
        return
    print(text, file=sys.stderr, flush=True)
    print(f"{stability_text(run_stability(plan))}\n\n{plan.path}")


def _inspect(config: "RunConfig", row_lists: "list[RowList]", dry_run: bool) -> None:
    from utils.reporting.text.inspection import inspection_text, row_list_text
    from utils.selection.checks.inspection import inspect_pool, write_inspection, write_row_list

    inspection = inspect_pool(config)
    print(inspection_text(inspection))
    if not dry_run:
        print(f"\n{write_inspection(config, inspection)}")
    for row_list in row_lists:
        rows = inspection.kinds[row_list.kind].rows
        text = row_list_text(row_list, len(rows))
        if dry_run:
            print(f"\ndry run, not written: {text}")
        else:
            write_row_list(rows, row_list.path)
            print(f"\n{text}")


def _write_for(arguments: "argparse.Namespace", config: "RunConfig") -> None:
    from utils.reporting.text.export import export_plan_text, export_text, refusals_text
    from utils.selection.export import plan_export, run_export

    plan = plan_export(config, arguments.write_for or [], arguments.rendered, arguments.push_to_hub)
    print(export_plan_text(plan))
    if arguments.dry_run:
        print("dry run: nothing written")
    else:
        print(export_text(plan, run_export(plan)))
    if plan.refusals is not None:
        raise ValueError(refusals_text(plan.refusals, arguments.dry_run))


if __name__ == "__main__":
    sys.exit(main())
