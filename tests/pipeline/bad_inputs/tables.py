"""All tables of bad inputs, by area."""

from . import (
    checkpoints,
    command_lines,
    environments,
    evaluations,
    experiments,
    pools,
    subsets,
    training,
    trajectories,
    yaml_files,
)

AREAS = {
    "yaml": yaml_files.CASES,
    "command_lines": command_lines.CASES,
    "pools": pools.CASES,
    "trajectories": trajectories.CASES,
    "subsets": subsets.CASES,
    "training": training.CASES,
    "checkpoints": checkpoints.CASES,
    "experiments": experiments.CASES,
    "evaluations": evaluations.CASES,
    "environments": environments.CASES,
}
