"""The JSON schemas take what the program takes, refuse an unknown key, and are current."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from docs import make_docs, make_schema
from tests.conftest import PROJECT
from utils.config.experiment import ExperimentConfig
from utils.config.load import read_values
from utils.config.problems import known_keys
from utils.config.schema import RunConfig

SCHEMAS = {
    path: json.loads(path.read_text(encoding="utf-8")) for path in (make_schema.RUN, make_schema.EXPERIMENT)
}
CONFIGS = sorted((PROJECT / "configs").rglob("*.yml"))
BASE = {"run_name": "run", "model": {"name_or_path": "model"}, "data": {"path": "pool.jsonl"}}

KINDS: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
ANNOTATIONS = {"$schema", "title", "description", "default", "definitions"}


def is_kind(value: Any, kind: str) -> bool:
    return isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def problems(value: Any, schema: dict[str, Any], whole: dict[str, Any], place: str = "") -> list[str]:
    """What JSON Schema, draft 7, says is wrong with a value. Of its words those that our schemas have.

    Raises: KeyError for another word, AssertionError for one beside `$ref`, where draft 7 ignores it.
    """
    found: list[str] = []

    def inside(part: Any, part_schema: dict[str, Any], name: Any) -> None:
        found.extend(problems(part, part_schema, whole, f"{place}.{name}"))

    def of_properties(properties: dict[str, Any]) -> None:
        for name in properties.keys() & (value if isinstance(value, dict) else {}).keys():
            inside(value[name], properties[name], name)

    def of_others(others: Any) -> None:
        patterns = schema.get("patternProperties", {})
        for name in (value if isinstance(value, dict) else {}).keys() - schema.get("properties", {}).keys():
            if any(re.search(pattern, name) for pattern in patterns):
                continue
            if others is False:
                found.append(f"{place}.{name}: unknown")
            elif isinstance(others, dict):
                inside(value[name], others, name)

    def of_patterns(patterns: dict[str, Any]) -> None:
        for name in value if isinstance(value, dict) else ():
            for pattern, part_schema in patterns.items():
                if re.search(pattern, name):
                    inside(value[name], part_schema, name)

    def of_names(part_schema: dict[str, Any]) -> None:
        for name in value if isinstance(value, dict) else ():
            inside(name, part_schema, name)

    def of_items(part_schema: dict[str, Any]) -> None:
        for number, item in enumerate(value if isinstance(value, list) else ()):
            inside(item, part_schema, number)

    def of_any(options: list[dict[str, Any]]) -> None:
        answers = [problems(value, option, whole, place) for option in options]
        if all(answers):
            found.append(f"{place}: none of {answers}")

    def of_all(options: list[dict[str, Any]]) -> None:
        for option in options:
            found.extend(problems(value, option, whole, place))

    def of_reference(target: str) -> None:
        assert set(schema) == {"$ref"}
        start, name = target.rsplit("/", 1)
        assert start == "#/definitions"
        found.extend(problems(value, whole["definitions"][name], whole, place))

    def unless(is_right: bool) -> None:
        if not is_right:
            found.append(f"{place}: found {value!r}, expected {schema}")

    is_number = is_kind(value, "number")
    checks = {
        "type": lambda kind: unless(is_kind(value, kind)),
        "enum": lambda choices: unless(value in choices),
        "const": lambda choice: unless(value == choice),
        "minimum": lambda least: unless(not is_number or value >= least),
        "maximum": lambda most: unless(not is_number or value <= most),
        "exclusiveMinimum": lambda bound: unless(not is_number or value > bound),
        "exclusiveMaximum": lambda bound: unless(not is_number or value < bound),
        "minLength": lambda least: unless(not isinstance(value, str) or len(value) >= least),
        "maxLength": lambda most: unless(not isinstance(value, str) or len(value) <= most),
        "pattern": lambda pattern: unless(not isinstance(value, str) or bool(re.search(pattern, value))),
        "minItems": lambda least: unless(not isinstance(value, list) or len(value) >= least),
        "minProperties": lambda least: unless(not isinstance(value, dict) or len(value) >= least),
        "required": lambda names: unless(not isinstance(value, dict) or value.keys() >= set(names)),
        "properties": of_properties,
        "additionalProperties": of_others,
        "patternProperties": of_patterns,
        "propertyNames": of_names,
        "items": of_items,
        "anyOf": of_any,
        "allOf": of_all,
        "$ref": of_reference,
    }
    for word, argument in schema.items():
        if word not in ANNOTATIONS:
            checks[word](argument)
    return found


def schema_of(path: Path) -> dict[str, Any]:
    """The schema that a YAML names for VS Code and for JetBrains, in its first lines."""
    first, second = path.read_text(encoding="utf-8").splitlines()[:2]
    for_vs_code = first.removeprefix("# yaml-language-server: $schema=")
    for_jetbrains = second.removeprefix("# $schema: ")
    assert for_vs_code == for_jetbrains and not for_vs_code.startswith("#"), "relative to the YAML"
    return SCHEMAS[(path.parent / for_vs_code).resolve()]


def test_the_schemas_are_made_from_the_models():
    for path, made in (
        (make_schema.RUN, make_schema.run_schema()),
        (make_schema.EXPERIMENT, make_schema.experiment_schema()),
    ):
        assert path.read_text(encoding="utf-8") == make_schema.as_text(made), "run `make schema`"
        assert made["$schema"] == "http://json-schema.org/draft-07/schema#"


def words_in(schema: Any) -> set[str]:
    """All words of a schema that say something: not the names of its properties and definitions."""
    if isinstance(schema, list):
        return set().union(*map(words_in, schema))
    if not isinstance(schema, dict):
        return set()
    words = set(schema)
    for word, value in schema.items():
        if word in ("properties", "definitions", "patternProperties"):
            words |= set().union(*map(words_in, value.values()))
        elif word not in ("default", "enum", "const", "required"):
            words |= words_in(value)
    return words


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=lambda schema: schema["title"])
def test_a_schema_has_no_word_of_a_later_draft(schema):
    later = {"$defs", "prefixItems", "unevaluatedProperties", "dependentRequired", "dependentSchemas"}
    assert not words_in(schema) & later


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_each_shipped_yaml_names_its_schema_and_fits_it(path):
    schema = schema_of(path)
    assert ("seeds" in schema["properties"]) == path.name.startswith("experiment")
    values = read_values(path)
    assert problems(values, schema, schema) == []
    assert problems({**values, "sede": 1}, schema, schema) == [".sede: unknown"]


@pytest.mark.parametrize("key", make_docs.EXAMPLES)
def test_each_example_of_a_key_fits_the_schema(key):
    schema = SCHEMAS[make_schema.RUN]
    assert problems({**BASE, **yaml.safe_load(make_docs.EXAMPLES[key])}, schema, schema) == []


def sections_of(model: Any) -> set[str]:
    return {key.rpartition(".")[0] for key in known_keys(model)} - {"", "train_args"}


@pytest.mark.parametrize("section", sorted(sections_of(RunConfig)))
def test_an_unknown_key_of_a_section_is_refused(section):
    schema = SCHEMAS[make_schema.RUN]
    values = copy.deepcopy(BASE)
    inner: dict[str, Any] = values
    for name in section.split("."):
        inner = inner.setdefault(name, {})
    assert problems(values, schema, schema) == []
    inner["unheard_of"] = 1
    assert any("unheard_of: unknown" in problem for problem in problems(values, schema, schema))


def is_taken(model: type[BaseModel], values: dict[str, Any]) -> bool:
    try:
        model.model_validate(values)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("settings", "is_right"),
    [
        ({"subset": {"budget": 0.1}}, True),
        ({"subset": {"budget": [100, 0.5]}}, True),
        ({"subset": {"budget": True}}, False),
        ({"subset": {"method": "s2"}}, False),
        ({"data": {}}, False),
        ({"data": None}, True),
        ({"seed": -1}, False),
        ({"seed": 1.5}, False),
        ({"run_name": "a/b"}, False),
        ({"run_name": None}, False),
        ({"train_args": {"learning_rate": 2e-5}}, True),
        ({"checkpoints": {"steps": [0]}}, False),
    ],
)
def test_kinds_and_limits_are_those_of_the_program(settings, is_right):
    schema = SCHEMAS[make_schema.RUN]
    values = {**BASE, **settings}
    assert (problems(values, schema, schema) == []) == is_right == is_taken(RunConfig, values)


@pytest.mark.parametrize(
    ("methods", "is_right"),
    [
        (["s2l", "random"], True),
        ({"s2l": None, "half": {"method": "s2l", "num_clusters": 50}}, True),
        ({"s2l": {"num_cluster": 50}}, False),
        ({"s2l": {"budget": 50}}, False),
        ({"a/b": None}, False),
        ([], False),
        ({}, False),
        ("s2l", False),
    ],
)
def test_the_methods_of_an_experiment_are_checked_as_the_program_does(methods, is_right):
    schema = SCHEMAS[make_schema.EXPERIMENT]
    values = {"name": "e", "proxy": "p", "target": "t", "seeds": [0], "budgets": [5], "methods": methods}
    assert (problems(values, schema, schema) == []) == is_right
    assert is_right <= is_taken(ExperimentConfig, values), "keys of a method are checked in its runs"
