"""The names that the schema takes are those that the code knows."""

from typing import get_args

import pytest

from utils.artifacts.trajectories.write import KEPT
from utils.config import names
from utils.config.load import load_config
from utils.config.schema import SELECTION_PRESETS
from utils.data.export.stacks import STACKS
from utils.data.formats import FORMATS
from utils.data.templates import TEMPLATES
from utils.evaluation.questions.files import MATH_SETS
from utils.selection.methods.features import OF_LOSSES
from utils.selection.methods.kmeans import INIT_METHODS
from utils.selection.methods.pick import PICKS
from utils.selection.methods.table import METHODS

TABLES = {
    "SelectionMethod": METHODS,
    "DataFormat": FORMATS,
    "PromptTemplate": [*TEMPLATES, "chat"],
    "ExportTarget": STACKS,
    "SelectionPreset": SELECTION_PRESETS,
    "Features": [*OF_LOSSES, "embeddings"],
    "Pick": PICKS,
    "KMeansInit": INIT_METHODS,
    "KeptScore": KEPT,
    "PaperSet": MATH_SETS,
}


@pytest.mark.parametrize("name", TABLES)
def test_the_schema_takes_the_names_that_the_code_knows(name):
    assert get_args(getattr(names, name)) == tuple(TABLES[name])


@pytest.mark.parametrize(
    ("key", "slip", "meant"),
    [
        ("data.format", "alpacca", "alpaca"),
        ("data.template", "Alpaca", "alpaca"),
        ("subset.method", "k-center", "k_center"),
        ("subset.preset", "papers", "paper"),
        ("subset.init", "k-means++", "kmeans++"),
    ],
)
def test_a_wrong_name_is_refused_beside_what_else_is_wrong_in_its_section(tmp_path, key, slip, meant):
    config_file = tmp_path / "run.yml"
    config_file.write_text("run_name: r\ndata: {path: p}\nsubset: {}\n")
    section = key.split(".")[0]
    checks = {section: lambda values: [f"{section} was looked at"]}
    with pytest.raises(ValueError) as refusal:
        load_config(config_file, [f"{key}={slip}", "seed=-1"], checks=checks)
    message = str(refusal.value)
    assert f"{key}: found {slip!r}" in message and message.count("\n") == 3
    assert f"did you mean {meant!r}?" in message
    assert f"{section} was looked at" in message and "seed: found -1" in message
