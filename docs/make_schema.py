"""Make the JSON schemas by which an editor completes and checks a YAML.

    python docs/make_schema.py      write utils/config/schema.json (a run) and utils/config/experiment.json

Both are of draft 7, which editors read, and looser than the program: they know every key, its kind and its
limits, but not what two settings mean together. tests/config/test_json_schema.py fails where one of them is
out of date.
"""

import json
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from utils.config.experiment import ExperimentConfig, is_a_methods_own  # noqa: E402
from utils.config.schema import NAME_PATTERN, RunConfig, SubsetConfig  # noqa: E402

RUN = PROJECT / "utils/config/schema.json"
EXPERIMENT = PROJECT / "utils/config/experiment.json"
_DRAFT = "http://json-schema.org/draft-07/schema#"


def run_schema() -> dict[str, Any]:
    """Of a run's YAML."""
    schema = RunConfig.model_json_schema()
    # They come from the preset where a YAML leaves them out.
    del schema["$defs"]["SubsetConfig"]["required"]
    return _as_draft_7("A run of S2L", schema)


def experiment_schema() -> dict[str, Any]:
    """Of an experiment's YAML. Of a subset's settings a method has those that are a method's own."""
    schema = ExperimentConfig.model_json_schema()
    subset = SubsetConfig.model_json_schema()
    del subset["required"]
    subset["properties"] = {
        key: value for key, value in subset["properties"].items() if is_a_methods_own(key)
    }
    schema["$defs"] = {"MethodSettings": subset}
    of_labels = next(kind for kind in schema["properties"]["methods"]["anyOf"] if kind["type"] == "object")
    of_labels["patternProperties"] = {
        NAME_PATTERN: {"anyOf": [{"$ref": "#/$defs/MethodSettings"}, {"type": "null"}]}
    }
    of_labels["additionalProperties"] = False
    return _as_draft_7("An experiment of S2L", schema)


def _as_draft_7(title: str, schema: dict[str, Any]) -> dict[str, Any]:
    """pydantic writes draft 2020-12, which calls definitions `$defs` and allows words beside `$ref`."""
    definitions = schema.pop("$defs", {})
    return {
        "$schema": _DRAFT,
        "title": title,
        **_translated({key: value for key, value in schema.items() if key != "title"}),
        "definitions": _translated(definitions),
    }


def _translated(part: Any) -> Any:
    if isinstance(part, list):
        return [_translated(item) for item in part]
    if not isinstance(part, dict):
        return part
    found = {key: _translated(value) for key, value in part.items()}
    reference = found.get("$ref")
    if not isinstance(reference, str):  # it would be a key of that name
        return found
    found["$ref"] = reference.replace("#/$defs/", "#/definitions/")
    if len(found) == 1:
        return found
    return {"allOf": [{"$ref": found.pop("$ref")}], **found}


def as_text(schema: dict[str, Any]) -> str:
    """As it lies on disk."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    RUN.write_text(as_text(run_schema()), encoding="utf-8")
    EXPERIMENT.write_text(as_text(experiment_schema()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
