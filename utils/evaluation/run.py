"""Do what a plan says: measure what is not measured yet, and leave it on disk."""

import shutil
import time

from ..artifacts.evaluations import HELDOUT, KIND, EvaluationResults, read_result, write_result
from ..artifacts.manifests import keep_config, provenance, read_manifest, write_manifest
from ..artifacts.paths import RunPaths
from ..config.schema import RunConfig
from ..process.memory import keep_freed_memory
from .measuring import measure
from .models.load import Models
from .plan import EvaluationPlan


def run_evaluation(config: RunConfig, plan: EvaluationPlan, overwrite: bool) -> EvaluationResults:
    """Measure everything that has no result yet. The results go to res/<run_name>/evaluation.

    Raises:
        ValueError: if the model cannot be loaded or its losses are not finite.
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
    return EvaluationResults(config.run_name, plan.step, folder, results)
