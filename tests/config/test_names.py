"""The names that the schema takes are those that the code knows."""

from typing import get_args

import pytest

from utils.artifacts.trajectories.write import KEPT
from utils.config import names
from utils.config.schema import SELECTION_PRESETS
from utils.data.formats import FORMATS
from utils.data.templates import TEMPLATES
from utils.evaluation.questions.files import MATH_SETS
from utils.selection.methods.kmeans import INIT_METHODS
from utils.selection.methods.table import METHODS

TABLES = {
    "SelectionMethod": METHODS,
    "DataFormat": FORMATS,
    "PromptTemplate": TEMPLATES,
    "SelectionPreset": SELECTION_PRESETS,
    "KMeansInit": INIT_METHODS,
    "KeptScore": KEPT,
    "PaperSet": MATH_SETS,
}


@pytest.mark.parametrize("name", TABLES)
def test_the_schema_takes_the_names_that_the_code_knows(name):
    assert get_args(getattr(names, name)) == tuple(TABLES[name])
