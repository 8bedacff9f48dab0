"""Make the documents that follow from the code.

docs/config.md comes from the schema, and the README's tree from the docstrings of the modules:

    python docs/make_docs.py           write both
    python docs/make_docs.py --tree    print the tree

tests/test_docs.py fails where one of them is out of date.
"""

import argparse
import ast
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from utils.config.experiment import ExperimentConfig  # noqa: E402
from utils.config.schema import SELECTION_PRESETS, RunConfig  # noqa: E402

README = PROJECT / "README.md"
CONFIG_PAGE = PROJECT / "docs/config.md"
TREE_BEGIN = "<!-- tree -->"
TREE_END = "<!-- /tree -->"
TREE_WIDTH = PAGE_WIDTH = 120
# Each stage after the one whose results it reads.
SCRIPTS = (
    "train.py",
    "get_trajectories.py",
    "run_distributed_trajectories.py",
    "select_s2l.py",
    "evaluate_run.py",
    "compare_runs.py",
    "run_experiment.py",
)

# One example of each key that no YAML under configs/ uses. Every text is a part of a run's YAML that loads.
EXAMPLES = {
    "model.revision": "model: {name_or_path: EleutherAI/pythia-70m-deduped, revision: step3000}",
    "model.cache_dir": "model: {name_or_path: EleutherAI/pythia-70m-deduped, cache_dir: /scratch/hub}",
    "model.lora.dropout": "model: {name_or_path: microsoft/phi-2, lora: {dropout: 0.05}}",
    "model.lora.target_modules": (
        "model: {name_or_path: microsoft/phi-2, lora: {target_modules: [q_proj, v_proj]}}"
    ),
    "model.trust_remote_code": "model: {name_or_path: my_models/custom, trust_remote_code: true}",
    "data.split": "data: {path: TIGER-Lab/MathInstruct, split: train}",
    "data.name": "data: {path: openai/gsm8k, name: main, columns: {instruction: question, output: answer}}",
    "data.revision": "data: {path: TIGER-Lab/MathInstruct, revision: 5f1c2e9}",
    "data.columns": "data: {path: my_data.jsonl, columns: {instruction: question, output: answer}}",
    "data.source_column": "data: {path: my_data.jsonl, source_column: dataset}",
    "data.limit": "data: {path: my_data.jsonl, limit: 2000}",
    "data.invalid_rows": "data: {path: my_data.jsonl, invalid_rows: drop}",
    "checkpoints.every": "checkpoints: {every: 500}",
    "checkpoints.keep": "checkpoints: {count: 12, keep: last}\ntrajectories: {during_training: true}",
    "trajectories.examples_per_unit": "trajectories: {examples_per_unit: 2048}",
    "trajectories.during_training": "trajectories: {during_training: true}",
    "trajectories.workers": "trajectories: {workers: 4}",
    "subset.sources_from": "subset: {trajectories_from: losses.npy, sources_from: sources.txt, budget: 0.1}",
    "subset.same_as": "subset: {same_as: my_first_run}",
    "subset.extend": "subset: {trajectories_from: my_proxy, extend: my_first_run, budget: 2000}",
    "subset.budget_tokens": "subset: {trajectories_from: my_proxy, budget_tokens: 2000000}",
    "subset.features": "subset: {trajectories_from: my_proxy, features: shape, budget: 0.1}",
    "subset.pick": "subset: {trajectories_from: my_proxy, pick: stable, budget: 0.1}",
    "subset.source_exponent": "subset: {trajectories_from: my_proxy, source_exponent: 0.5, budget: 0.1}",
    "subset.source_weight": (
        "subset: {trajectories_from: my_proxy, source_exponent: 0.5, source_weight: fall, budget: 0.1}"
    ),
    "subset.cluster_exponent": "subset: {trajectories_from: my_proxy, cluster_exponent: 0.5, budget: 0.1}",
    "subset.min_slope": (
        "subset: {trajectories_from: my_proxy, method: prune_then_select, min_slope: 0.05, budget: 0.1}"
    ),
    "subset.steps": "subset: {trajectories_from: my_proxy, steps: [500, 1000, 1500], budget: 0.1}",
    "subset.min_per_source": "subset: {trajectories_from: my_proxy, budget: 1000, min_per_source: 20}",
    "subset.max_per_source": (
        "subset: {trajectories_from: my_proxy, budget: 1000, max_per_source: {forum: 100}}"
    ),
    "subset.include": "subset: {trajectories_from: my_proxy, budget: 1000, include: checked_by_hand.txt}",
    "subset.exclude": "subset: {trajectories_from: my_proxy, budget: 1000, exclude: never_learnt.txt}",
    "subset.drop": "subset: {trajectories_from: my_proxy, budget: 1000, drop: [never_learnt, identical]}",
    "subset.deduplicate": "subset: {trajectories_from: my_proxy, budget: 1000, deduplicate: exact}",
    "subset.decontaminate": (
        "subset: {trajectories_from: my_proxy, budget: 1000, decontaminate: [gsm8k.jsonl]}"
    ),
    "subset.per_source": "subset: {trajectories_from: my_proxy, budget: 1000, per_source: false}",
    "subset.min_cluster_size": "subset: {trajectories_from: my_proxy, budget: 1000, min_cluster_size: 1}",
    "subset.max_points_per_centroid": (
        "subset: {trajectories_from: my_proxy, budget: 1000, max_points_per_centroid: null}"
    ),
    "subset.iterations": "subset: {trajectories_from: my_proxy, budget: 1000, iterations: 100}",
    "subset.init": "subset: {trajectories_from: my_proxy, budget: 1000, init: kmeans++}",
    "subset.num_restarts": (
        "subset: {trajectories_from: my_proxy, budget: 1000, init: kmeans++, num_restarts: 10}"
    ),
    "tracking.report_to": "tracking: {report_to: tensorboard}",
    "tracking.project": "tracking: {report_to: wandb, project: my_project}",
    "evaluation.tasks": "evaluation: {tasks: [arc_easy]}",
    "evaluation.bert_score_model": (
        "evaluation: {heldout: test.jsonl, text_metrics: [bert_score], bert_score_model: roberta-base}"
    ),
    "evaluation.backend": "evaluation: {tasks: [arc_easy], backend: vllm}",
    "evaluation.tensor_parallel": "evaluation: {tasks: [arc_easy], backend: vllm, tensor_parallel: 2}",
    "evaluation.num_fewshot": (
        "evaluation: {benchmarks: {gsm8k: public}, num_fewshot: 4, fewshot: solved.jsonl}"
    ),
    "evaluation.fewshot": "evaluation: {benchmarks: {gsm8k: public}, num_fewshot: 4, fewshot: solved.jsonl}",
    "data.score_turns": "data: {path: talk.jsonl, format: messages, template: chat, score_turns: last}",
    "data.score_roles": (
        "data: {path: talk.jsonl, format: messages, template: chat, score_roles: [assistant, tool_call]}"
    ),
    "evaluation.chat_template": "evaluation: {benchmarks: {gsm8k: public}, chat_template: true}",
    "evaluation.limit": "evaluation: {tasks: [arc_easy], limit: {arc_easy: 200}}",
}

