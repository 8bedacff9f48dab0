"""Do what a plan says: measure what is not measured yet, and leave it on disk."""

import shutil
import time
from typing import Any, Literal

from ..artifacts.configs import keep_config
from ..artifacts.evaluations import (
    HELDOUT,
    EvaluationManifest,
    EvaluationProvenance,
    EvaluationResult,
    EvaluationResults,
    read_result,
    write_result,
)
from ..artifacts.files import remove_leftovers
from ..artifacts.locks import locked
from ..artifacts.paths import RunPaths
from ..config.schema import RunConfig
from ..process.memory import keep_freed_memory
from .inputs import finished_results, manifest_inputs
from .measuring import measure
from .models.load import Models
from .plan import EvaluationPlan


def run_evaluation(config: RunConfig, plan: EvaluationPlan, overwrite: bool) -> EvaluationResults:
    """Measure everything that has no result yet. The results go to res/<run_name>/evaluation.

    Raises:
        ValueError: if the model cannot be loaded or its losses are not finite, or if another command is
            evaluating this run or has done so with other inputs.
    """
    keep_freed_memory()
    paths = RunPaths(config.run_name)
    with locked(paths.evaluation, "another command is evaluating this run"):
        remove_leftovers(paths.evaluation)
        shutil.rmtree(paths.evaluation_parts, ignore_errors=True)
        # Another command may have measured something since the plan was made.
        of_all, of_each = plan.inputs.of_all, plan.inputs.of_each
        finished = frozenset() if overwrite else finished_results(config.run_name, of_all, of_each)
        _measure_all(config, plan, [name for name in plan.names if name not in finished], overwrite)
        inputs = manifest_inputs(of_all, of_each)
        recorded = EvaluationManifest.read(paths.evaluation_manifest)
        if not recorded.is_complete or recorded.inputs != inputs:
            _write_manifest(paths, "complete", inputs)
        results = {name: read_result(paths.evaluation, name) for name in plan.names}
    return EvaluationResults(config.run_name, plan.inputs.step, paths.evaluation, results)


def _measure_all(config: RunConfig, plan: EvaluationPlan, pending: list[str], overwrite: bool) -> None:
    """Leave a result on disk for each of these names."""
    if not pending:
        return
    paths = RunPaths(config.run_name)
    models = Models(config, plan.inputs, with_losses=HELDOUT in pending)
    if overwrite:  # only now that the model is there to measure
        shutil.rmtree(paths.evaluation, ignore_errors=True)
    keep_config(paths, config)
    _write_manifest(paths, "running", manifest_inputs(plan.inputs.of_all, plan.inputs.of_each))
    for name in pending:
        start_time = time.monotonic()
        lines, measured = measure(models, config, plan, name)
        seconds = round(time.monotonic() - start_time, 1)
        made = EvaluationProvenance.now(device=models.device.type, seconds=seconds)
        result = EvaluationResult(
            status="complete", inputs=plan.inputs.of_each[name], measured=measured, provenance=made
        )
        write_result(paths.evaluation, name, result, lines)


def _write_manifest(paths: RunPaths, status: Literal["running", "complete"], inputs: dict[str, Any]) -> None:
    manifest = EvaluationManifest(status=status, inputs=inputs, provenance=EvaluationProvenance.now())
    manifest.write(paths.evaluation_manifest)
