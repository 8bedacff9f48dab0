"""Evaluate one run: measure what is not measured yet, show the results."""

import shutil
import time

from utils.artifacts.manifests import keep_config, provenance, read_manifest, write_manifest
from utils.artifacts.paths import RunPaths
from utils.config.schema import RunConfig
from utils.evaluation.measuring import measure
from utils.evaluation.models import Models
from utils.evaluation.plan import KIND, EvaluationPlan
from utils.evaluation.questions import HELDOUT
from utils.evaluation.results import read_result, summary, write_result
from utils.modeling.cpu_memory import keep_freed_memory


def evaluate(config: RunConfig, plan: EvaluationPlan, overwrite: bool) -> None:
    """Measure everything that has no result yet, leave the results in res/<run_name>/evaluation and print them.

    Raises: ValueError if the model cannot be loaded or its losses are not finite.
    """
    keep_freed_memory()
    folder = RunPaths(config.run_name).evaluation
    manifest = folder / "manifest.json"
    inputs = {**plan.inputs, "files": {name: plan.each_inputs[name]["file"] for name in plan.names}}
    pending = [name for name in plan.names if name not in plan.finished]
    if pending:
        models = Models(config, plan, with_losses=HELDOUT in pending)
        if overwrite:  # only now that the model is there to measure
            shutil.rmtree(folder, ignore_errors=True)
        keep_config(RunPaths(config.run_name), config)
        write_manifest(manifest, KIND, "running", inputs, provenance=provenance())
        for name in pending:
            begun = time.monotonic()
            lines, measured = measure(models, config, plan, name)
            made = provenance(device=models.device, seconds=round(time.monotonic() - begun, 1))
            write_result(folder, name, plan.each_inputs[name], lines, measured, made)
    recorded = read_manifest(manifest, KIND)
    if recorded["status"] != "complete" or recorded["inputs"] != inputs:
        write_manifest(manifest, KIND, "complete", inputs, provenance=provenance())
    results = {name: read_result(folder, name) for name in plan.names}
    print(summary(f"run {config.run_name}, {plan.title}", results))
    print(f"results in {folder}")