CONFIG_HEAD = """\
# Every key of a YAML

This page is made from the schema: `utils/config/schema.py` (a run) and `utils/config/experiment.py`
(an experiment). `make docs` writes it, so edit those files and not this one.

One YAML is one run. Defaults are overruled by the YAML, and the YAML by `key.sub=value` on the command line.
Unknown keys are refused, and all errors are shown at once. A training needs `run_name`, `model` and
`data.path`. Selection needs `run_name` and `subset`.
Relative paths count from the folder in which the command is run.

Editors complete and check these keys by `utils/config/schema.json` and `experiment.json`, which the YAMLs
under [configs](../configs) name in their first lines. `make schema` makes them.
A key that no such YAML uses has an example here.
"""


def first_sentence(path: Path) -> str:
    """Of a module's docstring, on one line, without the full stop."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s+(?=[A-Z0-9`])", paragraph)[0].removesuffix(".")


def _cut(text: str, width: int) -> str:
    """The longest beginning that fits and ends with a clause, or else with a word."""
    if len(text) <= width:
        return text
    for ends in (r"[:;]\s", r",\s", r"\s"):
        places = [match.start() for match in re.finditer(ends, text) if match.start() <= width]
        if places:
            return text[: places[-1]]
    return text


def _entries(names: list[tuple[str, Path]], indent: str) -> list[str]:
    width = max((len(name) for name, _ in names), default=0)
    return [_line(f"{indent}{name:{width}}", module) for name, module in names]


def _line(name: str, module: Path) -> str:
    return f"{name}  {_cut(first_sentence(module), TREE_WIDTH - len(name) - 2)}"


def _folder(folder: Path, indent: str) -> list[str]:
    """A package: its line, then its modules, then its packages."""
    lines = [_line(f"{indent}{folder.name}/", folder / "__init__.py")]
    inner = indent + "  "
    modules = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    lines += _entries([(path.name, path) for path in modules], inner)
    for package in sorted(path.parent for path in folder.glob("*/__init__.py")):
        lines += _folder(package, inner)
    return lines


def tree() -> str:
    """The scripts and every module of the package, with what each docstring says first."""
    lines = _entries([(name, PROJECT / name) for name in SCRIPTS], "")
    return "\n".join(lines + _folder(PROJECT / "utils", ""))


def readme_with_tree(text: str) -> str:
    """Raises: ValueError without the markers."""
    if TREE_BEGIN not in text or TREE_END not in text:
        raise ValueError(f"README.md: found no {TREE_BEGIN} ... {TREE_END}, expected both")
    before, rest = text.split(TREE_BEGIN, 1)
    after = rest.split(TREE_END, 1)[1]
    return f"{before}{TREE_BEGIN}\n```\n{tree()}\n```\n{TREE_END}{after}"


def used_keys() -> set[str]:
    """Dotted keys of the YAMLs under configs/, those of sections among them."""
    used: set[str] = set()
    for path in sorted((PROJECT / "configs").rglob("*.yml")):
        used |= dotted_keys(yaml.safe_load(path.read_text(encoding="utf-8")))
    return used


def dotted_keys(values: dict[str, Any], prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for name, value in values.items():
        keys.add(f"{prefix}{name}")
        if isinstance(value, dict):
            keys |= dotted_keys(value, f"{prefix}{name}.")
    return keys


class Page:
    """The JSON schema of one model as lists, a section after the other."""

    def __init__(self, schema: dict[str, Any]):
        self._schema = schema
        self._definitions = schema.get("$defs", {})
        self._used = used_keys()

    def text(self, title: str) -> str:
        return "\n".join(self._section(title, "", self._schema))

    def _section(self, title: str, prefix: str, schema: dict[str, Any]) -> list[str]:
        lines = [f"## {title}", "", *_wrapped(schema.get("description", ""), ""), ""]
        sections: list[tuple[str, dict[str, Any]]] = []
        for name, value in schema["properties"].items():
            key = f"{prefix}{name}"
            section = self._section_of(value)
            lines += self._item(name, key, value, schema)
            if section is not None:
                sections.append((key, section))
            elif key not in self._used:
                lines += ["  ```yaml", *(f"  {line}" for line in EXAMPLES[key].splitlines()), "  ```"]
        lines.append("")
        for key, section in sections:
            lines += self._section(f"`{key}`", f"{key}.", section)
        return lines

    def _item(self, name: str, key: str, value: dict[str, Any], schema: dict[str, Any]) -> list[str]:
        facts = ", ".join(filter(None, [self._type(value), self._limits(value)]))
        default = self._default(key, value, schema)
        return _wrapped(f"**`{name}`** ({facts}; {default}): {_description(key, value)}", "- ")

    def _section_of(self, value: dict[str, Any]) -> dict[str, Any] | None:
        for option in (value, *value.get("anyOf", [])):
            if "$ref" in option:
                return self._definitions[option["$ref"].rsplit("/", 1)[1]]
        return None

    def _type(self, value: dict[str, Any]) -> str:
        if "anyOf" in value:
            options = [
                option for option in value["anyOf"] if option.get("type") != "null" or value.get("default", 0)
            ]
            return " or ".join(dict.fromkeys(self._type(option) for option in options))
        if "$ref" in value:
            return "section"
        if "enum" in value:
            *others, last = (f"`{choice}`" for choice in value["enum"])
            return f"{', '.join(others)} or {last}"
        if value.get("type") == "array":
            return f"list of {self._type(value['items'])}"
        if value.get("type") == "object":
            inner = value.get("additionalProperties")
            return f"mapping to {self._type(inner)}" if isinstance(inner, dict) and inner else "mapping"
        kinds = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
        kind = str(value.get("type", "any"))
        return kinds.get(kind, kind)

    def _default(self, key: str, value: dict[str, Any], schema: dict[str, Any]) -> str:
        name = key.rsplit(".", 1)[-1]
        if key == f"subset.{name}" and any(name in keys for keys in SELECTION_PRESETS.values()):
            by_preset = {
                preset: _as_yaml(keys.get(name, value.get("default")))
                for preset, keys in SELECTION_PRESETS.items()
            }
            if len(set(by_preset.values())) == 1:
                return f"default {by_preset['released']}"
            return "default " + ", ".join(f"{default} ({preset})" for preset, default in by_preset.items())
        if name in schema.get("required", []):
            return "required"
        if self._section_of(value) is not None:
            given = {name: given for name, given in (value.get("default") or {}).items() if name == "count"}
            return f"default {_as_yaml(given)}" if given else "see below"
        if "default" in value:
            return "optional" if value["default"] is None else f"default {_as_yaml(value['default'])}"
        return f"default {_as_yaml([] if value.get('type') == 'array' else {})}"

    def _limits(self, value: dict[str, Any]) -> str:
        found: list[str] = []
        for option in (value, *value.get("anyOf", [])):
            for holder in (option, option.get("items", {}), option.get("additionalProperties", {})):
                found += _limits_of(holder) if isinstance(holder, dict) else []
        if "maximum" in value:  # of one of several types it would read as if it were of all
            found.append(f"at most {value['maximum']:,}")
        return ", ".join(dict.fromkeys(found))


def _limits_of(value: dict[str, Any]) -> list[str]:
    found = []
    if "exclusiveMinimum" in value:
        found.append(f"above {value['exclusiveMinimum']}")
    if "minimum" in value:
        found.append(f"at least {value['minimum']:g}")
    if value.get("exclusiveMaximum", 2**63) < 2**63:
        is_word = value["exclusiveMaximum"] == 2**32  # which would read 4.29497e+09
        found.append("below 2^32" if is_word else f"below {value['exclusiveMaximum']:g}")
    if "maxLength" in value:
        found.append(f"at most {value['maxLength']} characters")
    if "pattern" in value:
        found.append("letters, digits and `. _ + = -`, a letter or digit first")
    if "minItems" in value or "minProperties" in value:
        found.append("at least one")
    return found


def _description(key: str, value: dict[str, Any]) -> str:
    described = value.get("description")
    if not described:
        raise ValueError(
            f"{key}: found no description in the schema, expected one: give its Field a description"
        )
    return described


def _wrapped(text: str, bullet: str) -> list[str]:
    """Lines of a page. What Markdown would take for a tag is shown as it is."""
    shown = re.sub(r"<(\w+)>", r"\\<\1\\>", " ".join(text.split()))
    return textwrap.wrap(
        shown,
        PAGE_WIDTH,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _as_yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).strip().removesuffix("\n...").strip()
    return f"`{text}`"


def config_page() -> str:
    run = Page(RunConfig.model_json_schema()).text("A run")
    experiment = Page(ExperimentConfig.model_json_schema()).text("An experiment")
    return f"{CONFIG_HEAD}\n{run}\n{experiment}".rstrip() + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tree", action="store_true", help="print the tree and write nothing")
    arguments = parser.parse_args(argv)
    if arguments.tree:
        print(tree())
        return 0
    CONFIG_PAGE.write_text(config_page(), encoding="utf-8")
    README.write_text(readme_with_tree(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
